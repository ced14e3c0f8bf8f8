"""Output of several processes on one stream of ours: line by line, each as it was written, none torn."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Callable
from typing import IO, Final, TextIO

LONGEST_LINE_BYTES: Final = 1 << 20
"""A longer line is handed on in pieces of this size, each on a line of its own (chosen)."""


class Lines:
    """Hands lines of pipes on to a stream.

    Args:
        stream: Gives the stream, asked for each line: displays replace ``sys.stdout`` while they are there.
    """

    def __init__(self, stream: Callable[[], TextIO]) -> None:
        self._stream = stream
        self._lock = threading.Lock()

    def follow(
        self, pipe: IO[bytes], name: str, on_line: Callable[[bytes], None] = lambda line: None
    ) -> threading.Thread:
        """Hand the lines of ``pipe`` on until its end, then close it; in a thread called ``name``.

        Args:
            pipe: What a process writes to.
            name: Of the thread.
            on_line: Given each line, before it is handed on.
        """
        thread = threading.Thread(target=self._pass_on, args=(pipe, on_line), name=name, daemon=True)
        thread.start()
        return thread

    def _pass_on(self, pipe: IO[bytes], on_line: Callable[[bytes], None]) -> None:
        with pipe:
            while line := pipe.readline(LONGEST_LINE_BYTES):
                on_line(line)
                # a closed or broken stream of ours must not stop whoever writes to the pipe
                with self._lock, contextlib.suppress(OSError, ValueError, AttributeError):
                    self._write(line if line.endswith(b"\n") else line + b"\n")

    def _write(self, line: bytes) -> None:
        stream = self._stream()
        if stream in (sys.__stdout__, sys.__stderr__):
            stream.flush()
            stream.buffer.write(line)
        else:
            stream.write(line.decode("utf-8", "backslashreplace"))
        stream.flush()
