"""What methods may return, and what their annotations say about it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Optional, Union

import pytest

from pypz.core.commons.clock import Clock
from pypz.executors.errors import NotDoneError, ReturnTypeError
from pypz.executors.operator.calls import Caller, Stopping, checked

if TYPE_CHECKING:
    from decimal import Decimal


class Named:
    def get_full_name(self) -> str:
        return "pipeline.op"


def to_bool() -> bool:
    return True


def to_optional() -> Optional[bool]:  # noqa: UP045
    return None


def to_union() -> Union[bool, None]:  # noqa: UP007
    return None


def to_none() -> None:
    return None


def to_any() -> Any:
    return None


def to_text() -> str:
    return ""


def unresolvable() -> Decimal:
    raise NotImplementedError


def bare():  # type: ignore[no-untyped-def]
    return None


@pytest.mark.parametrize(
    ("method", "result", "is_done"),
    [
        (to_bool, True, True),
        (to_bool, False, False),
        (to_optional, None, True),
        (to_optional, False, False),
        (to_union, None, True),
        (to_none, None, True),
        (to_any, None, True),
        (to_any, False, False),
        (bare, None, True),
        (bare, True, True),
        (bare, False, False),
        (unresolvable, True, True),
        (unresolvable, None, True),
    ],
)
def test_results_are_judged_by_annotations_also_when_these_are_texts(
    method: Callable[[], Any], result: Any, is_done: bool
) -> None:
    assert checked(method, result, Named()) is is_done


@pytest.mark.parametrize(
    ("method", "result", "words"),
    [
        (to_bool, None, "returned None, but is annotated to return bool"),
        (to_bool, 1, "returned 1, expected True when it is done or False"),
        (to_bool, "yes", "returned 'yes', expected True"),
        (to_none, True, "returned True, but is annotated to return None"),
        (to_text, False, "annotated to return str"),
        (to_optional, 0, "returned 0"),
        (bare, [], r"returned \[\]"),
        (to_any, 1, "returned 1"),
    ],
)
def test_other_results_are_refused_with_the_method_and_what_it_returned(
    method: Callable[[], Any], result: Any, words: str
) -> None:
    with pytest.raises(ReturnTypeError, match=rf"pipeline\.op: {method.__name__} .*{words}|{words}") as caught:
        checked(method, result, Named())
    assert isinstance(caught.value, TypeError)


class Counting(Named):
    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.calls = 0

    def work(self) -> bool:
        self.calls += 1
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return bool(answer)


class Pauses(Stopping):
    def __init__(self) -> None:
        super().__init__()
        self.seconds: list[float] = []

    def pause(self, seconds: float) -> None:
        self.seconds.append(seconds)


@pytest.fixture
def timings() -> list[tuple[str, int]]:
    return []


@pytest.fixture
def pauses() -> Pauses:
    return Pauses()


@pytest.fixture
def caller(pauses: Pauses, timings: list[tuple[str, int]]) -> Caller:
    return Caller(pauses, "pipeline.op", lambda instance, method, seconds, calls: timings.append((method, calls)))


def test_pauses_between_calls_grow_from_ten_milliseconds_to_a_second(
    caller: Caller, pauses: Pauses, timings: list[tuple[str, int]]
) -> None:
    caller.upwards([[Counting(*[False] * 9, True)]], "work")
    assert pauses.seconds == [0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.0, 1.0]
    assert timings == [("work", 10)]


def test_an_interrupt_on_the_way_up_ends_the_calls_but_not_on_the_way_down(caller: Caller, pauses: Pauses) -> None:
    pauses.requested = True
    up, next_up, down = Counting(False, True), Counting(True), Counting(False, False, True)
    caller.upwards([[up], [next_up]], "work")
    assert (up.calls, next_up.calls) == (1, 0)
    assert caller.downwards([[down]], "work") == []
    assert down.calls == 3


def test_one_of_a_level_that_fails_ends_the_repetition_of_the_others_and_the_levels_after(caller: Caller) -> None:
    failing, other, later = Counting(ValueError("no")), Counting(*[False] * 10_000), Counting(True)
    with pytest.raises(ValueError, match="no"):
        caller.upwards([[failing, other], [later]], "work")
    assert other.calls < 10_000
    assert later.calls == 0


def test_on_the_way_down_all_errors_are_kept_in_reverse_order_of_levels(caller: Caller) -> None:
    first, second = ValueError("first"), ValueError("second")
    assert caller.downwards([[Counting(first)], [Counting(second), Counting(True)]], "work") == [second, first]


def test_a_method_on_the_way_down_that_is_never_done_is_given_up_a_drain_after_the_interrupt(pauses: Pauses) -> None:
    caller = Caller(pauses, "pipeline.op", lambda instance, method, seconds, calls: None, drain_s=0.01)

    class Never(Counting):
        def work(self) -> bool:
            self.calls += 1
            if self.calls == 5:
                pauses.request()
            return False

    waiting, after = Never(), Counting(True)
    errors = caller.downwards([[after], [waiting]], "work")
    assert [type(error) for error in errors] == [NotDoneError]
    assert "work has returned False" in str(errors[0])
    assert "0.01 s after the interrupt it is given up" in str(errors[0])
    assert "drainTimeoutMs" in str(errors[0])
    assert waiting.calls > 5
    assert after.calls == 1  # what comes after it goes on


def test_a_method_that_is_not_done_is_named_every_30_s(pauses: Pauses, monkeypatch: Any) -> None:
    said: list[str] = []
    now = [0.0]
    monkeypatch.setattr("pypz.executors.operator.calls.say", said.append)

    class Counted(Clock):
        def now(self) -> float:
            return now[0]

    pauses.clock = Counted()

    class Slow(Counting):
        def work(self) -> bool:
            now[0] += 10
            return super().work()

    caller = Caller(pauses, "pipeline.op", lambda instance, method, seconds, calls: None)
    caller.upwards([[Slow(*[False] * 8, True)]], "work")
    assert [line.partition("waits ")[2] for line in said] == [
        "since 30 s for its work to return True; it has returned False 3 times",
        "since 60 s for its work to return True; it has returned False 6 times",
    ]
