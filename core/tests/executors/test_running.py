"""The loop around `_on_running`: what it returns, what is committed, and how long it sleeps."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pypz.core.commons.clock import Clock
from pypz.executors.operator.calls import Stopping
from pypz.executors.operator.health import Pulse
from pypz.executors.operator.running import FIRST_PAUSE_S, LONGEST_PAUSE_S, run_until_done


class Pauses(Stopping):
    """Notes pauses instead of waiting."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def loop(session: Any, pauses: Pauses) -> Any:
    def go(operator: Any, *inputs: Any) -> int:
        return run_until_done(operator, inputs, session, pauses, Pulse())

    return go


def test_none_without_input_ports_ends_at_once_and_says_so(
    loop: Any, make_operator: Any, notes: Any, session: Any, capsys: Any
) -> None:
    notes.answers("op.run", False, None)
    assert loop(make_operator()) == 2
    assert session.waits == []
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert said[0].startswith("WARNING: pipeline.op: ended, because _on_running returned None (at call 2)")


def test_none_at_the_end_of_input_ports_is_no_warning(
    loop: Any, make_operator: Any, doubles: Any, notes: Any, capsys: Any
) -> None:
    operator = make_operator(input=doubles.input)
    notes.answers("op.run", None)
    assert loop(operator, operator.input) == 1
    assert capsys.readouterr().err == ""


def test_false_without_input_ports_is_called_again_without_a_pause(
    loop: Any, make_operator: Any, notes: Any, session: Any, pauses: Pauses
) -> None:
    notes.answers("op.run", *[False] * 50, True)
    assert loop(make_operator()) == 51
    assert session.waits == []
    assert pauses.seconds == []


def test_each_iteration_may_be_committed_also_the_last(
    loop: Any, make_operator: Any, doubles: Any, notes: Any, session: Any
) -> None:
    operator = make_operator(input=doubles.input)
    notes.answers("op.run", False, True)
    loop(operator, operator.input)
    assert notes.calls == ["op.run", "input.commit", "op.run", "input.commit"]
    assert [entry for entry in session.asked if isinstance(entry, str)] == ["started", "ended"] * 2


def test_none_sleeps_until_the_channels_have_something(loop: Any, make_operator: Any, notes: Any, session: Any) -> None:
    session.has_channel_inputs = True
    session.can = [True, True, False]
    session.handed_out = [3, 2, 0]
    notes.answers("op.run", None, None, None)
    assert loop(make_operator()) == 3
    assert session.waits == [None, None]


def test_records_that_nobody_retrieves_do_not_make_the_loop_spin(
    loop: Any, make_operator: Any, notes: Any, session: Any, pauses: Pauses
) -> None:
    session.has_channel_inputs = True
    session.can = [True] * 20 + [False]
    notes.answers("op.run", *[None] * 21)
    assert loop(make_operator()) == 21
    assert pauses.seconds[:4] == [FIRST_PAUSE_S, 2 * FIRST_PAUSE_S, 4 * FIRST_PAUSE_S, 8 * FIRST_PAUSE_S]
    assert max(pauses.seconds) == LONGEST_PAUSE_S


class Counted(Clock):
    def __init__(self, now: list[float]) -> None:
        self.moment = now

    def now(self) -> float:
        return self.moment[0]


@pytest.fixture
def clock(session: Any, pauses: Pauses) -> list[float]:
    """A clock that goes on by as much as the session waits."""
    now = [0.0]

    def wait(timeout_s: float | None) -> None:
        now[0] += timeout_s or 0.0

    session.on_wait = wait
    pauses.clock = Counted(now)
    return now


@pytest.mark.usefixtures("clock")
def test_false_with_nothing_handed_out_waits_for_a_record_with_growing_bounds(
    loop: Any, make_operator: Any, doubles: Any, notes: Any, session: Any, pauses: Pauses
) -> None:
    operator = make_operator(input=doubles.input)
    session.has_channel_inputs = True
    session.handed_out = [0] * 10 + [1] + [0] * 2
    notes.answers("op.run", *[False] * 13, True)
    loop(operator, operator.input)
    grown = [min(FIRST_PAUSE_S * 2**i, LONGEST_PAUSE_S) for i in range(10)]
    assert session.waits == [*grown, FIRST_PAUSE_S, 2 * FIRST_PAUSE_S]
    assert pauses.seconds == []
    assert LONGEST_PAUSE_S == 0.05


def test_false_with_records_that_nobody_retrieves_does_not_make_the_loop_spin(
    loop: Any, make_operator: Any, doubles: Any, notes: Any, session: Any, pauses: Pauses, clock: list[float]
) -> None:
    operator = make_operator(input=doubles.input)
    session.has_channel_inputs = True
    session.on_wait = lambda timeout_s: None
    notes.answers("op.run", *[False] * 20, True)
    loop(operator, operator.input)
    assert len(session.waits) == 10
    assert len(pauses.seconds) == 10
    assert pauses.seconds[-1] == LONGEST_PAUSE_S


def test_other_input_ports_are_asked_at_growing_intervals(
    loop: Any, make_operator: Any, doubles: Any, notes: Any, pauses: Pauses
) -> None:
    operator = make_operator(input=doubles.input)
    notes.answers("input.can_retrieve", *[True] * 9, False)
    notes.answers("op.run", *[None] * 10)
    assert loop(operator, operator.input) == 10
    assert pauses.seconds == [min(FIRST_PAUSE_S * 2**i, LONGEST_PAUSE_S) for i in range(9)]


def test_other_input_ports_that_give_records_are_not_slowed_down(
    loop: Any, make_operator: Any, doubles: Any, notes: Any, pauses: Pauses
) -> None:
    operator = make_operator(input=doubles.input)
    notes.answers("input.retrieve", ["a"], "b", {"c": 1}, [], None)
    notes.does["op.run"] = lambda: (operator.input.retrieve(), None)[1]
    notes.answers("input.can_retrieve", *[True] * 4, False)
    assert loop(operator, operator.input) == 5
    assert pauses.seconds == [FIRST_PAUSE_S]
    assert "retrieve" not in vars(operator.input)


def test_the_loop_ends_after_the_iteration_in_which_it_is_interrupted(
    loop: Any, make_operator: Any, notes: Any, pauses: Pauses, session: Any
) -> None:
    def running() -> bool:
        pauses.requested = True
        return False

    notes.does["op.run"] = running
    assert loop(make_operator()) == 1
    assert session.asked == ["started", "ended"]


def test_an_interrupt_ends_the_pause_in_which_it_comes_but_not_the_later_ones() -> None:
    stopping = Stopping()
    paused = threading.Thread(target=stopping.pause, args=(600,), daemon=True)
    paused.start()
    stopping.requested = True
    stopping.wake()
    paused.join(20)
    assert not paused.is_alive()
    stopping.pause(0.001)  # does not return at once for ever, and does not hang either
