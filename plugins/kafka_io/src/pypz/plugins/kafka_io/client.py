"""What one member reads and writes by: at most one producer, and one consumer for each group, made when asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from pypz.core.channels.spi import (
    AssignmentListener,
    Block,
    BlockReader,
    BlockWriter,
    ChannelInfo,
    Committed,
    MemberNote,
    Received,
    Unit,
)
from pypz.core.commons.errors import (
    BlockTooLargeError,
    ChannelGoneError,
    NotBuiltYetError,
    TransportError,
    TransportTimeoutError,
    WokenError,
)
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.faults import GONE, Sight, make_client
from pypz.plugins.kafka_io.notes import MemberNotes
from pypz.plugins.kafka_io.pulling import Place, Puller, warm
from pypz.plugins.kafka_io.reading import Inbox, KafkaReader
from pypz.plugins.kafka_io.topics import Topics

POLL_EVERY_S: Final = 0.001
"""Seconds between two looks of a busy writer at what became of earlier blocks (chosen)."""
FULL_SLICE_S: Final = 0.05
"""Seconds of one wait for room in the producer's queue: a wake-up is seen after these at the latest."""
FLUSH_SLICE_S: Final = 0.01
"""Seconds of one wait for acknowledgements (chosen): another thread that polls may take those that would end it."""
PURGED: Final = frozenset({KafkaError._PURGE_QUEUE, KafkaError._PURGE_INFLIGHT})
"""What is told of blocks given up by `close`."""
FALLBACK_MAX_BLOCK: Final = 1_000_000
"""Bytes of the largest block where the topic's limit may not be read (design 4)."""


class KafkaClient:
    """All ends of one member at one cluster."""

    def __init__(self, config: Config, topics: Topics, notes: MemberNotes) -> None:
        self._config = config
        self._notes = notes
        self._topics = topics
        self._inbox = Inbox()
        self._pullers: dict[str, Puller] = {}
        self._readers: list[KafkaReader] = []
        self._outputs: dict[int, _Output] = {}
        self._wakes = 0
        self.is_closed = False

    # --- opening ---

    def settle(self, timeout_s: float) -> MemberNote | None:
        """Give the member's note; without transactions an older start leaves nothing open.

        Raises:
            TransportTimeoutError: No answer; tells the last cause.
        """
        return self._notes.read(timeout_s)

    def writer(self, channel: ChannelInfo) -> BlockWriter:
        """Open a writer; the first one connects the producer."""
        limit = FALLBACK_MAX_BLOCK if channel.max_block is None else channel.max_block
        batch_bytes = min(int(self._config.writer()["batch.size"]), limit)
        output = self._outputs.get(batch_bytes)
        if output is None:
            output = self._outputs[batch_bytes] = _Output(self._config, batch_bytes, channel.name)
        else:
            warm(output._living(), channel.name)  # it may know of fewer partitions than there are by now
        return KafkaWriter(self, output, channel, limit)

    def reader(
        self,
        channel: ChannelInfo,
        group: str,
        partitions: Sequence[int] | None,
        on_change: AssignmentListener | None = None,
    ) -> BlockReader:
        """Open a reader of these partitions; the first one of a group connects its consumer.

        Raises:
            NotBuiltYetError: Partitions assigned by the cluster were asked for.
        """
        if partitions is None:
            raise NotBuiltYetError(
                f"channel {channel.name!r}: assignment by Kafka's groups is not carried out yet; "
                "use the static one (assignment=index)"
            )
        puller = self._pullers.get(group)
        if puller is None:
            puller = self._pullers[group] = Puller(
                self._config,
                self._config.reader(group),
                channel.name,
                lambda messages: self._inbox.take_in(self._pullers[group].sight, messages),
                self._inbox.fail,
                may_pull=self._inbox.may_pull,
                silent=self._look_for_channels,
            )
        reader = KafkaReader(channel, group, partitions, puller, self._inbox, self._topics)
        self._readers.append(reader)
        return reader

    # --- reading ---

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks of any reader: the first at once, not at the time-out; [] then and when woken.

        Raises:
            ChannelGoneError: A channel was deleted.
            PositionGoneError: The log does not hold where to read from.
            TransportError: Reading is impossible for good.
        """
        self._raise_outdated()
        for reader in self._readers:
            reader.start_pending()
        return self._inbox.read(max_blocks, timeout_s)

    def _look_for_channels(self) -> None:
        """On a puller's thread, after a while of silence."""
        for channel in {reader.channel.name: reader.channel for reader in list(self._readers)}.values():
            self._topics.ask_whether_gone(channel.name, channel.incarnation, partial(self._is_gone, channel.name))

    def _is_gone(self, name: str, what: str) -> None:
        self._inbox.fail(ChannelGoneError(f"channel {name!r} cannot be read any more: it {what}"))

    def commit(self, unit: Unit, timeout_s: float) -> None:
        """Store positions and notes; each partition's are stored together, and the last commit stands.

        The member's note comes first: a crash in between repeats what it knows of already, and never passes over anything.

        Raises:
            RetriableError: No coordinator answers; the same unit may be committed again.
            TransportError: It cannot be committed.
        """
        by_group: dict[str, dict[Place, Committed]] = {}
        for place, committed in unit.positions.items():
            by_group.setdefault(self._group_of(place), {})[place] = committed
        deadline = time.monotonic() + timeout_s
        if unit.member_note is not None:
            self._notes.write(unit.member_note, timeout_s)
        for group, positions in by_group.items():
            self._topics.group(group).commit(positions, max(0.01, deadline - time.monotonic()))

    def _group_of(self, place: Place) -> str:
        for reader in self._readers:
            if reader.channel.name == place[0] and place[1] in reader.partitions:
                return reader.group
        raise TransportError(
            f"channel {place[0]!r}, partition {place[1]} cannot be committed: this client does not read it"
        )

    # --- writing ---

    def flush(self, timeout_s: float) -> None:
        """Return when all replicas have everything written.

        Raises:
            TransportTimeoutError: Not within the time; tells the last cause.
            TransportError: The first failure.
        """
        self._raise_outdated()
        deadline = time.monotonic() + timeout_s
        for output in list(self._outputs.values()):
            output.flush(max(0.0, deadline - time.monotonic()), timeout_s)

    def abort(self) -> None:
        """Does nothing: without transactions blocks are visible once written."""

    def wake(self) -> None:
        """End a waiting `read` or `write`, from any thread; one that comes early ends the next wait."""
        self._wakes += 1
        self._inbox.wake()

    def last_cause(self) -> str:
        """What producers and consumers last saw of their brokers; empty when nothing was wrong lately."""
        return next((cause for sight in self._sights() if (cause := sight.advice())), "")

    def _sights(self) -> list[Sight]:
        outputs, pullers = list(self._outputs.values()), list(self._pullers.values())
        return [*(output.sight for output in outputs), *(puller.sight for puller in pullers)]

    def _raise_outdated(self) -> None:
        """Fail where waiting is in vain: what lets this member in again is read by a new start of it only."""
        for sight in self._sights():
            if outdated := sight.outdated():
                raise TransportError(outdated)

    @property
    def wakes(self) -> int:
        """How often this client was woken."""
        return self._wakes

    def stop(self) -> None:
        """Begin to close: of many clients, all first begin."""
        self.is_closed = True
        self._inbox.wake()
        for puller in self._pullers.values():
            puller.stop()

    def close(self, timeout_s: float) -> None:
        """Let go of everything: no commit, no flush; idempotent."""
        self.stop()
        deadline = time.monotonic() + timeout_s
        for output in self._outputs.values():
            output.close()
        for puller in self._pullers.values():
            puller.close(max(0.0, deadline - time.monotonic()))


class _Output:
    """A producer, and the first thing that went wrong with what it was given."""

    def __init__(self, config: Config, batch_bytes: int, topic: str) -> None:
        self.sight = Sight(config)
        self.failure: Exception | None = None
        self._lock = threading.Lock()
        self._written: dict[Place, int] = {}
        self._answered: dict[Place, int] = {}
        """Blocks handed to the producer, and those of them whose fate is known: a partition's are answered in order."""
        self.producer: Producer | None = make_client(
            Producer, config.writer(batch_bytes), self.sight, on_delivery=self._delivered
        )
        warm(self.producer, topic)

    def _delivered(self, error: KafkaError | None, message: Message) -> None:
        """Called for each block once its fate is known, by whoever polls."""
        topic, partition = message.topic(), message.partition()
        assert topic is not None
        assert partition is not None
        with self._lock:
            self._answered[topic, partition] = self._answered.get((topic, partition), 0) + 1
            is_failure = error is not None and error.code() not in PURGED
            if error is not None and is_failure and self.failure is None:
                doing = f"channel {topic!r}, partition {partition}: a block could not be written"
                self.failure = self.sight.translate_kafka(error, doing, f"Write on topic {topic!r}")

    def raise_failure(self) -> None:
        if self.failure is not None:
            raise self.failure

    def written(self, place: Place) -> None:
        """Note that the producer has taken one more block."""
        with self._lock:
            self._written[place] = self._written.get(place, 0) + 1

    def flush(self, left_s: float, timeout_s: float) -> None:
        """Wait for what was written before, whatever goes on being written: `Producer.flush` would wait for that, too."""
        producer = self._living()
        deadline = time.monotonic() + left_s
        with self._lock:
            goal = dict(self._written)
        producer.poll(0)
        while left := self._unanswered(goal):
            self.raise_failure()
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise TransportTimeoutError(
                    self.sight.with_cause(f"waited {timeout_s:g} s for {left} blocks to be acknowledged")
                )
            producer.poll(min(left_s, FLUSH_SLICE_S))
        self.raise_failure()

    def _unanswered(self, goal: Mapping[Place, int]) -> int:
        with self._lock:
            return sum(max(0, count - self._answered.get(place, 0)) for place, count in goal.items())

    def _living(self) -> Producer:
        producer = self.producer
        if producer is None:
            raise TransportError("the client was closed")
        return producer

    def close(self) -> None:
        producer, self.producer = self.producer, None
        if producer is not None:
            producer.purge(blocking=False)


class KafkaWriter:
    """One writer of one channel."""

    def __init__(self, client: KafkaClient, output: _Output, channel: ChannelInfo, limit: int) -> None:
        self._client = client
        self._output = output
        self._channel = channel
        self._limit = limit
        self._seen_wakes = client.wakes
        self._polled_at = 0.0

    def partition_count(self) -> int:
        """Partitions known when the channel was described."""
        return self._channel.partitions

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        """Hand a block to the producer; ordered per partition.

        Raises:
            BlockTooLargeError: It is above the channel's limit; nothing was sent.
            ChannelGoneError: The channel was deleted.
            TransportError: An earlier block could not be written.
            WokenError: The client was woken while this waited for room.
        """
        output = self._output
        producer = output._living()
        now = time.monotonic()
        if now >= self._polled_at + POLL_EVERY_S:  # each lets go of Python's lock, and others take it
            producer.poll(0)
            self._polled_at = now
        output.raise_failure()
        size = len(block.payload)
        if size > self._limit:
            raise BlockTooLargeError(
                f"channel {self._channel.name!r}: a block of {size} bytes, at most {self._limit} fit; send fewer or smaller "
                "records, or raise the topic's max.message.bytes (topicConfig) and the broker's message.max.bytes"
            )
        headers: list[Any] = list(block.headers.items())
        while True:
            try:
                producer.produce(self._channel.name, block.payload, None, partition, headers=headers)
            except BufferError:
                if not wait:
                    return False
            except KafkaException as error:
                raise self._refused(error, partition) from error
            else:
                output.written((self._channel.name, partition))
                return True
            if self._client.wakes != self._seen_wakes:
                self._seen_wakes = self._client.wakes
                raise WokenError(f"channel {self._channel.name!r}: woken while the producer's queue was full")
            producer.poll(FULL_SLICE_S)
            output.raise_failure()

    def _refused(self, error: KafkaException, partition: int) -> Exception:
        doing = f"channel {self._channel.name!r}, partition {partition}: a block could not be written"
        found = self._output.sight.translate(error, doing, f"Write on topic {self._channel.name!r}")
        if error.args[0].code() in GONE:
            return ChannelGoneError(str(found))
        return found
