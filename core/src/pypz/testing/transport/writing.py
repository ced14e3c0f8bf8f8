"""Promises 1 to 5: what is written."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Mapping

import pytest

from pypz.core.channels.spi import Block, Capabilities, Committed, Transport
from pypz.core.commons.errors import BlockTooLargeError, TransportError
from pypz.testing.promises import promise, result_of
from pypz.testing.transport.base import TransportFixtures, needs_fixture
from pypz.testing.transport.bench import ADMIN_S, Bench, block_of, texts_of

Peer = Callable[..., "subprocess.Popen[str]"]


class WritingPromises(TransportFixtures):
    """Blocks on their way into the transport."""

    @promise(1)
    def test_01_blocks_of_a_writer_arrive_in_order_per_partition(
        self, bench: Bench, capabilities: Capabilities
    ) -> None:
        """Also with any bytes as payload and any text in headers, unchanged."""
        count = 2 if capabilities.partitions else 1
        info = bench.channel(count)
        writer = bench.client("writer").writer(info)
        assert writer.partition_count() == count
        sent = [Block({"kit-text": "long " * n, "empty": "", "größe": "ß"}, bytes([n % 256]) * n) for n in range(200)]
        for number, block in enumerate(sent):
            assert writer.write(number % count, block)
        reading = bench.client()
        reading.reader(info, range(count))
        found = reading.read(200, max_blocks=7)
        for partition in range(count):
            arrived = [received.block for received in found if received.partition == partition]
            assert [dict(block.headers) for block in arrived] == [dict(b.headers) for b in sent[partition::count]]
            assert [block.payload for block in arrived] == [block.payload for block in sent[partition::count]]

    @promise(2)
    def test_02_a_failed_write_surfaces_at_the_next_write_flush_or_commit(self, bench: Bench) -> None:
        """The write fails because its channel is deleted meanwhile."""
        info = bench.channel()
        writing = bench.client("writer")
        writer = writing.writer(info)
        writer.write(0, block_of("before"))
        writing.flush()
        bench.transport.delete_channel(info, ADMIN_S)
        with pytest.raises(TransportError, match=info.name):
            writer.write(0, block_of("lost"))
            writing.flush()
        with pytest.raises(TransportError, match=info.name):
            writer.write(0, block_of("lost, too"))
            writing.flush()

    @promise(3)
    def test_03_a_full_transport_makes_write_wait_and_lets_it_go_on(
        self,
        make_transport: Callable[[Mapping[str, str]], Transport],
        tight_options: Mapping[str, str] | None,
        pipeline_name: str,
        patience_s: float,
    ) -> None:
        """A write that may not wait is refused, and has written nothing."""
        needs_fixture(tight_options, "tight_options", 3)
        bench = Bench(lambda: make_transport(tight_options or {}), pipeline_name, patience_s)
        try:
            info = bench.channel()
            reading, writer = bench.client(), bench.client("writer").writer(info)
            reader = reading.reader(info)
            accepted = 0
            while writer.write(0, block_of(str(accepted), 1000), wait=False):
                accepted += 1
                assert accepted < 100_000, "100,000 KiB went in without waiting: are these options tight?"
            waiting = writer.begin_write(0, block_of(str(accepted), 1000))
            found: list[str] = []
            while len(found) <= accepted:
                received = reading.read(1)
                found += texts_of(received)
                reading.commit((reader, 0, Committed(received[-1].next_position, "")))
            assert result_of(waiting, "a write that waited for room", patience_s)
            assert found == [str(number) for number in range(accepted + 1)]
        finally:
            bench.close()

    @promise(4)
    def test_04_a_block_above_the_limit_is_refused_before_anything_is_sent(
        self, bench: Bench, capabilities: Capabilities
    ) -> None:
        """The limit is the channel's where it tells one, else the transport's; a block of just that size goes through."""
        info = bench.channel()
        limit = info.max_block or capabilities.max_block
        writing = bench.client("writer")
        writer = writing.writer(info)
        with pytest.raises(BlockTooLargeError, match=str(limit)):
            writer.write(0, Block({"kit-text": "too large"}, bytes(limit + 1)))
        writer.write(0, Block({"kit-text": "just fits"}, bytes(limit)))
        writing.flush()
        reading = bench.client()
        reading.reader(info)
        found = reading.read(1)
        assert texts_of(found) == ["just fits"]
        assert len(found[0].block.payload) == limit

    @promise(5)
    def test_05_flush_returns_only_when_a_second_client_can_read_all(self, bench: Bench) -> None:
        """Whatever becomes of the writer then: nothing is left for its `close` to do."""
        info = bench.channel()
        writing = bench.client("writer", transport=bench.open_transport())
        writer = writing.writer(info)
        for number in range(50):
            writer.write(0, block_of(str(number)))
        writing.flush()
        reading = bench.client(transport=bench.open_transport())
        reading.reader(info)
        found = reading.read(50)
        writing.close()
        assert texts_of(found) == [str(number) for number in range(50)]
