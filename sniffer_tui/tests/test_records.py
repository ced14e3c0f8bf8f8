"""Looking into channels: the latest records first, then what comes; nothing of the pipeline's is touched."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from sniffer_tui.tests.project.sniffed_pipelines import NUMBER, Quiet, Reader, TwoSteps
from sniffer_tui.tests.test_app import until
from textual.pilot import Pilot
from textual.widgets import Static

from pypz.abstracts.channel_ports import ChannelOutputPort
from pypz.core.channels.runs.retiring import places_of
from pypz.core.channels.spi import ReadsBack
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.sniffer.model.frames import Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import plan_of, reachable_locations
from pypz.sniffer.screen.app import SnifferApp
from pypz.sniffer.screen.panes.records import RecordsPane, Sheet
from pypz.sniffer.sources import records as module
from pypz.sniffer.sources.records import Records, Tail

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")


class Source(Quiet):
    """Sends so many records at once, then one for each byte of the file ``more``, and ends with it when that says so."""

    more = OptionalParameter(str)
    first = OptionalParameter(int)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.more = ""
        self.first = 10
        self.out = ChannelOutputPort(schema=NUMBER)
        self.sent = 0

    def _on_running(self) -> bool:
        told = Path(self.more).read_text()
        due = self.first + len(told)
        if self.sent < due:
            self.out.send([{"value": value} for value in range(self.sent, due)])
            self.sent = due
        threading.Event().wait(0.02)
        return told.endswith("!")


class Late(Reader):
    """Takes nothing before the writer is told to end: local files forget what was taken."""

    more = OptionalParameter(str)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.more = ""

    def _on_running(self) -> bool | None:
        if Path(self.more).read_text().endswith("!"):
            return super()._on_running()
        threading.Event().wait(0.02)
        return False


class Growing(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Source()
        self.reader = Late()
        self.reader.inp.connect(self.writer.out)


class Run:
    """A pipeline that runs in this process, over local files."""

    def __init__(self, tmp_path: Path, first: int, name: str = "grows", location: str = "", **ports: Any) -> None:
        self.more = tmp_path / "more"
        self.more.write_text("")
        self.pipeline = Growing(name)
        self.pipeline.set_parameter(">>channelLocation", location or f"local:{tmp_path}/channels")
        self.pipeline.set_parameter(">more", str(self.more))
        for parameter, value in ports.items():
            self.pipeline.set_parameter(f">>{parameter}", value)
        self.pipeline.writer.set_parameter("first", first)
        self.thread = threading.Thread(target=PipelineExecutor(self.pipeline).start)
        self.thread.start()

    def end(self, timeout_s: float = 30) -> None:
        with self.more.open("a") as file:
            file.write("!")
        self.thread.join(timeout_s)
        assert not self.thread.is_alive()


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    made = Run(tmp_path, getattr(request, "param", 10))
    yield made
    if made.thread.is_alive():
        made.end()


def wait_for(look: Callable[[], bool], timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not look():
        assert time.monotonic() < deadline
        pause.wait(0.02)


def values(tail: Tail) -> list[int]:
    return [seen.record["value"] for seen in tail.records]


def looking(run: Run, *, from_first: bool = False) -> Records:
    name = run.pipeline.get_full_name()
    made = Records(f"{name}.reader.inp", name, reachable_locations(run.pipeline), from_first=from_first)
    made.start()
    return made


def groups_at(run: Run) -> list[str]:
    """Members that the status stream knows, and positions that stand committed."""
    with places_of(PluginHost.default(), run.pipeline) as places:
        return sorted(key for place in places for key in place.stream.facts() if key.startswith("joined"))


def test_what_is_there_is_shown_and_then_what_comes_and_closing_ends_the_thread(run: Run) -> None:
    wait_for(lambda: bool(groups_at(run)))
    joined = groups_at(run)
    looked = looking(run)
    wait_for(lambda: looked.tail().is_caught_up and values(looked.tail()) == list(range(10)))
    run.more.write_text("xxx")
    wait_for(lambda: values(looked.tail()) == list(range(13)))
    assert looked.tail().records[0].channel == "grows.reader.inp"
    assert groups_at(run) == joined
    looked.close()
    assert looked.join(10)


@pytest.mark.parametrize("run", [2000], indirect=True)
def test_of_many_records_the_latest_are_kept_and_the_others_counted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT_RECORDS", 40)
    looked = looking(run)
    wait_for(lambda: looked.tail().is_caught_up)
    for count in range(3):
        run.more.write_text("x" * (count + 1))
        wait_for(lambda count=count: values(looked.tail())[-1:] == [2000 + count])  # type: ignore[misc]
    tail = looked.tail()
    assert values(tail) == list(range(2003 - 40, 2003))
    assert tail.passed + tail.first == 2003 - 40
    looked.close()
    assert looked.join(10)


READ_BACK = sum(module.LOOKS_BACK)
"""Blocks of a partition that are read at most before the latest records are shown."""


def test_of_a_long_channel_only_its_end_is_read_and_its_beginning_when_asked_for(tmp_path: Path) -> None:
    run = Run(tmp_path, 3000, framing="record")
    try:
        wait_for(lambda: blocks_at(run) == 3000)
        latest = looking(run)
        wait_for(lambda: latest.tail().is_caught_up)
        tail = latest.tail()
        assert values(tail) == list(range(2500, 3000))
        assert (tail.before, tail.passed, tail.is_from_first) == (2500, 0, False)
        assert latest.blocks_read <= READ_BACK
        begin, end = tail.ranges[0]
        assert int(end) - int(begin) == 499
        run.more.write_text("xx")
        wait_for(lambda: values(latest.tail()) == list(range(2502, 3002)))
        latest.close()

        first = looking(run, from_first=True)
        wait_for(lambda: first.tail().is_caught_up)
        assert values(first.tail()) == list(range(500))
        first.more()
        wait_for(lambda: values(first.tail()) == list(range(250, 750)))
        assert first.tail().is_from_first
        assert first.blocks_read < 800
        first.close()
        assert latest.join(10)
        assert first.join(10)
    finally:
        run.end()


@pytest.mark.broker
@pytest.mark.skipif(not BOOTSTRAP, reason="needs a Kafka broker: set KAFKA_BOOTSTRAP=host:port")
def test_of_200_000_records_on_kafka_some_500_a_partition_are_read_and_no_group_is_joined(tmp_path: Path) -> None:
    name, location = f"sniffed_{uuid.uuid4().hex[:8]}", f"kafka://{BOOTSTRAP}"
    run = Run(tmp_path, 200_000, name, location, framing="record", partitions=3)
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    try:
        wait_for(lambda: run.pipeline.writer.sent == 200_000, 120)
        wait_for(lambda: blocks_at(run) >= 200_000, 60)
        groups = groups_of(admin, name)
        latest = looking(run)
        wait_for(lambda: latest.tail().is_caught_up, 60)
        tail = latest.tail()
        assert len(tail.records) == 498  # a third of 500 of each
        assert max(values(tail)) == 199_999
        for partition in range(3):
            shown = [seen.record["value"] for seen in tail.records if seen.partition == partition]
            assert (len(shown), sorted(shown)) == (166, shown)
        assert latest.blocks_read <= 3 * READ_BACK
        assert tail.before >= 200_000 - 3 * 500
        assert sorted(tail.ranges) == [0, 1, 2]
        run.more.write_text("x")
        wait_for(lambda: 200_000 in values(latest.tail()))
        latest.close()

        first = looking(run, from_first=True)
        wait_for(lambda: first.tail().is_caught_up, 60)
        firsts = {position for position, _ in first.tail().ranges.values()}
        assert (len(first.tail().records), firsts) == (500, {"0"})
        assert first.blocks_read <= 3 * 500
        first.close()
        assert groups_of(admin, name) == groups
        assert latest.join(10)
        assert first.join(10)
    finally:
        run.end(120)
        transport = PluginHost.default().make_transport(location, {})
        transport.delete_status(name, 30)
        transport.close()


def blocks_at(run: Run) -> int:
    """Blocks that are in the channel now."""
    name = f"{run.pipeline.get_full_name()}.reader.inp"
    [(location, options)] = reachable_locations(run.pipeline)
    with contextlib.closing(PluginHost.default().make_transport(location, options)) as transport:
        info = transport.describe_channel(name)
        if info is None:
            return 0
        reader = transport.observe(info)
        assert isinstance(reader, ReadsBack)
        return sum(reader.seek_back(0).values())


def groups_of(admin: AdminClient, name: str) -> set[str]:
    listed = admin.list_consumer_groups().result(30)
    return {group.group_id for group in listed.valid if name in group.group_id}


def test_records_of_a_channel_that_a_run_has_deleted_stay_and_the_next_run_s_follow(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUIET_LOOK_S", 0.1)
    looked = looking(run)
    wait_for(lambda: values(looked.tail()) == list(range(10)))
    run.end()
    wait_for(lambda: "now; these are its last records" in looked.tail().notice)
    assert values(looked.tail())[:10] == list(range(10))
    again = Run(tmp_path, 3)
    wait_for(lambda: values(looked.tail()) == list(range(3)) and not looked.tail().notice)
    again.end()
    looked.close()
    assert looked.join(10)


def test_a_channel_that_is_not_there_and_a_location_that_does_not_answer_are_told(tmp_path: Path) -> None:
    absent = Records("no.such.channel", "no", [(f"local:{tmp_path}", {})])
    absent.start()
    wait_for(lambda: f"no channel no.such.channel at local:{tmp_path}" in absent.tail().notice)
    strange = Records("no.such.channel", "no", [("memory:", {})])
    strange.start()
    wait_for(lambda: "no records from there, trying again" in strange.tail().notice)
    for one in (absent, strange):
        one.close()
        assert one.join(10)


# --- the pane ---------------------------------------------------------------------------------------------------------


def sheet(app: SnifferApp) -> list[str]:
    return app.screen_stack[0].query_one(Sheet).lines.plain.splitlines()


def heading(app: SnifferApp) -> str:
    return str(app.screen_stack[0].query_one("#channel", Static).content)


def last_value(app: SnifferApp) -> str:
    return sheet(app)[-1].split()[-1] if len(sheet(app)) > 1 else ""


async def write(pilot: Pilot[None], text: str) -> None:
    for letter in text:
        await pilot.press({">": "greater_than_sign", "=": "equals_sign", ",": "comma"}.get(letter, letter))
    await pilot.press("enter")


async def test_the_keys_of_the_records_pane(run: Run) -> None:
    model = PipelineModel("grows", plan_of(run.pipeline))
    app = SnifferApp(model, run.pipeline, reachable_locations(run.pipeline))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("down", "r")
        await until(pilot, lambda: last_value(app) == "9")
        assert "follows  10 of 10 kept" in heading(app)
        assert sheet(app)[0].split() == ["part", "position", "value"]

        await pilot.press("up")
        await until(pilot, lambda: "held at 8" in heading(app))
        run.more.write_text("xx")
        await until(pilot, lambda: "12 of 12 kept" in heading(app))
        assert "held at 8" in heading(app)
        await pilot.press("enter")
        await until(pilot, lambda: '"value": 8' in str(app.screen_stack[0].query_one("#whole", Static).content))
        await pilot.press("home")
        await until(pilot, lambda: "held at 0" in heading(app))
        await pilot.press("end")
        await until(pilot, lambda: "follows" in heading(app) and last_value(app) == "11")
        await pilot.press("space")
        await until(pilot, lambda: "held at 11" in heading(app))
        await pilot.press("space", "pageup")
        await until(pilot, lambda: "held at" in heading(app))
        await pilot.press("pagedown")
        await until(pilot, lambda: "follows" in heading(app))

        await pilot.press("s")
        below = app.screen_stack[0].query_one("#whole", Static)
        await until(pilot, lambda: '"name": "Number"' in str(below.content))
        await pilot.press("s")
        await until(pilot, lambda: not below.has_class("shown"))

        await pilot.press("b")
        await until(pilot, lambda: "from the first, at 0" in heading(app) and last_value(app) == "11")
        await pilot.press("down")
        await until(pilot, lambda: "from the first, at 1" in heading(app))
        await pilot.press("b")
        await until(pilot, lambda: "follows" in heading(app) and last_value(app) == "11")

        await pilot.press("w")
        await write(pilot, "value>=10")
        await until(pilot, lambda: "2 of 12 kept" in heading(app) and "where value>=10" in heading(app))
        await pilot.press("w")
        app.screen_stack[0].query_one("#where").value = ""  # type: ignore[attr-defined]
        await pilot.press("enter", "c")
        await write(pilot, "other")
        await until(pilot, lambda: sheet(app)[0].split() == ["part", "position", "other"])

        pane = app.pane("records")
        assert isinstance(pane, RecordsPane)
        reading = pane._records
        assert reading is not None
        await pilot.press("escape")
        await until(pilot, lambda: pane._records is None)
        assert reading.join(10)


async def test_the_schema_is_shown_where_no_class_of_the_pipeline_is_installed(run: Run) -> None:
    text = str(run.pipeline).replace("sniffer_tui.tests.test_records:", "project_elsewhere:")
    mocked = Pipeline.create_from_string(text.replace("pypz.abstracts.", "elsewhere."), mock_nonexistent=True)
    app = SnifferApp(PipelineModel("grows", plan_of(mocked)), mocked, reachable_locations(run.pipeline))
    async with app.run_test(size=(120, 40)) as pilot:
        app.select(Selection("grows.reader", port="inp"))
        await pilot.press("r")
        await until(pilot, lambda: last_value(app) == "9")
        await pilot.press("s")
        below = app.screen_stack[0].query_one("#whole", Static)
        await until(pilot, lambda: below.has_class("shown") and '"type": "long"' in str(below.content))


async def test_an_operator_without_channel_says_so() -> None:
    model = PipelineModel("p", [])
    model.run_known("p", "r1", {"p.lone": 1}, 0.0)
    app = SnifferApp(model, TwoSteps("p"))
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: "select a port" in "".join(sheet(app)))


def test_a_record_of_any_kind_makes_a_line() -> None:
    from pypz.cli.peeking import Seen
    from pypz.sniffer.wording.sheet import joined, table_of

    nested = Seen("c", 0, "7", 1, "w", "r", {"a": {"b": 1}, "text": "two\nlines"})
    names, cells = table_of([nested, Seen("c", 0, "8", 0, "w", "r", "plain")], [])
    assert names == [" part", "position", "a", "text"]
    assert cells[0] == [" 0", "7+1", json.dumps({"b": 1}), "two\nlines"]
    assert joined(cells[0], [5, 8, 6, 9]).split("  ")[-1] == "two·lines"
    assert table_of([nested], ["a.b"])[1][0][-1] == "1"
