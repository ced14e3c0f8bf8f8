"""Whole pipelines: members side by side, replicas, exit codes, and what becomes of the others when one fails."""

from __future__ import annotations

import os
import signal
import threading
import traceback
from collections.abc import Callable
from typing import Any

import pytest

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.errors import (
    ConfigurationError,
    PipelineFailedError,
    PypzError,
    RunConflictError,
)
from pypz.core.commons.parameters import RequiredParameter
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.errors import AlreadyRunningError
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor

DEADLINE_S = 20.0


class Working(BlankOperator):
    """Calls what the test puts under its simple name."""

    def _on_init(self) -> bool:
        CALLS.append((self.get_full_name(), "init"))
        return True

    def _on_running(self) -> bool | None:
        CALLS.append((self.get_full_name(), "run"))
        work = WORK.get(self.get_simple_name())
        return True if work is None else work(self)

    def _on_shutdown(self) -> bool:
        CALLS.append((self.get_full_name(), "shutdown"))
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        SIGNALS.append((self.get_full_name(), system_signal))


CALLS: list[tuple[str, str]] = []
SIGNALS: list[tuple[str, int | None]] = []
WORK: dict[str, Callable[[Any], Any]] = {}


@pytest.fixture(autouse=True)
def _clean() -> None:
    CALLS.clear()
    SIGNALS.clear()
    WORK.clear()


class Two(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = Working()
        self.second = Working()


class Nothing(Pipeline):
    pass


def until_interrupted() -> tuple[Callable[[Any], Any], threading.Event]:
    """Work that goes on until the test ends it; False every time, so that an interrupt can end it."""
    began = threading.Event()

    def work(operator: Any) -> bool:
        began.set()
        pause = threading.Event()
        pause.wait(0.002)
        return False

    return work, began


def test_all_operators_run_and_their_exit_codes_are_given(host: Any, observer: Any) -> None:
    assert PipelineExecutor(Two("pipeline"), host=host).start() == {"pipeline.first": 0, "pipeline.second": 0}
    assert host.flush(DEADLINE_S)
    assert observer.ends == {"pipeline.first": 0, "pipeline.second": 0}
    assert observer.runs == ["pipeline", "finished"]


def test_a_pipeline_without_operators_ends_at_once(host: Any) -> None:
    assert PipelineExecutor(Nothing("empty"), host=host).start() == {}


def test_operators_run_at_the_same_time_each_in_a_thread_of_its_name(host: Any) -> None:
    meeting = threading.Barrier(2, timeout=DEADLINE_S)
    names: list[str] = []

    def meet(operator: Any) -> bool:
        names.append(threading.current_thread().name)
        meeting.wait()
        return True

    WORK.update(first=meet, second=meet)
    assert set(PipelineExecutor(Two("pipeline"), host=host).start().values()) == {0}
    assert sorted(names) == ["pipeline.first", "pipeline.second"]


def test_replicas_run_as_operators_of_their_own(host: Any) -> None:
    pipeline = Two("pipeline")
    pipeline.first.set_parameter("replicationFactor", 3)
    meeting = threading.Barrier(4, timeout=DEADLINE_S)
    seen: dict[str, tuple[int, bool, int, int]] = {}

    def meet(operator: Any) -> bool:
        name = operator.get_full_name()
        seen[name] = (operator.get_group_index(), operator.is_principal(), operator.get_group_size(), id(operator))
        meeting.wait()
        return True

    WORK.update(dict.fromkeys(("first", "first_0", "first_1", "first_2"), meet))
    codes = PipelineExecutor(pipeline, host=host).start()
    assert set(codes.values()) == {0}
    assert {name: entry[:3] for name, entry in seen.items()} == {
        "pipeline.first": (0, True, 4),
        "pipeline.first_0": (1, False, 4),
        "pipeline.first_1": (2, False, 4),
        "pipeline.first_2": (3, False, 4),
    }
    assert len({entry[3] for entry in seen.values()}) == 4


def test_more_than_32_operators_may_run(host: Any) -> None:
    pipeline = Two("pipeline")
    pipeline.first.set_parameter("replicationFactor", 40)
    assert len(PipelineExecutor(pipeline, host=host).start()) == 42


def test_it_can_be_started_again(host: Any) -> None:
    executor = PipelineExecutor(Two("pipeline"), host=host)
    executor.start()
    executor.shutdown()
    executor.start()
    executor.shutdown()
    assert len([call for call in CALLS if call[1] == "run"]) == 4


def test_it_cannot_be_started_while_it_runs(host: Any) -> None:
    executor = PipelineExecutor(Two("pipeline"), host=host)

    def again(operator: Any) -> bool:
        with pytest.raises(AlreadyRunningError, match="pipeline: runs already"):
            executor.start()
        return True

    WORK["first"] = again
    assert set(executor.start().values()) == {0}


def test_skip_calls_nothing(host: Any, observer: Any) -> None:
    codes = PipelineExecutor(Two("pipeline"), host=host).start(ExecutionMode.Skip)
    assert codes == {"pipeline.first": 0, "pipeline.second": 0}
    assert CALLS == []
    assert observer.runs == []


def test_a_failed_operator_shuts_the_others_down_and_is_named(host: Any, observer: Any, capsys: Any) -> None:
    work, began = until_interrupted()

    def fail(operator: Any) -> bool:
        assert began.wait(DEADLINE_S)
        raise ValueError("broken on purpose")

    WORK.update(first=fail, second=work)
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(Two("pipeline"), host=host).start()
    error = caught.value
    assert error.exit_code == 115
    assert error.operator == "pipeline.first"
    assert error.exit_codes == {"pipeline.first": 115, "pipeline.second": 130}
    assert isinstance(error.__cause__, ValueError)
    assert "pipeline.first ended with exit code 115 (StateOperationError): ValueError: broken on purpose" in str(error)
    assert "stopped, too: pipeline.second" in str(error)
    assert ("pipeline.second", "shutdown") in CALLS
    assert SIGNALS == [("pipeline.second", None)]
    assert host.flush(DEADLINE_S)
    assert observer.runs == ["pipeline", "failed"]
    assert "stopped, because pipeline.first has failed" in capsys.readouterr().err


def test_the_others_are_stopped_while_the_failed_one_still_shuts_down(host: Any) -> None:
    class Slow(Working):
        def _on_shutdown(self) -> bool:
            return second_has_ended.wait(DEADLINE_S)

    class Demo(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.first = Slow()
            self.second = Other()

    class Other(Working):
        def _on_shutdown(self) -> bool:
            second_has_ended.set()
            return True

    second_has_ended = threading.Event()
    work, began = until_interrupted()

    def fail(operator: Any) -> bool:
        assert began.wait(DEADLINE_S)
        raise ValueError("no")

    WORK.update(first=fail, second=work)
    with pytest.raises(PipelineFailedError, match=r"pipeline\.first ended"):
        PipelineExecutor(Demo("pipeline"), host=host).start()


def test_with_continue_the_others_go_on_and_the_failure_is_told_at_the_end(host: Any) -> None:
    first_has_failed = threading.Event()

    def fail(operator: Any) -> bool:
        first_has_failed.set()
        raise ValueError("no")

    WORK.update(first=fail, second=lambda operator: first_has_failed.wait(DEADLINE_S))
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(Two("pipeline"), on_failure="continue", host=host).start()
    assert caught.value.exit_codes == {"pipeline.first": 115, "pipeline.second": 0}
    assert SIGNALS == []


def test_the_exit_code_is_that_of_the_first_that_failed(host: Any) -> None:
    class Demo(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.first = Working()
            self.second = BadShutdown()

    class BadShutdown(Working):
        def _on_shutdown(self) -> bool:
            raise ValueError("too")

    work, began = until_interrupted()

    def fail(operator: Any) -> bool:
        assert began.wait(DEADLINE_S)
        raise ValueError("no")

    WORK.update(first=fail, second=work)
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(Demo("pipeline"), host=host).start()
    assert caught.value.exit_codes == {"pipeline.first": 115, "pipeline.second": 116}
    assert (caught.value.operator, caught.value.exit_code) == ("pipeline.first", 115)


def test_sys_exit_in_an_operator_is_no_hang(host: Any) -> None:
    WORK["first"] = lambda operator: (_ for _ in ()).throw(SystemExit(3))
    with pytest.raises(PipelineFailedError):
        PipelineExecutor(Two("pipeline"), host=host).start()


def test_keyboard_interrupt_raised_by_an_operator_is_no_hang(host: Any) -> None:
    WORK["first"] = lambda operator: (_ for _ in ()).throw(KeyboardInterrupt())
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(Two("pipeline"), host=host).start()
    assert caught.value.exit_code == 129


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_interrupts_all_and_their_exit_codes_are_given(
    host: Any, observer: Any, number: signal.Signals
) -> None:
    work, began = until_interrupted()
    to_send = [number]  # once: a second Ctrl-C would end this process at once

    def send(operator: Any) -> bool:
        if to_send and began.wait(DEADLINE_S):
            os.kill(os.getpid(), to_send.pop())
        return work(operator)  # type: ignore[no-any-return]

    WORK.update(first=send, second=work)
    codes = PipelineExecutor(Two("pipeline"), host=host).start()
    assert codes == {"pipeline.first": 130, "pipeline.second": 130}
    assert sorted(SIGNALS) == [("pipeline.first", number), ("pipeline.second", number)]
    assert host.flush(DEADLINE_S)
    assert observer.runs == ["pipeline", "interrupted"]


def test_an_interrupt_ends_a_start_in_another_thread_and_shutdown_waits_for_it(host: Any) -> None:
    work, began = until_interrupted()
    WORK.update(first=work, second=work)
    executor = PipelineExecutor(Two("pipeline"), host=host)
    codes: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: codes.append(executor.start()))
    thread.start()
    assert began.wait(DEADLINE_S)
    executor.interrupt()
    executor.shutdown()
    thread.join(DEADLINE_S)
    assert codes == [{"pipeline.first": 130, "pipeline.second": 130}]


def test_a_ctrl_c_while_the_run_begins_calls_nothing(host: Any, monkeypatch: Any) -> None:
    silent = threading.Event()

    def start(*args: Any, **kwargs: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        assert silent.wait(DEADLINE_S)
        raise PypzError("no answer")

    monkeypatch.setattr(PipelineRun, "start", start)
    monkeypatch.setattr("pypz.executors.beginning.GIVE_UP_S", 0.01)
    assert PipelineExecutor(Two("pipeline"), host=host).start() == {"pipeline.first": 130, "pipeline.second": 130}
    assert CALLS == []
    silent.set()


@pytest.mark.parametrize("error", [RunConflictError("another run is alive"), ConfigurationError("no such thing")])
def test_a_run_that_refuses_is_raised_before_anything_is_called(host: Any, monkeypatch: Any, error: Exception) -> None:
    def start(*args: Any, **kwargs: Any) -> Any:
        raise error

    monkeypatch.setattr(PipelineRun, "start", start)
    with pytest.raises(type(error), match=str(error)):
        PipelineExecutor(Two("pipeline"), host=host).start()
    assert CALLS == []


@pytest.mark.parametrize("error", [RunConflictError("another run is alive"), ConfigurationError("no such thing")])
def test_a_member_that_is_refused_is_raised_before_anything_is_called(
    host: Any, observer: Any, monkeypatch: Any, error: Exception
) -> None:
    enter = PipelineRun.enter

    def refuse(self: PipelineRun, operator: Any, mode: Any) -> Any:
        if operator.get_simple_name() == "second":
            raise error
        return enter(self, operator, mode)

    monkeypatch.setattr(PipelineRun, "enter", refuse)
    with pytest.raises(type(error), match=str(error)):
        PipelineExecutor(Two("pipeline"), on_failure="continue", host=host).start()
    assert CALLS == []
    assert host.flush(DEADLINE_S)
    assert observer.runs == ["pipeline", "failed"]
    assert observer.ends == {}


def test_a_member_that_cannot_reach_its_transport_fails_the_start(host: Any, monkeypatch: Any) -> None:
    enter = PipelineRun.enter

    def refuse(self: PipelineRun, operator: Any, mode: Any) -> Any:
        if operator.get_simple_name() == "second":
            raise PypzError("no broker at nowhere:9092")
        return enter(self, operator, mode)

    monkeypatch.setattr(PipelineRun, "enter", refuse)
    with pytest.raises(PipelineFailedError, match=r"pipeline\.second could not start: .*nowhere:9092") as caught:
        PipelineExecutor(Two("pipeline"), host=host).start()
    assert caught.value.exit_codes == {"pipeline.first": 130, "pipeline.second": 129}
    assert CALLS == []


def test_the_end_of_the_run_is_told_and_everything_closed_in_all_cases(host: Any, monkeypatch: Any) -> None:
    ended: list[str] = []
    finish, close = PipelineRun.finish, PipelineRun.close

    def noting_finish(self: PipelineRun, outcome: Any) -> None:
        ended.append(outcome)
        finish(self, outcome)

    def noting_close(self: PipelineRun) -> None:
        ended.append("closed")
        close(self)

    monkeypatch.setattr(PipelineRun, "finish", noting_finish)
    monkeypatch.setattr(PipelineRun, "close", noting_close)
    PipelineExecutor(Two("pipeline"), host=host).start()
    WORK["first"] = lambda operator: 1
    with pytest.raises(PipelineFailedError, match="_on_running returned 1"):
        PipelineExecutor(Two("pipeline"), host=host).start()
    assert ended == ["finished", "closed", "failed", "closed"]


def test_a_run_whose_end_cannot_be_told_is_a_warning(host: Any, monkeypatch: Any, capsys: Any) -> None:
    def finish(self: PipelineRun, outcome: str) -> None:
        raise PypzError("the broker is gone")

    monkeypatch.setattr(PipelineRun, "finish", finish)
    assert set(PipelineExecutor(Two("pipeline"), host=host).start().values()) == {0}
    assert "WARNING: pipeline: the end of the run could not be told: PypzError: the broker is gone" in (
        capsys.readouterr().err
    )


def test_no_thread_is_left_behind(host: Any) -> None:
    before = set(threading.enumerate())
    for _ in range(3):
        PipelineExecutor(Two("pipeline"), host=host).start()
    left = [t for t in set(threading.enumerate()) - before if t.name.startswith(("pipeline", "pypz-signals"))]
    for thread in left:
        thread.join(DEADLINE_S)
    assert not any(thread.is_alive() for thread in left)


# --- restarts ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr("pypz.executors.pipeline.restarts.FIRST_PAUSE_S", 0.001)


def failing(times: int) -> tuple[Callable[[Any], Any], list[int]]:
    """Work that fails so often, and then ends well."""
    failures: list[int] = []

    def work(operator: Any) -> bool:
        if len(failures) < times:
            failures.append(1)
            raise ValueError("broken on purpose")
        return True

    return work, failures


@pytest.mark.usefixtures("at_once")
def test_a_failed_operator_is_started_again_and_the_others_go_on(host: Any, observer: Any, capsys: Any) -> None:
    work, failures = failing(2)
    first_has_ended = threading.Event()

    def first(operator: Any) -> bool:
        work(operator)
        first_has_ended.set()
        return True

    WORK.update(first=first, second=lambda operator: first_has_ended.wait(DEADLINE_S))
    codes = PipelineExecutor(Two("pipeline"), max_restarts=2, host=host).start()
    assert codes == {"pipeline.first": 0, "pipeline.second": 0}
    assert len(failures) == 2
    assert SIGNALS == []
    assert [call for call in CALLS if call == ("pipeline.first", "init")] == [("pipeline.first", "init")] * 3
    assert host.flush(DEADLINE_S)
    assert observer.runs == ["pipeline", "finished"]
    assert "is started again in 0.002 s (restart 2 of 2)" in capsys.readouterr().err


@pytest.mark.usefixtures("at_once")
def test_an_operator_that_has_used_up_its_restarts_has_failed_for_good(host: Any) -> None:
    work, _ = until_interrupted()
    fails, failures = failing(99)
    WORK.update(first=fails, second=work)
    with pytest.raises(PipelineFailedError, match=r"pipeline\.first ended with exit code 115") as caught:
        PipelineExecutor(Two("pipeline"), max_restarts=3, host=host).start()
    assert caught.value.exit_codes == {"pipeline.first": 115, "pipeline.second": 130}
    assert len(failures) == 4


def test_an_interrupt_ends_the_pause_before_a_restart(host: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr("pypz.executors.pipeline.restarts.FIRST_PAUSE_S", 10 * DEADLINE_S)
    executor = PipelineExecutor(Two("pipeline"), max_restarts=3, host=host)
    said: list[str] = []

    def say(text: str) -> None:
        said.append(text)
        executor.interrupt()

    monkeypatch.setattr("pypz.executors.pipeline.threads.say", say)
    work, _ = until_interrupted()
    fails, failures = failing(99)
    WORK.update(first=fails, second=work)
    with pytest.raises(PipelineFailedError) as caught:
        executor.start()
    assert caught.value.exit_codes == {"pipeline.first": 115, "pipeline.second": 130}
    assert len(said) == len(failures) == 1


# --- settings ---------------------------------------------------------------------------------------------------------


class Needing(Working):
    city = RequiredParameter(str)
    street = RequiredParameter(str, alt_name="streetName")


class NeedingTwo(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = Needing()
        self.second = Needing()


def test_missing_parameters_of_the_whole_pipeline_are_listed_at_once(host: Any) -> None:
    pipeline = NeedingTwo("pipeline")
    pipeline.first.set_parameter("city", "Ulm")
    with pytest.raises(LookupError) as caught:
        PipelineExecutor(pipeline, host=host)
    assert isinstance(caught.value, PypzError)
    assert [line.strip() for line in str(caught.value).splitlines()[1:4]] == [
        "pipeline.first: streetName",
        "pipeline.second: city",
        "pipeline.second: streetName",
    ]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"isolation": "fork"}, "isolation is 'fork', expected 'thread' or 'process'"),
        ({"on_failure": "ignore"}, "on_failure is 'ignore', expected 'stop' or 'continue'"),
        ({"max_restarts": -1}, "max_restarts is -1, expected a whole number, 0 or more"),
        ({"max_restarts": True}, "max_restarts is True, expected a whole number, 0 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(host: Any, settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        PipelineExecutor(Two("pipeline"), host=host, **settings)


def test_an_operator_alone_takes_part_in_a_run_of_its_own(host: Any, observer: Any) -> None:
    assert OperatorExecutor(Two("pipeline").first, host=host).execute() == 0
    assert CALLS == [("pipeline.first", "init"), ("pipeline.first", "run"), ("pipeline.first", "shutdown")]
    assert host.flush(DEADLINE_S)
    assert observer.ends == {"pipeline.first": 0}


def test_a_replica_alone_is_made_into_an_operator_of_its_own(host: Any) -> None:
    pipeline = Two("pipeline")
    pipeline.first.set_parameter("replicationFactor", 2)
    replica: Any = pipeline.first.get_replica(1)
    assert OperatorExecutor(replica, host=host).execute() == 0
    assert {name for name, _ in CALLS} == {"pipeline.first_1"}


def test_the_traceback_of_a_failure_shows_where_the_operator_raised(host: Any) -> None:
    def fail(operator: Any) -> bool:
        raise ValueError("here")

    WORK["first"] = fail
    with pytest.raises(PipelineFailedError) as caught:
        PipelineExecutor(Two("pipeline"), host=host).start()
    assert 'raise ValueError("here")' in "".join(traceback.format_exception(caught.value))
