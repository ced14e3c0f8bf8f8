"""The one thread of a transport that writes blocks, beats and log lines, and removes what was consumed.

Whatever has come together since the last transaction goes into the next one: many writers cost as much as one.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from pypz.core.channels.spi import Member
from pypz.core.commons.errors import FencedError, PypzError, TransportError, TransportTimeoutError
from pypz.plugins.local_io import channels, logs
from pypz.plugins.local_io.channels import Row
from pypz.plugins.local_io.cleaning import Cleaner
from pypz.plugins.local_io.database import PARTITION_SPAN, Database
from pypz.plugins.local_io.faults import BusyError, DiskFullError
from pypz.plugins.local_io.logs import Line, LogTable
from pypz.plugins.local_io.signals import Bell

log = logging.getLogger("pypz.plugins.local_io")

AHEAD_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one client that wait to be written before its `write` waits (chosen: some 16 full blocks)."""
BATCH_BYTES: Final = 8 * 1024 * 1024
"""Bytes of one transaction at most (chosen: some 20 ms)."""
BATCH_BLOCKS: Final = 1000
"""Blocks of one transaction at most (chosen)."""
BLOCK_EXTRA_BYTES: Final = 256
"""What a block takes besides its payload (chosen: about its headers)."""
RETRY_S: Final = 0.5
"""Seconds until a full or locked file is tried again, when nothing was removed meanwhile (chosen)."""
TELL_S: Final = 30.0
"""Seconds after which it is told again that nothing can be written (house rule)."""
BEATS_AHEAD: Final = 1000
"""Beats that wait; of more the oldest are dropped (chosen)."""
BEATS_KEPT: Final = 1000
"""Beats of a pipeline that stay in the file (chosen)."""
LAST_BEATS_KEPT: Final = 100_000
"""Beats written since, after which the last one of its key is forgotten, too (chosen: an hour of ten members)."""
LOGS_AHEAD: Final = 1000
"""Log lines that wait; of more the oldest are dropped (chosen)."""
SPARED_BYTES: Final = 20 * 1024 * 1024
"""Bytes of the disk that no log lines are written to: they are left to records (chosen: the reserve and its margin)."""
PRUNE_EVERY: Final = 200
"""Beats written between two removals of old ones (chosen)."""

Beat = tuple[str, str, bytes]


@dataclass(eq=False)
class Sender:
    """One client as the outbox sees it; guarded by the outbox's lock."""

    member: Member
    epoch: int
    room: Callable[[], None]
    """Told when blocks were written: who waits to write may look again."""
    pending: int = 0
    pending_bytes: int = 0
    failure: PypzError | None = None
    """Why nothing more of this client is written."""


@dataclass(frozen=True, eq=False)
class Letter:
    """A block on its way into the file."""

    sender: Sender
    row: Row
    partition: int
    headers: str
    payload: bytes

    @property
    def size_bytes(self) -> int:
        return len(self.payload) + BLOCK_EXTRA_BYTES


@dataclass(frozen=True)
class Batch:
    """What goes into one transaction."""

    letters: list[Letter]
    beats: list[Beat]
    logs: list[Line] = field(default_factory=list)


@dataclass(frozen=True)
class Outcome:
    """What became of a batch that was carried out."""

    topics: set[str]
    failures: dict[Sender, PypzError]


class Outbox:
    """Takes blocks, beats and log lines from any thread; its own begins when there is something to do."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._cleaner = Cleaner(database, bell)
        self._changed = threading.Condition()
        self._letters: deque[Letter] = deque()
        self._beats: deque[Beat] = deque(maxlen=BEATS_AHEAD)
        self._beats_until_pruned = 0
        self._logs: deque[Line] = deque(maxlen=LOGS_AHEAD)
        self._log_table = LogTable()
        self._thread: threading.Thread | None = None
        self._closing_by: float | None = None
        self._write_at = 0.0
        self._clean_at = 0.0
        self._has_just_written = False
        self._trouble: PypzError | None = None
        self._told_at = float("-inf")
        self._failure: TransportError | None = None
        """Why the thread has ended."""

    # --- from any thread ---

    def add(self, letter: Letter) -> bool:
        """Take a block, unless too many bytes of its sender wait.

        Raises:
            TransportError: An earlier block of the sender failed for good.
        """
        sender = letter.sender
        with self._changed:
            self._raise_failure(sender)
            if sender.pending and sender.pending_bytes + letter.size_bytes > AHEAD_BYTES:
                return False
            sender.pending += 1
            sender.pending_bytes += letter.size_bytes
            self._letters.append(letter)
            self._stir()
            return True

    def add_beat(self, pipeline: str, key: str, value: bytes) -> None:
        """Take a beat."""
        with self._changed:
            self._beats.append((pipeline, key, value))
            self._stir()

    def add_log(self, pipeline: str, value: bytes) -> None:
        """Take a log line."""
        with self._changed:
            if self._closing_by is None:
                self._logs.append((pipeline, value))
                self._stir()

    def clean(self, channel: int | None) -> None:
        """Remove, by and by, what all groups of a channel have consumed; None: what deleted channels left."""
        self._cleaner.ask(channel)
        with self._changed:
            self._stir()

    def flush(self, sender: Sender, timeout_s: float) -> None:
        """Return when all blocks of the sender are in the file.

        Raises:
            TransportTimeoutError: Not within the time; tells the last cause.
            TransportError: The first failure.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: not sender.pending or (sender.failure or self._failure) is not None, timeout_s
            )
            self._raise_failure(sender)
            if sender.pending:
                cause = self._trouble or f"{self._database.options.location}: the disk is slow"
                raise TransportTimeoutError(f"{sender.pending} blocks were not written within {timeout_s:g} s: {cause}")

    def _raise_failure(self, sender: Sender) -> None:
        failure = sender.failure or self._failure
        if failure is not None:
            raise failure

    def drop(self, sender: Sender) -> None:
        """Forget what was not written yet."""
        if self._database.is_forked():
            return
        with self._changed:
            self._letters = deque(letter for letter in self._letters if letter.sender is not sender)
            sender.pending = sender.pending_bytes = 0
            self._changed.notify_all()

    def trouble(self) -> str:
        """Why nothing can be written at the moment; empty when all is well."""
        with self._changed:
            return "" if self._trouble is None else str(self._trouble)

    def close(self, timeout_s: float) -> None:
        """Forget blocks and beats that were not written, write the last log lines and remove what is left to remove within the
        time, end the thread.
        """
        with self._changed:
            self._closing_by = time.monotonic() + timeout_s
            self._letters.clear()
            self._beats.clear()
            self._changed.notify_all()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s + 10)

    def _stir(self) -> None:
        if self._thread is None and self._closing_by is None:
            self._thread = threading.Thread(target=self._run, name="pypz-local-write", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    # --- the thread ---

    def _run(self) -> None:
        try:
            self._work()
        except Exception as error:  # noqa: BLE001  # surfaces at the next write or flush of everybody
            with self._changed:
                self._failure = self._unexpected(error)
                self._changed.notify_all()

    def _work(self) -> None:
        while True:
            with self._changed:
                while (work := self._next_work()) is None:
                    if self._closing_by is not None:
                        return
                    self._changed.wait(self._wait_s())
            work()

    def _next_work(self) -> Callable[[], None] | None:
        """Writing and cleaning take turns; with the lock held."""
        now = time.monotonic()
        if self._closing_by is not None and now >= self._closing_by:
            return None
        may_write = bool(self._letters or self._beats or self._logs) and now >= self._write_at
        may_clean = self._cleaner.has_work() and now >= self._clean_at
        if may_write and not (may_clean and self._has_just_written):
            self._has_just_written = True
            return partial(self._write, self._take())
        self._has_just_written = False
        return self._clean if may_clean else None

    def _wait_s(self) -> float | None:
        dues = [self._write_at] if self._letters or self._beats or self._logs else []
        if self._cleaner.has_work():
            dues.append(self._clean_at)
        return max(0.001, min(dues) - time.monotonic()) if dues else None

    def _take(self) -> Batch:
        letters: list[Letter] = []
        size = 0
        while self._letters and len(letters) < BATCH_BLOCKS and size < BATCH_BYTES:
            letters.append(self._letters.popleft())
            size += letters[-1].size_bytes
        beats, self._beats = list(self._beats), deque(maxlen=BEATS_AHEAD)
        lines, self._logs = list(self._logs), deque(maxlen=LOGS_AHEAD)
        return Batch(letters, beats, lines)

    def _write(self, batch: Batch) -> None:
        letters = batch.letters
        try:
            lines_bytes = sum(len(value) for _, value in batch.logs)
            if lines_bytes and not self._database.has_room(lines_bytes, SPARED_BYTES):
                batch = replace(batch, logs=[])  # what is left of the disk is for records
            if letters and not self._database.has_room(sum(letter.size_bytes for letter in letters)):
                self._cleaner.ask_for_room()
                if batch.beats:
                    self._ring(self._database.write(partial(self._insert, Batch([], batch.beats))))
                raise DiskFullError(
                    f"{self._database.options.location}: the disk of {self._database.options.folder} is full; what is left is "
                    "kept for commits and deletions; it goes on when there is room: let readers catch up, or free some"
                )
            outcome = self._database.write(partial(self._insert, batch), must=not letters)
        except (DiskFullError, BusyError) as error:
            self._put_back(letters, error)
        except PypzError as error:
            self._done(letters, dict.fromkeys((letter.sender for letter in letters), error))
        except Exception as error:  # noqa: BLE001  # whatever it is, the thread goes on
            self._write_less(batch, error)
        else:
            self._done(letters, outcome.failures)
            self._ring(outcome)
            self._database.shorten_log()

    def _write_less(self, batch: Batch, error: Exception) -> None:
        """Something unexpected: beats and lines that cannot be written are left out, blocks fail their senders."""
        if batch.letters and (batch.beats or batch.logs):
            self._write(Batch(batch.letters, []))
            return
        unexpected = self._unexpected(error)
        self._done(batch.letters, dict.fromkeys((letter.sender for letter in batch.letters), unexpected))
        if not batch.letters:
            log.warning("figures or log lines are lost: %s", unexpected)

    def _unexpected(self, error: Exception) -> TransportError:
        if isinstance(error, TransportError):
            return error  # it tells by itself what is wrong
        found = TransportError(
            f"{self._database.options.location}: something unexpected, {type(error).__name__}: {error}; please report it"
        )
        found.__cause__ = error
        return found

    def _ring(self, outcome: Outcome) -> None:
        self._bell.ring(outcome.topics)

    def _put_back(self, letters: list[Letter], error: PypzError) -> None:
        now = time.monotonic()
        with self._changed:
            if self._closing_by is None:
                self._letters.extendleft(letter for letter in reversed(letters) if letter.sender.pending)
            self._trouble = error
            self._write_at = now + RETRY_S
        if now - self._told_at >= TELL_S:
            self._told_at = now
            log.warning("nothing can be written: %s", error)

    def _done(self, letters: list[Letter], failures: dict[Sender, PypzError]) -> None:
        senders = {letter.sender for letter in letters}
        with self._changed:
            self._trouble = None
            for letter in letters:
                sender = letter.sender
                if sender.pending:  # else dropped meanwhile
                    sender.pending -= 1
                    sender.pending_bytes -= letter.size_bytes
            for sender, error in failures.items():
                sender.failure = sender.failure or error
            self._changed.notify_all()
        for sender in senders:
            sender.room()

    def _clean(self) -> None:
        try:
            has_room = self._cleaner.step()
        except (DiskFullError, BusyError):
            self._clean_at = time.monotonic() + RETRY_S
        except PypzError as error:
            self._cleaner.give_up()
            log.warning("consumed blocks cannot be removed: %s", error)
        except Exception as error:  # noqa: BLE001  # what is not removed must not keep anything from being written
            self._cleaner.give_up()
            log.warning("consumed blocks cannot be removed: %s", self._unexpected(error))
        else:
            if has_room:
                self._write_at = 0.0

    # --- within the transaction ---

    def _insert(self, batch: Batch, connection: sqlite3.Connection) -> Outcome:
        failures: dict[Sender, PypzError] = {}
        topics = {f"status {pipeline}" for pipeline, _, _ in batch.beats}
        topics |= {logs.topic_of(pipeline) for pipeline, _ in batch.logs}
        for sender in {letter.sender: None for letter in batch.letters}:
            try:
                check_fence(connection, sender.member, sender.epoch)
            except FencedError as error:
                failures[sender] = error
        by_partition: dict[tuple[int, int], list[Letter]] = {}
        for letter in batch.letters:
            if letter.sender not in failures:
                by_partition.setdefault((letter.row.id, letter.partition), []).append(letter)
        for (channel, partition), letters in by_partition.items():
            if append(connection, channel, partition, letters):
                topics.add(letters[0].row.topic)
            else:
                lost = channels.gone(letters[0].row.info, self._database.options.location)
                failures.update((letter.sender, lost) for letter in letters)
        self._insert_beats(connection, batch.beats)
        self._log_table.insert(connection, batch.logs)
        return Outcome(topics, failures)

    def _insert_beats(self, connection: sqlite3.Connection, beats: list[Beat]) -> None:
        if not beats:
            return
        connection.executemany("INSERT INTO beats (pipeline, name, value) VALUES (?, ?, ?)", beats)
        self._beats_until_pruned -= len(beats)
        if self._beats_until_pruned <= 0:
            self._beats_until_pruned = PRUNE_EVERY
            for pipeline in {beat[0] for beat in beats}:
                connection.execute(
                    "DELETE FROM beats WHERE pipeline = ? AND position <= (SELECT position FROM beats WHERE pipeline = ?"
                    " ORDER BY position DESC LIMIT 1 OFFSET ?) AND (position <= (SELECT MAX(position) FROM beats) - ?"
                    " OR position NOT IN (SELECT MAX(position) FROM beats WHERE pipeline = ? GROUP BY name))",
                    (pipeline, pipeline, BEATS_KEPT, LAST_BEATS_KEPT, pipeline),
                )


def append(connection: sqlite3.Connection, channel: int, partition: int, letters: list[Letter]) -> bool:
    """Put blocks at the end of a partition; False: there is no such partition."""
    found = connection.execute(
        "SELECT id, end FROM partitions WHERE channel = ? AND number = ?", (channel, partition)
    ).fetchone()
    if found is None:
        return False
    number, end = found
    first = number * PARTITION_SPAN + end
    connection.executemany(
        "INSERT INTO blocks (id, headers, payload) VALUES (?, ?, ?)",
        [(first + place, letter.headers, letter.payload) for place, letter in enumerate(letters)],
    )
    connection.execute("UPDATE partitions SET end = ? WHERE id = ?", (end + len(letters), number))
    size = sum(len(letter.headers) + len(letter.payload) for letter in letters)
    connection.execute("UPDATE channels SET size_bytes = size_bytes + ? WHERE id = ?", (size, channel))
    return True


def check_fence(connection: sqlite3.Connection, member: Member, epoch: int) -> None:
    """Refuse a member that has a later start.

    Raises:
        FencedError: Names member and epochs.
    """
    found = connection.execute(
        "SELECT epoch FROM members WHERE pipeline = ? AND member = ?", (member.pipeline, member.key)
    ).fetchone()
    if found is not None and found[0] > epoch:
        raise FencedError(
            f"{member.key}: a later start of this member has taken over (epoch {found[0]}, this one has {epoch}); nothing "
            "of this one is written any more"
        )
