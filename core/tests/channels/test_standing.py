"""Positions that stand: committed again every hour, and missed when they are gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from core.tests.channels.beds import STEPS, Bed, Giver, Taker

from pypz.core.channels.members.commits import AGAIN_S
from pypz.core.channels.memory.transport import _Client as MemoryClient
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.spi import Member, Unit
from pypz.core.channels.status import pack
from pypz.core.commons.clock import Clock
from pypz.core.commons.errors import FencedError, PipelineFailedError
from pypz.core.hooks.host import PluginHost
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor

KEEPING = ExecutionMode.WithoutResourceDeletion


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    yield made
    made.keeper.close()


def give_ten(giver: Giver) -> bool | None:
    giver.output_port.send(list(range(10)))
    return True


def test_an_idle_member_commits_all_that_stands_again_every_hour(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = bed.pair(give_ten)
    run = PipelineRun.start(pipeline, PluginHost.default())
    now = [0.0]

    class Hours(Clock):
        def now(self) -> float:
            return now[0]

    run.clock = Hours()
    units: list[Unit] = []
    committed = threading.Condition()
    client_commit = MemoryClient.commit

    def commit(client: MemoryClient, unit: Unit, timeout_s: float) -> None:
        client_commit(client, unit, timeout_s)
        with committed:
            units.append(unit)
            committed.notify_all()

    def wait_for(count: int) -> None:
        with committed:
            assert committed.wait_for(lambda: len(units) >= count, 30)

    monkeypatch.setattr(MemoryClient, "commit", commit)

    def take(taker: Taker) -> bool | None:
        bed.got += taker.input_port.retrieve(timeout_s=30)
        if len(bed.got) < 10:
            return None
        taker.checkpoint(b"n")
        taker.input_port.commit_current_read_offset()
        units.clear()
        for hours in (1, 2, 3):
            now[0] = hours * AGAIN_S
            [loop] = taker.input_port._session()._membership.loops.values()
            loop.wake()
            wait_for(hours)
        return True

    STEPS[f"{bed.name}.taker"] = take
    threads = [
        threading.Thread(target=OperatorExecutor(operator, False, run=run).execute)
        for operator in (pipeline.taker, pipeline.giver)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    run.close()
    again = units[:3]
    assert again[0] == again[1] == again[2]
    assert again[0].member_note is not None
    assert list(again[0].positions) == [(f"{bed.name}.taker.input_port", 0)]


def test_a_position_that_is_gone_is_an_error_with_the_way_out_and_not_the_first_entry(bed: Bed) -> None:
    PipelineExecutor(bed.pair(give_ten)).start(KEEPING)
    [channel] = bed.keeper._store.channels.values()
    channel.committed.clear()
    with pytest.raises(
        PipelineFailedError, match=rf"partition 0: what group '{bed.name}\.taker' had committed is gone.*--fresh"
    ):
        PipelineExecutor(bed.pair(lambda giver: True)).start(KEEPING)
    PipelineExecutor(bed.pair(give_ten), fresh=True).start(KEEPING)
    assert bed.got == [*range(10), *range(10)]


def test_a_member_that_had_committed_nothing_begins_at_the_first_entry(bed: Bed) -> None:
    def fail(taker: Taker) -> Any:
        if taker.input_port.retrieve():
            raise ValueError("before the first commit")

    with pytest.raises(PipelineFailedError, match="before the first commit"):
        PipelineExecutor(bed.pair(give_ten, fail)).start(KEEPING)
    PipelineExecutor(bed.pair(lambda giver: True)).start(KEEPING)
    assert bed.got == list(range(10))


def test_the_facts_of_what_was_read_go_with_the_channel(bed: Bed) -> None:
    PipelineExecutor(bed.pair(give_ten)).start(KEEPING)
    stream = bed.keeper.open_status(bed.name, create=False)
    key = f"read/{bed.name}.taker.input_port/0"
    assert key in stream.facts()
    PipelineExecutor(bed.pair(lambda giver: True)).start()
    assert key not in stream.facts()
    stream.close()


def test_a_member_that_sees_a_later_start_of_itself_commits_no_more_and_stops(bed: Bed) -> None:
    codes: list[int] = []
    pipeline = bed.pair(give_ten)
    run = PipelineRun.start(pipeline, PluginHost.default())

    def take(taker: Taker) -> bool | None:
        found = taker.input_port.retrieve(timeout_s=30)
        if not found:
            return None
        stream = bed.keeper.open_status(bed.name, create=False)
        stream.join(Member(bed.name, f"{bed.name}.taker", 0, "later"), pack(run=run.id, start="later"))
        stream.close()
        membership = taker.input_port._session()._membership
        with membership.changed:
            assert membership.changed.wait_for(lambda: membership.failure is not None, 30)
        with pytest.raises(FencedError, match="a later start of this member"):
            taker.input_port.commit_current_read_offset()
        return None

    STEPS[f"{bed.name}.taker"] = take
    threads = [
        threading.Thread(
            target=lambda operator=operator: codes.append(OperatorExecutor(operator, False, run=run).execute())
        )
        for operator in (pipeline.taker, pipeline.giver)
    ]
    for thread in threads:
        thread.start()
    threads[0].join(60)
    run.interrupt()
    threads[1].join(60)
    [channel] = bed.keeper._store.channels.values()
    run.close()
    assert 117 in codes
    assert channel.committed == {}
