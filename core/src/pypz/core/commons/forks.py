"""In which process something was opened: in a forked child its threads are missing, and its connections are the parent's."""

from __future__ import annotations

import os
from typing import Final

from pypz.core.commons.errors import TransportError

_forks = 0
"""Forks between the first ancestor that has imported this, and this process."""


def _count() -> None:
    global _forks
    _forks += 1


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_count)


class Home:
    """The process in which this was made. `check` costs nothing to speak of: no system call."""

    def __init__(self) -> None:
        self._forks: Final = _forks
        self._process: Final = os.getpid()

    def check(self, what: str) -> None:
        """Refuse the use of something in a forked child.

        Args:
            what: Full name of what was opened here.

        Raises:
            TransportError: Names both processes and the way out.
        """
        if self._forks != _forks:
            raise TransportError(
                f"{what}: was opened by process {self._process} and cannot be used after fork in process {os.getpid()}; "
                "start processes by multiprocessing's 'spawn' or as programs of their own"
            )
