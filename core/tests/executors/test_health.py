"""What health probes are told of an execution, by HTTP and by itself."""

from __future__ import annotations

import json
from http.client import HTTPConnection
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.errors import PipelineFailedError, RetriableError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator import health
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.operator.health import Health, health_of
from pypz.executors.operator.probes import ProbeServer
from pypz.executors.pipeline.executor import PipelineExecutor


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelOutputPort()


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelInputPort()


class Pipe(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.port.connect(self.source.port)
        self.set_parameter(">>channelLocation", "memory:health")


def looked_at(look: Any) -> Any:
    """Run a pipeline; gives what ``look(sink)`` told while its sink was called."""
    pipeline, found = Pipe("health"), []

    def running() -> bool:
        found.append(look(pipeline.sink))
        return True

    object.__setattr__(pipeline.sink, "_on_running", running)
    PipelineExecutor(pipeline).start()
    assert health_of(pipeline.sink) == Health(), "nobody is watched after the end"
    return found[0]


def test_an_execution_that_works_is_live_and_ready_and_tells_what_it_does() -> None:
    assert looked_at(health_of) == Health(doing="_on_running")


def test_a_call_that_lasts_too_long_is_not_ready_but_live(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "STALLED_AFTER_S", -1.0)
    found = looked_at(health_of)
    assert (found.is_live, found.is_ready) == (True, False)
    assert found.reasons == ("_on_running has not returned for 0 s",)


def test_a_commit_that_does_not_go_through_is_not_ready_until_it_does() -> None:
    def look(sink: Any) -> tuple[Health, Health]:
        session = sink.port._session()
        session._commits.tell_trouble(RetriableError("nobody answers"))
        troubled = health_of(sink)
        sink.port.commit_current_read_offset()
        return troubled, health_of(sink)

    troubled, mended = looked_at(look)
    assert troubled.reasons == ("cannot commit: nobody answers",)
    assert (troubled.is_ready, mended.is_ready) == (False, True)


def test_a_client_whose_thread_has_ended_is_not_live() -> None:
    found: list[Health] = []

    def look(sink: Any) -> None:
        (loop,) = sink.port._session()._membership.loops.values()
        loop._closing = True  # as a thread does that dies
        loop.wake()
        loop._thread.join(10)
        loop._closing = False
        found.append(health_of(sink))
        loop.call(lambda: None)

    with pytest.raises(PipelineFailedError, match="the channel client's thread has ended"):
        looked_at(look)
    assert not found[0].is_live
    assert found[0].reasons == ("the thread of memory:health has ended",)


def ask(port: int, path: str) -> tuple[int, Any]:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read()) if path != "/check" else answer.read()
    finally:
        connection.close()


def test_probes_answer_by_what_the_health_is() -> None:
    states = iter([Health(), Health(is_ready=False, reasons=("busy",)), Health(is_live=False, is_ready=False)])
    server = ProbeServer(0, lambda: next(states), "probes")
    try:
        assert ask(server.port, "/ready")[0] == 200
        status, told = ask(server.port, "/ready")
        assert (status, told["is_live"], told["reasons"]) == (503, True, ["busy"])
        assert ask(server.port, "/live")[0] == 503
        assert ask(server.port, "/check") == (200, b"OK")
    finally:
        server.close()


def test_an_executor_is_well_before_and_after() -> None:
    executor = OperatorExecutor(BlankOperator("alone"))
    assert executor.health() == Health()
    assert executor.execute() == 0
    assert executor.health() == Health(state="StateKilled")
