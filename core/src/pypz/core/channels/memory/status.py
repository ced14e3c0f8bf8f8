"""Status streams in this process's memory: facts, beats and log lines of the pipelines of one ``memory:NAME``."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, Generic, Literal, TypeVar

from pypz.core.channels.spi import Member, StatusEntry
from pypz.core.commons.clock import Clock

T = TypeVar("T")

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

    def wake(self) -> None:
        """End the wait that is going on, or the next one; the caller holds the lock."""
        self.wakes += 1
        self.notify()

    def notify(self) -> None:
        self._condition.notify_all()

    def wait(self, timeout_s: float) -> None:
        self._condition.wait(timeout_s)


class _Follower(ABC, Generic[T]):
    """Follows the status of one pipeline, which may be made later, or anew."""

    def __init__(self, store: StatusStore, pipeline: str) -> None:
        self._store = store
        self._pipeline = pipeline
        self._signal = Signal(store)
        self._attached: Status | None = None

    @abstractmethod
    def _followers(self, status: Status) -> list[Any]:
        """Those of its kind."""

    @abstractmethod
    def _begin(self, status: Status | None) -> None:
        """Another status is followed from now on, or none."""

    @abstractmethod
    def _take(self, status: Status | None) -> list[T]:
        """What has come since the last call."""

    def _attach(self) -> Status | None:
        """Follow the pipeline's status as it is now."""
        status = self._store.status.get(self._pipeline)
        if status is not self._attached:
            self._attached = status
            if status is not None:
                self._followers(status).append(self)
            self._begin(status)
        return status

    def _wait_for(self, what: str, timeout_s: float) -> list[T]:
        """What has come since the last call; waits for the first, or until ``what`` is woken."""
        deadline = self._store.clock.now() + timeout_s
        with self._store.lock:
            while True:
                status = self._attach()
                found = self._take(status)
                remaining = deadline - self._store.clock.now()
                if self._signal.was_woken(what) or found or remaining <= 0:
                    return found
                self._signal.wait(remaining if status is not None else min(remaining, LOOK_S))

    def notify(self) -> None:
        """Something has come; the caller holds the lock."""
        self._signal.notify()

    def wake(self) -> None:
        """End the wait that is going on, or the next one."""
        with self._store.lock:
            self._signal.wake()

    def close(self) -> None:
        """Follow no more."""
        with self._store.lock:
            for status in self._store.status.values():
                if self in self._followers(status):
                    self._followers(status).remove(self)
            self._signal.wake()


class MemoryStatusStream(_Follower[StatusEntry]):
    """Facts and beats of one pipeline."""

    def __init__(self, store: StatusStore, pipeline: str) -> None:
        super().__init__(store, pipeline)
        self._queue: list[StatusEntry] = []
        with store.lock:
            self._attach()

    def _followers(self, status: Status) -> list[MemoryStatusStream]:
        return status.streams

    def _begin(self, status: Status | None) -> None:
        """A new stream gives out all its facts."""
        if status is not None:
            self._queue += sorted(status.facts.values(), key=lambda entry: entry.position)

    def _take(self, status: Status | None) -> list[StatusEntry]:
        found, self._queue = self._queue, []
        return found

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
            stream.notify()
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
        return self._wait_for("changes", timeout_s)


class MemoryLogReader(_Follower[bytes]):
    """Follows the log lines of one pipeline."""

    def __init__(self, store: StatusStore, pipeline: str, kept: int) -> None:
        super().__init__(store, pipeline)
        self._read = 0
        with store.lock:
            status = self._attach()
            if status is not None:
                self._read = status.logged - min(kept, len(status.logs))

    def _followers(self, status: Status) -> list[MemoryLogReader]:
        return status.log_readers

    def _begin(self, status: Status | None) -> None:
        self._read = 0

    def _take(self, status: Status | None) -> list[bytes]:
        if status is None or status.logged == self._read:
            return []
        missed, self._read = status.logged - self._read, status.logged
        return list(status.logs)[-missed:]

    def read(self, timeout_s: float) -> list[bytes]:
        """Lines since the last call; waits for the first."""
        return self._wait_for("read", timeout_s)
