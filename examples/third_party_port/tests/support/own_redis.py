"""A Redis server of the tests' own, on a free port, with a folder of its own."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import redis

START_S = 20.0
"""Seconds in which a server must answer."""


class OwnServer:
    """A Redis server that can be stopped and started again, with its data."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = int(probe.getsockname()[1])
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def location(self) -> str:
        """As a user writes it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers."""
        settings = {"port": self.port, "bind": "127.0.0.1", "dir": self._folder, "appendonly": "yes", "save": ""}
        words = [word for name, value in settings.items() for word in (f"--{name}", str(value))]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(["redis-server", *words], stdout=log, stderr=log)
        client, pause, tries = redis.Redis(port=self.port), threading.Event(), int(START_S / 0.05)
        for _ in range(tries):
            with contextlib.suppress(redis.ConnectionError):
                client.ping()
                client.close()
                return
            pause.wait(0.05)
        raise AssertionError(f"no answer: {(self._folder / 'log').read_text()}")

    def kill(self) -> None:
        """As ``kill -9``."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Away within the block."""
        self.kill()
        try:
            yield
        finally:
            self.start()

    def connect(self) -> redis.Redis:
        """A plain connection, to look behind the scenes."""
        return redis.Redis(port=self.port)
