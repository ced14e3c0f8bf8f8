"""How often a member that has failed is started again, and after which pauses."""

from __future__ import annotations

from typing import Final

from pypz.executors.commons import ENDED_WELL, FINAL_EXIT_CODES

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 60.0
"""Seconds before a member is started again: doubled from the first to the longest (chosen)."""


class Restarts:
    """The restarts of one member.

    Args:
        at_most: How many there may be.

    Attributes:
        count: How many there were.

    >>> restarts = Restarts(2)
    >>> [restarts.take(115), restarts.take(1), restarts.take(115), restarts.take(115)]
    [1.0, None, 2.0, None]
    """

    def __init__(self, at_most: int) -> None:
        self.at_most = at_most
        self.count = 0

    def are_left(self, exit_code: int) -> bool:
        """Whether a member that has ended with this code is started again."""
        return self.count < self.at_most and exit_code not in ENDED_WELL | FINAL_EXIT_CODES

    def take(self, exit_code: int) -> float | None:
        """Count a restart; gives the seconds to wait before it, or None when there is none."""
        if not self.are_left(exit_code):
            return None
        self.count += 1
        return float(min(FIRST_PAUSE_S * 2 ** (self.count - 1), LONGEST_PAUSE_S))
