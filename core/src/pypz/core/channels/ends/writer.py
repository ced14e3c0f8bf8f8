"""The writing end of one port on one channel: gathers encoded records into blocks and sends them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pypz.core.channels.headers import BATCH, RECORD, Origin
from pypz.core.channels.spi import Block, BlockWriter, ChannelInfo
from pypz.core.codecs.spi import Codec
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import PypzError, RecordError, TransportTimeoutError, WokenError

BLOCK_BYTES: Final = 512 * 1024
"""A block is cut at this size (design 4)."""
BLOCK_RECORDS: Final = 10_000
"""... at this count (design 4)."""
MANY_LANES: Final = 16
"""Partitions that may each gather a whole block (chosen)."""
GATHERED_BYTES: Final = MANY_LANES * BLOCK_BYTES
"""Records that wait in all partitions together are sent at this size."""
RETRY_FULL_S: Final = 0.02
"""Seconds until the timer tries again on a full transport (chosen)."""


@dataclass(slots=True)
class Part:
    """Some records, encoded together: never torn apart."""

    payload: bytes
    count: int


@dataclass
class _Lane:
    """What is gathered for one partition, or for whichever is next."""

    partition: int | None
    parts: list[Part] = field(default_factory=list)
    size_bytes: int = 0
    records: int = 0
    fence: int = 0
    """Parts that belong to iterations which have returned."""
    since: float = 0.0
    """When the oldest part came."""

    def put(self, part: Part) -> None:
        self.parts.append(part)
        self.size_bytes += len(part.payload)
        self.records += part.count

    def drop(self, count: int) -> None:
        """Forget the first parts."""
        gone = self.parts[:count]
        del self.parts[:count]
        self.fence = max(0, self.fence - count)
        self.size_bytes -= sum(len(part.payload) for part in gone)
        self.records -= sum(part.count for part in gone)

    def clear(self) -> None:
        self.parts.clear()
        self.size_bytes = self.records = self.fence = 0


class OutputEnd:
    """Blocks of one writer for one channel. `add` is the operator's; `_linger` the timer's; a lock is between."""

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
        framing: str = BATCH,
        clock: Clock = PROCESS_CLOCK,
    ) -> None:
        self.info = info
        self.records = 0
        self.blocks = 0
        self.size_bytes = 0
        self.ended_partitions = 0
        """Partitions that hold this writer's end."""
        self._writer = writer
        self._origin = origin
        self._codec = codec
        self._linger_s = linger_s
        self._send_timeout_s = send_timeout_s
        self._wake = wake
        self._stopped = stopped
        self._last_cause = last_cause
        self._lock = threading.Lock()
        self._framing = framing
        self._clock = clock
        self._any = _Lane(None)
        self._keyed: dict[int, _Lane] = {}
        self._finished_records = 0
        """Of iterations that have returned."""
        self._timer_set = False
        self._next_partition = first_partition
        self._sequences: dict[int, int] = {}
        self._failure: Exception | None = None
        self._closed = False
        self._full_until: float | None = None
        self._watched = False
        self._grown: tuple[BlockWriter, ChannelInfo] | None = None

    def add(self, part: Part, partition: int | None = None) -> None:
        """Take a part; send the block when it is full. May wait for room.

        Args:
            part: Records of one partition.
            partition: Where they belong; None: blocks go round the partitions.

        Raises:
            TransportError: This or an earlier block could not be sent.
        """
        with self._lock:
            self._raise_failure()
            lane = self._any if partition is None else self._lane(partition)
            if lane.parts and lane.size_bytes + len(part.payload) > BLOCK_BYTES:
                self._send_lane(lane, wait=True)
            if not lane.parts:
                lane.since = self._clock.now()
            lane.put(part)
            self.records += part.count
            if lane.size_bytes >= BLOCK_BYTES or lane.records >= BLOCK_RECORDS:
                self._send_lane(lane, wait=True)
            elif len(self._keyed) > MANY_LANES and sum(other.size_bytes for other in self._lanes()) > GATHERED_BYTES:
                self._send_pending(wait=True)
            elif not self._timer_set:
                self._timer_set = True
                self._clock.call_in(self._linger_s, self._linger)

    def mark_iteration(self) -> None:
        """What was added up to now belongs to iterations that returned."""
        with self._lock:
            self._finished_records = self.records
            self._any.fence = len(self._any.parts)
            for lane in self._keyed.values():
                lane.fence = len(lane.parts)

    def has_unfinished(self) -> bool:
        """Whether the iteration that is going on has added anything."""
        return self.records != self._finished_records

    def drop_unfinished(self) -> None:
        """Forget what the failing iteration has added and nobody has sent yet."""
        with self._lock:
            for lane in self._lanes():
                for part in lane.parts[lane.fence :]:
                    lane.size_bytes -= len(part.payload)
                    lane.records -= part.count
                    self.records -= part.count
                del lane.parts[lane.fence :]

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
            count = self.ended_partitions = self._partitions()
            for number in range(count):
                self._write(number, self._origin.end(self._sequences.get(number, 0), count), wait=True)

    def grow(self, writer: BlockWriter, info: ChannelInfo) -> None:
        """The channel has more partitions: go on by a writer that knows them. Any thread, never waits."""
        self._grown = writer, info

    def close(self) -> None:
        """Take part no more."""
        with self._lock:
            self._closed = True

    # --- below: with the lock held ---

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _partitions(self) -> int:
        if self._grown is not None:
            (self._writer, self.info), self._grown = self._grown, None
        return self._writer.partition_count()

    def _lane(self, partition: int) -> _Lane:
        found = self._keyed.get(partition)
        if found is None:
            found = self._keyed[partition] = _Lane(partition)
        return found

    def _lanes(self) -> list[_Lane]:
        return [self._any, *self._keyed.values()]

    def _send_pending(self, wait: bool) -> bool:
        if not self._keyed:
            return self._send_lane(self._any, wait)
        return all([self._send_lane(lane, wait) for lane in self._lanes()])

    def _send_lane(self, lane: _Lane, wait: bool) -> bool:
        if not lane.parts:
            return True
        if self._framing == RECORD:
            return self._send_singly(lane, wait)
        while lane.parts:
            number = self._next_partition % self._partitions() if lane.partition is None else lane.partition
            taken, payload = self._joined(lane.parts)
            records = lane.records if taken == len(lane.parts) else sum(part.count for part in lane.parts[:taken])
            if not self._send(number, payload, records, wait):
                return False
            if taken == len(lane.parts):
                lane.clear()
            else:
                lane.drop(taken)
            if lane.partition is None:
                self._next_partition = number + 1
        return True

    def _joined(self, parts: list[Part]) -> tuple[int, bytes]:
        """As many of the first parts as the codec takes for one block, mostly all, and its payload."""
        count = len(parts)
        while True:
            try:
                return count, self._codec.join([part.payload for part in parts[:count]])
            except RecordError:
                if count == 1:
                    raise
                count = (count + 1) // 2

    def _send_singly(self, lane: _Lane, wait: bool) -> bool:
        """Send each part, which is one record, as a message of its own; what does not fit any more stays."""
        count = self._partitions() if lane.partition is None else 0
        sent = 0
        try:
            for part in lane.parts:
                number = self._next_partition % count if lane.partition is None else lane.partition
                if not self._send(number, part.payload, part.count, wait):
                    return False
                sent += 1
                if lane.partition is None:
                    self._next_partition = number + 1
            return True
        finally:
            lane.drop(sent)

    def _send(self, number: int, payload: bytes, count: int, wait: bool) -> bool:
        sequence = self._sequences.get(number, 0)
        codec = self._codec
        block = self._origin.data(payload, count, sequence, codec.content_type, codec.fingerprint, self._framing)
        if not self._write(number, block, wait):
            return False
        self.blocks += 1
        self.size_bytes += len(payload)
        self._sequences[number] = sequence + count
        return True

    def _write(self, number: int, block: Block, wait: bool) -> bool:
        if self._writer.write(number, block, False):
            return True
        if not wait:
            return False
        self._full_until = deadline = self._clock.now() + self._send_timeout_s
        if not self._watched:
            self._watched = True
            self._clock.call_in(self._send_timeout_s, self._watch)
        try:
            while True:
                if self._stopped():
                    raise WokenError(f"channel {self.info.name!r}: interrupted while its transport was full")
                if self._clock.now() >= deadline:
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
        left = until - self._clock.now()
        if left <= 0:
            self._wake()
            return RETRY_FULL_S
        return left

    def _linger(self) -> float | None:
        """On the timer's thread: send a block that has waited for `linger`."""
        if not self._lock.acquire(blocking=False):
            return RETRY_FULL_S  # the operator is sending right now
        try:
            waiting = [lane for lane in self._lanes() if lane.parts]
            if self._closed or not waiting or self._failure is not None:
                self._timer_set = False
                return None
            now = self._clock.now()
            due = [lane for lane in waiting if lane.since + self._linger_s <= now]
            if not all([self._send_lane(lane, wait=False) for lane in due]):
                return RETRY_FULL_S
            if len(due) < len(waiting):
                return max(0.0, min(lane.since for lane in waiting if lane.parts) + self._linger_s - now)
            self._timer_set = False
            return None
        except PypzError as error:
            self._failure = error
            self._timer_set = False
            return None
        finally:
            self._lock.release()
