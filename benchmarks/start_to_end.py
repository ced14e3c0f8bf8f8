"""How long a small pipeline takes from the start of its process to the end: 30 records, sent one by one without pause.

    .venv/bin/python benchmarks/start_to_end.py [LOCATION] [RUNS]

LOCATION is ``kafka://`` and KAFKA_BOOTSTRAP unless given. The first run, which the broker may need for topics of its own,
does not count. Ends with 1 when the slowest run is above the goal, with 2 without a broker.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
import uuid

from machine import print_machine

GOAL_S = 3.0
"""Seconds from the start of the process to its end, on a broker that has run once before."""


def carry_out(location: str, name: str) -> int:
    """In the child: run the pipeline and check its result."""
    from lines import Lines

    from pypz.executors.pipeline.executor import PipelineExecutor

    pipeline = Lines(name)
    pipeline.set_parameter(">>channelLocation", location)
    PipelineExecutor(pipeline).start()
    return 0 if pipeline.reader.count == pipeline.writer.count else 1


def main() -> int:
    """Time the child from outside."""
    if len(sys.argv) == 4 and sys.argv[1] == "--child":
        return carry_out(sys.argv[2], sys.argv[3])
    given = os.environ.get("KAFKA_BOOTSTRAP")
    if len(sys.argv) < 2 and not given:
        print("set KAFKA_BOOTSTRAP to a broker's HOST:PORT, or give a location")
        return 2
    location = sys.argv[1] if len(sys.argv) > 1 else f"kafka://{given}"
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    times = []
    for number in range(runs + 1):
        began = time.perf_counter()
        name = f"start_{uuid.uuid4().hex[:6]}"
        subprocess.run([sys.executable, __file__, "--child", location, name], check=True)
        if number:
            times.append(time.perf_counter() - began)
    print_machine()
    print(
        f"30 records at {location}, process start to end: median {statistics.median(times):.2f} s of {runs} "
        f"({min(times):.2f} to {max(times):.2f}), goal {GOAL_S:.0f} s"
    )
    return 0 if max(times) <= GOAL_S else 1


if __name__ == "__main__":
    sys.exit(main())
