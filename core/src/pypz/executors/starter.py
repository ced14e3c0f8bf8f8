"""What a process of one operator and whoever starts such processes agree on: environment variables, and who dies first.

The starter holds the writing end of a pipe open that nobody ever writes to. Its end, by whatever cause, is the end of the
pipe; unlike signals on a parent's death this works on every Unix.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import Final

from pypz.executors.reports import say
from pypz.executors.signals import end_at_once

STARTER_VARIABLE: Final = "PYPZ_STARTER"
"""Environment variable with the descriptor of the pipe's reading end."""

WANT_LOGS_VARIABLE: Final = "PYPZ_WANT_LOGS"
"""Environment variable, ``1`` when the plugins are asked for a logger for operators that carry none."""

GRACE_S: Final = 2.0
"""Seconds beyond the operator's drain after which a process without starter ends all the same (chosen)."""


def watch_starter(name: str, drain_s: float) -> None:
    """End this process when its starter has gone: drain first, then at once. Does nothing where nobody is to be watched.

    Args:
        name: Full name of the operator, for the line on stderr.
        drain_s: Seconds that it may take to drain.
    """
    given = os.environ.pop(STARTER_VARIABLE, "")
    if given.isdigit():
        descriptor = int(given)
        os.set_inheritable(descriptor, False)
        arguments = (descriptor, name, drain_s)
        threading.Thread(target=_watch, args=arguments, name="pypz-starter", daemon=True).start()


def _watch(descriptor: int, name: str, drain_s: float) -> None:
    with contextlib.suppress(OSError):
        os.read(descriptor, 1)
    say(f"WARNING: {name}: its starter has gone; drains and ends")
    silence = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # nobody reads them any more: what is printed must not fail
        os.dup2(silence, stream)
    os.kill(os.getpid(), signal.SIGTERM)
    threading.Event().wait(drain_s + GRACE_S)
    end_at_once()
