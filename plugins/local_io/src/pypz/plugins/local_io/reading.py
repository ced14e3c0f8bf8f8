"""Readers: where they stand in each partition, and the blocks that are there."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal

from pypz.core.channels.spi import Block, ChannelInfo, Committed, Position, Received
from pypz.core.commons.errors import PositionGoneError
from pypz.plugins.local_io import channels
from pypz.plugins.local_io.channels import Row
from pypz.plugins.local_io.database import PARTITION_SPAN, Database
from pypz.plugins.local_io.signals import Bell, Signal

READ_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one look at most, but for a larger block (chosen)."""


class LocalReader:
    """Some partitions of one channel; its client hands out what it takes."""

    def __init__(
        self, database: Database, row: Row, group: str | None, partitions: Sequence[int], signal: Signal
    ) -> None:
        self._database = database
        self._signal = signal
        self._lock = threading.Lock()
        self.row = row
        self.group = group
        self.partitions = frozenset(partitions)
        self.positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._first = 0
        self._ends: dict[int, int] = {}

    def committed(self, partition: int) -> Committed | None:
        """What this reader's group has committed.

        Raises:
            PositionGoneError: Blocks behind that position were removed.
        """
        with self._database.reading() as connection:
            found = connection.execute(
                "SELECT c.position, c.note, p.base FROM positions c JOIN partitions p ON p.channel = c.channel AND p.number ="
                " c.partition WHERE c.channel = ? AND c.reading_group = ? AND c.partition = ?",
                (self.row.id, self.group, partition),
            ).fetchone()
        if found is None:
            return None
        position, note, base = found
        if position < base:
            raise self._gone(partition, position, base)
        return Committed(str(position), note)

    def _gone(self, partition: int, position: int, base: int) -> PositionGoneError:
        return PositionGoneError(
            f"channel {self.row.info.name!r}, partition {partition}: position {position} was removed, the first one kept is "
            f"{base}; every reading group had committed what lies before it"
        )

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        place = self._bounds()[partition][position == "end"] if position in ("first", "end") else int(position)
        with self._lock:
            self.positions[partition] = place
        self._signal.ring()

    def pause(self, partitions: Sequence[int]) -> None:
        """Hold these back."""
        with self._lock:
            self._paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Let these go on."""
        with self._lock:
            self._paused.difference_update(partitions)
        self._signal.ring()

    def lag(self) -> Mapping[int, int]:
        """Entries not yet read; of a channel that was deleted, those that were there when it was last looked at."""
        bounds = self._look()
        with self._lock:
            self._ends.update({number: end for number, (_, end) in bounds.items()})
            return {number: max(0, self._ends.get(number, 0) - place) for number, place in self.positions.items()}

    def _bounds(self) -> dict[int, tuple[int, int]]:
        found = self._look()
        if not found:
            raise channels.gone(self.row.info, self._database.options.location)
        return found

    def _look(self) -> dict[int, tuple[int, int]]:
        """First position kept and the one behind the last, by partition; {} when the channel was deleted."""
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT number, base, end FROM partitions WHERE channel = ?", (self.row.id,)
            ).fetchall()
        return {number: (base, end) for number, base, end in rows}

    def take(self, max_blocks: int) -> list[Received]:
        """Give blocks that are there and move behind them; partitions come first in turn.

        Raises:
            ChannelGoneError: The channel was deleted.
            PositionGoneError: Blocks behind the position were removed.
        """
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT id, number, base, end FROM partitions WHERE channel = ?", (self.row.id,)
            ).fetchall()
            if not rows:
                raise channels.gone(self.row.info, self._database.options.location)
            with self._lock:
                self._ends = {number: end for _, number, _, end in rows}
                self._first += 1
                waiting = [row for row in rows if self._waits(row[1], row[3])]
                turn = self._first % len(waiting) if waiting else 0
                found: list[Received] = []
                room = READ_BYTES
                for key, number, base, _ in waiting[turn:] + waiting[:turn]:
                    if len(found) >= max_blocks or room <= 0:
                        break
                    if self.positions[number] < base:
                        if self.group is not None:
                            raise self._gone(number, self.positions[number], base)
                        self.positions[number] = base
                    cursor = connection.execute(
                        "SELECT id, headers, payload FROM blocks WHERE id >= ? AND id < ? ORDER BY id LIMIT ?",
                        (
                            key * PARTITION_SPAN + self.positions[number],
                            (key + 1) * PARTITION_SPAN,
                            max_blocks - len(found),
                        ),
                    )
                    for block_id, headers, payload in cursor:
                        place = block_id - key * PARTITION_SPAN
                        block = Block(json.loads(headers), payload)
                        found.append(Received(self.row.info.name, number, block, str(place), str(place + 1)))
                        self.positions[number] = place + 1
                        room -= len(payload)
                        if room <= 0:
                            break
                    cursor.close()  # nothing stays open: it would pin the log
                return found

    def _waits(self, number: int, end: int) -> bool:
        return number in self.positions and number not in self._paused and self.positions[number] < end

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """As `LocalClient.read`, of this reader alone."""
        return read([self], self._signal, max_blocks, timeout_s)


class LocalObserver(LocalReader):
    """All partitions, from the end on, for viewers: joins no group and commits nothing."""

    def __init__(self, database: Database, bell: Bell, channel: ChannelInfo) -> None:
        with database.reading() as connection:
            row = channels.find_exactly(connection, channel, database.options.location)
        signal = Signal()
        super().__init__(database, row, None, range(channel.partitions), signal)
        for number in range(channel.partitions):
            self.seek(number, "end")
        bell.attach(signal, row.topic, is_viewer=True)

    def seek_back(self, blocks: int) -> Mapping[int, int]:
        """Read all partitions on from at most so many blocks before their end; give how many lie before that."""
        starts = {number: (base, max(base, end - blocks)) for number, (base, end) in self._bounds().items()}
        with self._lock:
            self.positions |= {number: start for number, (_, start) in starts.items()}
        self._signal.ring()
        return {number: start - base for number, (base, start) in starts.items()}


def read(readers: Sequence[LocalReader], signal: Signal, max_blocks: int, timeout_s: float) -> list[Received]:
    """Give what is there for any of the readers, else wait for the first block, a wake-up or the time-out."""
    deadline = time.monotonic() + timeout_s
    while True:
        rings = signal.rings
        found: list[Received] = []
        for reader in readers:
            if len(found) < max_blocks:
                found += reader.take(max_blocks - len(found))
        remaining = deadline - time.monotonic()
        if signal.was_woken("read") or found or remaining <= 0:
            return found
        if signal.failure is not None:
            raise signal.failure
        signal.wait(rings, "read", remaining)
