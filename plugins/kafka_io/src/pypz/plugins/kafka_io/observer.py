"""A reader for viewers: all partitions of a channel, from the end on, leaving no trace at the cluster."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from pypz.core.channels.spi import ChannelInfo, Committed, Position, Received
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.pulling import Puller
from pypz.plugins.kafka_io.reading import Inbox, KafkaReader
from pypz.plugins.kafka_io.topics import Topics


class KafkaObserver:
    """Joins no group and commits nothing."""

    def __init__(self, config: Config, topics: Topics, channel: ChannelInfo) -> None:
        self._inbox = Inbox()
        self._puller = Puller(
            config,
            config.reader(f"{channel.name}.observer"),  # a name is asked for; no group of it ever exists
            channel.name,
            lambda messages: self._inbox.take_in(self._puller.sight, messages),
            self._inbox.fail,
            may_pull=self._inbox.may_pull,
        )
        self._reader = KafkaReader(channel, "", range(channel.partitions), self._puller, self._inbox, topics)
        for number in range(channel.partitions):
            self._reader.seek(number, "end")
        self._reader.start_pending()  # the end is that of now, not of the first read
        self.is_closed = False

    def committed(self, partition: int) -> Committed | None:
        """Nothing ever is."""
        return None

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        self._reader.seek(partition, position)

    def seek_back(self, blocks: int) -> Mapping[int, int]:
        """Read all partitions on from at most so many messages before their end; give how many lie before that."""
        return self._reader.seek_back(blocks)

    def pause(self, partitions: Sequence[int]) -> None:
        """Give out nothing of these partitions until `resume`."""
        self._reader.pause(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Undo `pause`."""
        self._reader.resume(partitions)

    def lag(self) -> Mapping[int, int]:
        """Entries behind what was read."""
        return self._reader.lag()

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks, waiting for the first; [] at the time-out."""
        return self._reader.read(max_blocks, timeout_s)

    def stop(self) -> None:
        """Begin to close."""
        self.is_closed = True
        self._inbox.wake()
        self._puller.stop()

    def close(self, timeout_s: float = 5.0) -> None:
        """Let go of the consumer; idempotent."""
        self.stop()
        self._puller.close(timeout_s)
