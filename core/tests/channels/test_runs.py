"""Runs, members and ends over the memory transport with the real executors."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels import pool
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.status import StatusHub, pack, unpack
from pypz.core.commons.errors import (
    ConfigurationError,
    NotBuiltYetError,
    PipelineFailedError,
    RecordError,
    RunConflictError,
)
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor


class Source(Operator):
    """Sends the numbers below ``count``, ``step`` at a time."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()
        self.count = 30
        self.step = 7
        self.sent = 0
        self.fails_at = -1
        self.gate: threading.Event | None = None
        self.is_running = threading.Event()

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        self.is_running.set()
        if self.gate is not None:
            self.gate.wait(60)
        batch = list(range(self.sent, min(self.count, self.sent + self.step)))
        if self.fails_at in batch:
            raise ValueError("broken source")
        self.output_port.send(batch)
        self.sent += len(batch)
        return self.sent >= self.count

    def _on_shutdown(self) -> bool:
        return True


class Sink(Operator):
    """Keeps what it gets."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()
        self.ends_after = -1
        self.fails_after = -1
        self.iterations = 0

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        self.iterations += 1
        found = self.input_port.retrieve()
        if 0 <= self.fails_after <= len(RECEIVED[self.get_context().get_full_name()]):
            raise ValueError("broken sink")
        RECEIVED[self.get_context().get_full_name()] += found
        return True if 0 <= self.ends_after <= len(RECEIVED[self.get_context().get_full_name()]) else None

    def _on_shutdown(self) -> bool:
        return True


class Both(Sink):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.source.output_port.connect(self.sink.input_port)


RECEIVED: dict[str, list[int]] = {}


@pytest.fixture
def keeper() -> Iterator[MemoryTransport]:
    """Keeps the name alive between two runs, as a broker would."""
    made = MemoryTransport(f"runs-{uuid.uuid4().hex[:8]}")
    yield made
    made.close()


@pytest.fixture
def line(keeper: MemoryTransport) -> Callable[[], Line]:
    name = f"line_{uuid.uuid4().hex[:8]}"
    RECEIVED[name] = []

    def make() -> Line:
        pipeline = Line(name)
        pipeline.set_parameter(">>channelLocation", f"memory:{keeper._store.name}")
        return pipeline

    return make


def received(pipeline: Pipeline) -> list[int]:
    return RECEIVED[pipeline.get_full_name()]


def facts(keeper: MemoryTransport, pipeline: Pipeline) -> dict[str, Any]:
    found = keeper.open_status(pipeline.get_full_name(), create=False).facts()
    return {key: unpack(entry.value) for key, entry in found.items()}


def test_all_records_arrive_in_order_and_nothing_is_left(line: Callable[[], Line], keeper: MemoryTransport) -> None:
    pipeline = line()
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    assert received(pipeline) == list(range(30))
    assert keeper.describe_channel(f"{pipeline.get_full_name()}.sink.input_port") is None
    assert not pool._shared
    names = [thread.name for thread in threading.enumerate()]
    assert not [name for name in names if name.startswith(("pypz-io", "pypz-status", "pypz-relay"))]


def test_the_reader_sleeps_while_nothing_comes(line: Callable[[], Line]) -> None:
    pipeline = line()
    pipeline.source.gate = threading.Event()
    threading.Timer(1.0, pipeline.source.gate.set).start()
    PipelineExecutor(pipeline).start()
    assert pipeline.sink.iterations <= 15  # five sends, each seen at most twice, and the end


def test_each_record_reaches_one_of_the_replicas(line: Callable[[], Line]) -> None:
    pipeline = line()
    pipeline.sink.set_parameter("replicationFactor", 2)
    pipeline.source.set_parameter("replicationFactor", 1)
    codes = PipelineExecutor(pipeline).start()
    assert len(codes) == 5
    assert sorted(received(pipeline)) == sorted([*range(30), *range(30)])


def test_a_second_start_while_it_runs_is_refused_and_says_who_runs(line: Callable[[], Line]) -> None:
    first, second = line(), line()
    first.source.gate = threading.Event()
    thread = threading.Thread(target=PipelineExecutor(first).start)
    thread.start()
    assert first.source.is_running.wait(30)
    try:
        with pytest.raises(
            RunConflictError, match=r"runs already: run \w+, started on host .* by process \d+.*channelNamespace"
        ):
            PipelineExecutor(second).start()
    finally:
        first.source.gate.set()
        thread.join(30)
    assert received(first) == list(range(30))


def test_of_many_starts_at_the_same_moment_one_stands_and_the_others_are_refused(
    line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    pipelines = [line() for _ in range(4)]
    for pipeline in pipelines:
        pipeline.source.gate = threading.Event()
    barrier = threading.Barrier(len(pipelines))
    refused: list[RunConflictError] = []

    def start(pipeline: Line) -> None:
        barrier.wait()
        try:
            PipelineExecutor(pipeline).start()
        except RunConflictError as error:
            refused.append(error)
            for other in pipelines:
                if len(refused) == len(pipelines) - 1 and other.source.gate is not None:
                    other.source.gate.set()

    threads = [threading.Thread(target=start, args=(pipeline,)) for pipeline in pipelines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(refused) == 3
    assert received(pipelines[0]) == list(range(30))


def test_a_run_that_died_is_superseded_and_its_unread_records_come_first(
    line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    dead = line()
    dead.sink.fails_after = 0
    with pytest.raises(PipelineFailedError):
        PipelineExecutor(dead).start()
    assert received(dead) == []
    run = facts(keeper, dead)["run/" + next(k[4:] for k in facts(keeper, dead) if k.startswith("run/"))]
    stream = keeper.open_status(dead.get_full_name(), create=False)
    stream.put(f"finished/{run['run']}", None)  # as if it had been killed
    stream.close()
    pipeline = line()
    PipelineExecutor(pipeline).start()
    left = received(pipeline)[:-30]
    assert received(pipeline)[-30:] == list(range(30))
    assert left == list(range(len(left)))
    runs = [value for key, value in facts(keeper, pipeline).items() if key.startswith("run/")]
    assert [value["supersedes"] for value in runs if value["run"] != run["run"]] == [run["run"]]


def test_a_fresh_start_deletes_what_earlier_runs_left(line: Callable[[], Line]) -> None:
    dead = line()
    dead.sink.fails_after = 0
    with pytest.raises(PipelineFailedError):
        PipelineExecutor(dead).start()
    pipeline = line()
    PipelineExecutor(pipeline, fresh=True).start()
    assert received(pipeline) == list(range(30))


def test_a_failed_operator_ends_the_run_with_its_code_and_no_end_marker(
    line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    pipeline = line()
    pipeline.source.fails_at = 20
    with pytest.raises(PipelineFailedError, match="broken source") as caught:
        PipelineExecutor(pipeline).start()
    assert caught.value.exit_code == 115
    assert caught.value.operator == pipeline.source.get_full_name()
    assert not [key for key in facts(keeper, pipeline) if key.startswith("closed/")]
    assert keeper.describe_channel(f"{pipeline.get_full_name()}.sink.input_port") is not None


def test_a_member_that_has_ended_does_nothing_when_it_is_started_again_in_that_run(line: Callable[[], Line]) -> None:
    pipeline = line()
    run = PipelineRun.start(pipeline, PluginHost.default())
    codes: dict[str, int] = {}

    def member(operator: Operator) -> None:
        codes[operator.get_full_name()] = OperatorExecutor(operator, False, run=run).execute()

    threads = [threading.Thread(target=member, args=(operator,)) for operator in (pipeline.source, pipeline.sink)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert set(codes.values()) == {0}
    sent = pipeline.source.sent
    assert OperatorExecutor(pipeline.source, False, run=run).execute() == 0
    assert pipeline.source.sent == sent
    run.close()


def test_members_started_alone_find_the_open_run_and_the_last_one_finishes_it(
    line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    pipelines = line(), line()
    codes: list[int] = []
    operators = [pipelines[0].source, pipelines[1].sink]
    threads = [
        threading.Thread(target=lambda op=op: codes.append(OperatorExecutor(op, False).execute())) for op in operators
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert codes == [0, 0]
    assert received(pipelines[0]) == list(range(30))
    known = facts(keeper, pipelines[0])
    runs = [key[4:] for key in known if key.startswith("run/")]
    assert len(runs) == 1
    assert known[f"finished/{runs[0]}"]["outcome"] == "finished"


def test_a_later_start_of_a_member_stops_the_earlier_one_without_an_end(
    line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    pipeline = line()
    pipeline.source.gate = threading.Event()
    run = PipelineRun.start(pipeline, PluginHost.default())
    executor = OperatorExecutor(pipeline.source, False, run=run)
    codes: list[int] = []
    reading = OperatorExecutor(pipeline.sink, False, run=run)
    sink = threading.Thread(target=lambda: codes.append(reading.execute()))
    thread = threading.Thread(target=lambda: codes.append(executor.execute()))
    sink.start()
    thread.start()
    hub = StatusHub(keeper.open_status(pipeline.get_full_name(), create=False), "test")
    hub.open()
    key = f"joined/{pipeline.source.get_full_name()}/0"
    hub.wait_for(lambda: hub.value(key) or None, what=lambda: "the source", timeout_s=30)
    hub.put(key, pack(run=run.id, start="another"))
    for _ in range(2):  # the second round trip begins when the listeners of the first have returned
        run.hub(f"memory:{keeper._store.name}").refresh()
    pipeline.source.gate.set()
    thread.join(30)
    assert codes == [117]
    assert f"closed/{pipeline.source.get_full_name()}/0" not in hub.facts()
    hub.close()
    reading.interrupt()
    sink.join(30)
    run.close()


def test_a_member_waits_for_a_writer_as_long_as_the_port_says(line: Callable[[], Line]) -> None:
    pipeline = line()
    pipeline.sink.input_port.set_parameter("portOpenTimeoutMs", 50)
    run = PipelineRun.start(pipeline, PluginHost.default())
    code = OperatorExecutor(pipeline.sink, False, run=run).execute()
    run.close()
    assert code == 114


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("sink.input_port", "errorPolicy", "dead-letter"),
        ("source", "deliveryGuarantee", "exactly-once"),
    ],
)
def test_a_value_not_built_yet_is_refused_at_start_by_name(
    line: Callable[[], Line], path: str, name: str, value: Any
) -> None:
    pipeline: Any = line()
    target = pipeline
    for part in path.split("."):
        target = getattr(target, part)
    target.set_parameter(name, value)
    with pytest.raises(NotBuiltYetError, match=f"{pipeline.get_full_name()}.{path}.*{name!r} is {value!r}"):
        PipelineExecutor(pipeline).start()


@pytest.mark.parametrize("name", ["sequentialModeEnabled", "syncConnectionsOpen"])
def test_a_reader_in_a_cycle_that_is_to_wait_for_its_writers_is_refused_by_name(name: str) -> None:
    class Ring(Pipeline):
        def __init__(self, given: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(given, *args, **kwargs)
            self.source = Source()
            self.one = Both()
            self.two = Both()
            self.one.input_port.connect(self.source.output_port)
            self.one.output_port.connect(self.two.input_port)
            self.two.output_port.connect(self.one.input_port)

    pipeline = Ring("ring")
    pipeline.set_parameter(">>channelLocation", "memory:ring")
    pipeline.two.input_port.set_parameter(name, True)
    with pytest.raises(ConfigurationError, match=rf"ring\.two\.input_port: parameter '{name}' is True.*in a cycle"):
        PipelineExecutor(pipeline).start()


def test_an_unknown_scheme_lists_the_known_ones(line: Callable[[], Line]) -> None:
    pipeline = line()
    pipeline.set_parameter(">>channelLocation", "carrier-pigeon://roof")
    with pytest.raises(ConfigurationError, match=r"carrier-pigeon.*memory"):
        PipelineExecutor(pipeline).start()


@pytest.mark.parametrize("location", ["", "${env:PYPZ_NOT_SET}", "$(env:PYPZ_NOT_SET)"])
def test_an_empty_location_is_refused_before_anything_runs(line: Callable[[], Line], location: str) -> None:
    pipeline = line()
    pipeline.set_parameter(">>channelLocation", location)
    with pytest.raises(ConfigurationError, match="channel location '': is empty text, expected such as"):
        PipelineExecutor(pipeline).start()


def test_a_record_too_large_is_refused_by_send_with_its_size_and_the_limit(line: Callable[[], Line]) -> None:
    pipeline = line()

    class Big(Source):
        def _on_running(self) -> bool | None:
            with pytest.raises(
                RecordError,
                match=r"record 1 is \d{8} bytes, the channel takes at most \d{8}.*\(sent in .*test_runs.py, line \d+\)$",
            ):
                self.output_port.send(["x", "x" * 17_000_000, "y"])
            return True

    pipeline.source.__class__ = Big
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    assert received(pipeline) == []


def test_a_source_that_is_much_faster_than_its_sink_waits_for_it(line: Callable[[], Line]) -> None:
    pipeline = line()
    pipeline.source.output_port.set_parameter("channelConfig", {"max.bytes": 2000})
    pipeline.sink.input_port.set_parameter("channelConfig", {"max.bytes": 2000})
    pipeline.source.count, pipeline.source.step = 5_000, 100
    PipelineExecutor(pipeline).start()
    assert received(pipeline) == list(range(5_000))


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("sink.input_port", "maxRetrieveRecords", -3),
        ("sink.input_port", "partitions", 0),
        ("sink.input_port", "portOpenTimeoutMs", -1),
        ("source.output_port", "lingerMs", -1),
        ("source.output_port", "sendTimeoutMs", 0),
        ("source", "commitIntervalMs", -1),
    ],
)
def test_a_number_that_is_too_small_is_refused_at_start_by_name(
    line: Callable[[], Line], path: str, name: str, value: int
) -> None:
    pipeline: Any = line()
    target = pipeline
    for part in path.split("."):
        target = getattr(target, part)
    target.set_parameter(name, value)
    with pytest.raises(ConfigurationError, match=f"{name!r} is {value!r}, expected a whole number"):
        PipelineExecutor(pipeline).start()
