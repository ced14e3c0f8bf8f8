"""Calls what is due at a moment: one thread a process, asleep while nothing waits."""

from __future__ import annotations

import heapq
import itertools
import sys
import threading
import time
import traceback
from collections.abc import Callable

Action = Callable[[], float | None]
"""Called when due; gives the seconds after which it wants to be called again, or None. Must not wait."""


class _Timer:
    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._due: list[tuple[float, int, Action]] = []
        self._order = itertools.count()
        self._thread: threading.Thread | None = None

    def call_in(self, delay_s: float, action: Action) -> None:
        """Call ``action`` after ``delay_s``, on the timer's thread."""
        due = time.monotonic() + delay_s
        with self._changed:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pypz-timer", daemon=True)
                self._thread.start()
            heapq.heappush(self._due, (due, next(self._order), action))
            if self._due[0][0] == due:
                self._changed.notify()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._due or (delay := self._due[0][0] - time.monotonic()) > 0:
                    self._changed.wait(delay if self._due else None)
                _, _, action = heapq.heappop(self._due)
            try:
                again = action()
            except Exception:  # noqa: BLE001  # one action's fault must not stop the others
                print(f"pypz-timer: {action!r} failed\n{traceback.format_exc()}", file=sys.stderr)  # noqa: T201
                continue
            if again is not None:
                self.call_in(again, action)


timer = _Timer()
"""The process's timer."""
