"""The view model: news of any order and repetition give one picture."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.core.hooks.events import ChannelStatus, DeployedRef, ErrorInfo, OperatorRef, PipelineRef, PortRef
from pypz.sniffer.model.frames import Frame, LagView, MemberView, Mood, PlannedOperator, PlannedPort
from pypz.sniffer.model.pipeline import LOST_AFTER_S, PipelineModel
from pypz.sniffer.model.telling import STATE_ORDER
from pypz.sniffer.wording.reasons import Verdict, diagnose

PLAN = (
    PlannedOperator("p.writer", "p.writer", 0, 0, (PlannedPort("out", "out", ("reader.in",)),)),
    PlannedOperator("p.reader", "p.reader", 0, 1, (PlannedPort("in", "in", ("writer.out",)),)),
)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def model(clock: Clock) -> PipelineModel:
    return PipelineModel("p", PLAN, clock)


def ref(name: str = "p.writer", run: str = "r1", start: str = "s1", index: int = 0, pipeline: str = "p") -> OperatorRef:
    return OperatorRef(pipeline, run, name, index, start, "host", 7)


def status(
    operator: OperatorRef,
    records: int,
    state: str = "open",
    at: float = 0.0,
    lag: tuple[int | None, int | None] = (None, None),
    channel: str = "p.reader.in",
) -> ChannelStatus:
    port = (
        PortRef(operator, "out", "out", (channel,))
        if "writer" in operator.name
        else PortRef(operator, "in", "in", (channel,))
    )
    return ChannelStatus(
        port,
        channel,
        state,  # type: ignore[arg-type]
        records,
        records,
        records * 9,
        lag_records=lag[0],
        lag_entries=lag[1],
        at_utc=at,
    )


def member(frame: Frame, name: str) -> MemberView:
    [found] = [m for m in frame.members if m.name == name]
    return found


def test_before_any_news_the_planned_members_wait(model: PipelineModel) -> None:
    frame = model.frame()
    assert (frame.run, frame.mood) == ("", Mood.WAITING)
    assert [(m.name, m.mood, [p.name for p in m.ports]) for m in frame.members] == [
        ("p.writer", Mood.WAITING, ["out"]),
        ("p.reader", Mood.WAITING, ["in"]),
    ]
    assert not model.has_run


def test_figures_of_a_running_member_are_shown(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning")
    model.channel_status(status(ref(), 12))
    writer = member(model.frame(), "p.writer")
    assert (writer.mood, writer.host, writer.process) == (Mood.RUNNING, "host", 7)
    assert [(p.name, p.state, p.records, p.channel) for p in writer.ports] == [("out", "open", 12, "p.reader.in")]


def test_news_of_another_pipeline_are_left_out(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("q", "r1"))
    model.operator_state_changed(ref(pipeline="q"), "StateOperationRunning")
    assert not model.has_run


def test_a_channel_namespace_in_front_of_names_is_seen_through(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("team..p", "r1"))
    model.operator_state_changed(ref("team..p.writer", pipeline="team..p"), "StateOperationRunning")
    model.channel_status(status(ref("team..p.writer", pipeline="team..p"), 3, channel="team..p.reader.in"))
    writer = member(model.frame(), "p.writer")
    assert (writer.mood, writer.ports[0].records, writer.ports[0].channel) == (Mood.RUNNING, 3, "p.reader.in")
    assert len(model.frame().members) == 2


def test_a_restarted_member_stands_there_once_with_the_figures_of_its_new_start(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(start="s1"), "StateOperationRunning")
    model.channel_status(status(ref(start="s1"), 40))
    model.operator_state_changed(ref(start="s2"), "StateEntry")
    model.channel_status(status(ref(start="s2"), 2))
    model.channel_status(status(ref(start="s1"), 41))
    model.operator_state_changed(ref(start="s1"), "StateOperationShutdown")
    writer = member(model.frame(), "p.writer")
    assert (writer.start, writer.restarts, writer.ports[0].records) == ("s2", 1, 2)


def test_a_member_that_is_killed_when_its_work_is_done_keeps_its_counts(model: PipelineModel) -> None:
    """Started again it finds its work done: it deletes its channels, and tells no figures."""
    model.pipeline_started(PipelineRef("p", "r1"))
    reader = ref("p.reader")
    again = replace(reader, start="s2")
    model.port_opened(PortRef(reader, "in", "in", ("p.reader.in",)))
    model.channel_status(replace(status(reader, 294, "closed"), lag_records=0, lag_entries=0))
    model.operator_finished(reader, 137)
    model.operator_state_changed(again, "StateEntry")
    assert member(model.frame(), "p.reader").ports[0].records is None
    model.operator_state_changed(again, "StateResourceDeletion")
    model.operator_finished(again, 0)
    view = member(model.frame(), "p.reader")
    assert (view.mood, view.restarts, view.ports[0].records, view.ports[0].lag.records) == (Mood.FINISHED, 1, 294, 0)


def test_late_figures_of_an_earlier_start_do_not_bring_it_back(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(start="s2"), "StateOperationRunning")
    model.channel_status(status(ref(start="s1"), 41))
    writer = member(model.frame(), "p.writer")
    assert (writer.start, writer.ports[0].records) == ("s2", None)


def test_a_new_run_starts_afresh_and_late_news_of_the_old_one_stay_out(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.channel_status(status(ref(run="r1"), 30))
    model.pipeline_finished(PipelineRef("p", "r1"), "finished")
    model.pipeline_started(PipelineRef("p", "r2"))
    model.operator_state_changed(ref(run="r1"), "StateOperationRunning")
    model.pipeline_started(PipelineRef("p", "r1"))
    frame = model.frame()
    assert (frame.run, member(frame, "p.writer").mood, member(frame, "p.writer").ports[0].records) == (
        "r2",
        Mood.WAITING,
        None,
    )


def test_a_run_whose_opening_was_not_seen_is_shown_by_its_members(model: PipelineModel) -> None:
    model.channel_status(status(ref(run="old"), 30))
    assert not model.has_run
    model.operator_state_changed(ref(run="r1"), "StateOperationRunning")
    assert model.frame().run == "r1"
    model.pipeline_started(PipelineRef("p", "r2"))
    model.operator_state_changed(ref(run="r3"), "StateOperationRunning")
    assert model.frame().run == "r2"


def test_a_replica_that_the_plan_does_not_know_stands_beside_its_principal(model: PipelineModel) -> None:
    model.operator_state_changed(ref("p.writer_1", index=2, start="b"), "StateOperationRunning")
    model.operator_state_changed(ref("p.writer_0", index=1, start="a"), "StateOperationRunning")
    assert [(m.name, m.group, m.level) for m in model.frame().members] == [
        ("p.writer", "p.writer", 0),
        ("p.writer_0", "p.writer", 0),
        ("p.writer_1", "p.writer", 0),
        ("p.reader", "p.reader", 1),
    ]
    assert member(model.frame(), "p.writer_0").ports[0].name == "out"


def test_a_member_elsewhere_that_falls_silent_is_lost_and_found_again(model: PipelineModel, clock: Clock) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning")
    clock.now += LOST_AFTER_S
    assert member(model.frame(), "p.writer").mood is Mood.RUNNING
    clock.now += 0.1
    assert member(model.frame(), "p.writer").mood is Mood.LOST
    assert model.frame().mood is Mood.LOST
    model.member_alive("p.writer", "s1", clock.now)
    assert member(model.frame(), "p.writer").mood is Mood.RUNNING


def test_a_member_that_has_finished_or_runs_here_is_never_lost(model: PipelineModel, clock: Clock) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning")
    model.operator_finished(ref(), 0)
    model.operator_state_changed(ref("p.reader"), "StateOperationRunning", is_here=True)
    clock.now += 100
    assert member(model.frame(), "p.writer").mood is Mood.FINISHED
    assert member(model.frame(), "p.reader").mood is Mood.RUNNING


def test_while_the_broker_is_away_nobody_counts_as_lost(model: PipelineModel, clock: Clock) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning")
    model.set_notice("broker away", is_blind=True)
    clock.now += 60
    assert (member(model.frame(), "p.writer").mood, model.frame().notice) == (Mood.RUNNING, "broker away")
    model.set_notice("", is_blind=False)
    assert member(model.frame(), "p.writer").mood is Mood.RUNNING
    clock.now += LOST_AFTER_S + 1
    assert member(model.frame(), "p.writer").mood is Mood.LOST


def test_the_rate_is_taken_over_the_last_seconds_by_the_viewers_clock(model: PipelineModel, clock: Clock) -> None:
    def rate() -> float | None:
        return member(model.frame(), "p.writer").ports[0].rate

    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning")
    model.channel_status(status(ref(), 500))
    assert rate() is None
    for records in range(510, 601, 10):
        clock.now += 1
        model.channel_status(status(ref(), records))
    assert rate() == pytest.approx(10)
    clock.now += 60
    assert rate() == 0
    model.channel_status(status(ref(), 700))
    clock.now += 1
    assert rate() == pytest.approx(20)


def test_a_failed_member_tells_code_state_and_cause(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_failed(ref(), "StateOperationRunning", ErrorInfo("ValueError", "no such thing"))
    assert member(model.frame(), "p.writer").mood is Mood.FAILED
    model.operator_failed(ref(), "StateOperationShutdown", ErrorInfo("KeyError", "later"))
    model.operator_finished(ref(), 115)
    model.pipeline_finished(PipelineRef("p", "r1"), "failed")
    writer = member(model.frame(), "p.writer")
    assert (writer.mood, writer.exit_code, writer.during) == (Mood.FAILED, 115, "StateOperationRunning")
    assert writer.error == "ValueError: no such thing"
    assert model.frame().mood is Mood.FAILED


def test_time_stands_still_when_the_run_has_ended(model: PipelineModel, clock: Clock) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    clock.now += 12
    model.pipeline_finished(PipelineRef("p", "r1"), "interrupted")
    clock.now += 100
    assert (model.frame().elapsed_s, model.frame().mood) == (12, Mood.INTERRUPTED)


def test_a_run_whose_members_have_all_ended_is_over_though_nobody_says_so(model: PipelineModel, clock: Clock) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_finished(ref(), 130)
    assert model.frame().mood is not Mood.INTERRUPTED
    clock.now += 3
    model.operator_finished(ref("p.reader"), 115)
    clock.now += 60
    assert model.frame().may_go_on  # an executor may pause that long before it starts it again
    clock.now += 40
    assert not model.frame().may_go_on
    assert (model.frame().mood, model.frame().elapsed_s) == (Mood.FAILED, 3)
    model.operator_state_changed(ref("p.reader", start="s2"), "StateOperationRunning")
    assert model.frame().mood is Mood.RUNNING


def test_who_has_ended_waits_for_nobody(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    model.channel_status(replace(status(ref("p.reader"), 3), waits_for="p.writer/0/out"))
    assert member(model.frame(), "p.reader").ports[0].waits_for == "p.writer/0/out"
    model.operator_finished(ref("p.reader"), 0)
    assert member(model.frame(), "p.reader").ports[0].waits_for == ""


def test_the_time_counts_from_the_start_that_the_opening_entry_tells(clock: Clock) -> None:
    model = PipelineModel("p", PLAN, clock, wall_clock=lambda: 5060.0)
    model.run_known("p", "r1", {}, 5000.0)
    clock.now += 5
    assert model.frame().elapsed_s == 65


def test_a_run_that_had_ended_before_shows_how_long_it_took(clock: Clock) -> None:
    model = PipelineModel("p", PLAN, clock, wall_clock=lambda: 90_000.0)
    model.run_known("p", "r1", {}, 5000.0)
    model.operator_state_changed(ref(), "StateKilled")
    model.channel_status(status(ref(), 30, "closed", at=5033.0))
    model.pipeline_finished(PipelineRef("p", "r1"), "finished")
    clock.now += 500
    assert (model.frame().elapsed_s, member(model.frame(), "p.writer").ports[0].records) == (33, 30)


def test_a_run_that_stands_is_shown_again_when_the_one_opened_beside_it_was_taken_back(model: PipelineModel) -> None:
    for run in ("r1", "r2"):
        model.run_known("p", run, {}, 5000.0)
    assert model.frame().run == "r2"
    model.run_known("p", "r1", {}, 5000.0)
    assert model.frame().run == "r1"


def test_the_roster_of_the_run_says_how_many_members_there_are(clock: Clock) -> None:
    plan = [PlannedOperator(f"p.writer{suffix}", "p.writer", i, 0) for i, suffix in enumerate(("", "_0", "_1"))]
    model = PipelineModel("p", [*plan, PLAN[1]], clock)
    model.run_known("team..p", "r1", {"team..p.writer": 2, "team..p.reader": 3}, 0.0)
    assert [m.name for m in model.frame().members] == ["p.writer", "p.writer_0", "p.reader", "p.reader_0", "p.reader_1"]


def test_an_output_to_two_channels_has_a_row_for_each(clock: Clock) -> None:
    plan = PlannedOperator("p.writer", "p.writer", 0, 0, (PlannedPort("out", "out", ("a.in", "b.in")),))
    model = PipelineModel("p", [plan], clock)
    model.pipeline_started(PipelineRef("p", "r1"))
    model.port_opened(PortRef(ref(), "out", "out", ("p.a.in", "p.b.in")))
    model.channel_status(status(ref(), 3, channel="p.b.in"))
    ports = member(model.frame(), "p.writer").ports
    assert [(p.channel, p.peers, p.records) for p in ports] == [("p.a.in", ("a.in",), None), ("p.b.in", ("b.in",), 3)]


def test_long_lived_viewers_forget_old_runs(model: PipelineModel) -> None:
    for i in range(50):
        model.pipeline_started(PipelineRef("p", f"r{i}"))
        model.channel_status(status(ref(run=f"r{i}"), i))
    assert len(model._runs) <= 9
    assert model.frame().run == "r49"


def test_lag_never_shows_zero_while_records_may_wait() -> None:
    assert (LagView(records=0, entries=2) + LagView(records=0, entries=0)).words == "<=2"
    assert (LagView(records=5, entries=2) + LagView(entries=1)).words == "<=3"
    assert (LagView() + LagView(records=5)).words == "5"


# --- the same news in any order, any number of times ---

News = Callable[[PipelineModel], None]

states = st.builds(
    lambda state: lambda model: model.operator_state_changed(ref("p.reader"), state), st.sampled_from(STATE_ORDER[1:])
)
figures = st.builds(
    lambda records, state, at, lag: (
        lambda model: model.channel_status(status(ref("p.reader"), records, state, float(at), lag))
    ),
    st.integers(0, 5),
    st.sampled_from(["opening", "open", "ended", "closed", "failed"]),
    st.integers(0, 3),
    st.tuples(st.none() | st.integers(0, 3), st.none() | st.integers(0, 3)),
)
others = st.sampled_from(
    [
        lambda model: model.operator_finished(ref("p.reader"), 0),
        lambda model: model.member_alive("p.reader", "s1", 1000.0),
        lambda model: model.pipeline_finished(PipelineRef("p", "r1"), "finished"),
        lambda model: model.operator_failed(ref("p.reader"), "StateEntry", ErrorInfo("E", "first")),
        lambda model: model.operator_failed(ref("p.reader"), "StateOperationRunning", ErrorInfo("E", "later")),
        lambda model: model.port_opened(PortRef(ref("p.reader"), "in", "in", ("p.reader.in",))),
        lambda model: model.port_closed(PortRef(ref("p.reader"), "in", "in", ("p.reader.in",))),
    ]
)


def picture(news: list[News]) -> Frame:
    clock = Clock()
    model = PipelineModel("p", PLAN, clock)
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref("p.reader"), "StateEntry")
    for tell in news:
        tell(model)
    return model.frame()


@settings(deadline=None)
@given(st.data(), st.lists(states | figures | others, max_size=20))
def test_news_in_any_order_and_repeated_give_the_same_picture(data: st.DataObject, news: list[News]) -> None:
    repeated = data.draw(st.permutations(news + data.draw(st.lists(st.sampled_from(news)) if news else st.just([]))))
    assert picture(repeated) == picture(news)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "b", "c"]), unique=True, min_size=1), st.data())
def test_over_restarts_the_newest_start_alone_is_shown(starts: list[str], data: st.DataObject) -> None:
    """Facts come in order of starts; figures of any start come whenever they like."""
    model = PipelineModel("p", PLAN, Clock())
    model.pipeline_started(PipelineRef("p", "r1"))
    for start in starts:
        model.operator_state_changed(ref(start=start), "StateOperationRunning")
        for late in data.draw(st.lists(st.sampled_from(["a", "b", "c"]), max_size=4)):
            model.channel_status(status(ref(start=late), data.draw(st.integers(0, 9))))
    for start in starts:
        model.channel_status(status(ref(start=start), 10 + starts.index(start)))
        model.operator_state_changed(ref(start=start), "StateOperationShutdown")
    frame = model.frame()
    writer = member(frame, "p.writer")
    assert len(frame.members) == 2
    assert (writer.start, writer.restarts, writer.ports[0].records) == (
        starts[-1],
        len(starts) - 1,
        9 + len(starts),
    )


def test_frames_are_plain_values_that_compare(model: PipelineModel) -> None:
    assert dataclasses.replace(model.frame()) == model.frame()


def test_a_reader_that_works_long_on_what_it_takes_is_known_as_slow_by_its_second_batch(
    model: PipelineModel, clock: Clock
) -> None:
    reader = ref("p.reader")
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(reader, "StateOperationRunning")

    def tell(records: int, lag: int, after_s: float) -> tuple[float, float | None]:
        clock.now += after_s
        model.channel_status(status(reader, records, lag=(lag, lag), at=clock.now))
        [port] = member(model.frame(), "p.reader").ports
        return port.held_s, port.pace_s

    assert tell(0, 0, 0) == (0.0, None)
    assert tell(10, 30, 5) == (0.0, None)
    assert tell(10, 40, 8) == (8.0, None)
    assert tell(20, 30, 4) == (0.0, 12.0)  # the next batch was taken after 12 s
    assert tell(20, 0, 3) == (0.0, 12.0)  # all is done: nothing waits, so time passes without news of its pace
    assert tell(30, 5, 500) == (0.0, 12.0)


def test_the_first_batch_of_a_slow_reader_is_work_and_a_larger_one_may_take_longer(
    model: PipelineModel, clock: Clock
) -> None:
    def told(records: int, in_hand: int, lag: int, after_s: float) -> tuple[Verdict, str]:
        clock.now += after_s
        for name, port in (("p.writer", status(ref(), 999)), ("p.reader", status(reader, records, lag=(lag, lag)))):
            model.channel_status(replace(port, in_hand=in_hand, at_utc=clock.now))
            model.member_alive(name, "s1", clock.now)
        found = diagnose(model.frame())
        return found.verdict, found.members["p.reader"]

    reader = ref("p.reader")
    model.pipeline_started(PipelineRef("p", "r1"))
    for one in (ref(), reader):
        model.operator_state_changed(one, "StateOperationRunning")
    waits = "records of in wait to be read or committed"
    stuck = "records of in waiting: it is busy in its own code, or cannot commit"
    told(0, 0, 0, 0)
    told(1, 1, 31, 1)
    assert told(1, 1, 31, 40) == (Verdict.HEALTHY, f"works on 1 record of in for 0:40; 31 {waits}")
    assert told(1, 1, 31, 259) == (Verdict.HEALTHY, f"works on 1 record of in for 4:59; 31 {waits}")
    assert told(1, 1, 31, 1) == (Verdict.STUCK, f"leaves 31 {stuck}")
    told(11, 10, 30, 1)
    assert told(11, 10, 30, 9029) == (
        Verdict.HEALTHY,
        f"works on 10 records of in for 2:30:29; 30 {waits}",
    )  # 3 x 301 each
    assert told(11, 10, 30, 1) == (Verdict.STUCK, f"leaves 30 {stuck}")
    told(12, 0, 0, 0)
    assert told(12, 0, 5, 1)[0] is Verdict.HEALTHY


def test_a_reader_that_has_nothing_in_hand_and_takes_none_is_stuck_after_10_s(
    model: PipelineModel, clock: Clock
) -> None:
    """It waits elsewhere in its code, or what it has done cannot be committed."""
    reader = ref("p.reader")
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(reader, "StateOperationRunning")
    for records, verdict in ((0, Verdict.HEALTHY), (0, Verdict.STUCK), (3, Verdict.HEALTHY), (3, Verdict.STUCK)):
        model.channel_status(replace(status(reader, records, lag=(30, 3), at=clock.now), in_hand=0))
        model.member_alive("p.reader", "s1", clock.now)
        found = diagnose(model.frame()).verdict
        assert (records, found) == (records, verdict)
        clock.now += 10


def test_entries_that_hold_several_records_are_no_bound_for_records(model: PipelineModel) -> None:
    reader = ref("p.reader")
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(reader, "StateOperationRunning")
    model.channel_status(status(reader, 6000, lag=(None, 14)))
    assert member(model.frame(), "p.reader").ports[0].lag.words == "<=14"  # so far each block has held one
    model.channel_status(replace(status(reader, 6001, lag=(None, 15)), blocks=12))
    assert member(model.frame(), "p.reader").ports[0].lag.words == ">=15"


def test_words_of_members_and_pods_cannot_move_the_cursor(model: PipelineModel) -> None:
    evil = "no\x1b[2J \x9b31m\x07\r\n  value"
    model.pipeline_started(PipelineRef("p", "r1"))
    model.operator_state_changed(ref(), "StateOperationRunning")
    model.operator_failed(
        ref(), "StateOperationRunning", ErrorInfo("Error", evil + "E" * 100_000, f"Trace\n\t{evil}\n")
    )
    model.deployment_changed(DeployedRef("p", "p.writer", "kubernetes:default", "node", 0), "Open", evil)
    model.set_notice(evil, is_blind=False)
    frame = model.frame()
    writer = member(frame, "p.writer")
    assert writer.deployed is not None
    for text in (writer.error, writer.deployed.reason, frame.notice):
        assert text.isprintable()
        assert "no·[2J ·31m· value" in text
        assert len(text) < 1100
    assert model.details("p.writer").traceback == "Trace\n        no·[2J ·31m·\n  value"


def test_members_told_off_when_their_group_shrinks_vanish_and_new_ones_are_there_at_once(
    model: PipelineModel, clock: Clock
) -> None:
    """The first one lives on for a while though it was told off: as long as it gives signs of life it is shown."""

    def readers() -> list[tuple[str, Mood]]:
        return [(m.name, m.mood) for m in model.frame().members if m.group == "p.reader"]

    def tell(index: int, start: str, then: int | None = None) -> None:
        operator = ref(f"p.reader_{index - 1}" if index else "p.reader", start=start, index=index)
        model.operator_state_changed(operator, "StateOperationRunning")
        if then is not None:
            model.operator_finished(operator, then)

    model.run_known("team..p", "r1", {"team..p.reader": 2}, 0.0, largest={"team..p.reader": 2})
    for index in range(2):
        tell(index, f"a{index}")
    model.run_rescaled("r1", {"team..p.reader": 4}, {"team..p.reader": 4})
    assert readers()[2:] == [("p.reader_1", Mood.WAITING), ("p.reader_2", Mood.WAITING)]
    for index in range(4):
        tell(index, f"a{index}", 130)
        tell(index, f"b{index}")
    assert [mood for _, mood in readers()] == [Mood.RUNNING] * 4
    tell(2, "b2", 130)
    tell(3, "b3", 130)
    model.run_rescaled("r1", {"team..p.reader": 1}, {"team..p.reader": 4})
    assert readers() == [("p.reader", Mood.RUNNING), ("p.reader_0", Mood.RUNNING)]
    clock.now += LOST_AFTER_S + 1
    tell(0, "c0")
    assert readers() == [("p.reader", Mood.RUNNING)]
    model.run_rescaled("r1", {"team..p.reader": 2}, {"team..p.reader": 4})
    assert [name for name, _ in readers()] == ["p.reader", "p.reader_0"]
    tell(1, "c1")
    assert readers() == [("p.reader", Mood.RUNNING), ("p.reader_0", Mood.RUNNING)]


def test_a_member_beyond_the_roster_that_was_never_told_off_stays_in_sight(model: PipelineModel) -> None:
    """Such as one that was started by hand, of a pipeline with more replicas."""
    model.run_known("p", "r1", {"p.reader": 1}, 0.0, largest={"p.reader": 1})
    extra = ref("p.reader_0", index=1)
    model.operator_state_changed(extra, "StateOperationRunning")
    model.operator_finished(extra, 115)
    assert member(model.frame(), "p.reader_0").mood is Mood.FAILED


def test_who_is_not_in_the_roster_of_the_run_is_not_waited_for(model: PipelineModel) -> None:
    """The reader was renamed since this viewer's plan was made."""
    model.run_known("p", "r1", {"p.writer": 1, "p.sink": 1}, 0.0)
    assert [(m.name, m.mood) for m in model.frame().members] == [
        ("p.writer", Mood.WAITING),
        ("p.sink", Mood.WAITING),
    ]
