"""Partitions by key: the hash that Kafka's clients use, the same for equal values, order kept for each key."""

from __future__ import annotations

import datetime
import decimal
import enum
import subprocess
import sys
import threading
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.abstracts.channel_ports import ChannelOutputPort
from pypz.core.channels.ends.partitioning import Partitioner, by_partition, key_bytes, murmur2
from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.ends.writer import OutputEnd, Part
from pypz.core.channels.headers import FRAMINGS, Origin
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.roster import Writers
from pypz.core.channels.spi import ChannelSpec, Guarantee, Member
from pypz.core.codecs.json import JsonCodec
from pypz.core.commons.errors import RecordError

KAFKAS = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}
"""What Kafka's own tests expect of its murmur2 (UtilsTest)."""


class Colour(enum.Enum):
    RED = "red"


class Thing:
    def __init__(self, key: Any) -> None:
        self.key = key


@pytest.mark.parametrize("data", sorted(KAFKAS))
def test_the_hash_is_kafkas(data: bytes) -> None:
    assert murmur2(data) == KAFKAS[data] % 2**32


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, decimal.Decimal("1.00")),
        (0.0, -0.0),
        (decimal.Decimal("1.50"), decimal.Decimal("1.5")),
        ("ab", b"ab"),
        (b"ab", bytearray(b"ab")),
        (Colour.RED, "red"),
        (datetime.date(2026, 1, 2), "2026-01-02"),
        (
            datetime.datetime(2026, 1, 2, 12, tzinfo=datetime.UTC),
            datetime.datetime(2026, 1, 2, 13, tzinfo=datetime.timezone(datetime.timedelta(hours=1))),
        ),
        (uuid.UUID(int=7), str(uuid.UUID(int=7))),
        (None, ""),
        (True, "true"),
    ],
)
def test_equal_keys_have_one_hash_however_they_are_written(one: Any, other: Any) -> None:
    assert key_bytes(one) == key_bytes(other)
    partitioner = Partitioner("key")
    assert (
        partitioner.hashes([{"key": one}]) == partitioner.hashes([{"key": other}]) == partitioner.hashes([Thing(one)])
    )


@pytest.mark.parametrize("value", [[1], {"a": 1}, {1}, object(), (1, [2])])
def test_a_value_that_makes_no_key_is_refused_by_field_and_type(value: Any) -> None:
    with pytest.raises(RecordError, match=rf"record 1: field 'a.b'.*type {type(value).__name__} makes no key"):
        Partitioner("a.b").hashes([{"a": {"b": 1}}, {"a": {"b": value}}])


@pytest.mark.parametrize("record", [{"a": {}}, {"a": None}, {"b": 1}, 5, "text", {"a": [1]}])
def test_a_record_without_the_field_is_refused_by_its_name(record: Any) -> None:
    with pytest.raises(RecordError, match=r"record 0: there is no field 'a.b'.*partitionBy"):
        Partitioner("a.b").hashes([record])


def test_the_partition_is_the_same_in_another_process() -> None:
    records = [{"k": key} for key in ("a", "Zürich", 7, 2.5, None, True)]
    code = f"from pypz.core.channels.ends.partitioning import Partitioner; print(Partitioner('k').hashes({records!r}))"
    shown = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONHASHSEED": "7"},
        timeout=60,
    )
    assert shown.stdout.strip() == str(Partitioner("k").hashes(records))


@given(st.lists(st.integers(0, 2**31 - 1)), st.integers(1, 9))
def test_every_record_has_one_partition_and_keeps_its_place(hashes: list[int], partitions: int) -> None:
    found = by_partition(hashes, partitions)
    assert sorted(place for places in found.values() for place in places) == list(range(len(hashes)))
    for number, places in found.items():
        assert places == sorted(places)
        assert {hashes[place] % partitions for place in places} == {number}


class FakeSession:
    """As much of a session as `send` asks for."""

    def __init__(self, outputs: Sequence[OutputEnd]) -> None:
        self.outputs = outputs

    def outputs_of(self, port: Any) -> Sequence[OutputEnd]:
        return self.outputs


KEYS = st.one_of(
    st.integers(-3, 3), st.text(max_size=2), st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False)
)


@settings(max_examples=60, deadline=None)
@given(
    lists=st.lists(st.lists(KEYS, min_size=1, max_size=40), max_size=12),
    partitions=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    framing=st.sampled_from(FRAMINGS),
    flushes=st.sets(st.integers(0, 11)),
)
def test_each_key_arrives_in_one_partition_in_its_order(
    lists: list[list[Any]], partitions: list[int], framing: str, flushes: set[int]
) -> None:
    """One port over channels of several sizes; what the readers of each get is looked at by partition."""
    transport = MemoryTransport(uuid.uuid4().hex)
    codec = JsonCodec()
    member = Member("p", "p.w", 0, "s")
    client = transport.open_client(member, 1, Guarantee.AT_LEAST_ONCE)
    infos = [transport.create_channel(ChannelSpec(f"c{place}", count), 1) for place, count in enumerate(partitions)]
    outputs = [
        OutputEnd(
            client.writer(info),
            info,
            Origin("run", "w", 1, info.incarnation),
            codec,
            linger_s=600,
            send_timeout_s=600,
            wake=client.wake,
            stopped=lambda: False,
            last_cause=lambda: "",
            framing=framing,
        )
        for info in infos
    ]
    port = ChannelOutputPort("out")
    port._partitioner, port._encoder, port._is_by_record = Partitioner("key"), codec, framing == "record"
    port._executing = FakeSession(outputs)  # type: ignore[assignment]
    sent = []
    for turn, keys in enumerate(lists):
        records = [{"key": key, "turn": turn, "place": place} for place, key in enumerate(keys)]
        port.send(records)
        sent += records
        if turn in flushes:
            assert all([output.send_pending(wait=False) for output in outputs])
    for output in outputs:
        output.write_ends()
        output.close()
    for info in infos:
        where: dict[bytes, list[int]] = {}
        got: dict[bytes, list[Any]] = {}
        for number in range(info.partitions):
            for record in read_all(transport, codec, info, number):
                where.setdefault(key_bytes(record["key"]), []).append(number)
                got.setdefault(key_bytes(record["key"]), []).append(record)
        expected: dict[bytes, list[Any]] = {}
        for record in sent:
            expected.setdefault(key_bytes(record["key"]), []).append(record)
        assert got == expected
        for key, numbers in where.items():
            assert set(numbers) == {(murmur2(key) & 0x7FFFFFFF) % info.partitions}
    transport.close()


def read_all(transport: MemoryTransport, codec: JsonCodec, info: Any, number: int) -> list[Any]:
    """Every record of one partition; the reader has ended behind them."""
    client = transport.open_client(Member("p", "p.r", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)

    def decoder_for(headers: Mapping[str, str]) -> Any:
        return codec.record_decoder("json") if headers["pypz-framing"] == "record" else codec.decoder("json")

    end = InputEnd(
        info=info,
        run="run",
        writers=Writers(["w"]),
        reader=client.reader(info, "p.r", [number]),
        changed=threading.Condition(),
        decoder_for=decoder_for,
        tell=print,
    )
    end.start([number])
    while found := client.read(50, 0):
        end.received(found)
    records = []
    while taken := end.take(7):
        records += taken
    assert end.has_ended()
    client.close(1)
    return records


def test_a_failing_iterations_records_are_dropped_in_every_partition() -> None:
    transport = MemoryTransport(uuid.uuid4().hex)
    info = transport.create_channel(ChannelSpec("c", 3), 1)
    client = transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
    output = OutputEnd(
        client.writer(info),
        info,
        Origin("run", "w", 1, info.incarnation),
        JsonCodec(),
        linger_s=600,
        send_timeout_s=600,
        wake=client.wake,
        stopped=lambda: False,
        last_cause=lambda: "",
    )
    for number in range(3):
        output.add(Part(b"1\n", 1), number)
    output.mark_iteration()
    for number in range(3):
        output.add(Part(b"2\n", 1), number)
    output.drop_unfinished()
    output.write_ends()
    assert output.records == 3
    for number in range(3):
        assert read_all(transport, JsonCodec(), info, number) == [1]
    transport.close()


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("has_keys", [False, True])
def test_partitions_added_under_a_writer_are_used_but_not_by_keys(framing: str, has_keys: bool) -> None:
    """Keys would move while records of the old partitions are unread; the end is written to all all the same."""
    transport = MemoryTransport(uuid.uuid4().hex)
    info = transport.create_channel(ChannelSpec("c", 2), 1)
    client = transport.open_client(Member("p", "p.w", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
    output = OutputEnd(
        client.writer(info),
        info,
        Origin("run", "w", 1, info.incarnation),
        JsonCodec(),
        linger_s=600,
        send_timeout_s=600,
        wake=client.wake,
        stopped=lambda: False,
        last_cause=lambda: "",
        framing=framing,
    )
    port = ChannelOutputPort("out")
    port._partitioner = Partitioner("key") if has_keys else None
    port._encoder, port._is_by_record = JsonCodec(), framing == "record"
    port._executing = FakeSession([output])  # type: ignore[assignment]

    def send() -> None:
        for key in range(40):
            port.send([{"key": key}])
            assert output.send_pending(wait=False)

    send()
    grown = transport.create_channel(ChannelSpec("c", 5), 1)
    output.grow(client.writer(grown), grown)
    send()
    output.write_ends()
    where = [{record["key"] for record in read_all(transport, JsonCodec(), grown, number)} for number in range(5)]
    assert sum(map(len, where)) >= 40
    if has_keys:
        assert where[2:] == [set(), set(), set()]
        assert not where[0] & where[1]
    else:
        assert all(where)
    transport.close()
