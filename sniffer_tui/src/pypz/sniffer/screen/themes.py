"""Colours of the screen: dark, light, high contrast, and none. Words and symbols say the same in each of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from rich.terminal_theme import TerminalTheme
from textual.color import Color
from textual.theme import Theme


class Colours(NamedTuple):
    """A theme, and what the names of colours mean in it (`pypz.sniffer.screen.styles`)."""

    theme: Theme
    named: TerminalTheme


def _colours(
    name: str, *, background: str, panel: str, bar: str, foreground: str, accent: str, good: str, warn: str, bad: str
) -> Colours:
    theme = Theme(
        name=name,
        primary=accent,
        secondary=accent,
        accent=accent,
        success=good,
        warning=warn,
        error=bad,
        foreground=foreground,
        background=background,
        surface=background,
        panel=panel,
        dark=Color.parse(background).brightness < 0.5,
        variables={
            "scrollbar": bar,
            "scrollbar-hover": accent,
            "scrollbar-active": accent,
            "scrollbar-background": background,
            "scrollbar-background-hover": background,
            "scrollbar-background-active": background,
            "scrollbar-corner-color": background,
        },
    )
    black, red, green, yellow, blue, text = (
        Color.parse(one).rgb for one in (background, bad, good, warn, accent, foreground)
    )
    normal = [black, red, green, yellow, blue, red, blue, text]
    return Colours(theme, TerminalTheme(black, text, normal, normal))


THEMES: Final[Mapping[str, Colours]] = {
    "dark": _colours(
        "dark",
        background="#14171a",
        panel="#2a3037",
        bar="#5b6672",
        foreground="#e6e6e6",
        accent="#6cb6ff",
        good="#7fd35b",
        warn="#f0b429",
        bad="#ff7b72",
    ),
    "light": _colours(
        "light",
        background="#fafafa",
        panel="#dde2e8",
        bar="#8a949e",
        foreground="#1b1b1b",
        accent="#0b5cad",
        good="#1c6b28",
        warn="#855300",
        bad="#b3261e",
    ),
    "high contrast": _colours(
        "high contrast",
        background="#000000",
        panel="#303030",
        bar="#808080",
        foreground="#ffffff",
        accent="#00ffff",
        good="#00ff5f",
        warn="#ffff00",
        bad="#ff8080",
    ),
    "no colours": _colours(
        "no colours",
        background="#000000",
        panel="#303030",
        bar="#808080",
        foreground="#ffffff",
        accent="#ffffff",
        good="#ffffff",
        warn="#ffffff",
        bad="#ffffff",
    ),
}
"""Chosen so that text and background differ by 4.5 to 1 at least (WCAG 2.2, 1.4.3)."""
