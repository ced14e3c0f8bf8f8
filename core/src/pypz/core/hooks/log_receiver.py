"""Reads a pipeline's log streams and makes the hook calls again that its processes made: the relay's other end for lines.

Apart from `pypz.core.hooks.receiver`, so that a viewer fetches lines only while somebody looks at them.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from pypz.core.channels.spi import LogReader, OpensLogs, Transport, opens_logs
from pypz.core.hooks.events import LogRecord
from pypz.core.hooks.receiver import FIRST_PAUSE_S, LONGEST_PAUSE_S, WAIT_S

KEPT: Final = 1_000
"""Lines written before the viewer came that it is given at most, at each location (chosen: some screens)."""

TELL_S: Final = 1.0
"""Seconds that observers may take before the next lines are offered to them (chosen)."""


class Told(Protocol):
    """Whom it tells; a `PluginHost` is one."""

    def log(self, record: LogRecord) -> bool: ...

    def flush(self, timeout_s: float) -> bool: ...


class LogReceiver:
    """Follows log lines, one thread a location, and tells a host's observers.

    The same line comes once from each location, and again after trouble: ``number`` of ``operator.start`` tells them apart.
    Lines of earlier runs come, too.

    Args:
        transports: One a location; they stay open when this is closed. Those that keep no log lines are left alone.
        pipeline: Name of the pipeline's status streams.
        host: Its observers are told.
        kept: Lines at most, of those written before, that are told first.
        on_trouble: Called with a line of text when lines cannot be read, and with "" when they can again.
    """

    def __init__(
        self,
        transports: Sequence[Transport],
        pipeline: str,
        host: Told,
        *,
        kept: int = KEPT,
        on_trouble: Callable[[str], None] = lambda text: None,
    ) -> None:
        self._pipeline = pipeline
        self._host = host
        self._kept = kept
        self._on_trouble = on_trouble
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._readers: dict[int, LogReader] = {}
        self._corrupt = 0
        keeping = [transport for transport in transports if opens_logs(transport)]
        self.left_out = len(transports) - len(keeping)
        """Locations that keep no log lines."""
        self._threads = [
            threading.Thread(
                target=self._follow, args=(place, transport), name=f"pypz-log-receiver-{place}", daemon=True
            )
            for place, transport in enumerate(keeping)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def corrupt(self) -> int:
        """Lines that could not be read and were left out."""
        return self._corrupt

    def close(self, timeout_s: float = 5.0) -> None:
        """End the threads; transports and host stay. Idempotent."""
        self._closing.set()
        with self._lock:
            readers = list(self._readers.values())
        for reader in readers:
            reader.wake()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    def _follow(self, place: int, transport: OpensLogs) -> None:
        pause_s = 0.0
        while not self._closing.is_set():
            reader: LogReader | None = None
            try:
                reader = transport.open_logs(self._pipeline, self._kept)
                with self._lock:
                    self._readers[place] = reader
                while not self._closing.is_set():
                    lines = reader.read(WAIT_S)
                    if pause_s:
                        pause_s = 0.0
                        self._on_trouble("")
                    for line in lines:
                        self._tell(line)
            except Exception as error:  # noqa: BLE001 - a viewer stays up, says what is wrong and tries again
                if not self._closing.is_set():
                    self._on_trouble(f"log lines cannot be read: {type(error).__name__}: {error}")
                    pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
                    self._closing.wait(pause_s)
            finally:
                with self._lock:
                    self._readers.pop(place, None)
                if reader is not None:
                    reader.close()

    def _tell(self, line: bytes) -> None:
        try:
            record = LogRecord.from_json(json.loads(line))
        except ValueError:
            self._corrupt += 1
            return
        while not self._closing.is_set() and not self._host.log(record):
            self._host.flush(TELL_S)
