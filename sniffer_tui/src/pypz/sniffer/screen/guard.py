"""Leaves the terminal as it was, also when this process is killed with -9 and can do nothing itself."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

RESET: Final = (
    "\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?1015l"  # no mouse
    "\x1b[?1004l\x1b[?2004l\x1b[<u"  # no reports of focus, no marked pastes, keys as usual
    "\x1b[?1049l\x1b[?25h\x1b[0m"  # the screen that was there before, its cursor, no colours
)
"""What undoes all that the screen asks of a terminal (xterm's control sequences)."""

SCRIPT: Final = """
saved=$(stty -g <&2) || saved=
echo ready
read -r line && exit 0
[ -z "$saved" ] || stty "$saved" <&2
printf '%s' "$1" >&2
"""
"""Waits for a line, or for the end of whoever could write it."""


@contextlib.contextmanager
def guarded_terminal() -> Iterator[None]:
    """Have another process put the terminal right, should this one be killed while the block runs.

    The other one is a shell that waits for the end of a pipe. Where it cannot be started, the block runs without it.
    """
    terminal = sys.__stderr__
    try:
        guard = subprocess.Popen(
            ["/bin/sh", "-c", SCRIPT, "pypz-sniffer-guard", RESET],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=terminal,
            start_new_session=True,  # signals of the terminal are not for it
            text=True,
        )
    except OSError:
        yield
        return
    with guard:
        if guard.stdout is not None:
            guard.stdout.readline()  # the terminal's settings are noted before the screen changes them
        try:
            yield
        finally:
            with contextlib.suppress(BrokenPipeError):
                guard.communicate("the terminal is in order\n")
