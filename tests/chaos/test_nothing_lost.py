"""A hundred thousand records, and everything that can be killed is killed in their midst: nothing is lost.

A drill whose kills do not land between 20 and 80 % of the run fails. The source waits at a gate behind each kill until the
restarted member has caught up, so that kills land on slow machines, too.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from chaos_drills import Drill, OwnBroker, Process
from chaos_line import LANES

TESTBED = os.environ.get("PYPZ_TESTBED", "")
BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")

COUNT = 100_000
BATCH = 40
PAUSE_MS = 10
COMMIT_MS = 500
PER_INTERVAL = COMMIT_MS // PAUSE_MS * BATCH
"""Records that the source sends at most in one commit interval, and each member handles once it has caught up."""
FIRST_KILL = 22_000
BETWEEN_KILLS = 7_000
TO_THE_GATE = 5_000
"""Records that the source sends at most while who was killed is away."""

pytestmark = pytest.mark.slow

kafka = [pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")]
own_kafka = [pytest.mark.broker, pytest.mark.skipif(not TESTBED, reason="needs PYPZ_TESTBED to kill a broker")]


@dataclass
class Outcome:
    """What came out at the sinks, in the order of their starts."""

    lost: int
    doubled: int
    reordered: int
    seconds: float

    def __str__(self) -> str:
        return f"lost {self.lost}, doubled {self.doubled}, reordered {self.reordered}; {self.seconds:.0f} s"


@dataclass
class LongDrill:
    """A hundred thousand records from source to sink."""

    drill: Drill
    living: dict[str, Process] = field(default_factory=dict)
    sinks: list[Process] = field(default_factory=list)
    kills: list[tuple[str, int]] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def begin(self) -> None:
        sink, copier, source = self.drill.start_line()
        self.living = {"sink": sink, "copier": copier, "source": source}
        self.sinks.append(sink)

    def received(self) -> int:
        """Records that have come out, known by the highest number: they come in order but for what comes again."""
        return max(sink.highest("got") for sink in self.sinks) + 1

    def killed(self, what: str, done: int) -> None:
        self.kills.append((what, done))
        print(f"killed or stopped the {what} at {done} of {COUNT} records", flush=True)

    def kill(self, victim: str) -> None:
        """Kill -9, note where, start it again."""
        self.living[victim].kill()
        self.killed(victim, self.received())
        self.living[victim] = again = self.drill.start(victim)
        if victim == "sink":
            self.sinks.append(again)

    def end(self) -> Outcome:
        codes = {name: member.end() for name, member in self.living.items()}
        assert set(codes.values()) == {0}, {name: (codes[name], self.living[name].lines[-5:]) for name in codes}
        found = [
            [tuple(map(int, line.split()[1:])) for line in sink.lines if line.startswith("got ")] for sink in self.sinks
        ]
        counts = Counter(record[0] for records in found for record in records)
        assert counts.keys() <= set(range(COUNT))
        reordered = sum(count_reordered(records) for records in found)
        lost, doubled = COUNT - len(counts), counts.total() - len(counts)
        return Outcome(lost, doubled, reordered, time.monotonic() - self.began)

    def check(self, outcome: Outcome, victims: Sequence[str], capsys: Any) -> None:
        with capsys.disabled():
            killed = ", ".join(f"{what} at {done}" for what, done in self.kills)
            print(f"\n{COUNT} records; killed {killed}; {outcome}")
        assert [what for what, _ in self.kills] == list(victims)
        assert all(0.2 * COUNT < done < 0.8 * COUNT for _, done in self.kills), self.kills
        assert (outcome.lost, outcome.reordered) == (0, 0)
        members = sum("broker" not in what for what in victims)
        assert outcome.doubled <= members * PER_INTERVAL, (
            f"{outcome.doubled} doubled, {PER_INTERVAL} a kill are allowed"
        )


def freeze(long_drill: LongDrill, broker: OwnBroker) -> None:
    """Have the broker stand still in the midst of connections, until the source, let past its gate, says that it waits."""
    source, words = long_drill.living["source"], "cannot commit yet, tries on"
    before = source.count(words)
    broker.freeze()
    try:
        long_drill.killed("frozen broker", long_drill.received())
        source.let_go_on()
        source.wait_for_words(words, before + 1)
    finally:
        broker.thaw()


def count_reordered(records: Sequence[tuple[int, ...]]) -> int:
    """Count the records that one start of the sink got behind a later one of the same starts and lane, or twice."""
    last: dict[tuple[int, int, int], int] = {}
    found = 0
    for value, source, copier in records:
        key = (source, copier, value % LANES)
        found += value <= last.get(key, -1)
        last[key] = value
    return found


def parameters(**of_source: Any) -> list[tuple[str, str, Any]]:
    """Two partitions a channel, each lane in one of them."""
    pace = {"count": COUNT, "batch": BATCH, "pauseMs": PAUSE_MS, **of_source}
    return [
        *(("source", name, value) for name, value in pace.items()),
        *((operator, "commitIntervalMs", COMMIT_MS) for operator in ("source", "copier", "sink")),
        *((f"{operator}.output_port", "partitionBy", "lane") for operator in ("source", "copier")),
        *((f"{operator}.input_port", "partitions", 2) for operator in ("copier", "sink")),
    ]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[OwnBroker]:
    made = OwnBroker(Path(TESTBED), tmp_path / "bed")
    yield made
    made.close()


@pytest.fixture
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "own kafka":
        own: OwnBroker = request.getfixturevalue("broker")
        return own.location
    return f"kafka://{BOOTSTRAP}" if request.param == "kafka" else f"local:{tmp_path / 'channels'}"


@pytest.fixture
def long_drill(location: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LongDrill]:
    made = LongDrill(Drill(tmp_path, location, parameters(**getattr(request, "param", {}))))
    yield made
    made.drill.close()


def gates(kills: int) -> list[int]:
    return [FIRST_KILL + i * BETWEEN_KILLS + TO_THE_GATE for i in range(kills)]


READERS = ["copier", "sink"] * 3


@pytest.mark.parametrize(
    ("location", "victims", "long_drill"),
    [
        pytest.param(
            "own kafka",
            [*READERS[:3], "frozen broker", "broker", *READERS[3:]],
            {"gates": gates(8), "keepsNotes": True},
            marks=own_kafka,
            id="kafka",
        ),
        pytest.param("local", READERS, {"gates": gates(6)}, id="local"),
    ],
    indirect=["location", "long_drill"],
)
def test_with_copier_and_sink_killed_three_times_nothing_is_lost(
    long_drill: LongDrill, victims: list[str], request: pytest.FixtureRequest, capsys: Any
) -> None:
    long_drill.begin()
    for i, (victim, gate) in enumerate(zip(victims, gates(len(victims)), strict=True)):
        long_drill.living["sink"].wait_for("got", FIRST_KILL + i * BETWEEN_KILLS)
        if victim == "broker":
            broker: OwnBroker = request.getfixturevalue("broker")
            broker.kill()
            long_drill.killed(victim, long_drill.received())
            broker.start_again()
        elif victim == "frozen broker":
            freeze(long_drill, request.getfixturevalue("broker"))
            continue
        else:
            long_drill.kill(victim)
        long_drill.living["sink"].wait_for("got", gate - 1)
        long_drill.living["source"].let_go_on()
    long_drill.check(long_drill.end(), victims, capsys)


@pytest.mark.parametrize("long_drill", [{"keepsNotes": True}], indirect=True, ids=["notes"])
@pytest.mark.parametrize("location", [pytest.param("kafka", marks=kafka), "local"], indirect=True)
def test_with_the_source_killed_three_times_its_note_keeps_all(long_drill: LongDrill, capsys: Any) -> None:
    long_drill.begin()
    for at in (30_000, 50_000, 70_000):
        long_drill.living["source"].wait_for("sent", at)
        long_drill.kill("source")
    long_drill.check(long_drill.end(), ["source"] * 3, capsys)
