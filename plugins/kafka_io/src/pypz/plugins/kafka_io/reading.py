"""Blocks on their way from the pullers to `read`, and the readers of single channels."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, TopicPartition

from pypz.core.channels.spi import Block, ChannelInfo, Committed, Position, Received
from pypz.core.commons.errors import ConfigurationError, PositionGoneError
from pypz.plugins.kafka_io.faults import FORBIDDEN, GONE, Sight
from pypz.plugins.kafka_io.pulling import Place, Puller
from pypz.plugins.kafka_io.topics import Topics

INBOX_BYTES: Final = 8 * 1024 * 1024
"""Bytes taken from the consumers' queues and not yet read (chosen: some 16 full blocks)."""
HELD_BYTES: Final = 4 * 1024 * 1024
"""Bytes of one paused partition kept here; beyond, the consumer itself is paused, which drops its queue (chosen)."""
COMMITTED_S: Final = 30.0
"""Seconds for the answer what stands committed (chosen)."""


class Inbox:
    """Blocks that the pullers of one client have brought, for the one thread that reads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.behind: dict[Place, int] = {}
        """Offset behind the last block that was read, or where reading begins."""
        self._pullers: dict[Place, Puller] = {}
        self._moving: dict[Place, int] = {}
        """Partitions whose seek has not been carried out yet: what comes of them is dropped."""
        self._paused: set[Place] = set()
        self._blocks: deque[Received] = deque()
        self._bytes = 0
        self._held: dict[Place, deque[Received]] = {}
        self._held_bytes: dict[Place, int] = {}
        self._stopped: set[Place] = set()
        self._failure: Exception | None = None
        self._woken = False

    # --- pullers' threads ---

    def may_pull(self) -> bool:
        """Whether there is room, and somebody who would read."""
        return self._bytes < INBOX_BYTES and not self._pullers.keys() <= self._paused

    def take_in(self, sight: Sight, messages: Sequence[Message]) -> bool:
        """Put messages behind the others; tell whether there were blocks."""
        blocks = []
        failure = None
        for message in messages:
            if message.error() is None:
                blocks.append(_received(message))
            else:
                failure = failure or _fatal(message, sight)
        with self.changed:
            if self._moving:
                blocks = [block for block in blocks if (block.channel, block.partition) not in self._moving]
            self._blocks.extend(blocks)
            self._bytes += sum(len(block.block.payload) for block in blocks)
            self._failure = self._failure or failure
            self.changed.notify_all()
        return bool(blocks)

    def fail(self, error: Exception) -> None:
        """Have the next `read` raise this, behind what is here."""
        with self.changed:
            self._failure = self._failure or error
            self.changed.notify_all()

    # --- any thread ---

    def wake(self) -> None:
        """End a `read`, or the next one."""
        with self.changed:
            self._woken = True
            self.changed.notify_all()

    # --- the reading thread ---

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give what is here, waiting for the first; [] at the time-out or when woken."""
        deadline = time.monotonic() + timeout_s
        with self.changed:
            while True:
                was_full = self._bytes >= INBOX_BYTES
                found = self._pop(max_blocks)
                if was_full and self._bytes < INBOX_BYTES:
                    self._poke()
                if found:
                    return found
                if self._failure is not None:
                    raise self._failure
                if self._woken:
                    self._woken = False
                    return []
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self.changed.wait(left)

    def _pop(self, max_blocks: int) -> list[Received]:
        found: list[Received] = []
        while self._blocks and len(found) < max_blocks:
            block = self._blocks.popleft()
            place = (block.channel, block.partition)
            size = len(block.block.payload)
            self._bytes -= size
            if place in self._paused:
                self._held.setdefault(place, deque()).append(block)
                self._held_bytes[place] = self._held_bytes.get(place, 0) + size
                if self._held_bytes[place] > HELD_BYTES and place not in self._stopped:
                    self._stopped.add(place)
                    self._pullers[place].post(partial(_pause, place))
            else:
                self.behind[place] = int(block.next_position)
                found.append(block)
        return found

    def pause(self, places: Iterable[Place]) -> None:
        """Give out nothing of these until `resume`."""
        with self.changed:
            self._paused |= set(places)

    def resume(self, places: Iterable[Place]) -> None:
        """Undo `pause`; what was kept comes first."""
        with self.changed:
            for place in places:
                self._paused.discard(place)
                kept = self._held.pop(place, deque())
                self._bytes += self._held_bytes.pop(place, 0)
                self._blocks.extendleft(reversed(kept))
                if place in self._stopped:
                    self._stopped.discard(place)
                    self._pullers[place].post(partial(_resume, place))
            self.changed.notify_all()
            self._poke()

    def start(self, puller: Puller, offsets: dict[Place, int]) -> None:
        """Begin to read partitions."""
        with self.changed:
            self.behind |= offsets
            self._pullers |= dict.fromkeys(offsets, puller)
        puller.assign(offsets)

    def is_reading(self, place: Place) -> bool:
        """Whether a partition was started."""
        return place in self._pullers

    def move(self, place: Place, offset: int) -> None:
        """Read a partition on from elsewhere; what is here of it is dropped."""
        with self.changed:
            self.behind[place] = offset
            self._moving[place] = self._moving.get(place, 0) + 1
            kept = [block for block in self._blocks if (block.channel, block.partition) != place]
            self._blocks = deque(kept)
            self._bytes = sum(len(block.block.payload) for block in kept)
            self._held.pop(place, None)
            self._held_bytes.pop(place, None)

        def task(consumer: Consumer) -> None:
            consumer.seek(TopicPartition(*place, offset))
            with self.changed:
                self._moving[place] -= 1
                if not self._moving[place]:
                    del self._moving[place]

        self._pullers[place].post(task)

    def _poke(self) -> None:
        for puller in set(self._pullers.values()):
            puller.poke()


class KafkaReader:
    """Some partitions of one channel, read by a puller that others may share."""

    def __init__(
        self,
        channel: ChannelInfo,
        group: str,
        partitions: Sequence[int],
        puller: Puller,
        inbox: Inbox,
        topics: Topics,
    ) -> None:
        self.channel = channel
        self.group = group
        self.partitions = tuple(partitions)
        self._starts: dict[int, str] = {}
        """Where partitions start that were not handed to the consumer yet: it takes many at once better than one by one."""
        self._puller = puller
        self._inbox = inbox
        self._topics = topics
        self._answers: dict[int, Committed | PositionGoneError | None] = {}

    def committed(self, partition: int) -> Committed | None:
        """What stands committed; None when nothing ever was.

        Raises:
            PositionGoneError: Retention has passed it.
            TransportTimeoutError: No answer; tells the last cause.
        """
        self._check(partition)
        if partition not in self._answers:  # one question for all partitions, each answer used once
            self._answers = self._ask_committed()
        answer = self._answers.pop(partition)
        if isinstance(answer, PositionGoneError):
            raise answer
        return answer

    def _ask_committed(self) -> dict[int, Committed | PositionGoneError | None]:
        name = self.channel.name
        places = [(name, number) for number in self.partitions]
        stored = self._topics.group(self.group).committed(places, COMMITTED_S)
        found = {number: committed for (_, number), committed in stored.items()}
        firsts = self._topics.offsets([(name, number) for number in found], "earliest") if found else {}
        answers: dict[int, Committed | PositionGoneError | None] = {n: found.get(n) for n in self.partitions}
        for (_, number), first in firsts.items():
            position = int(found[number].position)
            if position < first:
                answers[number] = PositionGoneError(
                    f"channel {name!r}, partition {number}: the committed position {position} is gone, the log begins at "
                    f"{first} (retention has passed it); start with --fresh, or set the offset of group {self.group!r} to "
                    f"{first} and accept the loss"
                )
        return answers

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        self._check(partition)
        if position not in ("first", "end") and not position.isdigit():
            raise ConfigurationError(f"position {position!r} is none of Kafka's, which are whole numbers")
        place = (self.channel.name, partition)
        if self._inbox.is_reading(place):
            self._inbox.move(place, self._offsets({partition: position})[place])
        else:
            self._starts[partition] = position

    def seek_back(self, blocks: int) -> dict[int, int]:
        """Read all partitions on from at most so many messages before their end; give how many lie before that."""
        firsts, ends = (self._offsets(dict.fromkeys(self.partitions, word)) for word in ("first", "end"))
        before: dict[int, int] = {}
        for place, first in firsts.items():
            start = max(first, ends[place] - blocks)
            before[place[1]] = start - first
            self.seek(place[1], str(start))
        return before

    def start_pending(self) -> None:
        """Hand the partitions that were told where to start to the consumer."""
        if self._starts:
            starts, self._starts = self._starts, {}
            self._inbox.start(self._puller, self._offsets(starts))

    def _offsets(self, starts: Mapping[int, str]) -> dict[Place, int]:
        """Offsets as numbers: the consumer would look up the first and the end by itself, but one after the other."""
        name = self.channel.name
        found = {(name, number): int(start) for number, start in starts.items() if start.isdigit()}
        for word, which in (("first", "earliest"), ("end", "latest")):
            asked = [(name, number) for number, start in starts.items() if start == word]
            if asked:
                found |= self._topics.offsets(asked, which, COMMITTED_S)
        return found

    def pause(self, partitions: Sequence[int]) -> None:
        """Give out nothing more of these partitions until `resume`."""
        self._inbox.pause((self.channel.name, number) for number in partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Undo `pause`."""
        self._inbox.resume((self.channel.name, number) for number in partitions)

    def lag(self) -> Mapping[int, int]:
        """Entries behind what was read, by what the brokers' last answers said; 0 before the first."""
        found = {}
        for number in self.partitions:
            place = (self.channel.name, number)
            end = self._puller.ends.get(place, 0)
            found[number] = max(0, end - self._inbox.behind.get(place, end))
        return found

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give this reader's blocks; for viewers. Those of a client come out of `ChannelClient.read`."""
        self.start_pending()
        return self._inbox.read(max_blocks, timeout_s)

    def _check(self, partition: int) -> None:
        if partition not in self.partitions:
            raise ConfigurationError(
                f"channel {self.channel.name!r}: this reader has partitions {list(self.partitions)}, not {partition}"
            )


def _pause(place: Place, consumer: Consumer) -> None:
    consumer.pause([TopicPartition(*place)])


def _resume(place: Place, consumer: Consumer) -> None:
    consumer.resume([TopicPartition(*place)])


def _received(message: Message) -> Received:
    offset = message.offset()
    given = message.headers() or ()
    try:
        headers = {name: value.decode() for name, value in given}  # type: ignore[union-attr,str-unpack]  # ours are; others' below
    except (AttributeError, UnicodeDecodeError):
        headers = {header[0]: _text(header[1]) for header in given}
    topic, partition, payload = message.topic(), message.partition(), message.value()
    assert topic is not None
    assert partition is not None
    assert offset is not None
    return Received(topic, partition, Block(headers, payload or b""), str(offset), str(offset + 1))


def _text(value: bytes | str | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""


def _fatal(message: Message, sight: Sight) -> Exception | None:
    """The error after which reading is impossible for good; None for what passes."""
    error = message.error()
    assert error is not None
    place = f"channel {message.topic()!r}" if message.topic() else "reading"
    code = error.code()
    if code == KafkaError._PARTITION_EOF:
        return None
    if code == KafkaError._AUTO_OFFSET_RESET:
        where = f"{place}, partition {message.partition()}"
        return PositionGoneError(f"{where}: the log does not hold the position to read from: {error.str()}")
    if code in GONE or code in FORBIDDEN or error.fatal():
        return sight.translate(KafkaException(error), f"{place} cannot be read", "Read on its topic")
    return None
