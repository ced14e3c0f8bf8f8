"""What ends waits: signals within the process, datagrams between processes, and the file's own counter as a net."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
import uuid
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pypz.core.commons.errors import PypzError
from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.faults import removed

NET_S: Final = 0.25
"""Seconds between two looks at SQLite's ``data_version``, for datagrams that were lost (semantics: local)."""
VIEWERS_NET_S: Final = 0.1
"""The same where only viewers wait, who are sent no datagrams: each would cost those who write (chosen)."""
DATAGRAM_BYTES: Final = 8192
"""Topics told at once; more are told as "everything" (chosen)."""
EVERYTHING: Final = "*"
PATH_BYTES: Final = 100
"""Longest address of a Unix socket that every system takes (Linux 108, macOS 104)."""
FOLDER: Final = "wake"


class Signal:
    """Where one client or stream waits. Remembers wake-ups that came early, for each kind of wait apart."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._seen: dict[str, int] = {}
        self._wakes = 0
        self.rings = 0
        self.failure: Exception | None = None

    def ring(self) -> None:
        """Something has changed: look again."""
        with self._condition:
            self.rings += 1
            self._condition.notify_all()

    def wake(self) -> None:
        """End the wait, or the next one."""
        with self._condition:
            self._wakes += 1
            self._condition.notify_all()

    def fail(self, error: Exception) -> None:
        """End all waits with an error."""
        with self._condition:
            self.failure = self.failure or error
            self._condition.notify_all()

    def was_woken(self, who: str) -> bool:
        """Whether `wake` was called since ``who`` asked the last time."""
        with self._condition:
            if self._seen.get(who, 0) == self._wakes:
                return False
            self._seen[who] = self._wakes
            return True

    def wait(self, rings: int, who: str, timeout_s: float) -> None:
        """Wait for a ring after the ``rings``-th, for a wake-up of ``who``, a failure, or the time-out."""
        with self._condition:
            self._condition.wait_for(
                lambda: self.rings != rings or self._seen.get(who, 0) != self._wakes or self.failure is not None,
                min(timeout_s, threading.TIMEOUT_MAX),
            )


class Bell:
    """Tells those who wait for a topic, in this process and in all others on the folder."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._signals: weakref.WeakKeyDictionary[Signal, set[str]] = weakref.WeakKeyDictionary()
        self._others: list[str] = []
        self._listed: int | None = None
        self._socket: socket.socket | None = None
        self._name = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._sender: socket.socket | None = None
        self._place: _Place | None = None
        self._thread: threading.Thread | None = None
        self._is_bound = False
        self._closed = threading.Event()
        self._closing = False

    def attach(self, signal: Signal, *topics: str, is_viewer: bool = False) -> None:
        """Ring ``signal`` from now on when one of ``topics`` is rung; a viewer's looks for itself, ten times a second."""
        with self._lock:
            self._signals.setdefault(signal, set()).update(topics)
            if not self._closing:
                self._listen(with_socket=not is_viewer)

    def detach(self, signal: Signal) -> None:
        """Ring it no more."""
        if self._database.is_forked():
            return
        with self._lock:
            self._signals.pop(signal, None)

    def ring(self, topics: Iterable[str]) -> None:
        """Tell that something changed, here and in other processes; never waits."""
        told = set(topics)
        if not told:
            return
        self._ring_here(told)
        message = "\n".join(told).encode()
        self._send(message if len(message) <= DATAGRAM_BYTES else EVERYTHING.encode())

    def _ring_here(self, topics: set[str]) -> None:
        with self._lock:
            signals = [s for s, theirs in self._signals.items() if EVERYTHING in topics or theirs & topics]
        for signal in signals:
            signal.ring()

    def _fail(self, error: Exception) -> None:
        with self._lock:
            signals = list(self._signals)
        for signal in signals:
            signal.fail(error)

    # --- to others ---

    def _send(self, message: bytes) -> None:
        with self._lock:
            if self._closing:
                return
            others = self._look_for_others()
            if self._sender is None and others:
                self._sender = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
                self._sender.setblocking(False)
            for name in others:
                assert self._sender is not None
                assert self._place is not None
                try:
                    self._sender.sendto(message, self._place.address(name))
                except ConnectionRefusedError:  # its process was killed
                    self._place.remove(name)
                except OSError:  # its queue is full, so it will look anyway; or it has just gone
                    pass

    def _look_for_others(self) -> list[str]:
        if self._place is None:
            self._place = _Place(self._database.options.folder)
        found = self._place.changed_at_ns()
        if found is None:
            return []
        # Two changes within one tick of the file system's clock look like one: a young list is not kept.
        if self._listed != found:
            is_settled = time.time_ns() - found > 1_000_000_000
            self._others = [name for name in self._place.names() if name != self._name]
            self._listed = found if is_settled else None
        return self._others

    # --- from others ---

    def _listen(self, *, with_socket: bool) -> None:
        if with_socket and not self._is_bound:
            if self._place is None:
                self._place = _Place(self._database.options.folder)
            self._socket = self._place.bind(self._name)
            self._is_bound = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._follow, name="pypz-local-wake", daemon=True)
            self._thread.start()

    def _follow(self) -> None:
        try:
            connection = self._database.connect()
        except PypzError as error:
            self._fail(error)
            return
        try:
            version, next_look = None, 0.0  # what changed before the first look is told by it
            while not self._closing:
                topics = self._receive(max(0.0, next_look - time.monotonic()))
                if topics:
                    self._ring_here(topics)
                if time.monotonic() < next_look:
                    continue
                next_look = time.monotonic() + (NET_S if self._is_bound else VIEWERS_NET_S)
                found = connection.execute("PRAGMA data_version").fetchone()
                if found != version:
                    version = found
                    self._ring_here({EVERYTHING})
                if not self._database.is_there():
                    raise removed(self._database.options.location, self._database.file)
        except Exception as error:  # noqa: BLE001  # surfaces at the next call of everyone who waits here
            if not self._closing:
                self._fail(error)
        finally:
            connection.close()

    def _receive(self, timeout_s: float) -> set[str]:
        if self._socket is None:
            self._closed.wait(timeout_s)
            return set()
        found: set[str] = set()
        self._socket.settimeout(timeout_s or 0.001)
        try:
            found.update(self._socket.recv(DATAGRAM_BYTES).decode().split("\n"))
            self._socket.setblocking(False)
            while True:
                found.update(self._socket.recv(DATAGRAM_BYTES).decode().split("\n"))
        except (TimeoutError, BlockingIOError):
            return found - {""}

    def close(self) -> None:
        """Stop listening; leaves no file."""
        with self._lock:
            self._closing = True
            self._closed.set()
            place, self._place = self._place, None
            if place is not None and self._socket is not None:
                place.poke(self._name)
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(10)
        for one in (self._socket, self._sender):
            if one is not None:
                one.close()
        if place is not None:
            place.remove(self._name)
            place.close()


class _Place:
    """The folder of the sockets. On Linux also one whose path is too long for a socket's address."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / FOLDER
        self._folder.mkdir(exist_ok=True)
        self._descriptor = os.open(self._folder, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
        self._prefix = str(self._folder)
        if len(os.fsencode(self._prefix)) > PATH_BYTES - 24:
            self._prefix = f"/proc/self/fd/{self._descriptor}"

    def address(self, name: str) -> str:
        return f"{self._prefix}/{name}"

    def changed_at_ns(self) -> int | None:
        try:
            return os.fstat(self._descriptor).st_mtime_ns
        except OSError:
            return None

    def names(self) -> list[str]:
        try:
            return sorted(os.listdir(self._descriptor))
        except OSError:
            return []

    def bind(self, name: str) -> socket.socket | None:
        """A socket that hears datagrams; None where the system takes no such address: the net has to do."""
        made = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            made.bind(self.address(name))
        except OSError:
            made.close()
            return None
        return made

    def poke(self, name: str) -> None:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as one:
            one.setblocking(False)
            one.sendto(b"", self.address(name))

    def remove(self, name: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(name, dir_fd=self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
