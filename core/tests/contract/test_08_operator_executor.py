"""Section 8: an operator's life as users see it, carried out by `OperatorExecutor` itself with nothing in its place.

Each table of the section, and what happens inside a state, is tested beside the executor in ``core/tests/executors``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.core.commons.parameters import RequiredParameter
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.dtos import OperatorInstanceDTO
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import (
    ExtendedPlugin,
    InputPortPlugin,
    OutputPortPlugin,
    Plugin,
    PortPlugin,
    ResourceHandlerPlugin,
    ServicePlugin,
)
from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.operator.context import ExecutionContext
from pypz.executors.operator.executor import OperatorExecutor

CALLS: list[str] = []
ERRORS: list[tuple[str, str, Exception]] = []
SIGNALS: list[tuple[str, int | None]] = []
DOES: dict[str, Callable[[Any], Any]] = {}
"""What a method does instead of returning True, by ``instance.method``."""


@pytest.fixture(autouse=True)
def _clean() -> None:
    for kept in (CALLS, ERRORS, SIGNALS, DOES):
        kept.clear()


def called(method: str) -> Any:
    def note(self: Any) -> Any:
        key = f"{self.get_simple_name()}.{method}"
        CALLS.append(key)
        return DOES[key](self) if key in DOES else method != "can_retrieve"

    return note


class Told(Plugin):
    def _on_interrupt(self, system_signal: int | None = None) -> None:
        SIGNALS.append((self.get_simple_name(), system_signal))

    def _on_error(self, source: Any, exception: Exception) -> None:
        ERRORS.append((self.get_simple_name(), source.name, exception))


class Service(Told, ServicePlugin):
    _on_service_start = called("start")
    _on_service_shutdown = called("stop")


class Resource(Told, ResourceHandlerPlugin):
    _on_resource_creation = called("create")
    _on_resource_deletion = called("delete")


class Extended(Told, ExtendedPlugin):
    _pre_execution = called("pre")
    _post_execution = called("post")


class Input(Told, InputPortPlugin):
    _on_port_open = called("open")
    _on_port_close = called("close")
    can_retrieve = called("can_retrieve")
    retrieve = called("retrieve")
    commit_current_read_offset = called("commit")


class Output(Told, OutputPortPlugin):
    _on_port_open = called("open")
    _on_port_close = called("close")

    def send(self, data: Any) -> Any: ...


class Worker(BlankOperator):
    secret_word = RequiredParameter(str, alt_name="word")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.secret_word = "x"
        self.extended = Extended()
        self.service = Service()
        self.resource = Resource()
        self.input = Input()
        self.seen = ""

    _on_init = called("init")
    _on_running = called("run")
    _on_shutdown = called("shutdown")

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        SIGNALS.append((self.get_simple_name(), system_signal))

    def _on_error(self, source: Any, exception: Exception) -> None:
        ERRORS.append((self.get_simple_name(), source.name, exception))


class Around(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.op = Worker()


@pytest.fixture
def host() -> Iterator[PluginHost]:
    made = PluginHost(load=False)
    yield made
    made.close()


@pytest.fixture
def operator() -> Worker:
    return Around("pipeline").op


def execute(host: PluginHost, operator: Operator, mode: ExecutionMode = ExecutionMode.Standard) -> int:
    return OperatorExecutor(operator, host=host).execute(mode)


UP = ["service.start", "resource.create", "input.open", "op.init"]
DOWN = ["op.shutdown", "input.close"]


def fails(error: Exception) -> Callable[[Any], Any]:
    def fail(instance: Any) -> Any:
        raise error

    return fail


# --- order and modes ------------------------------------------------------------------------------------------------------


def test_the_order_of_calls_in_standard(host: PluginHost, operator: Worker) -> None:
    answers = [False, True]
    DOES["op.run"] = lambda op: answers.pop(0)
    assert execute(host, operator) == 0
    around = ["resource.delete", "service.stop", "extended.post"]
    assert ["extended.pre", *UP, *["op.run", "input.commit"] * 2, *DOWN, *around] == CALLS


@pytest.mark.parametrize(
    ("mode", "calls"),
    [
        (ExecutionMode.Skip, ""),
        (ExecutionMode.WithoutResourceDeletion, "pre start create open init run commit shutdown close stop post"),
        (ExecutionMode.ResourceCreationOnly, "pre start create stop post"),
        (ExecutionMode.ResourceDeletionOnly, "pre start delete stop post"),
    ],
)
def test_each_mode_is_its_part_of_that_order(
    host: PluginHost, operator: Worker, mode: ExecutionMode, calls: str
) -> None:
    assert execute(host, operator, mode) == 0
    assert [call.split(".")[1] for call in CALLS] == calls.split()


@pytest.mark.parametrize("where", ["resource.create", "op.shutdown"])
def test_without_deletion_a_failed_creation_or_shutdown_deletes_all_the_same(
    host: PluginHost, operator: Worker, where: str
) -> None:
    DOES[where] = fails(ValueError("x"))
    assert execute(host, operator, ExecutionMode.WithoutResourceDeletion) in (112, 116)
    assert "resource.delete" in CALLS


def test_dependency_levels_go_forward_on_the_way_up_and_backward_on_the_way_down(host: PluginHost) -> None:
    class Two(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.late = Service()
            self.early = Service()
            self.late.depends_on(self.early)

    assert execute(host, Two("op")) == 0
    assert CALLS == ["early.start", "late.start", "late.stop", "early.stop"]


def test_a_method_that_returned_true_is_not_called_again_and_false_is(host: PluginHost, operator: Worker) -> None:
    answers = [False, False, True]
    DOES["service.start"] = lambda service: answers.pop(0)
    assert execute(host, operator) == 0
    assert [CALLS.count(call) for call in ("service.start", "resource.create", "op.init")] == [3, 1, 1]


# --- what _on_running says ------------------------------------------------------------------------------------------------


def test_none_goes_on_while_an_input_port_can_retrieve(host: PluginHost, operator: Worker) -> None:
    left = [True, True, False]
    DOES["op.run"] = lambda op: None
    DOES["input.can_retrieve"] = lambda port: left.pop(0) if left else False
    assert execute(host, operator) == 0
    assert CALLS.count("op.run") == 3


def test_none_without_input_port_ends_at_once(host: PluginHost) -> None:
    class Sourceless(BlankOperator):
        _on_running = called("run")

    DOES["op.run"] = lambda op: None
    assert execute(host, Sourceless("op")) == 0
    assert CALLS == ["op.run"]


# --- errors ---------------------------------------------------------------------------------------------------------------

FAILING = [
    ("service.start", "StateServiceStart", 110, {"service"}),
    ("resource.create", "StateResourceCreation", 112, {"resource"}),
    ("input.open", "StateOperationInit", 114, {"op", "input"}),
    ("op.init", "StateOperationInit", 114, {"op", "input"}),
    ("op.run", "StateOperationRunning", 115, {"op", "input"}),
    ("op.shutdown", "StateOperationShutdown", 116, {"op", "input"}),
    ("input.close", "StateOperationShutdown", 116, {"op", "input"}),
    ("resource.delete", "StateResourceDeletion", 113, {"resource"}),
    ("service.stop", "StateServiceShutdown", 111, {"service"}),
]


@pytest.mark.parametrize(("where", "state", "code", "told"), FAILING)
def test_an_error_gives_its_states_exit_code_and_is_told_to_whom_it_concerns(
    host: PluginHost, operator: Worker, capsys: Any, where: str, state: str, code: int, told: set[str]
) -> None:
    error = ValueError("broken")
    DOES[where] = fails(error)
    assert execute(host, operator) == code
    assert {name for name, _, _ in ERRORS} == told
    assert all(source == state and given is error for _, source, given in ERRORS)
    assert CALLS[-2:] == ["service.stop", "extended.post"]
    assert capsys.readouterr().err.count("ERROR") == 1


def test_the_last_error_decides_the_exit_code(host: PluginHost, operator: Worker) -> None:
    DOES["op.run"] = DOES["service.stop"] = fails(ValueError("x"))
    assert execute(host, operator) == 111


@pytest.mark.parametrize("where", ["extended.pre", "extended.post"])
def test_an_error_before_or_after_the_states_is_fatal(host: PluginHost, operator: Worker, where: str) -> None:
    DOES[where] = fails(ValueError("x"))
    assert execute(host, operator) == ExitCodes.FatalError.value == 129


def test_a_result_is_checked_against_the_annotation_and_none_without_one_is_done(
    host: PluginHost, operator: Worker
) -> None:
    def wrong() -> bool:
        return "yes"  # type: ignore[return-value]

    DOES["op.init"] = lambda op: None
    assert execute(host, operator) == 0

    class Annotated(Worker):
        def _on_init(self) -> bool:
            return wrong()

    assert execute(host, Annotated("op")) == 114
    assert isinstance(ERRORS[0][2], TypeError)


# --- refused at once ------------------------------------------------------------------------------------------------------


def test_a_missing_required_parameter_is_a_lookup_error_of_the_constructor(host: PluginHost, operator: Worker) -> None:
    operator.set_parameter("word", None)
    with pytest.raises(LookupError, match="word"):
        OperatorExecutor(operator, host=host)


def test_a_mock_is_a_permission_error_of_the_constructor(host: PluginHost) -> None:
    description = OperatorInstanceDTO(
        name="op", spec={"name": "pypz_not_here:Op", "types": ["<class 'pypz.core.specs.operator.Operator'>"]}
    )
    with pytest.raises(PermissionError, match="pypz_not_here:Op"):
        OperatorExecutor(Operator.create_from_dto(description, mock_nonexistent=True), host=host)


def test_references_to_the_environment_are_resolved_for_operator_and_plugins_but_not_for_the_pipeline(
    host: PluginHost, operator: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYPZ_TEST_A", "resolved")
    operator.get_context().set_parameter("##z", "$(env:PYPZ_TEST_A)")
    before = str(operator)
    OperatorExecutor(operator, host=host)
    assert operator.get_parameter("z") == operator.input.get_parameter("z") == "resolved"
    assert operator.get_context().get_parameter("z") == "$(env:PYPZ_TEST_A)"
    assert str(operator) == before


# --- the executor itself --------------------------------------------------------------------------------------------------


def test_a_replica_is_made_into_an_operator_of_its_own(host: PluginHost, operator: Worker) -> None:
    operator.set_parameter("replicationFactor", 1)

    def see(op: Any) -> bool:
        op.seen = op.get_full_name()
        return True

    DOES["op_0.run"] = see
    replica: Any = operator.get_replica(0)
    assert execute(host, replica) == 0
    assert "op_0.run" in CALLS
    assert operator.seen == ""


def test_it_can_be_executed_again_and_tells_where_it_stands(host: PluginHost, operator: Worker) -> None:
    executor = OperatorExecutor(operator, host=host)
    seen: list[tuple[bool, str, str]] = []

    def look(op: Any) -> bool:
        state, given = executor.get_current_state(), executor.get_current_signal()
        seen.append((executor.is_running(), str(state), str(given)))
        return True

    DOES["op.run"] = look
    assert [executor.execute(), executor.execute()] == [0, 0]
    assert seen == [(True, "StateOperationRunning", "SignalOperationStart")] * 2
    assert (executor.is_running(), str(executor.get_current_state())) == (False, "StateKilled")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_tells_plugins_then_the_operator_and_drains_with_130(
    host: PluginHost, operator: Worker, number: int
) -> None:
    before = signal.getsignal(number)

    def interrupted(op: Any) -> bool:
        if CALLS.count("op.run") == 1:
            os.kill(os.getpid(), number)
        return False

    DOES["op.run"] = interrupted
    assert execute(host, operator) == ExitCodes.SigTerm.value == 130
    assert [name for name, _ in SIGNALS][-1] == "op"
    assert {name for name, _ in SIGNALS[:-1]} == {"extended", "service", "resource", "input"}
    assert {given for _, given in SIGNALS} == {number}
    assert CALLS[-5:] == [*DOWN, "resource.delete", "service.stop", "extended.post"]
    assert signal.getsignal(number) == before


def test_without_handling_interrupts_and_outside_of_the_main_thread_handlers_stay(
    host: PluginHost, operator: Worker
) -> None:
    before = signal.getsignal(signal.SIGTERM)
    seen: list[Any] = []

    def look(op: Any) -> bool:
        seen.append(signal.getsignal(signal.SIGTERM))
        return True

    DOES["op.run"] = look
    OperatorExecutor(operator, False, host=host).execute()
    thread = threading.Thread(target=OperatorExecutor(operator, host=host).execute)
    thread.start()
    thread.join(20)
    assert seen == [before, before]


def test_an_interrupt_of_an_executor_that_does_not_run_does_nothing(host: PluginHost, operator: Worker) -> None:
    OperatorExecutor(operator, host=host).interrupt(signal.SIGTERM, None)
    assert (CALLS, SIGNALS) == ([], [])


def test_the_execution_context_knows_operator_mode_exit_code_and_plugins_by_type() -> None:
    class Mixed(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.first = Input()
            self.second = Output()
            self.first.depends_on(self.second)

    operator = Mixed("op")
    context = ExecutionContext(operator, ExecutionMode.ResourceCreationOnly)
    assert (context.get_operator(), context.get_execution_mode(), context.get_exit_code()) == (
        operator,
        ExecutionMode.ResourceCreationOnly,
        0,
    )
    context.set_exit_code(ExitCodes.GeneralError)
    assert context.get_exit_code() == 1
    port: Any = PortPlugin
    service: Any = ServicePlugin
    output: Any = OutputPortPlugin
    assert context.get_plugin_instances_by_type(port) == {operator.first, operator.second}
    assert context.get_dependency_graph_by_type(port) == [{operator.second}, {operator.first}]
    assert context.get_dependency_graph_by_type(service) == []
    seen: list[Any] = []
    context.for_each_plugin_instances(seen.append)
    context.for_each_plugin_objects_with_type(output, seen.append)
    assert seen == [operator.first, operator.second, operator.second]
