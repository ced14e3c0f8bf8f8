"""Logging with context: each event knows whose it is, by a stack of names."""

from __future__ import annotations

import logging
import os
import sys
import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Final

from pypz.core.commons.errors import ConfigurationError, InstanceTypeError

_KNOWN_ARGUMENTS: Final = frozenset({"exc_info", "stack_info", "stacklevel", "extra"})


class ContextLoggerInterface(ABC):
    """What takes events with their context; kwargs may hold ``exc_info`` and the like, or values to be shown."""

    @abstractmethod
    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Take an error."""

    @abstractmethod
    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Take a warning."""

    @abstractmethod
    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        """Take an information."""

    @abstractmethod
    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        """Take a detail."""

    def set_log_level(self, log_level: Any) -> None:  # noqa: B027 - a logger may have no levels
        """Leave out events below a level; does nothing unless overridden."""


class ContextLogger(ContextLoggerInterface):
    """Puts a context before each event and hands it to another logger.

    Args:
        logger: Who takes the events.
        context_stack: Names from the outermost to the innermost.
    """

    def __init__(self, logger: ContextLoggerInterface, *context_stack: str) -> None:
        self._logger = logger
        self._context_stack = list(context_stack)

    def get_context_stack(self) -> list[str]:
        """Give the context, as a list of its own."""
        return list(self._context_stack)

    def error(self, event: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Log an error."""
        return self._error(event, self._context_stack, *args, **kwargs)

    def warning(self, event: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Log a warning."""
        return self._warning(event, self._context_stack, *args, **kwargs)

    def info(self, event: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Log an information."""
        return self._info(event, self._context_stack, *args, **kwargs)

    def debug(self, event: str | None = None, *args: Any, **kwargs: Any) -> Any:
        """Log a detail."""
        return self._debug(event, self._context_stack, *args, **kwargs)

    def set_log_level(self, log_level: str | int) -> None:
        """Set the level of the logger behind."""
        self._logger.set_log_level(log_level)

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        return self._logger._error(event, context_stack, *args, **kwargs)

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        return self._logger._warning(event, context_stack, *args, **kwargs)

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        return self._logger._info(event, context_stack, *args, **kwargs)

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        return self._logger._debug(event, context_stack, *args, **kwargs)


class DefaultContextLogger(ContextLoggerInterface):
    """Writes lines ``LEVEL | time | name | context | ... | message`` to stdout, INFO and above until told otherwise.

    On a terminal each line has its level's colour, unless the environment variable NO_COLOR is set.

    Args:
        name: Shown in each line.
    """

    class ColoredFormatter(logging.Formatter):
        """Gives the whole line the colour of its level.

        Args:
            fmt: As in `logging.Formatter`.
            datefmt: As there.
            is_colored: Asked for each line; None for always.
        """

        RESET = "\x1b[0m"
        RED = "\x1b[31m"
        GREEN = "\x1b[32m"
        YELLOW = "\x1b[33m"
        BLUE = "\x1b[34m"
        PURPLE = "\x1b[35m"
        CYAN = "\x1b[36m"
        WHITE = "\x1b[37m"
        LIGHT_GRAY = "\x1b[37m"

        COLORS: ClassVar[dict[int, str]] = {
            logging.ERROR: RED,
            logging.WARNING: YELLOW,
            logging.INFO: LIGHT_GRAY,
            logging.DEBUG: CYAN,
        }

        def __init__(
            self,
            fmt: str | None = None,
            datefmt: str | None = None,
            *,
            is_colored: Callable[[], bool] | None = None,
        ) -> None:
            super().__init__(fmt, datefmt)
            self._is_colored = is_colored

        def format(self, record: logging.LogRecord) -> str:
            """Give the line."""
            line = super().format(record)
            color = self.COLORS.get(record.levelno)
            if color is None or (self._is_colored is not None and not self._is_colored()):
                return line
            return f"{color}{line}{self.RESET}"

    def __init__(self, name: str | None = None) -> None:
        self._pypz_log = _StdoutLog(name or "", self.ColoredFormatter(_FORMAT, is_colored=is_color_wanted))

    def set_log_level(self, log_level: str | int) -> None:
        """Leave out events below a level: ERROR, WARNING, INFO, DEBUG or a number of `logging`.

        Raises:
            InstanceTypeError: It is neither text nor number; a TypeError.
            ConfigurationError: There is no such level; a ValueError.
        """
        self._pypz_log.setLevel(level_number(log_level))

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._pypz_log.write(logging.ERROR, event, context_stack, args, kwargs)

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._pypz_log.write(logging.WARNING, event, context_stack, args, kwargs)

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        self._pypz_log.write(logging.INFO, event, context_stack, args, kwargs)

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self._pypz_log.write(logging.DEBUG, event, context_stack, args, kwargs)


_FORMAT: Final = "%(levelname)s | %(asctime)s | %(origin)s%(message)s"


def is_color_wanted() -> bool:
    """Tell whether stdout is a terminal and NO_COLOR (https://no-color.org) does not forbid colours."""
    return not os.environ.get("NO_COLOR") and sys.stdout is not None and sys.stdout.isatty()


def level_number(log_level: str | int) -> int:
    """Give a level as number.

    Raises:
        InstanceTypeError: It is neither text nor number; a TypeError.
        ConfigurationError: There is no such level; a ValueError.

    >>> level_number("debug")
    10
    """
    if isinstance(log_level, int):
        return log_level
    if not isinstance(log_level, str):
        raise InstanceTypeError(f"log level: expected a text or a number, got {type(log_level).__qualname__}")
    number = logging.getLevelNamesMapping().get(log_level.upper())
    if number is None:
        raise ConfigurationError(f"log level is '{log_level}', expected ERROR, WARNING, INFO or DEBUG")
    return number


def message_of(event: str | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> str:
    """Give the text of an event: its arguments filled in, other values behind it, then the traceback asked for by
    ``exc_info``. Arguments that do not fit are shown behind the text.

    >>> message_of("read %s", ("a.txt",), {"records": 3})
    'read a.txt records=3'
    """
    message = _filled("" if event is None else str(event), args)
    message += "".join(f" {key}={value}" for key, value in kwargs.items() if key not in _KNOWN_ARGUMENTS)
    raised = kwargs.get("exc_info")
    error = raised if isinstance(raised, BaseException) else raised[1] if isinstance(raised, tuple) else sys.exception()
    if raised and error is not None:
        message += "\n" + "".join(traceback.format_exception(error)).rstrip()
    return message


def _filled(message: str, args: tuple[Any, ...]) -> str:
    """Fill in arguments as `logging` does; those that do not fit are shown behind the text."""
    try:
        return logging.LogRecord("", 0, "", 0, message, args, None).getMessage()
    except (TypeError, ValueError, KeyError):
        return f"{message} {args!r}"


class _StdoutLog(logging.Logger):
    """A logger outside of the process-wide tree of loggers; it writes to what is stdout at that moment."""

    def __init__(self, name: str, formatter: logging.Formatter) -> None:
        super().__init__(name, logging.INFO)
        handler = _StdoutHandler()
        handler.setFormatter(formatter)
        self.addHandler(handler)

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's own name
        """Compare levels; logging's own answer is cached, and the cache cleared for loggers of its tree only."""
        return level >= self.level

    def write(
        self, level: int, event: str | None, context: list[str] | None, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Write an event; kwargs that `logging` does not know are added as ``key=value``."""
        if not self.isEnabledFor(level):
            return
        known = {key: value for key, value in kwargs.items() if key in _KNOWN_ARGUMENTS}
        shown = "".join(f" {key}={value}" for key, value in kwargs.items() if key not in _KNOWN_ARGUMENTS)
        message = "" if event is None else str(event)
        if shown:
            message, args = _filled(message, args) + shown, ()
        origin = "".join(f"{part} | " for part in (self.name, *(context or ())) if part)
        known["extra"] = {**(known.get("extra") or {}), "origin": origin}
        self.log(level, message, *args, **known)


class _StdoutHandler(logging.StreamHandler[Any]):
    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> Any:
        return sys.stdout

    @stream.setter
    def stream(self, value: Any) -> None:
        """Ignored: the stream is always the present stdout."""
