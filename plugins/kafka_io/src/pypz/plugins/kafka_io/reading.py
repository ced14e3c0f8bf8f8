"""Blocks on their way from the pullers to `read`, and the readers of single channels."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Final, Literal

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, KafkaError, KafkaException, Message, TopicPartition

from pypz.core.channels.spi import Block, ChannelInfo, Committed, Position, Received
from pypz.core.commons.errors import ConfigurationError, PositionGoneError
from pypz.plugins.kafka_io.faults import FORBIDDEN, GONE, Sight
from pypz.plugins.kafka_io.pulling import Puller
from pypz.plugins.kafka_io.topics import Topics

INBOX_BYTES: Final = 8 * 1024 * 1024
"""Bytes taken from the consumers' queues and not yet read (chosen: some 16 full blocks)."""
HELD_BYTES: Final = 4 * 1024 * 1024
"""Bytes of one paused partition kept here; beyond, the consumer itself is paused, which drops its queue (chosen)."""
COMMITTED_S: Final = 30.0
"""Seconds for the answer what stands committed (chosen)."""

Place = tuple[str, int]
"""Channel and partition."""


class Inbox:
    """Blocks that the pullers of one client have brought, for the one thread that reads."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.pullers: list[Puller] = []
        self.behind: dict[Place, int] = {}
        """Offset behind the last block that was read, or where reading begins; negative: at the first or the end."""
        self.paused: set[Place] = set()
        self.assigned: set[Place] = set()
        self._blocks: deque[Received] = deque()
        self._bytes = 0
        self._held: dict[Place, deque[Received]] = {}
        self._held_bytes: dict[Place, int] = {}
        self._stopped: dict[Place, Puller] = {}
        self._failure: Exception | None = None
        self._woken = False

    # --- pullers' threads ---

    def may_pull(self) -> bool:
        """Whether there is room, and somebody who would read."""
        return self._bytes < INBOX_BYTES and not self.assigned <= self.paused

    def take_in(self, puller: Puller, messages: Sequence[Message]) -> None:
        """Put messages behind the others."""
        blocks = []
        failure = None
        for message in messages:
            if message.error() is None:
                blocks.append(_received(message))
            else:
                failure = failure or _fatal(message, puller.sight)
        with self.changed:
            self._blocks.extend(blocks)
            self._bytes += sum(len(block.block.payload) for block in blocks)
            self._failure = self._failure or failure
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
                found = self._pop(max_blocks)
                if found:
                    break
                if self._failure is not None:
                    raise self._failure
                if self._woken:
                    self._woken = False
                    return []
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self.changed.wait(left)
        self._poke()
        return found

    def _pop(self, max_blocks: int) -> list[Received]:
        found: list[Received] = []
        while self._blocks and len(found) < max_blocks:
            block = self._blocks.popleft()
            place = (block.channel, block.partition)
            size = len(block.block.payload)
            if place in self.paused:
                self._held.setdefault(place, deque()).append(block)
                self._held_bytes[place] = self._held_bytes.get(place, 0) + size
                self._bytes -= size
                continue
            self._bytes -= size
            if place in self.behind:  # else it was let go of
                self.behind[place] = int(block.next_position)
                found.append(block)
        self._hold_back()
        return found

    def _hold_back(self) -> None:
        """Have the consumer stop where too much of a paused partition is kept here, while others go on."""
        for place, size in self._held_bytes.items():
            if size > HELD_BYTES and place not in self._stopped:
                puller = next(puller for puller in self.pullers if place in puller.places)
                puller.tell(partial(puller.consumer.pause, [TopicPartition(*place)]))
                self._stopped[place] = puller

    def pause(self, places: Iterable[Place]) -> None:
        """Give out nothing of these until `resume`."""
        with self.changed:
            self.paused |= set(places)

    def resume(self, places: Iterable[Place]) -> None:
        """Undo `pause`; what was kept comes first."""
        with self.changed:
            for place in places:
                self.paused.discard(place)
                kept = self._held.pop(place, deque())
                self._bytes += self._held_bytes.pop(place, 0)
                self._blocks.extendleft(reversed(kept))
                puller = self._stopped.pop(place, None)
                if puller is not None:
                    puller.tell(partial(puller.consumer.resume, [TopicPartition(*place)]))
            self.changed.notify_all()
        self._poke()

    def start_at(self, place: Place, offset: int) -> None:
        """Reading of a partition begins there; what is here of it is dropped."""
        with self.changed:
            self.behind[place] = offset
            self.assigned.add(place)
            kept = [block for block in self._blocks if (block.channel, block.partition) != place]
            self._blocks = deque(kept)
            self._bytes = sum(len(block.block.payload) for block in kept)
            self._held.pop(place, None)
            self._held_bytes.pop(place, None)

    def _poke(self) -> None:
        for puller in self.pullers:
            puller.poke()


class KafkaReader:
    """Some partitions of one channel, read by a puller that others may share."""

    def __init__(self, channel: ChannelInfo, partitions: Sequence[int], puller: Puller, inbox: Inbox, topics: Topics):
        self.channel = channel
        self.partitions = tuple(partitions)
        self.to_assign: dict[int, int] = {}
        """Partitions told to start, not yet handed to the consumer: it takes many at once better than one by one."""
        self.puller = puller
        self._inbox = inbox
        self._topics = topics
        self._answers: dict[int, Committed | PositionGoneError | None] = {}
        self._ends: dict[int, int] = {}

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
        found = self.puller.committed([TopicPartition(name, number) for number in self.partitions], COMMITTED_S)
        held = {place.partition: place for place in found if place.offset >= 0}
        firsts = self._topics.offsets([(name, number) for number in held], "earliest") if held else {}
        answers: dict[int, Committed | PositionGoneError | None] = dict.fromkeys(self.partitions)
        for number, place in held.items():
            first = firsts[name, number]
            if place.offset < first:
                answers[number] = PositionGoneError(
                    f"channel {name!r}, partition {number}: the committed position {place.offset} is gone, the log begins "
                    f"at {first} (retention has passed it); start with --fresh, or move the group's offsets to {first} "
                    "and accept the loss"
                )
            else:
                answers[number] = Committed(str(place.offset), place.metadata or "")
        return answers

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        self._check(partition)
        offset = _offset_of(position)
        place = (self.channel.name, partition)
        if place not in self._inbox.assigned or partition in self.to_assign:
            self.to_assign[partition] = offset
            self._inbox.start_at(place, offset)
            return

        def move() -> None:
            self.puller.consumer.seek(TopicPartition(*place, offset))
            self._inbox.start_at(place, offset)

        self.puller.suspended(move)

    def assign_pending(self) -> None:
        """Hand the partitions that were told to start to the consumer."""
        if self.to_assign:
            places = [TopicPartition(self.channel.name, number, offset) for number, offset in self.to_assign.items()]
            self.to_assign = {}
            self.puller.assign(places)

    def pause(self, partitions: Sequence[int]) -> None:
        """Give out nothing more of these partitions until `resume`."""
        self._inbox.pause((self.channel.name, number) for number in partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Undo `pause`."""
        self._inbox.resume((self.channel.name, number) for number in partitions)

    def lag(self) -> Mapping[int, int]:
        """Entries behind what was read, by what the last answers of the brokers said; 0 before the first."""
        found = {}
        for number in self.partitions:
            behind = self._inbox.behind.get((self.channel.name, number), OFFSET_END)
            first, end = self.puller.end_of(self.channel.name, number)
            if behind == OFFSET_BEGINNING:
                behind = max(first, 0)
            found[number] = max(0, end - behind) if behind >= 0 and end >= 0 else 0
        return found

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Not for readers of clients: use `ChannelClient.read`."""
        raise NotImplementedError("blocks of this reader come out of ChannelClient.read")

    def _check(self, partition: int) -> None:
        if partition not in self.partitions:
            raise ConfigurationError(
                f"channel {self.channel.name!r}: this reader has partitions {list(self.partitions)}, not {partition}"
            )


def _offset_of(position: str) -> int:
    if position == "first":
        return int(OFFSET_BEGINNING)
    if position == "end":
        return int(OFFSET_END)
    if not position.isdigit():
        raise ConfigurationError(f"position {position!r} is none of Kafka's, which are whole numbers")
    return int(position)


def _received(message: Message) -> Received:
    offset = message.offset()
    headers = {header[0]: _text(header[1]) for header in message.headers() or ()}
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
        return sight.translate(KafkaException(error), f"{place} cannot be read")
    return None
