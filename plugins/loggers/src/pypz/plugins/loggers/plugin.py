"""What this distribution answers to pypz: a logger for operators that carry none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pypz.core.commons.loggers import ContextLoggerInterface, DefaultContextLogger
from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.specs.operator import Operator


@hookimpl
def pypz_make_logger(operator: Operator) -> ContextLoggerInterface | None:
    """Write to stdout, INFO and above; the context names the operator."""
    return DefaultContextLogger()
