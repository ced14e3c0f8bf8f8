"""Status streams in this process's memory: facts, beats and log lines of the pipelines of one ``memory:NAME``."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, Literal

from pypz.core.channels.spi import Member, StatusEntry
from pypz.core.commons.clock import Clock

LOGS_KEPT: Final = 2_000
"""Log lines of a pipeline that are kept for viewers who come later (chosen)."""

LOOK_S: Final = 0.5
"""Seconds between two looks for a stream that is not there: nobody notifies then (semantics: found within 2 s)."""


class Status:
    """Facts and the entries since then of one pipeline."""

    def __init__(self) -> None:
        self.facts: dict[str, StatusEntry] = {}
        self.beats: dict[str, StatusEntry] = {}
        """The last of each key."""
        self.next_position = 0
        self.streams: list[MemoryStatusStream] = []
        self.logs: deque[bytes] = deque(maxlen=LOGS_KEPT)
        self.logged = 0
        """Lines written so far, those no longer kept included."""
        self.log_readers: list[MemoryLogReader] = []


class StatusStore:
    """The status of all pipelines of a NAME; one lock for everything that the NAME holds."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.lock = threading.RLock()
        self.status: dict[str, Status] = {}


class Signal:
    """Wakes one waiting client: a condition on the store's lock, with a memory for wake-ups that came early."""

    def __init__(self, store: StatusStore) -> None:
        self._condition = store.clock.condition(store.lock)
        self.wakes = 0
        self._seen: dict[str, int] = {}

    def was_woken(self, who: str) -> bool:
        """Whether `wake` was called since ``who`` asked the last time: a wake-up that came early is not lost."""
        if self._seen.get(who, 0) == self.wakes:
            return False
        self._seen[who] = self.wakes
        return True

    def notify(self) -> None:
        self._condition.notify_all()

    def wait(self, timeout_s: float) -> None:
        self._condition.wait(timeout_s)


class MemoryStatusStream:
    """Facts and beats of one pipeline."""

    def __init__(self, store: StatusStore, pipeline: str) -> None:
        self._store = store
        self._pipeline = pipeline
        self._signal = Signal(store)
        self._queue: list[StatusEntry] = []
        self._attached: Status | None = None
        with store.lock:
            self._attach()

    def _attach(self) -> Status | None:
        """Follow the pipeline's stream as it is now; a new one gives out all its facts."""
        status = self._store.status.get(self._pipeline)
        if status is not self._attached:
            self._attached = status
            if status is not None:
                status.streams.append(self)
                self._queue += sorted(status.facts.values(), key=lambda entry: entry.position)
        return status

    @contextmanager
    def _writing(self) -> Iterator[Status]:
        with self._store.lock:
            yield self._store.status.setdefault(self._pipeline, Status())

    def _append(self, status: Status, kind: Literal["fact", "beat"], key: str, value: bytes | None) -> int:
        entry = StatusEntry(kind, key, value, status.next_position)
        status.next_position += 1
        if kind == "beat":
            status.beats.pop(key, None)
            status.beats[key] = entry
        else:
            if value is None:
                status.facts.pop(key, None)
            else:
                status.facts[key] = entry
        for stream in status.streams:
            stream._queue.append(entry)
            stream._signal.notify()
        return entry.position

    def join(self, member: Member, value: bytes) -> int:
        """Write ``joined/<member>``; its position is the epoch."""
        with self._writing() as status:
            return self._append(status, "fact", f"joined/{member.key}", value)

    def put(self, key: str, value: bytes | None) -> None:
        """Write a fact."""
        with self._writing() as status:
            self._append(status, "fact", key, value)

    def put_first(self, key: str, value: bytes) -> bytes:
        """Write a fact unless it exists."""
        with self._writing() as status:
            found = status.facts.get(key)
            if found is not None and found.value is not None:
                return found.value
            self._append(status, "fact", key, value)
            return value

    def beat(self, key: str, value: bytes) -> None:
        """Tell a figure."""
        with self._writing() as status:
            self._append(status, "beat", key, value)

    def log(self, value: bytes) -> None:
        """Keep a log line, in place of the oldest when there are many."""
        with self._writing() as status:
            status.logs.append(value)
            status.logged += 1
            for reader in status.log_readers:
                reader.notify()

    def facts(self) -> Mapping[str, StatusEntry]:
        """All facts now."""
        with self._store.lock:
            status = self._attach()
            self._queue = [entry for entry in self._queue if entry.kind == "beat"]
            return dict(status.facts) if status else {}

    def kept_beats(self) -> list[StatusEntry]:
        """The last beat of each key."""
        with self._store.lock:
            status = self._attach()
            return list(status.beats.values()) if status else []

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        """Entries since the last call; waits for the first."""
        deadline = self._store.clock.now() + timeout_s
        with self._store.lock:
            while True:
                self._attach()
                found, self._queue = self._queue, []
                remaining = deadline - self._store.clock.now()
                if self._signal.was_woken("changes") or found or remaining <= 0:
                    return found
                self._signal.wait(remaining if self._attached is not None else min(remaining, LOOK_S))

    def wake(self) -> None:
        """End a waiting `changes`."""
        with self._store.lock:
            self._signal.wakes += 1
            self._signal.notify()

    def close(self) -> None:
        """Follow no more."""
        with self._store.lock:
            for status in self._store.status.values():
                if self in status.streams:
                    status.streams.remove(self)
        self.wake()


class MemoryLogReader:
    """Follows the log lines of one pipeline."""

    def __init__(self, store: StatusStore, pipeline: str, kept: int) -> None:
        self._store = store
        self._pipeline = pipeline
        self._signal = Signal(store)
        self._attached: Status | None = None
        self._read = 0
        with store.lock:
            status = self._attach()
            if status is not None:
                self._read = status.logged - min(kept, len(status.logs))

    def _attach(self) -> Status | None:
        status = self._store.status.get(self._pipeline)
        if status is not self._attached:
            self._attached, self._read = status, 0
            if status is not None:
                status.log_readers.append(self)
        return status

    def notify(self) -> None:
        """A line was written; the caller holds the lock."""
        self._signal.notify()

    def read(self, timeout_s: float) -> list[bytes]:
        """Lines since the last call; waits for the first."""
        deadline = self._store.clock.now() + timeout_s
        with self._store.lock:
            while True:
                status = self._attach()
                missed = 0 if status is None else status.logged - self._read
                remaining = deadline - self._store.clock.now()
                if self._signal.was_woken("read") or missed or remaining <= 0:
                    if status is None or not missed:
                        return []
                    self._read = status.logged
                    return list(status.logs)[-missed:]
                self._signal.wait(remaining if status is not None else min(remaining, LOOK_S))

    def wake(self) -> None:
        """End a waiting `read`."""
        with self._store.lock:
            self._signal.wakes += 1
            self._signal.notify()

    def close(self) -> None:
        """Follow no more."""
        with self._store.lock:
            for status in self._store.status.values():
                if self in status.log_readers:
                    status.log_readers.remove(self)
        self.wake()
