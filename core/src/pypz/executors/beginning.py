"""Begins or joins a run in a thread of its own, so that an interrupt need not wait for a location that does not answer.

Nothing here raises into the thread that connects: a connection that is given up is let go of by its thread.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.errors import PypzError

GIVE_UP_S: Final = 3.0
"""Seconds that a connection which is given up gets to end by itself; then it is left behind (chosen)."""


class Beginning:
    """One try to begin or join a run.

    Args:
        begin: Makes the run; called once, in a thread of its own.
        name: Of that thread.
    """

    def __init__(self, begin: Callable[[], PipelineRun], name: str) -> None:
        self._begin = begin
        self._lock = threading.Lock()
        self._is_given_up = False
        self._result: SimpleQueue[PipelineRun | BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def wait(self) -> PipelineRun | None:
        """Give the run; None when it was given up before there was one.

        Raises:
            BaseException: What ``begin`` raised.
        """
        result = self._result.get()
        if isinstance(result, BaseException):
            raise result
        if result is None:
            self._thread.join(GIVE_UP_S)
        return result

    def give_up(self) -> None:
        """Want the run no more; does nothing when it is there. From any thread."""
        with self._lock:
            self._is_given_up = True
            self._result.put(None)

    def _work(self) -> None:
        result: PipelineRun | BaseException
        try:
            result = self._begin()
        except BaseException as error:  # noqa: BLE001 - raised again by who waits
            result = error
        with self._lock:
            if not self._is_given_up:
                self._result.put(result)
                return
        if isinstance(result, PipelineRun):
            self._let_go(result)

    @staticmethod
    def _let_go(run: PipelineRun) -> None:
        """A run of the whole ends with who began it; that of a member, such as a pod, goes on: it may be started again."""
        if not run.is_lone:
            with contextlib.suppress(PypzError):  # nobody is left to be told; the next start finds a run without beats
                run.finish("interrupted")
        run.close()
