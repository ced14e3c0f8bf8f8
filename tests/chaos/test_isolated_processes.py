"""A pipeline whose members run in processes, over a real broker: kills, restarts, and what observers are told of it."""

from __future__ import annotations

import os
import signal
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from chaos_line import ChaosLine

from pypz.core.commons.errors import PipelineFailedError
from pypz.core.hooks.events import ChannelStatus, ErrorInfo, OperatorRef, PipelineRef, PortRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.executors.operator.states import State
from pypz.executors.pipeline.executor import PipelineExecutor

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")

pytestmark = [pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")]

COUNT = 1000


class Observer:
    """Notes what it is told; kills the process of ``victim`` once, in the middle."""

    def __init__(self, victim: str = "") -> None:
        self.victim = victim
        self.killed_at: list[int] = []
        self.runs: list[str] = []
        self.states: list[tuple[str, str, str]] = []
        self.ends: list[tuple[str, int]] = []
        self.failures: list[tuple[str, str]] = []
        self.ports: list[tuple[str, str, str]] = []
        self.records: dict[tuple[str, str], int] = {}

    @hookimpl
    def pypz_pipeline_started(self, pipeline: PipelineRef) -> None:
        self.runs.append("started")

    @hookimpl
    def pypz_pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        self.runs.append(outcome)

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str) -> None:
        self.states.append((operator.name, operator.start, new))

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        self.failures.append((operator.name, error.type))

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        self.ends.append((operator.name, exit_code))

    @hookimpl
    def pypz_port_opened(self, port: PortRef) -> None:
        self.ports.append((port.operator.name, port.operator.start, port.name))

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        operator = status.port.operator
        self.records[operator.name, operator.start] = status.records
        is_victim = bool(self.victim) and operator.name.endswith(self.victim) and not self.killed_at
        if is_victim and 0.2 * COUNT < status.records < 0.8 * COUNT:
            self.killed_at.append(status.records)
            os.kill(operator.process, signal.SIGKILL)


@pytest.fixture
def chaos_line() -> ChaosLine:
    pipeline = ChaosLine(f"processes_{uuid.uuid4().hex[:8]}")
    pipeline.set_parameter(">>channelLocation", f"kafka://{BOOTSTRAP}")
    return pipeline


@pytest.fixture
def host() -> Iterator[PluginHost]:
    made = PluginHost()
    yield made
    made.close()


def numbers(captured: str, verb: str) -> list[int]:
    return [int(line.split()[1]) for line in captured.splitlines() if line.startswith(f"{verb} ")]


def test_observers_here_are_told_exactly_once_what_happens_there(
    chaos_line: ChaosLine, host: PluginHost, capsys: Any
) -> None:
    observer = Observer()
    host.register(observer)
    name = chaos_line.get_full_name()
    chaos_line.source.set_parameter("pauseMs", 0)
    codes = PipelineExecutor(chaos_line, isolation="process", host=host).start()
    assert codes == {f"{name}.source": 0, f"{name}.copier": 0, f"{name}.sink": 0}
    assert host.flush(20)
    assert observer.runs == ["started", "finished"]
    assert sorted(observer.ends) == sorted(codes.items())
    assert observer.failures == []
    assert len(set(observer.states)) == len(observer.states)
    for member in codes:
        told = [state for who, _, state in observer.states if who == member]
        assert told == [state.name for state in State]
    assert len(observer.ports) == len(set(observer.ports)) == 4
    assert set(observer.records.values()) == {COUNT}
    assert numbers(capsys.readouterr().out, "got") == list(range(COUNT))


@pytest.mark.parametrize("victim", ["copier", "sink"])
def test_a_killed_process_is_started_again_and_goes_on(
    chaos_line: ChaosLine, host: PluginHost, capsys: Any, victim: str
) -> None:
    observer = Observer(victim)
    host.register(observer)
    codes = PipelineExecutor(chaos_line, isolation="process", max_restarts=1, host=host).start()
    assert set(codes.values()) == {0}
    assert host.flush(20)
    assert len(observer.killed_at) == 1
    name = f"{chaos_line.get_full_name()}.{victim}"
    assert observer.failures == [(name, "ProcessEnded")]
    assert [code for who, code in observer.ends if who == name] == [137, 0]
    assert observer.runs == ["started", "finished"]
    captured = capsys.readouterr()
    assert "(restart 1 of 1)" in captured.err
    counts = Counter(numbers(captured.out, "got"))
    assert set(counts) == set(range(COUNT)), "records were lost"
    doubled = sum(count - 1 for count in counts.values())
    with capsys.disabled():
        print(f"killed the {victim} at {observer.killed_at[0]} of {COUNT} records; lost 0, doubled {doubled}")
    assert doubled <= 200  # of 500 a second: one commit interval of 100 ms holds 50; room for a busy machine


def test_when_one_has_failed_for_good_the_others_drain_and_the_channels_stay(
    chaos_line: ChaosLine, host: PluginHost, capsys: Any
) -> None:
    observer = Observer("copier")
    host.register(observer)
    with pytest.raises(PipelineFailedError, match=r"copier ended with exit code 137 \(SIGKILL\)") as caught:
        PipelineExecutor(chaos_line, isolation="process", host=host).start()
    name = chaos_line.get_full_name()
    assert caught.value.exit_codes == {f"{name}.source": 130, f"{name}.copier": 137, f"{name}.sink": 130}
    assert host.flush(20)
    assert observer.runs == ["started", "failed"]
    got = numbers(capsys.readouterr().out, "got")
    again = PipelineExecutor(chaos_line, isolation="process", host=host).start()  # nothing was deleted: it goes on
    assert set(again.values()) == {0}
    assert set(got) | set(numbers(capsys.readouterr().out, "got")) == set(range(COUNT))
