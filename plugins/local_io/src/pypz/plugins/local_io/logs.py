"""Log lines of pipelines as a table that is made by the first line, and keeps the newest of each pipeline."""

from __future__ import annotations

import sqlite3
from typing import Final

from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.following import Follower
from pypz.plugins.local_io.signals import Bell

Line = tuple[str, bytes]
"""Pipeline and line."""

KEPT: Final = 2_000
"""Lines of a pipeline that stay in the file (chosen: those of some minutes, or of 20 s at the highest rate)."""
PRUNE_EVERY: Final = 200
"""Lines written between two removals of old ones (chosen)."""

_TABLE: Final = """
CREATE TABLE IF NOT EXISTS logs (position INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, value BLOB NOT NULL)
"""
_INDEX: Final = "CREATE INDEX IF NOT EXISTS logs_of_a_pipeline ON logs (pipeline, position)"


def topic_of(pipeline: str) -> str:
    """What is rung when a line was written."""
    return f"logs {pipeline}"


class LogTable:
    """Writes lines, within the transactions of the outbox."""

    def __init__(self) -> None:
        self._until_pruned = 0

    def insert(self, connection: sqlite3.Connection, lines: list[Line]) -> None:
        """Write lines of pipelines that have a status stream; now and then forget the oldest."""
        if not lines:
            return
        connection.execute(_TABLE)
        connection.execute(_INDEX)
        connection.executemany(
            "INSERT INTO logs (pipeline, value) SELECT ?, ? WHERE EXISTS (SELECT 1 FROM streams WHERE pipeline = ?)",
            [(pipeline, line, pipeline) for pipeline, line in lines],
        )
        self._until_pruned -= len(lines)
        if self._until_pruned <= 0:
            self._until_pruned = PRUNE_EVERY
            for pipeline in {line[0] for line in lines}:
                connection.execute(
                    "DELETE FROM logs WHERE pipeline = ? AND position <= (SELECT position FROM logs WHERE pipeline = ?"
                    " ORDER BY position DESC LIMIT 1 OFFSET ?)",
                    (pipeline, pipeline, KEPT),
                )


def delete(connection: sqlite3.Connection, pipeline: str) -> None:
    """Remove the lines of a pipeline."""
    if _is_there(connection):
        connection.execute("DELETE FROM logs WHERE pipeline = ?", (pipeline,))


def _is_there(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'logs'").fetchone() is not None


class LocalLogReader(Follower):
    """Follows the lines of one pipeline."""

    def __init__(self, database: Database, bell: Bell, pipeline: str, kept: int) -> None:
        super().__init__(database, bell, topic_of(pipeline), is_viewer=True)
        self._pipeline = pipeline
        self._has_table = False
        self._seen = 0
        if self._follow():
            with self._database.reading() as connection:
                self._seen = self._before(connection, kept)

    def _before(self, connection: sqlite3.Connection, kept: int) -> int:
        """Position before the newest lines."""
        if not _is_there(connection):
            return 0
        found = connection.execute(
            "SELECT position FROM logs WHERE pipeline = ? ORDER BY position DESC LIMIT 1 OFFSET ?",
            (self._pipeline, kept),
        ).fetchone()
        return 0 if found is None else int(found[0])

    def read(self, timeout_s: float) -> list[bytes]:
        """Lines since the last call; waits for the first."""
        return self._wait_for("read", self._look, timeout_s)

    def _look(self) -> list[bytes]:
        with self._database.reading() as connection:
            self._has_table = self._has_table or _is_there(connection)
            if not self._has_table:
                return []
            rows = connection.execute(
                "SELECT position, value FROM logs WHERE pipeline = ? AND position > ? ORDER BY position",
                (self._pipeline, self._seen),
            ).fetchall()
        if rows:
            self._seen = rows[-1][0]
        return [bytes(value) for _, value in rows]
