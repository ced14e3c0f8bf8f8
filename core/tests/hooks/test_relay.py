"""Relay and receiver, each alone and over a status stream in memory."""

import dataclasses
import itertools
import json
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import Member, StatusEntry, StatusStream
from pypz.core.commons.errors import TransportError
from pypz.core.hooks import relay as relay_module
from pypz.core.hooks.events import (
    ChannelStatus,
    ErrorInfo,
    LogRecord,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.receiver import Receiver, RunInfo
from pypz.core.hooks.relay import Relay
from pypz.core.hooks.spec import hookimpl


def operator(run: str = "run1", start: str = "start1", name: str = "pipe.reader") -> OperatorRef:
    return OperatorRef("pipe", run, name, 0, start)


def port(of: OperatorRef) -> PortRef:
    return PortRef(of, "input", "in", ("pipe.reader.input",))


def status(of: OperatorRef, records: int, at_utc: float = 1.0) -> ChannelStatus:
    return ChannelStatus(port(of), "pipe.reader.input", "open", records, 1, 10, at_utc=at_utc)


def wait_for(look: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    pause = threading.Event()
    while not look():
        assert time.monotonic() < deadline, "not within 10 s"
        pause.wait(0.01)


class Stream:
    """A status stream that fails when told to, and counts."""

    def __init__(self) -> None:
        self.written: list[tuple[str, str, dict[str, Any]]] = []
        self.times: dict[str, list[float]] = defaultdict(list)
        self.failing = threading.Event()
        self.refused = threading.Event()

    def put(self, key: str, value: bytes | None) -> None:
        if self.failing.is_set():
            self.refused.set()
            raise TransportError("broker away")
        self.written.append(("fact", key, json.loads(value or b"")))

    def beat(self, key: str, value: bytes) -> None:
        self.times[key].append(time.monotonic())
        self.written.append(("beat", key, json.loads(value)))

    def log(self, value: bytes) -> None:
        if self.failing.is_set():
            self.refused.set()
            raise TransportError("broker away")
        self.times["log"].append(time.monotonic())
        self.written.append(("log", "", json.loads(value)))

    def keys(self) -> list[str]:
        return [key for _, key, _ in self.written]

    def join(self, member: Member, value: bytes) -> int:
        raise AssertionError("the relay never joins")

    def put_first(self, key: str, value: bytes) -> bytes:
        raise AssertionError("the relay opens no run")

    def facts(self) -> Mapping[str, StatusEntry]:
        raise AssertionError("the relay reads nothing")

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        raise AssertionError("the relay reads nothing")

    def wake(self) -> None: ...

    def close(self) -> None:
        raise AssertionError("the stream is not the relay's")


# --- relay ------------------------------------------------------------------------------------------------------------


def test_no_state_is_lost_where_only_the_newest_value_is_kept(host: PluginHost) -> None:
    states = ["StateEntry", "StateServiceStart", "StateResourceCreation", "StateKilled"]
    stream = Stream()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    for start in ("s1", "s2"):
        for old, new in zip(["", *states], states, strict=False):
            host.operator_state_changed(operator(start=start), old, new)
    assert host.flush(10)
    assert relay.close(10)
    ways = [
        (value["operator"]["start"], value["way"]) for _, key, value in stream.written if key == "state/pipe.reader"
    ]
    assert ways[-1] == ("s2", states)
    assert all(way == states[: len(way)] for _, way in ways)


def test_states_become_facts_and_figures_beats(host: PluginHost) -> None:
    stream = Stream()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    host.operator_state_changed(operator(), "StateEntry", "StateServiceStart")
    host.port_opened(port(operator()))
    host.channel_status(status(operator(), 5))
    host.operator_failed(operator(), "StateOperationInit", ErrorInfo("ValueError", "no"))
    host.operator_finished(operator(), 114)
    assert host.flush(10)
    assert relay.close(10)
    written = {key: (kind, value) for kind, key, value in stream.written}
    assert {key: kind for key, (kind, _) in written.items()} == {
        "state/pipe.reader": "fact",
        "port/pipe.reader/input": "fact",
        "failed/pipe.reader": "fact",
        "exit/pipe.reader": "fact",
        "status/pipe.reader/input/pipe.reader.input": "beat",
    }
    state = written["state/pipe.reader"][1]
    assert (state["v"], state["old"], state["new"]) == (1, "StateEntry", "StateServiceStart")
    assert OperatorRef.from_json(state["operator"]) == operator()
    assert abs(state["at_utc"] - time.time()) < 60
    assert written["port/pipe.reader/input"][1]["open"] is True
    assert written["exit/pipe.reader"][1]["exit_code"] == 114
    assert ChannelStatus.from_json(written["status/pipe.reader/input/pipe.reader.input"][1]) == status(operator(), 5)


def test_other_runs_and_pipelines_are_left_alone(host: PluginHost) -> None:
    stream = Stream()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    host.operator_state_changed(operator(run="run0"), "", "StateKilled")
    host.operator_state_changed(OperatorRef("other", "run1", "other.o", 0, "s"), "", "StateKilled")
    host.channel_status(status(operator(run="run0"), 1))
    assert host.flush(10)
    assert relay.close(10)
    assert stream.written == []


def test_a_key_beats_at_most_twice_a_second_and_its_last_figure_arrives(host: PluginHost) -> None:
    stream = Stream()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    begun = time.monotonic()
    records = 0
    pause = threading.Event()
    while time.monotonic() - begun < 1.2:
        records += 1
        host.channel_status(status(operator(), records))
        pause.wait(0.01)
    assert host.flush(10)
    assert relay.close(10)
    (times,) = stream.times.values()
    assert 2 <= len(times) <= 4  # at 0, 0.5, 1.0 s and at close
    assert all(
        later - earlier >= 0.49 for earlier, later in itertools.pairwise(times[:-1])
    )  # at close it waits for nothing
    assert stream.written[-1][2]["records"] == records


def test_a_figure_that_stands_still_becomes_a_fact_once_and_the_last_one_at_once(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pypz.core.hooks.relay.STILL_S", 0.1)
    stream = Stream()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    pause = threading.Event()

    def told_in_time(records: int, count: int) -> list[str]:
        deadline = time.monotonic() + 10
        while True:
            kinds = [kind for kind, _, values in stream.written if values["records"] == records]
            if len(kinds) >= count or time.monotonic() > deadline:
                return kinds
            pause.wait(0.01)

    host.channel_status(status(operator(), 5))
    assert told_in_time(5, 2) == ["beat", "fact"]
    host.channel_status(status(operator(), 6))
    assert told_in_time(6, 1) == ["beat"]
    pause.wait(0.3)
    assert told_in_time(6, 1) == ["beat"], "the next fact of this key is not due yet"
    host.channel_status(dataclasses.replace(status(operator(), 7), state="closed"))
    assert sorted(told_in_time(7, 2)) == ["beat", "fact"]
    assert relay.close(10)


def test_a_stream_that_fails_gets_the_last_states_later_and_the_other_one_all_at_once(
    host: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Stream(), Stream()
    bad.failing.set()
    relay = Relay("pipe", "run1", [bad, good])
    host.register(relay)
    host.operator_state_changed(operator(), "", "StateServiceStart")
    assert bad.refused.wait(10)
    host.operator_finished(operator(), 0)
    host.operator_state_changed(operator(), "StateServiceStart", "StateKilled")
    assert host.flush(10)
    wait_for(
        lambda: (
            [value.get("new") for _, key, value in good.written if key == "state/pipe.reader"][-1:] == ["StateKilled"]
        )
    )
    assert bad.written == []
    bad.failing.clear()
    assert relay.close(10)
    assert sorted(bad.keys()) == ["exit/pipe.reader", "state/pipe.reader"]
    assert next(value for _, key, value in bad.written if key == "state/pipe.reader")["new"] == "StateKilled"
    assert capsys.readouterr().err.count("viewers in other processes may not see all") == 1


def line(of: OperatorRef, number: int) -> LogRecord:
    return LogRecord(of, "INFO", f"line {number}", ("pipe.reader",), 1.0, number)


def test_log_lines_go_into_a_stream_of_their_own_in_order(host: PluginHost) -> None:
    stream = Stream()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    for number in range(500):
        host.log(line(operator(), number))
    host.log(line(operator(run="other"), 0))
    assert host.flush(10)
    assert relay.close(10)
    assert [(kind, value["text"]) for kind, _, value in stream.written] == [("log", f"line {n}") for n in range(500)]
    assert LogRecord.from_json(stream.written[7][2]) == line(operator(), 7)


def test_of_too_many_log_lines_that_wait_the_oldest_are_lost_and_states_are_not(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "LOGS_AHEAD", 10)
    hold, begun = threading.Event(), threading.Event()

    class Slow(Stream):
        def put(self, key: str, value: bytes | None) -> None:
            begun.set()
            assert hold.wait(10)
            super().put(key, value)

    stream = Slow()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    host.operator_state_changed(operator(), "StateEntry", "StateServiceStart")
    assert begun.wait(10)
    for number in range(500):
        host.log(line(operator(), number))
    assert host.flush(10)
    hold.set()
    assert relay.close(10)
    assert [value["text"] for kind, _, value in stream.written if kind == "log"] == [
        f"line {n}" for n in range(490, 500)
    ]
    assert stream.keys().count("state/pipe.reader") == 1


def test_a_stream_that_keeps_no_log_lines_is_spared_them(host: PluginHost) -> None:
    class Former:
        """A third party's, of before there were log lines."""

        def __init__(self) -> None:
            self.written: list[str] = []

        def put(self, key: str, value: bytes | None) -> None:
            self.written.append(key)

        def beat(self, key: str, value: bytes) -> None:
            self.written.append(key)

    former: Any = Former()
    relay = Relay("pipe", "run1", [former])
    host.register(relay)
    host.log(line(operator(), 1))
    host.operator_finished(operator(), 0)
    assert host.flush(10)
    assert relay.close(10)
    assert former.written == ["exit/pipe.reader"]


def test_close_says_when_it_could_not_write_everything(host: PluginHost) -> None:
    stream = Stream()
    stream.failing.set()
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    host.operator_finished(operator(), 0)
    assert host.flush(10)
    assert not relay.close(0.2)
    for lane in relay._lanes:
        lane._thread.join(10)
        assert not lane._thread.is_alive()


# --- receiver ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def memory() -> Iterator[MemoryTransport]:
    transport = MemoryTransport(f"test-{time.monotonic_ns()}", {})
    yield transport
    transport.close()


def pack(**values: Any) -> bytes:
    return json.dumps({"v": 1, **values}).encode()


def open_run(stream: StatusStream, run: str, **more: Any) -> None:
    values = {"run": run, "pipeline": "pipe", "generation": 0, "groups": {"pipe.reader": 1}, "supersedes": None}
    values |= {"dto": "name: pipe", "host": "h", "process": 7, "started_utc": 5.0}
    stream.put_first(f"run/{run}", pack(**(values | more)))


class Viewer:
    """Receiver with what it told."""

    def __init__(self, observer: Any, *streams: StatusStream) -> None:
        self.host = PluginHost(load=False)
        self.observer = observer
        self.host.register(observer)
        self.runs: list[RunInfo] = []
        self.alive: list[tuple[str, str]] = []
        self.troubles: list[str] = []
        self.receiver = Receiver(
            streams,
            self.host,
            on_new_run=self.runs.append,
            on_alive=lambda name, start, moment: self.alive.append((name, start)),
            on_trouble=self.troubles.append,
        )

    def told(self, *hooks: str) -> list[tuple[object, ...]]:
        self.host.flush(10)
        return [entry for entry in self.observer.told if not hooks or entry[0] in hooks]

    def close(self) -> None:
        self.receiver.close()
        self.host.close()


@pytest.fixture
def view(observer: Any) -> Iterator[Callable[..., Viewer]]:
    opened: list[Viewer] = []

    def make(*streams: StatusStream) -> Viewer:
        opened.append(Viewer(observer, *streams))
        return opened[-1]

    yield make
    for viewer in opened:
        viewer.close()
        assert not any(thread.is_alive() for thread in viewer.receiver._threads)


def test_what_the_relay_writes_the_receiver_tells_again(
    host: PluginHost, memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    ours = memory.open_status("pipe", True)
    viewer = view(memory.open_status("pipe", False))
    open_run(ours, "run1")
    relay = Relay("pipe", "run1", [ours])
    host.register(relay)
    host.operator_state_changed(operator(), "StateEntry", "StateServiceStart")
    host.port_opened(port(operator()))
    host.channel_status(status(operator(), 5))
    host.operator_failed(operator(), "StateOperationInit", ErrorInfo("ValueError", "no"))
    host.operator_finished(operator(), 114)
    host.port_closed(port(operator()))
    assert host.flush(10)
    assert relay.close(10)
    ours.put("finished/run1", pack(run="run1", outcome="failed"))
    wait_for(lambda: bool(viewer.told("pipeline_finished")))
    told = viewer.told()
    assert told[0] == ("pipeline_started", PipelineRef("pipe", "run1"))
    assert told[-1] == ("pipeline_finished", PipelineRef("pipe", "run1"), "failed")
    assert ("operator_state_changed", operator(), "StateEntry", "StateServiceStart") in told
    assert ("operator_failed", operator(), "StateOperationInit", ErrorInfo("ValueError", "no")) in told
    assert ("operator_finished", operator(), 114) in told
    assert viewer.told("port_opened", "port_closed")[-1] == ("port_closed", port(operator()))
    assert ("channel_status", status(operator(), 5)) in told
    assert viewer.receiver.corrupt == 0
    assert viewer.runs[0].groups == {"pipe.reader": 1}
    assert viewer.runs[0].dto == "name: pipe"


def test_a_viewer_that_starts_after_the_end_sees_states_exits_and_final_counts(
    memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1")
    ours.put("state/pipe.reader", pack(operator=operator().to_json(), old="", new="StateKilled", at_utc=1.0))
    ours.put("closed/pipe.reader/0", pack(run="run1", start="start1", statuses=[status(operator(), 30).to_json()]))
    ours.put("finished/run1", pack(run="run1", outcome="finished"))
    ours.put("exit/pipe.reader", pack(operator=operator().to_json(), exit_code=0, at_utc=1.0))
    viewer = view(memory.open_status("pipe", False))
    wait_for(lambda: bool(viewer.told("pipeline_finished")))
    assert viewer.told() == [
        ("pipeline_started", PipelineRef("pipe", "run1")),
        ("operator_state_changed", operator(), "", "StateKilled"),
        ("channel_status", status(operator(), 30)),
        ("operator_finished", operator(), 0),
        ("pipeline_finished", PipelineRef("pipe", "run1"), "finished"),
    ]
    ours.beat("status/pipe.reader/input/pipe.reader.input", json.dumps(status(operator(), 29).to_json()).encode())
    ours.put("state/pipe.late", pack(operator=operator(name="pipe.late").to_json(), old="", new="x"))
    wait_for(lambda: len(viewer.told("operator_state_changed")) == 2)
    assert viewer.told("channel_status") == [("channel_status", status(operator(), 30))]


def test_states_that_a_newer_value_took_the_place_of_are_told_each_once(
    memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1")
    viewer = view(memory.open_status("pipe", False))
    wait_for(lambda: bool(viewer.told("pipeline_started")))
    for start, way in (
        ("start1", ["A"]),
        ("start1", ["A", "B", "C"]),
        ("start2", ["A", "B"]),
        ("start2", ["A", "B", "D"]),
    ):
        ours.put("state/pipe.reader", pack(operator=operator(start=start).to_json(), old="", new=way[-1], way=way))
    wait_for(lambda: len(viewer.told("operator_state_changed")) == 6)
    told: list[Any] = viewer.told("operator_state_changed")
    assert [(who.start, old, new) for _, who, old, new in told] == [
        ("start1", "", "A"),
        ("start1", "A", "B"),
        ("start1", "B", "C"),
        ("start2", "", "A"),
        ("start2", "A", "B"),
        ("start2", "B", "D"),
    ]


def test_only_the_newest_run_is_told_and_a_new_one_starts_afresh(
    memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1", started_utc=99.0)  # its clock was wrong; stream order counts
    ours.put("failed/pipe.reader", pack(operator=operator().to_json(), during="x", error={"type": "E", "message": "m"}))
    open_run(ours, "run2", supersedes="run1")
    ours.put("state/pipe.reader", pack(operator=operator("run2", "s2").to_json(), old="", new="StateEntry"))
    viewer = view(memory.open_status("pipe", False))
    wait_for(lambda: bool(viewer.told("operator_state_changed")))
    ours.put("state/pipe.old", pack(operator=operator("run1", name="pipe.old").to_json(), old="", new="StateEntry"))
    open_run(ours, "run3", started_utc=1.0)
    ours.put("state/pipe.reader", pack(operator=operator("run3", "s3").to_json(), old="", new="StateEntry"))
    wait_for(lambda: len(viewer.told("operator_state_changed")) == 2)
    assert [run.run for run in viewer.runs] == ["run2", "run3"]
    assert [run.supersedes for run in viewer.runs] == ["run1", None]
    assert viewer.told() == [
        ("pipeline_started", PipelineRef("pipe", "run2")),
        ("operator_state_changed", operator("run2", "s2"), "", "StateEntry"),
        ("pipeline_started", PipelineRef("pipe", "run3")),
        ("operator_state_changed", operator("run3", "s3"), "", "StateEntry"),
    ]


def test_a_viewer_waits_for_a_pipeline_that_was_never_started(
    memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    viewer = view(memory.open_status("pipe", False))
    assert viewer.told() == []
    assert memory.pipelines() == []
    open_run(memory.open_status("pipe", True), "run1")
    wait_for(lambda: bool(viewer.runs))
    assert viewer.receiver.run is not None
    assert viewer.receiver.run.run == "run1"


def test_signs_of_life_are_told_for_the_newest_run(memory: MemoryTransport, view: Callable[..., Viewer]) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1")
    viewer = view(memory.open_status("pipe", False))
    wait_for(lambda: bool(viewer.runs))
    ours.beat("alive/x", pack(run="run0", members={"pipe.reader": "s0"}))
    ours.beat("alive/x", pack(run="run1", members={"pipe.reader": "s1", "pipe.writer": "s2"}))
    wait_for(lambda: bool(viewer.alive))
    assert viewer.alive == [("pipe.reader", "s1"), ("pipe.writer", "s2")]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state/a", b"\xff\x00"),
        ("state/a", b"[]"),
        ("state/a", b"{}"),
        ("state/a", pack(operator="x", new="y")),
        ("state/a", pack(operator=operator().to_json(), new=5)),
        ("failed/a", pack(operator=operator().to_json(), during="x", error=None)),
        ("exit/a", pack(operator=operator().to_json(), exit_code="0")),
        ("port/a/b", pack(port={})),
        ("closed/a/0", pack(run="run1", statuses=[{}])),
        ("closed/a/0", pack(run="run1", statuses=5)),
        ("finished/run1", pack(run="run1")),
        ("run/run9", pack(run="run9")),
        ("run/run9", b"nonsense"),
    ],
)
def test_a_corrupt_entry_is_counted_and_skipped(
    memory: MemoryTransport, view: Callable[..., Viewer], key: str, value: bytes
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1")
    ours.put(key, value)
    ours.put("unknown/topic", b"\xff")
    viewer = view(memory.open_status("pipe", False))
    ours.put("exit/good", pack(operator=operator().to_json(), exit_code=0))
    wait_for(lambda: bool(viewer.told("operator_finished")))
    assert viewer.receiver.corrupt == 1
    assert viewer.told() == [
        ("pipeline_started", PipelineRef("pipe", "run1")),
        ("operator_finished", operator(), 0),
    ]


def test_moments_of_states_and_what_a_process_uses_reach_the_viewer_also_beside_entries_of_an_older_version(
    memory: MemoryTransport, host: PluginHost
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1")
    old = operator(name="pipe.old")
    ours.put("state/pipe.old", pack(operator=old.to_json(), old="a", new="c", way=["b", "c"], at_utc=9.0))
    relay = Relay("pipe", "run1", [ours])
    host.register(relay)
    host.operator_state_changed(operator(), "", "StateEntry", 5.0)
    host.operator_state_changed(operator(), "StateEntry", "StateKilled", 6.5)
    assert host.flush(10)
    assert relay.close(10)
    told = Timed()
    viewer = Viewer(told, memory.open_status("pipe", False))
    try:
        wait_for(lambda: len(told.states) == 4)
        assert sorted(told.states) == [
            ("pipe.old", "b", 0.0),
            ("pipe.old", "c", 9.0),
            ("pipe.reader", "StateEntry", 5.0),
            ("pipe.reader", "StateKilled", 6.5),
        ]
        used = ProcessStatus("pipe", "run1", "host", 7, cpu_s=1.5, clock_s=3.0, memory_bytes=None)
        ours.beat("alive/older", pack(run="run1", members={}))
        ours.beat("alive/newer", pack(run="run1", members={}, usage=used.to_json()))
        wait_for(lambda: bool(told.used))
        assert told.used == [used]
        assert viewer.receiver.corrupt == 0
    finally:
        viewer.close()


class Timed:
    """Observes moments and what processes use."""

    def __init__(self) -> None:
        self.states: list[tuple[str, str, float]] = []
        self.used: list[ProcessStatus] = []

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, new: str, at_utc: float) -> None:
        self.states.append((operator.name, new, at_utc))

    @hookimpl
    def pypz_process_status(self, status: ProcessStatus) -> None:
        self.used.append(status)


def test_entries_of_a_newer_version_are_read_as_far_as_they_are_known(
    memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1", v=9, mood="fine")
    ours.put("exit/a", pack(v=9, operator={**operator().to_json(), "v": 9, "zone": "b"}, exit_code=0, why={"x": 1}))
    viewer = view(memory.open_status("pipe", False))
    wait_for(lambda: bool(viewer.told("operator_finished")))
    assert viewer.receiver.corrupt == 0


def test_two_streams_of_one_run_tell_it_once_and_the_slower_one_sets_nothing_back(
    view: Callable[..., Viewer],
) -> None:
    one, two = MemoryTransport("test-one", {}), MemoryTransport("test-two", {})
    first, second = one.open_status("pipe", True), two.open_status("pipe", True)
    try:
        for stream in (first, second):
            open_run(stream, "run0")
            open_run(stream, "run1")
        new = pack(operator=operator().to_json(), old="", new="StateOperationRunning", at_utc=2.0)
        old = pack(operator=operator().to_json(), old="", new="StateOperationInit", at_utc=1.0)
        viewer = view(one.open_status("pipe", False), two.open_status("pipe", False))
        first.put("state/pipe.reader", new)
        wait_for(lambda: bool(viewer.told("operator_state_changed")))
        second.put("state/pipe.reader", old)
        second.put("state/pipe.reader", new)
        for stream in (first, second):
            stream.put("finished/run1", pack(run="run1", outcome="finished"))
        second.put("exit/pipe.reader", pack(operator=operator().to_json(), exit_code=0, at_utc=2.0))
        wait_for(lambda: bool(viewer.told("operator_finished")))
        assert [entry[3] for entry in viewer.told("operator_state_changed")] == ["StateOperationRunning"]
        assert len(viewer.told("pipeline_started", "pipeline_finished")) == 2
        assert [run.run for run in viewer.runs] == ["run1"]
    finally:
        one.close()
        two.close()


class Failing:
    """A stream whose reads fail for a while."""

    def __init__(self, stream: StatusStream) -> None:
        self._stream = stream
        self.failing = threading.Event()
        self.asked = threading.Event()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def facts(self) -> Mapping[str, StatusEntry]:
        self._refuse()
        return self._stream.facts()

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        found = self._stream.changes(timeout_s)
        self._refuse()
        return found

    def _refuse(self) -> None:
        if self.failing.is_set():
            self.asked.set()
            raise TransportError("broker away")


def test_a_stream_that_fails_is_read_again_and_nothing_is_missed(
    memory: MemoryTransport, view: Callable[..., Viewer]
) -> None:
    ours = memory.open_status("pipe", True)
    open_run(ours, "run1")
    stream: Any = Failing(memory.open_status("pipe", False))
    viewer = view(stream)
    wait_for(lambda: bool(viewer.runs))
    stream.failing.set()
    ours.put("exit/pipe.reader", pack(operator=operator().to_json(), exit_code=0))
    assert stream.asked.wait(10)
    stream.failing.clear()
    wait_for(lambda: bool(viewer.told("operator_finished")))
    wait_for(lambda: len(viewer.troubles) == 2)
    assert viewer.troubles == ["status cannot be read: TransportError: broker away", ""]
    assert len(viewer.runs) == 1
