"""Details: all that is known of the operator or the port that is selected."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import Final

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.events import Resize
from textual.widgets import Static

from pypz.sniffer.model.frames import Selection
from pypz.sniffer.model.texts import one_line
from pypz.sniffer.screen.pane import Pane, Watched
from pypz.sniffer.screen.styles import STYLES
from pypz.sniffer.wording.description import Description
from pypz.sniffer.wording.details import LABEL, Line, details_of
from pypz.sniffer.wording.picture import Picture

NARROW: Final = 30
"""Columns below which lines are wrapped wherever they end (chosen)."""

INDENT: Final = 2
"""Columns before a line without a label."""

AIRY_FROM: Final = 36
"""Lines from which on there is room for an empty one before each heading."""


class DetailsPane(Pane):
    """Shows lines, and writes them only when they changed."""

    DEFAULT_CSS = """
    DetailsPane { layout: vertical; }
    DetailsPane VerticalScroll { height: 1fr; padding: 0 1; scrollbar-size: 1 1; }
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._description = None if watched.pipeline is None else Description(watched.pipeline)
        self._shown: list[Line] = []
        self._selection = Selection()

    def compose(self) -> ComposeResult:
        """Build the pane."""
        with VerticalScroll():
            yield Static(id="details", markup=False)

    def focus_first(self) -> None:
        """Give the lines the focus, so that they scroll."""
        self.query_one(VerticalScroll).focus()

    def show(self, picture: Picture) -> None:
        """Draw the lines; another selection is shown from its first line on."""
        lines = details_of(picture, self.watched.model, self._description)
        if lines != self._shown:
            self._shown = lines
            self._draw()
        if picture.selection != self._selection:
            self._selection = picture.selection
            self.query_one(VerticalScroll).scroll_home(animate=False)

    def on_resize(self, event: Resize) -> None:
        """Wrap anew."""
        self._draw()

    def _draw(self) -> None:
        width = self.size.width - 3  # a column to the left and to the right, and the scroll bar
        texts = _texts(self._shown, width, is_airy=self.size.height >= AIRY_FROM)
        self.query_one("#details", Static).update(Text("\n").join(texts))


def _texts(lines: list[Line], width: int, *, is_airy: bool) -> Iterator[Text]:
    for i, line in enumerate(lines):
        if i and line.is_heading and is_airy:
            yield Text()
        yield _text(line, width)


def _text(line: Line, width: int) -> Text:
    """A line; what does not fit goes on below its text, not below its label."""
    told = one_line(line.text)
    if line.is_heading:
        text = Text().append(one_line(line.label), "bold")
        return text.append(f"  {told}", STYLES["dim"]) if told else text
    label = f"{one_line(line.label):<{LABEL - 1}} " if line.label else " " * INDENT
    inner = told.lstrip()
    before = " " * (len(told) - len(inner))
    below = before if line.label else f"{before}{' ' * INDENT}"
    if width - len(label) - len(below) >= NARROW:
        parts = textwrap.wrap(
            inner, width - len(label), initial_indent=before, subsequent_indent=below, break_on_hyphens=False
        )
        told = f"\n{' ' * len(label)}".join(parts)
    return Text().append(label, STYLES["dim"]).append(told, STYLES[line.tone])
