"""Promises 6 to 13, 31, 33, 40 and 41: what is read, and where a reader goes on."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest

from pypz.core.channels.spi import Capabilities, Committed
from pypz.core.commons.errors import FencedError, PositionGoneError, TransportError
from pypz.testing.promises import Worker, promise, result_of
from pypz.testing.transport.base import ForgetRead, TransportFixtures, needs_fixture, reader_and_note
from pypz.testing.transport.bench import LONG_S, Bench, DrivenClient, block_of, texts_of


def write(bench: Bench, info: object, texts: Sequence[str], partition: int = 0) -> None:
    """Write and flush blocks by a writer of their own."""
    writing = bench.client("writer")
    writer = writing.writer(info)  # type: ignore[arg-type]
    for text in texts:
        writer.write(partition, block_of(text))
    writing.flush()


def numbers(start: int, end: int) -> list[str]:
    """Texts of the numbers from ``start`` to before ``end``."""
    return [str(number) for number in range(start, end)]


class ReadingPromises(TransportFixtures):
    """Blocks on their way out of the transport, positions and notes."""

    @promise(6)
    def test_06_read_returns_the_first_block_at_once_not_at_the_time_out(self, bench: Bench) -> None:
        """And never more blocks than were asked for."""
        info = bench.channel()
        reading = bench.client()
        reading.reader(info)
        waiting = reading.begin_read(10, LONG_S)
        write(bench, info, ["first"])
        found = result_of(waiting, "a read with a time-out of 600 s whose first block is there", bench.patience_s)
        assert texts_of(found) == ["first"]
        write(bench, info, numbers(0, 20))
        while len(found) < 21:
            some = result_of(reading.begin_read(3, LONG_S), "a read with a time-out of 600 s", bench.patience_s)
            assert 1 <= len(some) <= 3
            found += some

    @promise(7)
    def test_07_wake_ends_a_blocked_read_within_100_ms(self, bench: Bench) -> None:
        """One that comes early ends the next read. The best of ten counts: others use this machine, too."""
        info = bench.channel()
        reading = bench.client()
        reading.reader(info)
        reading.wake()
        assert result_of(reading.begin_read(), "the read behind an early wake", bench.patience_s) == []
        took = []
        for _ in range(10):
            waiting = reading.begin_read()
            threading.Event().wait(0.02)  # let it block; one that does not yet is the early one from above
            began = time.monotonic()
            reading.wake()
            assert result_of(waiting, "a read that was woken", bench.patience_s) == []
            took.append(time.monotonic() - began)
        assert min(took) < 0.1
        write(bench, info, ["behind"])
        assert texts_of(reading.read(1)) == ["behind"]

    @promise(8)
    def test_08_close_during_a_blocked_read_neither_hangs_nor_crashes(self, bench: Bench) -> None:
        """The read returns, or tells that its client was closed; a second close does nothing."""
        info = bench.channel()
        reading = bench.client()
        reading.reader(info)
        waiting = reading.begin_read()
        threading.Event().wait(0.05)
        closer = Worker("closes")
        closer.call(lambda: reading.spi.close(5.0), "ChannelClient.close beside a blocked read", bench.patience_s)
        closer.call(lambda: reading.spi.close(5.0), "a second ChannelClient.close", bench.patience_s)
        closer.close()
        try:
            assert result_of(waiting, "a read whose client was closed", bench.patience_s) == []
        except TransportError:
            pass

    @promise(9)
    def test_09_a_new_client_resumes_exactly_behind_the_committed_position(self, bench: Bench) -> None:
        """By another transport, too; and what was read without commit comes again."""
        info = bench.channel()
        write(bench, info, numbers(0, 10))
        reading = bench.client()
        reader = reading.reader(info)
        assert reader.committed(0) is None
        found = reading.read(10)
        reading.commit((reader, 0, Committed(found[3].next_position, "")))
        reading.close()
        again = bench.client(transport=bench.open_transport())
        reader = again.reader(info)
        rest = again.read(6)
        assert texts_of(rest) == numbers(4, 10)
        other = bench.channel(port="other")
        write(bench, other, numbers(0, 2))
        second = again.reader(other)
        [first, _] = again.read(2)
        stored = [(reader, 0, Committed(rest[2].next_position, "a")), (second, 0, Committed(first.next_position, "b"))]
        again.commit(*stored)  # one unit over two channels: all of it counts
        assert [end.committed(0) for end in (reader, second)] == [committed for _, _, committed in stored]

    @promise(10)
    def test_10_a_new_client_resumes_in_the_middle_of_a_block(self, bench: Bench) -> None:
        """The committed position may be of a block partly handed out: the block comes again, whole, with the note."""
        info = bench.channel()
        write(bench, info, numbers(0, 5))
        reading = bench.client()
        reader = reading.reader(info)
        found = reading.read(5)
        reading.commit((reader, 0, Committed(found[2].position, "7 records of it")))
        reading.close()
        again = bench.client()
        reader = again.reader(info)
        assert reader_and_note(reader) == (found[2].position, "7 records of it")
        assert texts_of(again.read(3)) == numbers(2, 5)
        reader.pause(True)
        write(bench, info, ["later"])
        again.read_nothing()
        reader.pause(False)
        assert texts_of(again.read(1)) == ["later"]
        reader.seek(0, found[3].position)
        assert texts_of(again.read(3)) == ["3", "4", "later"]
        reader.seek(0, "end")
        again.read_nothing()

    @promise(11)
    def test_11_position_and_note_are_stored_together_or_not_at_all(
        self, bench: Bench, capabilities: Capabilities
    ) -> None:
        """Seen from another client while they change, and after a commit that is refused."""
        info = bench.channel()
        write(bench, info, numbers(0, 50))
        reading, watching = bench.client(), bench.client(index=1)
        reader, watched = reading.reader(info), watching.reader(info)
        found = reading.read(50)
        pairs = [(received.next_position, f"note {place}") for place, received in enumerate(found[:-1])]
        worker = Worker("commits")

        def commit_all() -> None:
            for position, note in pairs:
                reading.commit((reader, 0, Committed(position, note)))

        done = worker.submit(commit_all)
        seen = {reader_and_note(watched)}
        while not done.done():
            seen.add(reader_and_note(watched))
        worker.close()
        done.result()
        seen.add(reader_and_note(watched))
        assert seen - {None} <= set(pairs)
        assert reader_and_note(watched) == pairs[-1]
        refused = Committed(found[-1].next_position, "n" * (capabilities.max_note + 1))
        try:
            reading.commit((reader, 0, refused))
        except TransportError:
            assert reader_and_note(watched) == pairs[-1]
        else:
            assert reader_and_note(watched) == (refused.position, refused.note)

    @promise(12)
    def test_12_a_note_of_the_declared_size_returns_unchanged(self, bench: Bench, capabilities: Capabilities) -> None:
        """Notes are text; the core's are JSON."""
        assert capabilities.max_note >= 512, "the core's own notes take up to 500 bytes"
        info = bench.channel()
        write(bench, info, ["block"])
        reading = bench.client()
        reader = reading.reader(info)
        received = reading.read(1)[0]
        note = '{"e":"f\\u00df"}'.ljust(capabilities.max_note, "n")
        reading.commit((reader, 0, Committed(received.next_position, note)))
        reading.close()
        again = bench.client(transport=bench.open_transport()).reader(info)
        assert reader_and_note(again) == (received.next_position, note)
        storing = bench.client("source")
        storing.commit(note=(member_note := bytes(range(256)) * 8))
        storing.close()
        started = bench.client("source", transport=bench.open_transport(), settles=False).settle()
        assert started is not None, "the member's own note was not given back"
        assert started.value == member_note

    @promise(13)
    def test_13_uncommitted_blocks_are_read_again_after_the_reader_died(self, bench: Bench) -> None:
        """Died: closed without a word, or killed where the transport goes across processes."""
        info = bench.channel()
        write(bench, info, numbers(0, 10))
        reading = bench.client()
        reader = reading.reader(info)
        found = reading.read(4, max_blocks=4)
        reading.commit((reader, 0, Committed(found[1].next_position, "")))
        reading.read(10 - len(found))
        reading.close()
        again = bench.client()
        again.reader(info)
        assert texts_of(again.read(8)) == numbers(2, 10)

    @promise(31, "fencing")
    def test_31_settle_by_a_later_start_makes_the_commit_of_the_earlier_one_fail(self, bench: Bench) -> None:
        """With `FencedError`, and nothing of it is stored; another member of the group is not concerned."""
        info = bench.channel()
        write(bench, info, numbers(0, 10))
        early, neighbour = bench.client(), bench.client(index=1)
        reader, beside = early.reader(info), neighbour.reader(info, group="beside")
        positions = [received.next_position for received in early.read(10)]
        early.commit((reader, 0, Committed(positions[2], "early")))
        late = bench.client()
        again = late.reader(info)
        with pytest.raises(FencedError):
            early.commit((reader, 0, Committed(positions[8], "zombie")))
        assert reader_and_note(again) == (positions[2], "early")
        neighbour.commit((beside, 0, Committed(positions[0], "beside")))
        late.commit((again, 0, Committed(positions[4], "late")))
        assert reader_and_note(again) == (positions[4], "late")

    @promise(33)
    def test_33_committed_positions_read_after_settle_are_those_of_the_last_successful_commit(
        self, bench: Bench
    ) -> None:
        """Whoever has committed before, and however often a member is started anew."""
        info = bench.channel()
        write(bench, info, numbers(0, 10))
        last: Committed | None = None
        for number in range(10):
            reading = bench.client(transport=bench.open_transport())
            reader = reading.reader(info)
            assert reader.committed(0) == last
            last = Committed(reading.read(1, max_blocks=1)[0].next_position, str(number))
            reading.commit((reader, 0, last))

    @promise(40)
    def test_40_readers_of_two_groups_each_get_everything_and_commit_apart(self, bench: Bench) -> None:
        """What `group_mode` stands on."""
        info = bench.channel()
        readers: list[tuple[DrivenClient, object]] = []
        for group in ("one", "two"):
            client = bench.client(index=len(readers))
            readers.append((client, client.reader(info, group=group)))
        write(bench, info, numbers(0, 10))
        found = [texts_of(client.read(10)) for client, _ in readers]
        assert found == [numbers(0, 10)] * 2
        first, second = bench.client(index=2), bench.client(index=3)
        one, two = first.reader(info, group="one"), second.reader(info, group="two")
        position = first.read(5, max_blocks=5)[4].next_position
        first.commit((one, 0, Committed(position, "one's")))
        assert two.committed(0) is None
        assert reader_and_note(one) == (position, "one's")

    @promise(41)
    def test_41_a_position_that_retention_has_passed_is_told(
        self, bench: Bench, forget_read: ForgetRead | None
    ) -> None:
        """By `committed`, before anything is read: a reader must not go on elsewhere silently."""
        needs_fixture(forget_read, "forget_read", 41)
        assert forget_read is not None
        info = bench.channel()
        write(bench, info, numbers(0, 10))
        reading = bench.client()
        reader = reading.reader(info)
        found = reading.read(10)
        reading.commit((reader, 0, Committed(found[2].next_position, "")))
        reading.close()
        forget_read(info, 0, found[7].position)
        again = bench.client()
        with pytest.raises(PositionGoneError, match=info.name):
            again.reader(info)
