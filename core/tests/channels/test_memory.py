"""The memory transport keeps what the SPI asks of every transport; numbers are the promises in docs/channels.md."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator

import pytest

from pypz.core.channels.memory import MemoryTransport
from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Committed, Guarantee, Member, Unit
from pypz.core.commons.errors import BlockTooLargeError, ChannelGoneError, ConfigurationError, WokenError

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


def test_blocks_of_a_writer_arrive_in_order_and_unchanged(transport: MemoryTransport) -> None:
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    writer = transport.open_client(MEMBER, 1, Guarantee.AT_LEAST_ONCE).writer(info)
    for number in range(100):
        assert writer.write(0, block(str(number)))
    client, _ = open_reader(transport, info, [0])
    assert [received.block for received in client.read(1000, 1)] == [block(str(number)) for number in range(100)]


def test_read_returns_the_first_block_at_once_not_at_the_timeout(transport: MemoryTransport) -> None:
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client, _ = open_reader(transport, info, [0])
    found: list[object] = []
    thread = threading.Thread(target=lambda: found.extend(client.read(10, 600)))
    thread.start()
    transport.open_client(MEMBER, 1, Guarantee.AT_LEAST_ONCE).writer(info).write(0, block("x"))
    thread.join(10)
    assert len(found) == 1


def test_wake_ends_a_blocked_read_and_one_that_comes_early_is_not_lost(transport: MemoryTransport) -> None:
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    client, _ = open_reader(transport, info, [0])
    client.wake()
    assert client.read(10, 600) == []
    thread = threading.Thread(target=client.read, args=(10, 600))
    thread.start()
    client.wake()
    thread.join(10)
    assert not thread.is_alive()


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


def test_a_new_client_goes_on_exactly_behind_the_committed_position_with_its_note(transport: MemoryTransport) -> None:
    info = transport.create_channel(ChannelSpec("c", 2), 1)
    writer = transport.open_client(MEMBER, 1, Guarantee.AT_LEAST_ONCE).writer(info)
    for number in range(4):
        writer.write(1, block(str(number)))
    client, _ = open_reader(transport, info, [0, 1])
    second = client.read(10, 1)[1]
    note = "n" * transport.capabilities.max_note
    client.commit(Unit({("c", 1): Committed(second.next_position, note)}), 1)
    client.close(1)
    client, reader = open_reader(transport, info, [0, 1])
    assert reader.committed(1) == Committed(second.next_position, note)
    assert [received.block for received in client.read(10, 1)] == [block("2"), block("3")]
    assert reader.lag() == {0: 0, 1: 0}


def test_a_block_above_the_limit_is_refused_before_anything_is_sent(transport: MemoryTransport) -> None:
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    writer = transport.open_client(MEMBER, 1, Guarantee.AT_LEAST_ONCE).writer(info)
    with pytest.raises(BlockTooLargeError, match="16777217 bytes, at most 16777216"):
        writer.write(0, Block({}, bytes(transport.capabilities.max_block + 1)))
    client, _ = open_reader(transport, info, [0])
    assert client.read(1, 0) == []


def test_describe_creates_nothing_and_create_twice_is_one_channel(transport: MemoryTransport) -> None:
    assert transport.describe_channel("c") is None
    info = transport.create_channel(ChannelSpec("c", 1), 1)
    assert transport.create_channel(ChannelSpec("c", 1), 1) == info == transport.describe_channel("c")
    assert transport.create_channel(ChannelSpec("c", 3), 1).partitions == 3


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


def test_join_gives_members_of_one_index_different_growing_epochs(transport: MemoryTransport) -> None:
    stream = transport.open_status("p", create=True)
    epochs = [stream.join(MEMBER, b"{}") for _ in range(5)]
    assert epochs == sorted(set(epochs))


def test_put_first_has_one_winner_among_twenty(transport: MemoryTransport) -> None:
    streams = [transport.open_status("p", create=True) for _ in range(20)]
    won: list[bytes] = []
    threads = [
        threading.Thread(target=lambda s=s, n=n: won.append(s.put_first("run/1", str(n).encode())))
        for n, s in enumerate(streams)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(won)) == 1


def test_facts_outlive_a_thousand_beats_and_a_removed_one_is_gone(transport: MemoryTransport) -> None:
    stream = transport.open_status("p", create=True)
    stream.put("a", b"1")
    stream.put("b", b"2")
    for number in range(1000):
        stream.beat("figures", str(number).encode())
    stream.put("b", None)
    late = transport.open_status("p", create=False)
    assert {key: entry.value for key, entry in late.facts().items()} == {"a": b"1"}


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
