"""A group that is rescaled while its run goes on, seen by a viewer that was there and by one that comes later."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps

from pypz.core.channels.runs.retiring import find_left, places_of
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.runs.scaling import Scaling
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.executors.operator.executor import OperatorExecutor
from pypz.sniffer.model.frames import Frame, Mood
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import plan_of
from pypz.sniffer.sources.feed import Feed
from pypz.sniffer.wording.reasons import Verdict, diagnose

DEADLINE_S = 60.0
BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
KAFKA = pytest.param(
    f"kafka://{BOOTSTRAP}",
    marks=[pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP=host:port")],
    id="kafka",
)


class Started:
    """A member in a thread of its own."""

    def __init__(self, operator: Operator, run: str) -> None:
        self._joined = PipelineRun.join(operator, PluginHost.default(), run_id=run)
        self._executor = OperatorExecutor(operator, handle_interrupts=False, run=self._joined)
        self._codes: list[int] = []
        self.thread = threading.Thread(target=lambda: self._codes.append(self._executor.execute()))
        self.thread.start()

    def end(self, *, interrupt: bool = False) -> int:
        if interrupt:
            self._executor.interrupt()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        self._joined.close()
        return self._codes[0]


class Scaled:
    """A pipeline whose reader is run with as many members as are asked for."""

    def __init__(self, location: str, gate: Path) -> None:
        self.name, self.run = f"scaled_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:12]
        self._location, self.gate = location, gate
        self.readers: list[Started] = []
        self.writer: Started | None = None

    def made(self, size: int = 1) -> TwoSteps:
        pipeline = TwoSteps(self.name)
        pipeline.set_parameter(">>channelLocation", self._location)
        pipeline.writer.set_parameter("gate", str(self.gate))
        pipeline.reader.set_parameter("replicationFactor", size - 1)
        return pipeline

    def start(self, size: int) -> None:
        names = self.names(size)
        self.readers = [Started(getattr(self.made(size), name), self.run) for name in names]

    @staticmethod
    def names(size: int) -> list[str]:
        return ["reader", *(f"reader_{index}" for index in range(size - 1))]

    def scale(self, size: int, between: Callable[[], object]) -> None:
        with places_of(PluginHost.default(), self.made(size)) as places:
            scaling = Scaling(places, self.made(size).reader, self.run, size)
            plan = scaling.plan()
            assert [reader.end(interrupt=True) for reader in self.readers] == [130] * plan.before
            self.readers = []
            scaling.carry_out(plan)
        between()
        self.start(size)

    @contextmanager
    def seen(self) -> Iterator[PipelineModel]:
        """A viewer that is told over the stream alone, as in another process."""
        model = PipelineModel(self.name, plan_of(self.made()))
        feed = Feed(model, self.name, [(self._location, {})], PluginHost())
        feed.start()
        try:
            yield model
        finally:
            feed.close()

    def clear(self) -> None:
        for one in [*self.readers, *([self.writer] if self.writer else [])]:
            if one.thread.is_alive():
                one.end(interrupt=True)
        with places_of(PluginHost.default(), self.made()) as places:
            for place in places:
                find_left(place).remove()


@pytest.fixture(params=["local", KAFKA])
def scaled(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Scaled]:
    made = Scaled(f"local:{tmp_path}/channels" if request.param == "local" else request.param, tmp_path / "gate")
    yield made
    made.clear()


def until(model: PipelineModel, look: Callable[[Frame], bool]) -> Frame:
    deadline, pause = time.monotonic() + DEADLINE_S, threading.Event()
    while not look(frame := model.frame()):
        assert time.monotonic() < deadline, [(m.name, m.mood, m.state, m.exit_code) for m in frame.members]
        pause.wait(0.05)
    return frame


def shown(frame: Frame, *moods: Mood) -> list[str]:
    """The readers on the screen, by simple name; only those in these moods where any are given."""
    members = [member for member in frame.members if member.group.endswith(".reader")]
    return [member.name.rpartition(".")[2] for member in members if not moods or member.mood in moods]


def showing(names: list[str], *moods: Mood) -> Callable[[Frame], bool]:
    """Whether a picture shows these readers."""
    return lambda frame: shown(frame, *moods) == names


@pytest.mark.slow
def test_a_group_that_grows_and_shrinks_is_shown_with_the_members_that_it_has(scaled: Scaled) -> None:
    with scaled.seen() as model:
        scaled.writer = Started(scaled.made().writer, scaled.run)
        scaled.start(1)
        until(model, showing(["reader"], Mood.RUNNING))
        for size in (3, 1, 2):
            wanted = scaled.names(size)
            scaled.scale(size, partial(until, model, showing(wanted)))
            frame = until(model, showing(wanted, Mood.RUNNING))
            assert shown(frame) == wanted
            assert diagnose(frame).verdict is Verdict.HEALTHY
            with scaled.seen() as late:
                assert shown(until(late, showing(wanted, Mood.RUNNING))) == wanted
        scaled.gate.touch()
        assert scaled.writer.end() == 0
        assert [reader.end() for reader in scaled.readers] == [0, 0]
        until(model, lambda frame: frame.mood is Mood.FINISHED)
        frame = until(model, showing(["reader", "reader_0"], Mood.FINISHED))
        assert shown(frame) == ["reader", "reader_0"]
        assert sum(p.records or 0 for m in frame.members for p in m.ports if p.name == "out") == 30
