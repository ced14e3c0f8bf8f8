"""Signals and interrupts: the first drains, a second Ctrl-C ends the process, nothing hangs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.errors import WokenError
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.operator.states import State
from pypz.executors.signals import SignalWatch


@pytest.fixture
def full(make_operator: Any, doubles: Any) -> Any:
    return make_operator(doubles.full)


@pytest.fixture
def executor(full: Any, run: Any, host: Any) -> OperatorExecutor:
    return OperatorExecutor(full, run=run, host=host)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_drains_and_ends_with_130(
    executor: OperatorExecutor, notes: Any, session: Any, number: signal.Signals, capsys: Any, doubles: Any
) -> None:
    former = {s: signal.getsignal(s) for s in (signal.SIGTERM, signal.SIGINT)}

    def running() -> bool:
        os.kill(os.getpid(), number)
        assert session.interrupted.wait(doubles.deadline_s)
        return False

    notes.does["op.run"] = running
    assert executor.execute() == 130
    assert notes.signals == [(name, number) for name in ("extended", "service", "resource", "input", "op")]
    assert notes.calls[5:] == [
        "op.run",
        "input.commit",
        "op.shutdown",
        "session.finish",
        "input.close",
        "resource.delete",
        "service.stop",
        "extended.post",
    ]
    assert session.outcomes == ["interrupted"]
    assert {s: signal.getsignal(s) for s in former} == former
    assert "ended with exit code 130 (SigTerm): interrupted" in capsys.readouterr().err


def test_an_interrupt_from_another_thread_has_told_everybody_when_it_returns(
    executor: OperatorExecutor, notes: Any, doubles: Any
) -> None:
    running, go_on = threading.Event(), threading.Event()

    def wait() -> bool:
        running.set()
        return go_on.wait(doubles.deadline_s)

    notes.does["op.run"] = wait
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(executor.execute()))
    thread.start()
    assert running.wait(doubles.deadline_s)
    executor.interrupt(15)
    assert len(notes.signals) == 5
    executor.interrupt(15)
    assert len(notes.signals) == 5
    go_on.set()
    thread.join(doubles.deadline_s)
    assert codes == [130]


def test_an_interrupt_before_or_after_the_execution_does_nothing(executor: OperatorExecutor, notes: Any) -> None:
    executor.interrupt(15)
    assert executor.execute() == 0
    executor.interrupt(15)
    assert executor.execute() == 0
    assert notes.signals == []


def test_an_interrupt_from_within_on_running_does_not_hang(executor: OperatorExecutor, notes: Any) -> None:
    def running() -> bool:
        executor.interrupt(2)
        return False

    notes.does["op.run"] = running
    assert executor.execute() == 130
    assert "op.shutdown" in notes.calls


@pytest.mark.parametrize(
    ("where", "calls_after"),
    [
        ("extended.pre", ["session.finish", "extended.post"]),
        ("service.start", ["session.finish", "service.stop", "extended.post"]),
        ("resource.create", ["session.finish", "resource.delete", "service.stop", "extended.post"]),
        (
            "input.open",
            ["op.shutdown", "session.finish", "input.close", "resource.delete", "service.stop", "extended.post"],
        ),
        ("op.shutdown", ["session.finish", "input.close", "resource.delete", "service.stop", "extended.post"]),
        ("service.stop", ["extended.post"]),
    ],
)
def test_an_interrupt_in_any_state_goes_down_from_there(
    executor: OperatorExecutor, notes: Any, session: Any, where: str, calls_after: list[str]
) -> None:
    def interrupted() -> bool:
        executor.interrupt(15)
        return True

    notes.does[where] = interrupted
    assert executor.execute() == 130
    assert notes.calls[notes.calls.index(where) + 1 :] == calls_after
    assert session.outcomes == (["completed"] if where == "service.stop" else ["interrupted"])


def test_an_interrupt_in_resource_creation_only_deletes_nothing(executor: OperatorExecutor, notes: Any) -> None:
    def interrupted() -> bool:
        executor.interrupt(15)
        return True

    notes.does["resource.create"] = interrupted
    assert executor.execute(ExecutionMode.ResourceCreationOnly) == 130
    assert "resource.delete" not in notes.calls


def test_an_interrupt_ends_the_repetition_of_a_method_that_is_never_done(
    executor: OperatorExecutor, notes: Any
) -> None:
    calls: list[int] = []

    def never() -> bool:
        calls.append(1)
        if len(calls) == 3:
            executor.interrupt(15)
        return False

    notes.does["input.open"] = never
    assert executor.execute() == 130
    assert len(calls) == 3


def test_a_wait_that_an_interrupt_ends_is_no_error(executor: OperatorExecutor, notes: Any, session: Any) -> None:
    def running() -> bool:
        executor.interrupt(15)
        raise WokenError("send was interrupted")

    notes.does["op.run"] = running
    assert executor.execute() == 130
    assert notes.errors == []
    assert session.outcomes == ["interrupted"]


def test_an_interrupt_while_entering_the_run_calls_nothing(executor: OperatorExecutor, run: Any, notes: Any) -> None:
    def enter() -> None:
        executor.interrupt(15)
        raise WokenError("interrupted")

    run.on_enter = enter
    assert executor.execute() == 130
    assert notes.calls == []


@pytest.mark.parametrize(
    ("method", "code"), [("op.shutdown", 116), ("input.close", 116), ("resource.delete", 113), ("service.stop", 111)]
)
def test_what_says_false_for_ever_on_the_way_down_is_given_up_after_the_drain(
    full: Any, run: Any, host: Any, notes: Any, capsys: Any, method: str, code: int
) -> None:
    full.set_parameter("drainTimeoutMs", 20)
    executor = OperatorExecutor(full, run=run, host=host)

    def running() -> bool:
        executor.interrupt(15)
        return False

    notes.does |= {"op.run": running, method: lambda: False}
    assert executor.execute() == code
    assert notes.calls[-1] == "extended.post"
    told = [line for line in capsys.readouterr().err.splitlines() if line.startswith("ERROR: ")]
    assert len(told) == 1
    assert "0.02 s after the interrupt it is given up" in told[0]


def test_an_interrupt_while_joining_does_not_wait_for_a_location_that_is_silent(
    full: Any, host: Any, notes: Any, monkeypatch: Any, doubles: Any
) -> None:
    answers = threading.Event()
    ended: list[str] = []

    class Late(PipelineRun):
        def finish(self, outcome: Any) -> None:
            ended.append(outcome)

        def close(self) -> None:
            ended.append("close")

    def join(operator: Any, host: Any, run_id: Any) -> PipelineRun:
        executors[0].interrupt(2)
        assert answers.wait(doubles.deadline_s)
        return Late(operator, host, member=operator)

    monkeypatch.setattr(PipelineRun, "join", join)
    monkeypatch.setattr("pypz.executors.beginning.GIVE_UP_S", 0.01)
    executors = [OperatorExecutor(full, host=host)]
    assert executors[0].execute() == 130
    assert notes.calls == []
    joining = [thread for thread in threading.enumerate() if thread.name.endswith("/join")]
    assert ended == []
    answers.set()
    for thread in joining:
        thread.join(doubles.deadline_s)
    assert ended == ["close"]  # what was left behind lets go of the run when it gets one; the run goes on without it


def test_a_ctrl_c_that_nobody_handles_goes_through_and_the_channels_are_closed(
    full: Any, run: Any, host: Any, notes: Any, session: Any, observer: Any
) -> None:
    notes.raises("op.run", KeyboardInterrupt())
    executor = OperatorExecutor(full, False, run=run, host=host)
    with pytest.raises(KeyboardInterrupt):
        executor.execute()
    assert session.outcomes == ["interrupted"]
    assert session.asked[-1] == "close"
    assert not executor.is_running()
    assert host.flush(20)
    assert observer.ends == {"op": 130}


def test_an_error_in_on_interrupt_does_not_keep_the_others_from_being_told(
    executor: OperatorExecutor, full: Any, notes: Any
) -> None:
    def raises(system_signal: int | None = None) -> None:
        raise ValueError("no")

    object.__setattr__(full.service, "_on_interrupt", raises)

    def running() -> bool:
        executor.interrupt(15)
        return False

    notes.does["op.run"] = running
    assert executor.execute() == 130
    assert [name for name, _ in notes.signals] == ["extended", "resource", "input", "op"]


def test_nothing_is_shut_down_before_on_interrupt_has_returned(
    executor: OperatorExecutor, full: Any, notes: Any, doubles: Any
) -> None:
    in_shutdown = threading.Event()
    order: list[str] = []

    def slow(system_signal: int | None = None) -> None:
        order.append("early" if not in_shutdown.wait(0.05) else "late")

    def running() -> bool:
        executor.interrupt(15)
        return False

    def shutdown() -> bool:
        in_shutdown.set()
        order.append("shutdown")
        return True

    object.__setattr__(full, "_on_interrupt", slow)
    notes.does |= {"op.run": running, "op.shutdown": shutdown}
    assert executor.execute() == 130
    assert order == ["early", "shutdown"]


def test_an_operator_that_does_not_return_is_named_with_what_it_does(
    full: Any, run: Any, host: Any, notes: Any, monkeypatch: Any, doubles: Any
) -> None:
    full.set_parameter("drainTimeoutMs", 1)
    executor = OperatorExecutor(full, run=run, host=host)
    said: list[str] = []
    enough = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        if len(said) == 3:
            enough.set()

    monkeypatch.setattr("pypz.executors.operator.execution.say", say)

    def running() -> bool:
        executor.interrupt(15)
        return enough.wait(doubles.deadline_s)

    notes.does["op.run"] = running
    assert executor.execute() == 130
    assert said[0].startswith("WARNING: pipeline.op: interrupted 0 s ago and still in StateOperationRunning")
    assert "its _on_running has not returned" in said[0]
    assert "second Ctrl-C" in said[0]
    assert executor.get_current_state() is State.StateKilled


def test_a_signal_raises_nothing_in_the_main_thread_and_the_handlers_come_back() -> None:
    former = signal.getsignal(signal.SIGTERM)
    arrived = threading.Event()
    told: list[int] = []

    def take(number: int) -> None:
        told.append(number)
        arrived.set()

    with SignalWatch(take) as watch:
        os.kill(os.getpid(), signal.SIGTERM)
        assert arrived.wait(20)
        os.kill(os.getpid(), signal.SIGTERM)
    assert watch.number == signal.SIGTERM
    assert told == [signal.SIGTERM]
    assert signal.getsignal(signal.SIGTERM) is former


def test_a_signal_that_another_thread_gets_is_taken_while_the_main_thread_waits_for_a_lock() -> None:
    waits = threading.Lock()
    waits.acquire()

    def get_a_signal() -> None:
        signal.pthread_kill(threading.get_ident(), signal.SIGINT)

    with SignalWatch(lambda number: waits.release()) as watch:
        thread = threading.Thread(target=get_a_signal)
        thread.start()
        assert waits.acquire(timeout=20)
        thread.join(20)
    assert watch.number == signal.SIGINT


def test_whoever_else_is_told_of_signals_by_a_descriptor_still_is() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    former = signal.set_wakeup_fd(writing)
    try:
        arrived = threading.Event()
        with SignalWatch(lambda number: arrived.set()):
            os.kill(os.getpid(), signal.SIGTERM)
            assert arrived.wait(20)
        assert os.read(reading, 1) == bytes([signal.SIGTERM])
        assert signal.set_wakeup_fd(former) == writing
    finally:
        signal.set_wakeup_fd(former)
        os.close(reading)
        os.close(writing)


def test_outside_of_the_main_thread_signals_are_left_alone() -> None:
    handlers: list[Any] = []

    def watch() -> None:
        with SignalWatch(lambda number: None):
            handlers.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=watch)
    thread.start()
    thread.join(20)
    assert handlers == [signal.getsignal(signal.SIGTERM)]


STUBBORN = """
    import sys
    from pypz.core.specs.misc import BlankOperator
    from pypz.core.specs.pipeline import Pipeline
    from pypz.executors.pipeline.executor import PipelineExecutor

    class Stubborn(BlankOperator):
        def _on_running(self):
            print("running", flush=True)
            sys.stdin.read()
            return True

        def _on_interrupt(self, system_signal=None):
            print("interrupted", flush=True)

    class Demo(Pipeline):
        def __init__(self, name, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.op = Stubborn()

    print(PipelineExecutor(Demo("demo")).start())
"""


@pytest.fixture
def stubborn() -> Any:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(STUBBORN)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    yield process
    if process.poll() is None:
        process.kill()
    process.communicate()


def test_a_second_ctrl_c_ends_the_process_at_once_with_130(stubborn: Any) -> None:
    assert stubborn.stdout.readline() == "running\n"
    stubborn.send_signal(signal.SIGINT)
    assert stubborn.stdout.readline() == "interrupted\n"
    stubborn.send_signal(signal.SIGINT)
    assert stubborn.wait(20) == 130


def test_a_first_ctrl_c_lets_the_iteration_end(stubborn: Any) -> None:
    assert stubborn.stdout.readline() == "running\n"
    stubborn.send_signal(signal.SIGINT)
    assert stubborn.stdout.readline() == "interrupted\n"
    out, _ = stubborn.communicate(timeout=20)
    assert out == "{'demo.op': 130}\n"
    assert stubborn.returncode == 0
