"""The transport of one Kafka cluster: a channel is a topic, a block is a message, a position is an offset."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Final, TypeVar

from pypz.core.channels.spi import (
    BlockReader,
    Capabilities,
    ChannelClient,
    ChannelInfo,
    ChannelSpec,
    Guarantee,
    LogReader,
    Member,
    StatusStream,
)
from pypz.core.commons.errors import NotBuiltYetError
from pypz.plugins.kafka_io.client import KafkaClient
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.logs import LOGS, KafkaLogReader
from pypz.plugins.kafka_io.notes import MemberNotes
from pypz.plugins.kafka_io.observer import KafkaObserver
from pypz.plugins.kafka_io.status import BEATS, FACTS, KafkaStatusStream
from pypz.plugins.kafka_io.topics import ROOM_BYTES, Topic, Topics

K = TypeVar("K", KafkaClient, KafkaLogReader, KafkaObserver, KafkaStatusStream)

CAPABILITIES: Final = Capabilities(
    durable="machine",
    across_processes=True,
    across_hosts=True,
    partitions=True,
    raise_partitions=True,
    transactions=False,
    fencing=False,
    group_assignment=False,
    seek=True,
    keeps_read=True,
    last_value=True,
    inline=False,
    max_block=1_000_000,
    max_note=4095,  # the broker's default allows 4096 and refuses them (measured, Kafka 4.4)
)

TOPIC_SETTINGS: Final = {"retention.ms": "-1", "cleanup.policy": "delete"}
"""A channel keeps its records until it is deleted, unless ``topicConfig`` says otherwise."""
DESCRIBE_S: Final = 30.0
"""Seconds for a description, as long as no broker answers (chosen)."""


class KafkaTransport:
    """Channels at one Kafka cluster; nothing is connected before it is needed."""

    def __init__(self, location: str, options: Mapping[str, str] | None = None) -> None:
        """Check the settings.

        Raises:
            ConfigurationError: Location or options make no sense.
        """
        self._config = Config(location, options or {})
        self._topics = Topics(self._config)
        self._lock = threading.Lock()
        self._open: list[KafkaClient | KafkaLogReader | KafkaObserver | KafkaStatusStream] = []

    def __repr__(self) -> str:
        return f"KafkaTransport({self._config.location!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What Kafka can do as this version uses it: exactly-once and assignment by group come later."""
        return CAPABILITIES

    def last_cause(self) -> str:
        """What was last seen of the brokers; empty when nothing went wrong lately."""
        return self._topics.last_cause()

    # --- channels ---

    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        """Make the topic, or raise its partitions; returns when it can be written and read.

        Raises:
            ChannelMismatchError: The name differs from another topic's only in ``.`` and ``_``, or is none for Kafka.
            ConfigurationError: ``topicConfig`` holds what the broker refuses.
            TransportTimeoutError: Tells the last thing seen of the brokers.
        """
        topic = self._topics.create(spec.name, spec.partitions, {**TOPIC_SETTINGS, **spec.options}, timeout_s)
        return self._info(topic)

    def describe_channel(self, name: str) -> ChannelInfo | None:
        """Tell what is known of the topic; None when there is none."""
        topic = self._topics.describe([name], DESCRIBE_S)[name]
        return None if topic is None else self._info(topic)

    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        """Delete that making of the topic; the cluster drops its committed positions with it."""
        self._topics.delete(info.name, info.incarnation, timeout_s)

    def _info(self, topic: Topic) -> ChannelInfo:
        limit = self._topics.ask_limit(topic.name)()
        most = CAPABILITIES.max_block if limit is None else max(1, limit - ROOM_BYTES)
        return ChannelInfo(topic.name, topic.partitions, topic.incarnation, most)

    # --- status ---

    def open_status(self, pipeline: str, create: bool) -> StatusStream:
        """Open the status stream of a pipeline: its topics ``.facts`` and ``.beats``."""
        return self._keep(KafkaStatusStream(self._config, self._topics, pipeline, create=create))

    def open_logs(self, pipeline: str, kept: int) -> LogReader:
        """Follow the log lines of a pipeline: its topic ``.logs``."""
        return self._keep(KafkaLogReader(self._config, self._topics, pipeline, kept))

    def pipelines(self) -> list[str]:
        """Names of the pipelines whose status topics are here."""
        names = set(self._topics.names(DESCRIBE_S))
        found = {name.removesuffix(FACTS) for name in names if name.endswith(FACTS)}
        return sorted(name for name in found if name + BEATS in names)

    def delete_status(self, pipeline: str, timeout_s: float) -> None:
        """Delete the status topics of a pipeline; returns when they are gone."""
        for ending in (LOGS, BEATS, FACTS):
            self._topics.delete(pipeline + ending, None, timeout_s)

    # --- clients ---

    def observe(self, channel: ChannelInfo) -> BlockReader:
        """A reader of all partitions, from the end on, that joins and commits nothing."""
        return self._keep(KafkaObserver(self._config, self._topics, channel))

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> ChannelClient:
        """Open what a member writes and reads by; connects when a writer or reader is asked for.

        Raises:
            NotBuiltYetError: The guarantee is not carried out yet.
        """
        if guarantee is Guarantee.EXACTLY_ONCE:
            raise NotBuiltYetError(
                f"{member.operator}: deliveryGuarantee {guarantee.value!r} is not carried out on Kafka yet; "
                f"use {Guarantee.AT_LEAST_ONCE.value!r}"
            )
        return self._keep(KafkaClient(self._config, self._topics, MemberNotes(self._topics, member, epoch)))

    def _keep(self, made: K) -> K:
        with self._lock:
            self._open = [one for one in self._open if not one.is_closed]
            self._open.append(made)
        return made

    def close(self) -> None:
        """Close what is still open; idempotent."""
        with self._lock:
            left, self._open = self._open, []
        for one in left:
            one.stop()
        for one in left:
            one.close(5.0)
        self._topics.close()
