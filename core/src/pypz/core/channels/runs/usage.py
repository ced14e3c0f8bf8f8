"""What this process uses of its host, processor time and memory: measured with its signs of life."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pypz.core.channels.members.session import own_host
from pypz.core.hooks.events import PipelineRef, ProcessStatus

USAGE_INTERVAL_S: Final = 1.0
"""Seconds between two measurements (a process gives a sign of life as often)."""

_STATM: Final = Path("/proc/self/statm")


class ProcessUsage:
    """Measures what the process uses while it executes members of one run.

    Args:
        run: Which run.
        tell: Told each measurement.
    """

    def __init__(self, run: PipelineRef, tell: Callable[[ProcessStatus], None]) -> None:
        self._run = run
        self._tell = tell
        self._latest: ProcessStatus | None = None

    def latest(self) -> ProcessStatus:
        """What it uses now, or used less than `USAGE_INTERVAL_S` ago."""
        now = time.monotonic()
        if self._latest is None or now - self._latest.clock_s >= USAGE_INTERVAL_S:
            host, process = own_host()
            self._latest = ProcessStatus(
                self._run.name,
                self._run.run,
                host,
                process,
                cpu_s=time.process_time(),
                clock_s=now,
                memory_bytes=resident_bytes(),
                threads=threading.active_count(),
            )
            self._tell(self._latest)
        return self._latest


def resident_bytes() -> int | None:
    """Resident memory of this process; None where the system has no ``/proc``."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None
