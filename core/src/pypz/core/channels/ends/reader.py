"""The reading end of one port: holds prefetched blocks, hands out records, knows which writers have ended."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice, takewhile
from typing import Any, Final

from pypz.core.channels.error_policy import FAIL, ErrorPolicy
from pypz.core.channels.headers import (
    COUNT,
    DATA,
    END,
    EPOCH,
    INCARNATION,
    KIND,
    RUN,
    WRITER,
    Note,
    count_of,
    is_foreign,
    names,
    partitions_of_end,
)
from pypz.core.channels.roster import NEVER, Writers
from pypz.core.channels.spi import BlockReader, ChannelInfo, Committed, Received
from pypz.core.codecs.spi import Decoder
from pypz.core.commons.errors import DecodeError, PositionGoneError, PypzError

PREFETCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes held ahead before reading pauses (chosen: some 16 full blocks)."""
PREFETCH_RECORDS: Final = 100_000
"""Records held ahead before reading pauses (chosen)."""


@dataclass
class _Place:
    """Where the reader stands in one partition, by what was handed out."""

    position: str
    """Of the block that is partly handed out, or behind the last one."""
    index: int = 0
    consumed: int = 0
    """Entries handed out whole, ends included, since the port was opened."""
    ended: frozenset[str] = frozenset()
    early: Mapping[str, int] = field(default_factory=dict)
    """Epochs of ends whose writers the roster does not know yet."""
    changed: bool = False


@dataclass(frozen=True)
class Mark:
    """What one iteration's end makes due for commit."""

    committed: dict[tuple[str, int], Committed]
    consumed: int
    records: int


@dataclass
class _Opened:
    """The block that is being handed out."""

    received: Received
    records: list[Any]
    index: int = 0


@dataclass(frozen=True)
class _UnitBegin:
    """Where an end stood when its unit began."""

    places: dict[int, _Place]
    opened: _Opened | None
    """As it stood: its records may have been changed by the operator since, and are decoded anew."""
    skip: dict[int, int]
    records: int
    blocks: int
    size_bytes: int


@dataclass
class InputEnd:
    """Blocks of one channel on their way to one input port.

    `received` is called by the client's thread, the rest by the operator's; ``changed`` is the session's condition and its
    lock guards all.
    """

    info: ChannelInfo
    run: str
    writers: Writers
    """Writers that the roster expects: ``<operator>/<index>/<port>``."""
    reader: BlockReader
    changed: threading.Condition
    decoder_for: Callable[[Mapping[str, str]], Decoder]
    """Gives what decodes a block with these headers; may wait for the schema's fact."""
    tell: Callable[[str], None]
    retired: frozenset[str] = frozenset()
    """Writers that will not come and have left nothing here: they count as ended."""

    policy: ErrorPolicy = FAIL
    """What becomes of records that cannot be handled; any but `FAIL` keeps what a unit has taken, so that it may go back."""
    group: str = ""
    """By which it commits."""
    is_held: bool = False
    """Nothing is handed out for now: the port waits until every writer has ended."""
    more_partitions: Callable[[], None] = lambda: None
    """Called, with the lock held, when an end tells of partitions that this reader does not know yet; must not wait."""
    places: dict[int, _Place] = field(default_factory=dict)
    records: int = 0
    """Handed out since the port was opened."""
    blocks: int = 0
    size_bytes: int = 0
    paused: bool = False
    earlier_run: int | None = None
    """Entries that waited when the first block of an earlier run came; None: none came."""
    foreign: int = 0
    """Blocks of another incarnation: ignored."""
    committed_entries: int = 0
    committed_records: int = 0
    marked_records: int = 0
    """Of those handed out, those whose unit is over."""

    _readers: list[tuple[BlockReader, Sequence[int]]] = field(default_factory=list)
    _expected: int = 0
    """Partitions that some writer knows."""
    _closed: dict[str, int] = field(default_factory=dict)
    """Partitions that a writer knew which has closed: it has written nothing to later ones."""
    _queue: deque[Received] = field(default_factory=deque)
    _queued_bytes: int = 0
    _queued_records: int = 0
    _received_entries: int = 0
    _opened: _Opened | None = None
    _skip: dict[int, int] = field(default_factory=dict)
    _unit: _UnitBegin | None = None
    _taken: list[Received] = field(default_factory=list)
    """Blocks taken from the queue since the unit began."""

    def start(self, partitions: Sequence[int], known: Collection[int] = frozenset()) -> dict[int, Committed]:
        """Go to the committed positions; take over the ends that their notes of this run know.

        Args:
            partitions: Those to read.
            known: Those for which the group has committed before: without a position now, it is lost.

        Returns:
            The positions by partition, where there are any.

        Raises:
            PositionGoneError: A position was forgotten, or the log no longer holds it.
        """
        return self._begin(self.reader, partitions, known)

    def add(self, info: ChannelInfo, reader: BlockReader | None, partitions: Sequence[int]) -> None:
        """Take up partitions that were added to the channel. The client's thread.

        Args:
            info: The channel as it is now.
            reader: Of the partitions.
            partitions: Those of them that are this reader's.
        """
        if reader is not None:
            self._begin(reader, partitions, frozenset())
        with self.changed:
            self.info = info
            self.changed.notify_all()

    def writer_closed(self, writer: str, partitions: int) -> None:
        """A writer has closed that knew so many partitions: in every later one it has ended, too. With the lock held."""
        self._closed[writer] = partitions
        for number, place in self.places.items():
            place.ended |= self._closed_in(number)

    def _closed_in(self, partition: int) -> set[str]:
        return {writer for writer, known in self._closed.items() if partition >= known and writer in self.writers}

    def expect(self, writers: Writers) -> None:
        """The roster has a new generation: some writers were added, some taken away. With the lock held."""
        known, self.writers = self.writers.generation, writers
        self.retired = writers.standing(self.retired, known)
        places = [
            (number, place)
            for kept in (self.places, self._unit.places if self._unit else {})
            for number, place in kept.items()
        ]
        for number, place in places:
            here = {writer for writer, epoch in place.early.items() if writers.ends_since(writer, epoch)}
            place.ended = writers.standing(place.ended, known) | here | self._closed_in(number)
            place.early = {writer: epoch for writer, epoch in place.early.items() if writer not in writers}

    def _begin(self, reader: BlockReader, partitions: Sequence[int], known: Collection[int]) -> dict[int, Committed]:
        found: dict[int, Committed] = {}
        for number in partitions:
            committed = reader.committed(number)
            if committed is None and number in known:
                raise PositionGoneError(
                    f"channel {self.info.name!r}, partition {number}: what group {self.group!r} had committed is gone; the "
                    "transport forgets what is not committed again for long (Kafka: offsets.retention.minutes, 7 days), or "
                    "somebody has removed it. Start with --fresh to begin with empty channels, or commit for the group "
                    "the position to go on from"
                )
            note = Note.decode(committed.note, self.writers) if committed else Note("", "")
            if committed is not None and note.incarnation not in ("", self.info.incarnation):
                committed, note = None, Note("", "")
            ended = self.retired | self._closed_in(number) | (note.ended if note.run == self.run else frozenset())
            with self.changed:
                early = note.early if note.run == self.run else {}
                self.places[number] = _Place(
                    committed.position if committed else "", note.index, ended=ended, early=early
                )
            if committed is not None:
                self._skip[number] = note.index
                found[number] = committed
            reader.seek(number, committed.position if committed else "first")
        self._readers.append((reader, partitions))
        return found

    # --- the client's thread ---

    def received(self, blocks: Sequence[Received]) -> bool:
        """Take blocks as they were read; tell whether reading should pause now. With the lock held."""
        for block in blocks:
            self._queue.append(block)
            self._queued_bytes += len(block.block.payload)
            self._queued_records += count_of(block.block.headers)
            if self.earlier_run is None and self._is_of_earlier_run(block.block.headers):
                self.earlier_run = 0
        self._received_entries += len(blocks)
        if not self.paused and (self._queued_bytes > PREFETCH_BYTES or self._queued_records > PREFETCH_RECORDS):
            self.paused = True
            return True
        return False

    def pause(self) -> None:
        """Have the transport hold back what comes."""
        for reader, partitions in self._readers:
            reader.pause(partitions)

    def resume(self) -> None:
        """Undo `pause`."""
        for reader, partitions in self._readers:
            reader.resume(partitions)

    def behind(self) -> int:
        """Entries between what was read and the end."""
        return sum(sum(reader.lag().values()) for reader, _ in self._readers)

    def wants_more(self) -> bool:
        """Whether a paused reader has drained enough to go on."""
        return (
            self.paused and self._queued_bytes <= PREFETCH_BYTES // 2 and self._queued_records <= PREFETCH_RECORDS // 2
        )

    # --- the operator's thread ---

    def has_records(self) -> bool:
        """Whether a record can be handed out now. Passes over ends. With the lock held."""
        if self.is_held:
            return False
        if self._opened is not None:
            return True
        while self._queue:
            head = self._queue[0]
            if self._is_data(head):
                return True
            self._pop()
            self._pass(head)
        return False

    def has_ended(self) -> bool:
        """Whether every expected writer has ended in every own partition and all before was handed out. With the lock held."""
        if self.is_held or self.has_records():
            return False
        if self._expected > self.info.partitions:
            return False
        return all(len(place.ended) == len(self.writers) for place in self.places.values())

    def waiting_for(self) -> str:
        """Writers whose end is missing, in words; empty when none is."""
        missing = {w for place in self.places.values() for w in self.writers.now if w not in place.ended}
        return names(missing)

    def take(self, at_most: int) -> list[Any]:
        """Hand out what is here, in order per partition, up to ``at_most`` records; [] when nothing is here.

        Raises:
            DecodeError: A block cannot be decoded; it stays where it is.
        """
        found: list[Any] = []
        while len(found) < at_most:
            try:
                opened = self._open()
            except DecodeError:
                if not found:
                    raise
                break  # what is here comes first; the next call raises
            if opened is None:
                break
            room = at_most - len(found)
            records = opened.records
            if opened.index == 0 and len(records) <= room:
                found = records if not found else found + records
                opened.index = len(records)
            else:
                chosen = records[opened.index : opened.index + room]
                opened.index += len(chosen)
                found = chosen if not found else found + chosen
            with self.changed:
                self._advance(opened)
            if len(records) == 1 and len(found) < at_most:
                found = found + self._take_singles(at_most - len(found))
        self.records += len(found)
        return found

    def _take_singles(self, at_most: int) -> list[Any]:
        """Hand out the blocks of one record each that come next: all at once, for locking costs more than decoding them.

        Ends before the first that is none, or cannot be decoded.
        """
        with self.changed:
            if self.is_held or self._opened is not None:
                return []
            heads = list(takewhile(self._is_single, islice(self._queue, at_most)))
        found: list[Any] = []
        for head in heads:
            try:
                records = _decoded(self.decoder_for(head.block.headers), head.block.payload)
            except PypzError:
                break  # what is here comes first; it is tried again, and told, next
            if len(records) != 1:
                break
            found.append(records[0])
        with self.changed:
            self._begin_unit()
            for _ in found:
                head = self._queue.popleft()
                if self._unit is not None:
                    self._taken.append(head)
                size = len(head.block.payload)
                self._queued_bytes -= size
                self.size_bytes += size
                self._move_behind(head)
            self._queued_records -= len(found)
            self.blocks += len(found)
        return found

    def _is_single(self, block: Received) -> bool:
        """Whether a block says that it holds one record, which nobody has had yet."""
        headers = block.block.headers
        return (
            (is_foreign(headers) or headers.get(COUNT) == "1")
            and self._is_data(block)
            and block.partition not in self._skip
        )

    def mark(self) -> Mark:
        """What may be committed now: all that was handed out, which ends the unit. With the lock held."""
        self._unit = None
        self.marked_records = self.records
        self._taken.clear()
        changed: dict[tuple[str, int], Committed] = {}
        for number, place in self.places.items():
            if place.changed:
                place.changed = False
                note = Note(self.run, self.info.incarnation, place.index, place.ended, place.early)
                changed[self.info.name, number] = Committed(place.position, note.encode(self.writers))
        return Mark(changed, sum(place.consumed for place in self.places.values()), self.records)

    def rewind(self) -> None:
        """Go back to where the unit began: all that it was handed comes again. With the lock held."""
        begin, self._unit = self._unit, None
        if begin is None:
            return
        again, self._taken = self._taken, []
        self.places = {**self.places, **begin.places}  # some may have been added since
        self._skip = {**self._skip, **begin.skip}
        for number, place in self.places.items():
            place.ended |= self._closed_in(number)
        self.records, self.blocks, self.size_bytes = begin.records, begin.blocks, begin.size_bytes
        if begin.opened is not None:
            block = begin.opened.received
            again.insert(0, block)
            self._skip[block.partition] = begin.opened.index
            self.blocks -= 1
            self.size_bytes -= len(block.block.payload)
        self._opened = None
        self._queue.extendleft(reversed(again))
        for block in again:
            self._queued_bytes += len(block.block.payload)
            self._queued_records += count_of(block.block.headers)

    def skip_block(self) -> int:
        """Move behind the next block, which cannot be decoded; gives its count of records."""
        with self.changed:
            head = self._pop()
            self._skip.pop(head.partition, None)
            self._move_behind(head)
            return count_of(head.block.headers)

    def lag_entries(self) -> int:
        """Entries behind the committed positions: an upper bound, 0 exactly when all is committed. The client's thread."""
        behind = self.behind()
        with self.changed:
            return behind + self._received_entries - self.committed_entries

    def lag_records(self) -> int | None:
        """Records that wait behind the committed positions, when all entries have been received; else None."""
        if self.behind():
            return None
        with self.changed:
            rest = len(self._opened.records) - self._opened.index if self._opened else 0
            return self._queued_records + rest + self.records - self.committed_records

    # --- below: with the lock held, unless told otherwise ---

    def _is_data(self, block: Received) -> bool:
        headers = block.block.headers
        return (
            headers.get(KIND, DATA) == DATA and headers.get(INCARNATION, self.info.incarnation) == self.info.incarnation
        )

    def _is_of_earlier_run(self, headers: Mapping[str, str]) -> bool:
        return headers.get(RUN) != self.run and not is_foreign(headers)

    def _begin_unit(self) -> None:
        """Note where the unit begins, where it may have to go back."""
        if self._unit is None and not self.policy.is_fail:
            opened = self._opened and replace(self._opened)
            places = {number: replace(place) for number, place in self.places.items()}
            self._unit = _UnitBegin(places, opened, dict(self._skip), self.records, self.blocks, self.size_bytes)

    def _pop(self) -> Received:
        """Take the next block from the queue."""
        self._begin_unit()
        block = self._queue.popleft()
        if self._unit is not None:
            self._taken.append(block)
        self._queued_bytes -= len(block.block.payload)
        self._queued_records -= count_of(block.block.headers)
        return block

    def _move_behind(self, block: Received) -> None:
        place = self.places[block.partition]
        place.position, place.index = block.next_position, 0
        place.consumed += 1
        place.changed = True

    def _pass(self, block: Received) -> None:
        """Move behind a block that hands out nothing: an end, or one of another incarnation."""
        headers = block.block.headers
        place = self.places[block.partition]
        self._move_behind(block)
        if headers.get(INCARNATION, self.info.incarnation) != self.info.incarnation:
            self.foreign += 1
            if self.foreign == 1:
                self.tell(f"channel {self.info.name!r} holds blocks of an earlier making of it; they are ignored")
        elif headers.get(KIND) == END and headers.get(RUN) == self.run:
            self._pass_end(block, place, headers.get(WRITER, ""), _epoch_of(headers))

    def _pass_end(self, block: Received, place: _Place, writer: str, epoch: int) -> None:
        if writer not in self.writers:
            place.early = {**place.early, writer: epoch}
        elif self.writers.ends_since(writer, epoch):
            place.ended |= {writer}
        self._expected = max(self._expected, partitions_of_end(block.block))
        if self._expected > self.info.partitions:
            self.more_partitions()

    def _open(self) -> _Opened | None:
        """Decode the next block, without the lock; None when there is none."""
        with self.changed:
            if self._opened is not None:
                self._begin_unit()
                return self._opened
            if not self.has_records():
                return None
            head = self._queue[0]
        headers = head.block.headers
        where = f"channel {self.info.name!r}, partition {head.partition}, position {head.position}"
        try:
            decode = self.decoder_for(headers)
            records = _decoded(decode, head.block.payload)
        except DecodeError as error:
            raise DecodeError(f"{where}: {error}") from error
        if len(records) != count_of(headers):
            raise DecodeError(f"{where}: holds {len(records)} records, its header says {count_of(headers)}")
        with self.changed:
            self._pop()
            self.blocks += 1
            self.size_bytes += len(head.block.payload)
            self._opened = _Opened(head, records, self._skip.pop(head.partition, 0))
            if self._opened.index >= len(records):
                self._advance(self._opened)
                return self._open()
            return self._opened

    def _advance(self, opened: _Opened) -> None:
        place = self.places[opened.received.partition]
        place.changed = True
        if opened.index < len(opened.records):
            place.position, place.index = opened.received.position, opened.index
        else:
            place.position, place.index = opened.received.next_position, 0
            place.consumed += 1
            self._opened = None


def _epoch_of(headers: Mapping[str, str]) -> int:
    text = headers.get(EPOCH, "")
    return int(text) if text.isdecimal() else NEVER


def _decoded(decode: Decoder, payload: bytes) -> list[Any]:
    """Decode a payload; whatever a codec raises means that it cannot."""
    try:
        records: Any = decode(payload)
    except PypzError:
        raise
    except Exception as error:
        raise DecodeError(f"its codec has raised {type(error).__name__}: {error}") from error
    if not isinstance(records, list):
        raise DecodeError(f"its codec has given {type(records).__name__}, expected a list of records")
    return records
