"""Execution modes and exit codes: what a starter chooses, and what it gets back."""

from __future__ import annotations

from enum import Enum


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


def name_of_exit_code(code: int) -> str:
    """Give the code as people read it.

    >>> name_of_exit_code(115)
    '115 (StateOperationError)'
    >>> name_of_exit_code(3)
    '3'
    """
    try:
        return f"{code} ({ExitCodes(code).name})"
    except ValueError:
        return str(code)
