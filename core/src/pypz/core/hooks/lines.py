"""Log lines of one member, on their way to observers: masked, cut, and at most so many a second.

What is left out is counted, and told by a line of its own as soon as the second is over.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.faults import refuse
from pypz.core.commons.loggers import message_of
from pypz.core.commons.parameters import given_value
from pypz.core.hooks.events import LogRecord, OperatorRef

LINES_A_SECOND: Final = 100
"""Lines of one member that are told in one second; more are left out (design 3)."""

KEPT_FREE: Final = 20
"""Of these, for warnings and errors only: a flood of information does not keep them out (chosen)."""

SECOND_S: Final = 1.0

LONGEST_TEXT: Final = 8_000
"""Characters of one line that are told (chosen: a long traceback)."""


LEVEL_PARAMETER: Final = "logStreamLevel"
OFF: Final = "OFF"
_LEVELS: Final = ("ERROR", "WARNING", "INFO", "DEBUG")


def lowest_level(operator: Any) -> int:
    """Level from which on an operator's lines are told, by its parameter ``logStreamLevel``; INFO when it is not set.

    Raises:
        ConfigurationError: It is none of the levels, and not OFF.
    """
    given = given_value(operator, LEVEL_PARAMETER)
    if given is None:
        return logging.INFO
    if given == OFF:
        return logging.CRITICAL + 1
    if given not in _LEVELS:
        text = (
            f"{operator.get_full_name()}: parameter {LEVEL_PARAMETER!r} is {given!r}, expected {', '.join(_LEVELS)} or {OFF}; "
            "leave it out for INFO"
        )
        refuse(ConfigurationError(text))
        return logging.INFO
    return logging.getLevelNamesMapping()[given]


class Hears(Protocol):
    """Who is told; a `PluginHost` is one."""

    def wants(self, hook: str) -> bool: ...

    def log(self, record: LogRecord) -> bool: ...


class MemberLog:
    """Takes what one start of a member logs, from any thread; never waits and never raises.

    Args:
        host: Who is told.
        operator: The member.
        masked: Takes secrets out of a text.
        lowest: Level (a number of `logging`) below which nothing is told.
        clock: Seconds, growing.
        wall_clock: Seconds since 1970.
    """

    def __init__(
        self,
        host: Hears,
        operator: OperatorRef,
        masked: Callable[[str], str],
        lowest: int = logging.INFO,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._host = host
        self._operator = operator
        self._masked = masked
        self._lowest = lowest
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.RLock()
        self._second_began = float("-inf")
        self._taken = 0
        self._number = 0
        self._dropped = 0
        self._dropped_told = 0
        self._timer: threading.Timer | None = None
        self._is_closed = False

    def takes(self, level: int) -> bool:
        """Whether lines of this level are told to anybody."""
        return level >= self._lowest and self._host.wants("pypz_log")

    def note(
        self, level: int, event: str | None, context: list[str] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Take an event as loggers get it."""
        if not self.takes(level) or not self._has_room(level):
            return
        try:
            text = message_of(event, args, kwargs)
        except Exception as error:  # noqa: BLE001 - values are the user's, and so is how they are shown
            text = f"{event!r} (cannot be shown: {type(error).__name__})"
        self._tell(level, text, tuple(context or ()))

    def close(self) -> None:
        """Tell what was left out, and nothing from now on; idempotent."""
        with self._lock:
            self._tell_dropped()
            self._is_closed = True
            timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
            timer.join(SECOND_S)

    def _has_room(self, level: int) -> bool:
        """Whether one more line may be told in this second; else it is counted."""
        with self._lock:
            if self._is_closed:
                return False
            self._look_at_clock()
            if self._taken < LINES_A_SECOND - (KEPT_FREE if level < logging.WARNING else 0):
                self._taken += 1
                return True
            self._number += 1
            self._dropped += 1
            if self._timer is None:
                self._timer = threading.Timer(SECOND_S, self._second_is_over)
                self._timer.name = f"pypz-log {self._operator.name}"
                self._timer.daemon = True
                self._timer.start()
            return False

    def _look_at_clock(self) -> None:
        now = self._clock()
        if now - self._second_began >= SECOND_S:
            self._second_began, self._taken = now, 0
            self._tell_dropped()

    def _second_is_over(self) -> None:
        with self._lock:
            self._timer = None
            if not self._is_closed:
                self._tell_dropped()

    def _tell_dropped(self) -> None:
        count = self._dropped - self._dropped_told
        if count and not self._is_closed:
            self._dropped_told = self._dropped
            self._taken += 1
            lines = "1 line was" if count == 1 else f"{count} lines were"
            self._tell(logging.WARNING, f"{lines} left out here: too many in a second", ())

    def _tell(self, level: int, text: str, context: tuple[str, ...]) -> None:
        text = self._shown(text)
        context = tuple(self._shown(str(part)) for part in context)
        with self._lock:
            if self._is_closed:
                return
            self._number += 1
            record = LogRecord(
                self._operator,
                logging.getLevelName(level),
                text,
                context or (self._operator.name,),
                self._wall_clock(),
                self._number,
                self._dropped,
            )
            if not self._host.log(record):
                self._dropped += 1

    def _shown(self, text: str) -> str:
        text = self._masked(text)
        if len(text) > LONGEST_TEXT:
            return f"{text[:LONGEST_TEXT]}... ({len(text) - LONGEST_TEXT} more characters)"
        return text
