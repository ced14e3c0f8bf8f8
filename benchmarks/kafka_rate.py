"""What channels cost: writer to reader through Kafka in one process, by pypz and by a bare loop on the same records.

    .venv/bin/python benchmarks/kafka_rate.py [LOCATION] [RECORDS] [RUNS] [--profile FILE]

The bare loop is a thread with confluent-kafka's Producer and one with its Consumer, fastavro in between, acks=all and
idempotent as pypz has it, in two shapes: a record per message, against which pypz sends records one by one; and arrays of
1,000 records per message, against which it sends lists of 1,000. Lists framed by record, without a goal, are set against the
first shape. The runs alternate. Each is timed from its first record sent to its last one received. Sending lists and
receiving them are told apart, too. Ends with 1 when pypz makes less than half of its peer's speed in either shape, by the
medians; with 2 without a broker. ``--profile`` writes what cProfile sees of the reading operator's thread.
"""

from __future__ import annotations

import argparse
import cProfile
import io
import json
import os
import statistics
import sys
import threading
import time
import uuid
from collections.abc import Callable

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from fastavro import parse_schema, schemaless_reader, schemaless_writer
from lines import SCHEMA, Reader, Writer
from machine import print_machine

from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor

GOAL = 0.5
"""Of the peer's speed."""
STEP = 1000
"""Records of one list, or array."""
TIMEOUT_S = 120
profile: cProfile.Profile | None = None


class TimedWriter(Writer):
    """Notes when it sends its first record."""

    began = 0.0

    def _on_running(self) -> bool | None:
        self.began = self.began or time.perf_counter()
        return super()._on_running()


class TimedReader(Reader):
    """Notes when it has its last record."""

    ended = 0.0

    def _on_running(self) -> bool | None:
        if profile is not None:
            profile.enable()
        super()._on_running()
        if profile is not None:
            profile.disable()
        self.ended = time.perf_counter()
        return None


class TimedLines(Pipeline):
    """Writer to reader, timed."""

    def __init__(self, name: str, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = TimedWriter()
        self.reader = TimedReader()
        self.reader.input_port.connect(self.writer.output_port)


class OneAfterTheOther(TimedLines):
    """The reader begins when the writer has sent everything."""

    def __init__(self, name: str, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.sent = threading.Event()
        self.sent_at = 0.0
        close, run = self.writer.output_port._on_port_close, self.reader._on_running

        def note_end() -> bool:
            self.sent_at = time.perf_counter()
            self.sent.set()
            return close()

        def wait_first() -> bool | None:
            self.sent.wait(TIMEOUT_S)
            return run()

        self.writer.output_port._on_port_close = note_end  # type: ignore[method-assign]
        self.reader._on_running = wait_first  # type: ignore[method-assign]


def run_pypz(location: str, count: int, step: int, framing: str = "batch") -> float:
    """Give the seconds of one run by pypz."""
    pipeline = TimedLines(f"rate_{uuid.uuid4().hex[:6]}")
    pipeline.set_parameter(">>channelLocation", location)
    pipeline.writer.output_port.set_parameter("framing", framing)
    pipeline.writer.count, pipeline.writer.step = count, step
    PipelineExecutor(pipeline).start()
    assert pipeline.reader.count == count
    return pipeline.reader.ended - pipeline.writer.began


def run_pypz_apart(location: str, count: int) -> tuple[float, float]:
    """Give the seconds of sending lists, and of receiving what was sent."""
    pipeline = OneAfterTheOther(f"rate_{uuid.uuid4().hex[:6]}")
    pipeline.set_parameter(">>channelLocation", location)
    pipeline.writer.count, pipeline.writer.step = count, STEP
    PipelineExecutor(pipeline).start()
    assert pipeline.reader.count == count
    return pipeline.sent_at - pipeline.writer.began, pipeline.reader.ended - pipeline.sent_at


class Bare:
    """The peer: two threads, one topic of one partition."""

    def __init__(self, servers: str) -> None:
        self._servers: dict[str, str | int | float | bool] = {"bootstrap.servers": servers}
        self._admin = AdminClient(self._servers)
        self._one = parse_schema(json.loads(SCHEMA))
        self._many = parse_schema({"type": "array", "items": json.loads(SCHEMA)})

    def run(self, count: int, step: int) -> float:
        """Give the seconds of one run; step 1 is a record per message."""
        topic = self._make_topic()
        producer, consumer = self._producer(topic), self._consumer(topic)
        write, read = (self._write_one, self._read_one) if step == 1 else (self._write_many, self._read_many)
        ended: list[float] = []
        reading = threading.Thread(target=lambda: ended.append(self._receive(consumer, count, read)))
        began = time.perf_counter()
        reading.start()
        write(producer, topic, count)
        producer.flush(TIMEOUT_S)
        reading.join(TIMEOUT_S)
        consumer.close()
        self._admin.delete_topics([topic])[topic].result(30)
        return ended[0] - began

    def run_apart(self, count: int) -> tuple[float, float]:
        """Give the seconds of sending arrays, and of receiving what was sent."""
        topic = self._make_topic()
        producer = self._producer(topic)
        began = time.perf_counter()
        self._write_many(producer, topic, count)
        producer.flush(TIMEOUT_S)
        sent = time.perf_counter()
        consumer = self._consumer(topic, wait_s=0)
        began_to_read = time.perf_counter()
        ended = self._receive(consumer, count, self._read_many)
        consumer.close()
        self._admin.delete_topics([topic])[topic].result(30)
        return sent - began, ended - began_to_read

    def _make_topic(self) -> str:
        topic = f"rate-{uuid.uuid4().hex[:6]}"
        self._admin.create_topics([NewTopic(topic, 1, -1)])[topic].result(30)
        return topic

    def _producer(self, topic: str) -> Producer:
        producer = Producer(self._servers | {"acks": "all", "enable.idempotence": True, "linger.ms": 5})
        producer.list_topics(topic, timeout=10)
        return producer

    def _consumer(self, topic: str, wait_s: float = 0.5) -> Consumer:
        consumer = Consumer(
            self._servers
            | {
                "group.id": topic,
                "enable.auto.commit": False,
                "auto.offset.reset": "error",
                "fetch.queue.backoff.ms": 5,
            }
        )
        consumer.list_topics(topic, timeout=10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        if wait_s:
            consumer.consume(1, wait_s)
        return consumer

    def _write_one(self, producer: Producer, topic: str, count: int) -> None:
        for number in range(count):
            into = io.BytesIO()
            schemaless_writer(into, self._one, {"text": f"HelloWorld_{number}"})
            self._produce(producer, topic, into.getvalue())

    def _write_many(self, producer: Producer, topic: str, count: int) -> None:
        for first in range(0, count, STEP):
            into = io.BytesIO()
            records = [{"text": f"HelloWorld_{number}"} for number in range(first, min(first + STEP, count))]
            schemaless_writer(into, self._many, records)
            self._produce(producer, topic, into.getvalue())

    def _produce(self, producer: Producer, topic: str, value: bytes) -> None:
        while True:
            try:
                producer.produce(topic, value, partition=0)
            except BufferError:
                producer.poll(0.05)
            else:
                producer.poll(0)
                return

    def _receive(self, consumer: Consumer, count: int, read: Callable[[bytes], int]) -> float:
        received = 0
        while received < count:
            for message in consumer.consume(1000, 0) or consumer.consume(1, 1.0):
                assert message.error() is None, message.error()
                received += read(message.value() or b"")
        return time.perf_counter()

    def _read_one(self, value: bytes) -> int:
        schemaless_reader(io.BytesIO(value), self._one, None)
        return 1

    def _read_many(self, value: bytes) -> int:
        records = schemaless_reader(io.BytesIO(value), self._many, None)
        assert isinstance(records, list)
        return len(records)


def main() -> int:
    """Alternate, print, compare."""
    global profile
    arguments = argparse.ArgumentParser()
    arguments.add_argument("location", nargs="?", default=f"kafka://{os.environ.get('KAFKA_BOOTSTRAP', '')}")
    arguments.add_argument("records", nargs="?", type=int, default=200_000)
    arguments.add_argument("runs", nargs="?", type=int, default=5)
    arguments.add_argument("--profile")
    given = arguments.parse_args()
    if given.location == "kafka://":
        print("set KAFKA_BOOTSTRAP to a broker's HOST:PORT, or give a location")
        return 2
    if given.profile:
        profile = cProfile.Profile()
    bare = Bare(given.location.removeprefix("kafka://"))
    run_pypz(given.location, 1000, STEP)
    print_machine()
    is_reached = True
    single, arrays = "a record per message", f"arrays of {STEP}"
    shapes = (
        (1, "batch", "sent one by one", 1, single),
        (STEP, "batch", f"sent in lists of {STEP}", STEP, arrays),
        (STEP, "record", f"sent in lists of {STEP}, framing=record", 1, single),
    )
    for step, framing, how, peer_step, peer in shapes:
        ours, theirs = [], []
        for _ in range(given.runs):
            theirs.append(given.records / bare.run(given.records, peer_step))
            ours.append(given.records / run_pypz(given.location, given.records, step, framing))
        ratio = statistics.median(ours) / statistics.median(theirs)
        is_reached = is_reached and (ratio >= GOAL or framing == "record")
        print(
            f"{given.records:,} records {how}: pypz {statistics.median(ours):,.0f} a second "
            f"({min(ours):,.0f} to {max(ours):,.0f}); bare loop, {peer}: {statistics.median(theirs):,.0f} "
            f"({min(theirs):,.0f} to {max(theirs):,.0f}); ratio {ratio:.2f}, goal {GOAL if framing == 'batch' else 'none'}"
        )
    apart = [(run_pypz_apart(given.location, given.records), bare.run_apart(given.records)) for _ in range(given.runs)]
    for place, part in enumerate(("sending alone", "receiving alone")):
        rate, peer_rate = (statistics.median(given.records / run[side][place] for run in apart) for side in (0, 1))
        print(
            f"{given.records:,} records in lists of {STEP}, {part}: pypz {rate:,.0f} a second; bare loop {peer_rate:,.0f}; "
            f"ratio {rate / peer_rate:.2f}, no goal"
        )
    if profile is not None:
        profile.dump_stats(given.profile)
    return 0 if is_reached else 1


if __name__ == "__main__":
    sys.exit(main())
