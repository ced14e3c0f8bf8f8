"""The one thread of a channel client: reads ahead, commits when due, tells figures."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.spi import ChannelClient, Received
from pypz.core.commons.clock import Clock
from pypz.core.commons.errors import ChannelGoneError, WokenError

READ_BLOCKS: Final = 64
"""Blocks asked for at once (chosen)."""
IDLE_S: Final = 60.0
"""Seconds of one wait when nothing is due; every event wakes earlier."""

T = TypeVar("T")
Tick = Callable[[], float | None]
"""Does what is due; gives the seconds until something is due again, None for never."""


class ClientLoop:
    """Runs ``tick`` whenever it is due and hands what the client reads to the ends; tasks come from any thread."""

    def __init__(
        self,
        client: ChannelClient,
        name: str,
        changed: threading.Condition,
        tick: Tick,
        failed: Callable[[Exception], None],
        notice: Callable[[InputEnd], None],
        clock: Clock,
    ) -> None:
        self.client = client
        self.inputs: dict[str, InputEnd] = {}
        self._changed = changed
        self._tick = tick
        self._failed = failed
        self._notice = notice
        self._tasks: deque[Callable[[], None]] = deque()
        self._ending = threading.Lock()
        self._has_ended = False
        self._event = clock.event()
        self._turned_at = time.monotonic()
        self._closing = False
        self._thread = clock.thread(self._run, f"pypz-io {name}")
        self._thread.start()

    def call(self, task: Callable[[], T]) -> T:
        """Run ``task`` on the client's thread and wait for its result.

        Raises:
            WokenError: That thread has ended.
        """
        if threading.current_thread() is self._thread:
            return task()
        future: Future[T] = Future()

        def run() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001  # carried over to the caller's thread
                future.set_exception(error)

        with self._ending:
            if self._has_ended:
                raise WokenError("the channel client's thread has ended")
            self._tasks.append(run)
        self.wake()
        return future.result()

    def post(self, task: Callable[[], None]) -> None:
        """Run ``task`` on the client's thread, later, unless that is closing; what it raises fails the member."""
        self._tasks.append(lambda: None if self._closing else task())
        self.wake()

    def wake(self) -> None:
        """Make the thread look at its tasks and at what is due."""
        self._event.set()
        if self.inputs:
            self.client.wake()

    def silent_s(self) -> float | None:
        """Seconds since the thread last went round, beyond the longest wait that it allows itself; None: it has ended."""
        if not self._thread.is_alive() and not self._closing:
            return None
        return max(0.0, time.monotonic() - self._turned_at - IDLE_S)

    def close(self, timeout_s: float) -> None:
        """End the thread and close the client; idempotent."""
        if self._closing:
            return
        self._closing = True
        self.wake()
        self.client.wake()
        if self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            while not self._closing:
                self._turned_at = time.monotonic()
                self._event.clear()
                while self._tasks:
                    self._tasks.popleft()()
                due = self._tick()
                if self._tasks or self._closing:
                    continue
                wait_s = IDLE_S if due is None else max(0.0, due)
                if not self.inputs:
                    self._event.wait(wait_s)
                    continue
                self._resume()
                self._read(wait_s)
        except Exception as error:  # noqa: BLE001  # surfaces at the member's next call
            self._failed(error)
            while not self._closing:  # calls still get their answer
                self._event.wait()
                self._event.clear()
                while self._tasks:
                    self._tasks.popleft()()
        finally:
            self.client.close(5.0)
            with self._ending:
                self._has_ended = True
            while self._tasks:
                self._tasks.popleft()()

    @staticmethod
    def _behind(end: InputEnd) -> int:
        """Entries that were not read yet; 0 where the transport cannot tell, which figures say."""
        try:
            return end.behind()
        except ChannelGoneError:
            raise
        except Exception:  # noqa: BLE001  # one number of a message
            return 0

    def _resume(self) -> None:
        for end in self.inputs.values():
            if end.paused and end.wants_more():
                end.paused = False
                end.resume()

    def _read(self, wait_s: float) -> None:
        found = self.client.read(READ_BLOCKS, 0.0 if self._event.is_set() else wait_s)
        if not found:
            return
        by_channel: dict[str, list[Received]] = {}
        for block in found:
            by_channel.setdefault(block.channel, []).append(block)
        for channel, blocks in by_channel.items():
            end = self.inputs[channel]
            with self._changed:
                pauses = end.received(blocks)
                self._changed.notify_all()
            if pauses:
                end.pause()
            if end.earlier_run == 0:
                end.earlier_run = len(blocks) + self._behind(end)
                self._notice(end)
