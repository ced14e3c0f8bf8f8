"""What groups have committed: stored and read by a consumer a group, that joins nothing and reads no records.

The administration's client could do the same with fewer threads. But where a broker drops the connection while it asks a
coordinator it may abort the whole process (librdkafka issue 4605; seen with 2.16 and a broker killed), and it was seen to ask a
connection that is gone again and again. A consumer keeps looking for its coordinator.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from pypz.core.channels.spi import Committed
from pypz.core.commons.errors import RetriableError, TransportError, TransportTimeoutError
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.faults import AUTHENTICATION, Sight, log, make_client
from pypz.plugins.kafka_io.pulling import Place, warm

PASSING: Final = frozenset(
    {
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.NOT_COORDINATOR,
        KafkaError.NOT_ENOUGH_REPLICAS,
        KafkaError.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        KafkaError._WAIT_COORD,
        KafkaError._IN_PROGRESS,
        KafkaError._TRANSPORT,
    }
)
"""Answers of a cluster that comes back: librdkafka does not mark those to a commit as retriable (measured, 2.16)."""
RETRY_S: Final = 0.1
"""Seconds before committed positions are asked for again (chosen)."""


class Group:
    """The committed positions of one group; thread-safe, one request at a time."""

    def __init__(self, config: Config, name: str) -> None:
        self._config = config
        self._name = name
        self._sight = Sight(config)
        self._needs = f"Read on group {name!r}, and on the topic"
        self._lock = threading.Lock()
        self._consumer: Consumer | None = None
        self._is_closed = False

    def committed(self, places: Sequence[Place], timeout_s: float) -> dict[Place, Committed]:
        """Give what stands; partitions without anything are left out.

        Raises:
            TransportTimeoutError: No answer; tells the last cause.
            TransportError: It cannot be read.
        """
        doing = f"committed positions of {_names(places)} cannot be read"
        asked = [TopicPartition(topic, number) for topic, number in places]
        deadline = time.monotonic() + timeout_s
        while True:
            try:
                left_s = max(0.01, deadline - time.monotonic())
                answer = self._ask(lambda consumer, left_s: consumer.committed(asked, left_s), places, left_s, doing)
                self._refuse(answer, doing)
                break
            except TransportError as error:
                if not _is_passing(error) or time.monotonic() + RETRY_S > deadline:
                    raise
                time.sleep(RETRY_S)
        return {
            (place.topic, place.partition): Committed(str(place.offset), place.metadata or "")
            for place in answer
            if place.offset >= 0
        }

    def commit(self, positions: Mapping[Place, Committed], timeout_s: float) -> None:
        """Store positions and notes; each partition's together. No answer is waited for longer than the client's own 10 s.

        A login that is refused in the midst of a run counts as nobody: it may be let in again, as a token that is renewed is.

        Raises:
            RetriableError: Nobody answers, or not now; the same may be committed again.
            TransportError: It cannot be committed.
        """
        doing = f"positions of {_names(positions)} could not be committed"
        places = [_entry(place, committed) for place, committed in positions.items()]

        def store(consumer: Consumer, _left_s: float) -> list[TopicPartition]:
            return consumer.commit(offsets=places, asynchronous=False)

        try:
            self._refuse(self._ask(store, list(positions), timeout_s, doing), doing)
        except TransportError as error:
            if outdated := self._sight.outdated():
                raise TransportError(outdated) from error
            if isinstance(error, TransportTimeoutError) or _is_passing(error) or _code(error) in AUTHENTICATION:
                raise RetriableError(self._sight.with_cause(str(error))) from error
            raise

    def close(self) -> None:
        """Let go of the client; one that is asking is let go of by who asks."""
        self._is_closed = True
        if self._lock.acquire(blocking=False):
            try:
                self._let_go()
            finally:
                self._lock.release()

    # --- below ---

    def _ask(
        self,
        what: Callable[[Consumer, float], list[TopicPartition]],
        places: Sequence[Place],
        timeout_s: float,
        doing: str,
    ) -> list[TopicPartition]:
        deadline = time.monotonic() + timeout_s
        if not self._lock.acquire(timeout=timeout_s):
            raise TransportTimeoutError(self._sight.with_cause(f"{doing} in time"))
        try:
            consumer = self._connected(places[0][0])
            consumer.poll(
                0
            )  # gives nothing; what the client has seen is told, and a token about to expire is renewed by it
            return what(consumer, max(0.01, deadline - time.monotonic()))
        except KafkaException as error:
            raise self._sight.translate(error, doing, self._needs) from error
        finally:
            if self._is_closed:
                self._let_go()
            self._lock.release()

    def _connected(self, topic: str) -> Consumer:
        if self._is_closed:
            raise TransportError(f"group {self._name!r}: the transport was closed")
        if self._consumer is None:
            self._consumer = make_client(Consumer, self._config.reader(self._name), self._sight)
            warm(self._consumer, topic)
        return self._consumer

    def _let_go(self) -> None:
        consumer, self._consumer = self._consumer, None
        try:
            if consumer is not None:
                consumer.close()
        except (KafkaException, RuntimeError) as error:
            log.debug("a consumer could not be closed: %s", error)

    def _refuse(self, answer: Sequence[TopicPartition], doing: str) -> None:
        for place in answer:
            if place.error is not None:
                raise self._sight.translate_kafka(place.error, doing, self._needs) from KafkaException(place.error)


def _names(places: Sequence[Place] | Mapping[Place, Committed]) -> str:
    return f"channel {', '.join(sorted({repr(topic) for topic, _ in places}))}"


def _is_passing(error: TransportError) -> bool:
    """Whether the cluster's answer says that trying again may help."""
    cause = error.__cause__
    return isinstance(cause, KafkaException) and (cause.args[0].retriable() or cause.args[0].code() in PASSING)


def _code(error: TransportError) -> int | None:
    cause = error.__cause__
    return int(cause.args[0].code()) if isinstance(cause, KafkaException) else None


def _entry(place: Place, committed: Committed) -> TopicPartition:
    if not committed.note:
        return TopicPartition(*place, int(committed.position))
    return TopicPartition(*place, int(committed.position), metadata=committed.note)
