"""How an execution does: whether its threads go round, and whether it gets on with its work or is idle by choice."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pypz.core.channels.members.session import MemberSession
    from pypz.core.specs.operator import Operator

STALLED_AFTER_S: Final = 300.0
"""Seconds in one call of the operator or a plugin after which it counts as not getting on (chosen: slow handlers take
minutes; it is told, not killed)."""


@dataclass(frozen=True)
class Health:
    """How an execution does at one moment."""

    is_live: bool = True
    """Whether its threads go round; a slow call of the user's code is no reason to doubt it."""
    is_ready: bool = True
    """Whether it gets on: it works, waits for records or for others; not with a failure, a commit that does not go
    through, or one call for `STALLED_AFTER_S`."""
    state: str = ""
    doing: str = ""
    """Method that is being called; empty between calls."""
    reasons: tuple[str, ...] = ()
    """Why it is not live or not ready."""


class Pulse:
    """What the thread of an execution is doing since when; written by that thread, read by any."""

    def __init__(self) -> None:
        self.call = ""
        self.since = time.monotonic()

    def begins(self, call: str) -> None:
        """The thread calls this method now; empty: it waits."""
        self.call, self.since = call, time.monotonic()


_lock = threading.Lock()
_pulses: dict[int, tuple[Pulse, MemberSession]] = {}


def watch(operator: Operator, pulse: Pulse, session: MemberSession) -> None:
    """From now on `health_of` knows the operator's execution."""
    with _lock:
        _pulses[id(operator)] = pulse, session


def forget(operator: Operator) -> None:
    """The execution has ended."""
    with _lock:
        _pulses.pop(id(operator), None)


def health_of(operator: Operator, state: str = "") -> Health:
    """Tell how the execution of an operator does; all is well as long as there is none.

    Args:
        operator: As executed, so no Replica proxy.
        state: Name of the state that it is in, to be told.
    """
    with _lock:
        found = _pulses.get(id(operator))
    if found is None:
        return Health(state=state)
    pulse, session = found
    dead = session.silent_threads()
    lasts_s = time.monotonic() - pulse.since
    stalled = [f"{pulse.call} has not returned for {lasts_s:.0f} s"] if pulse.call and lasts_s > STALLED_AFTER_S else []
    troubles = [*session.troubles(), *stalled]
    return Health(not dead, not dead and not troubles, state, pulse.call, (*dead, *troubles))
