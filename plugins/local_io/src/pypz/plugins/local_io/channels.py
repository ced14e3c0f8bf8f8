"""Channels as rows: made, described, deleted, and what was consumed removed in small steps."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pypz.core.channels.spi import ChannelInfo
from pypz.core.commons.errors import ChannelGoneError
from pypz.plugins.local_io.database import PAGE_BYTES, PARTITION_SPAN

STEP_BLOCKS: Final = 256
"""Blocks removed in one transaction at most (chosen)."""
STEP_BYTES: Final = 4 * 1024 * 1024
"""... and bytes of them (chosen: some 10 ms)."""
FREE_BYTES: Final = 16 * 1024 * 1024
"""Room within the file that is kept for blocks to come; more goes back to the disk (chosen)."""
VACUUM_PAGES: Final = 512
"""Pages given back to the disk in one transaction (chosen: 4 MiB)."""


@dataclass(frozen=True)
class Row:
    """A channel as the tables have it."""

    id: int
    info: ChannelInfo

    @property
    def topic(self) -> str:
        """What is rung when something of the channel changes."""
        return topic_of(self.id)


def topic_of(channel: int) -> str:
    """What is rung when something of the channel with this id changes."""
    return f"channel {channel}"


def find(connection: sqlite3.Connection, name: str) -> Row | None:
    """Give the channel of this name."""
    found = connection.execute(
        "SELECT c.id, c.incarnation, COUNT(p.id) FROM channels c JOIN partitions p ON p.channel = c.id WHERE c.name = ?"
        " GROUP BY c.id",
        (name,),
    ).fetchone()
    return None if found is None else Row(found[0], ChannelInfo(name, found[2], found[1]))


def find_exactly(connection: sqlite3.Connection, info: ChannelInfo, location: str) -> Row:
    """Give the channel of this name and incarnation.

    Raises:
        ChannelGoneError: It was deleted.
    """
    found = find(connection, info.name)
    if found is None or found.info.incarnation != info.incarnation:
        raise gone(info, location)
    return found


def gone(info: ChannelInfo, location: str) -> ChannelGoneError:
    """The error of whoever uses a channel that was deleted."""
    return ChannelGoneError(f"channel {info.name!r} at {location} was deleted")


def create(connection: sqlite3.Connection, name: str, partitions: int, groups: Sequence[str]) -> Row:
    """Make the channel, or raise its partitions; nothing is removed that one of ``groups`` has not committed."""
    found = find(connection, name)
    if found is None:
        incarnation = uuid.uuid4().hex[:12]
        made = connection.execute("INSERT INTO channels (name, incarnation) VALUES (?, ?)", (name, incarnation))
        assert made.lastrowid is not None
        found = Row(made.lastrowid, ChannelInfo(name, 0, incarnation))
    numbers = range(found.info.partitions, partitions)
    connection.executemany(
        "INSERT INTO partitions (channel, number) VALUES (?, ?)", [(found.id, number) for number in numbers]
    )
    if groups:
        connection.execute("DELETE FROM reading_groups WHERE channel = ?", (found.id,))
        connection.executemany("INSERT INTO reading_groups VALUES (?, ?)", [(found.id, group) for group in groups])
    count = max(found.info.partitions, partitions)
    return Row(found.id, ChannelInfo(name, count, found.info.incarnation))


def delete(connection: sqlite3.Connection, row: Row) -> None:
    """Remove the channel with its groups and positions; its blocks become leftovers."""
    ranges = connection.execute("SELECT id, base, end FROM partitions WHERE channel = ?", (row.id,)).fetchall()
    connection.executemany(
        "INSERT INTO leftovers (first, last) VALUES (?, ?)",
        [
            (number * PARTITION_SPAN + base, number * PARTITION_SPAN + end - 1)
            for number, base, end in ranges
            if end > base
        ],
    )
    for table in ("positions", "reading_groups", "partitions"):
        connection.execute(f"DELETE FROM {table} WHERE channel = ?", (row.id,))
    connection.execute("DELETE FROM channels WHERE id = ?", (row.id,))


# --- steps of cleaning: each is one transaction, tells whether there is more to do ---


def remove_consumed(connection: sqlite3.Connection, channel: int) -> bool:
    """Remove blocks that every group has committed."""
    groups = connection.execute("SELECT COUNT(*) FROM reading_groups WHERE channel = ?", (channel,)).fetchone()[0]
    rows = connection.execute(
        "SELECT p.id, p.base, MIN(c.position) FROM partitions p JOIN positions c ON c.channel = p.channel AND c.partition ="
        " p.number JOIN reading_groups g ON g.channel = c.channel AND g.name = c.reading_group WHERE p.channel = ?"
        " GROUP BY p.id HAVING COUNT(*) = ? AND MIN(c.position) > p.base",
        (channel, groups),
    ).fetchall()
    for number, base, upto in rows:
        start = number * PARTITION_SPAN
        last, size = _remove(connection, start + base, start + upto - 1)
        connection.execute("UPDATE partitions SET base = ? WHERE id = ?", (last + 1 - start, number))
        connection.execute("UPDATE channels SET size_bytes = size_bytes - ? WHERE id = ?", (size, channel))
        if last < start + upto - 1 or len(rows) > 1:
            return True
    return False


def remove_leftovers(connection: sqlite3.Connection) -> bool:
    """Remove blocks of deleted channels."""
    found = connection.execute("SELECT first, last FROM leftovers LIMIT 1").fetchone()
    if found is None:
        return False
    first, last = found
    upto, _ = _remove(connection, first, last)
    connection.execute("DELETE FROM leftovers WHERE first = ?", (first,))
    if upto < last:
        connection.execute("INSERT INTO leftovers (first, last) VALUES (?, ?)", (upto + 1, last))
    return True


def _remove(connection: sqlite3.Connection, first: int, last: int) -> tuple[int, int]:
    """Remove some blocks from ``first`` on; give the last id that is gone, and the bytes."""
    size = 0
    upto = last
    rows = connection.execute(
        "SELECT id, LENGTH(headers) + LENGTH(payload) FROM blocks WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?",
        (first, last, STEP_BLOCKS),
    ).fetchall()
    for place, (number, length) in enumerate(rows):
        size += length
        is_full = size >= STEP_BYTES or place + 1 == STEP_BLOCKS
        if is_full:
            upto = number
            break
    connection.execute("DELETE FROM blocks WHERE id BETWEEN ? AND ?", (first, upto))
    return upto, size


def give_back(connection: sqlite3.Connection, keep_bytes: int) -> bool:
    """Give free pages of the file back to the disk, some of those above ``keep_bytes``."""
    spare = connection.execute("PRAGMA freelist_count").fetchone()[0] - keep_bytes // PAGE_BYTES
    if spare <= 0:
        return False
    # By execute() only one page would go: sqlite3 ends the statement at its first row, which has no columns. The script
    # ends the transaction that the caller has begun, in which nothing was done yet, and begins another for the caller to end.
    connection.executescript(f"BEGIN IMMEDIATE; PRAGMA incremental_vacuum({min(spare, VACUUM_PAGES)})")
    return bool(spare > VACUUM_PAGES)
