"""Removes what every group has consumed and what deleted channels left, in small steps, and gives room back to the disk."""

from __future__ import annotations

import threading
from functools import partial

from pypz.core.commons.errors import PypzError
from pypz.plugins.local_io import channels
from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.folder import free_bytes
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
        self._is_short = False

    def ask(self, channel: int | None) -> None:
        """Have the consumed blocks of a channel removed; None: what deleted channels left."""
        with self._lock:
            if channel is None:
                self._has_leftovers = True
            else:
                self._consumed.add(channel)

    def ask_for_room(self) -> None:
        """Have all that is free given back to the disk: it is full."""
        with self._lock:
            self._is_short = True

    def has_work(self) -> bool:
        """Whether a step would do anything."""
        with self._lock:
            return bool(self._consumed or self._has_leftovers or self._may_vacuum or self._is_short)

    def give_up(self) -> None:
        """Forget what was asked for: the next process to open the folder, or the next commit, does it."""
        with self._lock:
            self._consumed.clear()
            self._has_leftovers = self._may_vacuum = self._is_short = False

    def step(self) -> bool:
        """Do a little of it, in one transaction; tell whether there may be more room now.

        Raises:
            TransportError: It cannot be written; nothing of the step was.
        """
        with self._lock:
            channel = self._consumed.pop() if self._consumed else None
        if channel is not None:
            self._remove_consumed(channel)
        elif self._has_leftovers:
            self._has_leftovers = self._database.write(channels.remove_leftovers)
            self._may_vacuum = True
        else:
            return self._give_back()
        return True

    def _remove_consumed(self, channel: int) -> None:
        try:
            has_more = self._database.write(partial(channels.remove_consumed, channel=channel))
        except PypzError:
            self.ask(channel)
            raise
        if has_more:
            self.ask(channel)
        self._may_vacuum = True
        self._bell.ring({channels.topic_of(channel)})

    def _give_back(self) -> bool:
        is_short = self._is_short or not self._database.reserve.is_whole()
        keep_bytes = 0 if is_short else channels.FREE_BYTES
        self._may_vacuum = self._database.write(partial(channels.give_back, keep_bytes=keep_bytes))
        if not is_short or self._may_vacuum:
            return self._may_vacuum
        self._is_short = False
        before = free_bytes(self._database.options.folder)
        self._database.shorten_log(always=True)
        return free_bytes(self._database.options.folder) > before
