"""Section 20: what was wrong in 0.10.2 and must not come back; where a fault needs a broker or a cluster, its test is there.

This module's annotations are texts, as those of users may be: that was one of the faults.
"""

from __future__ import annotations

import inspect
import json
import sys
import threading
from collections.abc import Callable, Iterator
from importlib.metadata import distributions, requires
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.utils import InterruptableTimer
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.instance import Internals
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import InputPortPlugin, ResourceHandlerPlugin
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor

CALLS: list[str] = []
ERRORS: list[Any] = []
DOES: dict[str, Callable[[], Any]] = {}


def call(name: str) -> Any:
    CALLS.append(name)
    return DOES[name]() if name in DOES else True


class Port(InputPortPlugin):
    def _on_port_open(self) -> bool:
        return bool(call("open"))

    def _on_port_close(self) -> bool:
        return bool(call("close"))

    def can_retrieve(self) -> bool:
        return False

    def retrieve(self) -> Any: ...

    def commit_current_read_offset(self) -> None: ...


class Resource(ResourceHandlerPlugin):
    def _on_resource_creation(self) -> bool:
        return bool(call("create"))

    def _on_resource_deletion(self) -> bool:
        return bool(call("delete"))


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = Port()
        self.resource = Resource()

    def _on_init(self) -> bool:
        return bool(call("init"))

    def _on_running(self) -> bool | None:
        answer = call("run")
        return None if answer is None else bool(answer)

    def _on_shutdown(self) -> bool:
        return bool(call("shutdown"))

    def _on_error(self, source: Any, exception: Exception) -> None:
        ERRORS.append(exception)


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.worker = Worker()


class Sender(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output = ChannelOutputPort()

    def _on_running(self) -> bool:
        self.output.send([{"n": n} for n in range(100)])
        return True


class Receiver(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()

    def _on_running(self) -> None:
        CALLS.extend(str(record["n"]) for record in self.input.retrieve())


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.sender = Sender()
        self.receiver = Receiver()
        self.receiver.input.connect(self.sender.output)


@pytest.fixture(autouse=True)
def host() -> Iterator[PluginHost]:
    for kept in (CALLS, ERRORS, DOES):
        kept.clear()
    made = PluginHost()
    yield made
    made.close()


def test_fault_01_internals_work_on_replicas() -> None:
    pipeline = Works("p")
    pipeline.worker.set_parameter("replicationFactor", 1)
    assert set(Internals(pipeline.worker.get_replica(0)).nested_instances) == {"port", "resource"}


def test_fault_05_a_changed_replication_factor_deletes_no_unread_record(
    host: PluginHost, request: pytest.FixtureRequest
) -> None:
    def line(replicas: int) -> Line:
        made = Line("line")
        made.set_parameter(">>channelLocation", f"memory:{request.node.name}")
        made.receiver.set_parameter("replicationFactor", replicas)
        return made

    keeper = host.make_transport(f"memory:{request.node.name}", {})
    first, second = line(0), line(2)
    object.__setattr__(first.receiver, "_on_running", lambda: True)
    for pipeline in (first, second):
        codes = PipelineExecutor(pipeline, host=host).start(ExecutionMode.WithoutResourceDeletion)
        assert set(codes.values()) == {0}
    assert sorted(CALLS, key=int) == sorted([str(n) for n in range(100)] * 2, key=int)
    keeper.close()


def test_fault_07_on_init_waits_for_open_ports_and_closing_for_on_shutdown(host: PluginHost) -> None:
    for name in ("open", "shutdown"):
        answers = iter([False, False, True])
        DOES[name] = lambda answers=answers: next(answers)  # type: ignore[misc]
    assert OperatorExecutor(Works("p").worker, host=host).execute() == 0
    assert ["create", *["open"] * 3, "init", "run", *["shutdown"] * 3, "close", "delete"] == CALLS


def test_fault_08_on_error_is_given_the_exception_of_on_running(host: PluginHost) -> None:
    error = ValueError("broken")

    def fail() -> None:
        raise error

    DOES["run"] = fail
    assert OperatorExecutor(Works("p").worker, host=host).execute() == 115
    assert [error] == ERRORS


def test_fault_09_annotations_as_texts_are_understood(host: PluginHost) -> None:
    assert inspect.signature(Worker._on_init).return_annotation == "bool"
    assert OperatorExecutor(Works("p").worker, host=host).execute() == 0


@pytest.mark.parametrize("where", ["create", "init", "run"])
@pytest.mark.parametrize("mode", [ExecutionMode.Standard, ExecutionMode.ResourceCreationOnly])
def test_fault_12_an_interrupt_ends_and_keeps_what_was_to_be_created_only(
    host: PluginHost, where: str, mode: ExecutionMode
) -> None:
    executor = OperatorExecutor(Works("p").worker, host=host)

    def interrupt() -> bool:
        executor.interrupt()
        return True

    DOES[where] = interrupt
    is_reached = where == "create" or mode is ExecutionMode.Standard
    assert executor.execute(mode) == (130 if is_reached else 0)
    assert ("delete" in CALLS) is (mode is ExecutionMode.Standard)


def test_fault_13_a_timer_sleeps_on_an_event_and_an_executor_that_waits_calls_nothing(
    host: PluginHost, request: pytest.FixtureRequest
) -> None:
    timer = InterruptableTimer()
    threading.Timer(0.01, timer.interrupt).start()
    assert timer.sleep(600)

    calls: list[int] = []

    class Slow(Line):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            receiver = self.receiver
            object.__setattr__(receiver, "_on_running", lambda: calls.append(len(receiver.input.retrieve())))
            object.__setattr__(self.sender, "_on_running", lambda: not threading.Event().wait(0.5))

    pipeline = Slow("slow")
    pipeline.set_parameter(">>channelLocation", f"memory:{request.node.name}")
    assert set(PipelineExecutor(pipeline, host=host).start().values()) == {0}
    assert len(calls) <= 5


def test_fault_14_a_replicated_pipeline_ends_in_one_process(host: PluginHost, request: pytest.FixtureRequest) -> None:
    pipeline = Line("line")
    pipeline.set_parameter(">>channelLocation", f"memory:{request.node.name}")
    pipeline.set_parameter(">replicationFactor", 1)
    codes = PipelineExecutor(pipeline, host=host).start()
    assert codes == dict.fromkeys(("line.sender", "line.receiver", "line.sender_0", "line.receiver_0"), 0)
    assert sorted(CALLS, key=int) == sorted([str(n) for n in range(100)] * 2, key=int)


@pytest.mark.parametrize("form", [dict, json.dumps, str])
def test_fault_15_a_pipeline_is_updated_with_nested_operators(form: Any, host: PluginHost) -> None:
    nested = {"name": "worker", "parameters": {"x": 1}, "spec": {"nestedInstances": [{"name": "port"}]}}
    pipeline = Works("p")
    pipeline.update(form({"spec": {"nestedInstances": [nested]}}))
    assert pipeline.worker.get_parameter("x") == 1
    assert PipelineExecutor(pipeline, host=host).start() == {"p.worker": 0}


def test_fault_17_every_python_from_3_11_on_may_be_used() -> None:
    assert sys.version_info >= (3, 11)
    ours = [d.metadata["Name"] for d in distributions() if (d.metadata["Name"] or "").startswith("pypz")]
    assert {"pypz", "pypz-kafka"} <= set(ours)
    for dist in distributions():
        if dist.metadata["Name"] in ours:
            assert "<" not in (dist.metadata["Requires-Python"] or ""), dist.metadata["Name"]
            assert not any(need.startswith("kafka-python") for need in requires(dist.metadata["Name"]) or ())
