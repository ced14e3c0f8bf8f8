"""What an execution writes to its operator's logger; a logger that fails never stops the operator."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any

from pypz.core.commons.loggers import ContextLogger, ContextLoggerInterface
from pypz.executors.errors import FAILURES
from pypz.executors.operator.calls import name_of
from pypz.executors.operator.states import State
from pypz.executors.reports import first_line, say


class StateLog:
    """Logger of an execution, with the operator's full name and the name of the state as context."""

    def __init__(self, name: str, logger: ContextLoggerInterface, masked: Callable[[str], str]) -> None:
        self._name = name
        self._masked = masked
        self._loggers = {state: ContextLogger(logger, name, state.name) for state in State}
        self._has_failed = False

    def info(self, state: State, text: str) -> None:
        self._write(self._loggers[state].info, text)

    def warning(self, state: State, text: str) -> None:
        self._write(self._loggers[state].warning, text)

    def error(self, state: State, text: str, error: BaseException) -> None:
        """Log an error with its traceback."""
        trace = "".join(traceback.format_exception(error)).rstrip()
        self._write(self._loggers[state].error, self._masked(f"{text}: {first_line(error)}\n{trace}"))

    def timing(self, state: State, instance: Any, method: str, seconds: float, calls: int) -> None:
        """Log how long the calls of a method took together."""
        times = "1 call" if calls == 1 else f"{calls} calls"
        self._write(self._loggers[state].debug, f"{method} of {name_of(instance)}: {seconds * 1000:.1f} ms in {times}")

    def _write(self, method: Any, text: str) -> None:
        try:
            method(text)
        except FAILURES as error:  # a logger plugin is user code
            if not self._has_failed:
                self._has_failed = True
                say(f"WARNING: {self._name}: its logger failed, lines may be missing: {first_line(error)}")
