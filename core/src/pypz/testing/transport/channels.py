"""Promises 23 to 28: channels are made, raised, described and deleted."""

from __future__ import annotations

from pypz.core.channels.spi import ChannelSpec, Committed
from pypz.testing.promises import Worker, promise, side_by_side
from pypz.testing.transport.base import TransportFixtures
from pypz.testing.transport.bench import ADMIN_S, Bench, block_of, texts_of
from pypz.testing.transport.reading import numbers, write


class ChannelPromises(TransportFixtures):
    """The life of a channel."""

    @promise(23)
    def test_23_an_observer_creates_nothing(self, bench: Bench) -> None:
        """Neither a status stream, nor a channel, nor a committed position; it sees what comes after it was opened."""
        viewer = bench.status(create=False)
        assert dict(viewer.facts()) == {}
        assert bench.pipeline not in bench.transport.pipelines()
        info = bench.channel()
        write(bench, info, ["before"])
        watcher = Worker("observes")
        observer = watcher.call(lambda: bench.transport.observe(info), "Transport.observe", bench.patience_s)
        write(bench, info, ["after"])
        found = watcher.call(
            lambda: observer.read(10, bench.patience_s), "BlockReader.read of an observer", 2 * bench.patience_s
        )
        assert texts_of(found) == ["after"]
        watcher.close()
        reading = bench.client()
        reader = reading.reader(info)
        assert reader.committed(0) is None
        assert texts_of(reading.read(2)) == ["before", "after"]

    @promise(24)
    def test_24_describe_of_an_absent_channel_creates_nothing(self, bench: Bench) -> None:
        """Not even at the second look, or seen by another transport."""
        name = bench.channel_name()
        assert bench.transport.describe_channel(name) is None
        assert bench.open_transport().describe_channel(name) is None
        assert bench.transport.describe_channel(name) is None

    @promise(25)
    def test_25_create_twice_is_one_channel_with_the_same_incarnation(self, bench: Bench) -> None:
        """Also by five at once, each with a transport of its own."""
        spec = ChannelSpec(bench.channel_name(), 1)
        others = [bench.open_transport() for _ in range(5)]
        found = side_by_side([lambda one=one: one.create_channel(spec, ADMIN_S) for one in others], ADMIN_S)  # type: ignore[misc]
        again = bench.transport.create_channel(spec, ADMIN_S)
        assert {info.incarnation for info in found} == {again.incarnation}
        assert bench.transport.describe_channel(spec.name) == again
        assert (again.name, again.partitions) == (spec.name, 1)

    @promise(26)
    def test_26_delete_then_create_gives_another_incarnation_without_old_positions_and_blocks(
        self, bench: Bench
    ) -> None:
        """Delete returns when the channel is gone; to delete what is absent is done at once."""
        info = bench.channel()
        write(bench, info, numbers(0, 3))
        reading = bench.client()
        reader = reading.reader(info)
        reading.commit((reader, 0, Committed(reading.read(3)[1].next_position, "old")))
        reading.close()
        bench.transport.delete_channel(info, ADMIN_S)
        assert bench.transport.describe_channel(info.name) is None
        bench.transport.delete_channel(info, ADMIN_S)
        again = bench.channel()
        assert again.incarnation != info.incarnation
        fresh = bench.client()
        reader = fresh.reader(again)
        assert reader.committed(0) is None
        fresh.read_nothing()
        write(bench, again, ["new"])
        assert texts_of(fresh.read(1)) == ["new"]

    @promise(27, "partitions", "raise_partitions")
    def test_27_raising_partitions_loses_and_moves_nothing_that_was_written(self, bench: Bench) -> None:
        """Committed positions stay, too; asking for fewer changes nothing."""
        info = bench.channel(2)
        write(bench, info, ["a", "b"], partition=1)
        reading = bench.client()
        reader = reading.reader(info, [0, 1])
        reading.commit((reader, 1, Committed(reading.read(2)[0].next_position, "note")))
        reading.close()
        raised = bench.channel(4)
        assert (raised.incarnation, raised.partitions) == (info.incarnation, 4)
        assert bench.channel(3).partitions == 4
        write(bench, raised, ["c"], partition=3)
        again = bench.client()
        reader = again.reader(raised, range(4))
        found = again.read(2)
        assert sorted((received.partition, text) for received, text in zip(found, texts_of(found), strict=True)) == [
            (1, "b"),
            (3, "c"),
        ]

    @promise(28)
    def test_28_delete_of_another_incarnation_does_nothing(self, bench: Bench) -> None:
        """What an earlier run believes to be its channel may be another by now."""
        old = bench.channel()
        bench.transport.delete_channel(old, ADMIN_S)
        new = bench.channel()
        writing = bench.client("writer")
        writing.writer(new).write(0, block_of("stays"))
        writing.flush()
        bench.transport.delete_channel(old, ADMIN_S)
        assert bench.transport.describe_channel(new.name) == new
        reading = bench.client()
        reading.reader(new)
        assert texts_of(reading.read(1)) == ["stays"]
