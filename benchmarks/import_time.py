"""How long ``import pypz.core`` takes in a fresh interpreter: the median of ten, less the start of Python itself.

    .venv/bin/python benchmarks/import_time.py [MODULE]

Ends with 1 when the median is above the goal.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from machine import print_machine

GOAL_MS = 100.0
"""The project's promise for ``import pypz.core``."""

ROUNDS = 10

PROBE = "import sys, time; began = time.perf_counter(); __import__(sys.argv[1]); print(time.perf_counter() - began)"


def measure_ms(module: str) -> float:
    """Import ``module`` in a fresh interpreter; gives the milliseconds of the import statement alone."""
    printed = subprocess.run([sys.executable, "-c", PROBE, module], check=True, capture_output=True, text=True).stdout
    return float(printed) * 1000


def main() -> int:
    """Measure, print, compare with the goal."""
    module = sys.argv[1] if len(sys.argv) > 1 else "pypz.core"
    print_machine()
    measure_ms(module)  # the first one compiles and fills the file cache
    times = [measure_ms(module) for _ in range(ROUNDS)]
    median = statistics.median(times)
    spread = f"{min(times):.1f} to {max(times):.1f}"
    print(f"import {module}: median {median:.1f} ms of {ROUNDS} ({spread}), goal {GOAL_MS:.0f} ms")
    return 0 if median <= GOAL_MS else 1


if __name__ == "__main__":
    sys.exit(main())
