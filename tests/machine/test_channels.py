"""Writers, readers, crashes, restarts, re-runs, replica counts and ends at random, against a model, on each transport.

Each member takes part in the run alone, as a process of its own does. A crash lets go of its clients without commit or flush.
Nothing is committed but where the machine says so, so the model knows exactly what is owed: every copy of a record that was
sent and flushed is handed out once in committed units, in the order of its writer's start.
"""

from __future__ import annotations

import os
import time
import uuid
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels import pool
from pypz.core.channels.members.session import MemberSession
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.preparation import prepare

NEVER_MS = 3_600_000
"""Commits come when the machine says so."""
PATIENCE_S = 30.0

Record = tuple[str, int, int]
"""Writer, its start, place in that start."""


class Writer(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelOutputPort()


class Reader(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelInputPort()


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.reader = Reader()
        self.writer.port.connect(self.reader.port)


@dataclass
class Living:
    """One start of one member."""

    operator: Any
    run: PipelineRun
    session: MemberSession
    start: int
    sent: int = 0
    taken: list[Record] = field(default_factory=list)
    """Handed out and not committed yet."""


class Machine(RuleBasedStateMachine):
    """One pipeline of some writers and readers."""

    location: str

    @initialize(writers=st.integers(1, 3), readers=st.integers(1, 3))
    def begin(self, writers: int, readers: int) -> None:
        self.name = f"machine_{uuid.uuid4().hex[:8]}"
        self.host = PluginHost()
        self.keeper = pool.acquire(self.host, pool.address_of(self.location, {}))
        self.sizes = {"writer": writers, "reader": readers}
        self.living: dict[str, Living] = {}
        self.starts: Counter[str] = Counter()
        self.sent: Counter[Record] = Counter()
        self.flushed: Counter[Record] = Counter()
        self.handed: Counter[Record] = Counter()
        self.ended: set[str] = set()
        self.runs = 0
        self.open_run()

    def open_run(self) -> None:
        self.runs += 1
        self.run_id = f"run{self.runs}"
        self.ended.clear()
        for member in self.members("reader"):  # the principal first: it makes the channel that all others wait for
            self.start(member)
        for member in self.members("writer"):
            self.start(member)

    def members(self, group: str) -> list[str]:
        return [group, *(f"{group}_{i}" for i in range(self.sizes[group] - 1))]

    def pipeline(self) -> Line:
        made = Line(self.name)
        made.set_parameter(">>channelLocation", self.location)
        made.set_parameter(">commitIntervalMs", NEVER_MS)
        for group, size in self.sizes.items():
            getattr(made, group).set_parameter("replicationFactor", size - 1)
        return made

    def start(self, member: str) -> None:
        operator = prepare(getattr(self.pipeline(), member))
        run = PipelineRun.join(operator, self.host, run_id=self.run_id)
        session = run.enter(operator, ExecutionMode.Standard)
        if session.already_closed:
            session.close()
            run.close()
            return
        self.starts[member] += 1
        self.living[member] = Living(operator, run, session, self.starts[member])
        operator.port._on_resource_creation()
        operator.port._on_port_open()

    def take(self, living: Living, at_most: int) -> bool:
        """Retrieve once; whether there was something."""
        living.operator.port.set_parameter("maxRetrieveRecords", at_most)
        living.session.iteration_started()
        records = [tuple(record["r"]) for record in living.operator.port.retrieve(timeout_s=0.05)]
        living.session.iteration_ended()
        living.taken += records
        return bool(records)

    def commit_reader(self, living: Living) -> None:
        living.session.commit_now()
        self.handed.update(living.taken)
        self.check_order(living.taken)
        living.taken = []

    def check_order(self, taken: list[Record]) -> None:
        """Order is per writer's start and partition, and one reader of several has one partition."""
        places: dict[tuple[str, int], int] = defaultdict(int)
        for writer, start, place in taken:
            assert place >= places[writer, start], f"{taken} are not in the order of {writer}"
            places[writer, start] = place

    # --- what happens ---

    @rule(data=st.data(), count=st.integers(1, 40))
    def send(self, data: st.DataObject, count: int) -> None:
        member = self.choose(data, "writer")
        if member is None:
            return
        living = self.living[member]
        records: list[Record] = [(member, living.start, living.sent + i) for i in range(count)]
        living.session.iteration_started()
        living.operator.port.send([{"r": record} for record in records])
        living.session.iteration_ended()
        living.sent += count
        self.sent.update(records)

    @rule(data=st.data())
    def flush(self, data: st.DataObject) -> None:
        member = self.choose(data, "writer")
        if member is not None:
            self.flush_writer(member)

    def flush_writer(self, member: str) -> None:
        living = self.living[member]
        living.session.commit_now()
        for place in range(living.sent):
            self.flushed[member, living.start, place] = 1

    @rule(data=st.data(), at_most=st.integers(1, 30))
    def retrieve(self, data: st.DataObject, at_most: int) -> None:
        member = self.choose(data, "reader")
        if member is not None:
            self.take(self.living[member], at_most)
            has_ended = not self.living[member].session.can_retrieve()
            assert not has_ended or self.ended == set(self.members("writer")), f"{member} ended before its writers"

    @rule(data=st.data())
    def commit(self, data: st.DataObject) -> None:
        member = self.choose(data, "reader")
        if member is not None:
            self.commit_reader(self.living[member])

    @rule(data=st.data())
    def crash(self, data: st.DataObject) -> None:
        member = self.choose(data, "writer", "reader")
        if member is not None:
            self.kill(member)

    def kill(self, member: str) -> None:
        living = self.living.pop(member)
        living.session.close()
        living.run.close()

    @rule(data=st.data())
    def restart(self, data: st.DataObject) -> None:
        dead = sorted({*self.members("writer"), *self.members("reader")} - self.living.keys())
        if dead:
            self.start(data.draw(st.sampled_from(dead)))

    @rule(data=st.data())
    def end(self, data: st.DataObject) -> None:
        member = self.choose(data, "writer")
        if member is not None:
            self.end_writer(member)

    def end_writer(self, member: str) -> None:
        living = self.living.pop(member)
        living.session.finish("completed")
        for place in range(living.sent):
            self.flushed[member, living.start, place] = 1
        self.ended.add(member)
        living.operator.port._on_port_close()
        living.session.close()
        living.run.close()

    @precondition(lambda self: self.runs < 4)
    @rule()
    def run_again(self) -> None:
        """The whole is killed and started anew: a run that goes on where the last one stood."""
        for member in list(self.living):
            self.kill(member)
        self.finish_run()
        self.open_run()

    def finish_run(self) -> None:
        """What a starter writes of a run whose members are gone, so that the next need not wait for beats."""
        run = PipelineRun.join(prepare(self.pipeline().reader), self.host, run_id=self.run_id)
        run.finish("interrupted")
        run.close()

    def choose(self, data: st.DataObject, *groups: str) -> str | None:
        names = sorted(m for group in groups for m in self.members(group) if m in self.living)
        return data.draw(st.sampled_from(names)) if names else None

    # --- what must hold at the end ---

    def teardown(self) -> None:
        if not hasattr(self, "living"):
            return
        try:
            self.let_all_end()
        finally:
            for member in list(self.living):
                self.kill(member)
            self.keeper.delete_status(self.name, PATIENCE_S)
            pool.release(self.host, pool.address_of(self.location, {}))
            self.host.close()
        for record, copies in self.sent.items():
            found = self.handed[record]
            assert self.flushed[record] <= found <= copies, (
                f"{record}: sent {copies}, flushed {self.flushed[record]}, handed out {found}"
            )
        assert not self.handed.keys() - self.sent.keys()

    def let_all_end(self) -> None:
        for member in [*self.members("reader"), *self.members("writer")]:
            if member not in self.living and member not in self.ended:
                self.start(member)
        for member in self.members("writer"):
            if member in self.living:
                self.end_writer(member)
        readers = [self.living[member] for member in self.members("reader") if member in self.living]
        deadline = time.monotonic() + PATIENCE_S
        for living in readers:
            while living.session.can_retrieve():
                self.take(living, 1_000)
                assert time.monotonic() < deadline, f"{living.session.ref.name} has not ended"
            self.commit_reader(living)
            living.session.finish("completed")
        for living in [*readers[1:], *readers[:1]]:  # the principal deletes the channel when all have ended
            living.operator.port._on_port_close()
            living.operator.port._on_resource_deletion()
            living.session.close()
            living.run.close()
        self.living.clear()
        assert self.keeper.describe_channel(f"{self.name}.reader.port") is None


def run_on(location: str, examples: int, steps: int) -> None:
    class Here(Machine):
        pass

    Here.location = location
    run_state_machine_as_test(
        Here,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )


def test_on_memory() -> None:
    run_on(f"memory:machine-{uuid.uuid4().hex[:8]}", examples=60, steps=50)


@pytest.mark.slow
def test_on_a_local_file(tmp_path: Path) -> None:
    run_on(f"local:{tmp_path / 'channels'}", examples=60, steps=50)


@pytest.mark.broker
@pytest.mark.slow
def test_on_kafka() -> None:
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
    if not bootstrap:
        pytest.skip("KAFKA_BOOTSTRAP is not set: no broker to run on")
    run_on(f"kafka://{bootstrap}", examples=4, steps=15)
