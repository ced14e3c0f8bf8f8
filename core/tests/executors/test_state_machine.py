"""Any sequence of answers, failures and interrupts in any mode, against a model made from the tables of the contract.

The model is written down here once more, in other terms than the executor's own tables, so that a slip in these is seen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import OperatorExecutor

DEADLINE_S = 20.0

UNGATED: Final = ("input.commit", "input.can_retrieve")
"""Calls of the executor that the machine lets pass: they belong to the iteration around them."""

CALLS: Final = {
    "StateEntry": ("extended.pre",),
    "StateServiceStart": ("service.start",),
    "StateResourceCreation": ("resource.create",),
    "StateOperationInit": ("input.open", "op.init"),
    "StateOperationRunning": ("op.run",),
    "StateOperationShutdown": ("op.shutdown", "input.close"),
    "StateResourceDeletion": ("resource.delete",),
    "StateServiceShutdown": ("service.stop",),
    "StateKilled": ("extended.post",),
}

DOWN: Final = ("StateOperationShutdown", "StateResourceDeletion", "StateServiceShutdown")

CODES: Final = {
    "StateEntry": 129,
    "StateServiceStart": 110,
    "StateServiceShutdown": 111,
    "StateResourceCreation": 112,
    "StateResourceDeletion": 113,
    "StateOperationInit": 114,
    "StateOperationRunning": 115,
    "StateOperationShutdown": 116,
    "StateKilled": 129,
}

WHEN_DONE: Final = {
    "StateEntry": "StateServiceStart",
    "StateServiceStart": "StateResourceCreation",
    "StateResourceCreation": "StateOperationInit",
    "StateOperationInit": "StateOperationRunning",
    "StateOperationRunning": "StateOperationShutdown",
    "StateOperationShutdown": "StateResourceDeletion",
    "StateResourceDeletion": "StateServiceShutdown",
    "StateServiceShutdown": "StateKilled",
}

WHEN_DONE_IN: Final = {
    ("ResourceCreationOnly", "StateResourceCreation"): "StateServiceShutdown",
    ("ResourceDeletionOnly", "StateServiceStart"): "StateResourceDeletion",
    ("WithoutResourceDeletion", "StateOperationShutdown"): "StateServiceShutdown",
}

WHEN_FAILED: Final = {
    "StateServiceStart": "StateServiceShutdown",
    "StateResourceCreation": "StateResourceDeletion",
    "StateOperationInit": "StateOperationShutdown",
    "StateOperationRunning": "StateOperationShutdown",
    "StateOperationShutdown": "StateResourceDeletion",
    "StateResourceDeletion": "StateServiceShutdown",
    "StateServiceShutdown": "StateKilled",
}

WHEN_INTERRUPTED: Final = {
    **{state: WHEN_FAILED[state] for state in list(WHEN_FAILED)[:4]},
    "StateEntry": "StateKilled",
}


class Model:
    """What the contract says must happen next."""

    def __init__(self, mode: str) -> None:
        self.mode = mode
        self.state = "StateEntry"
        self.place = 0
        self.code = 0
        self.is_interrupted = False
        self.fails = False
        self.has_failed = False
        self.outcome = ""
        self.told: list[str] = []
        self.is_over = False

    @property
    def call(self) -> str:
        return CALLS[self.state][self.place]

    def interrupt(self) -> None:
        if not self.is_interrupted:
            self.is_interrupted, self.code = True, 130

    def take(self, answer: Any) -> None:
        """The call that waits is answered: ``fail``, True, False or None."""
        if answer == "fail":
            self._fail()
        elif answer is False and (
            self.state in DOWN or (self.state == "StateOperationRunning" and not self.is_interrupted)
        ):
            return
        elif self.is_interrupted and self.state in WHEN_INTERRUPTED:
            self._leave(self._interrupted_to())
        elif answer is not False:
            self._next_call()

    def _interrupted_to(self) -> str:
        creates_only = self.mode == "ResourceCreationOnly" and self.state == "StateResourceCreation"
        return "StateServiceShutdown" if creates_only else WHEN_INTERRUPTED[self.state]

    def _fail(self) -> None:
        if self.state in ("StateEntry", "StateKilled"):
            self.has_failed, self.code = True, 129
            self._finish_early()
            self.is_over = True
        elif self.state in DOWN:
            self.fails = True
            self._next_call()
        else:
            self._note_failure()
            self._leave(WHEN_FAILED[self.state])

    def _note_failure(self) -> None:
        self.has_failed, self.code = True, CODES[self.state]
        self.told.append(self.state)

    def _next_call(self) -> None:
        if self.call == "op.shutdown":
            self._finish(is_failed=self.fails or self.has_failed)
        self.place += 1
        if self.place < len(CALLS[self.state]):
            return
        if self.state == "StateKilled":
            self.is_over = True
        elif self.fails:
            self._note_failure()
            self._leave(WHEN_FAILED[self.state])
        else:
            self._leave(WHEN_DONE_IN.get((self.mode, self.state), WHEN_DONE[self.state]))

    def _leave(self, state: str) -> None:
        if state in ("StateResourceDeletion", "StateServiceShutdown", "StateKilled"):
            self._finish_early()
        self.state, self.place, self.fails = state, 0, False

    def _finish_early(self) -> None:
        """Channels are told that the operation is over also where it never began; nobody may take this for an end."""
        self._finish(is_failed=self.has_failed, by_itself="interrupted")

    def _finish(self, is_failed: bool, by_itself: str = "completed") -> None:
        if not self.outcome and self.mode in ("Standard", "WithoutResourceDeletion"):
            self.outcome = "failed" if is_failed else "interrupted" if self.is_interrupted else by_itself


class Gate:
    """Stops every call of the executor until it is given an answer."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[str] = SimpleQueue()
        self.answers: SimpleQueue[Any] = SimpleQueue()

    def call(self, instance: Any, method: str, default: Any) -> Any:
        key = f"{instance.get_simple_name()}.{method}"
        if key in UNGATED:
            return default
        self.asked.put(key)
        answer = self.answers.get(timeout=DEADLINE_S)
        if answer == "fail":
            raise ValueError(f"broken in {key}")
        return answer

    def next(self) -> str:
        return self.asked.get(timeout=DEADLINE_S)


MODES: Final = st.sampled_from([mode for mode in ExecutionMode if mode is not ExecutionMode.Skip])


def machine(make: Callable[[Gate], tuple[OperatorExecutor, Any, Any]]) -> type[RuleBasedStateMachine]:
    """Make the machine; ``make`` gives executor, run and notebook."""

    class Machine(RuleBasedStateMachine):
        @initialize(mode=MODES)
        def start(self, mode: ExecutionMode) -> None:
            self.gate = Gate()
            self.executor, self.run, self.notes = make(self.gate)
            self.execute(mode)

        @precondition(lambda self: self.model.is_over)
        @rule(mode=MODES)
        def start_once_more(self, mode: ExecutionMode) -> None:
            self.execute(mode)

        def execute(self, mode: ExecutionMode) -> None:
            self.session = self.run.session = type(self.run.session)()
            for kept in (self.notes.errors, self.notes.signals, self.notes.calls):
                kept.clear()
            self.model = Model(mode.value)
            self.codes: list[int] = []

            def execute() -> None:
                try:
                    self.codes.append(self.executor.execute(mode))
                finally:
                    self.gate.asked.put("")

            self.thread = threading.Thread(target=execute, daemon=True)
            self.thread.start()
            self.compare()

        def compare(self) -> None:
            """What the executor does next is what the model says."""
            called = self.gate.next()
            if self.model.is_over:
                assert called == ""
                self.check_end()
                return
            assert called == self.model.call
            assert self.executor.get_current_state().name == self.model.state
            assert self.executor.is_running()

        def check_end(self) -> None:
            self.thread.join(DEADLINE_S)
            assert self.codes == [self.model.code]
            assert not self.executor.is_running()
            joined = self.model.mode in ("Standard", "WithoutResourceDeletion")
            assert self.session.outcomes == ([self.model.outcome] if joined else [])
            assert self.session.asked[-1] == "close"
            told = list(dict.fromkeys(source.name for _, source, _ in self.notes.errors))
            assert told == self.model.told
            assert len(self.notes.signals) == (5 if self.model.is_interrupted else 0)

        def answer(self, answer: Any) -> None:
            self.model.take(answer)
            self.gate.answers.put(answer)
            self.compare()

        @precondition(lambda self: not self.model.is_over)
        @rule()
        def done(self) -> None:
            self.answer(True)

        @precondition(lambda self: not self.model.is_over and not self.model.call.startswith("extended"))
        @rule()
        def again(self) -> None:
            self.answer(False)

        @precondition(lambda self: not self.model.is_over and self.model.call == "op.run")
        @rule()
        def none(self) -> None:
            self.answer(None)

        @precondition(lambda self: not self.model.is_over)
        @rule()
        def fail(self) -> None:
            self.answer("fail")

        @precondition(lambda self: not self.model.is_over)
        @rule(number=st.sampled_from([None, 2, 15]))
        def interrupt(self, number: int | None) -> None:
            self.model.interrupt()
            self.executor.interrupt(number)

        def teardown(self) -> None:
            if not hasattr(self, "model"):
                return
            for _ in range(2 * sum(map(len, CALLS.values()))):
                if self.model.is_over:
                    break
                self.answer(True)
            assert self.model.is_over, "every execution ends when all say that they are done"

    return Machine


def test_the_executor_does_what_the_tables_say(
    make_operator: Any, doubles: Any, notes: Any, host: Any, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pause in ("calls.FIRST_PAUSE_S", "calls.LONGEST_PAUSE_S", "running.FIRST_PAUSE_S", "running.LONGEST_PAUSE_S"):
        monkeypatch.setattr(f"pypz.executors.operator.{pause}", 0.0001)

    def make(gate: Gate) -> tuple[OperatorExecutor, Any, Any]:
        notes.call = gate.call
        own = type(run)(run.session)
        return OperatorExecutor(make_operator(doubles.full), False, run=own, host=host), own, notes

    run_state_machine_as_test(
        machine(make),
        settings=settings(max_examples=200, stateful_step_count=30, deadline=None),
    )


def test_the_gate_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"{__name__}.DEADLINE_S", 0.01)
    with pytest.raises(Empty):
        Gate().next()
