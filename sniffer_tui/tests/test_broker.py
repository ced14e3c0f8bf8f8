"""A pipeline in another process, over a real Kafka broker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps

from pypz.core.hooks.host import PluginHost
from pypz.sniffer.command import sniff
from pypz.sniffer.model.frames import Frame, Mood
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import plan_of
from pypz.sniffer.programs import PipelineSniffer
from pypz.sniffer.sources.feed import Feed
from pypz.sniffer.sources.places import pipeline_at, pipeline_names

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
PROJECT = Path(__file__).parent / "project"

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not BOOTSTRAP, reason="needs a Kafka broker: set KAFKA_BOOTSTRAP=host:port"),
]


class Elsewhere:
    """A pipeline, and how it is executed in a process of its own."""

    def __init__(self, gate: Path) -> None:
        self.gate = gate
        self.name = f"sniffed_{uuid.uuid4().hex[:8]}"
        self.location = f"kafka://{BOOTSTRAP}"
        self.process: subprocess.Popen[bytes] | None = None

    def pipeline(self) -> TwoSteps:
        made = TwoSteps(self.name)
        made.set_parameter(">>channelLocation", self.location)
        return made

    def start(self, *, replicas: int = 0) -> None:
        code = (
            "from sniffed_pipelines import TwoSteps;"
            "from pypz.executors.pipeline.executor import PipelineExecutor;"
            f"p = TwoSteps({self.name!r});"
            f"p.set_parameter('>>channelLocation', {self.location!r});"
            f"p.writer.set_parameter('gate', {str(self.gate)!r});"
            f"p.reader.set_parameter('replicationFactor', {replicas});"
            "PipelineExecutor(p).start()"
        )
        self.process = subprocess.Popen([sys.executable, "-c", code], cwd=PROJECT)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(60)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(10)

    def forget(self) -> None:
        """Leave no topic behind."""
        if self.process is not None and self.process.poll() is None:
            self.kill()
        transport = PluginHost.default().make_transport(self.location, {})
        try:
            channel = transport.describe_channel(f"{self.name}.reader.inp")
            if channel is not None:
                transport.delete_channel(channel, 30)
            transport.delete_status(self.name, 30)
        finally:
            transport.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[Elsewhere]:
    made = Elsewhere(tmp_path / "gate")
    yield made
    made.forget()


class Watch:
    """A viewer without a screen."""

    def __init__(self, pipeline: TwoSteps) -> None:
        self.model = PipelineModel(pipeline.get_full_name(), plan_of(pipeline))
        locations = [(f"kafka://{BOOTSTRAP}", dict[str, str]())]
        self.feed = Feed(self.model, pipeline.get_full_name(), locations)

    def __enter__(self) -> Watch:
        self.feed.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.feed.close()

    def until(self, look: Callable[[Frame], bool], timeout_s: float = 40) -> Frame:
        deadline = time.monotonic() + timeout_s
        while not look(frame := self.model.frame()):
            assert time.monotonic() < deadline, frame
            time.sleep(0.05)  # a deadline stands above
        return frame


def records(frame: Frame) -> dict[str, int]:
    return {f"{p.member}.{p.name}": p.records or 0 for m in frame.members for p in m.ports}


def test_a_viewer_that_came_first_sees_the_run_from_its_start_to_its_end(elsewhere: Elsewhere) -> None:
    name = elsewhere.name
    with Watch(elsewhere.pipeline()) as watch:
        assert not watch.model.has_run
        elsewhere.start(replicas=1)
        frame = watch.until(lambda f: records(f).get(f"{name}.writer.out") == 10)
        assert {m.name: m.mood for m in frame.members}[f"{name}.writer"] is Mood.RUNNING
        frame = watch.until(
            lambda f: (
                sum(n for port, n in records(f).items() if "reader" in port) == 10
                and all(m.mood is Mood.RUNNING for m in f.members)
            )
        )
        assert [m.name for m in frame.members] == [f"{name}.writer", f"{name}.reader", f"{name}.reader_0"]
        elsewhere.gate.touch()
        assert elsewhere.wait() == 0
        frame = watch.until(lambda f: f.mood is Mood.FINISHED and all(m.exit_code == 0 for m in f.members))
        assert records(frame)[f"{name}.writer.out"] == 30
        assert sum(n for port, n in records(frame).items() if "reader" in port) == 30


def test_a_viewer_that_came_last_shows_the_final_counts(elsewhere: Elsewhere) -> None:
    name = elsewhere.name
    elsewhere.gate.touch()
    elsewhere.start()
    assert elsewhere.wait() == 0
    with Watch(elsewhere.pipeline()) as watch:
        frame = watch.until(lambda f: f.mood is Mood.FINISHED)
        assert records(frame) == {f"{name}.writer.out": 30, f"{name}.reader.inp": 30}
        assert [(m.mood, m.exit_code) for m in frame.members] == [(Mood.FINISHED, 0)] * 2
        assert [p.lag.words for m in frame.members for p in m.ports if p.direction == "in"] == ["0"]


def test_a_killed_process_is_shown_as_lost_and_its_next_run_afresh(elsewhere: Elsewhere) -> None:
    name = elsewhere.name
    with Watch(elsewhere.pipeline()) as watch:
        elsewhere.start()
        first = watch.until(lambda f: records(f).get(f"{name}.reader.inp") == 10)
        elsewhere.kill()
        frame = watch.until(lambda f: all(m.mood is Mood.LOST for m in f.members), 15)
        assert (frame.mood, frame.run) == (Mood.LOST, first.run)
        elsewhere.gate.touch()
        elsewhere.start()
        assert elsewhere.wait() == 0
        frame = watch.until(lambda f: f.mood is Mood.FINISHED and all(m.exit_code == 0 for m in f.members))
        assert frame.run != first.run
        assert records(frame)[f"{name}.writer.out"] == 30


def test_a_location_alone_is_enough_and_a_look_has_an_exit_code(
    elsewhere: Elsewhere, capsys: pytest.CaptureFixture[str]
) -> None:
    name, place = elsewhere.name, elsewhere.location
    with pytest.raises(typer.Exit) as ended:
        sniff(place, name=name, once=True)
    assert ended.value.exit_code == 4
    assert capsys.readouterr().err.endswith("is known there yet\n")
    elsewhere.gate.touch()
    elsewhere.start()
    assert elsewhere.wait() == 0
    assert name in pipeline_names(place)
    rebuilt = pipeline_at(place, name)
    assert [o.name for o in plan_of(rebuilt)] == [o.name for o in plan_of(elsewhere.pipeline())]
    with pytest.raises(typer.Exit) as ended:
        sniff(place, name=name, once=True, as_json=True)
    assert ended.value.exit_code == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["verdict"], told["members"][0]["ports"][0]["records"]) == ("finished", 30)

    sniff(place, name=name, as_json=True)
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert {m["name"]: m["exit_code"] for m in last["members"]} == {f"{name}.writer": 0, f"{name}.reader": 0}

    sniffer = PipelineSniffer(elsewhere.pipeline())
    assert sniffer.sniff() == {}
    assert sniffer.start()
    deadline = time.monotonic() + 30
    while sniffer.sniff()["verdict"] != "finished":
        assert time.monotonic() < deadline
        time.sleep(0.05)  # a deadline stands above
    assert sniffer.stop()


def test_a_pipeline_that_has_not_run_yet_is_waited_for_by_its_location(elsewhere: Elsewhere) -> None:
    told: list[str] = []

    def start(text: str) -> None:
        told.append(text)
        elsewhere.gate.touch()
        elsewhere.start()

    rebuilt = pipeline_at(elsewhere.location, elsewhere.name, start)
    assert rebuilt.get_full_name() == elsewhere.name
    assert [text.partition(" (")[0].partition(";")[0] for text in told] == [
        f"{elsewhere.location}: no run of {elsewhere.name!r} is known there yet"
    ]
    assert elsewhere.wait() == 0


def test_an_absent_broker_is_named_and_the_viewer_goes_on() -> None:
    pipeline = TwoSteps("nobody")
    model = PipelineModel("nobody", plan_of(pipeline))
    feed = Feed(model, "nobody", [("kafka://127.0.0.1:1", {})])
    feed.start()
    try:
        deadline = time.monotonic() + 30
        while not model.frame().notice:
            assert time.monotonic() < deadline
            time.sleep(0.05)  # a deadline stands above
        assert "127.0.0.1:1" in model.frame().notice
    finally:
        began = time.monotonic()
        feed.close()
        assert time.monotonic() - began < 10
