"""Channels in this process's memory: ``memory:NAME``.

For tests, demos and small jobs. A NAME lives until the last transport on it in the process is closed. A channel is
bounded by bytes: when it is full, `write` waits until committed blocks are dropped. No other process sees it.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from pypz.core.channels.bounds import Growth
from pypz.core.channels.memory.status import MemoryLogReader, MemoryStatusStream, Signal, Status, StatusStore
from pypz.core.channels.spi import (
    AssignmentListener,
    Block,
    Capabilities,
    ChannelInfo,
    ChannelSpec,
    Committed,
    Guarantee,
    Member,
    MemberNote,
    Position,
    Received,
    Unit,
)
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import BlockTooLargeError, ChannelGoneError, ConfigurationError, WokenError

DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that one channel holds before `write` waits (chosen)."""

CAPABILITIES: Final = Capabilities(
    durable="no",
    across_processes=False,
    across_hosts=False,
    partitions=True,
    raise_partitions=True,
    transactions=False,
    fencing=False,
    group_assignment=False,
    seek=True,
    keeps_read=False,
    last_value=True,
    inline=True,
    max_block=16 * 1024 * 1024,
    max_note=4096,
)


@dataclass
class _Partition:
    """Blocks from ``base`` on; earlier ones were committed by every group and dropped."""

    base: int = 0
    blocks: list[Block] = field(default_factory=list)

    @property
    def end(self) -> int:
        return self.base + len(self.blocks)


@dataclass
class _Channel:
    info: ChannelInfo
    partitions: list[_Partition]
    size_bytes: int = 0
    committed: dict[tuple[str, int], Committed] = field(default_factory=dict)
    readers: list[_Reader] = field(default_factory=list)
    groups: set[str] = field(default_factory=set)

    def drop_committed(self) -> bool:
        """Drop what every group has committed; tell whether anything went."""
        dropped = False
        for number, partition in enumerate(self.partitions):
            marks = [self.committed.get((group, number)) for group in self.groups]
            if not marks or None in marks:
                continue
            count = min(int(mark.position) for mark in marks if mark is not None) - partition.base
            if count > 0:
                self.size_bytes -= sum(_size(block) for block in partition.blocks[:count])
                del partition.blocks[:count]
                partition.base += count
                dropped = True
        return dropped


def _size(block: Block) -> int:
    return len(block.payload) + 64  # 64: about what a block costs besides its payload (chosen)


class _Store(StatusStore):
    """All that one NAME holds; one lock for everything, one condition that tells of room in a full channel."""

    def __init__(self, name: str, clock: Clock) -> None:
        super().__init__(clock)
        self.name = name
        self.room = clock.condition(self.lock)
        self.channels: dict[str, _Channel] = {}
        self.notes: dict[tuple[str, str], MemberNote] = {}
        """By pipeline and member."""
        self.users = 0

    def channel(self, info: ChannelInfo) -> _Channel:
        found = self.channels.get(info.name)
        if found is None or found.info.incarnation != info.incarnation:
            raise ChannelGoneError(f"channel {info.name!r} at memory:{self.name} was deleted")
        return found


_stores: dict[str, _Store] = {}
_stores_lock = threading.Lock()


class MemoryTransport:
    """Channels in this process's memory, shared by all transports of the same NAME."""

    capabilities: Final = CAPABILITIES

    def __init__(self, name: str, options: Mapping[str, str] | None = None, *, clock: Clock = PROCESS_CLOCK) -> None:
        """Share the NAME.

        Args:
            name: What comes after ``memory:``.
            options: The ports' ``channelConfig``.
            clock: By which time-outs go; of the transport that makes the NAME.
        """
        if not name:
            raise ConfigurationError("location 'memory:' has no name, expected memory:NAME, such as memory:demo")
        self.max_bytes = _max_bytes(name, options or {})
        with _stores_lock:
            self._store = _stores.setdefault(name, _Store(name, clock))
            self._store.users += 1
        self._closed = False

    @property
    def clock(self) -> Clock:
        """By which time-outs here go."""
        return self._store.clock

    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        """Make the channel or raise its partitions."""
        with self._store.lock:
            found = self._store.channels.get(spec.name)
            if found is None:
                info = ChannelInfo(spec.name, spec.partitions, uuid.uuid4().hex[:12])
                found = self._store.channels[spec.name] = _Channel(info, [_Partition() for _ in range(spec.partitions)])
            while len(found.partitions) < spec.partitions:
                found.partitions.append(_Partition())
            found.info = ChannelInfo(spec.name, len(found.partitions), found.info.incarnation)
            found.groups = set(spec.groups) or found.groups
            return found.info

    def describe_channel(self, name: str) -> ChannelInfo | None:
        """Tell what is known of the channel."""
        with self._store.lock:
            found = self._store.channels.get(name)
            return found.info if found else None

    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        """Delete that incarnation; its readers fail at their next read."""
        with self._store.lock:
            found = self._store.channels.get(info.name)
            if found is not None and found.info.incarnation == info.incarnation:
                del self._store.channels[info.name]
                for reader in found.readers:
                    reader.gone = True
                    reader.signal.notify()
                self._store.room.notify_all()

    def open_status(self, pipeline: str, create: bool) -> MemoryStatusStream:
        """Open the pipeline's stream; a viewer's may wait for one that is made later."""
        with self._store.lock:
            if create:
                self._store.status.setdefault(pipeline, Status())
            return MemoryStatusStream(self._store, pipeline)

    def open_logs(self, pipeline: str, kept: int) -> MemoryLogReader:
        """Follow the pipeline's log lines."""
        return MemoryLogReader(self._store, pipeline, kept)

    def pipelines(self) -> list[str]:
        """Names of the pipelines that have streams here."""
        with self._store.lock:
            return sorted(self._store.status)

    def delete_status(self, pipeline: str, timeout_s: float) -> None:
        """Remove the pipeline's stream."""
        with self._store.lock:
            self._store.status.pop(pipeline, None)
            for place in [place for place in self._store.notes if place[0] == pipeline]:
                del self._store.notes[place]

    def observe(self, channel: ChannelInfo) -> _Reader:
        """A reader of all partitions that commits nothing."""
        client = _Client(self._store, self.max_bytes, None)
        return client.open_reader(channel, None, range(channel.partitions))

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> _Client:
        """All ends of one member."""
        return _Client(self._store, self.max_bytes, member)

    def close(self) -> None:
        """Give up the NAME; the last one to do so forgets all it held."""
        with _stores_lock:
            if self._closed:
                return
            self._closed = True
            self._store.users -= 1
            if not self._store.users and _stores.get(self._store.name) is self._store:
                del _stores[self._store.name]


def _max_bytes(name: str, options: Mapping[str, str]) -> int:
    for key in options:
        if key != "max.bytes":
            raise ConfigurationError(
                f"memory:{name}: channelConfig has no option {key!r}, expected 'max.bytes' (bytes a channel holds) or none"
            )
    given = options.get("max.bytes", str(DEFAULT_MAX_BYTES))
    if not given.isdigit() or int(given) < 1:
        raise ConfigurationError(
            f"memory:{name}: option 'max.bytes' is {given!r}, expected a whole number of bytes, 1 or more; "
            f"leave it out for {DEFAULT_MAX_BYTES}"
        )
    return int(given)


class _Client:
    """All ends of one member in one store."""

    def __init__(self, store: _Store, max_bytes: int, member: Member | None) -> None:
        self._store = store
        self._max_bytes = max_bytes
        self._member = member
        self.signal = Signal(store)
        self.readers: list[_Reader] = []

    def settle(self, timeout_s: float) -> MemberNote | None:
        """Give the member's note; nothing can be left open in memory."""
        with self._store.lock:
            return self._store.notes.get(self._place_of_note())

    def _place_of_note(self) -> tuple[str, str]:
        assert self._member is not None, "observers have no note"
        return self._member.pipeline, self._member.key

    def writer(self, channel: ChannelInfo) -> _Writer:
        """Open a writer."""
        return _Writer(self._store, channel, self)

    def reader(
        self,
        channel: ChannelInfo,
        group: str,
        partitions: Sequence[int] | None,
        on_change: AssignmentListener | None = None,
    ) -> _Reader:
        """Open a reader of these partitions."""
        if partitions is None:
            raise ConfigurationError("memory: transport lacks the capability 'group_assignment'; name the partitions")
        return self.open_reader(channel, group, partitions)

    def open_reader(self, channel: ChannelInfo, group: str | None, partitions: Sequence[int]) -> _Reader:
        """Open a reader; without group it commits nothing and starts at the end."""
        with self._store.lock:
            held = self._store.channel(channel)
            reader = _Reader(self._store, held, group, self.signal)
            held.readers.append(reader)
            if group is not None:
                held.groups.add(group)
            else:
                reader.positions = {number: held.partitions[number].end for number in partitions}
            self.readers.append(reader)
            return reader

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give what is there, else wait for the first block, a wake-up or the time-out."""
        deadline = self._store.clock.now() + timeout_s
        with self._store.lock:
            while True:
                found: list[Received] = []
                for reader in self.readers:
                    found += reader.take(max_blocks - len(found))
                remaining = deadline - self._store.clock.now()
                if self.signal.was_woken("read") or found or remaining <= 0:
                    return found
                self.signal.wait(remaining)

    def flush(self, timeout_s: float) -> None:
        """What is written is readable at once."""

    def commit(self, unit: Unit, timeout_s: float) -> None:
        """Store positions and notes, drop what nobody needs any more."""
        with self._store.lock:
            self._store_note(unit.member_note)
            touched = []
            for (name, number), committed in unit.positions.items():
                for reader in self.readers:
                    if reader.channel.info.name == name and reader.group is not None:
                        reader.channel.committed[reader.group, number] = committed
                        touched.append(reader.channel)
            if any([channel.drop_committed() for channel in touched]):
                self._store.room.notify_all()

    def _store_note(self, note: MemberNote | None) -> None:
        if note is not None and note.value:
            self._store.notes[self._place_of_note()] = note
        elif note is not None:
            self._store.notes.pop(self._place_of_note(), None)

    def abort(self) -> None:
        """No transactions here."""

    def wake(self) -> None:
        """End a waiting `read` or `write`."""
        with self._store.lock:
            self.signal.wake()
            self._store.room.notify_all()

    def close(self, timeout_s: float) -> None:
        """Let go of the readers."""
        with self._store.lock:
            for reader in self.readers:
                if reader in reader.channel.readers:
                    reader.channel.readers.remove(reader)
            self.readers.clear()
        self.wake()

    @property
    def max_bytes(self) -> int:
        """Bytes a channel may hold for this client's writers."""
        return self._max_bytes


class _Writer:
    def __init__(self, store: _Store, info: ChannelInfo, client: _Client) -> None:
        self._store = store
        self._info = info
        self._client = client
        self._growth = Growth(info, f"memory:{store.name}", client.max_bytes)

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        """Append; a full channel waits or refuses."""
        size = _size(block)
        if len(block.payload) > CAPABILITIES.max_block:
            raise BlockTooLargeError(
                f"channel {self._info.name!r}: a block of {len(block.payload)} bytes, at most {CAPABILITIES.max_block} fit"
            )
        with self._store.lock:
            while True:
                channel = self._store.channel(self._info)
                if not channel.size_bytes or channel.size_bytes + size <= self._client.max_bytes:
                    break
                if self._growth.may_pass():
                    break
                if not wait:
                    return False
                if self._client.signal.was_woken("write"):
                    raise WokenError(
                        f"channel {self._info.name!r} is full ({channel.size_bytes} bytes); woken while waiting"
                    )
                self._store.room.wait()
            channel.partitions[partition].blocks.append(block)
            channel.size_bytes += size
            for reader in channel.readers:
                if partition in reader.positions and partition not in reader.paused:
                    reader.signal.notify()
            return True

    def partition_count(self) -> int:
        """Partitions now."""
        with self._store.lock:
            return len(self._store.channel(self._info).partitions)


class _Reader:
    """Reads some partitions of one channel; its client hands out what it takes."""

    def __init__(self, store: _Store, channel: _Channel, group: str | None, signal: Signal) -> None:
        self._store = store
        self.channel = channel
        self.group = group
        self.signal = signal
        self.positions: dict[int, int] = {}
        self.paused: set[int] = set()
        self.gone = False

    def committed(self, partition: int) -> Committed | None:
        """What this reader's group has committed."""
        with self._store.lock:
            return self.channel.committed.get((self.group or "", partition))

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        with self._store.lock:
            log = self.channel.partitions[partition]
            place = {"first": log.base, "end": log.end}.get(position)
            self.positions[partition] = int(position) if place is None else place
            self.signal.notify()

    def pause(self, partitions: Sequence[int]) -> None:
        """Hold these back."""
        with self._store.lock:
            self.paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Let these go on."""
        with self._store.lock:
            self.paused.difference_update(partitions)
            self.signal.notify()

    def lag(self) -> Mapping[int, int]:
        """Entries not yet read."""
        with self._store.lock:
            return {n: self.channel.partitions[n].end - position for n, position in self.positions.items()}

    def take(self, max_blocks: int) -> list[Received]:
        """Give blocks that are there and move behind them."""
        if self.gone:
            raise ChannelGoneError(f"channel {self.channel.info.name!r} at memory:{self._store.name} was deleted")
        found: list[Received] = []
        for number, position in self.positions.items():
            if number in self.paused:
                continue
            log = self.channel.partitions[number]
            first = max(position, log.base)
            for place in range(first, min(log.end, first + max_blocks - len(found))):
                block = log.blocks[place - log.base]
                found.append(Received(self.channel.info.name, number, block, str(place), str(place + 1)))
                self.positions[number] = place + 1
        return found

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """As `_Client.read`, for a viewer's reader."""
        deadline = self._store.clock.now() + timeout_s
        with self._store.lock:
            while not (found := self.take(max_blocks)) and (remaining := deadline - self._store.clock.now()) > 0:
                self.signal.wait(remaining)
            return found
