"""Calling the methods of plugins and operators: again until they are done, level by level, and checked.

A method returns True when it is done and False to be called again, after pauses that grow.
"""

from __future__ import annotations

import time
import types
import typing
from collections.abc import Callable, Sequence
from typing import Any, Final

from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.executors.errors import FAILURES, NotDoneError, ReturnTypeError
from pypz.executors.reports import say

FIRST_PAUSE_S: Final = 0.01
LONGEST_PAUSE_S: Final = 1.0
"""Seconds between two calls of a method that is not done: doubled from the first to the longest (chosen)."""


class Stopping:
    """Whether the execution is being interrupted, and the pauses that this cuts short.

    Attributes:
        requested: Whether it is.
        since: Moment of the interrupt, by the clock; 0.0 before.
        clock: By which pauses go.
    """

    def __init__(self, clock: Clock = PROCESS_CLOCK) -> None:
        self.clock = clock
        self.requested = False
        self.since = 0.0
        self._event = clock.event()
        self._never = clock.event()

    def request(self) -> None:
        """From now on it is being interrupted."""
        self.since = self.clock.now()
        self.requested = True

    def wake(self) -> None:
        """End the pause in which threads are now; `requested` is to be set before."""
        self._event.set()

    def pause(self, seconds: float) -> None:
        """Wait; an interrupt ends the pause during which it comes, not the later ones."""
        (self._never if self._event.is_set() else self._event).wait(seconds)


class Caller:
    """Calls one method of many instances.

    Args:
        stopping: The interrupt of this execution.
        thread_prefix: Threads are called after it and the instance, when instances are called side by side.
        on_timing: Told the instance, its method, the seconds spent in it and the number of calls.
        drain_s: Seconds that a method on the way down may go on to say False after an interrupt.
    """

    def __init__(
        self,
        stopping: Stopping,
        thread_prefix: str,
        on_timing: Callable[[Any, str, float, int], None],
        drain_s: float = float("inf"),
    ) -> None:
        self._stopping = stopping
        self._drain_s = drain_s
        self._prefix = thread_prefix
        self._on_timing = on_timing

    def upwards(self, levels: Sequence[Sequence[Any]], method: str) -> None:
        """Call level after level; the first error, or an interrupt, ends it: nothing is called any more.

        Raises:
            Exception: What the first of the instances raised.
        """
        for level in levels:
            errors = self._call_level(level, method, gives_up=True)
            if errors:
                raise errors[0]
            if self._stopping.requested:
                return

    def downwards(self, levels: Sequence[Sequence[Any]], method: str) -> list[BaseException]:
        """Call level after level in reverse order, all of them, and give the errors."""
        return [error for level in reversed(levels) for error in self._call_level(level, method, gives_up=False)]

    def _call_level(self, level: Sequence[Any], method: str, gives_up: bool) -> list[BaseException]:
        """Call the method of all instances of a level, side by side when there are several, until each is done."""
        errors: dict[int, BaseException] = {}

        def call(at: int) -> None:
            try:
                self._call(level[at], method, lambda: gives_up and (self._stopping.requested or bool(errors)), gives_up)
            except BaseException as error:  # noqa: BLE001 - user code may raise anything; raised or reported later
                errors[at] = error

        if len(level) == 1:
            call(0)
            if errors and not isinstance(errors[0], FAILURES):
                raise errors[0]
        else:
            self._side_by_side(level, call)
        return [errors[at] for at in sorted(errors)]

    def _side_by_side(self, level: Sequence[Any], call: Callable[[int], None]) -> None:
        """Call for each place of the level in a thread of its own; returns when all have ended."""
        clock = self._stopping.clock
        ended = clock.condition()
        running = len(level)

        def run(at: int) -> None:
            nonlocal running
            try:
                call(at)
            finally:
                with ended:
                    running -= 1
                    ended.notify_all()

        for at, instance in enumerate(level):
            clock.thread(run, f"{self._prefix}/{name_of(instance)}", (at,)).start()
        with ended:
            ended.wait_for(lambda: not running)

    def _call(self, instance: Any, method: str, is_given_up: Callable[[], bool], is_upwards: bool) -> None:
        bound = getattr(instance, method)
        pause_s, calls, spent_s = FIRST_PAUSE_S, 0, 0.0
        now = self._stopping.clock.now
        began = told = now()
        while True:
            started = time.perf_counter()
            try:
                is_done = checked(bound, bound(), instance)
            finally:
                calls += 1
                spent_s += time.perf_counter() - started
            if is_done or is_given_up():
                break
            if not is_upwards:
                self._check_drain(instance, method, began, calls)
            if now() - told >= self._stopping.clock.tell_interval_s:
                told = now()
                say(
                    f"WARNING: {name_of(instance)}: waits since {told - began:.0f} s for its {method} to return True; it "
                    f"has returned False {calls} times"
                )
            self._stopping.pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if is_given_up():
                break
        self._on_timing(instance, method, spent_s, calls)

    def _check_drain(self, instance: Any, method: str, began: float, calls: int) -> None:
        """Give up a method that is not done a whole drain after the interrupt and after its own beginning."""
        if self._stopping.requested and self._stopping.clock.now() - max(self._stopping.since, began) >= self._drain_s:
            raise NotDoneError(
                f"{name_of(instance)}: {method} has returned False {calls} times, and {self._drain_s:g} s after the "
                f"interrupt it is given up; let it return True, or raise drainTimeoutMs"
            )


def checked(method: Callable[..., Any], result: Any, instance: Any) -> bool:
    """Tell whether a method is done by what it returned.

    Args:
        method: The method, for its return annotation.
        result: What it returned: True for done, False for call me again; None means done unless the annotation
            excludes it.
        instance: Whose method it is.

    Raises:
        ReturnTypeError: The result is none of these, or does not fit the method's own annotation.
    """
    accepted = _annotated(method)
    if result is True or result is False or result is None:
        if accepted is None or isinstance(result, accepted):
            return result is not False
        names = " or ".join("None" if t is types.NoneType else t.__name__ for t in accepted)
        reason = f"but is annotated to return {names}"
    else:
        reason = "expected True when it is done or False to be called again"
    raise ReturnTypeError(f"{name_of(instance)}: {method.__name__} returned {result!r}, {reason}")


def _annotated(method: Callable[..., Any]) -> tuple[type[Any], ...] | None:
    """Give the types that a method's return annotation accepts; None when it has none or it cannot be resolved."""
    function = getattr(method, "__func__", method)
    try:
        hint = typing.get_type_hints(function).get("return", Any)
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None  # names imported for type checkers only; what the values mean is checked all the same
    if hint is Any:
        return None
    parts = typing.get_args(hint) if typing.get_origin(hint) in (typing.Union, types.UnionType) else (hint,)
    found = [typing.get_origin(part) or part for part in parts]
    return tuple(found) if all(isinstance(part, type) for part in found) else None


def name_of(instance: Any) -> str:
    """Give the full name of an instance, for messages."""
    return str(instance.get_full_name())
