"""An operator's logger: hands each event to all its logger plugins, and to those who observe it."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any, Protocol

from pypz.core.commons.errors import LoggingRecursionError
from pypz.core.commons.loggers import ContextLogger, ContextLoggerInterface

if TYPE_CHECKING:
    from types import FrameType

_busy = threading.local()


class Tap(Protocol):
    """Takes events besides the loggers; it neither waits nor raises."""

    def takes(self, level: int) -> bool:
        """Whether it wants events of this level."""

    def note(
        self, level: int, event: str | None, context: list[str] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        """Take one."""


class FanOutLogger(ContextLoggerInterface):
    """Hands each event to all given loggers, and to the tap that is open at the moment; silent without any.

    Args:
        logger_plugins: The loggers.
        tap: Gives the tap of the moment.

    Raises (in each method):
        LoggingRecursionError: It is called from within a logger plugin; a RecursionError.
    """

    def __init__(
        self, logger_plugins: Collection[ContextLoggerInterface], tap: Callable[[], Tap | None] = lambda: None
    ) -> None:
        self._loggers = list(logger_plugins)
        self._tap = tap

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._tell_tap(logging.ERROR, event, context_stack, args, kwargs)
        self._tell_all(lambda logger: logger._error(event, context_stack, *args, **kwargs))

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._tell_tap(logging.WARNING, event, context_stack, args, kwargs)
        self._tell_all(lambda logger: logger._warning(event, context_stack, *args, **kwargs))

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        self._tell_tap(logging.INFO, event, context_stack, args, kwargs)
        self._tell_all(lambda logger: logger._info(event, context_stack, *args, **kwargs))

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._tell_tap(logging.DEBUG, event, context_stack, args, kwargs)
        self._tell_all(lambda logger: logger._debug(event, context_stack, *args, **kwargs))

    def set_log_level(self, log_level: Any) -> None:
        """Set the level of all logger plugins."""
        self._tell_all(lambda logger: logger.set_log_level(log_level))

    def _tell_tap(
        self, level: int, event: str | None, context: list[str] | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> None:
        tap = self._tap()
        if tap is not None and tap.takes(level) and not getattr(_busy, "logging", False):
            tap.note(level, event, context, args, kwargs)

    def _tell_all(self, tell: Callable[[ContextLoggerInterface], Any]) -> None:
        if not self._loggers:
            return
        if getattr(_busy, "logging", False) or _caller_is_logger(sys._getframe(2)):
            raise LoggingRecursionError(
                "a logger plugin called the logger of its operator, which would call the plugin again; "
                "write there by other means"
            )
        _busy.logging = True
        try:
            for logger in self._loggers:
                tell(logger)
        finally:
            _busy.logging = False


def _caller_is_logger(frame: FrameType | None) -> bool:
    """Tell whether the first frame that is no part of a logger front belongs to a logger plugin."""
    from pypz.core.specs.plugin import LoggerPlugin

    while frame is not None:
        owner = frame.f_locals.get("self") if frame.f_code.co_varnames[:1] == ("self",) else None
        if not isinstance(owner, ContextLogger | FanOutLogger):
            return isinstance(owner, LoggerPlugin)
        frame = frame.f_back
    return False
