"""How long hundreds of operators in one process take from start to end, on ``memory:``; and that each costs the same.

    .venv/bin/python benchmarks/many_operators.py [COUNT]

COUNT is 500 unless given. Half of them send ten records each to a sink of its own. Ends with 1 when an operator of the whole
costs more than twice the processor time of one among a fifth as many.
"""

from __future__ import annotations

import sys
import threading
import time
from typing import Any

from machine import print_machine

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor

MOST_TIMES = 2.0
"""Processor time of an operator among COUNT beside that of one among a fifth as many (chosen: linear, with room)."""


class Source(BlankOperator):
    """Sends ten records."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelOutputPort()

    def _on_running(self) -> bool:
        self.numbers.send([{"n": number} for number in range(10)])
        return True


class Sink(BlankOperator):
    """Counts them."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort()
        self.count = 0

    def _on_running(self) -> None:
        self.count += len(self.numbers.retrieve())


class Many(Pipeline):
    """Half of ``size`` operators are sources, each with a sink of its own."""

    def __init__(self, name: str, size: int, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        for number in range(size // 2):
            setattr(self, f"source{number}", Source())
            setattr(self, f"sink{number}", Sink())
            getattr(self, f"sink{number}").numbers.connect(getattr(self, f"source{number}").numbers)


def measure(size: int) -> tuple[float, float]:
    """Seconds from making the pipeline to its end, and of the processor."""
    began, began_cpu = time.perf_counter(), time.process_time()
    pipeline = Many("many", size)
    pipeline.set_parameter(">>channelLocation", f"memory:many{size}")
    codes = PipelineExecutor(pipeline).start()
    took = time.perf_counter() - began, time.process_time() - began_cpu
    if set(codes.values()) != {0} or any(getattr(pipeline, f"sink{n}").count != 10 for n in range(size // 2)):
        raise SystemExit("records are missing")
    return took


def main() -> int:
    """Measure a fifth, then the whole."""
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    measure(20)  # imports and first threads do not count
    few_s, few_cpu_s = measure(size // 5)
    many_s, many_cpu_s = measure(size)
    times = (many_cpu_s / size) / (few_cpu_s / (size // 5))
    print_machine()
    print(f"{size // 5} operators: {few_s:.2f} s, {few_cpu_s * 1000 / (size // 5):.1f} ms of processor time each")
    print(f"{size} operators: {many_s:.2f} s, {many_cpu_s * 1000 / size:.1f} ms of processor time each")
    print(f"threads left: {threading.active_count()}; each costs {times:.2f} times as much, at most {MOST_TIMES:g}")
    return 0 if times <= MOST_TIMES else 1


if __name__ == "__main__":
    sys.exit(main())
