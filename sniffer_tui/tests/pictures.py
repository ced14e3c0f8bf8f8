"""Screens as SVG files that are the same wherever they are made, and what differs between two of them, in words."""

from __future__ import annotations

import difflib
import html
import re
from itertools import groupby

from pypz.sniffer.screen.app import SnifferApp

CELL, LINE, TOP = 12.2, 24.4, 20
"""Width of a cell, height of a line, and where the first line of text stands, as Rich draws them."""


HARD_SPACE = "\N{NO-BREAK SPACE}"
"""What Rich writes for a space, as others are not drawn where several stand together."""


def picture_of(app: SnifferApp) -> str:
    """Draw the screen: an element a line, no title, nothing loaded from elsewhere, no name that depends on what is drawn."""
    svg = app.export_screenshot(simplify=True)
    svg = re.sub(r"\s*<!--.*?-->", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"\s*\.terminal-\d+-title \{.*?\}", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<text class=\"terminal-\d+-title\".*?</text>\s*<g transform.*?</g>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'viewBox="0 0 (\d+) ([\d.]+)"', _inner_box, svg)
    svg = re.sub(r"<clipPath id=\"terminal-\d+-line-\d+\">.*?</clipPath>", "", svg, flags=re.DOTALL)
    svg = re.sub(r" clip-path=\"url\(#terminal-\d+-line-\d+\)\"", "", svg)
    svg = re.sub(r"terminal-\d+-?", "", svg)
    svg = svg.replace("Fira Code, monospace", "monospace").replace("&#160;", HARD_SPACE)
    svg = svg.replace("><", ">\n<")
    return "".join(f"{line.strip(' ')}\n" for line in svg.splitlines() if line.strip(" "))


def _inner_box(box: re.Match[str]) -> str:
    """Where the cells are, without the frame around them."""
    return f'viewBox="9 41 {int(box[1]) - 18} {round(float(box[2])) - 50}"'


def lines_of(svg: str) -> list[str]:
    """Give the lines of a screen, without styles."""
    lines: dict[int, str] = {}
    for at, text, _ in _texts(svg):
        line = lines.get(at[0], "")
        lines[at[0]] = line + " " * (at[1] - len(line)) + text
    return [lines.get(i, "").rstrip() for i in range(max(lines, default=-1) + 1)]


def difference(seen: str, wanted: str) -> str:
    """Say where two screens differ: their lines, else which words have another style."""
    words = [*difflib.unified_diff(lines_of(wanted), lines_of(seen), "as it was", "as it is", lineterm="", n=1)]
    if words:
        return "\n".join(words)
    pairs = zip(_styled(wanted), _styled(seen), strict=False)
    words = [f"line {y + 1}: {was}\n     now: {now}" for y, (was, now) in enumerate(pairs) if was != now]
    return "\n".join(words) or "backgrounds or sizes differ; compare the two files"


def _texts(svg: str) -> list[tuple[tuple[int, int], str, str]]:
    """Line and column, text and style of all texts."""
    styles = dict(re.findall(r"^\.(r\d+) \{ (.*?) \}$", svg, re.MULTILINE))
    found = re.findall(r'<text [^>]*class="(r\d+)" x="([\d.]+)" y="([\d.]+)"[^>]*>(.*?)</text>', svg, re.DOTALL)
    return [
        (
            (round((float(y) - TOP) / LINE), round(float(x) / CELL)),
            html.unescape(text).replace(HARD_SPACE, " "),
            styles[name],
        )
        for name, x, y, text in found
    ]


def _styled(svg: str) -> list[str]:
    texts = sorted(_texts(svg))
    lines = {
        y: " ".join(f"{text.strip()!r} {style}" for _, text, style in same)
        for y, same in groupby(texts, lambda one: one[0][0])
    }
    return [lines.get(i, "") for i in range(max(lines, default=-1) + 1)]
