"""Hundreds of operators in one process: all of them end, with a few threads each and none left."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any, Final

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor

COUNT: Final = 500
DEADLINE_S: Final = 20.0

ALL_RUN: list[threading.Barrier] = []
THREADS: list[Counter[str]] = []


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelOutputPort()

    def _on_running(self) -> bool:
        self.numbers.send([{"n": number} for number in range(10)])
        ALL_RUN[0].wait()
        return True


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort()
        self.got: list[int] = []
        self.has_met = False

    def _on_running(self) -> None:
        self.got += [record["n"] for record in self.numbers.retrieve()]
        if not self.has_met:
            self.has_met = True
            ALL_RUN[0].wait()


class Many(Pipeline):
    """Half of the operators are sources, each with a sink of its own."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        for number in range(COUNT // 2):
            source, sink = f"source{number}", f"sink{number}"
            setattr(self, source, Source())
            setattr(self, sink, Sink())
            getattr(self, sink).numbers.connect(getattr(self, source).numbers)


def count_threads() -> None:
    """Once, when all operators run."""
    kinds = [thread.name.partition(" ")[0] for thread in threading.enumerate()]
    THREADS[0].update("member" if kind.startswith("many.") else kind for kind in kinds)


def test_five_hundred_operators_run_at_the_same_time_and_all_end() -> None:
    before = set(threading.enumerate())
    ALL_RUN.insert(0, threading.Barrier(COUNT, action=count_threads, timeout=6 * DEADLINE_S))
    THREADS.insert(0, Counter())
    pipeline = Many("many")
    pipeline.set_parameter(">>channelLocation", "memory:many")
    host = PluginHost()
    codes = PipelineExecutor(pipeline, host=host).start()
    assert len(codes) == COUNT
    assert set(codes.values()) == {0}
    for number in range(COUNT // 2):
        assert getattr(pipeline, f"sink{number}").got == list(range(10))
    assert THREADS[0]["member"] == COUNT
    assert THREADS[0]["pypz-io"] == COUNT
    assert sum(THREADS[0].values()) - 2 * COUNT <= len(before) + 15  # what a process has once, whatever the count
    host.flush(DEADLINE_S)
    host.close()
    left = [t for t in set(threading.enumerate()) - before if t.name.startswith(("many.", "pypz-io", "pypz-status"))]
    for thread in left:
        thread.join(DEADLINE_S)
    assert [thread.name for thread in left if thread.is_alive()] == []
