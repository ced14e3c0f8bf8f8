"""One consumer and the thread that waits for its messages.

The consumer's own wait cannot be ended from outside, so its thread does nothing but wait; whoever reads waits on a
condition instead and is woken at once. A thread that woke ten times a second to look for a wake-up would cost ten idle
members 0.4 % of a core by itself (measured, 2 cores of an EPYC, 2026-11).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any, Final, TypeVar

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from pypz.core.commons.errors import TransportTimeoutError
from pypz.plugins.kafka_io.config import Config, Values
from pypz.plugins.kafka_io.faults import Sight, log, make_client

BUSY_SLICE_S: Final = 0.05
"""Seconds of one wait while messages come (chosen): `close` and `suspended` wait for no longer."""
IDLE_SLICE_S: Final = 0.5
"""Seconds of one wait otherwise (chosen): two wake-ups a second."""
BUSY_FOR_S: Final = 2.0
"""Seconds after a message, or the start, that count as busy (chosen)."""
AT_ONCE: Final = 256
"""Messages taken from the consumer's queue at once (chosen)."""
T = TypeVar("T")

WARM_S: Final = 2.0
"""Seconds at most for the first look at the cluster: a broker that is away is waited for later, where deadlines are."""


class Puller:
    """A consumer with partitions assigned by hand. ``arrived`` is called on its thread; messages may be errors."""

    def __init__(
        self,
        config: Config,
        values: Values,
        topic: str,
        arrived: Callable[[Sequence[Message]], None],
        *,
        may_pull: Callable[[], bool] = lambda: True,
    ) -> None:
        """Make the consumer and connect it, if a broker answers; nothing is read before `assign`.

        Args:
            config: For masking secrets.
            values: What the consumer is made with.
            topic: An existing topic to look at.
            arrived: Takes messages.
            may_pull: Asked before messages are taken; after it was False, `poke` has it asked again.
        """
        self.sight = Sight(config)
        self.consumer: Consumer = make_client(Consumer, values, self.sight)
        self._arrived = arrived
        self._may_pull = may_pull
        self._state = threading.Condition()
        self._tasks: deque[Callable[[], object]] = deque()
        self._has_ended = threading.Event()
        self._stopping = False
        self._busy_until = time.monotonic() + BUSY_FOR_S
        self._thread: threading.Thread | None = None
        self._ends: dict[tuple[str, int], tuple[int, int]] = {}
        warm(self.consumer, topic)

    @property
    def is_running(self) -> bool:
        """Whether anything was assigned yet."""
        return self._thread is not None

    @property
    def places(self) -> set[tuple[str, int]]:
        """Partitions that were assigned."""
        return set(self._ends)

    def assign(self, places: list[TopicPartition]) -> None:
        """Read these partitions, too, from the offsets given."""
        self.call(lambda: self.consumer.incremental_assign(places))
        self._ends |= {(place.topic, place.partition): (-1, -1) for place in places}
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="pypz-kafka-pull", daemon=True)
            self._thread.start()

    def call(self, task: Callable[[], T]) -> T:
        """Carry out ``task`` on the puller's thread, between two waits for messages, and give its result.

        All calls of one consumer wait for the one that waits for messages (measured with confluent-kafka 2.16.1), and a
        busy thread would never let another one in: hence nobody else calls the consumer once the thread runs. Not to be
        called with a lock held that ``arrived`` takes.
        """
        if self._thread is None or threading.current_thread() is self._thread:
            return task()
        future: Future[T] = Future()

        def carry_out() -> None:
            try:
                future.set_result(task())
            except BaseException as error:  # noqa: BLE001  # carried over to the caller's thread
                future.set_exception(error)

        self.tell(carry_out)
        if self._has_ended.is_set():
            self._carry_out_tasks()
        return future.result()

    def tell(self, task: Callable[[], object]) -> None:
        """Have ``task`` carried out on the puller's thread soon; does not wait."""
        if self._thread is None:
            task()
            return
        with self._state:
            self._tasks.append(task)
            self._state.notify_all()

    def suspended(self, do: Callable[[], None]) -> None:
        """Carry out ``do`` while no message is being taken."""
        self.call(do)

    def poke(self) -> None:
        """Ask again whether messages may be taken."""
        with self._state:
            self._state.notify_all()

    def stop(self) -> None:
        """Begin to end; `close` waits for it."""
        with self._state:
            self._stopping = True
            self._state.notify_all()
        if self._thread is None:
            self._close()

    def close(self, timeout_s: float = IDLE_SLICE_S * 4) -> None:
        """End the thread, which closes the consumer; past the time-out it does so by itself."""
        self.stop()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout_s)

    # --- the thread ---

    def _run(self) -> None:
        try:
            while True:
                with self._state:
                    self._state.wait_for(lambda: self._stopping or bool(self._tasks) or self._may_pull())
                    if self._stopping:
                        return
                self._carry_out_tasks()
                if not self._may_pull():
                    continue
                found = self._take()
                for place in list(self._ends):
                    self._ends[place] = self._look_at_end(*place)
                if found:
                    self._busy_until = time.monotonic() + BUSY_FOR_S
                    self._arrived(found)
        finally:
            self._stopping = True
            self._has_ended.set()
            self._carry_out_tasks()
            self._close()

    def _carry_out_tasks(self) -> None:
        while self._tasks:
            with contextlib.suppress(IndexError, KafkaException, RuntimeError):
                self._tasks.popleft()()

    def _take(self) -> Sequence[Message]:
        found = self.consumer.consume(AT_ONCE, 0)
        if found:
            return found
        is_busy = time.monotonic() < self._busy_until
        return self.consumer.consume(1, BUSY_SLICE_S if is_busy else IDLE_SLICE_S)

    def _close(self) -> None:
        try:
            self.consumer.close()
        except (KafkaException, RuntimeError) as error:
            log.debug("a consumer could not be closed: %s", error)

    # --- what a consumer is asked ---

    def committed(self, places: list[TopicPartition], timeout_s: float) -> list[TopicPartition]:
        """Ask the cluster for committed offsets and their metadata."""
        doing = f"committed positions of topic {places[0].topic!r} cannot be read"
        try:
            found: list[TopicPartition] = self.call(lambda: self.consumer.committed(places, timeout_s))
        except KafkaException as error:
            self.look_around()
            raise self.sight.translate(error, doing) from error
        for place in found:
            if place.error is not None:
                raise self.sight.translate_kafka(place.error, doing)
        return found

    def end_of(self, topic: str, partition: int) -> tuple[int, int]:
        """First offset and the one behind the last entry, as of the last answer; negative: not known yet.

        Never waits: the puller's thread looks after each wait for messages.
        """
        return self._ends.get((topic, partition), (-1, -1))

    def _look_at_end(self, topic: str, partition: int) -> tuple[int, int]:
        try:
            found = self.consumer.get_watermark_offsets(TopicPartition(topic, partition), cached=True)
        except (KafkaException, RuntimeError):
            return -1, -1
        return (-1, -1) if found is None else (int(found[0]), int(found[1]))

    def look_around(self) -> None:
        """Let the callbacks tell what was seen, if nobody else does."""
        if self._thread is None:
            try:
                self.consumer.consume(1, 0)
            except (KafkaException, RuntimeError) as error:
                log.debug("a look at a consumer's events failed: %s", error)


def warm(client: Any, topic: str) -> None:
    """Have a new client connect at once: without being asked for metadata it would wait 0.5 to 1 s (measured)."""
    try:
        client.list_topics(topic, timeout=WARM_S)
    except KafkaException as error:
        log.debug("no broker answers yet: %s", error)


def gone_in_time(timeout_s: float, what: str, sight: Sight) -> TransportTimeoutError:
    """Give the error of a deadline that has passed."""
    return TransportTimeoutError(sight.with_cause(f"waited {timeout_s:g} s for {what}"))
