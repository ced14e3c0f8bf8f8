"""All that is told of what is selected: as lines, and on the screen."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps
from sniffer_tui.tests.test_app import until
from textual.widgets import Static

from pypz.core.commons.origins import setting_from
from pypz.core.hooks.events import (
    ChannelStatus,
    DeployedRef,
    ErrorInfo,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.sniffer.model.frames import Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import plan_of
from pypz.sniffer.screen.app import SnifferApp
from pypz.sniffer.wording.description import Description
from pypz.sniffer.wording.details import clock_words, details_of
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.reasons import diagnose

NOON = 1_790_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def pipeline() -> TwoSteps:
    made = TwoSteps("demo")
    with setting_from("-p"):
        made.set_parameter(">>channelLocation", "local:/x")
        made.set_parameter(">>channelConfig", {"sasl.password": "hush"})
    return made


@pytest.fixture
def model(pipeline: TwoSteps, clock: Clock) -> PipelineModel:
    made = PipelineModel("demo", plan_of(pipeline), clock=clock)
    made.pipeline_started(PipelineRef("demo", "r1"))
    return made


def ref(name: str = "demo.reader", start: str = "s1") -> OperatorRef:
    return OperatorRef("demo", "r1", name, 0, start, "host-a", 7)


def figures(records: int, lag: int = 0, start: str = "s1") -> ChannelStatus:
    port = PortRef(ref(start=start), "inp", "in", ("demo.reader.inp",))
    return ChannelStatus(
        port,
        "demo.reader.inp",
        "open",
        records,
        2,
        1500,
        lag_entries=lag,
        lag_records=lag,
        partitions=(0, 3),
        positions=("17", ""),
    )


def lines(model: PipelineModel, selection: Selection, description: Description | None = None) -> list[str]:
    frame = model.frame()
    picture = Picture(frame, diagnose(frame), selection, {"demo.reader": False})
    return [f"{line.label} {line.text}".strip() for line in details_of(picture, model, description)]


async def test_what_does_not_fit_goes_on_below_its_text(model: PipelineModel, pipeline: TwoSteps) -> None:
    model.operator_failed(ref(), "StateEntry", ErrorInfo("ValueError", "no value " * 12, ""))
    app = SnifferApp(model, pipeline)
    async with app.run_test(size=(60, 24)) as pilot:
        app.select(READER)
        await pilot.press("d")
        await pilot.pause()
        told = str(app.query_one("#details", Static).content).splitlines()
        first = next(i for i, line in enumerate(told) if line.startswith("error "))
        assert told[first + 1].startswith(" " * 11 + "value no value")
        assert max(len(line) for line in told) <= 58


READER = Selection("demo.reader", "demo.reader")
INP = replace(READER, port="inp")


def test_a_member_s_time_line_process_and_error_are_told(model: PipelineModel, clock: Clock) -> None:
    model.operator_state_changed(ref(start="s0"), "StateEntry", NOON - 60)
    model.operator_finished(ref(start="s0"), 137)
    model.operator_state_changed(ref(), "StateOperationRunning", NOON + 2)
    model.operator_state_changed(ref(), "StateEntry", NOON)
    used = ProcessStatus("demo", "r1", "host-a", 7, cpu_s=1.0, clock_s=50.0, memory_bytes=40_000_000, threads=5)
    model.process_status(used)
    clock.now += 4
    model.process_status(replace(used, cpu_s=2.0, clock_s=54.0))
    model.deployment_changed(DeployedRef("demo", "demo.reader", "somewhere", "node-1", 2), "Running", "")
    model.operator_failed(ref(), "StateOperationRunning", ErrorInfo("ValueError", "no", "Traceback:\n  line 7\n"))
    told = lines(model, READER)
    for line in (
        f"state ✗ failed since {clock_words(NOON + 2)}",
        "process 7 on host-a, started again 1 x",
        "deployed Running, somewhere, on node-1, started again 2 x",
        "error ValueError: no (in running)",
        "line 7",
        "before process 7 on host-a",
        "ended with exit code 137",
        "time line process 7 on host-a",
        f"{clock_words(NOON)} starting",
        f"{clock_words(NOON + 2)} running  +2.0 s",
    ):
        assert line in told, told
    assert any(line.startswith("uses 25 % of a core") and line.endswith("40.0 MB, 5 threads") for line in told)
    assert told.index(f"{clock_words(NOON)} starting") < told.index(f"{clock_words(NOON + 2)} running  +2.0 s")


def test_a_port_s_figures_are_told_with_their_age_and_places(model: PipelineModel, clock: Clock) -> None:
    model.operator_state_changed(ref(), "StateOperationRunning", NOON)
    model.channel_status(figures(10))
    clock.now += 2
    model.channel_status(figures(30, lag=4))
    clock.now += 2
    model.member_alive("demo.reader", "s1", clock.now)
    told = lines(model, INP)
    for line in (
        "reader.inp ← writer.out",
        "records 30 in 2 blocks, 1.5 kB",
        "rate 5.0 a second  █  at most 10",
        "lag 4  (as of now)",
        "partitions 0 read to 17, 3 at its first",
    ):
        assert line in told, told
    clock.now += 3
    assert "lag >=4  (as of 0:03 ago)" in lines(model, INP)
    model.operator_finished(ref(), 0)
    assert "lag 4  (as of when it ended)" in lines(model, INP)


def test_parameters_are_told_with_their_origin_and_what_the_run_says_prevails(
    model: PipelineModel, pipeline: TwoSteps
) -> None:
    description = Description(pipeline)
    told = lines(model, INP, description)
    assert "channelLocation = local:/x  (-p, cascade from demo)" in told
    assert "maxRetrieveRecords = 500  (default of the class)" in told
    assert "hush" not in "\n".join(told)
    assert '"name": "Number",' in told
    other = TwoSteps("demo")
    other.set_parameter(">>channelLocation", "local:/x")
    other.reader.inp.set_parameter("maxRetrieveRecords", 9)
    model.run_known("demo", "r1", {}, time.time(), dto=str(other))
    assert "maxRetrieveRecords = 9  (the run; here 500)" in lines(model, INP, description)
    model.run_known("demo", "r1", {}, time.time(), dto=": no [yaml")
    assert "maxRetrieveRecords = 500  (default of the class)" in lines(model, INP, description)


def test_of_members_that_the_pipeline_at_hand_lacks_the_run_tells_the_parameters(model: PipelineModel) -> None:
    description = Description(TwoSteps("other"))
    model.run_known("demo", "r1", {}, time.time(), dto=str(TwoSteps("demo")))
    assert "deliveryGuarantee = at-least-once  (the run)" in lines(model, READER, description)


def test_a_folded_group_tells_how_each_member_does(model: PipelineModel) -> None:
    model.run_known("demo", "r1", {"demo.reader": 3}, time.time())
    model.operator_state_changed(ref(), "StateOperationRunning", NOON)
    model.operator_failed(ref("demo.reader_1"), "StateEntry", ErrorInfo("ValueError", "no"))
    told = lines(model, Selection("demo.reader"))
    assert told[:3] == [
        "reader and 2 replicas",
        "states 1 failed, 1 waiting, 1 running",
        "✗ 2 failed: has failed: ValueError: no (in StateEntry)",
    ]


async def test_the_key_d_shows_the_details_of_what_is_selected_and_they_follow(
    model: PipelineModel, pipeline: TwoSteps
) -> None:
    model.operator_state_changed(ref(), "StateOperationRunning", NOON, is_here=True)
    model.channel_status(figures(10), is_here=True)
    app = SnifferApp(model, pipeline)

    def shown() -> str:
        return str(app.screen_stack[0].query_one("#details", Static).content)

    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await until(pilot, lambda: shown().startswith("writer"))
        await pilot.press("t", "down", "down", "down", "d")
        await until(pilot, lambda: shown().startswith("reader.inp ← writer.out"))
        assert "10 in 2 blocks" in shown()
        model.channel_status(figures(12), is_here=True)
        app._tick()
        await until(pilot, lambda: "12 in 2 blocks" in shown())
        assert "hush" not in shown()


async def test_on_a_wide_screen_the_details_stand_beside_the_table(model: PipelineModel, pipeline: TwoSteps) -> None:
    app = SnifferApp(model, pipeline)
    async with app.run_test(size=(160, 40)) as pilot:
        await pilot.press("t", "down", "down")
        await until(pilot, lambda: str(app.screen_stack[0].query_one("#details", Static).content).startswith("reader"))
