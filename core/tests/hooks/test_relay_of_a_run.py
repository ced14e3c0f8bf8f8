"""A viewer over the status stream sees of a real run what an observer in its process is told."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.commons.errors import PipelineFailedError
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.receiver import Receiver, RunInfo
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor

RECORDS = 3_000


class Base(Operator):
    def _on_init(self) -> bool:
        return True

    def _on_shutdown(self) -> bool:
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None: ...

    def _on_error(self, source: Any, exception: Exception) -> None: ...


class Writer(Base):
    fails = False

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.out = ChannelOutputPort()

    def _on_running(self) -> bool | None:
        self.out.send([{"n": number} for number in range(RECORDS)])
        if self.fails:
            raise ValueError("no more paper")
        return True


class Reader(Base):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()

    def _on_running(self) -> bool | None:
        self.input.retrieve()
        return None


class Shop(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.reader = Reader()
        self.reader.input.connect(self.writer.out)
        self.reader.set_parameter("replicationFactor", 1)


def wait_for(look: Callable[[], object], seconds: float = 20) -> None:
    deadline, pause = time.monotonic() + seconds, threading.Event()
    while not look():
        assert time.monotonic() < deadline, "not in time"
        pause.wait(0.02)


class Far:
    """What a viewer elsewhere is told."""

    def __init__(self, transport: MemoryTransport, observer: Any) -> None:
        self.host = PluginHost(load=False)
        self.host.register(observer)
        self.observer = observer
        self.runs: list[RunInfo] = []
        self.alive: set[str] = set()
        self.stream = transport.open_status("shop", False)
        self.receiver = Receiver(
            [self.stream],
            self.host,
            on_new_run=self.runs.append,
            on_alive=lambda name, start, moment: self.alive.add(name),
        )

    def of(self, hook: str) -> list[tuple[Any, ...]]:
        self.host.flush(10)
        return [entry for entry in self.observer.told if entry[0] == hook]

    def last_counts(self) -> dict[str, int]:
        """Records by member: the last figures told of each."""
        return {entry[1].port.operator.name: entry[1].records for entry in self.of("channel_status")}

    def close(self) -> None:
        self.receiver.close()
        self.stream.close()
        self.host.close()


def run(location: str, near: PluginHost, fails: bool = False) -> Shop:
    pipeline = Shop("shop")
    pipeline.writer.fails = fails
    pipeline.set_parameter(">>channelLocation", location)
    PipelineExecutor(pipeline, host=near).start()
    return pipeline


@pytest.mark.parametrize("is_late", [False, True], ids=["from the start", "after the end"])
def test_a_viewer_sees_states_ends_and_final_counts(observer: Any, is_late: bool) -> None:
    name = f"relay-{is_late}"
    kept = MemoryTransport(name, {})  # keeps the name alive behind the executor's end
    near = PluginHost()
    far = None if is_late else Far(kept, observer)
    try:
        run(f"memory:{name}", near)
        far = far or Far(kept, observer)
        wait_for(lambda: far.of("pipeline_finished"))
        wait_for(lambda: len(far.of("operator_finished")) == 3)
        assert [run.pipeline for run in far.runs] == ["shop"]
        assert far.runs[0].groups == {"shop.writer": 1, "shop.reader": 2}
        assert far.of("pipeline_finished")[0][2] == "finished"
        assert {entry[1].name: entry[2] for entry in far.of("operator_finished")} == {
            "shop.writer": 0,
            "shop.reader": 0,
            "shop.reader_0": 0,
        }
        last = {entry[1].name: entry[3] for entry in far.of("operator_state_changed")}
        assert set(last) == {"shop.writer", "shop.reader", "shop.reader_0"}
        assert set(last.values()) == {"StateKilled"}
        wait_for(lambda: len(far.last_counts()) == 3)
        counts = far.last_counts()
        assert counts["shop.writer"] == RECORDS
        assert counts["shop.reader"] + counts["shop.reader_0"] == RECORDS
        assert far.receiver.corrupt == 0
    finally:
        if far is not None:
            far.close()
        near.close()
        kept.close()


def test_a_viewer_sees_who_failed_and_why(observer: Any) -> None:
    kept = MemoryTransport("relay-fails", {})
    near = PluginHost()
    far = Far(kept, observer)
    try:
        with pytest.raises(PipelineFailedError):
            run("memory:relay-fails", near, fails=True)
        wait_for(lambda: far.of("pipeline_finished"))
        wait_for(lambda: far.of("operator_failed"))
        (_, operator, during, error) = far.of("operator_failed")[0]
        assert (operator.name, during, error.type) == ("shop.writer", "StateOperationRunning", "ValueError")
        assert "no more paper" in error.message
        assert far.of("pipeline_finished")[0][2] == "failed"
        assert far.receiver.corrupt == 0
    finally:
        far.close()
        near.close()
        kept.close()


def test_a_second_run_is_shown_afresh(observer: Any) -> None:
    kept = MemoryTransport("relay-twice", {})
    near = PluginHost()
    far = Far(kept, observer)
    try:
        for count in (1, 2):
            run("memory:relay-twice", near)
            wait_for(lambda count=count: len(far.of("pipeline_finished")) == count)  # type: ignore[misc]
        assert len({info.run for info in far.runs}) == 2
        assert [entry[1].run for entry in far.of("pipeline_started")] == [info.run for info in far.runs]
    finally:
        far.close()
        near.close()
        kept.close()
