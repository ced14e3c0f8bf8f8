"""Records of a channel, looked at: the latest ones first, then those that come, or from the first one on, as far as somebody
looks. Nothing is taken, joined or committed.

A thread of its own reads over a connection of its own; what it keeps is bounded by records and bytes. Blocks that lie
further back than that are not even read where the transport can begin near the end, and else passed over undecoded.
"""

from __future__ import annotations

import contextlib
import itertools
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pypz.cli.peeking import FIRST_ANSWER_S, QUIET_S, Peek, Seen, is_data
from pypz.core.channels.headers import count_of
from pypz.core.channels.pool import address_of
from pypz.core.channels.runs.retiring import Place
from pypz.core.channels.spi import BlockReader, ChannelInfo, ReadsBack, Received
from pypz.core.codecs.spi import Codec
from pypz.core.hooks.host import PluginHost
from pypz.sniffer.sources.asking import shown
from pypz.sniffer.sources.feed import Location

KEPT_RECORDS: Final = 500
"""Records kept (chosen: some screens full)."""

KEPT_BYTES: Final = 8 * 1024 * 1024
"""Bytes of blocks whose records are kept (chosen); the last block is kept whatever its size."""

BLOCKS: Final = 200
"""Blocks read at once (chosen)."""

WAIT_S: Final = 0.5
"""Seconds of one wait for blocks: as late the thread sees that it was closed."""

LOOKS_BACK: Final = (8, 64, KEPT_RECORDS)
"""Blocks of each partition before its end that are read: more, as long as those before did not hold enough records (chosen:
the last step is enough where each block holds one record)."""

CATCH_UP_S: Final = 3.0
"""Seconds after which the latest of what was read is shown, though more has come meanwhile (chosen)."""

BLOCKS_FORWARD: Final = 4
"""Blocks read at once from the first one on (chosen: each holds up to 10,000 records)."""

QUIET_LOOK_S: Final = 5.0
"""Seconds without a record after which the channel is asked for: a run deletes it at its end (chosen)."""

LOOK_S: Final = 1.0
"""Seconds between two looks for a channel that is not there yet, or for a location that does not answer."""


@dataclass(frozen=True)
class Tail:
    """What is kept at one moment."""

    records: Sequence[Seen] = ()
    first: int = 0
    """Number of the first one kept; records are numbered from 0 as they were read."""
    passed: int = 0
    """Records that were passed over: older than what is kept."""
    before: int = 0
    """Blocks that lie before the one at which reading began, and were not read."""
    is_from_first: bool = False
    """Whether reading began at the first record, and goes on only as far as somebody looks."""
    is_caught_up: bool = False
    """Whether everything that had been there was read; what comes follows."""
    ranges: Mapping[int, tuple[str, str]] = field(default_factory=dict)
    """Positions of the first and the last block of which records are kept, by partition."""
    schema: str = ""
    """The schema by which the newest block was written, as its writer has left it at the location; empty where none is known."""
    notice: str = ""
    """What hinders the view, or could not be shown, in words; empty when nothing does."""
    version: int = 0


class Records:
    """The latest records of one channel, from `start` to `close`.

    Args:
        channel: Full name of the channel, with its namespace.
        status_name: Name of the pipeline's status streams, which hold the schemas.
        locations: Where the channel may be.
        own: The reading port's codec, for messages that pypz has not written.
        host: Whose plugins make transports and codecs; left out, those of this process.
        from_first: Begin with the first record, and go on when `more` is asked for.
    """

    def __init__(
        self,
        channel: str,
        status_name: str,
        locations: Sequence[Location],
        own: Codec | None = None,
        host: PluginHost | None = None,
        *,
        from_first: bool = False,
    ) -> None:
        self.channel = channel
        self._status_name = status_name
        self._locations = list(locations)
        self._own = own
        self._host = PluginHost.default() if host is None else host
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._kept: deque[tuple[Seen, int]] = deque()
        self._kept_bytes = 0
        self._read = 0
        self._passed = 0
        self._before = 0
        self._is_from_first = from_first
        self._wanted = KEPT_RECORDS
        self._more = threading.Event()
        self._is_caught_up = False
        self._notice = ""
        self._version = 0
        self._schema = ""
        self.blocks_read = 0
        """Blocks that the transport has given so far."""
        self._thread = threading.Thread(target=self._follow, name="pypz-sniffer-records", daemon=True)

    def start(self) -> None:
        """Read from now on; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Read no more; idempotent, waits for nothing."""
        self._closing.set()
        self._more.set()

    def more(self) -> None:
        """From the first record on: let the next ones take the place of as many of those that are kept."""
        with self._lock:
            self._wanted = self._read + KEPT_RECORDS // 2
        self._more.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until the connection is closed; whether it is."""
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    @property
    def version(self) -> int:
        """Grows with everything read."""
        return self._version

    def tail(self) -> Tail:
        """What is kept now."""
        with self._lock:
            return Tail(
                records=[seen for seen, _ in self._kept],
                first=self._read - len(self._kept),
                passed=self._passed,
                before=self._before,
                is_from_first=self._is_from_first,
                schema=self._schema,
                ranges=_ranges(seen for seen, _ in self._kept),
                is_caught_up=self._is_caught_up,
                notice=self._notice,
                version=self._version,
            )

    # --- the thread ---

    def _follow(self) -> None:
        while not self._closing.is_set():
            try:
                with self._found() as found:
                    if found is not None:
                        self._read_all(*found)
            except Exception as error:  # noqa: BLE001 - a viewer stays up, says what is wrong and tries again
                self._tell(f"no records from there, trying again: {error}")
            self._closing.wait(LOOK_S)

    @contextlib.contextmanager
    def _found(self) -> Iterator[tuple[Peek, ChannelInfo] | None]:
        """The channel, at the first location that has it; the connection lasts as long as the block runs."""
        for location, options in self._locations:
            with contextlib.closing(self._host.make_transport(location, options)) as transport:
                info = transport.describe_channel(self.channel)
                if info is None:
                    continue
                with contextlib.closing(transport.open_status(self._status_name, create=False)) as stream:
                    place = Place(
                        location,
                        self._status_name,
                        {address_of(location, options): transport},
                        stream,
                        stream.facts(),
                    )
                    yield Peek(place, self._host, self._tell, self._own), info
                return
        places = ", ".join(shown(location) for location, _ in self._locations) or "no location"
        last = "; these are its last records" if self._kept else ""
        self._tell(f"no channel {self.channel} at {places} now{last}")
        yield None

    def _read_all(self, peek: Peek, info: ChannelInfo) -> None:
        """Read a channel until it is gone, made anew, or nobody looks any more."""
        with self._lock:
            self._kept.clear()
            self._kept_bytes = self._passed = self._before = 0
            self._wanted = self._read + KEPT_RECORDS
            self._is_caught_up = False
        self._tell("")
        reader = peek.observer(info)
        if self._is_from_first:
            self._read_forward(peek, info, reader)
            return
        self._catch_up(peek, info, reader)
        quiet_since = time.monotonic()
        while not self._closing.is_set():
            blocks = self._blocks(reader, BLOCKS, WAIT_S)
            if blocks:
                self._take(peek, info, blocks)
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_LOOK_S:
                if self._is_gone(peek, info):
                    return
                quiet_since = time.monotonic()

    def _is_gone(self, peek: Peek, info: ChannelInfo) -> bool:
        now = peek.describe(info.name)
        return now is None or now.incarnation != info.incarnation

    def _catch_up(self, peek: Peek, info: ChannelInfo, reader: BlockReader) -> None:
        """Read the last of what is there, and decode it."""
        if isinstance(reader, ReadsBack):
            for blocks in LOOKS_BACK:
                before = sum(reader.seek_back(blocks).values())
                with self._lock:
                    self._passed, self._before = 0, before
                latest = self._latest_of_each(info, reader, CATCH_UP_S)
                if not before or latest.are_enough or self._closing.is_set():
                    break
        else:
            _seek_first(info, reader)
            latest = self._latest_of_each(info, reader, float("inf"))
        records = latest.decoded(lambda block: self._decoded(peek, info, block))
        self._passed = max(0, latest.records - len(records))
        self._keep(records)
        self._is_caught_up = True
        self._changed()

    def _latest_of_each(self, info: ChannelInfo, reader: BlockReader, at_most_s: float) -> _Latest:
        """The latest blocks of each partition, of those that are there."""
        latest = _Latest(info.partitions)
        began = quiet_since = time.monotonic()
        wait_s = FIRST_ANSWER_S
        while not self._closing.is_set():
            found = self._blocks(reader, BLOCKS, QUIET_S)
            if found:
                latest.add(block for block in found if is_data(info, block))
                quiet_since, wait_s = time.monotonic(), QUIET_S
                self._passed = latest.records
                self._changed()
                if quiet_since - began > at_most_s:
                    break
            is_quiet = time.monotonic() - quiet_since >= wait_s
            if not sum(reader.lag().values()) and (is_quiet or latest.has_all):
                break
        return latest

    def _blocks(self, reader: BlockReader, at_most: int, wait_s: float) -> list[Received]:
        found = reader.read(at_most, wait_s)
        self.blocks_read += len(found)
        return found

    def _read_forward(self, peek: Peek, info: ChannelInfo, reader: BlockReader) -> None:
        """Read from the first record on, no further than is wanted, until the channel is gone or nobody looks any more."""
        _seek_first(info, reader)
        ahead: deque[tuple[Seen, int]] = deque()
        quiet_since = time.monotonic()
        while not self._closing.is_set():
            room = self._wanted - self._read
            if room <= 0:
                self._is_caught_up = True
                self._changed()
                self._more.wait()
                self._more.clear()
            elif ahead:
                self._keep([ahead.popleft() for _ in range(min(room, len(ahead)))])
            elif blocks := self._blocks(reader, BLOCKS_FORWARD, WAIT_S):
                ahead.extend(
                    one for block in blocks if is_data(info, block) for one in self._decoded(peek, info, block)
                )
                quiet_since = time.monotonic()
            elif not sum(reader.lag().values()) and time.monotonic() - quiet_since > FIRST_ANSWER_S:
                self._is_caught_up = True
                self._changed()
                if self._is_gone(peek, info):
                    return
                quiet_since = time.monotonic()

    def _take(self, peek: Peek, info: ChannelInfo, blocks: Sequence[Received]) -> None:
        for block in self._latest(info, blocks):
            self._keep(self._decoded(peek, info, block))

    def _decoded(self, peek: Peek, info: ChannelInfo, block: Received) -> list[tuple[Seen, int]]:
        """Records of a block, each with its share of the bytes."""
        records = peek.decoded(info, block)
        self._schema = peek.schema_of(block) or self._schema
        return [(seen, len(block.block.payload) // len(records)) for seen in records]

    def _keep(self, records: Sequence[tuple[Seen, int]]) -> None:
        """Keep records with the bytes that each stands for, in place of the oldest ones."""
        with self._lock:
            self._read += len(records)
            self._kept.extend(records)
            self._kept_bytes += sum(share for _, share in records)
            while len(self._kept) > KEPT_RECORDS or (self._kept_bytes > KEPT_BYTES and len(self._kept) > 1):
                self._kept_bytes -= self._kept.popleft()[1]
            self._version += 1

    def _latest(self, info: ChannelInfo, blocks: Iterable[Received]) -> list[Received]:
        """Those of the blocks whose records would be kept; the others count as passed."""
        found: list[Received] = []
        records = size_bytes = 0
        data = [block for block in blocks if is_data(info, block)]
        for block in reversed(data):
            if found and (records >= KEPT_RECORDS or size_bytes >= KEPT_BYTES):
                break
            found.append(block)
            records += count_of(block.block.headers)
            size_bytes += len(block.block.payload)
        with self._lock:
            self._passed += sum(count_of(block.block.headers) for block in data[: len(data) - len(found)])
        return found[::-1]

    def _tell(self, notice: str) -> None:
        if notice != self._notice:
            with self._lock:
                self._notice = notice
                self._version += 1

    def _changed(self) -> None:
        with self._lock:
            self._version += 1


class _Latest:
    """The latest blocks of each partition, bounded; every partition gets its share of what is kept of their records."""

    def __init__(self, partitions: int) -> None:
        self._most_bytes = KEPT_BYTES // max(1, partitions)
        self._partitions = partitions
        self._blocks: dict[int, deque[Received]] = {}
        self._records: dict[int, int] = {}
        self._sizes: dict[int, int] = {}
        self._size_bytes = 0
        self.records = 0
        """Records of all blocks that were added."""

    @property
    def are_enough(self) -> bool:
        """Whether no older ones are needed."""
        return self.records >= KEPT_RECORDS or self._size_bytes >= KEPT_BYTES

    @property
    def has_all(self) -> bool:
        """Whether there is something of each partition."""
        return len(self._blocks) == self._partitions

    def add(self, blocks: Iterable[Received]) -> None:
        """Take blocks, in place of older ones of their partition."""
        for block in blocks:
            number, count, size = block.partition, count_of(block.block.headers), len(block.block.payload)
            kept = self._blocks.setdefault(number, deque())
            kept.append(block)
            self.records += count
            self._size_bytes += size
            self._records[number] = self._records.get(number, 0) + count
            self._sizes[number] = self._sizes.get(number, 0) + size
            while len(kept) > 1 and (
                self._records[number] - count_of(kept[0].block.headers) >= KEPT_RECORDS
                or self._sizes[number] > self._most_bytes
            ):
                oldest = kept.popleft()
                self._records[number] -= count_of(oldest.block.headers)
                self._sizes[number] -= len(oldest.block.payload)

    def decoded(self, decode: Callable[[Received], list[tuple[Seen, int]]]) -> list[tuple[Seen, int]]:
        """The latest records: as many of each partition, one of each in turn, each partition's in order."""
        share = max(1, KEPT_RECORDS // max(1, len(self._blocks)))
        latest_first: list[list[tuple[Seen, int]]] = []
        for blocks in self._blocks.values():
            found: list[tuple[Seen, int]] = []
            while blocks and len(found) < share:
                found += reversed(decode(blocks.pop()))
            latest_first.append(found[:share])
        in_turn = [one for turn in itertools.zip_longest(*latest_first) for one in turn if one is not None]
        return in_turn[::-1]


def _seek_first(info: ChannelInfo, reader: BlockReader) -> None:
    for partition in range(info.partitions):
        reader.seek(partition, "first")


def _ranges(records: Iterable[Seen]) -> dict[int, tuple[str, str]]:
    found: dict[int, tuple[str, str]] = {}
    for seen in records:
        found[seen.partition] = found.get(seen.partition, (seen.position, ""))[0], seen.position
    return found
