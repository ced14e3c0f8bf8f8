"""Records of a channel, looked at: the latest ones first, then those that come. Nothing is taken, joined or committed.

A thread of its own reads over a connection of its own; what it keeps is bounded by records and bytes. Blocks that lie
further back are passed over without being decoded.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from pypz.cli.peeking import FIRST_ANSWER_S, QUIET_S, Peek, Seen, is_data
from pypz.core.channels.headers import count_of
from pypz.core.channels.pool import address_of
from pypz.core.channels.runs.retiring import Place
from pypz.core.channels.spi import BlockReader, ChannelInfo, Received
from pypz.core.codecs.spi import Codec
from pypz.core.hooks.host import PluginHost
from pypz.sniffer.feed import Location

KEPT_RECORDS: Final = 500
"""Records kept (chosen: some screens full)."""

KEPT_BYTES: Final = 8 * 1024 * 1024
"""Bytes of blocks whose records are kept (chosen); the last block is kept whatever its size."""

BLOCKS: Final = 200
"""Blocks read at once (chosen)."""

WAIT_S: Final = 0.5
"""Seconds of one wait for blocks: as late the thread sees that it was closed."""

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
    is_caught_up: bool = False
    """Whether everything that had been there was read; what comes follows."""
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
    """

    def __init__(
        self,
        channel: str,
        status_name: str,
        locations: Sequence[Location],
        own: Codec | None = None,
        host: PluginHost | None = None,
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
        self._is_caught_up = False
        self._notice = ""
        self._version = 0
        self._thread = threading.Thread(target=self._follow, name="pypz-sniffer-records", daemon=True)

    def start(self) -> None:
        """Read from now on; returns at once."""
        self._thread.start()

    def close(self) -> None:
        """Read no more; idempotent, waits for nothing."""
        self._closing.set()

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
        shown = ", ".join(location for location, _ in self._locations) or "no location"
        last = "; these are its last records" if self._kept else ""
        self._tell(f"no channel {self.channel} at {shown} now{last}")
        yield None

    def _read_all(self, peek: Peek, info: ChannelInfo) -> None:
        """Read a channel until it is gone, made anew, or nobody looks any more."""
        with self._lock:
            self._kept.clear()
            self._kept_bytes = self._passed = 0
            self._is_caught_up = False
        self._tell("")
        reader = peek.reader(info, from_end=False)
        self._catch_up(peek, info, reader)
        quiet_since = time.monotonic()
        while not self._closing.is_set():
            blocks = reader.read(BLOCKS, WAIT_S)
            if blocks:
                self._take(peek, info, blocks)
                quiet_since = time.monotonic()
            elif time.monotonic() - quiet_since > QUIET_LOOK_S:
                if (now := peek.describe(info.name)) is None or now.incarnation != info.incarnation:
                    return
                quiet_since = time.monotonic()

    def _catch_up(self, peek: Peek, info: ChannelInfo, reader: BlockReader) -> None:
        """Read what is there, and decode the last of it."""
        waiting: list[Received] = []
        quiet_since, wait_s = time.monotonic(), FIRST_ANSWER_S
        while not self._closing.is_set():
            found = reader.read(BLOCKS, QUIET_S)
            if found:
                waiting = self._latest(info, [*waiting, *found])
                quiet_since, wait_s = time.monotonic(), QUIET_S
                self._changed()
            if not sum(reader.lag().values()) and (waiting or time.monotonic() - quiet_since >= wait_s):
                break
        self._take(peek, info, waiting)
        self._is_caught_up = True
        self._changed()

    def _take(self, peek: Peek, info: ChannelInfo, blocks: Sequence[Received]) -> None:
        for block in self._latest(info, blocks):
            records = peek.decoded(info, block)
            share = len(block.block.payload) // max(1, len(records))
            with self._lock:
                self._read += len(records)
                self._kept.extend((seen, share) for seen in records)
                self._kept_bytes += share * len(records)
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
