"""What becomes of records that cannot be handled: the values of an input port's parameter ``errorPolicy``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError

ACCEPTED: Final = (
    "'fail', 'skip', 'retry(TIMES, SECONDS)' such as 'retry(3, 1.0)', or 'retry(TIMES, SECONDS) then skip'"
)
"""The spellings, for errors and documentation."""

_RETRY: Final = re.compile(r"retry\(\s*(\d+)\s*,\s*(\d+(?:\.\d+)?)\s*\)(?:\s+then\s+(fail|skip))?")


@dataclass(frozen=True)
class ErrorPolicy:
    """How often a record is tried again, and what then happens to it."""

    retries: int = 0
    """Times that it is handed out again, after the first."""
    backoff_s: float = 0.0
    """Seconds before each of them."""
    skips: bool = False
    """Whether it is left out in the end; else the member fails."""

    @property
    def is_fail(self) -> bool:
        """Whether the member fails at once."""
        return not (self.retries or self.skips)


FAIL: Final = ErrorPolicy()
"""The default."""


def parse_error_policy(place: str, text: str | None) -> ErrorPolicy:
    """Read a value of ``errorPolicy``; None means `FAIL`.

    Raises:
        NotBuiltYetError: ``dead-letter``, which this version does not carry out.
        ConfigurationError: It is none of the values; names ``place``, value and what is accepted.

    >>> parse_error_policy("p.o.port", "retry(3, 0.5) then skip")
    ErrorPolicy(retries=3, backoff_s=0.5, skips=True)
    """
    given = (text or "fail").strip()
    if given in ("fail", "skip"):
        return ErrorPolicy(skips=given == "skip")
    if given.removesuffix(")").endswith("dead-letter"):
        raise NotBuiltYetError(
            f"{place}: parameter 'errorPolicy' is {text!r}, and this version does not carry out dead-letter yet; "
            f"expected {ACCEPTED}"
        )
    found = _RETRY.fullmatch(given)
    if found is None or not int(found[1]):
        raise ConfigurationError(
            f"{place}: parameter 'errorPolicy' is {text!r}, expected {ACCEPTED} (TIMES 1 or more); leave it out for 'fail'"
        )
    return ErrorPolicy(int(found[1]), float(found[2]), found[3] == "skip")
