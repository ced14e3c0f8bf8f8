"""A clock for tests: time stands still while anything is being done, and jumps to what is due next when all sleep."""

from __future__ import annotations

import heapq
import itertools
import math
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Final

from pypz.core.commons.clock import Clock
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.timer import Action

BEGIN: Final = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of day at which a fake clock begins unless told otherwise (chosen)."""


@dataclass(order=True)
class _Alarm:
    due: float
    order: int
    action: Action = field(compare=False)
    is_wait: bool = field(compare=False)
    """Whether a thread sleeps until it rings."""
    is_off: bool = field(default=False, compare=False)
    has_rung: bool = field(default=False, compare=False)


class _Sleeper:
    """One wait of one thread."""

    def __init__(self) -> None:
        self.is_awake = False


class FakeClock(Clock):
    """The time of one run in memory, for `run_pipeline`.

    It knows which of the run's threads are busy. When the last of them has fallen asleep it jumps to the first moment for
    which anything is due: the end of a pause, a time-out, a commit, a block that has waited for ``lingerMs``. So hours pass as
    fast as what is done in them, and nothing is late because the machine is slow. What an operator computes takes no time.

    It stands still while an operator waits by other means, such as ``time.sleep`` or an answer from the network. Threads that
    operators start by themselves do not keep it from going on.

    >>> clock = FakeClock()
    >>> clock.now(), clock.utc().isoformat()
    (0.0, '2000-01-01T00:00:00+00:00')
    """

    tell_interval_s: ClassVar[float] = math.inf
    idle_pause_s: ClassVar[float] = 0.001

    def __init__(self, begin: datetime = BEGIN) -> None:
        """Begin to count.

        Args:
            begin: The time of day at that moment, with its zone.

        Raises:
            ConfigurationError: It has no zone.
        """
        if begin.tzinfo is None:
            raise ConfigurationError(f"FakeClock begins at {begin!r}, expected a time with its zone: tzinfo=UTC")
        self._begin = begin.astimezone(UTC)
        self._now = 0.0
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)
        self._taking_part = self._busy = 0
        self._alarms: list[_Alarm] = []
        self._order = itertools.count()
        self._here = threading.local()
        self._thread: threading.Thread | None = None

    def now(self) -> float:
        """Seconds since it began."""
        return self._now

    def utc(self) -> datetime:
        """The time of day."""
        return self._begin + timedelta(seconds=self._now)

    def condition(self, lock: Any = None) -> threading.Condition:
        """Make a condition whose time-outs go by this clock."""
        return _Condition(self, lock)

    def event(self) -> threading.Event:
        """Make an event whose time-outs go by this clock."""
        return _Event(self)

    def thread(self, target: Callable[..., object], name: str, args: tuple[Any, ...] = ()) -> threading.Thread:
        """Make a daemon thread that takes part, from its start to its end."""
        return _Thread(self, target, name, args)

    @contextmanager
    def taking_part(self) -> Iterator[None]:
        """Within the block the calling thread takes part."""
        self._joins()
        self._here.takes_part = True
        try:
            yield
        finally:
            self._here.takes_part = False
            self._leaves()

    def call_in(self, delay_s: float, action: Action) -> None:
        """Call ``action`` after ``delay_s``, in the clock's thread; it must not wait."""
        self._set_alarm(delay_s, action, is_wait=False)

    # --- who is busy ---

    def _joins(self) -> None:
        with self._lock:
            self._taking_part += 1
            self._busy += 1

    def _leaves(self) -> None:
        with self._lock:
            self._taking_part -= 1
            self._rests()
            if not self._taking_part:  # what it has left to be done later is done no more
                for alarm in self._alarms:
                    alarm.is_off = alarm.is_off or not alarm.is_wait

    def _rests(self) -> None:
        """With the lock held: one who was busy is not any more."""
        self._busy -= 1
        self._settled.notify()

    def _fall_asleep(self) -> _Sleeper:
        sleeper = _Sleeper()
        if getattr(self._here, "takes_part", False):
            with self._lock:
                self._rests()
        else:
            sleeper.is_awake = True  # not counted
        return sleeper

    def _wake(self, sleeper: _Sleeper) -> None:
        """It counts as busy from the moment it is notified, not from the one when its thread gets to run."""
        with self._lock:
            if not sleeper.is_awake:
                sleeper.is_awake = True
                self._busy += 1

    # --- what is due ---

    def _set_alarm(self, delay_s: float, action: Action, *, is_wait: bool) -> _Alarm:
        with self._lock:
            alarm = _Alarm(self._now + max(0.0, delay_s), next(self._order), action, is_wait)
            heapq.heappush(self._alarms, alarm)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="pypz-fake-clock", daemon=True)
                self._thread.start()
            self._settled.notify()
            return alarm

    def _take_due(self) -> list[_Alarm]:
        """Wait until all sleep, jump to the next alarm and give those of that moment; [] when there are none any more."""
        with self._lock:
            while True:
                while self._alarms and self._alarms[0].is_off:
                    heapq.heappop(self._alarms)
                if not self._alarms:
                    self._thread = None
                    return []
                if not self._busy:
                    break
                self._settled.wait()
            self._now = max(self._now, self._alarms[0].due)
            due = []
            while self._alarms and self._alarms[0].due <= self._now:
                due.append(heapq.heappop(self._alarms))
            self._busy += 1
            return due

    def _run(self) -> None:
        while due := self._take_due():
            for alarm in due:
                if not alarm.is_off:
                    self._ring(alarm)
            with self._lock:
                self._rests()

    def _ring(self, alarm: _Alarm) -> None:
        alarm.has_rung = True
        try:
            again_s = alarm.action()
        except Exception:  # noqa: BLE001  # one action's fault must not stop the others
            print(f"pypz-fake-clock: {alarm.action!r} failed\n{traceback.format_exc()}", file=sys.stderr)  # noqa: T201
            return
        if again_s is not None:
            self._set_alarm(again_s, alarm.action, is_wait=False)


class _Condition(threading.Condition):
    def __init__(self, clock: FakeClock, lock: Any = None) -> None:
        super().__init__(lock)
        self._clock = clock
        self._sleepers: list[_Sleeper] = []
        """In the order in which `notify` wakes them."""

    def wait(self, timeout: float | None = None) -> bool:
        """Wait to be notified, at most so many seconds of the clock."""
        if timeout is not None and timeout <= 0:
            return False
        alarm = (
            None
            if timeout is None or timeout == math.inf
            else self._clock._set_alarm(timeout, self._ring, is_wait=True)
        )
        sleeper = self._clock._fall_asleep()
        self._sleepers.append(sleeper)
        try:
            super().wait()
        finally:
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)
            self._clock._wake(sleeper)
            if alarm is not None:
                alarm.is_off = True
        return alarm is None or not alarm.has_rung

    def wait_for(self, predicate: Callable[[], Any], timeout: float | None = None) -> Any:
        """Wait until the predicate holds, at most so many seconds of the clock."""
        until = None if timeout is None else self._clock.now() + timeout
        while not (found := predicate()) and (until is None or self._clock.now() < until):
            self.wait(None if until is None else until - self._clock.now())
        return found

    def notify(self, n: int = 1) -> None:
        """Wake some who wait."""
        for sleeper in self._sleepers[:n]:
            self._clock._wake(sleeper)
        del self._sleepers[:n]
        super().notify(n)

    def _ring(self) -> None:
        with self:
            self.notify_all()


class _Event(threading.Event):
    def __init__(self, clock: FakeClock) -> None:
        super().__init__()
        self._changed = _Condition(clock)
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it is set."""
        return self._is_set

    def set(self) -> None:
        """Set it and wake all who wait."""
        with self._changed:
            self._is_set = True
            self._changed.notify_all()

    def clear(self) -> None:
        """Unset it."""
        with self._changed:
            self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait until it is set, at most so many seconds of the clock; whether it is."""
        with self._changed:
            return bool(self._changed.wait_for(self.is_set, timeout))


class _Thread(threading.Thread):
    def __init__(self, clock: FakeClock, target: Callable[..., object], name: str, args: tuple[Any, ...]) -> None:
        super().__init__(name=name, daemon=True)
        self._clock = clock
        self._work = target, args

    def start(self) -> None:
        """Start; counts as busy from now on."""
        self._clock._joins()
        try:
            super().start()
        except BaseException:
            self._clock._leaves()
            raise

    def run(self) -> None:
        """Do the work."""
        target, args = self._work
        self._clock._here.takes_part = True
        try:
            target(*args)
        finally:
            self._clock._leaves()
