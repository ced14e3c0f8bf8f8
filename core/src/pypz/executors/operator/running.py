"""The loop of StateOperationRunning: `_on_running` again and again, asleep while nothing can happen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Final, Self

from pypz.core.channels.members.session import MemberSession
from pypz.core.channels.port import ChannelPort
from pypz.core.commons.errors import FencedError
from pypz.core.specs.operator import Operator
from pypz.core.specs.plugin import InputPortPlugin
from pypz.executors.errors import ReturnTypeError
from pypz.executors.operator.calls import Stopping, name_of
from pypz.executors.operator.health import Pulse
from pypz.executors.reports import say

FIRST_PAUSE_S: Final = 0.001
LONGEST_PAUSE_S: Final = 0.05
"""Seconds of the pauses between iterations that retrieve nothing: doubled from the first to the longest (design 5)."""


def run_until_done(
    operator: Operator, inputs: Sequence[InputPortPlugin], session: MemberSession, stopping: Stopping, pulse: Pulse
) -> int:
    """Call `_on_running` until it has ended by itself or the execution is interrupted.

    Args:
        operator: Whose `_on_running` is called.
        inputs: All its input ports, channel ports and others.
        session: Commits for channel ports; others are told to commit after each iteration.
        stopping: The interrupt of this execution.
        pulse: Told when `_on_running` is called and when the loop sleeps.

    Returns:
        The number of iterations.

    Raises:
        ReturnTypeError: `_on_running` returned something other than True, False or None.
        FencedError: A later start of this member exists.
    """
    others = [port for port in inputs if not isinstance(port, ChannelPort)]
    pauses = _Pauses(session, stopping, has_channels=session.has_channel_inputs)
    idle_s = stopping.clock.idle_pause_s
    iterations = 0
    with _Watched(others) as watched:
        while not stopping.requested:
            session.iteration_started()
            pulse.begins("_on_running")
            try:
                result = operator._on_running()
            except Exception as error:
                if stopping.requested or not session.iteration_failed(error):
                    raise
                iterations += 1
                continue
            pulse.begins("")
            if not (result is True or result is False or result is None):
                raise ReturnTypeError(
                    f"{name_of(operator)}: _on_running returned {result!r}, expected True to end, False to be called "
                    f"again, or None to be called while its input ports can retrieve"
                )
            handed_out = session.iteration_ended() + watched.take()
            for port in others:
                port.commit_current_read_offset()
            iterations += 1
            if session.fenced:
                raise FencedError(f"{name_of(operator)}: a later start of this member exists; this one stops")
            if result is True or stopping.requested:
                break
            if result is None:
                if not _can_retrieve(session, others):
                    if not inputs:
                        _tell_ended_by_none(operator, iterations)
                    break
                pauses.until_readable(handed_out, only_channels=not others)
            elif inputs:
                pauses.until_due(handed_out)
            elif idle_s and not session.take_sent():
                stopping.pause(idle_s)
    return iterations


def _tell_ended_by_none(operator: Operator, iterations: int) -> None:
    say(
        f"WARNING: {name_of(operator)}: ended, because _on_running returned None (at call {iterations}) and there is no "
        f"input port to wait for; return True to end, False to be called again"
    )


def _can_retrieve(session: MemberSession, others: Sequence[InputPortPlugin]) -> bool:
    return session.can_retrieve() or any(port.can_retrieve() for port in others)


class _Pauses:
    """Pauses between iterations; those in which nothing was handed out make them grow."""

    def __init__(self, session: MemberSession, stopping: Stopping, has_channels: bool) -> None:
        self._session = session
        self._stopping = stopping
        self._has_channels = has_channels
        self._next_s = FIRST_PAUSE_S
        self._was_cut_short = False
        self._empty = 0
        """Iterations in a row after which None was returned and nothing was handed out."""

    def until_readable(self, handed_out: int, only_channels: bool) -> None:
        """After None: sleep until a channel has a record or an end; ask other ports at growing intervals.

        Records that `_on_running` leaves alone wake at once every time; then pauses that grow come before.
        """
        if not only_channels:
            self.until_due(handed_out)
            return
        self._empty = 0 if handed_out else self._empty + 1
        if handed_out:
            self._next_s = FIRST_PAUSE_S
        elif self._empty > 1:
            self._stopping.pause(self._grown())
        if not self._stopping.requested:
            self._session.wait(None)

    def until_due(self, handed_out: int) -> None:
        """After False: at once when records were handed out, else after a pause that a record cuts short.

        A pause that was cut short, by records that `_on_running` leaves alone or by the end of a channel, is followed by
        one that nothing but an interrupt cuts short.
        """
        if handed_out:
            self._next_s, self._was_cut_short = FIRST_PAUSE_S, False
        elif self._has_channels and not self._was_cut_short:
            now = self._stopping.clock.now
            pause_s, began = self._grown(), now()
            self._session.wait(pause_s)
            self._was_cut_short = now() - began < pause_s / 2
        else:
            self._stopping.pause(self._grown())
            self._was_cut_short = False

    def _grown(self) -> float:
        pause_s = self._next_s
        self._next_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return pause_s


class _Watched:
    """Counts what is retrieved from input ports that are no channel ports, so that a busy one is not slowed down."""

    def __init__(self, ports: Sequence[InputPortPlugin]) -> None:
        self._ports = [port for port in ports if "retrieve" not in vars(port)]
        self._count = 0

    def __enter__(self) -> Self:
        for port in self._ports:
            object.__setattr__(port, "retrieve", self._counting(port.retrieve))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for port in self._ports:
            object.__delattr__(port, "retrieve")

    def take(self) -> int:
        """Give the number of retrievals with content since the last time."""
        count, self._count = self._count, 0
        return count

    def _counting(self, retrieve: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*args: Any, **kwargs: Any) -> Any:
            data = retrieve(*args, **kwargs)
            if data is not None and (not hasattr(data, "__len__") or len(data) > 0):
                self._count += 1
            return data

        return counted
