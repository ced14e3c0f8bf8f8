"""What the picture says is so: counts, lag, who is lost, who was started again; by processes that are killed for real."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps

from pypz.core.channels.status import pack
from pypz.core.hooks.host import PluginHost
from pypz.sniffer.model.frames import Frame, MemberView, Mood
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.programs import watching
from pypz.sniffer.wording.table import rows_of

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
PROJECT = Path(__file__).parent / "project"

RUN = """
import json, sys
kind, name, location, writer, replicas, restarts = sys.argv[1:]
import sniffed_pipelines
from pypz.executors.pipeline.executor import PipelineExecutor
p = getattr(sniffed_pipelines, kind)(name)
p.set_parameter(">>channelLocation", location)
for parameter, value in json.loads(writer).items():
    p.writer.set_parameter(parameter, value)
if int(replicas):
    p.reader.set_parameter("replicationFactor", int(replicas))
PipelineExecutor(p, isolation="process", on_failure="continue", max_restarts=int(restarts)).start()
"""


SKEW = """
import os, time
real, skew_s = time.time, float(os.environ["SKEW_S"])
time.time = lambda: real() + skew_s
"""
"""Done by every process before anything else: a clock that is wrong."""


class Elsewhere:
    """A pipeline whose members are processes of their own."""

    def __init__(self, location: str, gate: Path) -> None:
        self.location, self.gate = location, gate
        self.name = f"truth_{uuid.uuid4().hex[:8]}"
        self.process: subprocess.Popen[bytes] | None = None
        self.members: set[int] = set()

    def pipeline(self) -> TwoSteps:
        made = TwoSteps(self.name)
        made.set_parameter(">>channelLocation", self.location)
        return made

    def start(
        self, kind: str = "TwoSteps", *, replicas: int = 0, restarts: int = 0, skew_s: float = 0.0, **writer: int
    ) -> None:
        parameters = json.dumps({"gate": str(self.gate), **writer})
        given = [kind, self.name, self.location, parameters, str(replicas), str(restarts)]
        skew = self.gate.parent / "skew"
        skew.mkdir(exist_ok=True)
        (skew / "sitecustomize.py").write_text(SKEW)
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(skew), str(PROJECT)]), "SKEW_S": str(skew_s)}
        self.process = subprocess.Popen([sys.executable, "-c", RUN, *given], cwd=PROJECT, env=environment)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    def clear(self) -> None:
        self.gate.touch()
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
        transport = PluginHost.default().make_transport(self.location, {})
        try:
            for operator in ("reader", "sink"):
                channel = transport.describe_channel(f"{self.name}.{operator}.inp")
                if channel is not None:
                    transport.delete_channel(channel, 30)
            transport.delete_status(self.name, 30)
        finally:
            transport.close()


KAFKA = pytest.param(
    f"kafka://{BOOTSTRAP}",
    marks=[pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP=host:port")],
    id="kafka",
)


@pytest.fixture(params=["local", KAFKA])
def elsewhere(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Elsewhere]:
    location = f"local:{tmp_path}/channels" if request.param == "local" else request.param
    made = Elsewhere(location, tmp_path / "gate")
    yield made
    made.clear()


def until(model: PipelineModel, look: Callable[[Frame], bool], timeout_s: float = 60) -> Frame:
    deadline = time.monotonic() + timeout_s
    pause = threading.Event()
    while not look(frame := model.frame()):
        assert time.monotonic() < deadline, [(m.name, m.mood, m.state, m.silent_s, m.exit_code) for m in frame.members]
        pause.wait(0.05)
    return frame


def taken(frame: Frame, port: str) -> int:
    return sum(p.records or 0 for m in frame.members for p in m.ports if p.name == port)


def members(frame: Frame, group: str) -> list[MemberView]:
    return [member for member in frame.members if member.group.endswith(f".{group}")]


def test_the_last_counts_are_those_of_the_records_sent_and_taken_with_replicas_too(elsewhere: Elsewhere) -> None:
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start(replicas=2)
        until(model, lambda f: taken(f, "inp") == 10)
        elsewhere.gate.touch()
        assert elsewhere.wait() == 0
        frame = until(model, lambda f: f.mood is Mood.FINISHED and all(m.exit_code == 0 for m in f.members))
        assert (taken(frame, "out"), taken(frame, "inp")) == (30, 30)
        assert [m.name for m in members(frame, "reader")] == [
            f"{elsewhere.name}.{name}" for name in ("reader", "reader_0", "reader_1")
        ]
        assert {p.lag.words for m in members(frame, "reader") for p in m.ports} == {"0"}


def test_a_killed_member_that_is_started_again_stands_there_once(elsewhere: Elsewhere) -> None:
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start(replicas=1, restarts=1)
        frame = until(model, lambda f: taken(f, "inp") == 10 and all(m.mood is Mood.RUNNING for m in f.members))
        killed = members(frame, "reader")[1]
        os.kill(killed.process, signal.SIGKILL)
        frame = until(model, lambda f: any(m.restarts == 1 and m.mood is Mood.RUNNING for m in members(f, "reader")))
        again = members(frame, "reader")
        assert [m.name for m in again] == [f"{elsewhere.name}.reader", f"{elsewhere.name}.reader_0"]
        assert (again[1].restarts, again[0].restarts) == (1, 0)
        assert again[1].process != killed.process
        assert [start.process for start in model.details(killed.name).starts] == [killed.process, again[1].process]
        elsewhere.gate.touch()
        assert elsewhere.wait() == 0
        frame = until(model, lambda f: f.mood is Mood.FINISHED and all(m.exit_code == 0 for m in f.members))
        assert taken(frame, "out") == 30


TICK_S = 0.2
"""A screen is drawn as often, at most."""

TICKS = 25
"""Within 5 s (issue)."""


def ticks_until_lost(model: PipelineModel) -> tuple[int, int]:
    """Look once a tick until all members are lost.

    Returns:
        Ticks since the last sign of life of any, and in how many some came. A tick is never shorter than `TICK_S`, so a
        machine that is slow makes them fewer.
    """
    pause, deadline = threading.Event(), time.monotonic() + 60
    ticks, heard = 0, 0
    before = {member.name: member.silent_s for member in model.frame().members}
    while True:
        pause.wait(TICK_S)
        frame = model.frame()
        ticks += 1
        now = {member.name: member.silent_s for member in frame.members}
        if any(now[name] < before[name] for name in now):
            ticks, heard = 0, heard + 1
        before = now
        if all(member.mood is Mood.LOST for member in frame.members):
            return ticks, heard
        assert time.monotonic() < deadline, now


def kill(elsewhere: Elsewhere, frame: Frame) -> None:
    """Kill the members, and before that hold who would tell their end."""
    assert elsewhere.process is not None
    elsewhere.process.send_signal(signal.SIGSTOP)
    for member in frame.members:
        os.kill(member.process, signal.SIGKILL)
    elsewhere.process.kill()
    elsewhere.process.wait(30)


@pytest.mark.parametrize("skew_s", [-90_000.0, 90_000.0])
def test_members_killed_on_a_host_whose_clock_is_wrong_are_lost_within_5_s(elsewhere: Elsewhere, skew_s: float) -> None:
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start(skew_s=skew_s)
        frame = until(model, lambda f: taken(f, "inp") == 10 and all(m.mood is Mood.RUNNING for m in f.members))
        assert frame.elapsed_s < abs(skew_s) / 2  # seen from its start: by our own clock
        wrong = [(member.since_utc - time.time()) / skew_s for member in frame.members]
        assert [round(one, 1) for one in wrong] == [1.0, 1.0]
        kill(elsewhere, frame)
        ticks, heard = ticks_until_lost(model)
        assert ticks <= TICKS
        assert heard <= 1 / TICK_S  # what was under way: members beat once a second
        frame = until(model, lambda f: f.mood is Mood.LOST)
        assert "0" not in {p.lag.words for m in members(frame, "reader") for p in m.ports}


def test_who_comes_after_a_kill_is_shown_the_last_figures_as_the_least_there_are(elsewhere: Elsewhere) -> None:
    """They change all the time, so that no fact holds them: only the stream's last beats do."""

    def figures(frame: Frame) -> list[tuple[str, int | None, float, bool]]:
        return [(p.name, p.records, p.told_utc, p.is_at_least) for m in frame.members for p in m.ports]

    def are_lost(frame: Frame) -> bool:
        return all(member.mood is Mood.LOST for member in frame.members)

    with watching(elsewhere.pipeline()) as early:
        elsewhere.gate.touch()
        elsewhere.start(count=1_000_000, pause_ms=10)
        frame = until(early, lambda f: taken(f, "inp") >= 150)
        assert {is_at_least for _, _, _, is_at_least in figures(frame)} == {False}
        kill(elsewhere, frame)
        shown = figures(until(early, are_lost))
        assert {is_at_least for _, _, _, is_at_least in shown} == {True}
        with watching(elsewhere.pipeline()) as late:
            assert figures(until(late, are_lost)) == shown
            told = "\n".join(
                str(cell.text) for row in rows_of(elsewhere.name, late.frame().members) for cell in row.cells
            )
            assert all(f">={records:,}" in told for _, records, _, _ in shown)


def test_no_lag_of_0_stands_there_while_records_wait_for_a_killed_reader(elsewhere: Elsewhere) -> None:
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start()
        frame = until(
            model,
            lambda f: taken(f, "inp") == 10 and {p.lag.words for m in members(f, "reader") for p in m.ports} == {"0"},
        )
        os.kill(members(frame, "reader")[0].process, signal.SIGKILL)
        elsewhere.gate.touch()
        until(model, lambda f: taken(f, "out") == 30)
        began, pause = time.monotonic(), threading.Event()
        looks = 0
        while (passed_s := time.monotonic() - began) < 5:
            frame = model.frame()
            if passed_s >= 2:
                looks += 1
                assert [p.lag.words for m in members(frame, "reader") for p in m.ports] != ["0"], frame
            pause.wait(0.02)
        assert looks


def test_a_killed_writer_that_starts_over_stands_there_once_with_what_it_sent_itself(elsewhere: Elsewhere) -> None:
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start(restarts=1)
        frame = until(model, lambda f: taken(f, "inp") == 10 and all(m.mood is Mood.RUNNING for m in f.members))
        [killed] = members(frame, "writer")
        os.kill(killed.process, signal.SIGKILL)
        until(model, lambda f: taken(f, "inp") == 20 and [m.restarts for m in members(f, "writer")] == [1])
        with watching(elsewhere.pipeline()) as late:
            for one in (model, late):
                frame = until(one, lambda f: taken(f, "out") == 10 and taken(f, "inp") == 20)
                assert [m.name.rpartition(".")[2] for m in frame.members] == ["writer", "reader"]
        elsewhere.gate.touch()
        assert elsewhere.wait() == 0
        frame = until(model, lambda f: f.mood is Mood.FINISHED and all(m.exit_code == 0 for m in f.members))
        assert (taken(frame, "out"), taken(frame, "inp")) == (30, 40)


def test_an_operator_that_is_called_otherwise_in_the_next_run_stands_there_by_its_new_name(
    elsewhere: Elsewhere,
) -> None:
    elsewhere.gate.touch()
    with watching(elsewhere.pipeline()) as model:
        for kind, name in (("TwoSteps", "reader"), ("Renamed", "sink")):
            elsewhere.start(kind)
            assert elsewhere.wait() == 0
            names = [f"{elsewhere.name}.{one}" for one in ("writer", name)]
            frame = until(model, lambda f, names=names: [m.name for m in f.members if m.exit_code == 0] == names)  # type: ignore[misc]
            assert [m.name for m in frame.members] == names
            assert (taken(frame, "out"), taken(frame, "inp")) == (30, 30)


def test_entries_of_other_versions_and_broken_ones_change_nothing_for_the_members_and_their_figures(
    elsewhere: Elsewhere,
) -> None:
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start()
        frame = until(model, lambda f: taken(f, "inp") == 10 and all(m.mood is Mood.RUNNING for m in f.members))
        [reader], name = members(frame, "reader"), elsewhere.name
        ref = {"pipeline": name, "run": frame.run, "name": reader.name, "index": 0, "start": reader.start}
        port = {
            "v": 9,
            "operator": {**ref, "zone": "b"},
            "name": "inp",
            "direction": "in",
            "channels": [f"{name}.reader.inp"],
        }
        figures = {"channel": f"{name}.reader.inp", "state": "open", "blocks": 1, "size_bytes": 9, "at_utc": 1.0}
        evil = {**ref, "name": f"{name}.\x1b[2J[bold]x[/]" + "N" * 10_000, "start": "evil"}
        transport = PluginHost.default().make_transport(elsewhere.location, {})
        stream = transport.open_status(name, create=False)
        for key, value in {
            "status/1": pack(v=9, port=port, records=9, depth={"x": 1}, **figures),  # newer, and told late
            "state/2": pack(operator=ref, old="", new="StateOperationInit"),  # older: without the way there
            "mood/3": pack(v=9, operator=ref, mood="fine"),  # of a kind that is not known yet
            "status/4": pack(port=port, records=10**30, **figures),
            "state/5": b"\xff no JSON",
            f"roster/{frame.run}/1": b"[]",
            "state/6": pack(operator=evil, new="StateOperationRunning", at_utc=5.0),
        }.items():
            stream.put(key, value)
        stream.close()
        transport.close()
        with watching(elsewhere.pipeline()) as late:
            for one in (model, late):
                frame = until(one, lambda f: f.notice.startswith("3 entries of the status streams cannot be read"))
                frame = until(one, lambda f: len(f.members) == 3 and taken(f, "inp") == 10)
                [hostile] = [m for m in frame.members if m.start == "evil"]
                assert hostile.name.isprintable()
                assert len(hostile.name) <= 250
                assert members(frame, "reader")[0].state == "StateOperationRunning"
        elsewhere.gate.touch()
        assert elsewhere.wait() == 0
        frame = until(model, lambda f: f.mood is Mood.FINISHED and sum(m.exit_code == 0 for m in f.members) == 2)
        assert (taken(frame, "out"), taken(frame, "inp")) == (30, 30)


BEATS_A_SECOND = 2
"""Of one key at most (design)."""


class Entries:
    """Counts what is written to a pipeline's status stream, by kind and key."""

    def __init__(self, elsewhere: Elsewhere) -> None:
        self._transport = PluginHost.default().make_transport(elsewhere.location, {})
        self._stream = self._transport.open_status(elsewhere.name, create=False)
        self._stream.facts()

    def during(self, seconds: float) -> tuple[Counter[str], Counter[str]]:
        """Facts and beats by key, of so many seconds from now on."""
        found: dict[str, Counter[str]] = {"fact": Counter(), "beat": Counter()}
        self._stream.changes(0)
        deadline = time.monotonic() + seconds
        while (left_s := deadline - time.monotonic()) > 0:
            for entry in self._stream.changes(left_s):
                found[entry.kind][entry.key] += 1
        return found["fact"], found["beat"]

    def close(self) -> None:
        self._stream.close()
        self._transport.close()


def threads_of(process: int) -> list[str]:
    """Names of the threads of a process, as the system knows them."""
    return sorted(task.read_text().strip() for task in Path(f"/proc/{process}/task").glob("*/comm"))


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="threads of other processes are counted in /proc")
def test_ten_viewers_cause_no_thread_no_fact_and_no_figure_in_the_pipeline_s_processes(elsewhere: Elsewhere) -> None:
    window_s = 4.0
    with watching(elsewhere.pipeline()) as model:
        elsewhere.start()
        frame = until(model, lambda f: taken(f, "inp") == 10 and all(m.mood is Mood.RUNNING for m in f.members))
    processes = [member.process for member in frame.members]
    entries = Entries(elsewhere)
    try:
        entries.during(window_s)  # figures that stand still have become facts by now
        before = {process: threads_of(process) for process in processes}
        facts_before, beats_before = entries.during(window_s)
        with ExitStack() as viewers:
            models = [viewers.enter_context(watching(elsewhere.pipeline())) for _ in range(10)]
            for model in models:
                until(model, lambda f: taken(f, "inp") == 10)
            facts, beats = entries.during(window_s)
            assert {process: threads_of(process) for process in processes} == before
        assert set(facts) <= set(facts_before), (facts_before, facts)
        assert set(beats) == set(beats_before)
        for key, count in beats.items():
            assert count <= BEATS_A_SECOND * window_s + 1, (key, count)
    finally:
        entries.close()
    elsewhere.gate.touch()
    assert elsewhere.wait() == 0
