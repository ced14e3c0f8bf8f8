"""A pipeline whose members are started, stopped and rescaled one by one, as pods would be."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.runs.retiring import places_of
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.runs.scaling import Scaled, Scaling
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor

DEADLINE_S = 60.0


class Board:
    """What the test lets the members do, and what they tell."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.allowed = 0
        """Records that the source may have sent."""
        self.total = 0
        self.got: list[dict[str, Any]] = []
        self.handled: set[int] = set()
        """What workers have retrieved."""
        self.sent = 0

    def allow(self, records: int) -> None:
        with self.changed:
            self.allowed = records
            self.changed.notify_all()

    def await_that(self, is_so: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, DEADLINE_S), (self.sent, len(self.got), len(self.handled))


BOARDS: dict[str, Board] = {}


def board_of(operator: Operator) -> Board:
    return BOARDS[operator.get_context().get_full_name()]


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output = ChannelOutputPort()

    def _on_running(self) -> bool:
        board = board_of(self)
        with board.changed:
            board.changed.wait_for(lambda: board.sent < board.allowed or board.allowed >= board.total, 0.2)
            first, board.sent = board.sent, min(board.sent + 10, board.allowed)
            self.output.send([{"n": number} for number in range(first, board.sent)])
            board.changed.notify_all()
            return board.sent >= board.total


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.output = ChannelOutputPort()
        self.start = uuid.uuid4().hex
        self.count = 0

    def _on_running(self) -> None:
        found = self.input.retrieve()
        by = self.get_simple_name()
        self.output.send(
            [{"n": one["n"], "by": by, "start": self.start, "place": self.count + i} for i, one in enumerate(found)]
        )
        self.count += len(found)
        board = board_of(self)
        with board.changed:
            board.handled.update(one["n"] for one in found)
            board.changed.notify_all()


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()

    def _on_running(self) -> None:
        board, found = board_of(self), self.input.retrieve()
        with board.changed:
            board.got += found
            board.changed.notify_all()


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.worker = Worker()
        self.sink = Sink()
        self.worker.input.connect(self.source.output)
        self.sink.input.connect(self.worker.output)


class Member:
    """One member, executed in a thread as a pod would."""

    def __init__(self, operator: Any, run: str) -> None:
        self.codes: list[int] = []
        self.joined = PipelineRun.join(operator, PluginHost.default(), run_id=run)
        self.executor = OperatorExecutor(operator, handle_interrupts=False, run=self.joined)
        self.thread = threading.Thread(target=lambda: self.codes.append(self.executor.execute()))
        self.thread.start()

    def end(self) -> int:
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        self.joined.close()
        return self.codes[0]

    def stop(self) -> int:
        self.executor.interrupt()
        return self.end()


class Bench:
    """A pipeline whose members are started and stopped one by one."""

    def __init__(self, total: int = 200, location: str = "", **parameters: Any) -> None:
        self.name = f"line_{uuid.uuid4().hex[:8]}"
        self.keeper = MemoryTransport(self.name)
        self.location = location or f"memory:{self.name}"
        self.run = uuid.uuid4().hex[:12]
        self.parameters = parameters
        self.board = BOARDS[self.name] = Board()
        self.board.total = total
        self.members: dict[str, Member] = {}
        self.workers: dict[str, Member] = {}

    def pipeline(self, size: int) -> Line:
        made = Line(self.name)
        made.set_parameter(">>channelLocation", self.location)
        for name, value in self.parameters.items():
            made.source.output.set_parameter(name, value)
        made.worker.set_parameter("replicationFactor", size - 1)
        return made

    def start_rest(self, size: int) -> None:
        for name in ("source", "sink"):
            self.members[name] = Member(getattr(self.pipeline(size), name), self.run)

    def start_workers(self, size: int) -> None:
        for index in range(size):
            whole = self.pipeline(size)
            name = "worker" if index == 0 else f"worker_{index - 1}"
            operator = whole.worker if index == 0 else getattr(whole, name)
            self.workers[name] = Member(operator, self.run)

    def stop_workers(self) -> list[int]:
        codes = [member.stop() for member in self.workers.values()]
        self.workers.clear()
        return codes

    def scale(self, size: int, between: Callable[[], object] = lambda: None) -> Scaled:
        whole = self.pipeline(size)
        with places_of(PluginHost.default(), whole) as places:
            scaling = Scaling(places, whole.worker, self.run, size)
            plan = scaling.plan()
            between()
            return scaling.carry_out(plan)

    def end(self) -> None:
        for member in [*self.workers.values(), *self.members.values()]:
            assert member.end() == 0

    def close(self) -> None:
        for member in [*self.workers.values(), *self.members.values()]:
            if member.thread.is_alive():
                member.stop()
        self.keeper.close()
        del BOARDS[self.name]
