"""What those who follow a pipeline's streams share: the file may be made later, and they are rung when it has changed."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, TypeVar

from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.signals import Bell, Signal

T = TypeVar("T")

LOOK_S: Final = 0.5
"""Seconds between two looks of a viewer whether there is a file at all (semantics: found within 2 s)."""


class Follower:
    """Waits for what is rung under one topic."""

    def __init__(self, database: Database, bell: Bell, topic: str, *, is_viewer: bool) -> None:
        self._database = database
        self._bell = bell
        self._topic = topic
        self._is_viewer = is_viewer
        self._signal = Signal()
        self._is_attached = False
        self.is_closed = False

    def _follow(self) -> bool:
        """Be told of changes from now on; False while there is no file."""
        if not self._database.open(create=False):
            return False
        if not self._is_attached:
            self._is_attached = True
            self._bell.attach(self._signal, self._topic, is_viewer=self._is_viewer)
        return True

    def _wait_for(self, what: str, look: Callable[[], list[T]], timeout_s: float) -> list[T]:
        """Give what a look finds; looks again whenever it is rung, until something is there, or it is woken.

        Args:
            what: Name of the wait, which `wake` ends.
            look: Finds what is new; called while there is a file.
            timeout_s: Seconds after which it gives [].
        """
        deadline = time.monotonic() + timeout_s
        while True:
            rings = self._signal.rings
            is_there = self._follow()
            found = look() if is_there else []
            remaining = deadline - time.monotonic()
            if self._signal.was_woken(what) or found or remaining <= 0 or self.is_closed:
                return found
            if self._signal.failure is not None:
                raise self._signal.failure
            self._signal.wait(rings, what, remaining if is_there else min(remaining, LOOK_S))

    def wake(self) -> None:
        """End the wait that is going on, or the next one."""
        self._signal.wake()

    def close(self, timeout_s: float = 0.0) -> None:
        """Follow no more; idempotent."""
        self.is_closed = True
        self._bell.detach(self._signal)
        self._signal.wake()
