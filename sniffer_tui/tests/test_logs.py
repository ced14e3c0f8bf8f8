"""Log lines: the book that keeps them, where they come from, and their pane, driven by Textual's Pilot."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import typer
from textual.pilot import Pilot
from textual.widgets import Static
from typer.testing import CliRunner

from pypz.core.hooks.events import LogRecord, OperatorRef, PipelineRef
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.sniffer.command import sniff
from pypz.sniffer.forms.lines import LineWriter
from pypz.sniffer.model.frames import PlannedOperator
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.screen.app import SnifferApp
from pypz.sniffer.screen.panes.logs import LogsPane
from pypz.sniffer.sources.logs import LogBook, LogFeed, LogFilter, LogLine, PodFeed


def record(
    number: int,
    text: str = "",
    member: str = "p.writer",
    level: str = "INFO",
    run: str = "r1",
    start: str = "",
    dropped: int = 0,
) -> LogRecord:
    operator = OperatorRef("p", run, member, 0, start or f"start of {member}")
    return LogRecord(operator, level, text or f"line {number}", (member,), 1_800_000_000.0, number, dropped)


def texts(book: LogBook) -> list[str]:
    return [line.text for line in book.lines()]


# --- the book ---------------------------------------------------------------------------------------------------------


def test_a_line_that_comes_twice_is_kept_once_and_one_that_comes_late_stands_in_its_place() -> None:
    book = LogBook("p")
    for number in (5, 6, 1, 2, 6, 3, 4, 7, 1):
        book.take(record(number))
    book.take(record(1, "of another start", start="later"))
    book.take(LogRecord(OperatorRef("other", "r1", "other.x", 0, "s"), "INFO", "of another pipeline", number=1))
    assert texts(book) == [*(f"line {number}" for number in range(1, 8)), "of another start"]
    assert book.notice == ""


def test_lines_that_were_lost_on_the_way_are_counted_and_those_left_out_by_the_member_are_not() -> None:
    book = LogBook("p")
    book.take(record(3, dropped=0))
    book.take(record(10, "4 lines were left out here: too many in a second", dropped=4))
    assert book.notice == "2 lines were lost on the way"
    book.take(record(4))
    assert book.notice == "1 line was lost on the way"
    book.set_notice("streams", "no rights")
    assert book.notice == "no rights; 1 line was lost on the way"
    book.set_notice("streams", "")
    book.take(record(5))
    assert book.notice == ""


def test_the_newest_lines_are_kept_and_whoever_follows_is_told_of_new_ones_only() -> None:
    book = LogBook("p", lines_kept=100)
    mark, lines = book.since((-1, 0))
    assert lines is None
    for number in range(1, 11):
        book.take(record(number))
    mark, lines = book.since(mark)
    assert [line.text for line in lines or ()] == [f"line {number}" for number in range(1, 11)]
    assert book.since(mark) == (mark, [])
    for number in range(11, 10_000):
        book.take(record(number))
    assert 100 <= len(book.lines()) <= 110
    assert texts(book)[-1] == "line 9999"
    mark, lines = book.since(mark)
    assert lines is None, "some went that were never seen"
    assert book.since(mark)[1] == []
    assert book.notice == ""


def test_a_filter_takes_level_text_member_and_run() -> None:
    line = LogLine("p.writer", "WARNING", "Disk is slow", ("p.writer", "StateEntry"), run="r1")
    assert LogFilter().takes(line)
    assert LogFilter("WARNING", "disk", frozenset({"p.writer"}), "r1").takes(line)
    assert LogFilter(text="stateentry").takes(line)
    assert not LogFilter("ERROR").takes(line)
    assert not LogFilter(text="network").takes(line)
    assert not LogFilter(members=frozenset({"p.reader"})).takes(line)
    assert not LogFilter(run="r2").takes(line)


# --- where lines come from --------------------------------------------------------------------------------------------


class Talker(BlankOperator):
    def _on_init(self) -> bool:
        for number in range(3):
            self.get_logger().info("hello %d", number)
        return True


class Talk(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.talker = Talker()


def wait_for(is_so: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(2000):
        if is_so():
            return
        pause.wait(0.01)
    raise AssertionError("not within 20 s")


def test_lines_of_this_process_come_without_any_location() -> None:
    host = PluginHost()
    book = LogBook("p")
    feed = LogFeed(book, "p", [], host)
    feed.start()
    PipelineExecutor(Talk("p"), host=host).start()
    assert host.flush(10)
    assert [text for text in texts(book) if text.startswith("hello")] == ["hello 0", "hello 1", "hello 2"]
    feed.close()
    host.close()


def test_lines_of_a_location_come_from_its_log_stream_also_when_it_was_over_before() -> None:
    location = f"memory:{uuid.uuid4().hex}"
    there, here = PluginHost(), PluginHost()
    keeps = here.make_transport(location, {})
    stream = keeps.open_status("p", create=True)
    for number in range(1, 6):
        stream.log(json.dumps(record(number).to_json()).encode())  # type: ignore[attr-defined]
    book = LogBook("p")
    feed = LogFeed(book, "p", [(location, {}), ("nowhere:x", {})], there)
    feed.start()
    wait_for(lambda: len(book.lines()) == 5)
    assert "nowhere:x: no log lines from there: " in book.notice
    feed.close()
    feed.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pypz-log-receiver")]
    keeps.close()
    for host in (there, here):
        host.close()


class Containers:
    """A deployment as far as its logs are asked for; a container ends when it is told to."""

    kind = "kubernetes"

    def __init__(self) -> None:
        self.deployer = self
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.lines = [
            "2026-01-01T00:00:01.000000000Z INFO | 2026-01-01 00:00:01,000 | p.writer | begins",
            "2026-01-01T00:00:02.000000000Z \x1b[31mERROR | 2026-01-01 00:00:02,000 | p.writer | fails\x1b[0m",
        ]

    def follow_operator_logs(self, name: str, **options: Any) -> Iterator[str]:
        self.asked.append((name, options))
        if name == "p.broken":
            raise ValueError("no such pod")
        yield from list(self.lines)


def test_lines_of_containers_are_told_once_though_a_container_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pypz.sniffer.sources.logs.FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr("pypz.sniffer.sources.logs.LONGEST_PAUSE_S", 0.01)
    containers: Any = Containers()
    book = LogBook("p")
    feed = PodFeed(book, containers)
    feed.follow(["p.writer", "p.broken"])
    wait_for(lambda: len([name for name, _ in containers.asked if name == "p.writer"]) >= 3)
    containers.lines.append("2026-01-01T00:00:03.000000000Z after the restart")
    wait_for(lambda: len(book.lines()) == 3)
    assert [(line.level, line.at_utc) for line in book.lines()] == [
        ("INFO", 1767225601.0),
        ("ERROR", 1767225602.0),
        ("INFO", 1767225603.0),
    ]
    assert texts(book)[1] == "2026-01-01 00:00:02,000 | p.writer | fails"
    assert book.notice == "p.broken: no lines of its container: no such pod"
    feed.close()


def test_of_many_members_the_first_containers_are_followed_and_that_is_told() -> None:
    containers: Any = Containers()
    book = LogBook("p")
    feed = PodFeed(book, containers)
    feed.follow([f"p.writer_{number}" for number in range(100)])
    wait_for(lambda: len(containers.asked) >= 10)
    assert book.notice == "90 more members are not followed: select one"
    feed.follow(["p.writer_7"])
    assert book.notice == ""
    feed.close()
    assert {name for name, _ in containers.asked} == {f"p.writer_{number}" for number in range(10)}


# --- lines without a screen -------------------------------------------------------------------------------------------


def test_lines_are_written_once_and_only_of_the_newest_run_until_it_has_ended() -> None:
    model = PipelineModel("p", [PlannedOperator("p.writer", "p.writer", 0, 0)])
    book = LogBook("p")
    book.take(record(1, "of an old run", run="r0", start="old"))
    written: list[str] = []
    notices: list[str] = []
    writer = LineWriter(model, book, LogFilter("WARNING"), written.append, as_json=True)
    thread = threading.Thread(target=lambda: writer.run(notices.append))
    thread.start()
    model.pipeline_started(PipelineRef("p", "r1"))
    book.take(record(2, "slow", level="WARNING"))
    wait_for(lambda: len(written) == 1)
    book.take(record(1, "earlier", level="ERROR"))
    book.take(record(3, "not wanted"))
    book.take(record(6, "last", level="WARNING"))
    wait_for(lambda: len(written) == 3)
    model.pipeline_finished(PipelineRef("p", "r1"), "finished")
    thread.join(20)
    assert not thread.is_alive()
    assert [(found["text"], found["number"], found["run"]) for found in map(json.loads, written)] == [
        ("slow", 2, "r1"),
        ("earlier", 1, "r1"),
        ("last", 6, "r1"),
    ]
    assert notices == ["2 lines were lost on the way"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--level", "ERROR"], "--level and --grep say which log lines; add --logs"),
        (["--grep", "x"], "--level and --grep say which log lines; add --logs"),
        (["--logs", "--level", "loud"], "--level 'loud': expected DEBUG, INFO, WARNING or ERROR"),
        (["--logs", "--once"], "--logs and --once exclude each other; leave one out"),
        (["--logs", "--web"], "--logs and --web exclude each other; leave one out"),
    ],
)
def test_options_about_lines_that_make_no_sense_are_refused(options: list[str], words: str, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(sniff)
    result = CliRunner().invoke(app, [f"local:{tmp_path}", *options])
    assert result.exit_code == 1
    assert words in " ".join(result.stderr.split())


# --- the pane ---------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def logs_pane(size: tuple[int, int] = (100, 20)) -> AsyncIterator[tuple[SnifferApp, LogsPane, Pilot[None]]]:
    members = [PlannedOperator(f"p.{name}", f"p.{name}", 0, level) for level, name in enumerate(("writer", "reader"))]
    model = PipelineModel("p", members)
    model.pipeline_started(PipelineRef("p", "r1"))
    app = SnifferApp(model, Talk("p"))
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        await pilot.press("l")
        await pilot.pause()
        pane = app.pane("logs")
        assert isinstance(pane, LogsPane)
        yield app, pane, pilot


def what(pane: LogsPane) -> str:
    return str(pane.query_one("#what", Static).content)


async def until(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await pilot.pause(0.02)


def fill(pane: LogsPane, count: int = 3) -> None:
    for number in range(1, count + 1):
        pane._streams.take(record(number, f"line {number}"))
    pane._streams.take(record(1, "disk is slow", "p.reader", "WARNING"))
    pane._streams.take(record(2, "failed\nTraceback\n  here", "p.reader", "ERROR"))


async def test_lines_say_when_how_grave_and_whose_they_are() -> None:
    async with logs_pane() as (_, pane, pilot):
        assert what(pane) == "0 lines · all operators · all levels · following"
        fill(pane)
        await until(pilot, lambda: len(pane.view.rows) == 7)
        rows = [row[9:] for row in pane.view.rows]
        assert rows == [
            "INFO    writer line 1",
            "INFO    writer line 2",
            "INFO    writer line 3",
            "WARNING reader disk is slow",
            "ERROR   reader failed",
            "               Traceback",
            "                 here",
        ]
        assert what(pane) == "5 lines · all operators · all levels · following"


async def test_unchanged_lines_are_not_drawn_again() -> None:
    async with logs_pane() as (app, pane, pilot):
        fill(pane)
        await until(pilot, lambda: len(pane.view.rows) == 7)
        await pilot.pause(0.3)
        before = pane.view.rows_drawn
        for _ in range(5):
            app._tick()
            pane._look()
            await pilot.pause()
        assert pane.view.rows_drawn == before


async def test_v_leaves_lower_levels_out_and_c_brings_them_back() -> None:
    async with logs_pane() as (_, pane, pilot):
        fill(pane)
        shown = []
        for _ in range(3):
            await pilot.press("v")
            shown.append((what(pane).partition(" · ")[0], what(pane).split(" · ")[2]))
        assert shown == [("2 lines", "WARNING and above"), ("1 line", "errors"), ("5 lines", "all levels")]
        await pilot.press("v", "v", "c")
        assert what(pane) == "5 lines · all operators · all levels · following"


async def test_slash_shows_lines_with_a_text_only() -> None:
    async with logs_pane() as (_, pane, pilot):
        fill(pane)
        await pilot.press("slash", *"DISK", "enter")
        assert [row.split()[-1] for row in pane.view.rows] == ["slow"]
        assert what(pane) == "1 line · all operators · all levels · with 'DISK' · following"
        await pilot.press("c")
        assert len(pane.view.rows) == 7


async def test_a_shows_lines_of_what_is_selected_and_brackets_go_to_the_others() -> None:
    async with logs_pane() as (app, pane, pilot):
        fill(pane)
        await pilot.press("a")
        assert app.picture.selection.group == "p.writer"
        assert what(pane) == "3 lines · writer · all levels · following"
        await pilot.press("right_square_bracket")
        assert what(pane) == "2 lines · reader · all levels · following"
        await pilot.press("left_square_bracket")
        assert what(pane) == "3 lines · writer · all levels · following"
        await pilot.press("a")
        assert what(pane).startswith("5 lines · all operators")


async def test_new_lines_are_followed_until_somebody_scrolls_up() -> None:
    async with logs_pane() as (_, pane, pilot):
        fill(pane, 100)
        await until(pilot, lambda: len(pane.view.rows) == 104)
        assert pane.view.scroll_offset.y == pane.view.max_scroll_y > 0
        await pilot.press("up", "up", "up")
        await until(pilot, lambda: not pane.view.is_following)
        here = pane.view.scroll_offset.y
        pane._streams.take(record(101))
        await until(pilot, lambda: len(pane.view.rows) == 105)
        assert pane.view.scroll_offset.y == here
        assert "not following (space, End)" in what(pane)
        await pilot.press("space")
        await until(pilot, lambda: pane.view.scroll_offset.y == pane.view.max_scroll_y)
        pane._streams.take(record(102))
        await until(pilot, lambda: len(pane.view.rows) == 106)
        await pilot.press("v")
        await until(pilot, lambda: len(pane.view.rows) == 4)
        await pilot.press("c")
        await until(pilot, lambda: len(pane.view.rows) == 106)
        assert pane.view.is_following
        await until(pilot, lambda: pane.view.scroll_offset.y == pane.view.max_scroll_y)


async def test_w_wraps_long_lines_and_cuts_them_again() -> None:
    async with logs_pane() as (_, pane, pilot):
        pane._streams.take(record(1, "word " * 60))
        await until(pilot, lambda: len(pane.view.rows) == 1)
        await pilot.press("w")
        assert len(pane.view.rows) > 3
        assert " ".join(row[24:].strip() for row in pane.view.rows).split() == ["word"] * 60
        await pilot.press("w")
        assert len(pane.view.rows) == 1


async def test_lines_of_an_earlier_run_are_not_shown_and_control_characters_do_no_harm() -> None:
    async with logs_pane() as (_, pane, pilot):
        pane._streams.take(record(1, "old", run="r0", start="old"))
        pane._streams.take(record(1, "a\x1b[2Jb\x07"))
        await until(pilot, lambda: len(pane.view.rows) == 1)
        assert pane.view.rows[0].endswith("a\N{REPLACEMENT CHARACTER}[2Jb\N{REPLACEMENT CHARACTER}")


async def test_what_was_lost_is_told_and_s_rings_where_nothing_is_deployed() -> None:
    async with logs_pane() as (_, pane, pilot):
        pane._streams.take(record(1))
        pane._streams.take(record(4))
        notice = pane.query_one("#missing", Static)
        await until(pilot, lambda: str(notice.content) == "2 lines were lost on the way")
        assert notice.display
        await pilot.press("s")
        assert "of containers" not in what(pane)


async def test_lines_are_fetched_only_while_they_are_shown() -> None:
    async with logs_pane() as (_, pane, pilot):
        await until(pilot, lambda: pane._feed is not None)
        await pilot.press("escape")
        await until(pilot, lambda: pane._feed is None)
        await pilot.press("l")
        await until(pilot, lambda: pane._feed is not None)


async def test_a_run_in_this_process_is_seen_line_by_line() -> None:
    model = PipelineModel("p", [PlannedOperator("p.talker", "p.talker", 0, 0)])
    model.pipeline_started(PipelineRef("p", "r1"))
    pipeline = Talk("p")
    app = SnifferApp(model, pipeline)
    async with app.run_test(size=(100, 20)) as pilot:
        await pilot.press("l")
        pane = app.pane("logs")
        assert isinstance(pane, LogsPane)
        await until(pilot, lambda: pane._feed is not None)
        await asyncio.to_thread(lambda: PipelineExecutor(pipeline).start())
        await until(pilot, lambda: "hello 2" in texts(pane._streams))
        run = next(line.run for line in pane._streams.lines() if line.text == "hello 2")
        model.pipeline_started(PipelineRef("p", run))
        await until(pilot, lambda: any("talker hello 2" in row for row in pane.view.rows))
