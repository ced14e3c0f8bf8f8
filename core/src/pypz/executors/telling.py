"""What the process of a member tells observers of whoever started it: a pipe for each, one JSON object a line.

Log lines always. States, failures and exits only where the pipeline has no location, thus no status stream that tells them.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Mapping
from typing import IO, Any, Final, Protocol

from pypz.core.hooks.events import ErrorInfo, LogRecord, OperatorRef
from pypz.core.hooks.spec import hookimpl
from pypz.executors.reports import say

NEWS_VARIABLE: Final = "PYPZ_NEWS"
"""Environment variable with the descriptor of the pipe's writing end, behind it ``:logs`` when only log lines are wanted."""

LAST_NEWS_S: Final = 5.0
"""Seconds that a process may take to tell the last of it (chosen)."""


class LogTeller:
    """In the process of the member, an observer: writes log lines."""

    def __init__(self, descriptor: int) -> None:
        self._pipe = os.fdopen(descriptor, "wb")

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        """A member has logged a line."""
        self._write(log=record.to_json())

    def close(self) -> None:
        """Tell nothing more."""
        self._pipe.close()

    def _write(self, **told: Any) -> None:
        try:
            self._pipe.write(json.dumps(told, separators=(",", ":")).encode() + b"\n")
            self._pipe.flush()
        except BrokenPipeError:
            pass  # the starter has gone; whoever watches it says so


class Teller(LogTeller):
    """Writes states, failures and exits, too."""

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str, at_utc: float) -> None:
        """The member is in another state."""
        self._write(state={"operator": operator.to_json(), "old": old, "new": new, "at_utc": at_utc})

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        """The member has failed."""
        self._write(failed={"operator": operator.to_json(), "during": during, "error": error.to_json()})

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        """The member has ended."""
        self._write(finished={"operator": operator.to_json(), "exit_code": exit_code})


def teller_for_starter() -> LogTeller | None:
    """Make the observer that a starter asks this process for; None where nobody does."""
    descriptor, _, only = os.environ.pop(NEWS_VARIABLE, "").partition(":")
    if not descriptor.isdigit():
        return None
    os.set_inheritable(int(descriptor), False)
    return LogTeller(int(descriptor)) if only else Teller(int(descriptor))


class Told(Protocol):
    """Who is told by `follow`."""

    def operator_state_changed(
        self, operator: OperatorRef, old: str, new: str, at_utc: float | None = None
    ) -> None: ...
    def operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None: ...
    def operator_finished(self, operator: OperatorRef, exit_code: int) -> None: ...
    def log(self, record: LogRecord) -> None: ...


def follow(pipe: IO[bytes], told: Told, name: str) -> threading.Thread:
    """In the process of the starter: hand on what comes by a pipe until its end, then close it; in a thread called ``name``."""
    thread = threading.Thread(target=_pass_on, args=(pipe, told, name), name=name, daemon=True)
    thread.start()
    return thread


def _pass_on(pipe: IO[bytes], told: Told, name: str) -> None:
    hands_on: Mapping[str, Callable[[Any], None]] = {
        "log": lambda values: told.log(LogRecord.from_json(values)),
        "state": lambda values: told.operator_state_changed(
            OperatorRef.from_json(values["operator"]), values["old"], values["new"], values["at_utc"]
        ),
        "failed": lambda values: told.operator_failed(
            OperatorRef.from_json(values["operator"]), values["during"], ErrorInfo.from_json(values["error"])
        ),
        "finished": lambda values: told.operator_finished(
            OperatorRef.from_json(values["operator"]), values["exit_code"]
        ),
    }
    with pipe:
        for line in pipe:
            try:
                for kind, values in json.loads(line).items():
                    hands_on[kind](values)
            except (ValueError, KeyError, TypeError, AttributeError) as error:  # a line torn by the end of its process
                say(f"WARNING: {name}: a line cannot be read: {error}")
