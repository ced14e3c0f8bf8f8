"""How long ``import pypz.core`` takes in a fresh interpreter, and what else users import.

The median of ten, without the start of Python itself.

    .venv/bin/python benchmarks/import_time.py [MODULE...]

Ends with 1 when a median of the core is above the goal.
"""

from __future__ import annotations

import statistics
import subprocess
import sys

from machine import print_machine

GOAL_MS = 100.0
"""The project's promise for ``import pypz.core``."""

ROUNDS = 10

MODULES = (
    "pypz.core",
    "pypz.core.specs.pipeline",
    "pypz.executors.pipeline.executor",
    "pypz.plugins.kafka_io.ports",
    "pypz.plugins.loggers.default",
    "pypz.deployers.k8s",
    "pypz.sniffer.viewer",
    "pypz.cli.main",
)
"""What users import, measured one by one; the goal is that of the core, its whole model included."""

PROBE = "import sys, time; began = time.perf_counter(); __import__(sys.argv[1]); print(time.perf_counter() - began)"


def measure_ms(module: str) -> float:
    """Import ``module`` in a fresh interpreter; gives the milliseconds of the import statement alone."""
    printed = subprocess.run([sys.executable, "-c", PROBE, module], check=True, capture_output=True, text=True).stdout
    return float(printed) * 1000


def measure_module(module: str) -> float:
    """Measure, print and give the median for ``module``."""
    measure_ms(module)  # the first one compiles and fills the file cache
    times = [measure_ms(module) for _ in range(ROUNDS)]
    median = statistics.median(times)
    spread = f"{min(times):.1f} to {max(times):.1f}"
    goal = f", goal {GOAL_MS:.0f} ms" if module.startswith("pypz.core") else ""
    print(f"import {module}: median {median:.1f} ms of {ROUNDS} ({spread}){goal}")
    return median


def main() -> int:
    """Measure, print, compare those of the core with the goal."""
    print_machine()
    medians = {module: measure_module(module) for module in sys.argv[1:] or MODULES}
    missed = [module for module, median in medians.items() if module.startswith("pypz.core") and median > GOAL_MS]
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
