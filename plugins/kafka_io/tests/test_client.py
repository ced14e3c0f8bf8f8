"""Blocks, positions and notes through a real broker (numbers are the promises of semantics 3)."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable

import pytest

from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Committed, Member, Received, Unit
from pypz.core.commons.errors import (
    ConfigurationError,
    PositionGoneError,
    TransportError,
    TransportTimeoutError,
    WokenError,
)
from pypz.plugins.kafka_io.client import KafkaClient
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.notes import MemberNotes
from pypz.plugins.kafka_io.topics import Topics
from pypz.plugins.kafka_io.transport import KafkaTransport

pytestmark = pytest.mark.broker

MakeBlock = Callable[[str], Block]
OpenClient = Callable[[], KafkaClient]


def read(client: KafkaClient, count: int) -> list[Received]:
    """Read so many blocks, or fail."""
    found: list[Received] = []
    deadline = time.monotonic() + 20
    while len(found) < count and time.monotonic() < deadline:
        found += client.read(100, 1)
    assert len(found) == count
    return found


def texts(found: list[Received]) -> list[str]:
    return [received.block.payload.decode() for received in found]


def test_seeking_while_blocks_come_gives_exactly_what_follows(
    channel: ChannelInfo, open_client: OpenClient, block: MakeBlock
) -> None:
    client = open_client()
    writer = client.writer(channel)
    for number in range(500):
        writer.write(0, block(str(number)))
    client.flush(10)
    reader = client.reader(channel, "group", [0])
    reader.seek(0, "first")
    for start in (100, 0, 400, 250):
        client.read(7, 0.2)
        reader.seek(0, str(start))
        found: list[Received] = []
        while len(found) < 50:
            found += client.read(7, 10)
        assert texts(found) == [str(number) for number in range(start, start + len(found))]


def test_lag_grows_while_the_reader_takes_nothing(
    channel: ChannelInfo, open_client: OpenClient, block: MakeBlock
) -> None:
    """What the consumer has fetched ahead is full long before the end; the lag tells of all that waits."""
    client, other = open_client(), open_client()
    reader = client.reader(channel, "group", [0])
    reader.seek(0, "first")
    writer = other.writer(channel)
    for count in (40, 20):  # blocks of half a megabyte: more than is taken ahead; then some that nothing is fetched for
        before = reader.lag()[0]
        for _ in range(count):
            writer.write(0, block("x" * 500_000))
        other.flush(30)
        taken = len(client.read(1, 20)) if not before else 0
        deadline, pause = time.monotonic() + 20, threading.Event()
        while reader.lag()[0] != before + count - taken:
            assert time.monotonic() < deadline, f"{reader.lag()} after {before} and {count} more"
            pause.wait(0.05)


def test_one_thread_reads_several_channels_and_groups(
    transport: KafkaTransport, channel: ChannelInfo, name: str, open_client: OpenClient, block: MakeBlock
) -> None:
    """40: readers of two groups each get everything and commit apart."""
    other = transport.create_channel(ChannelSpec(f"{name}.other", 1), 30)
    client, second = open_client(), open_client()
    for info in (channel, other):
        client.writer(info).write(0, block(info.name))
        client.reader(info, "one", [0]).seek(0, "first")
    third = second.reader(channel, "two", [0])
    third.seek(0, "first")
    assert sorted(texts(read(client, 2))) == sorted([channel.name, other.name])
    assert texts(read(second, 1)) == [channel.name]
    client.commit(Unit({(channel.name, 0): Committed("1", ""), (other.name, 0): Committed("1", "")}), 10)
    assert third.committed(0) is None
    with pytest.raises(TransportError, match="does not read it"):
        second.commit(Unit({(other.name, 0): Committed("1", "")}), 10)


def test_paused_partitions_give_out_nothing_the_others_go_on_and_nothing_is_lost(
    channel: ChannelInfo, open_client: OpenClient
) -> None:
    client = open_client()
    writer = client.writer(channel)
    payload = bytes(200_000)
    for number in range(60):  # 12 MB in the paused partition: more than is kept here
        writer.write(0, Block({"n": str(number)}, payload))
        writer.write(1, Block({"n": str(number)}, payload))
    client.flush(30)
    reader = client.reader(channel, "group", [0, 1])
    reader.seek(0, "first")
    reader.seek(1, "first")
    reader.pause([0])
    found = read(client, 60)
    assert {received.partition for received in found} == {1}
    reader.pause([1])
    assert client.read(10, 0.3) == []
    reader.resume([0, 1])
    found = read(client, 60)
    assert [received.block.headers["n"] for received in found] == [str(number) for number in range(60)]
    assert {received.partition for received in found} == {0}


def test_lag_is_zero_exactly_when_all_is_read(
    channel: ChannelInfo, open_client: OpenClient, block: MakeBlock, transport: KafkaTransport
) -> None:
    """42: also by the broker's own count, once committed."""
    client = open_client()
    writer = client.writer(channel)
    for number in range(5):
        writer.write(0, block(str(number)))
    client.flush(10)
    reader = client.reader(channel, "group", [0, 1])
    reader.seek(0, "first")
    reader.seek(1, "first")
    first = client.read(1, 10)
    assert reader.lag() == {0: 4, 1: 0}
    last = (first + read(client, 4))[-1]
    assert reader.lag() == {0: 0, 1: 0}
    client.commit(Unit({(channel.name, 0): Committed(last.next_position, "")}), 10)
    assert transport._topics.offsets([(channel.name, 0)], "latest")[channel.name, 0] == int(last.next_position)


def test_a_position_that_the_log_no_longer_holds_is_told(
    channel: ChannelInfo, open_client: OpenClient, transport: KafkaTransport, block: MakeBlock
) -> None:
    """41."""
    from confluent_kafka import TopicPartition

    client = open_client()
    writer = client.writer(channel)
    for number in range(5):
        writer.write(0, block(str(number)))
    client.flush(10)
    reader = client.reader(channel, "group", [0])
    client.commit(Unit({(channel.name, 0): Committed("2", "")}), 10)
    cut = transport._topics._admin.delete_records([TopicPartition(channel.name, 0, 4)])
    for future in cut.values():
        future.result(10)
    with pytest.raises(PositionGoneError, match="position 2 is gone, the log begins at 4"):
        reader.committed(0)
    reader.seek(0, "2")
    with pytest.raises(PositionGoneError, match="does not hold the position"):
        client.read(10, 30)


def test_a_full_producer_refuses_waits_is_woken_and_goes_on_and_a_flush_tells_the_cause(
    channel: ChannelInfo, block: MakeBlock
) -> None:
    """3, 46: as long as no broker answers."""
    config = Config("kafka://127.0.0.1:1", {"queue.buffering.max.messages": "10"})
    topics = Topics(config)
    client = KafkaClient(config, topics, MemberNotes(topics, Member("p", "p.o", 0, "start"), 1))
    writer = client.writer(channel)
    for number in range(10):
        assert writer.write(0, block(str(number)))
    assert not writer.write(0, block("x"), wait=False)
    threading.Timer(0.2, client.wake).start()
    with pytest.raises(WokenError):
        writer.write(0, block("x"))
    with pytest.raises(TransportTimeoutError, match=r"10 blocks.*127\.0\.0\.1:1: Connection refused"):
        client.flush(0.5)
    began = time.monotonic()
    client.close(5)
    assert time.monotonic() - began < 5


def test_a_flush_waits_for_what_was_written_before_it_and_not_for_what_goes_on_being_written(
    channel: ChannelInfo, open_client: OpenClient, transport: KafkaTransport, block: MakeBlock
) -> None:
    """5."""
    client = open_client()
    writer = client.writer(channel)
    client.flush(20)
    first = [writer.write(number % 2, block(str(number))) for number in range(1000)]
    may_end = threading.Event()
    written = 0

    def go_on() -> None:
        nonlocal written
        while not may_end.is_set():
            written += writer.write(0, block("x" * 100_000))

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        client.flush(20)
        ends = transport._topics.offsets([(channel.name, 0), (channel.name, 1)], "latest")
    finally:
        may_end.set()
        thread.join(30)
    assert all(first)
    assert ends[channel.name, 0] >= 500
    assert ends[channel.name, 1] == 500
    client.flush(60)
    assert transport._topics.offsets([(channel.name, 0)], "latest")[channel.name, 0] == 500 + written
    client.close(5)


def test_a_position_of_another_transport_is_refused(channel: ChannelInfo, open_client: OpenClient) -> None:
    reader = open_client().reader(channel, "group", [0])
    with pytest.raises(ConfigurationError, match="'abc' is none of Kafka's"):
        reader.seek(0, "abc")
    with pytest.raises(ConfigurationError, match=r"partitions \[0\], not 1"):
        reader.committed(1)


WRITER = """
import sys
from pypz.core.channels.spi import Block, Guarantee, Member
from pypz.plugins.kafka_io.transport import KafkaTransport

transport = KafkaTransport(sys.argv[1])
info = transport.describe_channel(sys.argv[2])
client = transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
writer = client.writer(info)
number = 0
while True:
    writer.write(0, Block({"n": str(number)}, b"x" * 1000))
    number += 1
    if number % 100 == 0:
        client.flush(30)
        print(number, flush=True)
"""


def test_what_a_writer_flushed_before_kill_9_is_there_in_order_and_uncommitted_blocks_come_again(
    location: str, channel: ChannelInfo, open_client: OpenClient
) -> None:
    """5, 13."""
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, location, channel.name], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process.stdout:
        flushed = 0
        while flushed < 500:
            flushed = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
        flushed = max([flushed, *map(int, process.stdout.read().split())])
    process.wait(30)
    for _ in range(2):  # the second reader: nothing was committed
        client = open_client()
        client.reader(channel, "group", [0]).seek(0, "first")
        found: list[Received] = []
        while blocks := client.read(10_000, 2):
            found += blocks
        assert [int(received.block.headers["n"]) for received in found] == list(range(len(found)))
        assert len(found) >= flushed
        client.close(5)


def test_ten_idle_readers_wake_up_at_most_a_few_times_a_second(
    channel: ChannelInfo, open_client: OpenClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """47: counted, not timed."""
    from pypz.plugins.kafka_io import pulling

    waits: list[float] = []
    take = pulling.Puller._take

    def counting(puller: pulling.Puller) -> object:
        waits.append(time.monotonic())
        return take(puller)

    monkeypatch.setattr(pulling, "BUSY_FOR_S", 0.1)
    monkeypatch.setattr(pulling.Puller, "_take", counting)
    clients = [open_client() for _ in range(10)]
    for client in clients:
        client.reader(channel, "group", [0]).seek(0, "end")
    threads = [threading.Thread(target=client.read, args=(1, 600)) for client in clients]
    for thread in threads:
        thread.start()
    threading.Event().wait(0.5)
    waits.clear()
    threading.Event().wait(2)
    counted = len(waits)
    for client in clients:
        client.wake()
    for thread in threads:
        thread.join(10)
    assert counted <= 10 * 2 * 3


def test_a_writer_opened_anew_writes_to_partitions_that_were_added_meanwhile(
    transport: KafkaTransport, channel: ChannelInfo, open_client: OpenClient, block: MakeBlock
) -> None:
    """By the producer that knows the topic as it was: a client's writers share it."""
    client = open_client()
    client.writer(channel).write(0, block("old"))
    client.flush(10)
    grown = transport.create_channel(ChannelSpec(channel.name, 5), 30)
    assert (grown.partitions, grown.incarnation) == (5, channel.incarnation)
    writer = client.writer(grown)
    assert writer.partition_count() == 5
    for number in range(5):
        writer.write(number, block(f"new {number}"))
    client.flush(10)
    reader = client.reader(grown, "group", range(5))
    for number in range(5):
        reader.seek(number, "first")
    assert sorted(texts(read(client, 6))) == ["new 0", "new 1", "new 2", "new 3", "new 4", "old"]
