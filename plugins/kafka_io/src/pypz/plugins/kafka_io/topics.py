"""Topics, through one AdminClient, and the groups that read them: every answer has its deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from concurrent.futures import wait as wait_for
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import (
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its own names are not marked as exported
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from pypz.core.commons.errors import ChannelMismatchError, TransportError, TransportTimeoutError
from pypz.plugins.kafka_io.committing import Group
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.faults import GONE, Sight, make_client

ROOM_BYTES: Final = 4 * 1024
"""Left free in a message for headers and framing (ours take some 400 bytes; the rest is for long names)."""
REQUEST_S: Final = 10.0
"""Seconds for one request of the administration (chosen)."""
LOOK_S: Final = 0.5
"""Seconds between two looks, while no answer comes, whether a broker has refused us (chosen)."""
LIST_S: Final = 1.0
"""Seconds of the first attempt to list all topics; each one more waits for twice as long (chosen)."""
RETRY_S: Final = 0.1
"""Seconds before a request is made again that the cluster could not answer yet (chosen)."""
PAUSES_S: Final = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2)
"""Between two looks at a topic that is on its way: Kafka tells nobody when it has come (chosen)."""

ELECTING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.REPLICA_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError._TRANSPORT,
    }
)
"""Answers about a partition that was just made or is moving, or none because the connection was lost; not all of them are
marked as passing (librdkafka 2.16)."""

T = TypeVar("T")


@dataclass(frozen=True)
class Topic:
    """A topic as the cluster describes it."""

    name: str
    incarnation: str
    partitions: int
    is_ready: bool
    """Every partition has a leader."""


class Topics:
    """The administration of one cluster; thread-safe."""

    def __init__(self, config: Config) -> None:
        self.sight = Sight(config)
        self._config = config
        self._client: AdminClient | None = None
        self._groups: dict[str, Group] = {}
        self._lock = threading.Lock()

    @property
    def _admin(self) -> AdminClient:
        with self._lock:
            if self._client is None:
                self._client = make_client(AdminClient, self._config.admin(), self.sight)
            return self._client

    def close(self) -> None:
        """Let go of the clients."""
        with self._lock:
            self._client = None
            groups, self._groups = list(self._groups.values()), {}
        for group in groups:
            group.close()

    def last_cause(self) -> str:
        """The last trouble that was seen; empty when there is none. Any thread; never waits."""
        client = self._client
        if client is not None:
            client.poll(0)  # lets the callbacks tell what was seen
        return self.sight.last_cause()

    # --- looking ---

    def describe(self, names: Iterable[str], timeout_s: float = REQUEST_S) -> dict[str, Topic | None]:
        """Describe topics; None for one that does not exist. Creates none.

        Raises:
            TransportTimeoutError: No answer within the time, however often a connection was lost that was asked by.
            TransportError: Nobody lets us in, or a right is missing.
        """
        wanted = list(names)
        deadline = time.monotonic() + timeout_s
        while True:
            left_s = max(0.01, deadline - time.monotonic())
            asked = self._admin.describe_topics(TopicCollection(wanted), request_timeout=left_s)
            try:
                return {name: self._topic(name, asked[name], left_s) for name in wanted}
            except TransportTimeoutError as error:
                lost = isinstance(error.__cause__, TransportError) and _code(error.__cause__) == KafkaError._TRANSPORT
                if not lost or time.monotonic() + RETRY_S > deadline:
                    raise
            self._admin.poll(RETRY_S)

    def _topic(self, name: str, future: Future[Any], timeout_s: float) -> Topic | None:
        try:
            found = self._result(
                future, timeout_s, f"topic {name!r} could not be described", f"Describe on topic {name!r}"
            )
        except TransportError as error:
            if _code(error) in GONE:
                return None
            if isinstance(error, TransportTimeoutError):  # whatever the topic is
                told = self.sight.with_cause("no broker answers")
                raise TransportTimeoutError(f"{told}; {self.sight.way_out()}") from error
            raise
        ready = all(partition.leader is not None and partition.leader.id >= 0 for partition in found.partitions)
        return Topic(name, str(found.topic_id), len(found.partitions), ready and bool(found.partitions))

    def ask_whether_gone(self, name: str, incarnation: str | None, tell: Callable[[str], None]) -> None:
        """Look whether that making of a topic is still there; ``tell`` is called later, with what happened to it, if not.

        A consumer is told nothing when its topic is deleted: it goes on asking for it (measured, librdkafka 2.16).
        """
        future = self._admin.describe_topics(TopicCollection([name]), request_timeout=REQUEST_S)[name]

        def look(answer: Future[Any]) -> None:
            error = answer.exception()
            if error is None:
                if incarnation is not None and str(answer.result().topic_id) != incarnation:
                    tell("was deleted and made anew")
            elif isinstance(error, KafkaException) and error.args[0].code() in GONE:
                tell("was deleted")

        future.add_done_callback(look)

    def names(self, timeout_s: float = REQUEST_S) -> list[str]:
        """Names of all topics that may be seen.

        librdkafka waits for that in one piece: it is asked again and again, for longer each time, so that who is not let
        in is told at once.
        """
        self.sight.refusal = ""
        deadline = time.monotonic() + timeout_s
        wait_s = LIST_S
        while True:
            ask_s = max(0.01, min(wait_s, deadline - time.monotonic()))
            try:
                return sorted(self._call(partial(self._listed, ask_s), "topics cannot be listed"))
            except TransportTimeoutError as error:
                if self.sight.refusal:
                    raise TransportError(f"{self.sight.refusal}; {self.sight.way_out()}") from error
                if time.monotonic() >= deadline:
                    told = self.sight.with_cause("no broker answers")
                    raise TransportTimeoutError(f"{told}; {self.sight.way_out()}") from error
                self._admin.poll(RETRY_S)
                wait_s *= 2

    def _listed(self, timeout_s: float) -> Iterable[str]:
        found: Iterable[str] = self._admin.list_topics(timeout=timeout_s).topics
        return found

    def ask_limit(self, name: str) -> Callable[[], int | None]:
        """Ask for the largest message of a topic; the answer is awaited by calling what is given. None: may not be read."""
        resource = ConfigResource(ResourceType.TOPIC, name)
        future = self._admin.describe_configs([resource], request_timeout=REQUEST_S)[resource]

        def limit() -> int | None:
            try:
                return int(future.result(REQUEST_S)["max.message.bytes"].value)
            except (KafkaException, KeyError, ValueError, TypeError, TimeoutError):
                return None

        return limit

    def offsets(
        self, partitions: Iterable[tuple[str, int]], which: str, timeout_s: float = REQUEST_S
    ) -> dict[tuple[str, int], int]:
        """First or last (``earliest``, ``latest``) offsets; the last is that of the entry to come."""
        make_spec: Any = OffsetSpec.earliest if which == "earliest" else OffsetSpec.latest
        spec = make_spec()
        asked = {TopicPartition(topic, number): spec for topic, number in partitions}
        deadline = time.monotonic() + timeout_s
        while True:
            futures = self._admin.list_offsets(asked, request_timeout=timeout_s)
            try:
                return {
                    (place.topic, place.partition): int(
                        self._result(
                            future,
                            timeout_s,
                            f"offsets of topic {place.topic!r} cannot be read",
                            f"Describe on topic {place.topic!r}",
                        ).offset
                    )
                    for place, future in futures.items()
                }
            except TransportError as error:  # a partition just made may have no leader yet
                if not _is_passing(error) or time.monotonic() > deadline:
                    raise
                self._admin.poll(RETRY_S)

    # --- groups ---

    def group(self, name: str) -> Group:
        """What a group has committed; who asks for the same group shares its client."""
        with self._lock:
            found = self._groups.get(name)
            if found is None:
                found = self._groups[name] = Group(self._config, name)
            return found

    # --- changing ---

    def create(self, name: str, partitions: int, settings: Mapping[str, str], timeout_s: float) -> Topic:
        """Make a topic, or raise the partitions of the one there is; returns when it can be used.

        Raises:
            ChannelMismatchError: The name collides with another topic's.
            ConfigurationError: A setting makes no sense to the broker.
            TransportTimeoutError: Tells the last thing seen.
        """
        wait = _Wait(timeout_s, self.sight)
        while True:
            found = self.describe([name], wait.whole())[name]
            if found is None:
                self._make(name, partitions, settings, wait)
            elif found.partitions < partitions:
                self._raise_partitions(name, partitions, wait)
            elif found.is_ready:
                return found
            wait.pause(f"topic {name!r} to become ready")

    def _make(self, name: str, partitions: int, settings: Mapping[str, str], wait: _Wait) -> None:
        topic = NewTopic(name, partitions, -1, config=dict(settings))
        doing = f"topic {name!r} could not be made"
        try:
            asked = self._admin.create_topics([topic], request_timeout=wait.left(), operation_timeout=wait.left())
            self._result(asked[name], wait.left(), doing, f"Create on topic {name!r}, or on the cluster")
        except TransportError as error:
            code = _code(error)
            if code in (KafkaError.TOPIC_ALREADY_EXISTS, KafkaError._TRANSPORT):
                return  # somebody was quicker, it is still being deleted, or the connection was lost: looked at again
            if code == KafkaError.TOPIC_EXCEPTION:
                self._refuse_collision(name, error)
            raise

    def _refuse_collision(self, name: str, error: Exception) -> None:
        """Kafka takes ``.`` and ``_`` for the same in names of topics."""
        alike = [n for n in self.names() if n != name and n.replace(".", "_") == name.replace(".", "_")]
        if alike:
            raise ChannelMismatchError(
                f"channel {name!r} and the existing topic {alike[0]!r} differ only in '.' and '_', which Kafka cannot "
                "tell apart; give one of the two operators or ports another name"
            ) from error
        raise ChannelMismatchError(str(error)) from error

    def _raise_partitions(self, name: str, partitions: int, wait: _Wait) -> None:
        doing = f"the partitions of topic {name!r} could not be raised to {partitions}"
        asked = self._admin.create_partitions([NewPartitions(name, partitions)], request_timeout=wait.left())
        try:
            self._result(asked[name], wait.left(), doing, f"Alter on topic {name!r}")
        except TransportError as error:
            if _code(error) not in (KafkaError.INVALID_PARTITIONS, KafkaError._TRANSPORT):
                raise  # else somebody has raised them in the meantime, or it is looked at again

    def delete(self, name: str, incarnation: str | None, timeout_s: float) -> None:
        """Delete that incarnation of a topic (None: whichever there is); returns when it is gone. Absent is done."""
        wait = _Wait(timeout_s, self.sight)
        found = self.describe([name], wait.whole())[name]
        if found is None or incarnation not in (None, found.incarnation):
            return
        is_lost = self._delete(name, wait)
        while True:
            now = self.describe([name], wait.whole())[name]
            if now is None or now.incarnation != found.incarnation:
                return
            wait.pause(f"topic {name!r} to be gone")
            is_lost = is_lost and self._delete(name, wait)

    def _delete(self, name: str, wait: _Wait) -> bool:
        """Ask for a deletion; whether the connection was lost, so that it may not have been heard."""
        asked = self._admin.delete_topics([name], request_timeout=wait.left(), operation_timeout=wait.left())
        try:
            self._result(asked[name], wait.left(), f"topic {name!r} could not be deleted", f"Delete on topic {name!r}")
        except TransportError as error:
            if _code(error) == KafkaError._TRANSPORT:
                return True
            if _code(error) not in GONE:
                raise
        return False

    # --- below ---

    def _result(self, future: Future[T], timeout_s: float, doing: str, needs: str) -> T:
        return self._call(lambda: self._awaited(future, timeout_s + 1), doing, needs)

    def _awaited(self, future: Future[T], timeout_s: float) -> T:
        """Wait for an answer, and no longer once a broker has refused to let us in.

        What librdkafka sees of its brokers is told by its `poll` only, so that a wait is cut.
        """
        self.sight.refusal = ""
        deadline = time.monotonic() + timeout_s
        while True:
            left = deadline - time.monotonic()
            if wait_for([future], min(LOOK_S, max(0.0, left))).done or left <= 0:
                return future.result(0)
            self._admin.poll(0)
            if self.sight.refusal:
                raise TransportError(f"{self.sight.refusal}; {self.sight.way_out()}")

    def _call(self, what: Callable[[], T], doing: str, needs: str = "") -> T:
        try:
            return what()
        except KafkaException as error:
            self._admin.poll(0)  # lets the callbacks tell what was seen
            raise self.sight.translate(error, doing, needs) from error
        except TimeoutError as error:
            self._admin.poll(0)
            raise TransportTimeoutError(self.sight.with_cause(f"{doing} in time")) from error


def _is_passing(error: TransportError) -> bool:
    """Whether the cluster's answer says that trying again may help."""
    cause = error.__cause__
    fault = cause.args[0] if isinstance(cause, KafkaException) and cause.args else None
    return isinstance(fault, KafkaError) and (bool(fault.retriable()) or fault.code() in ELECTING)


class _Wait:
    """A deadline, and growing pauses on the way to it."""

    def __init__(self, timeout_s: float, sight: Sight) -> None:
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        self._sight = sight
        self._pauses = 0

    def left(self) -> float:
        """Seconds left for one request, never less than 10 ms."""
        return min(max(0.01, self._deadline - time.monotonic()), 2 * REQUEST_S)

    def whole(self) -> float:
        """Seconds left for what asks again by itself, never less than 10 ms."""
        return max(0.01, self._deadline - time.monotonic())

    def pause(self, what: str) -> None:
        """Sleep a little; raise TransportTimeoutError when the time is over."""
        if time.monotonic() >= self._deadline:
            raise TransportTimeoutError(self._sight.with_cause(f"waited {self._timeout_s:g} s for {what}"))
        time.sleep(PAUSES_S[min(self._pauses, len(PAUSES_S) - 1)])
        self._pauses += 1


def _code(error: BaseException) -> int | None:
    """Kafka's code of what caused an error of ours."""
    cause = error.__cause__
    inner = cause.args[0] if isinstance(cause, KafkaException) and cause.args else None
    return inner.code() if isinstance(inner, KafkaError) else None
