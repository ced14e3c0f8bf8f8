"""A member that will not come back counts as ended, behind all that it has sent; what a pipeline left can be removed."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels import pool
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.runs.retiring import Place, Retired, find_left, places_of, retire_member
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.status import unpack
from pypz.core.commons.errors import ConfigurationError, RunConflictError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor


class Source(BlankOperator):
    """Sends ten numbers, then fails, waits or ends."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output = ChannelOutputPort()
        self.fails = True
        self.gate: threading.Event | None = None
        self.is_running = threading.Event()
        self.iterations = 0

    def _on_running(self) -> bool:
        self.iterations += 1
        if self.gate is not None:
            self.is_running.set()
            self.gate.wait(60)
        if self.iterations == 1:
            self.output.send([{"n": number} for number in range(10)])
            return False
        if self.fails:
            raise ValueError("out of paper")
        return True


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.got: list[int] = []
        self.has_all = threading.Event()

    def _on_running(self) -> None:
        self.got += [record["n"] for record in self.input.retrieve()]
        if len(self.got) == 10:
            self.has_all.set()


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.source.output.connect(self.sink.input)


@pytest.fixture
def keeper() -> Iterator[MemoryTransport]:
    """Keeps the name alive, as a broker would."""
    made = MemoryTransport(f"retiring-{uuid.uuid4().hex[:8]}")
    yield made
    made.close()
    assert not pool._shared


@pytest.fixture
def line(keeper: MemoryTransport) -> Callable[[], Line]:
    name = f"line_{uuid.uuid4().hex[:8]}"

    def make() -> Line:
        pipeline = Line(name)
        pipeline.set_parameter(">>channelLocation", f"memory:{keeper._store.name}")
        return pipeline

    return make


@pytest.fixture
def sinking(line: Callable[[], Line]) -> Iterator[tuple[Line, Callable[[], int]]]:
    """A pipeline whose sink runs by itself; gives also what waits for its exit code."""
    pipeline = line()
    executor = OperatorExecutor(pipeline.sink, handle_interrupts=False)
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(executor.execute()))
    thread.start()

    def exit_code() -> int:
        thread.join(30)
        return codes[0]

    yield pipeline, exit_code
    executor.interrupt()
    thread.join(30)


def retire(pipeline: Line, operator: str = "source", index: int = 0) -> list[Retired]:
    with places_of(PluginHost.default(), pipeline) as places:
        return retire_member(places, getattr(pipeline, operator), index)


def facts(keeper: MemoryTransport, pipeline: Pipeline) -> dict[str, Any]:
    found = keeper.open_status(pipeline.get_full_name(), create=False).facts()
    return {key: unpack(entry.value) for key, entry in found.items()}


def test_a_retired_writer_ends_its_reader_behind_all_it_has_sent(
    sinking: tuple[Line, Callable[[], int]], line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    pipeline, exit_code = sinking
    assert OperatorExecutor(line().source, handle_interrupts=False).execute() == 115
    (done,) = retire(line())
    assert exit_code() == 0
    assert pipeline.sink.got == list(range(10))
    channel = f"{pipeline.get_full_name()}.sink.input"
    assert (done.member, done.channels) == (f"{pipeline.get_full_name()}.source", (channel,))
    assert keeper.describe_channel(channel) is None
    assert [key for key in facts(keeper, pipeline) if key.startswith("finished/")] == [f"finished/{done.run}"]


def test_a_retired_member_that_starts_again_in_the_run_does_nothing(
    sinking: tuple[Line, Callable[[], int]], line: Callable[[], Line]
) -> None:
    pipeline, exit_code = sinking
    assert OperatorExecutor(line().source, handle_interrupts=False).execute() == 115
    pipeline.sink.has_all.wait(30)
    late = line()
    late.source.fails = False
    retire(line())
    # The run may have ended meanwhile; with its id the member takes part in it all the same.
    (run,) = {value["run"] for key, value in facts_of(late).items() if key.startswith("retired/")}
    joined = PipelineRun.join(late.source, PluginHost.default(), run_id=run)
    try:
        assert OperatorExecutor(late.source, handle_interrupts=False, run=joined).execute() == 0
    finally:
        joined.close()
    assert late.source.iterations == 0
    assert exit_code() == 0
    assert pipeline.sink.got == list(range(10))


def facts_of(pipeline: Pipeline) -> dict[str, Any]:
    with places_of(PluginHost.default(), pipeline) as (place,):
        return {key: unpack(entry.value) for key, entry in place.facts.items()}


def test_a_writer_that_retired_before_the_channel_was_made_ends_its_reader_at_once(
    line: Callable[[], Line], keeper: MemoryTransport
) -> None:
    early = line()
    executor = OperatorExecutor(early.source, handle_interrupts=False)
    thread = threading.Thread(target=executor.execute)
    thread.start()
    stream = keeper.open_status(early.get_full_name(), create=False)
    seen: set[str] = set(stream.facts())
    while not any(key.startswith("joined/") for key in seen):
        seen |= {entry.key for entry in stream.changes(30)}
    executor.interrupt()  # while it waits for the channel
    thread.join(30)
    (done,) = retire(line())
    assert done.channels == ()
    late = line()
    assert OperatorExecutor(late.sink, handle_interrupts=False).execute() == 0
    assert late.sink.got == []


def test_a_living_member_is_not_retired(sinking: tuple[Line, Callable[[], int]], line: Callable[[], Line]) -> None:
    pipeline, exit_code = sinking
    other = line()
    other.source.gate, other.source.fails = threading.Event(), False
    thread = threading.Thread(target=OperatorExecutor(other.source, handle_interrupts=False).execute)
    thread.start()
    assert other.source.is_running.wait(30)
    try:
        with pytest.raises(RunConflictError, match=r"\.source is alive in run \w+, started on host .*; stop it first"):
            retire(line())
    finally:
        other.source.gate.set()
        thread.join(30)
    assert exit_code() == 0
    assert pipeline.sink.got == list(range(10))


def test_who_is_no_member_of_an_open_run_is_not_retired(
    sinking: tuple[Line, Callable[[], int]], line: Callable[[], Line]
) -> None:
    pipeline, _ = sinking
    assert OperatorExecutor(line().source, handle_interrupts=False).execute() == 115
    grown = line()
    grown.source.set_parameter("replicationFactor", 1)
    with pytest.raises(ConfigurationError, match=r"source_0 is no member of run"):
        retire(grown, index=1)
    retire(line())
    assert pipeline.sink.has_all.wait(30)


def test_without_an_open_run_nothing_is_written(line: Callable[[], Line], keeper: MemoryTransport) -> None:
    pipeline = line()
    with pytest.raises(ConfigurationError, match="no run of .* is open at memory:.*: nobody waits for it"):
        retire(pipeline)
    assert keeper.pipelines() == []


def test_what_a_pipeline_left_is_found_and_removed(line: Callable[[], Line], keeper: MemoryTransport) -> None:
    pipeline = line()
    executor = OperatorExecutor(pipeline.sink, handle_interrupts=False)
    thread = threading.Thread(target=executor.execute)
    thread.start()
    assert OperatorExecutor(line().source, handle_interrupts=False).execute() == 115
    assert pipeline.sink.has_all.wait(30)
    with places_of(PluginHost.default(), pipeline) as places:
        assert living(places) is not None
        executor.interrupt()
        thread.join(30)
    with places_of(PluginHost.default(), pipeline) as places:
        assert living(places) is None
        left = find_left(places[0], [f"{pipeline.get_full_name()}.no.such"])
        assert [info.name for info in left.channels] == [f"{pipeline.get_full_name()}.sink.input"]
        left.remove()
    assert keeper.pipelines() == []
    assert keeper.describe_channel(f"{pipeline.get_full_name()}.sink.input") is None


def living(places: list[Place]) -> str | None:
    return places[0].living_run()
