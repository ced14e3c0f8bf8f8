"""Parameters of channel ports that change how records travel, each over memory and over a real broker."""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from fastavro import parse_schema, schemaless_reader, schemaless_writer

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.errors import PipelineFailedError, RecordError, SchemaError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor

READING = json.dumps(
    {
        "type": "record",
        "name": "Reading",
        "fields": [
            {
                "name": "station",
                "type": {"type": "record", "name": "Station", "fields": [{"name": "id", "type": "string"}]},
            },
            {"name": "value", "type": "int"},
        ],
    }
)


class Source(Operator):
    """Sends what the test gave, in lists of ``step``."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        work = WORK[self.get_context().get_full_name()]
        for first in range(0, len(work.records), work.step):
            self.output_port.send(work.records[first : first + work.step])
        return True

    def _on_shutdown(self) -> bool:
        WORK[self.get_context().get_full_name()].on_end(self.get_full_name())
        return True


class Sink(Operator):
    """Keeps what it gets, by its own full name."""

    group_mode = False

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort(group_mode=self.group_mode)

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        work = WORK[self.get_context().get_full_name()]
        found = self.input_port.retrieve()
        with work.lock:
            work.got.setdefault(self.get_full_name(), []).extend(found)
            work.on_read(self, found)
        return None

    def _on_shutdown(self) -> bool:
        return True


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.source.output_port.connect(self.sink.input_port)


class Work:
    """What one pipeline's operators do, and what they saw."""

    def __init__(self) -> None:
        self.records: list[Any] = []
        self.step = 7
        self.got: dict[str, list[Any]] = {}
        self.on_read: Callable[[Operator, list[Any]], None] = lambda operator, found: None
        self.on_end: Callable[[str], None] = lambda name: None
        self.lock = threading.Lock()


WORK: dict[str, Work] = {}


@pytest.fixture(params=["memory", "local", pytest.param("kafka", marks=pytest.mark.broker)])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where channels live."""
    if request.param == "memory":
        return f"memory:options-{uuid.uuid4().hex[:8]}"
    if request.param == "local":
        return f"local:{tmp_path / 'channels'}"
    return broker()


def broker() -> str:
    servers = os.environ.get("KAFKA_BOOTSTRAP", "")
    if not servers:
        pytest.skip("needs KAFKA_BOOTSTRAP")
    return f"kafka://{servers}"


@pytest.fixture
def line(location: str) -> Iterator[Line]:
    """A pipeline of a name of its own; nothing of it is left."""
    yield from made(Line, location)


@pytest.fixture
def kafka_line() -> Iterator[Line]:
    yield from made(Line, broker())


def made(kind: type[Any], location: str) -> Iterator[Any]:
    pipeline = kind(f"options-{uuid.uuid4().hex[:8]}")
    pipeline.set_parameter(">>channelLocation", location)
    name = pipeline.get_full_name()
    WORK[name] = Work()
    host = PluginHost.default()
    keeper = host.make_transport(location, {})  # memory: keeps its name between two runs, as a broker would
    yield pipeline
    del WORK[name]
    cleaner = host.make_transport(location, {})
    for operator in vars(pipeline).values():
        if isinstance(operator, Sink):
            info = cleaner.describe_channel(f"{operator.get_full_name()}.input_port")
            if info is not None:
                cleaner.delete_channel(info, 30)
    cleaner.delete_status(name, 30)
    cleaner.close()
    keeper.close()


def work_of(pipeline: Pipeline) -> Work:
    return WORK[pipeline.get_full_name()]


def readings(count: int, stations: int = 5) -> list[Any]:
    return [{"station": {"id": f"s{number % stations}"}, "value": number} for number in range(count)]


def with_schema(pipeline: Line) -> None:
    pipeline.source.output_port.set_schema(READING)
    pipeline.sink.input_port.set_schema(READING)


# --- framing ---


@pytest.mark.parametrize("schema", [None, READING])
def test_records_one_a_message_arrive_in_order(line: Line, schema: str | None) -> None:
    line.source.output_port.set_schema(schema)
    line.sink.input_port.set_schema(schema)
    line.source.output_port.set_parameter("framing", "record")
    work = work_of(line)
    work.records = readings(500)
    PipelineExecutor(line).start()
    assert work.got[line.sink.get_full_name()] == work.records


@pytest.mark.broker
@pytest.mark.parametrize("schema", [None, READING])
def test_any_consumer_can_read_what_is_framed_by_record(kafka_line: Line, schema: str | None) -> None:
    kafka_line.source.output_port.set_schema(schema)
    kafka_line.sink.input_port.set_schema(schema)
    kafka_line.source.output_port.set_parameter("framing", "record")
    work_of(kafka_line).records = readings(20)
    PipelineExecutor(kafka_line).start(ExecutionMode.WithoutResourceDeletion)
    parsed = parse_schema(json.loads(READING))
    found = []
    for headers, value in consumed(f"{kafka_line.sink.get_full_name()}.input_port"):
        if headers["pypz-kind"] == b"data":
            found.append(json.loads(value) if schema is None else schemaless_reader(BytesIO(value), parsed, None))
    assert found == readings(20)


@pytest.mark.broker
@pytest.mark.parametrize("schema", [None, READING])
def test_a_foreign_producers_message_is_a_record_of_the_ports_own_schema(kafka_line: Line, schema: str | None) -> None:
    kafka_line.source.output_port.set_schema(schema)
    kafka_line.sink.input_port.set_schema(schema)
    name = f"{kafka_line.sink.get_full_name()}.input_port"
    PipelineExecutor(kafka_line).start(ExecutionMode.WithoutResourceDeletion)
    producer = Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"]})
    for record in readings(3):
        producer.produce(name, encoded(record, schema), partition=0)
    assert producer.flush(20) == 0
    work_of(kafka_line).records = readings(10)
    PipelineExecutor(kafka_line).start()
    assert work_of(kafka_line).got[kafka_line.sink.get_full_name()] == readings(3) + readings(10)


def encoded(record: Any, schema: str | None) -> bytes:
    if schema is None:
        return json.dumps(record, indent=2).encode()
    into = BytesIO()
    schemaless_writer(into, parse_schema(json.loads(schema)), record)
    return into.getvalue()


def consumed(topic: str) -> list[tuple[dict[str, bytes], bytes]]:
    """Everything in partition 0 of a topic, by a consumer that knows nothing of pypz."""
    consumer = Consumer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"], "group.id": topic + ".stranger"})
    place = TopicPartition(topic, 0, 0)
    _, end = consumer.get_watermark_offsets(place, timeout=20)
    consumer.assign([place])
    found: list[tuple[dict[str, bytes], bytes]] = []
    while len(found) < end:
        message = consumer.poll(20)
        assert message is not None, "the topic holds less than its end says"
        assert message.error() is None
        headers: Any = dict(message.headers() or ())
        found.append((headers, message.value() or b""))
    consumer.close()
    return found


# --- partitions by key ---


@pytest.mark.parametrize("framing", ["batch", "record"])
def test_records_of_one_key_reach_one_member_in_order(line: Line, framing: str) -> None:
    with_schema(line)
    line.sink.set_parameter("replicationFactor", 2)
    line.source.output_port.set_parameter("partitionBy", "station.id")
    line.source.output_port.set_parameter("framing", framing)
    work = work_of(line)
    work.records = readings(300, stations=11)
    PipelineExecutor(line).start()
    assert sum(len(found) for found in work.got.values()) == 300
    for station in {record["station"]["id"] for record in work.records}:
        found = [[r for r in records if r["station"]["id"] == station] for records in work.got.values()]
        assert [r for records in found for r in records] == [r for r in work.records if r["station"]["id"] == station]
        assert sum(bool(records) for records in found) == 1
    assert sum(bool(records) for records in work.got.values()) == 3


@pytest.mark.parametrize(
    ("record", "words"),
    [
        ({"value": 1}, r"output_port: record 1: there is no field 'station.id'.*partitionBy.*it has value"),
        ({"station": {"id": [1]}}, r"output_port: record 1: field 'station.id'.*\[1\].*list makes no key"),
    ],
)
def test_a_record_without_key_is_refused_by_name_and_nothing_is_sent(line: Line, record: Any, words: str) -> None:
    line.source.output_port.set_parameter("partitionBy", "station.id")
    work_of(line).records = [readings(1)[0], record]
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(line).start()
    assert isinstance(caught.value.__cause__, RecordError)
    assert caught.value.__cause__.args
    with pytest.raises(RecordError, match=words):
        raise caught.value.__cause__
    assert not any(work_of(line).got.values())


@pytest.mark.broker
def test_other_clients_of_kafka_find_the_same_partition_for_a_key(kafka_line: Line) -> None:
    """librdkafka's own murmur2, in its partitioner, is the judge."""
    from pypz.core.channels.ends.partitioning import key_bytes, murmur2

    kafka_line.sink.input_port.set_parameter("partitions", 7)
    PipelineExecutor(kafka_line).start(ExecutionMode.ResourceCreationOnly)
    placed: dict[bytes, int] = {}

    def delivered(error: Any, message: Any) -> None:
        assert error is None
        placed[message.key()] = message.partition()

    producer = Producer({"bootstrap.servers": os.environ["KAFKA_BOOTSTRAP"], "partitioner": "murmur2"})
    keys = [
        key_bytes(value) for value in (*range(-5, 60), "Zürich", "a-little-bit-long-string", True, 1.5, b"\x00\xff")
    ]
    for key in keys:
        producer.produce(f"{kafka_line.sink.get_full_name()}.input_port", b"", key=key, on_delivery=delivered)
    assert producer.flush(20) == 0
    assert {key: (murmur2(key) & 0x7FFFFFFF) % 7 for key in keys} == placed


# --- who reads what, and when ---


class SinkOfAll(Sink):
    """Every member gets everything."""

    group_mode = True


class ToAll(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = SinkOfAll()
        self.source.output_port.connect(self.sink.input_port)


@pytest.fixture
def to_all(location: str) -> Iterator[ToAll]:
    yield from made(ToAll, location)


@pytest.mark.parametrize("partitions", [None, 3])
def test_in_group_mode_each_member_gets_everything(to_all: ToAll, partitions: int | None) -> None:
    to_all.sink.set_parameter("replicationFactor", 2)
    to_all.source.set_parameter("replicationFactor", 1)
    to_all.sink.input_port.set_parameter("partitions", partitions)
    work = work_of(to_all)
    work.records = readings(100)
    PipelineExecutor(to_all).start()
    expected = sorted(json.dumps(record) for record in work.records * 2)
    assert len(work.got) == 3
    for found in work.got.values():
        assert sorted(json.dumps(record) for record in found) == expected
    assert left_of(to_all) == []


def test_in_group_mode_each_member_goes_on_from_its_own_position(to_all: ToAll) -> None:
    """The principal fails after its first records; its next start gets the rest, the other member what it had not read."""
    to_all.sink.set_parameter("replicationFactor", 1)
    to_all.sink.input_port.set_parameter("maxRetrieveRecords", 10)
    work = work_of(to_all)
    work.records = readings(60)

    def fail(operator: Operator, found: list[Any]) -> None:
        if operator.is_principal():
            operator.input_port.commit_current_read_offset()
            if len(work.got[operator.get_full_name()]) >= 20:
                raise ValueError("enough")

    work.on_read = fail
    with pytest.raises(PipelineFailedError, match="enough"):
        PipelineExecutor(to_all).start()
    work.records, work.on_read = [], lambda operator, found: None
    before = len(work.got[to_all.sink.get_full_name()])
    PipelineExecutor(to_all).start()
    assert before == 20
    for found in work.got.values():
        assert {record["value"] for record in found} == set(range(60))
    assert len(work.got[to_all.sink.get_full_name()]) == 60


def left_of(pipeline: Any) -> list[str]:
    """Channels that are still there."""
    transport = PluginHost.default().make_transport(pipeline.sink.input_port.transport_location(), {})
    name = f"{pipeline.sink.get_full_name()}.input_port"
    found = [name] if transport.describe_channel(name) is not None else []
    transport.close()
    return found


def test_in_sequential_mode_nothing_is_read_before_all_is_written(line: Line) -> None:
    line.source.set_parameter("replicationFactor", 1)
    line.sink.set_parameter("replicationFactor", 1)
    line.sink.input_port.set_parameter("sequentialModeEnabled", True)
    work = work_of(line)
    work.records = readings(200)
    ended: list[str] = []
    work.on_end = ended.append
    seen: list[int] = []
    work.on_read = lambda operator, found: seen.append(len(ended)) if found else None
    PipelineExecutor(line).start()
    assert set(seen) == {2}
    assert sum(len(found) for found in work.got.values()) == 400


@pytest.mark.parametrize("size", [300])
def test_in_sequential_mode_more_than_a_channels_bound_ends(line: Line, size: int, capfd: Any) -> None:
    is_bounded = not str(line.source.output_port.get_parameter("channelLocation")).startswith("kafka:")
    if is_bounded:
        line.set_parameter(">>channelConfig", {"max.bytes": 20_000})
    line.sink.input_port.set_parameter("sequentialModeEnabled", True)
    line.source.output_port.set_parameter("lingerMs", 0)
    work = work_of(line)
    work.records = [{"text": "x" * 1000, "n": n} for n in range(size)]
    PipelineExecutor(line).start()
    assert work.got[line.sink.get_full_name()] == work.records
    warned = capfd.readouterr().err.count("holds more than its bound of 20000 bytes and grows on")
    assert warned == (1 if is_bounded else 0)


def test_opening_waits_for_every_writer_that_has_not_joined_and_names_it(line: Line) -> None:
    line.source.set_parameter("replicationFactor", 1)
    line.sink.input_port.set_parameter("syncConnectionsOpen", True)
    line.sink.input_port.set_parameter("portOpenTimeoutMs", 300)
    run = PipelineRun.start(line, PluginHost.default())
    session = run.enter(line.source, ExecutionMode.Standard)  # one of two
    code = OperatorExecutor(line.sink, False, run=run).execute()
    session.close()
    run.finish("failed")
    run.close()
    assert code == 114


def test_with_all_writers_there_opening_goes_on(line: Line) -> None:
    line.source.set_parameter("replicationFactor", 2)
    line.sink.input_port.set_parameter("syncConnectionsOpen", True)
    line.sink.input_port.set_parameter("portOpenTimeoutMs", 20_000)
    work_of(line).records = readings(10)
    PipelineExecutor(line).start()
    assert len(work_of(line).got[line.sink.get_full_name()]) == 30


# --- cycles ---


class Counter(Sink):
    """Sends each number on, one lower; ends by itself with the first 0 when the test says so."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()
        self.ends_itself = False

    def _on_running(self) -> bool | None:
        found = self.input_port.retrieve()
        work = WORK[self.get_context().get_full_name()]
        with work.lock:
            work.got.setdefault(self.get_full_name(), []).extend(found)
        self.output_port.send([number - 1 for number in found if number > 0])
        return True if self.ends_itself and 0 in found else None


class Ring(Pipeline):
    """source -> sink <-> back: the two count down in turn."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Counter()
        self.back = Counter()
        self.sink.ends_itself = True
        self.source.output_port.connect(self.sink.input_port)
        self.sink.output_port.connect(self.back.input_port)
        self.back.output_port.connect(self.sink.input_port)


@pytest.fixture
def ring(location: str) -> Iterator[Ring]:
    yield from made(Ring, location)


def test_a_cycle_ends_when_one_of_its_members_ends_itself(ring: Ring) -> None:
    work = work_of(ring)
    work.records = [20]
    assert set(PipelineExecutor(ring).start().values()) == {0}
    assert work.got[ring.sink.get_full_name()] == list(range(20, -1, -2))
    assert work.got[ring.back.get_full_name()] == list(range(19, 0, -2))
    assert left_of(ring) == []


def test_what_is_unread_in_a_cycle_is_told_with_its_count(ring: Ring, capfd: Any) -> None:
    ring.sink.input_port.set_parameter("maxRetrieveRecords", 1)
    work = work_of(ring)
    work.records, work.step = [0, *range(100, 137)], 100
    assert set(PipelineExecutor(ring).start().values()) == {0}
    assert work.got[ring.sink.get_full_name()] == [0]
    told = f"channel '{ring.sink.get_full_name()}.input_port' is deleted with 37 unread records"
    assert capfd.readouterr().err.count(told) == 1


# --- schemas ---

NEWER = json.dumps(
    {
        "type": "record",
        "name": "Reading",
        "fields": [{"name": "value", "type": "long"}, {"name": "new", "type": "int", "default": 5}],
    }
)
BROKEN = json.dumps({"type": "record", "name": "Reading", "fields": [{"name": "value", "type": "string"}]})


@pytest.mark.filterwarnings("ignore:.*different schemas")
@pytest.mark.parametrize("framing", ["batch", "record"])
def test_a_reader_of_a_newer_schema_reads_by_avros_rules(line: Line, framing: str) -> None:
    line.source.output_port.set_schema(READING)
    line.sink.input_port.set_schema(NEWER)
    line.source.output_port.set_parameter("framing", framing)
    work_of(line).records = readings(5)
    PipelineExecutor(line).start()
    assert work_of(line).got[line.sink.get_full_name()] == [{"value": n, "new": 5} for n in range(5)]


def test_schemas_that_cannot_be_resolved_are_refused_at_start_naming_ports_and_field(line: Line) -> None:
    line.source.output_port.set_schema(READING)
    line.sink.input_port.set_schema(BROKEN)
    with pytest.raises(
        SchemaError, match=r"sink\.input_port is connected to .*source\.output_port: .*field 'value'.*int.*string"
    ):
        PipelineExecutor(line).start()
    assert not work_of(line).got


# --- partitions that are added ---


def test_partitions_added_within_a_run_are_read_by_all_members_also_what_earlier_writers_never_knew(line: Line) -> None:
    """The principal starts anew with more partitions; the other reader goes on; one writer had ended before."""
    line.source.set_parameter("replicationFactor", 1)
    line.sink.set_parameter("replicationFactor", 1)
    work = work_of(line)
    work.records = readings(40)
    run = PipelineRun.start(line, PluginHost.default())
    codes: dict[str, int] = {}

    def start(operator: Any, name: str) -> tuple[OperatorExecutor, threading.Thread]:
        executor = OperatorExecutor(operator, False, run=run)
        thread = threading.Thread(target=lambda: codes.update({name: executor.execute()}))
        thread.start()
        return executor, thread

    principal, principal_thread = start(line.sink, "first start")
    _, reader_thread = start(line.sink.get_replica(0), "reader")
    _, writer_thread = start(line.source, "early writer")
    writer_thread.join(30)
    principal.interrupt()
    principal_thread.join(30)
    assert codes == {"early writer": 0, "first start": 130}
    line.sink.input_port.set_parameter("partitions", 5)
    _, principal_thread = start(line.sink, "principal")
    await_partitions(line, 5)
    _, writer_thread = start(line.source.get_replica(0), "late writer")
    for thread in (writer_thread, principal_thread, reader_thread):
        thread.join(30)
    run.interrupt()  # whoever still waits
    run.finish("finished")
    run.close()
    assert codes == {"early writer": 0, "first start": 130, "principal": 0, "late writer": 0, "reader": 0}
    got = sorted(record["value"] for found in work.got.values() for record in found)
    assert got == sorted([*range(40), *range(40)])
    assert left_of(line) == []


def await_partitions(pipeline: Line, count: int) -> None:
    """Wait until the channel was given so many partitions, by its entry in the status stream."""
    location = pipeline.sink.input_port.transport_location() or ""
    transport = PluginHost.default().make_transport(location, {})
    stream = transport.open_status(pipeline.get_full_name(), create=False)
    key = f"channel/{pipeline.sink.get_full_name()}.input_port"
    deadline = time.monotonic() + 30
    while True:
        entry = stream.facts().get(key)
        if entry is not None and json.loads(entry.value or b"{}").get("partitions") == count:
            break
        assert time.monotonic() < deadline, "the channel was not given its partitions"
        stream.changes(1.0)
    stream.close()
    transport.close()


def test_with_keys_partitions_are_added_only_when_all_was_read(line: Line) -> None:
    line.source.output_port.set_parameter("partitionBy", "value")
    work = work_of(line)
    work.records = readings(50)

    def fail(operator: Operator, found: list[Any]) -> None:
        if found:
            raise ValueError("broken sink")

    work.on_read = fail
    with pytest.raises(PipelineFailedError, match="broken sink"):
        PipelineExecutor(line).start()
    work.records, work.got, work.on_read = [], {}, lambda operator, found: None
    line.sink.input_port.set_parameter("partitions", 3)
    with pytest.raises(
        PipelineFailedError, match=r"has 1 partitions and holds unread records, 3 are asked for.*partitionBy 'value'"
    ):
        PipelineExecutor(line).start()
    assert not any(work.got.values())
    line.sink.input_port.set_parameter("partitions", 1)
    PipelineExecutor(line).start(ExecutionMode.WithoutResourceDeletion)
    assert len(work.got[line.sink.get_full_name()]) == 50
    line.sink.input_port.set_parameter("partitions", 3)
    PipelineExecutor(line).start()
