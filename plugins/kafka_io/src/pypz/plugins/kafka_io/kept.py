"""The last beat of each key that a beats topic still holds: what a viewer that comes late knows of a killed member."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from pypz.core.channels.spi import StatusEntry
from pypz.core.commons.errors import PypzError
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.faults import Sight, log, make_client
from pypz.plugins.kafka_io.topics import Topics

ENTRIES: Final = 50_000
"""Entries from the end on that are looked through (chosen: ten minutes of 25 members, or half a minute of 1,000 ports)."""
LOOK_S: Final = 2.0
"""Seconds that this may take (chosen: shorter than the silence after which a member counts as lost)."""
AT_ONCE: Final = 1_000
"""Messages taken from the consumer's queue at once (chosen)."""
SLICE_S: Final = 0.2
"""Seconds of one wait (chosen): closing waits no longer."""


def last_beats(
    config: Config, topics: Topics, topic: str, group: str, is_closed: Callable[[], bool]
) -> list[StatusEntry]:
    """Read the end of a beats topic; what cannot be read in time is left out."""
    found: dict[str, StatusEntry] = {}
    place = (topic, 0)
    try:
        first, end = (topics.offsets([place], which)[place] for which in ("earliest", "latest"))
        if first < end:
            _read(config, topic, group, max(first, end - ENTRIES), end, found, is_closed)
    except (KafkaException, PypzError) as error:  # a figure less harms nobody
        log.debug("earlier beats of %r cannot be read: %s", topic, error)
    return list(found.values())


def _read(
    config: Config,
    topic: str,
    group: str,
    begin: int,
    end: int,
    found: dict[str, StatusEntry],
    is_closed: Callable[[], bool],
) -> None:
    consumer: Consumer = make_client(Consumer, config.status_reader(group), Sight(config))
    try:
        consumer.assign([TopicPartition(topic, 0, begin)])
        deadline = time.monotonic() + LOOK_S
        behind = begin
        while behind < end and time.monotonic() < deadline and not is_closed():
            for message in consumer.consume(AT_ONCE, SLICE_S):
                offset = message.offset()
                if message.error() is not None or offset is None:
                    behind = end  # the end of the partition, or one that is gone
                    continue
                behind = max(behind, offset + 1)
                key, value = _bytes(message.key()) or b"", _bytes(message.value())
                name = key.decode("utf-8", "replace")
                found.pop(name, None)
                found[name] = StatusEntry("beat", name, value, offset)
    finally:
        consumer.close()


def _bytes(value: bytes | str | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value
