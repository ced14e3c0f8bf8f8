"""Removes what every group has consumed and what deleted channels left, in small steps, and gives room back to the disk."""

from __future__ import annotations

import threading
from functools import partial

from pypz.plugins.local_io import channels
from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.signals import Bell


class Cleaner:
    """What is to be removed; asked for from any thread, carried out by one."""

    def __init__(self, database: Database, bell: Bell) -> None:
        self._database = database
        self._bell = bell
        self._lock = threading.Lock()
        self._consumed: set[int] = set()
        self._has_leftovers = True
        self._may_vacuum = True

    def ask(self, channel: int | None) -> None:
        """Have the consumed blocks of a channel removed; None: what deleted channels left."""
        with self._lock:
            if channel is None:
                self._has_leftovers = True
            else:
                self._consumed.add(channel)

    def has_work(self) -> bool:
        """Whether a step would do anything."""
        with self._lock:
            return bool(self._consumed or self._has_leftovers or self._may_vacuum)

    def give_up(self) -> None:
        """Forget what was asked for: the next process to open the folder, or the next commit, does it."""
        with self._lock:
            self._consumed.clear()
            self._has_leftovers = self._may_vacuum = False

    def step(self) -> None:
        """Do a little of it, in one transaction.

        Raises:
            TransportError: It cannot be written; nothing of the step was.
        """
        with self._lock:
            channel = next(iter(self._consumed), None)
            has_leftovers = self._has_leftovers
            self._consumed.discard(channel if channel is not None else -1)
        if channel is not None:
            has_more = self._database.write(partial(channels.remove_consumed, channel=channel))
            if has_more:
                self.ask(channel)
            self._may_vacuum = True
            self._bell.ring({channels.topic_of(channel)})
        elif has_leftovers:
            self._has_leftovers = self._database.write(channels.remove_leftovers)
            self._may_vacuum = True
        else:
            is_short = not self._database.reserve.is_whole()
            keep_bytes = 0 if is_short else channels.FREE_BYTES
            self._may_vacuum = self._database.write(partial(channels.give_back, keep_bytes=keep_bytes))
            if is_short and not self._may_vacuum:
                self._database.shorten_log(always=True)
