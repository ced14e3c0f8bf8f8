"""Connections to one Redis server, what its failures mean to pypz, and waits that other threads can end."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.exceptions import AuthorizationError
from redis.retry import Retry

from pypz.core.commons.errors import ConfigurationError, TransportError, TransportTimeoutError

AWAY: Final = (redis.ConnectionError, redis.TimeoutError)
"""The server cannot be reached, or is still loading its data: trying again may help."""
DENIED: Final = (redis.AuthenticationError, AuthorizationError)
"""Connection errors to redis-py, but no time helps."""

SLICE_S: Final = 30.0
"""Seconds of one blocking command; then the server is asked anew, so that a connection that died silently is noticed."""
ANSWER_S: Final = 10.0
"""Seconds in which the server must answer (chosen)."""
QUICK_S: Final = 0.25
"""Seconds for what may get lost: figures (chosen)."""
FIRST_PAUSE_S: Final = 0.05
LONGEST_PAUSE_S: Final = 1.0
"""Pauses between two tries to reach a server that is away (chosen)."""
WAKE_KEY_S: Final = 60
"""Seconds after which Redis forgets a wake-up that nobody fetched."""

T = TypeVar("T")
Entries = list[tuple[str, dict[bytes, bytes]]]
"""Entries of a stream: id, fields."""


class Server:
    """Connections to one server, shared by all that one transport opens. Thread-safe."""

    def __init__(self, location: str) -> None:
        try:
            parts = urlsplit(location)
            self.name = f"{parts.scheme}://{parts.hostname or 'localhost'}:{parts.port or 6379}{parts.path}"
            self.commands = _connect(location, ANSWER_S)
            self.blocking = _connect(location, SLICE_S + ANSWER_S)
            self.quick = _connect(location, QUICK_S)
        except ValueError as error:
            raise ConfigurationError(
                f"channel location: {error}; write redis://HOST:PORT/DATABASE, such as redis://localhost:6379/0"
            ) from error
        self._closed = threading.Event()
        self.last_cause = ""
        """What kept the last write from being acknowledged; empty once one was."""

    def ask(self, call: Callable[[], T], what: str, timeout_s: float = ANSWER_S) -> T:
        """Carry a command out that does no harm when carried out twice, again and again while the server is away.

        Raises:
            TransportTimeoutError: It was away for ``timeout_s``; tells the last cause.
            TransportError: It refused.
        """
        deadline = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return call()
            except redis.RedisError as error:
                if not is_away(error):
                    raise self.told(error, what) from error
                if time.monotonic() + pause_s > deadline or self._closed.wait(pause_s):
                    raise TransportTimeoutError(f"{self.name}: {what}: not done in {timeout_s:g} s: {error}") from error
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def told(self, error: redis.RedisError, what: str) -> TransportError:
        """The error that pypz knows."""
        return TransportError(f"{self.name}: {what}: {error}")

    def close(self) -> None:
        """Let go of all connections; idempotent."""
        self._closed.set()
        for client in (self.commands, self.blocking, self.quick):
            client.close()
            client.connection_pool.disconnect()


def is_away(error: BaseException) -> bool:
    """Whether trying again may help."""
    return isinstance(error, AWAY) and not isinstance(error, DENIED)


def _connect(location: str, answer_s: float) -> redis.Redis:
    # Retries are ours: only we know which commands may be carried out twice.
    pool = redis.ConnectionPool.from_url(
        location,
        protocol=2,
        socket_timeout=answer_s,
        socket_connect_timeout=min(answer_s, 5.0),
        socket_keepalive=True,
        retry=Retry(NoBackoff(), 0),
    )
    return redis.Redis(connection_pool=pool)


class Waker:
    """Ends waits for the server: each watches, besides its own streams, one into which `wake` writes."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.key = f"pypz:wake:{uuid.uuid4().hex}"
        self.changed = threading.Condition()
        self.wakes = 0
        self.waiting = 0
        self.is_closed = False

    def wake(self) -> None:
        """End every wait, or the next one of each who waits for nothing now."""
        with self.changed:
            self.wakes += 1
            self.changed.notify_all()
            if not self.waiting:
                return
        with contextlib.suppress(redis.RedisError):  # the server is away: then nobody waits for it, either
            pipe = self.server.commands.pipeline()
            pipe.xadd(self.key, {"": ""}, maxlen=1)
            pipe.expire(self.key, WAKE_KEY_S)
            pipe.execute()

    def close(self) -> None:
        """End every wait for good."""
        with self.changed:
            self.is_closed = True
        self.wake()


class Wait:
    """The waits of one thread; a wake-up that comes between two of them ends the next one."""

    def __init__(self, waker: Waker) -> None:
        self._waker = waker
        self._seen = waker.wakes
        self._last = "0-0"

    def was_woken(self) -> bool:
        """Whether there was a wake-up since the last wait."""
        with self._waker.changed:
            woken = self._waker.is_closed or self._seen != self._waker.wakes
            self._seen = self._waker.wakes
            return woken

    def look(self, streams: Mapping[str, str], count: int, timeout_s: float) -> dict[str, Entries]:
        """Give entries behind the ids of ``streams``; waits for the first, a wake-up or (at most `SLICE_S`) the time-out.

        Raises:
            redis.RedisError: The server is away or refuses.
        """
        waker = self._waker
        with waker.changed:
            waits = timeout_s > 0 and self._seen == waker.wakes and not waker.is_closed
            waker.waiting += waits
        try:
            block_ms = max(1, int(1000 * min(timeout_s, SLICE_S))) if waits else None
            wanted: dict[Any, Any] = {**streams, waker.key: self._last}
            # Any: redis-py types answers for both of its kinds of clients
            answer: Any = waker.server.blocking.xread(wanted, count, block_ms)
        finally:
            with waker.changed:
                waker.waiting -= waits
        found = {name.decode(): _entries(entries) for name, entries in answer or ()}
        for entry_id, _ in found.pop(waker.key, []):
            self._last = entry_id
        return found

    def pause(self, timeout_s: float) -> None:
        """Wait for a wake-up or the time-out, without the server."""
        waker = self._waker
        with waker.changed:
            waker.changed.wait_for(lambda: waker.is_closed or self._seen != waker.wakes, timeout_s)


def _entries(entries: Sequence[tuple[bytes, dict[bytes, bytes]]]) -> Entries:
    return [(entry_id.decode(), fields) for entry_id, fields in entries]
