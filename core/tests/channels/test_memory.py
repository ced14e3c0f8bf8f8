"""What is the memory transport's own; what it shares with all others is in `core/tests/testing`, by the kit."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Committed, Guarantee, Member, Unit
from pypz.core.commons.errors import ChannelGoneError, ConfigurationError, WokenError

MEMBER = Member("p", "p.reader", 0, "start")


@pytest.fixture
def transport() -> Iterator[MemoryTransport]:
    made = MemoryTransport(uuid.uuid4().hex)
    yield made
    made.close()


def block(text: str) -> Block:
    return Block({"k": text}, text.encode())


def open_reader(transport: MemoryTransport, info: ChannelInfo, partitions: list[int]):  # type: ignore[no-untyped-def]
    client = transport.open_client(MEMBER, 1, Guarantee.AT_LEAST_ONCE)
    reader = client.reader(info, "group", partitions)
    for number in partitions:
        committed = reader.committed(number)
        reader.seek(number, committed.position if committed else "first")
    return client, reader


def test_a_full_channel_refuses_waits_and_goes_on_when_blocks_are_committed() -> None:
    transport = MemoryTransport(uuid.uuid4().hex, {"max.bytes": "200"})
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client, _ = open_reader(transport, info, [0])
    writing = transport.open_client(MEMBER, 1, Guarantee.AT_LEAST_ONCE)
    writer = writing.writer(info)
    assert writer.write(0, block("x" * 100))
    assert not writer.write(0, block("y" * 100), wait=False)
    done = threading.Event()

    def write_and_tell() -> None:
        writer.write(0, block("y" * 100))
        done.set()

    threading.Thread(target=write_and_tell).start()
    received = client.read(1, 1)[0]
    assert not done.is_set()
    client.commit(Unit({("c", 0): Committed(received.next_position, "")}), 1)
    assert done.wait(10)
    writing.wake()
    with pytest.raises(WokenError):
        writer.write(0, block("z" * 100))
    transport.close()


def test_delete_then_create_gives_another_incarnation_and_its_readers_learn_it(transport: MemoryTransport) -> None:
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client, _ = open_reader(transport, info, [0])
    transport.delete_channel(info, 1)
    transport.delete_channel(info, 1)
    with pytest.raises(ChannelGoneError):
        client.read(1, 600)
    again = transport.create_channel(ChannelSpec("c", 1), 1)
    assert again.incarnation != info.incarnation
    transport.delete_channel(info, 1)
    assert transport.describe_channel("c") == again
    _, reader = open_reader(transport, again, [0])
    assert reader.committed(0) is None


def test_a_viewer_finds_a_stream_that_is_made_later_and_makes_none(transport: MemoryTransport) -> None:
    viewer = transport.open_status("p", create=False)
    assert viewer.facts() == {}
    assert transport.pipelines() == []
    transport.open_status("p", create=True).put("a", b"1")
    assert [entry.value for entry in viewer.changes(10)] == [b"1"]


def test_a_name_lives_until_its_last_transport_is_closed() -> None:
    name = uuid.uuid4().hex
    first, second = MemoryTransport(name), MemoryTransport(name)
    first.create_channel(ChannelSpec("c", 1), 1)
    first.close()
    first.close()
    assert second.describe_channel("c") is not None
    second.close()
    third = MemoryTransport(name)
    assert third.describe_channel("c") is None
    third.close()


@pytest.mark.parametrize("options", [{"max.byte": "1"}, {"max.bytes": "many"}, {"max.bytes": "0"}])
def test_an_option_that_makes_no_sense_is_refused_with_what_is_accepted(options: dict[str, str]) -> None:
    with pytest.raises(ConfigurationError, match=r"max\.bytes"):
        MemoryTransport("x", options)
