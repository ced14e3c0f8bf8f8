"""A pipeline's status stream as two topics: ``<pipeline>.facts``, compacted, and ``<pipeline>.beats``, kept 10 minutes.

Each has one partition, so that there is one order. Epochs are offsets of the facts topic. Log lines have a third one (`logs`).
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pypz.core.channels.spi import Member, StatusEntry
from pypz.core.commons.errors import ChannelGoneError, ConfigurationError, PypzError, TransportError
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.facts import PROPOSAL, Facts, proposal_key
from pypz.plugins.kafka_io.faults import FORBIDDEN, GONE, Sight, log, make_client
from pypz.plugins.kafka_io.kept import last_beats
from pypz.plugins.kafka_io.logs import LAST_S, LOGS, LOGS_AHEAD, LogTopic
from pypz.plugins.kafka_io.pulling import Puller, gone_in_time, warm
from pypz.plugins.kafka_io.topics import Topics

FACTS: Final = ".facts"
BEATS: Final = ".beats"

FACTS_SETTINGS: Final = {"cleanup.policy": "compact", "segment.ms": "3600000", "segment.bytes": str(16 * 1024 * 1024)}
"""Segments are closed often enough for compaction to reach them (chosen)."""
BEATS_SETTINGS: Final = {"cleanup.policy": "delete", "retention.ms": "600000", "segment.ms": "600000"}
"""Kept 10 minutes (semantics: status)."""

OPEN_S: Final = 30.0
"""Seconds for making the topics, as long as no broker answers (chosen)."""
WRITE_S: Final = 30.0
"""Seconds for a fact to be acknowledged, or read back (chosen)."""
LOOK_S: Final = 1.0
"""Seconds between two looks of a viewer whether the stream exists (semantics: found within 2 s)."""
BEATS_AHEAD: Final = 1000
"""Beats given to the producer and not yet written; more are dropped (chosen)."""

T = TypeVar("T")


class KafkaStatusStream:
    """Facts and beats of one pipeline."""

    def __init__(self, config: Config, topics: Topics, pipeline: str, *, create: bool) -> None:
        """Open the stream.

        Args:
            config: What clients are made with.
            topics: The cluster's administration.
            pipeline: Name of the pipeline, with namespace.
            create: Make the topics if they are absent; else wait for them in `changes`.
        """
        self._config = config
        self._topics = topics
        self._names = (pipeline + FACTS, pipeline + BEATS)
        self._group = f"{pipeline}.status"  # a name is asked for; no group of it ever exists
        self._creates = create
        self._state = threading.Condition()
        self._facts = Facts()
        self._facts_behind = 0
        self._own_behind = 0
        """Offset behind the last fact that was put here."""
        self._pending: list[StatusEntry] = []
        self._failure: Exception | None = None
        self._is_lost = False
        self._woken = False
        self._incarnation: str | None = None
        self._puller: Puller | None = None
        self._looked_at = float("-inf")
        self._writer: _Writer | None = None
        self._writer_lock = threading.Lock()
        self._log_topic = LogTopic(topics, pipeline + LOGS, self._send_line)
        self._pipeline = pipeline
        self.is_closed = False
        if create:
            self._open()
        else:
            self._look()

    # --- opening ---

    def _open(self) -> None:
        """Make the topics; the clients connect in the meantime."""
        puller: list[Puller] = []
        try:
            side_by_side(self._make_topics, self._write, lambda: puller.append(self._make_puller()))
        except BaseException:
            self._puller = puller[0] if puller else None
            self.close()
            raise
        self._start(puller[0])

    def _make_topics(self) -> None:
        found = self._topics.describe(self._names, OPEN_S)
        made: list[Callable[[], Any]] = []
        for name, settings in zip(self._names, (FACTS_SETTINGS, BEATS_SETTINGS), strict=True):
            topic = found[name]
            if topic is None or not topic.is_ready:
                made.append(partial(self._topics.create, name, 1, settings, OPEN_S))
            elif name == self._names[0]:
                self._incarnation = topic.incarnation
        side_by_side(*made)
        if self._incarnation is None:
            topic = self._topics.describe(self._names[:1], OPEN_S)[self._names[0]]
            self._incarnation = None if topic is None else topic.incarnation

    def _make_puller(self) -> Puller:
        return Puller(
            self._config,
            self._config.status_reader(self._group),
            self._names[0],
            self._arrived,
            self._fail,
            silent=self._look_whether_gone,
        )

    def _start(self, puller: Puller) -> None:
        facts, beats = self._names
        end = self._topics.offsets([(beats, 0)], "latest")[beats, 0]
        self._puller = puller
        puller.assign({(facts, 0): 0, (beats, 0): end})

    def _look(self) -> None:
        """Viewers: attach to the stream once it is there, also when it was made anew."""
        self._looked_at = time.monotonic()
        found = self._topics.describe(self._names)
        facts, beats = found[self._names[0]], found[self._names[1]]
        is_there = facts is not None and beats is not None and facts.is_ready and beats.is_ready
        incarnation = facts.incarnation if facts is not None and is_there else None
        if incarnation == self._incarnation and not self._is_lost:
            return
        self._detach()
        if incarnation is not None:
            self._start(self._make_puller())
            self._incarnation = incarnation

    def _detach(self) -> None:
        puller, self._puller = self._puller, None
        if puller is not None:
            puller.close()
        with self._state:
            gone = [StatusEntry("fact", key, None, entry.position) for key, entry in self._facts.standing.items()]
            self._pending += gone
            self._facts = Facts()
            self._facts_behind = 0
            self._incarnation = None
            self._is_lost = False

    # --- the puller's thread ---

    def _arrived(self, messages: Sequence[Message]) -> bool:
        with self._state:
            before = self._facts_behind
            for message in messages:
                if message.error() is None:
                    self._take(message)
                else:
                    self._take_error(message)
            self._state.notify_all()
            return self._facts_behind > before

    def _look_whether_gone(self) -> None:
        """A member's stream, after a while without entries. Viewers look all the time."""
        if self._creates:
            text = f"the status stream {self._names[0]!r} cannot be read any more: it "
            self._topics.ask_whether_gone(
                self._names[0], self._incarnation, lambda what: self._fail(ChannelGoneError(text + what))
            )

    def _fail(self, error: Exception) -> None:
        with self._state:
            self._failure = self._failure or error
            self._state.notify_all()

    def _take(self, message: Message) -> None:
        key = (_bytes(message.key()) or b"").decode("utf-8", "replace")
        offset, value = message.offset(), _bytes(message.value())
        assert offset is not None
        if message.topic() == self._names[1]:
            self._pending.append(StatusEntry("beat", key, value, offset))
            return
        is_proposal = any(header[0] == PROPOSAL for header in message.headers() or ())
        changed = self._facts.apply(key, value, offset, is_proposal=is_proposal)
        self._facts_behind = offset + 1
        if changed is not None:
            self._pending.append(changed)

    def _take_error(self, message: Message) -> None:
        error = message.error()
        assert error is not None
        code = error.code()
        if code == KafkaError._PARTITION_EOF:
            if message.topic() == self._names[0]:
                self._facts_behind = max(self._facts_behind, message.offset() or 0)
            return
        if code in GONE or code == KafkaError._AUTO_OFFSET_RESET:
            self._is_lost = True
            if self._creates:
                self._failure = ChannelGoneError(
                    f"the status stream {self._names[0]!r} was deleted while it was in use: {error.str()}"
                )
        elif code in FORBIDDEN or error.fatal():
            self._failure = Sight(self._config).translate(
                KafkaException(error),
                f"the status stream {self._names[0]!r} cannot be read",
                f"Read on topic {message.topic()!r}",
            )

    # --- reading ---

    def facts(self) -> Mapping[str, StatusEntry]:
        """All facts by key, complete up to the moment of the call.

        Raises:
            TransportTimeoutError: No answer; tells the last cause.
        """
        if not self._creates:
            self._look()
        if self._puller is not None:
            facts = self._names[0]
            self._await_facts(self._topics.offsets([(facts, 0)], "latest")[facts, 0])
        with self._state:
            self._pending = [entry for entry in self._pending if entry.kind == "beat"]
            return dict(self._facts.standing)

    def kept_beats(self) -> list[StatusEntry]:
        """The last beat of each key, as far as the end of the topic holds it."""
        if self._puller is None:
            return []
        return last_beats(self._config, self._topics, self._names[1], self._group, lambda: self.is_closed)

    def _await_facts(self, behind: int) -> None:
        """Wait until all facts before an offset are known."""
        deadline = time.monotonic() + WRITE_S
        with self._state:
            while self._facts_behind < behind and not self._is_lost:
                self._raise_failure()
                left = deadline - time.monotonic()
                if left <= 0:
                    sight = self._puller.sight if self._puller else self._topics.sight
                    raise gone_in_time(WRITE_S, f"the entries of {self._names[0]!r}", sight)
                self._state.wait(left)
            self._raise_failure()

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        """Entries not yet given out, in order; waits for the first. [] at the time-out and when woken."""
        deadline = time.monotonic() + timeout_s
        while True:
            if not self._creates and time.monotonic() - self._looked_at >= LOOK_S:
                try:
                    self._look()
                except PypzError as error:  # viewers wait for a broker that is away
                    log.debug("status stream %r: %s", self._names[0], error)
            with self._state:
                if self._pending:
                    found, self._pending = self._pending, []
                    return found
                if self._woken:
                    self._woken = False
                    return []
                self._raise_failure()
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self._state.wait(left if self._creates else min(left, LOOK_S))

    def wake(self) -> None:
        """End a waiting `changes`, or the next one; from any thread."""
        with self._state:
            self._woken = True
            self._state.notify_all()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    # --- writing ---

    def join(self, member: Member, value: bytes) -> int:
        """Write ``joined/<member.key>``; its offset is the epoch."""
        return self._write().put(self._names[0], f"joined/{member.key}", value)

    def put(self, key: str, value: bytes | None) -> None:
        """Write a fact; durable on return. None removes it.

        Raises:
            TransportTimeoutError: Not acknowledged in time; tells the last cause.
        """
        position = self._write().put(self._names[0], key, value)
        with self._state:
            self._own_behind = max(self._own_behind, position + 1)
        if value is None and self._puller is not None:
            self._await_facts(position + 1)
            with self._state:
                proposals = self._facts.proposals(key)
            for one in proposals:
                self._write().put(self._names[0], one, None, is_proposal=True)

    def put_first(self, key: str, value: bytes) -> bytes:
        """Propose a fact; give the value that stands: the proposal that came first in stream order.

        Raises:
            TransportTimeoutError: Not acknowledged or not read back in time; tells the last cause.
        """
        if self._puller is None:
            raise TransportError(f"the status stream {self._names[0]!r} does not exist; a viewer does not make it")
        self._await_facts(self._own_behind)
        with self._state:
            standing = self._facts.standing.get(key)
        if standing is not None and standing.value is not None:
            return standing.value
        mine = proposal_key(key)
        self._await_facts(self._write().put(self._names[0], mine, value, is_proposal=True) + 1)
        with self._state:
            standing = self._facts.standing.get(key)
        if standing is None or standing.value is None:  # removed again, in between
            return value
        if standing.value != value:
            self._write().put_later(self._names[0], mine, None, is_proposal=True)
        return standing.value

    def beat(self, key: str, value: bytes) -> None:
        """Write a figure; dropped when it cannot be taken at once."""
        with contextlib.suppress(PypzError):
            self._write().beat(self._names[1], key, value)

    def log(self, value: bytes) -> None:
        """Write a log line; dropped when it cannot be taken at once."""
        if not self.is_closed:
            self._log_topic.write(value)

    def _send_line(self, value: bytes) -> None:
        with contextlib.suppress(PypzError):
            self._write().line(self._pipeline + LOGS, value)

    def _write(self) -> _Writer:
        with self._writer_lock:
            if self.is_closed:
                raise TransportError(f"the status stream {self._names[0]!r} was closed")
            if self._writer is None:
                self._writer = _Writer(self._config, self._names[0])
            return self._writer

    def stop(self) -> None:
        """Begin to close."""
        if not self.is_closed:
            self._log_topic.settle()
        self.is_closed = True
        self.wake()
        if self._puller is not None:
            self._puller.stop()

    def close(self, timeout_s: float = 5.0) -> None:
        """Let go of everything; idempotent."""
        self.stop()
        with self._writer_lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        if self._puller is not None:
            self._puller.close(timeout_s)


class _Ticket:
    """One message on its way."""

    def __init__(self) -> None:
        self.is_done = False
        self.error: KafkaError | None = None
        self.offset = -1


class _Writer:
    """The producer of a status stream, shared by all threads that write: one of those that wait asks for answers."""

    def __init__(self, config: Config, topic: str) -> None:
        self.sight = Sight(config)
        self._producer: Producer = make_client(Producer, config.status_writer(), self.sight)
        self._answered = threading.Condition()
        self._is_asking = False
        self._ahead = {BEATS: 0, LOGS: 0}
        warm(self._producer, topic)

    def put(self, topic: str, key: str, value: bytes | None, *, is_proposal: bool = False) -> int:
        """Write; give the offset once all replicas have it."""
        ticket = _Ticket()

        def delivered(error: KafkaError | None, message: Message) -> None:
            with self._answered:
                ticket.error, ticket.offset, ticket.is_done = error, message.offset() or 0, True
                self._answered.notify_all()

        doing = f"fact {key!r} could not be written"
        self._produce(topic, key, value, is_proposal, delivered, doing)
        deadline = time.monotonic() + WRITE_S + 1  # the client's own time-out comes first, and knows more
        while not ticket.is_done:
            left = deadline - time.monotonic()
            if left <= 0:
                raise gone_in_time(WRITE_S, f"fact {key!r} to be acknowledged", self.sight)
            self._ask(ticket, left)
        if ticket.error is not None:
            raise self.sight.translate_kafka(ticket.error, doing, f"Write on topic {topic!r}")
        return ticket.offset

    def _ask(self, ticket: _Ticket, left_s: float) -> None:
        with self._answered:
            if ticket.is_done:
                return
            if self._is_asking:
                self._answered.wait(left_s)
                return
            self._is_asking = True
        try:
            self._producer.poll(min(left_s, 1.0))
        finally:
            with self._answered:
                self._is_asking = False
                self._answered.notify_all()

    def put_later(self, topic: str, key: str, value: bytes | None, *, is_proposal: bool = False) -> None:
        """Write without waiting."""
        with contextlib.suppress(PypzError):
            self._produce(topic, key, value, is_proposal, lambda error, message: None, "")

    def beat(self, topic: str, key: str, value: bytes) -> None:
        """Write without waiting, unless too many are on their way."""
        self._soon(BEATS, BEATS_AHEAD, topic, key, value)

    def line(self, topic: str, value: bytes) -> None:
        """Write a log line without waiting, unless too many are on their way."""
        self._soon(LOGS, LOGS_AHEAD, topic, None, value)

    def _soon(self, kind: str, most: int, topic: str, key: str | None, value: bytes) -> None:
        self._producer.poll(0)
        if self._ahead[kind] >= most:
            return

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._ahead[kind] -= 1

        self._ahead[kind] += 1
        try:
            self._produce(topic, key, value, False, delivered, "")
        except PypzError:
            self._ahead[kind] -= 1

    def _produce(
        self,
        topic: str,
        key: str | None,
        value: bytes | None,
        is_proposal: bool,
        delivered: Callable[[KafkaError | None, Message], None],
        doing: str,
    ) -> None:
        headers: Any = [(PROPOSAL, b"1")] if is_proposal else None
        try:
            self._producer.produce(topic, value, key and key.encode(), 0, on_delivery=delivered, headers=headers)
        except BufferError as error:
            raise TransportError(self.sight.with_cause(f"{doing}: too much waits to be written")) from error
        except KafkaException as error:
            raise self.sight.translate(error, doing) from error

    def close(self) -> None:
        """Let go of the producer. Facts are written by then; beats may be lost, log lines have a moment."""
        with contextlib.suppress(KafkaException):
            self._producer.flush(LAST_S if self._ahead[LOGS] else 0.1)
            self._producer.purge(blocking=False)


def side_by_side(*tasks: Callable[[], Any]) -> None:
    """Carry out tasks at the same time; raise the first one's error that failed, a wrong setting's before others."""
    errors: list[BaseException] = []

    def run(task: Callable[[], Any]) -> None:
        try:
            task()
        except BaseException as error:  # noqa: BLE001  # raised again below, in the caller's thread
            errors.append(error)

    threads = [threading.Thread(target=run, args=(task,), name="pypz-kafka-open") for task in tasks[1:]]
    for thread in threads:
        thread.start()
    if tasks:
        run(tasks[0])
    for thread in threads:
        thread.join()
    if errors:
        raise next((error for error in errors if isinstance(error, ConfigurationError)), errors[0])


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
