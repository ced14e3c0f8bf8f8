"""What ten idle operators in one process cost: processor time over a while in which nothing happens.

    .venv/bin/python benchmarks/idle.py [LOCATION] [SECONDS]

LOCATION is ``memory:idle`` or, such as ``kafka://127.0.0.1:9092``, another transport's. Ends with 1 above the goal.
"""

from __future__ import annotations

import resource
import sys
import threading
import time
import uuid

from lines import Idle, Silent
from machine import print_machine

from pypz.executors.pipeline.executor import PipelineExecutor

GOAL_PERCENT = 1.0
"""Percent of a core, for all ten together."""

SETTLE_S = 5.0
"""Seconds for the start to be over."""


def spent_s() -> float:
    """Processor time of this process up to now, in seconds: user and system, all threads."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> int:
    """Run the idle pipeline, measure, end it."""
    location = sys.argv[1] if len(sys.argv) > 1 else "memory:idle"
    seconds = float(sys.argv[2]) if len(sys.argv) > 2 else 30.0
    pipeline = Idle(f"idle_{uuid.uuid4().hex[:6]}")
    pipeline.set_parameter(">>channelLocation", location)
    codes: dict[str, int] = {}
    running = threading.Thread(target=lambda: codes.update(PipelineExecutor(pipeline).start()))
    running.start()
    time.sleep(SETTLE_S)
    before, began = spent_s(), time.perf_counter()
    time.sleep(seconds)
    percent = 100 * (spent_s() - before) / (time.perf_counter() - began)
    threads = threading.active_count()
    Silent.may_end.set()
    running.join()
    print_machine()
    print(
        f"ten idle operators at {location}: {percent:.2f} % of a core over {seconds:.0f} s, {threads} Python threads, "
        f"goal {GOAL_PERCENT:.0f} %; exit codes {sorted(set(codes.values()))}"
    )
    return 0 if percent <= GOAL_PERCENT else 1


if __name__ == "__main__":
    sys.exit(main())
