"""One consumer and the thread that alone uses it.

A consumer's wait cannot be ended from outside, and whoever calls one that waits, waits with it (confluent-kafka 2.16 lets
one thread at a time in). So a thread of its own does all that concerns the consumer, and whoever reads waits on a condition
instead and is woken at once. A thread that woke ten times a second to look for a wake-up would cost ten idle members 0.4 % of
a core by itself (measured, 2 cores of an EPYC, 2026-11).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pypz.core.commons.errors import TransportTimeoutError
from pypz.plugins.kafka_io.config import Config, Values
from pypz.plugins.kafka_io.faults import Sight, log, make_client

BUSY_SLICE_S: Final = 0.05
"""Seconds of one wait while messages come (chosen): `close` and posted tasks wait for no longer."""
IDLE_SLICE_S: Final = 0.5
"""Seconds of one wait otherwise (chosen): two wake-ups a second."""
BUSY_FOR_S: Final = 0.3
"""Seconds after a message that matters, a task or the start that count as busy (chosen)."""
SILENT_S: Final = 10.0
"""Seconds without a message after which somebody looks whether there still is a topic (chosen)."""
ENDS_S: Final = 1.0
"""Seconds between two questions where partitions end, while nothing may be taken from the consumer: it hears of it only with
what it fetches (chosen)."""
AT_ONCE: Final = 256
"""Messages taken from the consumer's queue at once (chosen)."""
WARM_S: Final = 2.0
"""Seconds at most for the first look at the cluster: a broker that is away is waited for later, where deadlines are."""

Place = tuple[str, int]
"""Channel and partition."""


class Puller:
    """A consumer with partitions assigned by hand. ``arrived`` is called on its thread; messages may be errors."""

    def __init__(
        self,
        config: Config,
        values: Values,
        topic: str,
        arrived: Callable[[Sequence[Message]], bool],
        failed: Callable[[Exception], None],
        *,
        may_pull: Callable[[], bool] = lambda: True,
        silent: Callable[[], None] = lambda: None,
    ) -> None:
        """Make the consumer and connect it, if a broker answers; nothing is read before `assign`.

        Args:
            config: For masking secrets.
            values: What the consumer is made with.
            topic: An existing topic to look at.
            arrived: Takes messages; tells whether they make it busy.
            failed: Told when the consumer refuses a task, such as an offset to start from; called on the thread, too.
            may_pull: Asked before messages are taken; after it was False, `poke` has it asked again.
            silent: Called on the thread every 10 s in which nothing has come; must not wait.
        """
        self.sight = Sight(config)
        self.ends: dict[Place, int] = {}
        """Offset behind the last entry of each partition, as of the last answer."""
        self._consumer: Consumer = make_client(Consumer, values, self.sight)
        self._arrived = arrived
        self._failed = failed
        self._may_pull = may_pull
        self._silent = silent
        self._silent_at = time.monotonic() + SILENT_S
        self._state = threading.Condition()
        self._tasks: deque[Callable[[Consumer], None]] = deque()
        self._assigned: list[Place] = []
        self._stopping = False
        self._busy_until = 0.0
        self._has_more = False
        self._thread: threading.Thread | None = None
        warm(self._consumer, topic)

    def assign(self, offsets: dict[Place, int]) -> None:
        """Read these partitions, too, from the offsets given."""
        places = [TopicPartition(topic, number, offset) for (topic, number), offset in offsets.items()]

        def task(consumer: Consumer) -> None:
            self._assigned += offsets
            consumer.incremental_assign(places)

        self.post(task)

    def post(self, task: Callable[[Consumer], None]) -> None:
        """Have a task carried out on the thread before more messages are taken; does not wait for it."""
        with self._state:
            self._tasks.append(task)
            if self._thread is None and not self._stopping:
                self._thread = threading.Thread(target=self._run, name="pypz-kafka-pull", daemon=True)
                self._thread.start()
            self._state.notify_all()

    def poke(self) -> None:
        """Ask again whether messages may be taken."""
        with self._state:
            self._state.notify_all()

    def stop(self) -> None:
        """Begin to end; `close` waits for it."""
        with self._state:
            is_first, self._stopping = not self._stopping, True
            self._state.notify_all()
        if is_first and self._thread is None:
            self._close()

    def close(self, timeout_s: float = IDLE_SLICE_S * 4) -> None:
        """End the thread, which closes the consumer; past the time-out it does so by itself."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    # --- the thread ---

    def _run(self) -> None:
        try:
            while self._is_to_go_on():
                found = self._take()
                now = time.monotonic()
                if found:
                    self._silent_at = now + SILENT_S
                elif now >= self._silent_at:
                    self._silent_at = now + SILENT_S
                    self._silent()
                self._note_ends()
                if found and self._arrived(found):
                    self._busy_until = now + BUSY_FOR_S
        finally:
            with self._state:
                self._stopping = True
            self._close()

    def _is_to_go_on(self) -> bool:
        while True:
            with self._state:
                has_come = self._state.wait_for(lambda: self._stopping or self._tasks or self._may_pull(), ENDS_S)
                if self._stopping:
                    return False
                task = self._tasks.popleft() if self._tasks else None
                if has_come and task is None:
                    return True
            if task is None:
                self._ask_ends()
                continue
            self._busy_until = time.monotonic() + BUSY_FOR_S
            try:
                task(self._consumer)
            except KafkaException as error:
                self._failed(self.sight.translate(error, "the consumer refuses to read on"))

    def _take(self) -> Sequence[Message]:
        if self._has_more:
            found = self._consumer.consume(AT_ONCE, 0)
            if found:
                return found
        is_busy = time.monotonic() < self._busy_until
        found = self._consumer.consume(1, BUSY_SLICE_S if is_busy else IDLE_SLICE_S)
        self._has_more = bool(found)
        return found

    def _note_ends(self) -> None:
        for place in self._assigned:
            try:
                found = self._consumer.get_watermark_offsets(TopicPartition(*place), cached=True)
            except KafkaException:
                continue
            if found is not None and found[1] >= 0:
                self.ends[place] = int(found[1])

    def _ask_ends(self) -> None:
        for place in self._assigned:
            try:
                found = self._consumer.get_watermark_offsets(TopicPartition(*place), timeout=ENDS_S)
            except KafkaException as error:  # whoever is away is told of by what waits for it
                log.debug("where %s ends is not known: %s", place, error)
                return
            if found is not None:
                self.ends[place] = int(found[1])

    def _close(self) -> None:
        try:
            self._consumer.close()
        except (KafkaException, RuntimeError) as error:
            log.debug("a consumer could not be closed: %s", error)


def warm(client: Any, topic: str) -> None:
    """Have a new client connect at once: without being asked for metadata it would wait 0.5 to 1 s (measured).

    The first question may go by the address given, the second by that of a broker of the cluster; a producer gets its id
    by the latter only.
    """
    try:
        for _ in range(2):
            client.list_topics(topic, timeout=WARM_S)
    except KafkaException as error:
        log.debug("no broker answers yet: %s", error)


def gone_in_time(timeout_s: float, what: str, sight: Sight) -> TransportTimeoutError:
    """Give the error of a deadline that has passed."""
    return TransportTimeoutError(sight.with_cause(f"waited {timeout_s:g} s for {what}"))
