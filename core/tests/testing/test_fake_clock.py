"""A fake clock for `run_pipeline`: hours pass in no time, and all that goes by time goes by it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.memory.transport import _Client as MemoryClient
from pypz.core.channels.spi import Unit
from pypz.core.commons.clock import PROCESS_CLOCK
from pypz.core.commons.errors import ConfigurationError, TransportTimeoutError
from pypz.core.specs.misc import BlankOperator, BlankServicePlugin
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.testing import FakeClock, Pause, PipelineResult

Run = Callable[..., PipelineResult]
HOUR_S = 3600


class Windows(BlankOperator):
    """Sends the count of what has come, each minute."""

    window_s = 60.0

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.events = ChannelInputPort()
        self.counts = ChannelOutputPort()
        self.count = 0
        self.ends_at = 0.0

    def _on_init(self) -> bool:
        self.ends_at = self.get_clock().now() + self.window_s
        return True

    def _on_running(self) -> bool | None:
        clock = self.get_clock()
        self.count += len(self.events.retrieve(timeout_s=max(0.0, self.ends_at - clock.now())))
        if clock.now() >= self.ends_at:
            self.counts.send([{"count": self.count, "until": clock.utc().isoformat()}])
            self.count, self.ends_at = 0, self.ends_at + self.window_s
        return not self.events.can_retrieve()


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output = ChannelOutputPort()
        self.does: Callable[[Any], bool | None] = lambda source: True

    def _on_running(self) -> bool | None:
        return self.does(self)


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.does: Callable[[Any], bool | None] = lambda sink: sink.input.retrieve() and None

    def _on_running(self) -> bool | None:
        return self.does(self)


class Pair(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.input.connect(self.source.output)


def test_a_day_of_windows_passes_in_no_time(run_pipeline: Run) -> None:
    clock = FakeClock(datetime(2026, 3, 29, tzinfo=UTC))
    feed = [1, 2, 3, Pause(60), 4, Pause(24 * HOUR_S - 60), 5, Pause(61)]
    result = run_pipeline(Windows, feed={"events": feed}, clock=clock)
    counts = [sent["count"] for sent in result.sent["counts"]]
    assert result.exit_codes == {"operator": 0}
    assert counts[:3] == [3, 1, 0]
    assert counts[1440] == 1
    assert sum(counts) == 5
    assert len(counts) == 1441
    assert result.sent["counts"][1439]["until"] == "2026-03-30T00:00:00+00:00"
    assert clock.now() >= 24 * HOUR_S + 60


def test_nothing_is_late_however_slow_the_machine_is(run_pipeline: Run) -> None:
    """What an operator computes takes no time: a commit that is due meanwhile waits, and no time-out passes."""
    seen: list[float] = []

    class Slow(Windows):
        def _on_running(self) -> bool | None:
            began = self.get_clock().now()
            deadline = time.monotonic() + 0.2
            while time.monotonic() < deadline:
                pass
            seen.append(self.get_clock().now() - began)
            return super()._on_running()

    result = run_pipeline(Slow, feed={"events": [1, Pause(30), 2, Pause(31)]}, clock=FakeClock())
    assert [sent["count"] for sent in result.sent["counts"]] == [2]
    assert set(seen) == {0.0}


def test_commits_linger_and_times_of_retrieving_go_by_it(run_pipeline: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = FakeClock()
    commits: list[float] = []
    came: list[float] = []
    empty: list[float] = []
    client_commit = MemoryClient.commit

    def commit(client: MemoryClient, unit: Unit, timeout_s: float) -> None:
        if any(name == "pair.sink.input" for name, _ in unit.positions):
            commits.append(clock.now())
        client_commit(client, unit, timeout_s)

    def give(source: Source) -> bool:
        source.output.send([1])
        source.get_clock().sleep(100)
        return True

    def take(sink: Sink) -> bool | None:
        began = clock.now()
        found = sink.input.retrieve(timeout_s=50)
        if found:
            came.append(clock.now())
        elif clock.now() > began:
            empty.append(clock.now() - began)
        return not sink.input.can_retrieve()

    monkeypatch.setattr(MemoryClient, "commit", commit)
    pipeline = Pair("pair")
    pipeline.source.does, pipeline.sink.does = give, take
    pipeline.source.output.set_parameter("lingerMs", 7000)
    pipeline.source.set_parameter("commitIntervalMs", 3_600_000)
    pipeline.sink.set_parameter("commitIntervalMs", 20_000)
    run_pipeline(pipeline, clock=clock)
    assert came == [7.0]
    assert commits[0] == 27.0
    assert empty[0] == 50.0


class Boiler(BlankServicePlugin):
    """Takes two hours to be ready."""

    def _on_service_start(self) -> bool:
        return self.get_context().get_clock().now() >= 2 * HOUR_S


def test_a_port_whose_channel_comes_too_late_is_given_up_after_its_time_out(run_pipeline: Run) -> None:
    class Heated(Sink):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.boiler = Boiler()

    class Late(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.source = Source()
            self.sink = Heated()
            self.sink.input.connect(self.source.output)

    clock = FakeClock()
    pipeline = Late("late")
    pipeline.source.output.set_parameter("portOpenTimeoutMs", HOUR_S * 1000)
    result = run_pipeline(pipeline, clock=clock)
    assert isinstance(result.error, TransportTimeoutError)
    assert result.exit_codes == {"source": 114, "sink": 130}
    assert HOUR_S <= clock.now() < HOUR_S + 2


def test_a_full_channel_is_given_up_after_its_time_out(run_pipeline: Run) -> None:
    clock = FakeClock()

    def give(source: Source) -> bool:
        for _ in range(300):
            source.output.send(["x" * 400_000])
        return True

    def take(sink: Sink) -> bool | None:
        sink.get_clock().sleep(10 * HOUR_S)
        return True

    pipeline = Pair("pair")
    pipeline.source.does, pipeline.sink.does = give, take
    pipeline.source.output.set_parameter("sendTimeoutMs", HOUR_S * 1000)
    result = run_pipeline(pipeline, clock=clock)
    assert isinstance(result.error, TransportTimeoutError)
    assert HOUR_S <= clock.now() < HOUR_S + 1


def test_retries_wait_by_it(run_pipeline: Run) -> None:
    clock = FakeClock()
    tried: list[float] = []

    def take(sink: Sink) -> None:
        for _ in sink.input.retrieve():
            tried.append(clock.now())
            raise ValueError("no")

    pipeline = Pair("pair")
    pipeline.source.does = lambda source: source.output.send([1]) or True
    pipeline.sink.does = take
    pipeline.sink.input.set_parameter("errorPolicy", "retry(3, 600) then skip")
    result = run_pipeline(pipeline, clock=clock)
    assert result.error is None
    assert [round(later - earlier) for earlier, later in pairwise(tried)] == [600, 600, 600]


def test_methods_that_are_not_done_yet_are_called_again_by_it(run_pipeline: Run) -> None:
    clock = FakeClock()

    class Patient(Source):
        def _on_init(self) -> bool:
            return self.get_clock().now() >= HOUR_S

    result = run_pipeline(Patient, clock=clock)
    assert result.exit_codes == {"operator": 0}
    assert HOUR_S <= clock.now() < HOUR_S + 1.1


def test_a_source_that_waits_for_a_moment_without_sleeping_gets_there(run_pipeline: Run) -> None:
    clock = FakeClock()

    class Looking(Source):
        def _on_running(self) -> bool | None:
            if self.get_clock().now() < 2:
                return False
            self.output.send([1])
            return True

    assert run_pipeline(Looking, clock=clock).sent["output"] == [1]
    assert 2 <= clock.now() < 2.1


def test_a_pause_of_an_operator_ends_by_an_interrupt(run_pipeline: Run) -> None:
    cut: list[bool] = []

    def fail(sink: Sink) -> None:
        sink.get_clock().sleep(5)
        raise ValueError("no")

    def give(source: Source) -> bool:
        cut.append(source.get_clock().sleep(1000 * HOUR_S))
        return True

    clock = FakeClock()
    pipeline = Pair("pair")
    pipeline.source.does, pipeline.sink.does = give, fail
    result = run_pipeline(pipeline, clock=clock)
    assert result.exit_codes == {"source": 130, "sink": 115}
    assert cut == [True]
    assert clock.now() < 60


def test_a_hundred_runs_by_it_leave_no_thread_behind(run_pipeline: Run) -> None:
    before = set(threading.enumerate())
    for _ in range(100):
        run_pipeline(Windows, feed={"events": [1, Pause(61)]}, clock=FakeClock())
    left = [t for t in threading.enumerate() if t not in before and t.name != "pypz-timer"]
    for thread in left:
        thread.join(10)
    assert [thread.name for thread in left if thread.is_alive()] == []


def test_other_places_of_channels_are_refused() -> None:
    pipeline = Pair("pair")
    pipeline.set_parameter(">>channelLocation", "memory:not-by-it")
    with pytest.raises(ConfigurationError, match=r"memory:not-by-it.*run_pipeline"):
        PipelineExecutor(pipeline, clock=FakeClock()).start()
    with pytest.raises(ConfigurationError, match=r"isolation='thread'"):
        PipelineExecutor(pipeline, isolation="process", clock=FakeClock())


def test_a_beginning_without_zone_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="zone"):
        FakeClock(datetime(2026, 1, 1))  # noqa: DTZ001


def test_outside_of_an_execution_an_operator_has_the_time_of_the_process() -> None:
    clock = Source("source").get_clock()
    assert abs(clock.now() - PROCESS_CLOCK.now()) < 60
    assert clock.utc() - datetime.now(UTC) < timedelta(minutes=1)
    assert clock.sleep(0) is False
