"""Why an execution fails by our own judgement; the other errors are in `pypz.core.commons.errors`."""

from __future__ import annotations

from typing import Final

from pypz.core.commons.errors import PypzError

FAILURES: Final = (Exception, SystemExit)
"""What user code may raise to make a state fail; ``sys.exit`` must not skip the closing of ports."""


class ReturnTypeError(PypzError, TypeError):
    """A method of an operator or plugin returned something that has no meaning there."""


class AlreadyRunningError(PypzError, RuntimeError):
    """An executor was asked to start while it runs."""


class NotDoneError(PypzError, TimeoutError):
    """A method on the way down still said False when the time to drain after an interrupt had passed."""
