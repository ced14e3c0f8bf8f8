"""Facts and beats of one pipeline in Redis: facts in a hash, their changes and the beats in two streams."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping
from typing import Any, Final, Literal

import redis

from pypz.core.channels.spi import Member, StatusEntry
from pypz_redis.scripts import PIPELINES, PUT, beats_key, changes_key, facts_key
from pypz_redis.server import FIRST_PAUSE_S, LONGEST_PAUSE_S, Entries, Server, Wait, Waker, is_away

CHANGES_KEPT: Final = 10_000
"""Changes of facts kept for those who follow; who is further behind reads the facts anew (chosen)."""
BEATS_KEPT: Final = 10_000
"""Beats kept (chosen: minutes of a large pipeline)."""
PUT_TIMEOUT_S: Final = 30.0
"""Seconds for which a fact that cannot be written is tried again (chosen)."""
READ_AT_ONCE: Final = 1000

_SEQUENCES: Final = 1024
"""A position is milliseconds times this plus sequence number; Redis does not make a thousand entries a millisecond, and Lua
compares numbers up to 2**53 exactly."""


class RedisStatusStream:
    """A `StatusStream`."""

    def __init__(self, server: Server, pipeline: str) -> None:
        self._server = server
        self._pipeline = pipeline
        self._facts, self._changes, self._beats = facts_key(pipeline), changes_key(pipeline), beats_key(pipeline)
        self._put = server.commands.register_script(PUT)
        self._waker = Waker(server)
        self._wait = Wait(self._waker)
        self._known: dict[str, int] = {}
        self._at = {key: self._last_of(key) for key in (self._changes, self._beats)}

    def join(self, member: Member, value: bytes) -> int:
        """Write ``joined/<member>``; its position is the epoch."""
        return _position(self._write(f"joined/{member.key}", "put", value)[0])

    def put(self, key: str, value: bytes | None) -> None:
        """Write a fact; the server has it when this returns."""
        self._write(key, "remove" if value is None else "put", value or b"")

    def put_first(self, key: str, value: bytes) -> bytes:
        """Write a fact unless it exists."""
        return self._write(key, "first", value)[1]

    def beat(self, key: str, value: bytes) -> None:
        """Tell a figure; it is lost while the server is away."""
        with contextlib.suppress(redis.RedisError):
            self._server.quick.xadd(self._beats, {"k": key, "v": value}, maxlen=BEATS_KEPT, approximate=True)

    def facts(self) -> Mapping[str, StatusEntry]:
        """All facts now."""
        found, at = self._server.ask(self._read_facts, f"cannot read the status of {self._pipeline!r}")
        self._at[self._changes] = at
        self._known = {key: entry.position for key, entry in found.items()}
        return found

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        """Entries since the last call; waits for the first. A server that is away is waited for."""
        deadline = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                found = self._taken(self._wait.look(self._at, READ_AT_ONCE, left_s))
            except redis.RedisError as error:
                if not is_away(error):
                    raise self._server.told(error, f"cannot follow the status of {self._pipeline!r}") from error
                found = []
                self._wait.pause(min(pause_s, left_s))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if found or self._wait.was_woken() or time.monotonic() >= deadline:
                return found

    def wake(self) -> None:
        """End a waiting `changes`."""
        self._waker.wake()

    def close(self) -> None:
        """Follow no more."""
        self._waker.close()

    def _write(self, key: str, how: str, value: bytes) -> tuple[str, bytes]:
        answer = self._server.ask(
            lambda: self._put([self._facts, self._changes, PIPELINES], [key, how, value, CHANGES_KEPT, self._pipeline]),
            f"cannot write the fact {key!r} of {self._pipeline!r}",
            PUT_TIMEOUT_S,
        )
        return answer[0].decode(), bytes(answer[1])

    def _last_of(self, key: str) -> str:
        found: Any = self._server.ask(
            lambda: self._server.commands.xrevrange(key, count=1), f"cannot read the status of {self._pipeline!r}"
        )
        return str(found[0][0].decode()) if found else "0-0"

    def _read_facts(self) -> tuple[dict[str, StatusEntry], str]:
        """All facts, and the id of the last change that they include."""
        pipe = self._server.commands.pipeline(transaction=True)
        pipe.hgetall(self._facts)
        pipe.xrevrange(self._changes, count=1)
        stored, last = pipe.execute()
        found = {}
        for key, value in stored.items():
            at, _, rest = value.partition(b" ")
            found[key.decode()] = StatusEntry("fact", key.decode(), rest, _position(at.decode()))
        return found, str(last[0][0].decode()) if last else "0-0"

    def _taken(self, answer: dict[str, Entries]) -> list[StatusEntry]:
        changed = answer.get(self._changes, [])
        facts = self._catch_up() if changed and self._has_gap() else _entries("fact", changed)
        beats = _entries("beat", answer.get(self._beats, []))
        for key, entries in answer.items():
            if key != self._changes or (entries is changed and not self._is_ahead(entries)):
                self._at[key] = entries[-1][0]
        self._known.update({entry.key: entry.position for entry in facts})
        return facts + beats

    def _is_ahead(self, entries: Entries) -> bool:
        """Whether catching up has already passed these entries."""
        return _position(self._at[self._changes]) > _position(entries[-1][0])

    def _has_gap(self) -> bool:
        """Whether changes that we have not seen may have been dropped (or the stream made anew)."""
        first: Any = self._server.commands.xrange(self._changes, count=1)
        return (
            self._at[self._changes] != "0-0"
            and bool(first)
            and _position(first[0][0].decode()) > _position(self._at[self._changes])
        )

    def _catch_up(self) -> list[StatusEntry]:
        found, self._at[self._changes] = self._read_facts()
        gone: list[StatusEntry] = [
            StatusEntry("fact", key, None, at) for key, at in self._known.items() if key not in found
        ]
        self._known = {}
        return gone + sorted(found.values(), key=lambda entry: entry.position)


def _entries(kind: Literal["fact", "beat"], entries: Entries) -> list[StatusEntry]:
    return [
        StatusEntry(kind, fields[b"k"].decode(), fields.get(b"v"), _position(entry_id)) for entry_id, fields in entries
    ]


def _position(entry_id: str) -> int:
    milliseconds, _, sequence = entry_id.partition("-")
    return int(milliseconds) * _SEQUENCES + int(sequence)
