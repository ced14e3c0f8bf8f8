"""The SQLite file of one folder: how it is made and opened, and its transactions."""

from __future__ import annotations

import os
import sqlite3
import threading
import uuid
import weakref
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final, TypeVar

from pypz.core.commons.errors import PypzError, TransportError
from pypz.plugins.local_io.faults import FAULTS, BusyError, DiskFullError, damaged, failed_to_make, translate
from pypz.plugins.local_io.folder import MARGIN_BYTES, RESERVE_BYTES, Reserve, check_folder, free_bytes
from pypz.plugins.local_io.options import Options

FILE: Final = "pypz.sqlite3"
APPLICATION: Final = 0x7079707A
"""SQLite's ``application_id`` of our files: "pypz"."""
VERSION: Final = 1
"""Of the tables below (SQLite's ``user_version``)."""
PAGE_BYTES: Final = 8192
"""Measured: blocks of 25 and 250 kB are written 1.4 times as fast as with SQLite's 4096."""
CHECKPOINT_PAGES: Final = 512
"""Pages in the log before they are copied into the file (chosen: 4 MiB, of which the reserve holds several)."""
LOG_BYTES: Final = 64 * 1024 * 1024
"""Size that the log is cut to, and above which the next writer waits for the readers of the moment (chosen)."""
BUSY_S: Final = 10.0
"""Seconds that a transaction waits for those of other processes (chosen; semantics measured 0.9 s among sixteen)."""
SPARE_READERS: Final = 4
"""Connections for reading that are kept open (chosen)."""
ROOM_TRIES: Final = 3
"""Times that what must work on a full disk is tried (chosen)."""

TABLES: Final = """
CREATE TABLE channels (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, incarnation TEXT NOT NULL,
    size_bytes INTEGER NOT NULL DEFAULT 0);
CREATE TABLE partitions (id INTEGER PRIMARY KEY AUTOINCREMENT, channel INTEGER NOT NULL, number INTEGER NOT NULL,
    base INTEGER NOT NULL DEFAULT 0, end INTEGER NOT NULL DEFAULT 0, UNIQUE (channel, number));
CREATE TABLE blocks (id INTEGER PRIMARY KEY, headers TEXT NOT NULL, payload BLOB NOT NULL);
CREATE TABLE reading_groups (channel INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (channel, name)) WITHOUT ROWID;
CREATE TABLE positions (channel INTEGER NOT NULL, reading_group TEXT NOT NULL, partition INTEGER NOT NULL,
    position INTEGER NOT NULL, note TEXT NOT NULL, PRIMARY KEY (channel, reading_group, partition)) WITHOUT ROWID;
CREATE TABLE members (pipeline TEXT NOT NULL, member TEXT NOT NULL, epoch INTEGER NOT NULL, note BLOB,
    PRIMARY KEY (pipeline, member)) WITHOUT ROWID;
CREATE TABLE streams (pipeline TEXT PRIMARY KEY, incarnation TEXT NOT NULL, purged INTEGER NOT NULL DEFAULT 0) WITHOUT ROWID;
CREATE TABLE facts (position INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, name TEXT NOT NULL, value BLOB,
    is_past INTEGER NOT NULL);
CREATE UNIQUE INDEX standing_facts ON facts (pipeline, name) WHERE NOT is_past;
CREATE INDEX facts_of_a_pipeline ON facts (pipeline, position);
CREATE TABLE beats (position INTEGER PRIMARY KEY AUTOINCREMENT, pipeline TEXT NOT NULL, name TEXT NOT NULL, value BLOB NOT NULL);
CREATE INDEX beats_of_a_pipeline ON beats (pipeline, position);
CREATE TABLE leftovers (first INTEGER PRIMARY KEY, last INTEGER NOT NULL);
"""
"""A fact ``is_past`` when it was removed, or a later one has its name: kept a while for followers. ``blocks.id`` is
``partitions.id`` * PARTITION_SPAN + the position. ``leftovers`` are ids of blocks of deleted channels."""

PARTITION_SPAN: Final = 1 << 38
"""Positions of one partition, some 2.7 * 10^11; room for 3.3 * 10^7 partitions in the life of a file."""

T = TypeVar("T")

_databases: weakref.WeakSet[Database] = weakref.WeakSet()
_abandoned: list[sqlite3.Connection] = []
"""Connections of the parent in a forked child: closing one here would break the parent's locks."""


def _after_fork() -> None:
    for database in list(_databases):
        _abandoned.extend(database.connections())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


class Database:
    """Transactions on the file of one folder; thread-safe. One connection writes, as many as there are threads read."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.file = options.folder / FILE
        self.reserve = Reserve(options.folder)
        self._process = os.getpid()
        self._writing = threading.RLock()
        self._opening = threading.Lock()
        self._writer: sqlite3.Connection | None = None
        self._spare: list[sqlite3.Connection] = []
        self._identity: tuple[int, int] | None = None
        self._closed = False
        _databases.add(self)

    def connections(self) -> list[sqlite3.Connection]:
        """All connections that are open and at rest."""
        return [*self._spare, *([self._writer] if self._writer is not None else [])]

    # --- opening ---

    def open(self, create: bool) -> bool:
        """Open the file unless it is open; make it, and the folder, when they are absent and ``create``; tell whether it is open.

        Raises:
            ConfigurationError: The folder is none for channels.
            TransportError: The folder cannot be written, or the file is damaged, or of a newer version.
        """
        self.check_process()
        if self._writer is not None:
            return True
        with self._opening:
            if self._writer is None:
                location = self.options.location
                exists = check_folder(location, self.options.folder, create)
                if create and not (exists and self.file.exists()):
                    self._make()
                if not self.file.exists():
                    return False
                self._open()
        return True

    def _make(self) -> None:
        """Make the file whole under another name; of several makers at once the first to link it wins."""
        draft = self.options.folder / f".{FILE}.{os.getpid()}.{uuid.uuid4().hex[:8]}"
        try:
            with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
                connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute(f"PRAGMA application_id = {APPLICATION}")
                connection.executescript(f"BEGIN IMMEDIATE; {TABLES} PRAGMA user_version = {VERSION}; COMMIT")
                connection.execute("PRAGMA journal_mode = WAL")
            with suppress(FileExistsError):
                os.link(draft, self.file)
        except FAULTS as error:
            raise translate(error, self.options.location, self.file) from error
        except OSError as error:
            raise failed_to_make(self.options.location, self.options.folder, error) from error
        finally:
            for name in (draft, Path(f"{draft}-wal"), Path(f"{draft}-shm"), Path(f"{draft}-journal")):
                name.unlink(missing_ok=True)

    def _open(self) -> None:
        connection: sqlite3.Connection | None = None
        try:
            found = self.file.stat()
            connection = self._connect()
            self._check_version(connection)
            if not self.reserve.is_whole():
                self.reserve.take()
        except FAULTS as error:
            if connection is not None:
                connection.close()
            raise translate(error, self.options.location, self.file) from error
        except BaseException:
            if connection is not None:
                connection.close()
            raise
        self._identity = (found.st_dev, found.st_ino)
        self._writer = connection

    def _check_version(self, connection: sqlite3.Connection) -> None:
        application = connection.execute("PRAGMA application_id").fetchone()[0]
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if application != APPLICATION:
            raise damaged(
                self.options.location, self.file, f"its application id is {application}, expected {APPLICATION}"
            )
        if version > VERSION:
            raise TransportError(
                f"{self.options.location}: {self.file} has version {version}, this pypz-local knows versions up to {VERSION}; "
                "upgrade pypz-local here, or name another folder"
            )
        if version < VERSION:
            raise damaged(self.options.location, self.file, f"its version is {version}, expected {VERSION}")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.file, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            connection.execute(f"PRAGMA synchronous = {'FULL' if self.options.is_synced else 'NORMAL'}")
            connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES}")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES}")
        except BaseException:  # such as of a file that is none of SQLite's
            connection.close()
            raise
        return connection

    def connect(self) -> sqlite3.Connection:
        """A connection of the caller's own; the caller closes it."""
        self.check_process()
        with self._translating():
            return self._connect()

    def check_process(self) -> None:
        """Refuse to work in a forked child, where SQLite's locks are not ours.

        Raises:
            TransportError: Names the way out.
        """
        if self.is_forked():
            raise TransportError(
                f"{self.options.location}: was opened by process {self._process} and cannot be used after fork in process "
                f"{os.getpid()}; start processes by multiprocessing's 'spawn' or as programs of their own"
            )

    def is_forked(self) -> bool:
        """Whether this is a forked child of the process that all here belongs to: nothing may be touched, no lock taken."""
        return os.getpid() != self._process

    def is_there(self) -> bool:
        """Whether the file that was opened still has its name."""
        try:
            found = self.file.stat()
        except OSError:
            return False
        return self._identity in (None, (found.st_dev, found.st_ino))

    # --- transactions ---

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """A connection for quick reading; nothing may stay open on it."""
        self.check_process()
        with self._opening:
            connection = self._spare.pop() if self._spare else None
        with self._translating():
            if connection is None:
                connection = self._connect()
            try:
                yield connection
            except BaseException:
                connection.close()
                raise
        with self._opening:
            if len(self._spare) < SPARE_READERS and not self._closed:
                self._spare.append(connection)
                return
        connection.close()

    def write(self, work: Callable[[sqlite3.Connection], T], *, must: bool = True) -> T:
        """Carry out ``work`` in one transaction, and give what it gives.

        Args:
            work: Does nothing but to use the connection: it may be called again.
            must: Use the reserve when the disk is full.

        Raises:
            TransportTimeoutError: The disk is full, or another process keeps the file locked.
            TransportError: It cannot be written; nothing of it was.
        """
        self.check_process()
        for left in reversed(range(ROOM_TRIES)):
            try:
                return self._write(work)
            except DiskFullError:
                if not must or not left:
                    raise
                self.shorten_log(always=True)
                if left == 1:
                    self.reserve.release()
        raise AssertionError("unreachable")

    def _write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not self._writing.acquire(timeout=2 * BUSY_S):
            raise BusyError(f"{self.options.location}: another thread writes for too long")
        try:
            with self._translating():
                connection = self._writer
                if connection is None or self._closed:
                    raise TransportError(f"{self.options.location}: is closed")
                connection.execute("BEGIN IMMEDIATE")
                try:
                    result = work(connection)
                    connection.execute("COMMIT")
                except BaseException:
                    with suppress(sqlite3.Error):  # a full disk has rolled back already
                        connection.execute("ROLLBACK")
                    raise
                return result
        finally:
            self._writing.release()

    def has_room(self, size_bytes: int, spared_bytes: int = 0) -> bool:
        """Whether the disk has room for more: in the log, in the file, for what the log holds, and for the reserve.

        Without that room the log could not be copied into the file, and would take up the disk for good.

        Args:
            size_bytes: Of what is to be written.
            spared_bytes: That are left to others beyond that.
        """
        if not self.reserve.take(RESERVE_BYTES + MARGIN_BYTES):
            return False
        return free_bytes(self.options.folder) >= 2 * size_bytes + self._log_bytes() + spared_bytes

    def _log_bytes(self) -> int:
        try:
            return os.stat(f"{self.file}-wal").st_size
        except OSError:
            return 0

    def shorten_log(self, *, always: bool = False) -> None:
        """Copy the log into the file and start it again, when it has grown long: readers of the moment are waited for."""
        if not always and self._log_bytes() <= LOG_BYTES:
            return
        with self._writing, suppress(sqlite3.Error):
            if self._writer is not None:
                self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except FAULTS as error:
            raise translate(error, self.options.location, self.file) from error

    def close(self) -> None:
        """Close all connections; idempotent. In a forked child nothing happens: they are the parent's."""
        if self.is_forked():
            return
        with self._writing, self._opening:
            self._closed = True
            for connection in self.connections():
                with suppress(sqlite3.Error, PypzError):
                    connection.close()
            self._spare.clear()
            self._writer = None
