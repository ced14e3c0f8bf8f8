"""Signals of the operating system while something is executed: the first one drains, a second Ctrl-C ends at once.

Nothing depends on the main thread. It may wait for a lock, and the system may deliver a signal to any other thread, which
does not wake it: Python's handlers would then run when the wait is over, thus never. So the number of each signal goes into
a pipe (``signal.set_wakeup_fd``), written where the signal arrives, and a thread of ours reads it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Final, Self

from pypz.executors.commons import ExitCodes

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
NO_SIGNAL: Final = 0
"""In the pipe: there is nothing more to read."""
FLUSH_TIMEOUT_S: Final = 1.0
"""Seconds that a second Ctrl-C waits for a stuck standard stream (chosen)."""


class SignalWatch:
    """Takes SIGTERM and SIGINT over while a ``with`` block runs; the former handlers come back at its end.

    Nothing is ever raised in the main thread: it may be anywhere, such as between taking a lock and waiting for a thread.
    Outside of the main thread, where Python installs no handlers, nothing is taken over.

    Args:
        receiver: Called once, with the number of the first signal, in a thread of its own.
        is_active: False takes nothing over.
        before_the_end: Called before a second Ctrl-C ends the process, in the same thread: waits for nothing.

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
        self._reading = self._writing = -1
        self._former_wakeup = -1
        self._former: dict[signal.Signals, Any] = {}
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        if self._is_active and threading.current_thread() is threading.main_thread():
            self._reading, self._writing = os.pipe()
            os.set_blocking(self._writing, False)
            self._thread = threading.Thread(target=self._read, name="pypz-signals", daemon=True)
            self._thread.start()
            self._former_wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
            for number in SIGNALS:
                self._former[number] = signal.getsignal(number)
                signal.signal(number, _handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self._thread is None:
            return
        for number, handler in self._former.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
        self._former.clear()
        signal.set_wakeup_fd(self._former_wakeup)
        os.write(self._writing, bytes([NO_SIGNAL]))
        self._thread.join()
        self._thread = None
        os.close(self._reading)
        os.close(self._writing)

    def _read(self) -> None:
        """Take one signal after the other, until the end of the ``with`` block."""
        while (number := os.read(self._reading, 1)[0]) != NO_SIGNAL:
            if self._former_wakeup >= 0:  # somebody else reads numbers, too, such as an event loop
                with contextlib.suppress(OSError):
                    os.write(self._former_wakeup, bytes([number]))
            if number not in SIGNALS:
                continue
            if self.number is None:
                self.number = number
                threading.Thread(target=self._receiver, args=(number,), name="pypz-interrupt", daemon=True).start()
            elif number == signal.SIGINT:
                self._before_the_end()
                end_at_once()


def _handle(number: int, frame: FrameType | None) -> None:
    """In the main thread, some time: the pipe has told already."""


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
