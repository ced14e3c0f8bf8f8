"""Execution modes and exit codes: what a starter chooses, and what it gets back."""

from __future__ import annotations

import contextlib
import signal
from enum import Enum
from typing import Final


class ExecutionMode(Enum):
    """Which part of an operator's life is carried out."""

    Skip = "Skip"
    """Nothing at all; ends at once with 0."""
    Standard = "Standard"
    WithoutResourceDeletion = "WithoutResourceDeletion"
    ResourceCreationOnly = "ResourceCreationOnly"
    ResourceDeletionOnly = "ResourceDeletionOnly"


class ExitCodes(Enum):
    """How an execution ended; also the exit code of the operator's process."""

    NoError = 0
    GeneralError = 1
    StateServiceStartError = 110
    StateServiceShutdownError = 111
    StateResourceCreationError = 112
    StateResourcesDeletionError = 113
    StateOperationInitError = 114
    StateOperationError = 115
    StateOperationShutdownError = 116
    Fenced = 117
    """A later start of the same member exists, so this one has stopped without committing."""
    CommandCannotBeExecutedError = 126
    CommandNotFoundError = 127
    InvalidExitArgumentError = 128
    FatalError = 129
    """Something failed outside of all states: joining the run, pre or post execution."""
    SigTerm = 130
    """Interrupted, by whichever signal or call."""


FINAL_EXIT_CODES: Final = frozenset(
    code.value
    for code in (
        ExitCodes.GeneralError,
        ExitCodes.CommandCannotBeExecutedError,
        ExitCodes.CommandNotFoundError,
        ExitCodes.InvalidExitArgumentError,
        ExitCodes.Fenced,
    )
)
"""Failures that another start would only repeat: arguments, configuration or image make no sense, or a later start of the
member exists."""

ENDED_WELL: Final = frozenset({ExitCodes.NoError.value, ExitCodes.SigTerm.value})
"""By itself, or because it was asked to."""

KILLED: Final = 128
"""Added to the number of a signal that has ended a process, as shells do."""


def name_of_exit_code(code: int) -> str:
    """Give the code as people read it.

    >>> name_of_exit_code(115)
    '115 (StateOperationError)'
    >>> name_of_exit_code(137)
    '137 (SIGKILL)'
    >>> name_of_exit_code(3)
    '3'
    """
    if code in {known.value for known in ExitCodes}:
        return f"{code} ({ExitCodes(code).name})"
    with contextlib.suppress(ValueError):
        return f"{code} ({signal.Signals(code - KILLED).name})"
    return str(code)
