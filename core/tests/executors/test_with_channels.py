"""Executor and channels together, on ``memory:``: records arrive, nothing spins, nothing hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from time import monotonic
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.commons.errors import PipelineFailedError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.states import State
from pypz.executors.pipeline.executor import PipelineExecutor

DEADLINE_S = 20.0


class Bench:
    """What the operators of a test do, and what they saw."""

    def __init__(self) -> None:
        self.write: Callable[[Any], Any] = lambda operator: True
        self.on_read: Callable[[Any, list[Any]], None] = lambda operator, records: None
        self.answer: bool | None = None
        self.got: dict[str, list[Any]] = {}
        self.iterations: dict[str, int] = {}
        self.lock = threading.Lock()


BENCH: list[Bench] = []


class Writer(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()
        self.sent = 0

    def _on_running(self) -> Any:
        return BENCH[0].write(self)


class Reader(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()

    def _on_running(self) -> bool | None:
        bench, name = BENCH[0], self.get_full_name()
        records = self.input_port.retrieve()
        with bench.lock:
            bench.got.setdefault(name, []).extend(records)
            bench.iterations[name] = bench.iterations.get(name, 0) + 1
        bench.on_read(self, records)
        return bench.answer


class Demo(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.reader = Reader()
        self.reader.input_port.connect(self.writer.output_port)


@pytest.fixture
def bench() -> Iterator[Bench]:
    BENCH.insert(0, Bench())
    yield BENCH[0]
    BENCH.pop(0)


@pytest.fixture
def pipeline(request: Any) -> Demo:
    made = Demo("demo")
    made.set_parameter(">>channelLocation", f"memory:{request.node.name}")
    return made


@pytest.fixture
def whole_host() -> Iterator[PluginHost]:
    made = PluginHost()
    yield made
    made.close()


def thirty(operator: Any) -> bool:
    operator.output_port.send([{"n": f"{operator.get_simple_name()} {operator.sent}"}])
    operator.sent += 1
    return bool(operator.sent == 30)


def test_thirty_records_arrive_in_order(bench: Bench, pipeline: Demo, whole_host: PluginHost) -> None:
    bench.write = thirty
    assert PipelineExecutor(pipeline, host=whole_host).start() == {"demo.writer": 0, "demo.reader": 0}
    assert bench.got == {"demo.reader": [{"n": f"writer {i}"} for i in range(30)]}


def test_each_record_arrives_once_over_all_replicas(bench: Bench, pipeline: Demo, whole_host: PluginHost) -> None:
    pipeline.set_parameter(">replicationFactor", 3)
    bench.write = thirty
    assert set(PipelineExecutor(pipeline, host=whole_host).start().values()) == {0}
    got = sorted(record["n"] for records in bench.got.values() for record in records)
    writers = ["writer", "writer_0", "writer_1", "writer_2"]
    assert got == sorted(f"{writer} {i}" for writer in writers for i in range(30))
    assert len(bench.got) == 4


@pytest.mark.parametrize("answer", [None, False])
def test_an_idle_reader_is_hardly_called(
    bench: Bench, pipeline: Demo, whole_host: PluginHost, answer: bool | None
) -> None:
    """Half a second without records, and for False another one behind the end of the channel."""
    until = {"read": 0.0}

    def write(operator: Any) -> bool:
        operator.output_port.send([{"n": 1}])
        assert not threading.Event().wait(0.5)
        until["read"] = monotonic() + 0.5
        return True

    def read(operator: Any, records: list[Any]) -> None:
        if until["read"] and monotonic() > until["read"]:
            bench.answer = True

    bench.write, bench.on_read, bench.answer = write, read, answer
    assert set(PipelineExecutor(pipeline, host=whole_host).start().values()) == {0}
    assert bench.iterations["demo.reader"] <= (5 if answer is None else 100)


def test_a_writer_that_fails_ends_the_reader(bench: Bench, pipeline: Demo, whole_host: PluginHost) -> None:
    def write(operator: Any) -> bool:
        if operator.sent == 10:
            raise ValueError("broken on purpose")
        return thirty(operator)

    bench.write = write
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(pipeline, host=whole_host).start()
    assert caught.value.exit_codes == {"demo.writer": 115, "demo.reader": 130}


def test_a_reader_that_fails_ends_a_writer_that_waits_for_room(
    bench: Bench, pipeline: Demo, whole_host: PluginHost
) -> None:
    waits = threading.Event()

    def write(operator: Any) -> bool:
        operator.output_port.send([{"n": "x" * 100_000}] * 10)
        operator.sent += 1
        if operator.sent == 5:
            waits.set()
        return False

    def read(operator: Any, records: list[Any]) -> None:
        assert waits.wait(DEADLINE_S)
        raise ValueError("broken on purpose")

    bench.write, bench.on_read = write, read
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(pipeline, host=whole_host).start()
    assert caught.value.exit_codes == {"demo.writer": 130, "demo.reader": 115}


def test_an_interrupted_pipeline_goes_on_where_it_stopped(bench: Bench, pipeline: Demo, whole_host: PluginHost) -> None:
    location = pipeline.reader.input_port.get_parameter("channelLocation")
    kept = whole_host.make_transport(location, {})  # keeps the name alive between the runs
    assert isinstance(kept, MemoryTransport)
    executor = PipelineExecutor(pipeline, host=whole_host)
    bench.write = lambda operator: thirty(operator) and None

    def stop(operator: Any, records: list[Any]) -> None:
        if len(bench.got["demo.reader"]) == 30:
            executor.interrupt()

    bench.on_read = stop
    assert executor.start()["demo.reader"] == 130
    bench.on_read = lambda operator, records: None
    before = list(bench.got["demo.reader"])
    bench.write = lambda operator: True
    assert set(executor.start().values()) == {0}
    assert bench.got["demo.reader"] == before
    kept.close()


def test_resources_can_be_made_and_deleted_apart(bench: Bench, pipeline: Demo, whole_host: PluginHost) -> None:
    location = pipeline.reader.input_port.get_parameter("channelLocation")
    kept = whole_host.make_transport(location, {})
    executor = PipelineExecutor(pipeline, host=whole_host)
    assert set(executor.start(ExecutionMode.ResourceCreationOnly).values()) == {0}
    assert kept.describe_channel("demo.reader.input_port") is not None
    assert set(executor.start(ExecutionMode.ResourceDeletionOnly).values()) == {0}
    assert kept.describe_channel("demo.reader.input_port") is None
    assert bench.got == {}
    kept.close()


def test_the_states_of_a_failure_are_told_with_channels_too(
    bench: Bench, pipeline: Demo, whole_host: PluginHost, observer: Any
) -> None:
    whole_host.register(observer, "observer of the test")
    bench.write = lambda operator: "done"
    with pytest.raises(PipelineFailedError, match="_on_running returned 'done'"):
        PipelineExecutor(pipeline, host=whole_host).start()
    assert whole_host.flush(DEADLINE_S)
    assert observer.ends == {"demo.writer": 115, "demo.reader": 130}
    path = [new for name, _, new in observer.states if name == "demo.writer"]
    assert path == [state.name for state in State]
