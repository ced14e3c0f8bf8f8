"""What one member reads and writes by."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Sequence
from functools import partial
from typing import Final

from pypz.core.channels.bounds import Growth
from pypz.core.channels.spi import (
    AssignmentListener,
    Block,
    ChannelInfo,
    Member,
    MemberNote,
    Received,
    Unit,
)
from pypz.core.commons.errors import (
    BlockTooLargeError,
    ConfigurationError,
    RetriableError,
    TransportError,
    WokenError,
)
from pypz.plugins.local_io import channels
from pypz.plugins.local_io.channels import Row
from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.faults import BusyError, DiskFullError
from pypz.plugins.local_io.outbox import RETRY_S, Letter, Outbox, Sender, check_fence
from pypz.plugins.local_io.reading import LocalReader, read
from pypz.plugins.local_io.signals import Bell, Signal

MAX_BLOCK: Final = 64 * 1024 * 1024
"""Bytes of the largest block (chosen; SQLite takes 10^9)."""
MAX_NOTE: Final = 65_536
"""Bytes of the largest note (chosen)."""


class LocalClient:
    """All ends of one member in one folder."""

    def __init__(self, database: Database, bell: Bell, outbox: Outbox, member: Member, epoch: int) -> None:
        self._database = database
        self._bell = bell
        self._outbox = outbox
        self.member = member
        self.epoch = epoch
        self.signal = Signal()
        self.sender = Sender(member, epoch, self.signal.ring)
        self._readers: list[LocalReader] = []
        self.is_closed = False

    # --- opening ---

    def settle(self, timeout_s: float) -> MemberNote | None:
        """Fence older starts of this member: from now on none of their blocks and commits counts.

        Returns:
            What the member itself stored with its last unit.

        Raises:
            FencedError: A later start has done so already.
        """
        note = self._database.write(self._settle)
        return None if note is None else MemberNote(note)

    def _settle(self, connection: sqlite3.Connection) -> bytes | None:
        check_fence(connection, self.member, self.epoch)
        key = (self.member.pipeline, self.member.key)
        connection.execute(
            "INSERT INTO members (pipeline, member, epoch) VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET epoch = excluded.epoch",
            (*key, self.epoch),
        )
        found = connection.execute("SELECT note FROM members WHERE pipeline = ? AND member = ?", key).fetchone()
        return None if found[0] is None else bytes(found[0])

    def row(self, channel: ChannelInfo) -> Row:
        with self._database.reading() as connection:
            return channels.find_exactly(connection, channel, self._database.options.location)

    def writer(self, channel: ChannelInfo) -> LocalWriter:
        """Open a writer.

        Raises:
            ChannelGoneError: That making of the channel does not exist any more.
        """
        row = self.row(channel)
        if self._database.options.max_bytes is not None:
            self._bell.attach(self.signal, row.topic)
        return LocalWriter(self._database, self._outbox, self, row, channel)

    def reader(
        self,
        channel: ChannelInfo,
        group: str,
        partitions: Sequence[int] | None,
        on_change: AssignmentListener | None = None,
    ) -> LocalReader:
        """Open a reader of these partitions. From now on nothing is removed that ``group`` has not committed.

        Raises:
            ConfigurationError: Partitions assigned by the transport were asked for.
            ChannelGoneError: That making of the channel does not exist any more.
        """
        if partitions is None:
            raise ConfigurationError(
                f"{self._database.options.location}: lacks the capability 'group_assignment'; name the partitions of channel "
                f"{channel.name!r}"
            )
        row = self.row(channel)
        self._database.write(
            lambda connection: connection.execute("INSERT OR IGNORE INTO reading_groups VALUES (?, ?)", (row.id, group))
        )
        reader = LocalReader(self._database, row, group, partitions, self.signal)
        self._bell.attach(self.signal, row.topic)
        self._readers.append(reader)
        self._outbox.clean(row.id)  # a killed predecessor may have left what it committed
        return reader

    # --- reading ---

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks of any reader: the first at once, not at the time-out; [] then and when woken.

        Raises:
            ChannelGoneError: A channel was deleted.
            PositionGoneError: What was to be read was removed.
            TransportError: The file cannot be read any more.
        """
        turn = self._readers[1:] + self._readers[:1]
        self._readers = turn
        return read(turn, self.signal, max_blocks, timeout_s)

    def commit(self, unit: Unit, timeout_s: float) -> None:
        """Store positions, notes and the member's note in one transaction.

        Raises:
            FencedError: A later start of this member exists; nothing was stored.
            RetriableError: The disk is full or the file locked; nothing was stored, the same unit may be committed again.
            TransportError: A position is none of this client's, or a note is too large.
        """
        rows = [self._row_of(place, committed.note) for place, committed in unit.positions.items()]
        values = [
            (reader.row.id, reader.group, number, int(committed.position), committed.note)
            for (reader, number), committed in zip(rows, unit.positions.values(), strict=True)
        ]
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                self._database.write(partial(self._commit, values=values, note=unit.member_note))
                break
            except (DiskFullError, BusyError) as error:
                if time.monotonic() >= deadline:
                    raise RetriableError(str(error)) from error
                self.signal.wait(self.signal.rings, "commit", min(RETRY_S, max(0.0, deadline - time.monotonic())))
        for channel in {value[0] for value in values}:
            self._outbox.clean(channel)

    def _row_of(self, place: tuple[str, int], note: str) -> tuple[LocalReader, int]:
        where = f"channel {place[0]!r}, partition {place[1]}"
        if len(note) > MAX_NOTE:
            raise TransportError(f"{where}: a note of {len(note)} bytes, at most {MAX_NOTE} fit")
        for reader in self._readers:
            if reader.row.info.name == place[0] and place[1] in reader.partitions:
                return reader, place[1]
        raise TransportError(f"{where} cannot be committed: this client does not read it")

    def _commit(
        self,
        connection: sqlite3.Connection,
        values: list[tuple[int, str | None, int, int, str]],
        note: MemberNote | None,
    ) -> None:
        check_fence(connection, self.member, self.epoch)
        connection.executemany(
            "INSERT INTO positions (channel, reading_group, partition, position, note) SELECT ?, ?, ?, ?, ?"
            " WHERE EXISTS (SELECT 1 FROM channels WHERE id = ?)"
            " ON CONFLICT DO UPDATE SET position = excluded.position, note = excluded.note",
            [(*value, value[0]) for value in values],
        )
        if note is not None:
            connection.execute(
                "INSERT INTO members (pipeline, member, epoch, note) VALUES (?, ?, ?, ?)"
                " ON CONFLICT DO UPDATE SET note = excluded.note",
                (self.member.pipeline, self.member.key, self.epoch, note.value),
            )

    # --- writing ---

    def flush(self, timeout_s: float) -> None:
        """Return when everything written is in the file.

        Raises:
            TransportTimeoutError: Not within the time; tells the last cause, such as a full disk.
            TransportError: The first failure.
        """
        self._database.check_process()
        self._outbox.flush(self.sender, timeout_s)

    def abort(self) -> None:
        """Does nothing: without transactions blocks are visible once written."""

    def last_cause(self) -> str:
        """Why nothing can be written at the moment, such as a full disk; empty when all is well."""
        return self._outbox.trouble()

    def wake(self) -> None:
        """End a waiting `read` or `write`, from any thread; one that comes early ends the next wait."""
        self.signal.wake()

    def close(self, timeout_s: float) -> None:
        """Let go of everything: no commit, no flush; idempotent."""
        self.is_closed = True
        self._outbox.drop(self.sender)
        self._bell.detach(self.signal)
        self.signal.wake()


class LocalWriter:
    """Blocks of one member for one channel."""

    def __init__(self, database: Database, outbox: Outbox, client: LocalClient, row: Row, channel: ChannelInfo) -> None:
        self._growth = Growth(channel, database.options.location, database.options.max_bytes)
        self._database = database
        self._outbox = outbox
        self._client = client
        self._row = row

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        """Hand a block over; it is written in the background, in order per partition.

        Raises:
            BlockTooLargeError: It is above the limit; nothing was handed over.
            FencedError: A later start of the member exists.
            TransportError: An earlier block failed for good.
            WokenError: The client was woken while this waited for room.
        """
        self._database.check_process()
        if len(block.payload) > MAX_BLOCK:
            raise BlockTooLargeError(
                f"channel {self._row.info.name!r}: a block of {len(block.payload)} bytes, at most {MAX_BLOCK} fit"
            )
        headers = json.dumps(dict(block.headers), separators=(",", ":"))
        letter = Letter(self._client.sender, self._row, partition, headers, block.payload)
        signal = self._client.signal
        while True:
            rings = signal.rings
            if self._has_room(letter) and self._outbox.add(letter):
                return True
            if not wait:
                return False
            if signal.was_woken("write"):
                raise WokenError(f"channel {self._row.info.name!r} is full; woken while waiting for room")
            if signal.failure is not None:
                raise signal.failure
            signal.wait(rings, "write", threading.TIMEOUT_MAX)

    def _has_room(self, letter: Letter) -> bool:
        """Whether the channel holds less than ``max.bytes``; an empty one takes a block of any size."""
        limit = self._database.options.max_bytes
        if limit is None:
            return True
        with self._database.reading() as connection:
            found = connection.execute("SELECT size_bytes FROM channels WHERE id = ?", (self._row.id,)).fetchone()
        if found is None:
            raise channels.gone(self._row.info, self._database.options.location)
        held = found[0] + self._client.sender.pending_bytes
        return not held or held + letter.size_bytes <= limit or self._growth.may_pass()

    def partition_count(self) -> int:
        """Partitions now."""
        return self._client.row(self._row.info).info.partitions
