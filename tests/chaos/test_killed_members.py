"""Members killed with -9 over a real broker, one process each: nothing is lost, nobody ends too early."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")

pytestmark = [pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")]

HERE = Path(__file__).parent
TIMEOUT_S = 90
COUNT = 1000


class Process:
    """A member's process; its output can be waited for."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment
        )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout:
            for line in self.process.stdout:
                with self._changed:
                    self.lines.append(line.strip())
                    self._changed.notify_all()

    def wait_for(self, verb: str, at_least: int) -> None:
        """Wait until the member has said of so many records that it ``verb`` them."""
        with self._changed:
            found = self._changed.wait_for(lambda: max(self.numbers(verb), default=0) >= at_least, TIMEOUT_S)
        assert found, f"no {verb!r} of {at_least} in {self.lines[-20:]}"

    def kill(self) -> None:
        self.process.kill()
        self.end()

    def end(self) -> int:
        code = self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        return code

    def numbers(self, verb: str) -> list[int]:
        return [int(line.split()[1]) for line in self.lines if line.startswith(f"{verb} ")]


class Drill:
    """One run of the line with a process for each member."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(HERE))
        try:
            from chaos_line import ChaosLine
        finally:
            sys.path.remove(str(HERE))
        pipeline = ChaosLine(f"chaos_{uuid.uuid4().hex[:8]}")
        pipeline.set_parameter(">>channelLocation", f"kafka://{BOOTSTRAP}")
        self.config = folder / "pipeline.yaml"
        self.config.write_text(str(pipeline))
        self.run = uuid.uuid4().hex[:12]
        self.members: list[Process] = []

    def start(self, operator: str) -> Process:
        environment = {**os.environ, "PYTHONPATH": str(HERE), "PYPZ_RUN": self.run, "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "pypz.runnables.operator", str(self.config), operator]
        member = Process(command, environment)
        self.members.append(member)
        return member


@pytest.fixture
def drill(tmp_path: Path) -> Iterator[Drill]:
    made = Drill(tmp_path)
    yield made
    for member in made.members:
        if member.process.poll() is None:
            member.kill()


def test_three_processes_pass_on_every_record_in_order_and_end(drill: Drill) -> None:
    sink, copier, source = (drill.start(name) for name in ("sink", "copier", "source"))
    assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], sink.lines[-5:]
    assert sink.numbers("got") == list(range(COUNT))


def test_a_killed_writer_never_counts_as_finished_and_its_restart_ends_the_run(drill: Drill) -> None:
    sink, copier, source = (drill.start(name) for name in ("sink", "copier", "source"))
    copier.wait_for("copied", 300)
    source.kill()
    sent = source.numbers("sent")[-1]
    assert 0.2 * COUNT <= sent <= 0.8 * COUNT, "the kill did not land in the middle"
    with pytest.raises(subprocess.TimeoutExpired):
        copier.process.wait(3)
    assert sink.process.poll() is None
    again = drill.start("source")
    assert [member.end() for member in (again, copier, sink)] == [0, 0, 0], sink.lines[-5:]
    counts = Counter(sink.numbers("got"))
    assert set(counts) == set(range(COUNT))  # without a member note a source begins anew: doubled, never lost


def test_a_killed_copier_and_sink_go_on_where_they_stopped(drill: Drill) -> None:
    sink, copier, source = (drill.start(name) for name in ("sink", "copier", "source"))
    copier.wait_for("copied", 300)
    copier.kill()
    copied = copier.numbers("copied")[-1]
    assert 0.2 * COUNT <= copied <= 0.8 * COUNT, "the kill did not land in the middle"
    copier = drill.start("copier")
    sink.wait_for("got", 400)
    sink.kill()
    first = sink.numbers("got")
    assert 0.2 * COUNT <= len(set(first)) <= 0.8 * COUNT, "the kill did not land in the middle"
    second = drill.start("sink")
    assert [member.end() for member in (source, copier, second)] == [0, 0, 0], second.lines[-5:]
    counts = Counter([*first, *second.numbers("got")])
    assert set(counts) == set(range(COUNT)), "records were lost"
    doubled = sum(count - 1 for count in counts.values())
    print(f"killed copier at {copied}, sink at {len(first)} records; doubled {doubled}, lost 0")
    assert doubled <= 2 * 400  # what a few commit intervals of 100 ms can hold at 1,000 a second


def test_a_member_that_has_ended_does_nothing_when_it_is_started_again(drill: Drill) -> None:
    sink, copier, source = (drill.start(name) for name in ("sink", "copier", "source"))
    assert source.end() == 0
    again = drill.start("source")
    assert again.end() == 0
    assert again.numbers("sent") == []
    assert [copier.end(), sink.end()] == [0, 0]
    assert sink.numbers("got") == list(range(COUNT))
