"""The screen as it looks, in three sizes and three ways of colour, compared with files that were looked at.

After a wanted change write them anew, and look at them:
``PYPZ_WRITE_SNAPSHOTS=1 python -m pytest sniffer_tui/tests/test_snapshots.py``.
A file has the lines of the screen, then which style each run of cells has, then the styles.
"""

from __future__ import annotations

import os
from itertools import groupby
from pathlib import Path

import pytest
from sniffer_tui.tests.graphs import several, told
from textual.pilot import Pilot

from pypz.sniffer.screen.app import SnifferApp

FOLDER = Path(__file__).parent / "snapshots"
IS_WRITING = os.environ.get("PYPZ_WRITE_SNAPSHOTS") == "1"


def looks(app: SnifferApp) -> str:
    """Give all cells of the screen with their styles."""
    styles: dict[str, int] = {}
    lines, runs = [], []
    for strip in app.screen._compositor.render_strips():
        cells = [(c, str(segment.style)) for segment in strip for c in segment.text]
        lines.append("".join(c for c, _ in cells).rstrip())
        numbers = [styles.setdefault(style, len(styles)) for _, style in cells]
        runs.append(" ".join(f"{number}x{len(list(same))}" for number, same in groupby(numbers)))
    legend = [f"{number}: {style}" for style, number in styles.items()]
    return "\n".join([*lines, "", *runs, "", *legend, ""])


async def compare(app: SnifferApp, pilot: Pilot[None], name: str) -> None:
    await pilot.pause()
    app._tick()
    await pilot.pause()
    file = FOLDER / f"{name}.txt"
    seen = looks(app)
    if IS_WRITING:
        FOLDER.mkdir(exist_ok=True)
        file.write_text(seen, encoding="utf-8")
        pytest.skip(f"{file.name} was written: look at it")
    assert seen == file.read_text(encoding="utf-8"), f"{name} looks different"


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (300, 80)], ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize("colours", ["dark", "light", "NO_COLOR"])
@pytest.mark.parametrize("pane", ["graph", "table"])
async def test_the_screen_looks_as_it_did(
    pane: str, colours: str, size: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    if colours == "NO_COLOR":
        monkeypatch.setenv("NO_COLOR", "1")
    app = SnifferApp(told(several()))
    app.animation_level = "none"
    if colours != "NO_COLOR":
        app.use_colours(colours)
    async with app.run_test(size=size) as pilot:
        await pilot.press(pane[0], "right" if pane == "graph" else "down")
        await compare(app, pilot, f"{pane}-{size[0]}x{size[1]}-{colours.lower()}")
