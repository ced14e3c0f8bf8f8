"""The writing end of one port on one channel: gathers encoded records into blocks and sends them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pypz.core.channels.headers import Origin
from pypz.core.channels.linger import timer
from pypz.core.channels.spi import Block, BlockWriter, ChannelInfo
from pypz.core.codecs.spi import Codec
from pypz.core.commons.errors import PypzError, TransportTimeoutError, WokenError

BLOCK_BYTES: Final = 512 * 1024
"""A block is cut at this size (design 4)."""
BLOCK_RECORDS: Final = 10_000
"""... at this count (design 4)."""
RETRY_FULL_S: Final = 0.02
"""Seconds until the timer tries again on a full transport (chosen)."""


@dataclass(frozen=True)
class Part:
    """Some records, encoded together: never torn apart."""

    payload: bytes
    count: int


class OutputEnd:
    """Blocks of one writer for one channel. `add` is the operator's; `flush_lingering` the timer's; a lock is between."""

    def __init__(
        self,
        writer: BlockWriter,
        info: ChannelInfo,
        origin: Origin,
        codec: Codec,
        *,
        linger_s: float,
        send_timeout_s: float,
        wake: Callable[[], None],
        stopped: Callable[[], bool],
        last_cause: Callable[[], str],
        first_partition: int = 0,
    ) -> None:
        self.info = info
        self.records = 0
        self.blocks = 0
        self.size_bytes = 0
        self._writer = writer
        self._origin = origin
        self._codec = codec
        self._linger_s = linger_s
        self._send_timeout_s = send_timeout_s
        self._wake = wake
        self._stopped = stopped
        self._last_cause = last_cause
        self._lock = threading.Lock()
        self._parts: list[Part] = []
        self._pending_bytes = 0
        self._pending_records = 0
        self._fence = 0
        self._pending_since = 0.0
        self._timer_set = False
        self._next_partition = first_partition
        self._sequences: dict[int, int] = {}
        self._failure: Exception | None = None
        self._closed = False
        self._full_until: float | None = None
        self._watched = False

    def add(self, part: Part) -> None:
        """Take a part; send the block when it is full. May wait for room.

        Raises:
            TransportError: This or an earlier block could not be sent.
        """
        with self._lock:
            self._raise_failure()
            if self._parts and self._pending_bytes + len(part.payload) > BLOCK_BYTES:
                self._send_pending(wait=True)
            self._parts.append(part)
            self._pending_bytes += len(part.payload)
            self._pending_records += part.count
            self.records += part.count
            if self._pending_bytes >= BLOCK_BYTES or self._pending_records >= BLOCK_RECORDS:
                self._send_pending(wait=True)
            elif len(self._parts) == 1:
                self._pending_since = time.monotonic()
                if not self._timer_set:
                    self._timer_set = True
                    timer.call_in(self._linger_s, self._linger)

    def mark_iteration(self) -> None:
        """What was added up to now belongs to iterations that returned."""
        self._fence = len(self._parts)

    def drop_unfinished(self) -> None:
        """Forget what the failing iteration has added and nobody has sent yet."""
        with self._lock:
            for part in self._parts[self._fence :]:
                self._pending_bytes -= len(part.payload)
                self._pending_records -= part.count
                self.records -= part.count
            del self._parts[self._fence :]

    def send_pending(self, wait: bool) -> bool:
        """Send what is gathered; False when it had to wait and may not."""
        if not self._lock.acquire(blocking=wait):
            return False
        try:
            self._raise_failure()
            return self._send_pending(wait)
        finally:
            self._lock.release()

    def write_ends(self) -> None:
        """Write the end marker to every partition known, behind all records."""
        with self._lock:
            self._raise_failure()
            self._send_pending(wait=True)
            count = self._writer.partition_count()
            for number in range(count):
                self._write(number, self._origin.end(self._sequences.get(number, 0), count), wait=True)

    def close(self) -> None:
        """Take part no more."""
        with self._lock:
            self._closed = True

    # --- below: with the lock held ---

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _send_pending(self, wait: bool) -> bool:
        if not self._parts:
            return True
        number = self._next_partition % self._writer.partition_count()
        sequence = self._sequences.get(number, 0)
        codec = self._codec
        payload = codec.join([part.payload for part in self._parts])
        block = self._origin.data(payload, self._pending_records, sequence, codec.content_type, codec.fingerprint)
        if not self._write(number, block, wait):
            return False
        self.blocks += 1
        self.size_bytes += len(payload)
        self._next_partition = number + 1
        self._sequences[number] = sequence + self._pending_records
        self._parts.clear()
        self._pending_bytes = self._pending_records = self._fence = 0
        return True

    def _write(self, number: int, block: Block, wait: bool) -> bool:
        if self._writer.write(number, block, False):
            return True
        if not wait:
            return False
        self._full_until = deadline = time.monotonic() + self._send_timeout_s
        if not self._watched:
            self._watched = True
            timer.call_in(self._send_timeout_s, self._watch)
        try:
            while True:
                if self._stopped():
                    raise WokenError(f"channel {self.info.name!r}: interrupted while its transport was full")
                if time.monotonic() >= deadline:
                    cause = self._last_cause()
                    raise TransportTimeoutError(
                        f"channel {self.info.name!r}: the transport was full for {self._send_timeout_s:g} s (sendTimeoutMs)"
                        + (f"; last cause: {cause}" if cause else "; its reader may have stopped")
                    )
                try:
                    return self._writer.write(number, block, True)
                except WokenError:
                    continue
        finally:
            self._full_until = None

    def _watch(self) -> float | None:
        """On the timer's thread: wake a write that has waited for too long."""
        until = self._full_until
        if until is None:
            self._watched = False
            return None
        left = until - time.monotonic()
        if left <= 0:
            self._wake()
            return RETRY_FULL_S
        return left

    def _linger(self) -> float | None:
        """On the timer's thread: send a block that has waited for `linger`."""
        if not self._lock.acquire(blocking=False):
            return RETRY_FULL_S  # the operator is sending right now
        try:
            if self._closed or not self._parts or self._failure is not None:
                self._timer_set = False
                return None
            left = self._pending_since + self._linger_s - time.monotonic()
            if left > 0:
                return left
            if not self._send_pending(wait=False):
                return RETRY_FULL_S
            self._timer_set = False
            return None
        except PypzError as error:
            self._failure = error
            self._timer_set = False
            return None
        finally:
            self._lock.release()
