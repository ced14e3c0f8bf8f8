"""What the kits have in common: promises that carry a number, and calls that fail instead of hanging."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import pytest

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

MARK: Final = "pypz_promise"


@dataclass(frozen=True)
class Promise:
    """What one test of a kit stands for."""

    number: int
    """Number of the promise in the documentation."""
    test: str
    """Name of the test, which says what is promised."""
    needs: tuple[str, ...] = ()
    """Capabilities without which it is not promised."""


def promise(number: int, *needs: str) -> Callable[[F], F]:
    """Mark the one test of a promise.

    Args:
        number: Its number in the documentation; it stands in the test's name, too.
        needs: Capabilities of the transport without which it is not promised: the test is skipped by their names.
    """

    def mark(test: F) -> F:
        setattr(test, MARK, Promise(number, test.__name__, needs))
        return test

    return mark


def promises_of(kit: type) -> list[Promise]:
    """The promises that a kit tests, by number."""
    found = [getattr(getattr(kit, name), MARK, None) for name in dir(kit)]
    return sorted((one for one in found if one is not None), key=lambda one: one.number)


class Worker:
    """A thread that carries calls out one after the other, so that a call which hangs fails its test and no more."""

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=f"pypz-kit {name}", daemon=True)
        self._thread.start()

    def submit(self, call: Callable[[], T]) -> Future[T]:
        """Have ``call`` carried out; its result or error comes by the future."""
        future: Future[T] = Future()

        def carry_out() -> None:
            try:
                future.set_result(call())
            except BaseException as error:  # noqa: BLE001  # carried over to the caller's thread
                future.set_exception(error)

        self._tasks.put(carry_out)
        return future

    def call(self, call: Callable[[], T], what: str, patience_s: float) -> T:
        """Have ``call`` carried out and give its result; a call that does not return in time fails the test."""
        return result_of(self.submit(call), what, patience_s)

    def close(self) -> None:
        """End the thread, once it has nothing left to do; a call that hangs is left behind."""
        self._tasks.put(None)
        self._thread.join(0.5)

    def _run(self) -> None:
        while (task := self._tasks.get()) is not None:
            task()


def result_of(future: Future[T], what: str, patience_s: float) -> T:
    """Wait for a result; one that does not come in time fails the test."""
    try:
        return future.result(patience_s)
    except FutureTimeoutError:
        if future.done():
            raise  # the call's own error
    pytest.fail(f"{what} did not return within {patience_s:g} s")


def side_by_side(calls: list[Callable[[], T]], patience_s: float) -> list[T]:
    """Carry calls out at the same moment, each in its thread; give their results in order."""
    barrier = threading.Barrier(len(calls))
    workers = [Worker(f"side {number}") for number in range(len(calls))]

    def at_once(call: Callable[[], T]) -> T:
        barrier.wait(patience_s)
        return call()

    futures = [
        worker.submit(lambda call=call: at_once(call))  # type: ignore[misc]
        for worker, call in zip(workers, calls, strict=True)
    ]
    found = [result_of(future, "one of several calls at once", patience_s) for future in futures]
    for worker in workers:
        worker.close()
    return found
