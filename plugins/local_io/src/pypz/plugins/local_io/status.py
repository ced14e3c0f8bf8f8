"""Status streams as tables: the last value of each fact, and the latest beats."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final, TypeVar

from pypz.core.channels.spi import Member, StatusEntry
from pypz.plugins.local_io import logs
from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.following import Follower
from pypz.plugins.local_io.outbox import Outbox
from pypz.plugins.local_io.signals import Bell

T = TypeVar("T")

PURGE_EVERY: Final = 100
"""Facts written between two removals of what is past (chosen)."""
PAST_KEPT: Final = 1000
"""Removals and earlier values of facts that are kept for followers; those further behind compare all facts (chosen)."""


def topic_of(pipeline: str) -> str:
    """What is rung when something of the stream changes."""
    return f"status {pipeline}"


class LocalStatusStream(Follower):
    """Facts and beats of one pipeline. Of a viewer's stream the file may be made later."""

    def __init__(self, database: Database, bell: Bell, outbox: Outbox, pipeline: str, *, create: bool) -> None:
        super().__init__(database, bell, topic_of(pipeline), is_viewer=not create)
        self._outbox = outbox
        self._pipeline = pipeline
        self._incarnation: str | None = None
        self._facts_seen = 0
        self._beats_seen = 0
        self._known: set[str] = set()
        if create:
            self._database.write(self._make)
        if self._follow():
            with self._database.reading() as connection:
                self._incarnation = self._stream(connection)[0]
                self._facts_seen = _last(connection, "facts", pipeline)
                self._beats_seen = _last(connection, "beats", pipeline)
                self._known = {entry.key for entry in self._standing(connection)}

    # --- writing ---

    def _make(self, connection: sqlite3.Connection) -> None:
        connection.execute(
            "INSERT OR IGNORE INTO streams (pipeline, incarnation) VALUES (?, ?)",
            (self._pipeline, uuid.uuid4().hex[:12]),
        )

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        self._database.open(create=True)
        result = self._database.write(work)
        self._bell.ring({topic_of(self._pipeline)})
        return result

    def _put(self, connection: sqlite3.Connection, key: str, value: bytes | None) -> int:
        """Write one fact; what it replaces, and a removal, stay a while for followers."""
        self._make(connection)
        connection.execute(
            "UPDATE facts SET is_past = 1 WHERE pipeline = ? AND name = ? AND NOT is_past", (self._pipeline, key)
        )
        made = connection.execute(
            "INSERT INTO facts (pipeline, name, value, is_past) VALUES (?, ?, ?, ?)",
            (self._pipeline, key, value, value is None),
        )
        assert made.lastrowid is not None
        if made.lastrowid % PURGE_EVERY == 0:
            self._purge(connection)
        return made.lastrowid

    def _purge(self, connection: sqlite3.Connection) -> None:
        """Forget the oldest of what is past."""
        found = connection.execute(
            "SELECT position FROM facts WHERE pipeline = ? AND is_past = 1 ORDER BY position DESC LIMIT 1 OFFSET ?",
            (self._pipeline, PAST_KEPT),
        ).fetchone()
        if found is not None:
            connection.execute(
                "DELETE FROM facts WHERE pipeline = ? AND is_past = 1 AND position <= ?", (self._pipeline, found[0])
            )
            connection.execute("UPDATE streams SET purged = ? WHERE pipeline = ?", (found[0], self._pipeline))

    def join(self, member: Member, value: bytes) -> int:
        """Write ``joined/<member>``; its position is the epoch, over all streams of the file."""
        return self._write(partial(self._put, key=f"joined/{member.key}", value=value))

    def put(self, key: str, value: bytes | None) -> None:
        """Write a fact, or remove it; stored on return."""
        self._write(partial(self._put, key=key, value=value))

    def put_first(self, key: str, value: bytes) -> bytes:
        """Write a fact unless it exists; give the value that stands."""
        return self._write(partial(self._put_first, key=key, value=value))

    def _put_first(self, connection: sqlite3.Connection, key: str, value: bytes) -> bytes:
        found = connection.execute(
            "SELECT value FROM facts WHERE pipeline = ? AND name = ? AND NOT is_past", (self._pipeline, key)
        ).fetchone()
        if found is not None:
            return bytes(found[0])
        self._put(connection, key, value)
        return value

    def beat(self, key: str, value: bytes) -> None:
        """Tell a figure; written in the background."""
        self._outbox.add_beat(self._pipeline, key, value)

    def log(self, value: bytes) -> None:
        """Keep a log line; written in the background."""
        self._outbox.add_log(self._pipeline, value)

    # --- reading ---

    def facts(self) -> Mapping[str, StatusEntry]:
        """All facts now."""
        if not self._follow():
            return {}
        with self._database.reading() as connection, _one_state(connection):
            self._incarnation = self._stream(connection)[0]
            entries = self._standing(connection)
            self._facts_seen = max(self._facts_seen, _last(connection, "facts", self._pipeline))
        self._known = {entry.key for entry in entries}
        return {entry.key: entry for entry in entries}

    def kept_beats(self) -> list[StatusEntry]:
        """The last beat of each key, as far as it is kept."""
        if not self._follow():
            return []
        with self._database.reading() as connection:
            rows = connection.execute(
                "SELECT name, value, MAX(position) FROM beats WHERE pipeline = ? GROUP BY name ORDER BY MAX(position)",
                (self._pipeline,),
            ).fetchall()
        return [StatusEntry("beat", key, bytes(value), position) for key, value, position in rows]

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        """Entries since the last call; waits for the first."""
        return self._wait_for("changes", self._look, timeout_s)

    def _look(self) -> list[StatusEntry]:
        with self._database.reading() as connection, _one_state(connection):
            incarnation, purged = self._stream(connection)
            if incarnation is None:
                return []
            if incarnation != self._incarnation or self._facts_seen < purged:
                facts = self._compare(connection, is_anew=incarnation != self._incarnation)
                self._incarnation = incarnation
            else:
                facts = self._entries(connection, "position > ?", self._facts_seen)
            rows = connection.execute(
                "SELECT name, value, position FROM beats WHERE pipeline = ? AND position > ? ORDER BY position",
                (self._pipeline, self._beats_seen),
            ).fetchall()
        for entry in facts:
            self._facts_seen = max(self._facts_seen, entry.position)
            (self._known.discard if entry.value is None else self._known.add)(entry.key)
        beats = [StatusEntry("beat", key, bytes(value), position) for key, value, position in rows]
        if beats:
            self._beats_seen = beats[-1].position
        return facts + beats

    def _compare(self, connection: sqlite3.Connection, *, is_anew: bool) -> list[StatusEntry]:
        """What differs from what this follower knows: the stream was made anew, or what is past was forgotten."""
        seen = 0 if is_anew else self._facts_seen
        standing = self._standing(connection)
        last = max([seen, *(entry.position for entry in standing)])
        lost = self._known - {entry.key for entry in standing}
        removed = [StatusEntry("fact", key, None, last) for key in sorted(lost)]
        self._facts_seen = _last(connection, "facts", self._pipeline)
        return removed + [entry for entry in standing if entry.position > seen]

    def _stream(self, connection: sqlite3.Connection) -> tuple[str | None, int]:
        found = connection.execute(
            "SELECT incarnation, purged FROM streams WHERE pipeline = ?", (self._pipeline,)
        ).fetchone()
        return (None, 0) if found is None else (found[0], found[1])

    def _standing(self, connection: sqlite3.Connection) -> list[StatusEntry]:
        return self._entries(connection, "is_past = ?", 0)

    def _entries(self, connection: sqlite3.Connection, condition: str, value: int) -> list[StatusEntry]:
        rows = connection.execute(
            f"SELECT name, value, position FROM facts WHERE pipeline = ? AND {condition} ORDER BY position",
            (self._pipeline, value),
        ).fetchall()
        return [
            StatusEntry("fact", key, None if found is None else bytes(found), position) for key, found, position in rows
        ]


@contextmanager
def _one_state(connection: sqlite3.Connection) -> Iterator[None]:
    """Read one state of the file in all queries within."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("COMMIT")


def _last(connection: sqlite3.Connection, table: str, pipeline: str) -> int:
    found = connection.execute(f"SELECT MAX(position) FROM {table} WHERE pipeline = ?", (pipeline,)).fetchone()[0]
    return found or 0


def delete(connection: sqlite3.Connection, pipeline: str) -> None:
    """Remove the streams of a pipeline, and what its members have noted."""
    for table in ("facts", "beats", "streams", "members"):
        connection.execute(f"DELETE FROM {table} WHERE pipeline = ?", (pipeline,))
    logs.delete(connection, pipeline)
