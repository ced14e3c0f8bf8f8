"""The time by which a pipeline goes: what reads it, waits by it and starts threads does so by the clock of its run.

The process's own time, but for tests: `pypz.testing.FakeClock` moves on when every thread of the run sleeps. What waits for
the answer of a transport, keeps an eye on threads or tells observers goes by the process's own time always.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, ClassVar, Final

from pypz.core.commons.timer import Action, timer


class Clock:
    """The process's own time."""

    tell_interval_s: ClassVar[float] = 30.0
    """Seconds after which a wait for others says so, again and again (house rule)."""
    idle_pause_s: ClassVar[float] = 0.0
    """Seconds that an iteration of an operator without input ports takes in which it has sent nothing."""

    def now(self) -> float:
        """Seconds since some moment: to measure how long something takes."""
        return time.monotonic()

    def utc(self) -> datetime:
        """The time of day, with its zone."""
        return datetime.now(UTC)

    def condition(self, lock: Any = None) -> threading.Condition:
        """Make a condition whose time-outs go by this clock."""
        return threading.Condition(lock)

    def event(self) -> threading.Event:
        """Make an event whose time-outs go by this clock."""
        return threading.Event()

    def thread(self, target: Callable[..., object], name: str, args: tuple[Any, ...] = ()) -> threading.Thread:
        """Make a daemon thread that takes part in what goes by this clock: time does not pass it by while it is busy."""
        return threading.Thread(target=target, name=name, args=args, daemon=True)

    def taking_part(self) -> AbstractContextManager[object]:
        """Within the block the calling thread takes part, as a `thread` does."""
        return contextlib.nullcontext()

    def call_in(self, delay_s: float, action: Action) -> None:
        """Call ``action`` after ``delay_s``, in a thread of the clock's; it must not wait."""
        timer.call_in(delay_s, action)


LONGEST_WAIT_S: Final = threading.TIMEOUT_MAX
"""Seconds that a wait with a time-out may take at most (Python's own bound)."""

PROCESS_CLOCK: Final = Clock()

_stamping: Final = threading.Lock()
_last_stamp = 0.0


def growing_utc() -> float:
    """Give seconds since 1970 by this machine's clock, later than any given before: what was told last is known as the newest.

    Where the clock is set back, moments stand nearly still until it has caught up.
    """
    global _last_stamp
    with _stamping:
        _last_stamp = max(time.time(), math.nextafter(_last_stamp, math.inf))
        return _last_stamp


"""The clock of every run that is given no other."""


class OperatorClock:
    """The time by which an operator is executed: that of the process, or a fake one in a test.

    Code that reads the time here, and pauses here, can be tested by `pypz.testing.FakeClock`, where hours take no time.
    """

    def __init__(self, clock: Clock, changed: threading.Condition, is_stopped: Callable[[], bool]) -> None:
        """Given by `Operator.get_clock`.

        Args:
            clock: Whose time.
            changed: Notified when ``is_stopped`` has changed.
            is_stopped: Whether a pause is to end.
        """
        self._clock = clock
        self._changed = changed
        self._is_stopped = is_stopped

    def now(self) -> float:
        """Give seconds since some moment, to measure how long something takes; never goes back."""
        return self._clock.now()

    def utc(self) -> datetime:
        """Give the time of day in UTC."""
        return self._clock.utc()

    def sleep(self, seconds: float) -> bool:
        """Pause; an interrupt of the operator ends the pause.

        Returns:
            Whether the pause was cut short.
        """
        with self._changed:
            return self._changed.wait_for(self._is_stopped, min(max(0.0, seconds), LONGEST_WAIT_S))


def clock_outside() -> OperatorClock:
    """The clock of an operator that nobody executes."""
    return OperatorClock(PROCESS_CLOCK, threading.Condition(), lambda: False)
