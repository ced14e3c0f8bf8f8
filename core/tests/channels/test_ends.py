"""Writing and reading ends over the memory transport, without threads: order, resuming, ends, against a model."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.ends.writer import OutputEnd, Part
from pypz.core.channels.error_policy import FAIL, ErrorPolicy
from pypz.core.channels.headers import Note, Origin, partitions_of_member
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.roster import Writers
from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Guarantee, Member, Unit
from pypz.core.commons.errors import DecodeError, RecordError


class Lines:
    """A codec of numbers, one a line."""

    content_type = "lines"
    schema_text = ""
    fingerprint = "lines"

    def encode(self, records: Sequence[Any]) -> bytes:
        return "".join(f"{json.dumps(record)}\n" for record in records).encode()

    def join(self, parts: Sequence[bytes]) -> bytes:
        return b"".join(parts)

    def encode_each(self, records: Sequence[Any]) -> list[bytes]:
        return [json.dumps(record).encode() for record in records]

    def decoder(self, writer_schema: str) -> Any:
        return lambda payload: [json.loads(line) for line in payload.splitlines()]

    def record_decoder(self, writer_schema: str) -> Any:
        return self.decoder(writer_schema)


class Bench:
    """One channel with any number of writers' and readers' starts."""

    def __init__(self, partitions: int, writers: Sequence[str], run: str = "run", policy: ErrorPolicy = FAIL) -> None:
        self.policy = policy
        self.transport = MemoryTransport(uuid.uuid4().hex)
        self.info = self.transport.create_channel(ChannelSpec("c", partitions), 1)
        self.writers = sorted(writers)
        self.run = run
        self.client: Any = None
        self.notices: list[str] = []

    def writer(
        self, name: str, run: str | None = None, incarnation: str | None = None, codec: Lines | None = None
    ) -> OutputEnd:
        client = self.transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
        origin = Origin(run or self.run, name, 1, incarnation or self.info.incarnation)
        return OutputEnd(
            client.writer(self.info),
            self.info,
            origin,
            codec or Lines(),
            linger_s=600,
            send_timeout_s=600,
            wake=client.wake,
            stopped=lambda: False,
            last_cause=lambda: "",
        )

    def reader(self, partitions: Sequence[int] | None = None) -> InputEnd:
        if self.client is not None:
            self.client.close(1)
        self.client = self.transport.open_client(Member("p", "p.r", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
        own = range(self.info.partitions) if partitions is None else partitions
        end = InputEnd(
            info=self.info,
            run=self.run,
            writers=Writers(self.writers),
            reader=self.client.reader(self.info, "p.r", own),
            changed=threading.Condition(),
            decoder_for=lambda headers: Lines().decoder(""),
            tell=self.notices.append,
            policy=self.policy,
        )
        end.start(own)
        return end

    def fill(self, end: InputEnd) -> None:
        while found := self.client.read(3, 0):
            end.received(found)

    def commit(self, end: InputEnd) -> None:
        mark = end.mark()
        if mark.committed:
            self.client.commit(Unit(mark.committed), 1)
        end.committed_entries, end.committed_records = mark.consumed, mark.records


def send(end: OutputEnd, *records: Any) -> None:
    end.add(Part(Lines().encode(records), len(records)))


def test_records_come_out_in_order_and_the_end_only_behind_them() -> None:
    bench = Bench(1, ["w"])
    writer, reader = bench.writer("w"), bench.reader()
    send(writer, 1, 2)
    send(writer, 3)
    writer.write_ends()
    bench.fill(reader)
    assert not reader.has_ended()
    assert reader.take(2) == [1, 2]
    assert not reader.has_ended()
    assert reader.take(10) == [3]
    assert reader.has_ended()


class Narrow(Lines):
    """Takes at most four records into one block, whoever joins them."""

    def join(self, parts: Sequence[bytes]) -> bytes:
        joined = super().join(parts)
        if joined.count(b"\n") > 4 and len(parts) > 1:
            raise RecordError("more than 4 lines")
        return joined


def test_parts_that_the_codec_refuses_to_join_go_out_in_several_blocks() -> None:
    bench = Bench(1, ["w"])
    writer, reader = bench.writer("w", codec=Narrow()), bench.reader()
    for place in range(0, 20, 2):
        send(writer, place, place + 1)
    send(writer, *range(20, 26))  # one part is never refused
    writer.mark_iteration()
    send(writer, 26)
    writer.drop_unfinished()
    writer.write_ends()
    assert (writer.blocks, writer.records) == (6, 26)
    bench.fill(reader)
    assert reader.take(100) == list(range(26))
    assert reader.has_ended()


def test_a_restarted_reader_goes_on_in_the_middle_of_a_block() -> None:
    bench = Bench(1, ["w"])
    writer, reader = bench.writer("w"), bench.reader()
    send(writer, 1, 2, 3, 4, 5)
    writer.send_pending(wait=True)
    bench.fill(reader)
    assert reader.take(2) == [1, 2]
    bench.commit(reader)
    assert reader.take(1) == [3]
    again = bench.reader()
    bench.fill(again)
    assert again.take(10) == [3, 4, 5]


def test_an_end_that_was_read_and_committed_is_known_after_the_readers_restart() -> None:
    bench = Bench(2, ["w1", "w2"])
    reader = bench.reader()
    bench.writer("w1").write_ends()
    bench.fill(reader)
    assert not reader.has_ended()
    bench.commit(reader)
    again = bench.reader()
    bench.fill(again)
    assert again.waiting_for() == "w2"
    bench.writer("w2").write_ends()
    bench.fill(again)
    assert again.has_ended()


def test_the_end_of_an_earlier_run_ends_nothing_and_its_records_are_delivered() -> None:
    bench = Bench(1, ["w"])
    earlier = bench.writer("w", run="earlier")
    send(earlier, 1)
    earlier.write_ends()
    reader = bench.reader()
    bench.fill(reader)
    assert reader.earlier_run == 0
    assert reader.take(10) == [1]
    assert not reader.has_ended()


def test_ends_known_to_a_note_of_an_earlier_run_do_not_count() -> None:
    bench = Bench(1, ["w"])
    reader = bench.reader()
    bench.writer("w").write_ends()
    bench.fill(reader)
    assert reader.has_ended()
    bench.commit(reader)
    bench.run = "later"
    assert not bench.reader().has_ended()


def test_a_writer_that_ended_restarted_and_ended_again_ends_its_reader_once() -> None:
    bench = Bench(1, ["w"])
    reader = bench.reader()
    first = bench.writer("w")
    send(first, 1)
    first.write_ends()
    second = bench.writer("w")
    send(second, 1)
    second.write_ends()
    bench.fill(reader)
    assert reader.take(10) == [1, 1]
    assert reader.has_ended()


def test_blocks_of_another_incarnation_are_ignored_and_said() -> None:
    bench = Bench(1, ["w"])
    reader = bench.reader()
    stray = bench.writer("w", incarnation="other")
    send(stray, 1)
    stray.write_ends()
    bench.fill(reader)
    assert reader.take(10) == []
    assert not reader.has_ended()
    assert reader.foreign == 2
    assert len(bench.notices) == 1


def test_what_a_failed_iteration_added_is_dropped_what_earlier_ones_added_is_sent() -> None:
    bench = Bench(1, ["w"])
    writer, reader = bench.writer("w"), bench.reader()
    send(writer, 1)
    writer.mark_iteration()
    send(writer, 2)
    writer.drop_unfinished()
    writer.send_pending(wait=True)
    bench.fill(reader)
    assert reader.take(10) == [1]


def test_a_block_whose_count_is_wrong_is_a_decode_error_that_names_the_place() -> None:
    bench = Bench(1, ["w"])
    reader = bench.reader()
    raw = bench.transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE).writer(bench.info)
    good = Origin(bench.run, "w", 1, bench.info.incarnation).data(b"1\n", 2, 0, "lines", "lines")
    raw.write(0, Block(good.headers, b"1\n"))
    bench.fill(reader)
    with pytest.raises(DecodeError, match=r"channel 'c', partition 0, position 0.*1 records, its header says 2"):
        reader.take(1)


def test_what_came_before_a_block_that_cannot_be_decoded_is_handed_out_first_and_the_block_may_be_skipped() -> None:
    bench = Bench(1, ["w"])
    reader, writer = bench.reader(), bench.writer("w")
    send(writer, 1, 2)
    writer.send_pending(wait=True)
    raw = bench.transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE).writer(bench.info)
    raw.write(0, Origin(bench.run, "w", 1, bench.info.incarnation).data(b"4\n", 7, 2, "lines", "lines"))
    send(writer, 3)
    writer.write_ends()
    bench.fill(reader)
    assert reader.take(10) == [1, 2]
    for _ in range(2):
        with pytest.raises(DecodeError, match="partition 0, position 1"):
            reader.take(10)
    assert reader.skip_block() == 7
    assert reader.take(10) == [3]
    assert reader.has_ended()
    bench.commit(reader)
    assert reader.lag_entries() == 0


def test_a_note_of_a_thousand_writers_fits_into_what_kafka_takes() -> None:
    writers = [f"pipeline.writer/{number}/output_port" for number in range(1000)]
    note = Note("r" * 12, "i" * 22, 10_000, frozenset(writers))
    text = note.encode(Writers(writers))
    assert len(text) < 500
    assert Note.decode(text, Writers(writers)) == note


@given(st.integers(1, 20), st.integers(1, 20))
def test_every_partition_belongs_to_exactly_one_member(partitions: int, size: int) -> None:
    info = ChannelInfo("c", partitions, "i")
    owned = [number for index in range(size) for number in partitions_of_member(info, index, size)]
    assert sorted(owned) == list(range(partitions))


@settings(max_examples=200, deadline=None)
@given(
    partitions=st.integers(1, 3),
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("send"), st.integers(0, 1), st.integers(1, 5)),
            st.tuples(st.just("cut"), st.integers(0, 1), st.just(0)),
            st.tuples(st.just("take"), st.just(0), st.integers(1, 7)),
            st.tuples(st.just("commit"), st.just(0), st.just(0)),
            st.tuples(st.just("rewind"), st.just(0), st.just(0)),
            st.tuples(st.just("restart"), st.just(0), st.just(0)),
        ),
        max_size=40,
    ),
)
def test_whatever_happens_nothing_is_lost_and_only_the_uncommitted_comes_again(partitions: int, steps: Any) -> None:
    bench = Bench(partitions, ["w0", "w1"], policy=ErrorPolicy(skips=True))
    ends = [bench.writer("w0"), bench.writer("w1")]
    reader = bench.reader()
    sent: list[list[int]] = [[], []]
    final: list[Any] = []  # handed out and committed
    since: list[Any] = []  # handed out since the last commit
    again: list[Any] = []  # handed out before the end went back, to come again in this order
    for what, who, count in [*steps, ("end", 0, 0), ("end", 1, 0), ("take", 0, 10_000)]:
        if what == "send":
            records = [len(sent[who]) + number for number in range(count)]
            sent[who] += records
            send(ends[who], *[[who, record] for record in records])
        elif what == "cut":
            ends[who].send_pending(wait=True)
        elif what == "end":
            ends[who].write_ends()
        elif what == "take":
            bench.fill(reader)
            found = reader.take(count)
            assert found[: len(again)] == again[: len(found)]
            again = again[len(found) :]
            since += found
        elif what == "commit":
            bench.commit(reader)
            final, since = final + since, []
        elif what == "rewind":
            reader.rewind()
            since, again = [], since + again
        else:
            reader, since, again = bench.reader(), [], []
    handed = final + since
    assert reader.has_ended()
    assert reader.lag_entries() >= 0
    for who in (0, 1):
        assert sorted(record for writer, record in handed if writer == who) == sent[who]
    if partitions == 1:
        for who in (0, 1):
            assert [record for writer, record in handed if writer == who] == sent[who]
    bench.commit(reader)
    assert reader.lag_entries() == 0
    assert reader.lag_records() == 0
    bench.transport.close()


def test_a_partition_that_was_added_after_a_writers_end_ends_too() -> None:
    """One writer ends knowing one partition, the next one knows two: its end tells the reader that there are more."""
    bench = Bench(1, ["p.w/0/out", "p.w/1/out"])
    reader = bench.reader()
    asked: list[int] = []
    reader.more_partitions = lambda: asked.append(1)
    early = bench.writer("p.w/0/out")
    early.write_ends()
    assert early.ended_partitions == 1
    info = bench.transport.create_channel(ChannelSpec("c", 2), 1)
    late = bench.writer("p.w/1/out")
    send(late, 1)
    late.send_pending(wait=True)
    send(late, 2)
    late.write_ends()
    bench.fill(reader)
    assert reader.take(10) == [1]
    assert not reader.has_ended()
    assert asked
    with reader.changed:
        reader.writer_closed("p.w/0/out", early.ended_partitions)
        reader.writer_closed("p.w/1/out", late.ended_partitions)
    reader.add(info, bench.client.reader(info, "p.r", [1]), [1])
    assert not reader.has_ended()
    bench.fill(reader)
    assert reader.take(10) == [2]
    assert reader.has_ended()
