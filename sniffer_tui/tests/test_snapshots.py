"""The screen as it looks, in three sizes and three ways of colour, compared with pictures that were looked at.

A failure tells the lines that differ. After a wanted change write the pictures anew, and look at them, in a browser for instance:
``PYPZ_WRITE_SNAPSHOTS=1 python -m pytest sniffer_tui/tests/test_snapshots.py``.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from sniffer_tui.tests.graphs import several, told
from sniffer_tui.tests.pictures import difference, lines_of, picture_of
from sniffer_tui.tests.shop import log_lines, model_of, shop, tail
from sniffer_tui.tests.test_app import until
from textual.pilot import Pilot
from textual.widgets import OptionList

from pypz.sniffer.model.frames import Selection
from pypz.sniffer.screen.app import SnifferApp
from pypz.sniffer.screen.panes import records
from pypz.sniffer.screen.panes.logs import LogsPane

FOLDER: Final = Path(__file__).parent / "snapshots"
IS_WRITING: Final = os.environ.get("PYPZ_WRITE_SNAPSHOTS") == "1"
SIZES: Final = ((80, 24), (120, 40), (300, 80))
COLOURS: Final = ("dark", "light", "no_color")

Steps = Callable[[SnifferApp, Pilot[None]], Awaitable[None]]


class Orders:
    """Stands in for the thread that reads records: how it reads is tested beside it."""

    version = 1
    tail = staticmethod(tail)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def start(self) -> None:
        pass

    def close(self) -> None:
        pass


async def show_graph(app: SnifferApp, pilot: Pilot[None]) -> None:
    await pilot.press("g", "right")


async def show_table(app: SnifferApp, pilot: Pilot[None]) -> None:
    await pilot.press("t", "down")


async def show_failure(app: SnifferApp, pilot: Pilot[None]) -> None:
    app.select(Selection("shop.invoices"))
    await pilot.press("d")


async def show_records(app: SnifferApp, pilot: Pilot[None]) -> None:
    app.select(Selection("shop.prices", port="orders"))
    await pilot.press("r")
    pane = app.pane("records")
    assert isinstance(pane, records.RecordsPane)
    await until(pilot, lambda: bool(pane._rows))  # keys that come before the records are there move nothing
    await pilot.press("up", "up", "enter")


async def show_logs(app: SnifferApp, pilot: Pilot[None]) -> None:
    await pilot.press("l")
    pane = app.pane("logs")
    assert isinstance(pane, LogsPane)
    for line in log_lines():
        pane._streams.take(line)
    pane._look()


async def show_help(app: SnifferApp, pilot: Pilot[None]) -> None:
    await pilot.press("question_mark")


async def show_search(app: SnifferApp, pilot: Pilot[None]) -> None:
    await pilot.press("slash", *"inv")


async def show_palette(app: SnifferApp, pilot: Pilot[None]) -> None:
    await pilot.press("ctrl+p", *"show")
    await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 5)


VIEWS: Final[dict[str, Steps]] = {
    "graph": show_graph,
    "table": show_table,
    "details": show_failure,
    "records": show_records,
    "logs": show_logs,
    "help": show_help,
    "search": show_search,
    "palette": show_palette,
}

LOOKS: Final = [
    (view, size, colours)
    for number, view in enumerate(VIEWS)
    for i, size in enumerate(SIZES)
    for j, colours in enumerate(COLOURS)
    if view == "graph" or (i + number) % 3 == j  # of the others each size and each way of colour once
]


@pytest.fixture(autouse=True)
def greenwich(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Clocks show the same hour everywhere."""
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("view", "size", "colours"), LOOKS, ids=lambda one: one if isinstance(one, str) else f"{one[0]}x{one[1]}"
)
async def test_the_screen_looks_as_it_did(
    view: str, size: tuple[int, int], colours: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(records, "Records", Orders)
    if colours == "no_color":
        monkeypatch.setenv("NO_COLOR", "1")
    pipeline = shop()
    app = SnifferApp(told(several())) if view in ("graph", "table") else SnifferApp(model_of(pipeline), pipeline)
    app.animation_level = "none"
    if colours != "no_color":
        app.use_colours(colours)
    async with app.run_test(size=size) as pilot:
        await VIEWS[view](app, pilot)
        await pilot.pause()
        app._tick()
        await pilot.pause()
        seen = picture_of(app)
    file = FOLDER / f"{view}-{size[0]}x{size[1]}-{colours}.svg"
    if IS_WRITING:
        FOLDER.mkdir(exist_ok=True)
        file.write_text(seen, encoding="utf-8")
        pytest.skip(f"{file.name} was written: look at it")
    if not file.is_file() or seen != (wanted := file.read_text(encoding="utf-8")):
        now = tmp_path / file.name
        now.write_text(seen, encoding="utf-8")
        told_ = difference(seen, wanted) if file.is_file() else "it is not there"
        pytest.fail(f"{file} looks different in {now}; if that is wanted, see the head of this module:\n{told_}")


def test_no_picture_loads_anything_and_all_were_asked_for() -> None:
    pictures = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.iterdir()}
    assert pictures.keys() == {f"{view}-{size[0]}x{size[1]}-{colours}.svg" for view, size, colours in LOOKS}
    for name, svg in pictures.items():
        assert re.findall(r"https?:|@import|@font-face|url\((?!#)", svg) == ["http:"], name  # the name of the language
        assert lines_of(svg), name


def test_a_difference_is_told_in_lines_else_in_styles() -> None:
    svg = (FOLDER / "details-80x24-no_color.svg").read_text(encoding="utf-8")
    told = difference(svg.replace("4711", "4712"), svg)
    assert "- process    4711 on host-a" in told
    assert "+ process    4712 on host-a" in told
    assert "invoices" in difference(svg.replace("font-weight: bold", "font-style: italic"), svg)
    assert "sizes differ" in difference(svg.replace("<rect", '<rect class="other"', 1), svg)
