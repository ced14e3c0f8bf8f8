"""Rescaling a group on transports beyond memory: partitions are added under a running writer, and taken over."""

from __future__ import annotations

import os
import threading
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.runs.retiring import find_left, places_of
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.runs.scaling import Scaling
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor

DEADLINE_S = 60.0
EACH = 400
"""Records before each change."""


class Board:
    """What the source may send, and what the sink got."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.allowed = self.sent = 0
        self.total = 4 * EACH
        self.got: list[tuple[int, str]] = []

    def allow(self, records: int) -> None:
        with self.changed:
            self.allowed = records
            assert self.changed.wait_for(lambda: len(self.got) >= records, DEADLINE_S), (self.sent, len(self.got))


BOARD = [Board()]


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output = ChannelOutputPort()

    def _on_running(self) -> bool:
        (board,) = BOARD
        with board.changed:
            first, board.sent = board.sent, min(board.sent + 10, board.allowed)
        self.output.send([{"n": number} for number in range(first, board.sent)])
        return board.sent >= board.total


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.output = ChannelOutputPort()

    def _on_running(self) -> None:
        self.output.send([{"n": one["n"], "by": self.get_simple_name()} for one in self.input.retrieve()])


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()

    def _on_running(self) -> None:
        (board,) = BOARD
        found = [(one["n"], one["by"]) for one in self.input.retrieve()]
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
    """A member in a thread of its own."""

    def __init__(self, operator: Any, run: str) -> None:
        self.joined = PipelineRun.join(operator, PluginHost.default(), run_id=run)
        self.executor = OperatorExecutor(operator, handle_interrupts=False, run=self.joined)
        self.codes: list[int] = []
        self.thread = threading.Thread(target=lambda: self.codes.append(self.executor.execute()))
        self.thread.start()

    def end(self, *, interrupt: bool = False) -> int:
        if interrupt:
            self.executor.interrupt()
        self.thread.join(DEADLINE_S)
        assert not self.thread.is_alive()
        self.joined.close()
        return self.codes[0]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", pytest.param("kafka", marks=pytest.mark.broker)])
def test_a_group_grows_and_shrinks_under_a_running_writer_and_reader(kind: str, tmp_path: Path) -> None:
    servers = os.environ.get("KAFKA_BOOTSTRAP", "")
    if kind == "kafka" and not servers:
        pytest.skip("needs KAFKA_BOOTSTRAP")
    location = f"kafka://{servers}" if kind == "kafka" else f"local:{tmp_path / 'channels'}"
    name, run = f"scaled-{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:12]
    board = BOARD[0] = Board()

    def made(size: int) -> Line:
        pipeline = Line(name)
        pipeline.set_parameter(">>channelLocation", location)
        pipeline.source.output.set_parameter("framing", "record")  # each goes to the next partition
        pipeline.worker.set_parameter("replicationFactor", size - 1)
        return pipeline

    def started(size: int) -> list[Member]:
        names = ["worker", *(f"worker_{index}" for index in range(size - 1))]
        return [Member(getattr(made(size), one), run) for one in names]

    rest = [Member(getattr(made(1), one), run) for one in ("source", "sink")]
    workers = started(1)
    try:
        board.allow(EACH)
        for turn, size in enumerate((3, 2, 4), 2):
            with places_of(PluginHost.default(), made(size)) as places:
                scaling = Scaling(places, made(size).worker, run, size)
                plan = scaling.plan()
                assert [member.end(interrupt=True) for member in workers] == [130] * plan.before
                assert scaling.carry_out(plan).generation == turn - 1
            workers = started(size)
            board.allow(turn * EACH)
        assert [member.end() for member in [*rest, *workers]] == [0] * (2 + 4)
        assert Counter(number for number, _ in board.got) == Counter(range(board.total))
        last = {by for number, by in board.got if number >= 3 * EACH}
        assert last == {"worker", "worker_0", "worker_1", "worker_2"}
    finally:
        for member in [*rest, *workers]:
            if member.thread.is_alive():
                member.end(interrupt=True)
        with places_of(PluginHost.default(), made(1)) as places:
            for place in places:
                find_left(place).remove()
