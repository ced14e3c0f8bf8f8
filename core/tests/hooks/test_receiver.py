"""The receiver and what changes during a run: later generations of the roster, and figures of members that were killed."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.roster import roster_key
from pypz.core.channels.spi import StatusStream
from pypz.core.hooks.events import ChannelStatus, OperatorRef, PortRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.receiver import Receiver, RunInfo

FIRST = {"pipe.reader": 1, "pipe.writer": 2}


def pack(**values: Any) -> bytes:
    return json.dumps({"v": 1, **values}).encode()


def status(records: int, start: str = "start1", run: str = "run1") -> ChannelStatus:
    operator = OperatorRef("pipe", run, "pipe.reader", 0, start)
    return ChannelStatus(PortRef(operator, "in", "in", ("pipe.reader.in",)), "pipe.reader.in", "open", records, 1, 10)


class Viewer:
    """A receiver with what it told; streams are memory, one a location."""

    def __init__(self, observer: Any, *streams: StatusStream, from_kept: bool = False) -> None:
        self.host = PluginHost(load=False)
        self.host.register(observer)
        self.observer = observer
        self.runs: list[RunInfo] = []
        self.rescaled: list[RunInfo] = []
        self.alive: list[str] = []
        self.receiver = Receiver(
            streams,
            self.host,
            on_new_run=self.runs.append,
            on_rescaled=self.rescaled.append,
            on_alive=lambda name, start, moment: self.alive.append(name),
            from_kept=from_kept,
        )

    def until(self, look: Callable[[], bool]) -> None:
        deadline, pause = time.monotonic() + 10, threading.Event()
        while not look():
            assert time.monotonic() < deadline, (self.runs, self.rescaled, self.observer.told)
            pause.wait(0.01)
        assert self.host.flush(10)

    def records(self) -> list[int]:
        assert self.host.flush(10)
        return [entry[1].records for entry in self.observer.told if entry[0] == "channel_status"]


@pytest.fixture
def places() -> Iterator[tuple[MemoryTransport, MemoryTransport]]:
    made = MemoryTransport(f"a-{time.monotonic_ns()}", {}), MemoryTransport(f"b-{time.monotonic_ns()}", {})
    yield made
    for transport in made:
        transport.close()


@pytest.fixture
def view(observer: Any) -> Iterator[Callable[..., Viewer]]:
    opened: list[Viewer] = []

    def make(*streams: StatusStream, **more: Any) -> Viewer:
        opened.append(Viewer(observer, *streams, **more))
        return opened[-1]

    yield make
    for viewer in opened:
        viewer.receiver.close()
        viewer.host.close()


def open_run(stream: StatusStream, run: str = "run1", started_utc: float = 5.0) -> None:
    stream.put_first(f"run/{run}", pack(run=run, pipeline="pipe", generation=0, groups=FIRST, started_utc=started_utc))


def rescale(stream: StatusStream, generation: int, run: str = "run1", **groups: int) -> None:
    sizes = {**FIRST, **{f"pipe.{name}": size for name, size in groups.items()}}
    stream.put_first(roster_key(run, generation), pack(run=run, generation=generation, groups=sizes))


def test_later_generations_are_told_while_the_run_goes_on(
    places: tuple[MemoryTransport, MemoryTransport], view: Callable[..., Viewer]
) -> None:
    ours = places[0].open_status("pipe", True)
    viewer = view(places[0].open_status("pipe", False))
    open_run(ours)
    viewer.until(lambda: bool(viewer.runs))
    assert (viewer.runs[0].groups, viewer.runs[0].largest, viewer.runs[0].generation) == (FIRST, FIRST, 0)
    rescale(ours, 1, reader=4)
    viewer.until(lambda: len(viewer.rescaled) == 1)
    rescale(ours, 1, run="another", reader=9)
    rescale(ours, 2, reader=2)
    viewer.until(lambda: len(viewer.rescaled) == 2)
    assert [info.groups["pipe.reader"] for info in viewer.rescaled] == [4, 2]
    assert viewer.rescaled[-1].largest == {"pipe.reader": 4, "pipe.writer": 2}
    assert viewer.receiver.run == viewer.rescaled[-1]
    assert viewer.rescaled[-1].generation == 2
    assert len(viewer.runs) == 1


def test_of_two_runs_opened_side_by_side_the_one_that_stands_is_told(
    places: tuple[MemoryTransport, MemoryTransport], view: Callable[..., Viewer]
) -> None:
    ours = places[0].open_status("pipe", True)
    viewer = view(places[0].open_status("pipe", False))
    open_run(ours, "run1")
    open_run(ours, "run2")
    viewer.until(lambda: bool(viewer.runs) and viewer.runs[-1].run == "run2")
    ours.put("run/run2", None)
    viewer.until(lambda: viewer.runs[-1].run == "run1")
    assert viewer.receiver.run == viewer.runs[-1]
    ours.put("run/run1", None)  # nothing stands any more: what was seen last stays
    open_run(ours, "run3")
    viewer.until(lambda: viewer.runs[-1].run == "run3")
    assert [info.run for info in viewer.runs][-3:] == ["run2", "run1", "run3"]


def test_who_comes_later_gets_the_newest_generation_at_once(
    places: tuple[MemoryTransport, MemoryTransport], view: Callable[..., Viewer]
) -> None:
    ours = places[0].open_status("pipe", True)
    open_run(ours)
    for generation, size in enumerate((3, 10, 2), 1):
        rescale(ours, generation, reader=size)
    ours.put(roster_key("run1", 4), b"\xff no JSON")
    ours.put(roster_key("run1", 5), pack(run="run1", groups={"pipe.reader": "many"}))
    viewer = view(places[0].open_status("pipe", False))
    viewer.until(lambda: bool(viewer.runs))
    [info] = viewer.runs
    assert (info.groups["pipe.reader"], info.largest["pipe.reader"], info.generation) == (2, 10, 3)
    assert viewer.receiver.corrupt == 2
    assert viewer.rescaled == []


def test_each_location_counts_its_own_generations_and_the_group_follows_those_that_tell_of_it(
    places: tuple[MemoryTransport, MemoryTransport], view: Callable[..., Viewer]
) -> None:
    """The reader has ports at both, the writer at the first alone: the second never hears of the writer's other size."""
    first, second = (place.open_status("pipe", True) for place in places)
    viewer = view(*(place.open_status("pipe", False) for place in places))
    for stream in (first, second):
        open_run(stream)
    rescale(first, 1, writer=5)
    rescale(first, 2, writer=5, reader=3)
    rescale(second, 1, reader=3)
    sizes = {"pipe.reader": 3, "pipe.writer": 5}
    viewer.until(lambda: viewer.receiver.run is not None and viewer.receiver.run.groups == sizes)
    assert viewer.receiver.run is not None
    assert viewer.receiver.run.generation == 2


def test_a_new_run_has_a_roster_of_its_own(
    places: tuple[MemoryTransport, MemoryTransport], view: Callable[..., Viewer]
) -> None:
    ours = places[0].open_status("pipe", True)
    open_run(ours)
    rescale(ours, 1, reader=4)
    viewer = view(places[0].open_status("pipe", False))
    viewer.until(lambda: bool(viewer.runs))
    open_run(ours, "run2", 6.0)
    ours.put(roster_key("run1", 1), None)
    viewer.until(lambda: len(viewer.runs) == 2)
    assert [info.groups["pipe.reader"] for info in viewer.runs] == [4, 1]
    assert viewer.rescaled == []


def test_a_viewer_that_comes_late_is_told_the_last_figures_and_no_sign_of_life(
    places: tuple[MemoryTransport, MemoryTransport], view: Callable[..., Viewer]
) -> None:
    ours = places[0].open_status("pipe", True)
    open_run(ours)
    key = "status/pipe.reader/in/pipe.reader.in"
    ours.put(key, pack(**status(1184).to_json()))
    for records in (1200, 1220):
        ours.beat(key, pack(**status(records).to_json()))
    ours.beat("alive/1", pack(run="run1", members={"pipe.reader": "start1"}))
    ours.beat("status/pipe.reader/in/pipe.old.in", pack(**status(9, run="run0").to_json()))
    viewer = view(places[0].open_status("pipe", False), from_kept=True)
    viewer.until(lambda: viewer.records()[-1:] == [1220])
    assert viewer.alive == []
    ours.beat("alive/1", pack(run="run1", members={"pipe.reader": "start1"}))
    viewer.until(lambda: bool(viewer.alive))
    assert viewer.alive == ["pipe.reader"]
    assert viewer.records()[-1] == 1220
