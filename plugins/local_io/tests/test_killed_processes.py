"""Processes killed with -9 at random moments, while they write, commit and remove: the file stays whole, nothing is lost."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import pairwise
from pathlib import Path

import pytest
from plugins.local_io.tests.members import Open, open_reading

from pypz.core.channels.spi import ChannelSpec
from pypz.plugins.local_io.database import FILE

KILLS = 6
TIMEOUT_S = 60

OPENING = """
import sys
from pypz.core.channels.spi import Block, Committed, Guarantee, Member, Unit
from pypz.plugins.local_io.transport import LocalTransport

transport = LocalTransport(sys.argv[1])
info = transport.describe_channel("c")
client = transport.open_client(Member("p", sys.argv[2], 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
"""
WRITING = (
    OPENING
    + """
writer = client.writer(info)
number = int(sys.argv[3])
while True:
    for _ in range(7):
        writer.write(number % 2, Block({"number": str(number)}, str(number).encode() * 500))
        number += 1
    client.flush(30)
    print(number, flush=True)
"""
)
READING = (
    OPENING
    + """
reader = client.reader(info, "p.reader", [0, 1])
for partition in (0, 1):
    committed = reader.committed(partition)
    reader.seek(partition, committed.position if committed else "first")
while True:
    for received in client.read(5, 30):
        print(received.partition, received.block.headers["number"], flush=True)
        client.commit(Unit({("c", received.partition): Committed(received.next_position, "")}), 30)
"""
)


@contextmanager
def process(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """Run a script, kill it at the end."""
    made = subprocess.Popen([sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield made
    finally:
        made.kill()
        made.wait(TIMEOUT_S)
        assert made.stdout is not None
        made.stdout.close()


def kill_after(running: subprocess.Popen[str], lines: int) -> list[str]:
    """Kill -9 after so many lines; give all that it said, but for a line that was cut off."""
    assert running.stdout is not None
    said = [running.stdout.readline() for _ in range(lines)]
    running.kill()
    said += running.stdout.read().splitlines(keepends=True)
    return [line.strip() for line in said if line.endswith("\n")]


def check_file(folder: Path) -> None:
    with closing(sqlite3.connect(folder / FILE)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


@pytest.mark.parametrize("seed", [1, 2])
def test_writers_and_readers_killed_at_random_lose_nothing(tmp_path: Path, open_transport: Open, seed: int) -> None:
    chance = random.Random(seed)
    folder = tmp_path / "channels"
    transport = open_transport()
    info = transport.create_channel(ChannelSpec("c", 2), 1)
    open_reading(transport, info, "p.reader").close(1)  # from now on what is not committed is kept
    got: dict[int, list[int]] = {0: [], 1: []}
    sent = 0
    for kill in range(KILLS):
        with process(WRITING, f"local:{folder}", f"p.writer{kill}", str(sent)) as writer:
            with process(READING, f"local:{folder}", "p.reader") as reader:
                written = kill_after(writer, chance.randint(3, 40))  # 21 blocks or more
                for line in kill_after(reader, chance.randint(1, 21)):
                    place, number = line.split()
                    got[int(place)].append(int(number))
        sent = int(written[-1])
        check_file(folder)
    last = open_reading(transport, info, "p.reader")
    while found := last.read(100, 0):
        for received in found:
            got[received.partition].append(int(received.block.headers["number"]))
    for partition, numbers in got.items():
        assert set(numbers) >= set(range(partition, sent, 2)), "blocks that were flushed were lost"
        repeats = sum(later <= earlier for earlier, later in pairwise(numbers))
        assert repeats <= 2 * KILLS, "went back more often than something was killed"
