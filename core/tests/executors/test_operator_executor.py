"""What an operator's executor calls, in which order, and how it ends."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import pytest

from pypz.core.commons.errors import FencedError, MissingParametersError, MockedInstanceError, PypzError
from pypz.core.commons.parameters import RequiredParameter
from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.errors import AlreadyRunningError, ReturnTypeError
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.operator.states import Signal, State

UP = ["service.start", "resource.create", "input.open", "op.init"]
DOWN = ["op.shutdown", "session.finish", "input.close"]


@pytest.fixture
def execute(run: Any, host: Any) -> Any:
    """Execute an operator, and wait until the observer was told everything."""

    def go(operator: Any, mode: ExecutionMode = ExecutionMode.Standard) -> int:
        code = OperatorExecutor(operator, run=run, host=host).execute(mode)
        assert host.flush(20)
        return code

    return go


@pytest.fixture
def full(make_operator: Any, doubles: Any) -> Any:
    return make_operator(doubles.full)


# --- order ------------------------------------------------------------------------------------------------------------


def test_standard_calls_everything_in_the_order_that_users_know(execute: Any, full: Any, notes: Any) -> None:
    notes.answers("op.run", False, True)
    assert execute(full) == 0
    assert notes.calls == [
        "extended.pre",
        *UP,
        *["op.run", "input.commit"] * 2,
        *DOWN,
        "resource.delete",
        "service.stop",
        "extended.post",
    ]


@pytest.mark.parametrize(
    ("mode", "calls"),
    [
        (ExecutionMode.Skip, []),
        (
            ExecutionMode.WithoutResourceDeletion,
            ["extended.pre", *UP, "op.run", "input.commit", *DOWN, "service.stop", "extended.post"],
        ),
        (
            ExecutionMode.ResourceCreationOnly,
            ["extended.pre", "service.start", "resource.create", "service.stop", "extended.post"],
        ),
        (
            ExecutionMode.ResourceDeletionOnly,
            ["extended.pre", "service.start", "resource.delete", "service.stop", "extended.post"],
        ),
    ],
)
def test_each_mode_calls_its_part(execute: Any, full: Any, notes: Any, mode: ExecutionMode, calls: list[str]) -> None:
    assert execute(full, mode) == 0
    assert notes.calls == calls


def test_an_executor_can_be_used_again(full: Any, run: Any, host: Any, notes: Any) -> None:
    executor = OperatorExecutor(full, run=run, host=host)
    assert [executor.execute(), executor.execute()] == [0, 0]
    assert notes.calls.count("op.run") == 2
    assert executor.get_current_state() is State.StateKilled
    assert executor.get_current_signal() is Signal.SignalKill
    assert not executor.is_running()


def test_an_executor_that_runs_cannot_be_started_again(full: Any, run: Any, host: Any, notes: Any) -> None:
    executor = OperatorExecutor(full, run=run, host=host)
    seen = []

    def running() -> bool:
        with pytest.raises(AlreadyRunningError, match="runs already"):
            executor.execute()
        seen.append((executor.is_running(), executor.get_current_state()))
        return True

    notes.does["op.run"] = running
    assert executor.execute() == 0
    assert seen == [(True, State.StateOperationRunning)]


def test_a_method_that_answers_false_is_called_again_alone(execute: Any, full: Any, notes: Any) -> None:
    notes.answers("input.open", False, False, True)
    notes.answers("op.shutdown", False, True)
    assert execute(full) == 0
    assert notes.of("open", "init") == ["input.open"] * 3 + ["op.init"]
    assert notes.of("shutdown", "close") == ["op.shutdown"] * 2 + ["input.close"]


def test_a_level_begins_when_the_one_before_is_done_and_the_way_down_is_reversed(
    execute: Any, make_operator: Any, doubles: Any, notes: Any
) -> None:
    operator = make_operator(first=doubles.service, second=doubles.service, third=doubles.service)
    operator.first.depends_on(operator.second)
    operator.second.depends_on(operator.third)
    notes.answers("third.start", False, True)
    assert execute(operator) == 0
    assert notes.of("start") == ["third.start", "third.start", "second.start", "first.start"]
    assert notes.of("stop") == ["first.stop", "second.stop", "third.stop"]


def test_plugins_of_one_level_are_called_side_by_side_in_threads_named_after_them(
    execute: Any, make_operator: Any, doubles: Any, notes: Any
) -> None:
    operator = make_operator(left=doubles.service, right=doubles.service)
    meeting = threading.Barrier(2, timeout=doubles.deadline_s)
    for name in ("left", "right"):
        notes.does[f"{name}.start"] = lambda: meeting.wait() >= 0
    assert execute(operator) == 0
    assert notes.threads["left.start"] == "pipeline.op/pipeline.op.left"
    assert notes.threads["op.run"] == "pipeline.op"
    assert threading.current_thread().name == "MainThread"


def test_extended_plugins_are_told_before_and_after_the_states(
    execute: Any, full: Any, notes: Any, observer: Any
) -> None:
    notes.raises("extended.pre", ValueError("no"))
    assert execute(full) == ExitCodes.FatalError.value
    assert notes.calls == ["extended.pre", "session.finish"]
    assert observer.ends == {"op": 129}


def test_an_error_after_the_states_is_fatal(execute: Any, full: Any, notes: Any) -> None:
    notes.raises("extended.post", ValueError("no"))
    assert execute(full) == ExitCodes.FatalError.value
    assert "service.stop" in notes.calls


# --- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("where", "state", "code", "told"),
    [
        ("service.start", "StateServiceStart", 110, {"service"}),
        ("resource.create", "StateResourceCreation", 112, {"resource"}),
        ("input.open", "StateOperationInit", 114, {"op", "input"}),
        ("op.init", "StateOperationInit", 114, {"op", "input"}),
        ("op.run", "StateOperationRunning", 115, {"op", "input"}),
        ("op.shutdown", "StateOperationShutdown", 116, {"op", "input"}),
        ("input.close", "StateOperationShutdown", 116, {"op", "input"}),
        ("resource.delete", "StateResourceDeletion", 113, {"resource"}),
        ("service.stop", "StateServiceShutdown", 111, {"service"}),
    ],
)
def test_an_error_ends_with_the_code_of_its_state_and_is_told(
    execute: Any, full: Any, notes: Any, observer: Any, capsys: Any, where: str, state: str, code: int, told: set[str]
) -> None:
    error = ValueError("broken on purpose")
    notes.raises(where, error)
    assert execute(full) == code
    assert {name for name, _, _ in notes.errors} == told
    assert all(source.name == state and given is error for _, source, given in notes.errors)
    assert [(name, during, info.type) for name, during, info in observer.failures] == [("op", state, "ValueError")]
    assert observer.ends == {"op": code}
    assert "service.stop" in notes.calls
    assert notes.calls[-1] == "extended.post"
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("ERROR: pipeline.op: ended with exit code")
    assert str(code) in lines[0]
    assert "ValueError: broken on purpose" in lines[0]
    assert state in lines[0]


def test_what_fails_on_the_way_up_stops_there(execute: Any, full: Any, notes: Any, session: Any) -> None:
    notes.raises("resource.create", ValueError("no"))
    assert execute(full, ExecutionMode.WithoutResourceDeletion) == 112
    assert notes.calls == [
        "extended.pre",
        "service.start",
        "resource.create",
        "session.finish",
        "resource.delete",
        "service.stop",
        "extended.post",
    ]
    assert session.outcomes == ["failed"]


def test_what_fails_on_the_way_down_stops_nothing(
    execute: Any, make_operator: Any, doubles: Any, notes: Any, observer: Any
) -> None:
    operator = make_operator(first=doubles.service, second=doubles.service)
    operator.first.depends_on(operator.second)
    notes.raises("first.stop", ValueError("one"))
    notes.raises("second.stop", ValueError("two"))
    assert execute(operator) == 111
    assert notes.of("stop") == ["first.stop", "second.stop"]
    assert [info.message for _, _, info in observer.failures] == ["one"]


def test_an_error_after_an_error_decides_the_exit_code(execute: Any, full: Any, notes: Any, capsys: Any) -> None:
    notes.raises("op.run", ValueError("first"))
    notes.raises("service.stop", ValueError("last"))
    assert execute(full) == 111
    assert "ValueError: first" in capsys.readouterr().err


def test_an_error_while_an_error_is_told_changes_nothing(execute: Any, full: Any, notes: Any) -> None:
    def raises(source: Any, exception: Exception) -> None:
        raise RuntimeError("again")

    object.__setattr__(full, "_on_error", raises)
    notes.raises("op.run", ValueError("first"))
    assert execute(full) == 115


def test_sys_exit_in_user_code_is_an_error_that_still_closes_the_ports(execute: Any, full: Any, notes: Any) -> None:
    notes.raises("op.run", SystemExit(3))
    assert execute(full) == 115
    assert "input.close" in notes.calls


@pytest.mark.parametrize(
    ("where", "code", "outcomes"),
    [
        ("service.start", 110, ["failed"]),
        ("op.init", 114, ["failed"]),
        ("op.run", 115, ["failed"]),
        ("op.shutdown", 116, ["failed"]),
        ("input.close", 116, ["completed"]),
        ("resource.delete", 113, ["completed"]),
    ],
)
def test_channels_are_told_how_the_operation_ended(
    execute: Any, full: Any, notes: Any, session: Any, where: str, code: int, outcomes: list[str]
) -> None:
    notes.raises(where, ValueError("no"))
    assert execute(full) == code
    assert session.outcomes == outcomes
    assert session.asked[-1] == "close"


@pytest.mark.parametrize("mode", [ExecutionMode.ResourceCreationOnly, ExecutionMode.ResourceDeletionOnly])
def test_modes_without_operation_tell_the_channels_no_end(execute: Any, full: Any, session: Any, mode: Any) -> None:
    assert execute(full, mode) == 0
    assert session.outcomes == []


def test_a_last_commit_that_fails_is_an_error_of_the_shutdown(
    execute: Any, full: Any, notes: Any, session: Any
) -> None:
    session.raises_at_finish = PypzError("the broker is gone")
    assert execute(full) == 116
    assert "input.close" in notes.calls


def test_a_fenced_member_stops_with_its_own_code_and_deletes_nothing(
    execute: Any, full: Any, notes: Any, session: Any
) -> None:
    def running() -> bool:
        session.fenced = True
        return False

    notes.does["op.run"] = running
    assert execute(full) == ExitCodes.Fenced.value
    assert "resource.delete" not in notes.calls
    assert isinstance(notes.errors[0][2], FencedError)


def test_a_member_that_is_fenced_after_its_operation_says_so(
    execute: Any, full: Any, notes: Any, session: Any, capsys: Any
) -> None:
    def close() -> bool:
        session.fenced = True
        return True

    notes.does["input.close"] = close
    assert execute(full) == ExitCodes.Fenced.value
    assert "resource.delete" not in notes.calls
    assert "117 (Fenced): a later start of this member exists" in capsys.readouterr().err


def test_a_member_that_has_ended_in_this_run_calls_nothing_and_says_so(
    execute: Any, full: Any, notes: Any, session: Any, observer: Any, capsys: Any
) -> None:
    session.already_closed = True
    assert execute(full) == 0
    assert capsys.readouterr().err == "pipeline.op: has ended in this run before, there is nothing left to do\n"
    assert notes.calls == []
    assert session.asked == ["close"]
    assert observer.ends == {}


def test_a_member_that_was_killed_before_it_had_deleted_its_channels_takes_that_up(
    execute: Any, full: Any, notes: Any, session: Any, observer: Any
) -> None:
    session.already_closed = session.owes_deletion = True
    assert execute(full) == 0
    assert notes.of("start", "create", "init", "open", "running", "shutdown", "close", "delete", "stop") == [
        "service.start",
        "resource.delete",
        "service.stop",
    ]
    assert session.asked == ["take up deletion", "close"]
    assert observer.ends == {"op": 0}


def test_a_member_that_deletes_nothing_does_not_take_that_up_either(
    execute: Any, full: Any, notes: Any, session: Any
) -> None:
    session.already_closed = session.owes_deletion = True
    assert execute(full, ExecutionMode.WithoutResourceDeletion) == 0
    assert notes.calls == []


def test_a_run_that_cannot_be_joined_is_told_on_one_line(
    execute: Any, full: Any, run: Any, notes: Any, capsys: Any
) -> None:
    def refuse() -> None:
        raise PypzError("no broker at nowhere:9092")

    run.on_enter = refuse
    assert execute(full) == ExitCodes.FatalError.value
    assert capsys.readouterr().err == (
        "ERROR: pipeline.op: ended with exit code 129 (FatalError): PypzError: no broker at nowhere:9092\n"
    )
    assert notes.calls == []


# --- what methods return ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("result", ["done", 1, 0, [], b""])
def test_on_running_that_returns_anything_else_is_refused(
    execute: Any, full: Any, notes: Any, session: Any, result: Any
) -> None:
    notes.answers("op.run", result)
    assert execute(full) == 115
    error = notes.errors[0][2]
    assert isinstance(error, ReturnTypeError)
    assert isinstance(error, TypeError)
    assert "pipeline.op: _on_running returned" in str(error)
    assert "expected True to end, False to be called again, or None" in str(error)
    assert "ended" not in session.asked


@pytest.mark.parametrize(("where", "code"), [("op.init", 114), ("op.shutdown", 116), ("input.open", 114)])
def test_a_result_that_does_not_fit_the_annotation_is_refused(
    execute: Any, full: Any, notes: Any, where: str, code: int
) -> None:
    notes.answers(where, None)
    assert execute(full) == code
    assert "annotated to return bool" in str(notes.errors[0][2])


# --- what observers and loggers hear ----------------------------------------------------------------------------------


def test_observers_hear_each_change_of_state(execute: Any, full: Any, observer: Any) -> None:
    assert execute(full) == 0
    path = [new.removeprefix("State") for _, _, new in observer.states]
    assert path == [state.name.removeprefix("State") for state in State]
    assert [old for _, old, _ in observer.states] == ["", *[new for _, _, new in observer.states][:-1]]
    assert observer.ends == {"op": 0}


def test_a_silent_operator_gets_a_logger_where_lines_are_wanted(full: Any, run: Any, capsys: Any, notes: Any) -> None:
    from pypz.core.commons.loggers import DefaultContextLogger
    from pypz.core.hooks.host import PluginHost
    from pypz.core.hooks.spec import hookimpl

    class Loggers:
        @hookimpl
        def pypz_make_logger(self, operator: Any) -> Any:
            return DefaultContextLogger()

    host = PluginHost(load=False)
    host.register(Loggers())

    def running() -> bool:
        full.get_logger().info("from within")
        return True

    notes.does["op.run"] = running
    assert OperatorExecutor(full, run=run, host=host, want_logs=True).execute() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].endswith("| pipeline.op | StateEntry | (StateEntry)--[SignalServicesStart]-->(StateServiceStart)")
    assert lines[0].startswith("INFO | ")
    assert any(line.endswith("| pipeline.op | from within") for line in lines)
    assert OperatorExecutor(full, run=run, host=host).execute() == 0
    assert capsys.readouterr().out == ""
    host.close()


def test_a_logger_that_fails_stops_nothing(full: Any, run: Any, capsys: Any, host: Any) -> None:
    from pypz.core.commons.loggers import DefaultContextLogger

    class Broken(DefaultContextLogger):
        def _info(self, event: Any = None, context_stack: Any = None, *args: Any, **kwargs: Any) -> Any:
            raise OSError("disk full")

    executor = OperatorExecutor(full, run=run, host=host)
    executor._logger = Broken()
    assert executor.execute() == 0
    assert capsys.readouterr().err.splitlines() == [
        "WARNING: pipeline.op: its logger failed, lines may be missing: OSError: disk full"
    ]


def test_secrets_are_masked_in_what_is_told_of_an_error(
    execute: Any, make_operator: Any, doubles: Any, notes: Any, observer: Any, capsys: Any, monkeypatch: Any
) -> None:
    monkeypatch.setenv("PYPZ_SECRET_PIPELINE_OP_TOKEN", "hunter2")
    operator = make_operator()
    notes.raises("op.run", ValueError("login as me:hunter2 refused"))
    assert execute(operator) == 115
    assert "hunter2" not in repr(observer.failures)
    assert "hunter2" not in capsys.readouterr().err
    assert "me:***" in observer.failures[0][2].message


@pytest.mark.parametrize("shown", [repr, ascii, json.dumps, lambda text: json.dumps(text, ensure_ascii=False), quote])
def test_secrets_are_masked_however_a_message_writes_them(
    execute: Any,
    make_operator: Any,
    notes: Any,
    observer: Any,
    capsys: Any,
    monkeypatch: Any,
    shown: Callable[[str], str],
) -> None:
    secret = 'it\'s \\ "Ulm" ü/+'
    monkeypatch.setenv("PYPZ_SECRET_PIPELINE_OP_TOKEN", secret)
    operator = make_operator()
    text = f"me:{shown(secret)} refused"
    notes.raises("op.run", ValueError(text))
    assert execute(operator) == 115
    told = observer.failures[0][2].message + capsys.readouterr().err
    assert "Ulm" not in told
    assert "refused" in told


# --- preparation ------------------------------------------------------------------------------------------------------


def test_all_missing_parameters_are_listed_at_once(make_operator: Any, doubles: Any, host: Any, notes: Any) -> None:
    class Needing(doubles.service):  # type: ignore[misc]
        city = RequiredParameter(str)
        street = RequiredParameter(str, alt_name="streetName")

    operator = make_operator(one=Needing, two=Needing)
    operator.two.set_parameter("city", "Ulm")
    with pytest.raises(MissingParametersError) as caught:
        OperatorExecutor(operator, host=host)
    assert isinstance(caught.value, LookupError)
    text = str(caught.value)
    assert [line.strip() for line in text.splitlines()[1:4]] == [
        "pipeline.op.one: city",
        "pipeline.op.one: streetName",
        "pipeline.op.two: streetName",
    ]
    assert "set_parameter" in text


def test_templates_of_the_environment_are_resolved_for_execution_only(
    make_operator: Any, host: Any, monkeypatch: Any
) -> None:
    operator = make_operator()
    operator.set_parameter("place", "in $(env:PYPZ_TEST_CITY)")
    monkeypatch.setenv("PYPZ_TEST_CITY", "Ulm")
    OperatorExecutor(operator, host=host)
    assert operator.get_parameter("place") == "in Ulm"
    assert "Ulm" not in str(operator)


def test_stand_ins_are_not_executed(full: Any, host: Any, monkeypatch: Any) -> None:
    monkeypatch.setattr(type(full.service), "mocked", True, raising=False)
    with pytest.raises(MockedInstanceError, match=r"pipeline\.op\.service") as caught:
        OperatorExecutor(full, host=host)
    assert isinstance(caught.value, PermissionError)


@pytest.mark.parametrize("given", [0, -5])
def test_a_drain_timeout_that_makes_no_sense_is_refused(make_operator: Any, host: Any, given: int) -> None:
    operator = make_operator()
    operator.set_parameter("drainTimeoutMs", given)
    with pytest.raises(ValueError, match=r"pipeline\.op: parameter 'drainTimeoutMs' is .*, expected milliseconds"):
        OperatorExecutor(operator, host=host)


def test_each_code_other_than_0_is_one_error_line_whatever_else_fails(
    make_operator: Any, doubles: Any, run: Any, host: Any, notes: Any, capsys: Any
) -> None:
    for what in ("op.run", "op.shutdown", "input.close", "resource.delete", "service.stop", "extended.post"):
        notes.raises(what, ValueError(f"broken in {what}"))
    code = OperatorExecutor(make_operator(doubles.full), run=run, host=host).execute()
    told = [line for line in capsys.readouterr().err.splitlines() if "ERROR" in line]
    assert len(told) == 1
    assert told[0].startswith(f"ERROR: pipeline.op: ended with exit code {code} ")
    assert "broken in op.run" in told[0]  # the first cause
