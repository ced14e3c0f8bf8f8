"""Channels as topics: made, described, deleted (numbers are the promises of semantics 3)."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Guarantee, Member, Received
from pypz.core.commons.errors import (
    BlockTooLargeError,
    ChannelGoneError,
    ChannelMismatchError,
    ConfigurationError,
    NotBuiltYetError,
    TransportError,
    TransportTimeoutError,
)
from pypz.plugins.kafka_io import pulling
from pypz.plugins.kafka_io.client import KafkaClient
from pypz.plugins.kafka_io.transport import KafkaTransport

pytestmark = pytest.mark.broker

MakeBlock = Callable[[str], Block]
OpenClient = Callable[[], KafkaClient]


def test_describing_and_observing_create_nothing(transport: KafkaTransport, name: str) -> None:
    """23, 24."""
    assert transport.describe_channel(f"{name}.c") is None
    assert transport.describe_channel(f"{name}.c") is None
    stream = transport.open_status(name, create=False)
    assert stream.facts() == {}
    assert [topic for topic in transport._topics.names() if topic.startswith(name)] == []


def test_a_name_that_differs_from_another_only_in_dot_and_underscore_is_refused_naming_both(
    transport: KafkaTransport, name: str
) -> None:
    transport.create_channel(ChannelSpec(f"{name}.a_b", 1), 30)
    with pytest.raises(ChannelMismatchError, match=f"'{name}.a.b' and the existing topic '{name}.a_b'"):
        transport.create_channel(ChannelSpec(f"{name}.a.b", 1), 30)


def test_topic_settings_are_ours_unless_topic_config_says_otherwise(transport: KafkaTransport, name: str) -> None:
    from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

    transport.create_channel(ChannelSpec(f"{name}.c", 1, {"retention.ms": "60000"}), 30)
    resource = ConfigResource(ResourceType.TOPIC, f"{name}.c")
    found = transport._topics._admin.describe_configs([resource])[resource].result(10)
    assert (found["retention.ms"].value, found["cleanup.policy"].value) == ("60000", "delete")


def test_a_topic_setting_unknown_to_the_broker_is_a_configuration_error_naming_it(
    transport: KafkaTransport, name: str
) -> None:
    with pytest.raises(ConfigurationError, match=r"no\.such\.setting"):
        transport.create_channel(ChannelSpec(f"{name}.c", 1, {"no.such.setting": "1"}), 30)


def test_the_largest_block_is_the_topics_and_exactly_so_much_goes_through(
    transport: KafkaTransport, name: str, open_client: OpenClient
) -> None:
    """4."""
    info = transport.create_channel(ChannelSpec(f"{name}.c", 1, {"max.message.bytes": "50000"}), 30)
    assert info.max_block == 50_000 - 4096
    client = open_client()
    writer = client.writer(info)
    headers = {f"pypz-{number}": "x" * 40 for number in range(10)}
    with pytest.raises(BlockTooLargeError, match="a block of 45905 bytes, at most 45904"):
        writer.write(0, Block(headers, bytes(info.max_block + 1)))
    for _ in range(5):  # together they are far above what one batch may hold
        writer.write(0, Block(headers, bytes(info.max_block)))
    client.flush(10)
    reader = client.reader(info, name, [0])
    reader.seek(0, "first")
    assert [len(received.block.payload) for received in read(client, 5)] == [info.max_block] * 5


def test_a_broker_that_is_absent_is_told_with_the_deadline_and_the_last_cause(name: str) -> None:
    """46."""
    transport = KafkaTransport("kafka://127.0.0.1:1")
    began = time.monotonic()
    with pytest.raises(TransportTimeoutError, match=r"127\.0\.0\.1:1: Connection refused"):
        transport.create_channel(ChannelSpec(f"{name}.c", 1), 1)
    assert time.monotonic() - began < 10
    transport.close()


def test_what_is_not_built_yet_is_refused_by_name(transport: KafkaTransport, channel: ChannelInfo, name: str) -> None:
    """43."""
    with pytest.raises(NotBuiltYetError, match="exactly-once"):
        transport.open_client(Member(name, name, 0, "s"), 1, Guarantee.EXACTLY_ONCE)
    client = transport.open_client(Member(name, name, 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
    with pytest.raises(NotBuiltYetError, match="assignment"):
        client.reader(channel, "group", None)


@pytest.mark.parametrize("is_made_anew", [False, True])
def test_reading_a_deleted_channel_fails_with_its_name(
    transport: KafkaTransport,
    channel: ChannelInfo,
    open_client: OpenClient,
    monkeypatch: pytest.MonkeyPatch,
    is_made_anew: bool,
) -> None:
    monkeypatch.setattr(pulling, "SILENT_S", 0.5)
    client = open_client()
    reader = client.reader(channel, "group", [0, 1])
    reader.seek(0, "first")
    reader.seek(1, "first")
    assert client.read(1, 0.1) == []
    transport.delete_channel(channel, 30)
    if is_made_anew:
        transport.create_channel(ChannelSpec(channel.name, 2), 30)
    with pytest.raises(ChannelGoneError, match=f"'{channel.name}' cannot be read any more: it was deleted"):
        client.read(1, 30)


def test_writing_to_a_deleted_channel_fails_with_its_name(
    transport: KafkaTransport, channel: ChannelInfo, open_client: OpenClient, block: MakeBlock
) -> None:
    """2."""
    client = open_client()
    writer = client.writer(channel)
    writer.write(0, block("x"))
    client.flush(10)
    transport.delete_channel(channel, 30)
    writer.write(0, block("y"))
    with pytest.raises(TransportError, match=channel.name):
        client.flush(60)
    with pytest.raises(TransportError, match=channel.name):
        writer.write(0, block("z"))


def test_an_observer_sees_what_comes_after_it_was_opened_and_leaves_no_group(
    transport: KafkaTransport, channel: ChannelInfo, open_client: OpenClient, block: MakeBlock
) -> None:
    """23."""
    client = open_client()
    writer = client.writer(channel)
    writer.write(0, block("before"))
    client.flush(10)
    observer = transport.observe(channel)
    writer.write(1, block("after"))
    assert [received.block for received in observer.read(10, 10)] == [block("after")]
    assert observer.committed(0) is None
    groups = transport._topics._admin.list_consumer_groups().result(10).valid
    assert [group.group_id for group in groups if group.group_id.startswith(channel.name)] == []


def read(client: KafkaClient, count: int) -> list[Received]:
    """Read so many blocks, or fail."""
    found: list[Received] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += client.read(100, 1)
    assert len(found) == count
    return found
