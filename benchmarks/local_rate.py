"""What channels cost: writer to reader through a local file in one process, by pypz and by a bare loop on the same records.

    .venv/bin/python benchmarks/local_rate.py [LOCATION] [RECORDS] [RUNS]

LOCATION is ``local:`` with a new folder unless given; ``memory:rate`` tells what the core alone costs. pypz sends lists of
1,000. The bare loop is a thread that writes and one that reads, with Python's sqlite3 in WAL mode and fastavro: arrays of
1,000 records a row, ten rows a transaction. Sending and receiving are told apart, too: the reader begins when the writer
has ended, but for what is prefetched. The runs alternate. Ends with 1 when pypz carries fewer than 200,000 records a second,
or makes less than half of the bare loop's speed, by the medians.
"""

from __future__ import annotations

import argparse
import io
import json
import sqlite3
import statistics
import sys
import tempfile
import threading
import time
import uuid
from contextlib import closing
from pathlib import Path

from fastavro import parse_schema, schemaless_reader, schemaless_writer
from kafka_rate import STEP, TIMEOUT_S, OneAfterTheOther, TimedLines
from lines import SCHEMA
from machine import print_machine

from pypz.executors.pipeline.executor import PipelineExecutor

GOAL = 200_000
"""Records a second."""
SHARE = 0.5
"""Of the bare loop's speed."""
ROWS = 10
"""Of one transaction of the bare loop."""


def run_pypz(location: str, count: int) -> dict[str, float]:
    """Give the seconds of each part."""
    at_once = TimedLines(f"rate_{uuid.uuid4().hex[:6]}")
    apart = OneAfterTheOther(f"rate_{uuid.uuid4().hex[:6]}")
    for pipeline in (at_once, apart):
        pipeline.set_parameter(">>channelLocation", location)
        pipeline.writer.count, pipeline.writer.step = count, STEP
        PipelineExecutor(pipeline).start()
        assert pipeline.reader.count == count
    return {
        "writer to reader": at_once.reader.ended - at_once.writer.began,
        "sending alone": apart.sent_at - apart.writer.began,
        "receiving alone": apart.reader.ended - apart.sent_at,
    }


class Bare:
    """The peer: one table in a file."""

    def __init__(self, folder: Path, count: int) -> None:
        self._file = folder / f"{uuid.uuid4().hex[:6]}.sqlite3"
        self._count = count
        self._schema = parse_schema({"type": "array", "items": json.loads(SCHEMA)})
        self._written = threading.Semaphore(0)

    def _connect(self) -> closing[sqlite3.Connection]:
        connection = sqlite3.connect(self._file, isolation_level=None)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = NORMAL")
        return closing(connection)

    def write(self) -> None:
        """Write all."""
        with self._connect() as connection:
            for first in range(0, self._count, STEP * ROWS):
                rows = []
                for start in range(first, min(first + STEP * ROWS, self._count), STEP):
                    into = io.BytesIO()
                    numbers = range(start, min(start + STEP, self._count))
                    schemaless_writer(into, self._schema, [{"text": f"HelloWorld_{number}"} for number in numbers])
                    rows.append((into.getvalue(),))
                connection.execute("BEGIN IMMEDIATE")
                connection.executemany("INSERT INTO blocks (payload) VALUES (?)", rows)
                connection.execute("COMMIT")
                self._written.release()

    def read(self) -> None:
        """Read all."""
        received = last = 0
        with self._connect() as connection:
            while received < self._count:
                assert self._written.acquire(timeout=TIMEOUT_S)
                rows = connection.execute("SELECT id, payload FROM blocks WHERE id > ? ORDER BY id", (last,)).fetchall()
                for number, payload in rows:
                    last = number
                    records = schemaless_reader(io.BytesIO(payload), self._schema, None)
                    assert isinstance(records, list)
                    received += len(records)

    def run(self) -> dict[str, float]:
        """Give the seconds of each part."""
        with self._connect() as connection:
            connection.execute("CREATE TABLE blocks (id INTEGER PRIMARY KEY, payload BLOB)")
        reading = threading.Thread(target=self.read)
        began = time.perf_counter()
        reading.start()
        self.write()
        reading.join(TIMEOUT_S)
        at_once = time.perf_counter() - began
        began = time.perf_counter()
        self.write()
        sent = time.perf_counter()
        self.read()
        return {
            "writer to reader": at_once,
            "sending alone": sent - began,
            "receiving alone": time.perf_counter() - sent,
        }


def main() -> int:
    """Alternate, print, compare."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("location", nargs="?")
    arguments.add_argument("records", nargs="?", type=int, default=500_000)
    arguments.add_argument("runs", nargs="?", type=int, default=5)
    given = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        location = given.location or f"local:{folder}/channels"
        run_pypz(location, 10_000)
        print_machine()
        ours, theirs = [], []
        for _ in range(given.runs):
            theirs.append(Bare(Path(folder), given.records).run())
            ours.append(run_pypz(location, given.records))
    is_reached = True
    for part in ours[0]:
        rates = sorted(given.records / run[part] for run in ours)
        bare = sorted(given.records / run[part] for run in theirs)
        rate, peer = statistics.median(rates), statistics.median(bare)
        print(
            f"{given.records:,} records in lists of {STEP}, {part}: pypz {rate:,.0f} a second ({rates[0]:,.0f} to "
            f"{rates[-1]:,.0f}); bare loop {peer:,.0f} ({bare[0]:,.0f} to {bare[-1]:,.0f}); ratio {rate / peer:.2f}"
        )
        if part == "writer to reader":
            is_reached = rate >= GOAL and rate >= SHARE * peer
    return 0 if is_reached else 1


if __name__ == "__main__":
    sys.exit(main())
