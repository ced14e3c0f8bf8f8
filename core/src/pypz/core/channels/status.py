"""One process's view of a pipeline's status stream at one location: all facts, kept up to date by one thread."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

from pypz.core.channels.spi import Member, StatusEntry, StatusStream
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import PypzError, TransportError, TransportTimeoutError, WokenError

ALIVE_INTERVAL_S: Final = 1.0
"""Seconds between two beats of a process that has members (semantics: at least once a second)."""

T = TypeVar("T")


def pack(**values: Any) -> bytes:
    """Make the JSON value of a fact or beat."""
    return json.dumps({"v": 1, **values}, separators=(",", ":")).encode()


def unpack(value: bytes | None) -> dict[str, Any]:
    """Read a fact's or beat's JSON; {} for what is none, so that a corrupt entry never stops a run."""
    try:
        found = json.loads(value or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


class StatusHub:
    """Facts of one pipeline at one location, shared by the members in this process; writes go through it, too."""

    def __init__(self, stream: StatusStream, name: str, clock: Clock = PROCESS_CLOCK) -> None:
        self.stream = stream
        self._clock = clock
        self._name = name
        self._facts: dict[str, StatusEntry] = {}
        self._changed = clock.condition()
        self._alive_seen: dict[str, float] = {}
        self._alive_value: Callable[[], bytes | None] = lambda: None
        self._alive_key = ""
        self._listeners: list[Callable[[frozenset[str]], None]] = []
        self._parsed: dict[str, dict[str, Any]] = {}
        self._closing = False
        self._failure: Exception | None = None
        self._thread = clock.thread(self._follow, f"pypz-status {name}")

    def open(self) -> None:
        """Read all facts, then follow."""
        self._facts = dict(self.stream.facts())
        self._thread.start()

    def keep_alive(self, key: str, value: Callable[[], bytes | None]) -> None:
        """Beat ``alive/<key>`` with ``value()`` every second from now on, as long as that is not None."""
        self._alive_key, self._alive_value = key, value
        self.stream.wake()

    def listen(self, listener: Callable[[frozenset[str]], None]) -> Callable[[], None]:
        """Call ``listener`` (quick, on the hub's thread) with the keys of facts that changed; gives what ends it."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener) if listener in self._listeners else None

    # --- reading ---

    def facts(self) -> dict[str, StatusEntry]:
        """All facts by key, as far as known now."""
        with self._changed:
            return dict(self._facts)

    def value(self, key: str) -> dict[str, Any]:
        """One fact's JSON; {} when there is none."""
        with self._changed:
            found = self._parsed.get(key)
            if found is None:
                entry = self._facts.get(key)
                found = self._parsed[key] = unpack(entry.value) if entry else {}
            return found

    def position(self, key: str) -> int | None:
        """Place of one fact in the stream; None when there is none."""
        with self._changed:
            entry = self._facts.get(key)
            return entry.position if entry else None

    def wait_alive(self, run: str, timeout_s: float) -> bool:
        """Wait for a new beat of ``run``."""
        began = self._clock.now()
        with self._changed:
            return self._changed.wait_for(lambda: self._alive_seen.get(run, began) > began, timeout_s)

    def wait_for(
        self,
        look: Callable[[], T | None],
        *,
        what: Callable[[], str],
        timeout_s: float | None = None,
        stopped: Callable[[], bool] = lambda: False,
        tell: Callable[[str], None] = lambda text: None,
    ) -> T:
        """Wait until ``look`` gives something; it is asked again after each change of facts.

        Args:
            look: Asks the facts.
            what: Says in words what is waited for, by what is known now.
            timeout_s: Seconds to wait; None for ever.
            stopped: Whether to give up; asked after each change and `poke`.
            tell: Given ``what()`` every 30 s.

        Raises:
            WokenError: ``stopped()``.
            TransportTimeoutError: The time has passed; tells ``what()``.
        """
        began = self._clock.now()
        told = began
        with self._changed:
            while True:
                if (found := look()) is not None:
                    return found
                if stopped():
                    raise WokenError(f"interrupted while waiting for {what()}")
                if self._failure is not None:
                    raise TransportError(f"{self._name}: status stream lost: {self._failure}") from self._failure
                now = self._clock.now()
                if timeout_s is not None and now - began >= timeout_s:
                    raise TransportTimeoutError(f"waited {timeout_s:g} s for {what()}")
                if now - told >= self._clock.tell_interval_s:
                    told = now
                    tell(f"waits since {now - began:.0f} s for {what()}")
                until = told + self._clock.tell_interval_s
                self._changed.wait((until if timeout_s is None else min(until, began + timeout_s)) - now)

    def poke(self) -> None:
        """Make all waits ask ``stopped`` again."""
        with self._changed:
            self._changed.notify_all()

    # --- writing ---

    def put(self, key: str, value: bytes | None) -> None:
        """Write a fact, acknowledged."""
        self.stream.put(key, value)

    def put_first(self, key: str, value: bytes) -> bytes:
        """Write a fact unless it exists; gives the one that stands."""
        return self.stream.put_first(key, value)

    def join(self, member: Member, value: bytes) -> int:
        """Write ``joined``; gives the epoch."""
        return self.stream.join(member, value)

    def refresh(self) -> None:
        """Wait until a fact written now would be known: puts and awaits a mark of our own."""
        key = f"mark/{self._alive_key or id(self)}"
        token = str(time.monotonic_ns())
        self.stream.put(key, pack(token=token))
        self.wait_for(
            lambda: True if self.value(key).get("token") == token else None,
            what=lambda: f"own entry in the status stream of {self._name}",
            timeout_s=30,
        )
        self.stream.put(key, None)

    # --- thread ---

    def _follow(self) -> None:
        next_beat = self._clock.now()
        while not self._closing:
            value = self._alive_value()
            now = self._clock.now()
            if value is not None and now >= next_beat:
                self.stream.beat(f"alive/{self._alive_key}", value)
                next_beat = now + ALIVE_INTERVAL_S
            try:
                entries = self.stream.changes(max(0.0, next_beat - now) if value is not None else 60.0)
            except PypzError as error:
                with self._changed:
                    self._failure = error
                    self._changed.notify_all()
                return
            if entries and not self._closing:
                self._apply(entries)

    def _apply(self, entries: list[StatusEntry]) -> None:
        keys: set[str] = set()
        with self._changed:
            for entry in entries:
                if entry.kind == "beat":
                    if entry.key.startswith("alive/"):
                        self._alive_seen[str(unpack(entry.value).get("run"))] = self._clock.now()
                    continue
                keys.add(entry.key)
                self._parsed.pop(entry.key, None)
                if entry.value is None:
                    self._facts.pop(entry.key, None)
                else:
                    self._facts[entry.key] = entry
            self._changed.notify_all()
        if keys:
            self._tell(frozenset(keys))

    def _tell(self, keys: frozenset[str]) -> None:
        for listener in list(self._listeners):
            listener(keys)

    def close(self) -> None:
        """Stop following and close the stream; idempotent."""
        self._closing = True
        self.stream.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(10)
        self.stream.close()
        self.poke()


def with_prefix(facts: Mapping[str, StatusEntry], prefix: str) -> dict[str, dict[str, Any]]:
    """The facts whose key begins with ``prefix``, by the rest of the key, in stream order."""
    found = [
        (entry.position, key[len(prefix) :], unpack(entry.value))
        for key, entry in facts.items()
        if key.startswith(prefix)
    ]
    return {key: value for _, key, value in sorted(found, key=lambda item: item[0])}
