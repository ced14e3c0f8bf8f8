"""What a figure was measured on: processor, cores, memory, Python, and how busy the machine was meanwhile."""

from __future__ import annotations

import os
import platform
from dataclasses import dataclass
from pathlib import Path

GIB = 1 << 30


@dataclass(frozen=True)
class Machine:
    """The machine as it is now.

    Attributes:
        processor: Its name as the system tells it.
        cores: Cores that this process may use.
        memory_bytes: Memory built in; 0 where the system does not tell.
        python: Implementation and version.
        system: Kernel and release.
        load: Average number of running processes over the last minute; 0 where the system does not tell.
    """

    processor: str
    cores: int
    memory_bytes: int
    python: str
    system: str
    load: float

    def __str__(self) -> str:
        return (
            f"{self.processor}, {self.cores} cores, {self.memory_bytes / GIB:.1f} GiB; {self.system}; {self.python}; "
            f"load {self.load:.2f}"
        )


def read_processor() -> str:
    """Tell the processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def read_memory() -> int:
    """Tell the memory in bytes, 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return 0


def read_load() -> float:
    """Tell the load of the last minute, 0 where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (AttributeError, OSError):
        return 0.0


def read_machine() -> Machine:
    """Look at the machine now."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Machine(
        processor=read_processor(),
        cores=cores,
        memory_bytes=read_memory(),
        python=f"{platform.python_implementation()} {platform.python_version()}",
        system=f"{platform.system()} {platform.release()}",
        load=read_load(),
    )


def print_machine() -> None:
    """Print the line that stands above every figure."""
    print(f"machine: {read_machine()}")


if __name__ == "__main__":
    print_machine()
