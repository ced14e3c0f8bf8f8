"""A deployed pipeline: rebuilt from its place, told by its place also where no location answers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import typer
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps

from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.events import DeployedRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentState, MemberStatus
from pypz.sniffer.command import sniff
from pypz.sniffer.forms.plain import PlainViewer
from pypz.sniffer.model.frames import DeployedView, Frame, MemberView, Mood, PortView
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import plan_of, reachable_locations
from pypz.sniffer.programs import watching
from pypz.sniffer.sources.deployment import Deployment
from pypz.sniffer.wording.reasons import Verdict, diagnose


class Shelf(Deployer):
    """A place that only stores; what its members do the test says."""

    def __init__(self) -> None:
        self.stored: dict[str, str] = {}
        self.statuses: list[MemberStatus] = []
        self.told = threading.Event()
        self.trouble = ""

    def deploy(self, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        self.stored[pipeline.get_full_name()] = str(pipeline)

    def destroy(self, name: str, force: bool = False, wait: bool = True) -> None:
        del self.stored[name]

    def restart_operator(self, full_name: str, force: bool = False, wait: bool = True) -> None: ...

    def destroy_operator(self, full_name: str, force: bool = False, wait: bool = True) -> None: ...

    def is_deployed(self, name: str) -> bool:
        return name in self.stored

    def retrieve_pipeline_deployments(self) -> set[str]:
        return set(self.stored)

    def retrieve_deployed_pipeline(self, name: str) -> Pipeline | None:
        return Pipeline.create_from_string(self.stored[name], mock_nonexistent=True) if name in self.stored else None

    def retrieve_operator_state(self, full_name: str) -> DeploymentState:
        return next((s.state for s in self.statuses if s.name == full_name), DeploymentState.NotExisting)

    def retrieve_pipeline_status(self, name: str) -> list[MemberStatus]:
        self.told.set()
        if self.trouble:
            raise ConfigurationError(self.trouble)
        return self.statuses

    def retrieve_operator_logs(self, full_name: str) -> str | None:
        return None


class Shelves:
    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    @hookimpl
    def pypz_make_deployer(self, target: str, options: Mapping[str, str]) -> Deployer | None:
        return self.shelf if target == "shelf" else None


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    made = Shelf()
    plugin = Shelves(made)
    PluginHost.default().register(plugin)
    pipeline = TwoSteps("deployed")
    pipeline.set_parameter(">>channelLocation", "local:/nowhere/at/all")
    made.deploy(pipeline)
    made.stored["deployed"] = made.stored["deployed"].replace("sniffed_pipelines:", "project_elsewhere:")
    yield made
    PluginHost.default().unregister(plugin)


def until(model: PipelineModel, look: Callable[[Frame], bool]) -> Frame:
    deadline = time.monotonic() + 20
    pause = threading.Event()
    while not look(frame := model.frame()):
        assert time.monotonic() < deadline, frame
        pause.wait(0.02)
    return frame


def test_it_is_rebuilt_without_its_code_and_its_members_are_told_though_no_location_answers(shelf: Shelf) -> None:
    shelf.statuses = [
        MemberStatus("deployed.writer", DeploymentState.Open, "ImagePullBackOff: no such image", 2, "node-1"),
        MemberStatus("deployed.reader", DeploymentState.Running),
    ]
    deployment = Deployment("shelf", "deployed", {})
    pipeline = deployment.pipeline()
    assert [o.name for o in plan_of(pipeline)] == ["deployed.reader", "deployed.writer"]
    assert reachable_locations(pipeline) == [("local:/nowhere/at/all", {})]
    with watching(pipeline, [("kafka://127.0.0.1:1", {})], deployment) as model:
        frame = until(model, lambda f: all(m.deployed is not None for m in f.members) and "127.0.0.1:1" in f.notice)
        assert {m.name: m.mood for m in frame.members} == {
            "deployed.writer": Mood.WAITING,
            "deployed.reader": Mood.RUNNING,
        }
        assert frame.members[0].deployed == DeployedView(
            "Open", "ImagePullBackOff: no such image", "shelf", "node-1", 2
        )
        found = diagnose(frame)
        assert (found.verdict, found.why) == (
            Verdict.STUCK,
            "writer has not started: its pod on node-1 cannot pull its image: ImagePullBackOff: no such image",
        )
        shelf.statuses = [replace(one, state=DeploymentState.Completed, reason="") for one in shelf.statuses]
        frame = until(model, lambda f: f.mood is Mood.FINISHED)
        assert diagnose(frame).verdict is Verdict.FINISHED


def test_lines_tell_what_holds_a_pod_once_and_the_end_as_the_place_tells_it(shelf: Shelf) -> None:
    shelf.statuses = [MemberStatus("deployed.writer", DeploymentState.Open, "ErrImagePull: no such image")]
    deployment = Deployment("shelf", "deployed", {})
    told: list[str] = []
    with watching(deployment.pipeline(), [], deployment) as model:
        viewer = threading.Thread(target=PlainViewer(model, told.append).run, daemon=True)
        viewer.start()
        until(model, lambda f: "writer: its pod cannot pull its image" in told)
        shelf.statuses = [replace(shelf.statuses[0], reason="ImagePullBackOff: no such image")]
        until(model, lambda f: any(m.deployed and "BackOff" in m.deployed.reason for m in f.members))
        shelf.statuses = [MemberStatus(f"deployed.{name}", DeploymentState.Completed) for name in ("writer", "reader")]
        viewer.join(20)
        assert not viewer.is_alive()
    assert told.count("writer: its pod cannot pull its image") == 1
    assert told[-1].startswith("deployed: finished after")


def test_a_place_that_does_not_answer_is_named_and_asked_again(shelf: Shelf) -> None:
    shelf.trouble = "no way there"
    deployment = Deployment("shelf", "deployed", {})
    with watching(deployment.pipeline(), [], deployment) as model:
        until(model, lambda f: "shelf: no news from there, trying again: no way there" in f.notice)
        shelf.statuses = [MemberStatus("deployed.writer", DeploymentState.Running)]
        shelf.trouble = ""
        until(model, lambda f: not f.notice)
        until(model, lambda f: any((m.name, m.mood) == ("deployed.writer", Mood.RUNNING) for m in f.members))


def test_what_is_not_deployed_is_refused_with_what_is(shelf: Shelf) -> None:
    with pytest.raises(ConfigurationError, match=r"'other' is not deployed in shelf; deployed there: deployed"):
        Deployment("shelf", "other", {}).pipeline()


def test_the_command_looks_at_what_is_deployed(shelf: Shelf, capsys: pytest.CaptureFixture[str]) -> None:
    shelf.statuses = [MemberStatus("deployed.writer", DeploymentState.Failed, "exit code 137 (OOMKilled)")]
    with pytest.raises(typer.Exit) as ended:
        sniff("deployed", deployed_to="shelf", once=True, seconds=2.0)
    assert ended.value.exit_code == 1
    assert "writer has failed: its pod: exit code 137 (OOMKilled)" in capsys.readouterr().out
    with pytest.raises(typer.Exit) as ended:
        sniff("deployed", namespace="mine", once=True)
    assert ended.value.exit_code == 1
    assert "add --from kubernetes" in " ".join(capsys.readouterr().err.split())


OPEN = DeployedView("Open", "Unschedulable: 0/1 nodes are available", "kubernetes")
OUT = PortView("p.writer_1", "out", "out", "p.reader.in", ("reader.in",))
IN = PortView("p.reader", "in", "in", "p.reader.in", ("writer.out",), "open", 10, rate=0.0, waits_for="p.writer/2/out")
READER = MemberView("p.reader", "p.reader", 0, 1, Mood.RUNNING, "StateOperationRunning", start="s", ports=(IN,))


@pytest.mark.parametrize(
    ("deployed", "of_reader", "of_writer"),
    [
        (
            OPEN,
            "waits for records of writer_1, whose pod finds no node",
            "has not started: its pod finds no node: Unschedulable: 0/1 nodes are available",
        ),
        (
            replace(OPEN, reason="ErrImagePull: not found"),
            "waits for records of writer_1, whose pod cannot pull its image",
            "has not started: its pod cannot pull its image: ErrImagePull: not found",
        ),
        (
            replace(OPEN, reason="Quaint: x"),
            "waits for records of writer_1, whose pod does not start (Quaint)",
            "has not started: its pod does not start (Quaint): Quaint: x",
        ),
        (
            replace(OPEN, reason=""),
            "waits for records of writer_1, which has not started",
            "waits for its pod to start",
        ),
        (
            replace(OPEN, state="NotExisting", reason=""),
            "waits for records of writer_1, which has not started",
            "is not deployed in kubernetes",
        ),
    ],
)
def test_whoever_waits_says_what_holds_the_pod_of_the_other(
    deployed: DeployedView, of_reader: str, of_writer: str
) -> None:
    writer = MemberView("p.writer_1", "p.writer", 2, 0, deployed=deployed, ports=(OUT,))
    found = diagnose(Frame("p", "run1", Mood.RUNNING, members=(writer, READER)))
    assert found.members == {"p.reader": of_reader, "p.writer_1": of_writer}
    assert found.verdict is (Verdict.STUCK if deployed.reason else Verdict.HEALTHY)


def test_a_lost_member_is_told_with_its_pod_s_words_and_one_whose_pod_has_ended_is_not_lost() -> None:
    model = PipelineModel("p", [], clock=lambda: 0.0)
    model.deployment_changed(DeployedRef("p", "p.x"), "Running", "")
    assert model.frame().members == ()
    lost = replace(READER, mood=Mood.LOST, silent_s=9.0, deployed=replace(OPEN, reason="CrashLoopBackOff: back-off"))
    found = diagnose(Frame("p", "run1", Mood.RUNNING, members=(lost,)))
    assert found.members["p.reader"] == (
        "is lost: no sign of life for 0:09; its pod ends again and again: CrashLoopBackOff: back-off"
    )
