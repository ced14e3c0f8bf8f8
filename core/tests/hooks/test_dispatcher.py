"""One thread tells observers; none of them holds up a pipeline or another observer."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from pypz.core.hooks.dispatcher import Dispatcher, Observer

STATE = "pypz_operator_state_changed"
STATUS = "pypz_channel_status"
LINE = "pypz_log"


@pytest.fixture
def dispatcher() -> Iterator[Dispatcher]:
    made = Dispatcher(busy_limit_s=0.2, max_statuses=3)
    yield made
    made.close()


def observer(name: str, method: Callable[[Mapping[str, Any]], object], *hooks: str) -> Observer:
    return Observer(name, dict.fromkeys(hooks or (STATE, STATUS), method))


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("pypz-observers")]


def test_nobody_observes_and_no_thread_runs(dispatcher: Dispatcher) -> None:
    before = threads()
    dispatcher.tell(STATE, {"n": 1})
    assert threads() == before
    dispatcher.add(observer("a", lambda arguments: None, STATUS))
    dispatcher.tell(STATE, {"n": 1})
    assert threads() == before


def test_all_is_told_in_order_on_one_thread(dispatcher: Dispatcher) -> None:
    told: list[tuple[str, int, str]] = []

    def method_of(name: str) -> Callable[[Mapping[str, Any]], object]:
        return lambda arguments: told.append((name, arguments["n"], threading.current_thread().name))

    for name in "ab":
        dispatcher.add(observer(name, method_of(name)))
    for number in range(500):
        dispatcher.tell(STATE, {"n": number})
    assert dispatcher.flush(10)
    assert [entry[:2] for entry in told] == [(name, number) for number in range(500) for name in "ab"]
    assert len({entry[2] for entry in told}) == 1
    assert told[0][2] != threading.current_thread().name


def test_statuses_are_coalesced_and_states_never_dropped(dispatcher: Dispatcher) -> None:
    told: list[Any] = []
    hold = threading.Event()
    begun = threading.Event()

    def first(arguments: Mapping[str, Any]) -> None:
        begun.set()
        hold.wait(10)
        told.append(arguments["n"])

    patient = Dispatcher(busy_limit_s=60, max_statuses=3)
    patient.add(observer("a", first))
    patient.tell(STATE, {"n": "first"})
    assert begun.wait(10)
    for number in range(100):
        patient.tell(STATUS, {"n": ("status", number)}, key=("member", "port"))
        patient.tell(STATE, {"n": number})
    hold.set()
    assert patient.flush(10)
    patient.close()
    assert told == ["first", ("status", 99), *range(100)]


def test_too_many_statuses_push_out_the_oldest(dispatcher: Dispatcher) -> None:
    told: list[Any] = []
    hold = threading.Event()
    begun = threading.Event()

    def method(arguments: Mapping[str, Any]) -> None:
        begun.set()
        hold.wait(10)
        told.append(arguments["n"])

    patient = Dispatcher(busy_limit_s=60, max_statuses=3)
    patient.add(observer("a", method))
    patient.tell(STATE, {"n": "first"})
    assert begun.wait(10)
    for number in range(5):
        patient.tell(STATUS, {"n": number}, key=("port", number))
    hold.set()
    assert patient.flush(10)
    for number in range(5, 8):  # and the count of those that wait is right afterwards
        patient.tell(STATUS, {"n": number}, key=("port", number))
    assert patient.flush(10)
    patient.close()
    assert told == ["first", 2, 3, 4, 5, 6, 7]


def test_what_is_offered_is_refused_while_too_much_of_it_waits(
    dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pypz.core.hooks.dispatcher.MAX_OFFERED", 10)
    told: list[Any] = []
    hold, begun = threading.Event(), threading.Event()

    def take(arguments: Mapping[str, Any]) -> None:
        begun.set()
        assert hold.wait(10)
        told.append(arguments["n"])

    assert dispatcher.offer(LINE, {"n": -1}), "nobody wants it, so nothing is lost"
    patient = Dispatcher()
    patient.add(observer("a", take, LINE, STATE))
    assert patient.offer(LINE, {"n": 0})
    assert begun.wait(10)
    taken = [n for n in range(1, 20) if patient.offer(LINE, {"n": n})]
    patient.tell(STATE, {"n": "a state"})
    assert taken == list(range(1, 11))
    hold.set()
    assert patient.flush(10)
    assert told == [0, *taken, "a state"]
    assert patient.offer(LINE, {"n": 20})
    assert patient.flush(10)
    assert told[-1] == 20
    patient.close()
    assert not patient.offer(LINE, {"n": 21})


def test_an_observer_that_raises_is_named_once_and_told_nothing_more(
    dispatcher: Dispatcher, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []
    calls: list[Any] = []

    def broken(arguments: Mapping[str, Any]) -> None:
        calls.append(arguments)
        raise SystemExit("no more")

    dispatcher.add(observer("broken", broken))
    dispatcher.add(observer("good", lambda arguments: told.append(arguments["n"])))
    for number in range(10):
        dispatcher.tell(STATE, {"n": number})
    assert dispatcher.flush(10)
    assert told == list(range(10))
    assert len(calls) == 1
    error = capsys.readouterr().err
    assert error.count("observer 'broken' is told nothing more") == 1
    assert f"{STATE} raised SystemExit: no more" in error
    assert list(dispatcher.cut_off) == ["broken"]


def test_a_busy_observer_is_cut_off_and_the_others_are_told_all(
    dispatcher: Dispatcher, capsys: pytest.CaptureFixture[str]
) -> None:
    told: list[Any] = []
    hold = threading.Event()
    calls: list[Any] = []

    def busy(arguments: Mapping[str, Any]) -> None:
        calls.append(arguments)
        hold.wait(30)

    dispatcher.add(observer("before", lambda arguments: told.append(("before", arguments["n"]))))
    dispatcher.add(observer("busy", busy))
    dispatcher.add(observer("after", lambda arguments: told.append(("after", arguments["n"]))))
    for number in range(3):
        dispatcher.tell(STATE, {"n": number})
    assert dispatcher.flush(10)
    assert told == [(name, number) for number in range(3) for name in ("before", "after")]
    assert "observer 'busy' is told nothing more: pypz_operator_state_changed was busy for 0.2 s" in (
        capsys.readouterr().err
    )
    hold.set()  # the abandoned thread ends by itself and tells nobody anything
    dispatcher.tell(STATE, {"n": 3})
    assert dispatcher.flush(10)
    assert told[-2:] == [("before", 3), ("after", 3)]
    assert len(calls) == 1


def test_an_observer_that_is_only_slow_stays(dispatcher: Dispatcher) -> None:
    told: list[Any] = []
    pause = threading.Event()

    def slow(arguments: Mapping[str, Any]) -> None:
        pause.wait(0.05)
        told.append(arguments["n"])

    dispatcher.add(observer("slow", slow))
    for number in range(10):
        dispatcher.tell(STATE, {"n": number})
    assert dispatcher.flush(10)
    assert told == list(range(10))
    assert not dispatcher.cut_off


def test_telling_never_waits_for_an_observer(dispatcher: Dispatcher) -> None:
    hold = threading.Event()
    dispatcher.add(observer("busy", lambda arguments: hold.wait(30)))
    begun = time.monotonic()
    for number in range(1000):
        dispatcher.tell(STATE, {"n": number})
    assert time.monotonic() - begun < 0.2  # less than one look of the watchdog: nothing was waited for
    hold.set()


def test_flush_waits_only_for_what_came_before_and_says_when_it_was_in_vain() -> None:
    patient = Dispatcher(busy_limit_s=60)
    hold = threading.Event()
    assert patient.flush(0)
    patient.add(observer("busy", lambda arguments: hold.wait(30)))
    patient.tell(STATE, {"n": 1})
    assert not patient.flush(0.05)
    hold.set()
    assert patient.flush(10)
    patient.close()


def test_flush_by_an_observer_itself_does_not_hang(dispatcher: Dispatcher) -> None:
    answers: list[bool] = []
    dispatcher.add(observer("a", lambda arguments: answers.append(dispatcher.flush(60))))
    dispatcher.tell(STATE, {"n": 1})
    assert dispatcher.flush(10)
    assert answers == [False]


def test_an_observer_may_cause_news_itself(dispatcher: Dispatcher) -> None:
    told: list[Any] = []

    def method(arguments: Mapping[str, Any]) -> None:
        told.append(arguments["n"])
        if arguments["n"] < 5:
            dispatcher.tell(STATE, {"n": arguments["n"] + 1})

    dispatcher.add(observer("a", method))
    dispatcher.tell(STATE, {"n": 0})
    while len(told) < 6:
        assert dispatcher.flush(10)
    assert told == list(range(6))


def test_a_removed_observer_is_told_nothing_more(dispatcher: Dispatcher) -> None:
    told: list[Any] = []
    dispatcher.add(observer("a", lambda arguments: told.append(arguments["n"])))
    dispatcher.tell(STATE, {"n": 1})
    assert dispatcher.flush(10)
    dispatcher.remove("a")
    dispatcher.tell(STATE, {"n": 2})
    assert dispatcher.flush(10)
    assert told == [1]


def test_close_ends_the_threads_and_can_be_called_again() -> None:
    made = Dispatcher()
    made.add(observer("a", lambda arguments: None))
    made.tell(STATE, {"n": 1})
    assert made.flush(10)
    mine = list(made._threads.values())
    made.close()
    made.close()
    for thread in mine:
        thread.join(10)
        assert not thread.is_alive()
    made.tell(STATE, {"n": 2})
    assert made.flush(0)


def test_an_idle_dispatcher_sleeps(dispatcher: Dispatcher) -> None:
    """Counted on the locks: after the last call neither thread wakes up again but for one last look of the watchdog."""
    dispatcher.add(observer("a", lambda arguments: None))
    dispatcher.tell(STATE, {"n": 1})
    assert dispatcher.flush(10)
    deadline = time.monotonic() + 10
    while not dispatcher._watchdog_sleeps and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert dispatcher._watchdog_sleeps
