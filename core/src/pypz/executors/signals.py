"""Signals of the operating system while something is executed: the first one drains, a second Ctrl-C ends at once.

A signal handler interrupts the main thread between any two steps, so it must not take a lock that this thread may
hold. It only puts the signal into a queue whose ``put`` may be called anywhere; a thread of ours does the rest.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from types import FrameType, TracebackType
from typing import Any, Final, Self

from pypz.executors.commons import ExitCodes

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
FLUSH_TIMEOUT_S: Final = 1.0
"""Seconds that a second Ctrl-C waits for a stuck standard stream (chosen)."""


class SignalWatch:
    """Takes SIGTERM and SIGINT over while a ``with`` block runs; the former handlers come back at its end.

    Nothing is ever raised in the main thread: it may be anywhere, such as between taking a lock and waiting for a thread.
    Outside of the main thread, where Python installs no handlers, nothing is taken over.

    Args:
        receiver: Called once, with the number of the first signal, in a thread of its own; should return soon.
        is_active: False takes nothing over.
        before_the_end: Called by the handler before a second Ctrl-C ends the process: takes no lock and waits for nothing.

    Attributes:
        number: The first signal that came; None when none did.
    """

    def __init__(
        self, receiver: Callable[[int], None], is_active: bool = True, before_the_end: Callable[[], None] = lambda: None
    ) -> None:
        self.number: int | None = None
        self._receiver = receiver
        self._is_active = is_active
        self._before_the_end = before_the_end
        self._arrived: SimpleQueue[int | None] = SimpleQueue()
        self._former: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._is_active and threading.current_thread() is threading.main_thread():
            self._thread = threading.Thread(target=self._deliver, name="pypz-signals", daemon=True)
            self._thread.start()
            for number in SIGNALS:
                self._former[number] = signal.getsignal(number)
                signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former.clear()
        if self._thread is not None:
            self._arrived.put(None)
            self._thread.join()
            self._thread = None

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self.number = number
            self._arrived.put(number)
        elif number == signal.SIGINT:
            self._before_the_end()
            end_at_once()

    def _deliver(self) -> None:
        while (number := self._arrived.get()) is not None:
            self._receiver(number)


def end_at_once() -> None:
    """End the process with 130: nothing is drained, committed or closed; only the standard streams are flushed."""
    flushing = threading.Thread(target=_flush, name="pypz-flush", daemon=True)
    flushing.start()
    flushing.join(FLUSH_TIMEOUT_S)
    os._exit(ExitCodes.SigTerm.value)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError, RuntimeError, AttributeError):
            continue  # a closed or broken stream must not keep the process
