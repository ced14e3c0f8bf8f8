"""One execution of one operator: walks the tables of `states`, calls operator and plugins, ends with an exit code."""

from __future__ import annotations

import contextlib
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from pypz.core.channels.members.session import MemberSession, Outcome
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import FencedError, PypzError, WokenError
from pypz.core.commons.loggers import ContextLoggerInterface
from pypz.core.hooks.events import ErrorInfo
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.lines import MemberLog, lowest_level
from pypz.core.specs.operator import Operator
from pypz.core.specs.plugin import ExtendedPlugin, InputPortPlugin, Plugin, PortPlugin
from pypz.executors.commons import ExecutionMode, ExitCodes, name_of_exit_code
from pypz.executors.errors import FAILURES
from pypz.executors.operator import health
from pypz.executors.operator.calls import Caller, Stopping, name_of
from pypz.executors.operator.context import ExecutionContext
from pypz.executors.operator.log import StateLog
from pypz.executors.operator.running import run_until_done
from pypz.executors.operator.states import (
    STAYING,
    TRANSITIONS,
    WORK,
    Signal,
    State,
    Work,
    signal_after,
    signal_when_interrupted,
)
from pypz.executors.reports import Masker, cause, say

JOINING: Final = frozenset({ExecutionMode.Standard, ExecutionMode.WithoutResourceDeletion})
"""Modes in which the member runs, so that its end is told to the channels."""


class Execution:
    """One execution; `enter`, `perform` and `end` are called in this order, by one thread.

    Args:
        operator: Prepared to be executed.
        mode: Which part of its life; not Skip.
        host: Who is told what happens.
        logger: Where transitions, timings and errors go.
        masked: Takes secrets out of what is told of errors.
        drain_s: Seconds that it may go on after an interrupt before it is named on stderr, again and again; methods on the
            way down that still say False are given up.
        on_failure: Called once, in the thread of the execution, when something has failed first.
        clock: By which it pauses.

    Attributes:
        name: Full name of the operator.
        state: Where it stands.
        signal: What led there.
        failure: What failed first; None when nothing did.
        failed_in: Name of the state of the failure; empty when it happened outside of all states.
    """

    def __init__(
        self,
        operator: Operator,
        mode: ExecutionMode,
        host: PluginHost,
        *,
        logger: ContextLoggerInterface,
        masked: Masker,
        drain_s: float,
        on_failure: Callable[[Execution], None] | None = None,
        clock: Clock = PROCESS_CLOCK,
    ) -> None:
        self.name = name_of(operator)
        self.state = State.StateEntry
        self.signal = Signal.SignalNoOp
        self.failure: BaseException | None = None
        self.failed_in = ""
        self._operator = operator
        self._mode = mode
        self._host = host
        self._drain_s = drain_s
        self._on_failure = on_failure
        self._context = ExecutionContext(operator, mode)
        self._stopping = Stopping(clock)
        self._pulse = health.Pulse()
        self._has_told = clock.event()
        self._has_ended = threading.Event()
        self._session: MemberSession | None = None
        self._lines: MemberLog | None = None
        self._is_finished = False
        self._is_abandoned = False
        self._end_reason = "interrupted"
        self._masked = masked
        self._log = StateLog(self.name, logger, self._masked)

    # --- the thread of the execution ----------------------------------------------------------------------------------

    def enter(self, run: PipelineRun) -> None:
        """Take part in ``run``.

        Raises:
            PypzError: The run refuses this member, or its transport cannot be reached.
        """
        try:
            self._session = run.enter(self._operator, self._mode)
        except PypzError:
            if not self._stopping.requested:
                raise
        else:
            self._lines = MemberLog(self._host, self._session.ref, self._masked, lowest_level(self._operator))
            vars(self._operator)["_pypz_tap"] = self._lines
            if self._stopping.requested:
                self._session.interrupt()

    def abandon(self) -> None:
        """Give up before anything was called: `perform` does nothing, and `end` tells nobody."""
        self._is_abandoned = True

    def perform(self) -> None:
        """Go through all states; what goes wrong is told and kept in the exit code.

        Does nothing when the member was interrupted while entering, or has ended in this run before; where it was
        killed before it had deleted its channels, it takes that up.
        """
        session = self._session
        if session is None:
            return
        if self._has_ended_before(session):
            if not self._is_abandoned:
                say(f"{self.name}: has ended in this run before, there is nothing left to do")
            return
        if session.already_closed:
            self._mode = ExecutionMode.ResourceDeletionOnly
            session.take_up_deletion()
        health.watch(self._operator, self._pulse, session)
        with thread_named(self.name):
            prepared: list[ExtendedPlugin] = []
            try:
                self._host.operator_state_changed(session.ref, "", self.state.name)
                for plugin in self._context.get_plugins(ExtendedPlugin):
                    plugin._pre_execution()
                    prepared.append(plugin)
                while self.state is not State.StateKilled:
                    self._follow(self._visit())
            except FAILURES as error:
                self.fail(error)
            except KeyboardInterrupt:  # nobody has taken signals over
                self._context.set_exit_code(ExitCodes.SigTerm)
                raise
            finally:
                self._finish_early()
                self._post_execution(prepared)
                health.forget(self._operator)

    def end(self) -> int:
        """Let go of the session, say on stderr why when it did not end well, and give the exit code."""
        self.wait_until_told()
        self._has_ended.set()
        session = self._session
        if session is not None and session.fenced:
            self._context.set_exit_code(ExitCodes.Fenced)
            self._end_reason = "a later start of this member exists, so this one has stopped"
        code = self.exit_code
        if self._lines is not None:
            self._lines.close()
            vars(self._operator).pop("_pypz_tap", None)
        if session is not None:
            if not self._has_ended_before(session) and not self._is_abandoned:
                self._host.operator_finished(session.ref, code)
            session.close()
        if code != ExitCodes.NoError.value and not self._is_abandoned:
            say(f"ERROR: {self.name}: ended with exit code {name_of_exit_code(code)}: {self.reason}")
        return code

    def _has_ended_before(self, session: MemberSession) -> bool:
        """Whether nothing is left to do, because an earlier start has done it all."""
        owes = session.owes_deletion and self._mode in (ExecutionMode.Standard, ExecutionMode.ResourceDeletionOnly)
        return session.already_closed and not owes

    @property
    def reason(self) -> str:
        """Why the execution did not end well, in words; secrets masked."""
        if self.failure is None:
            return self._end_reason
        where = f" in {self.failed_in}" if self.failed_in else ""
        return self._masked(f"{cause(self.failure)}{where}")

    @property
    def is_interrupted(self) -> bool:
        return self._stopping.requested

    @property
    def exit_code(self) -> int:
        return self._context.get_exit_code()

    def health(self) -> health.Health:
        """How it does; from any thread."""
        return health.health_of(self._operator, self.state.name)

    def fail(self, error: BaseException, state: State | None = None) -> None:
        """Take note of a failure: exit code, log, hook, and `_on_error` of those whom the state names.

        Args:
            error: What was raised.
            state: In which state's work; None outside of all.
        """
        session = self._session
        is_fenced = isinstance(error, FencedError) or (session is not None and session.fenced)
        code = ExitCodes.FatalError if state is None else WORK[state].exit_code
        self._context.set_exit_code(ExitCodes.Fenced if is_fenced else code)
        self._log.error(self.state, "failed", error)
        if session is not None:
            self._host.operator_failed(session.ref, self.state.name, error_info(error, self._masked))
        if self.failure is None:
            self.failure, self.failed_in = error, "" if state is None else state.name
            if self._on_failure is not None:
                self._on_failure(self)
        if state is not None:
            self._tell_error(state, error)

    # --- any thread ---------------------------------------------------------------------------------------------------

    def interrupt(
        self,
        signal_number: int | None,
        run: PipelineRun | None = None,
        *,
        reason: str = "interrupted",
        keeps_failure: bool = False,
    ) -> None:
        """Ask the execution to end; returns at once and may be called by a signal handler.

        Args:
            signal_number: Passed on to `_on_interrupt`.
            run: Interrupted in place of the session while the member is entering; None when others take part in it.
            reason: What the line on stderr says of it.
            keeps_failure: Leave the exit code of an execution that has failed already.
        """
        if self._stopping.requested or self._has_ended.is_set():
            return
        self._end_reason = reason
        self._stopping.request()
        if not (keeps_failure and self.failure is not None):
            self._context.set_exit_code(ExitCodes.SigTerm)
        self._stopping.clock.thread(self._tell_interrupt, f"{self.name}/interrupt", (signal_number, run)).start()

    def wait_until_told(self) -> None:
        """Wait until `_on_interrupt` of all has returned, but in all not longer than a drain may take."""
        if self._stopping.requested and not self._has_told.wait(self._drain_s):
            self._has_told.set()

    def _tell_interrupt(self, signal_number: int | None, run: PipelineRun | None) -> None:
        """In a thread of its own: wake all that waits, tell plugins and operator, watch how long it takes."""
        threading.Thread(target=self._watch_drain, name=f"{self.name}/drain", daemon=True).start()
        self._stopping.wake()
        if self._session is not None:
            self._session.interrupt()
        elif run is not None:
            run.interrupt()
        for instance in [*self._context.get_plugins(Plugin), self._operator]:
            try:
                instance._on_interrupt(signal_number)
            except FAILURES as error:
                self._log.error(self.state, f"_on_interrupt of {name_of(instance)} failed", error)
        self._has_told.set()

    def _watch_drain(self) -> None:
        began = time.monotonic()
        while not self._has_ended.wait(self._drain_s):
            call = self._pulse.call
            what = f", where its {call} has not returned" if call else ""
            say(
                f"WARNING: {self.name}: interrupted {time.monotonic() - began:.0f} s ago and still in {self.state}"
                f"{what}; a second Ctrl-C ends the process at once"
            )

    # --- states -------------------------------------------------------------------------------------------------------

    def _follow(self, signal: Signal) -> None:
        """Go where the signal leads."""
        old, new = self.state, TRANSITIONS.get((self.state, signal))
        self.signal = signal
        if new is None:
            if signal not in STAYING:
                self._log.warning(old, f"({old}) does not know [{signal}] and stays")
            return
        self._log.info(old, f"({old})--[{signal}]-->({new})")
        if new in (State.StateResourceDeletion, State.StateServiceShutdown):
            self._finish_early()
        self.state = new
        self._host.operator_state_changed(self._entered.ref, old.name, new.name)

    def _visit(self) -> Signal:
        """Do the work of the current state and give the signal that it ends with."""
        state = self.state
        try:
            if state in WORK:
                self._do(state, WORK[state])
        except FAILURES as error:
            if not (isinstance(error, WokenError) and self._stopping.requested):
                self.fail(error, state)
                return Signal.SignalError
        if self._stopping.requested:
            return signal_when_interrupted(state, self._mode)
        return signal_after(state, self._mode)

    def _do(self, state: State, work: Work) -> None:
        if state is State.StateOperationRunning:
            self._run_operation()
        elif work.backwards:
            self._go_down(state, work)
        else:
            for kind, method in work.calls:
                if not self._stopping.requested:
                    self._caller(state, method).upwards(self._levels(kind), method)

    def _go_down(self, state: State, work: Work) -> None:
        """Call everything, whatever fails; raise the first error at the end."""
        if state is State.StateResourceDeletion and self._entered.fenced:
            return  # what is there belongs to the later start of this member
        self.wait_until_told()
        errors: list[BaseException] = []
        for kind, method in work.calls:
            if kind is PortPlugin:
                errors += self._finish_operation(is_failed=bool(errors) or self.failure is not None)
            errors += self._caller(state, method).downwards(self._levels(kind), method)
        for error in errors[1:]:
            self._log.error(state, "failed, too", error)
        if errors:
            raise errors[0]

    def _run_operation(self) -> None:
        inputs = self._context.get_plugins(InputPortPlugin)
        began = time.perf_counter()
        iterations = run_until_done(self._operator, inputs, self._entered, self._stopping, self._pulse)
        spent_s = time.perf_counter() - began
        self._log.timing(State.StateOperationRunning, self._operator, "_on_running", spent_s, iterations)

    def _caller(self, state: State, method: str) -> Caller:
        self._pulse.begins(method)
        return Caller(self._stopping, self.name, partial(self._log.timing, state), self._drain_s)

    def _levels(self, kind: type[Any]) -> list[list[Any]]:
        return [[self._operator]] if kind is Operator else self._context.get_levels(kind)

    @property
    def _entered(self) -> MemberSession:
        assert self._session is not None, "enter() comes first"
        return self._session

    # --- ends and failures --------------------------------------------------------------------------------------------

    def _finish_operation(self, is_failed: bool) -> list[BaseException]:
        """Tell the channels that the operation is over; gives what fails in that."""
        self._pulse.begins("last commit")
        outcome: Outcome = "failed" if is_failed else "interrupted" if self._stopping.requested else "completed"
        try:
            self._finish(outcome)
        except FAILURES as error:
            return [error]
        return []

    def _finish_early(self) -> None:
        """The same, for whoever failed or was interrupted before it came to StateOperationShutdown."""
        try:
            self._finish("failed" if self.failure is not None else "interrupted")
        except FAILURES as error:
            self.fail(error)

    def _finish(self, outcome: Outcome) -> None:
        if not self._is_finished and self._mode in JOINING:
            self._is_finished = True
            self._entered.finish(outcome)

    def _post_execution(self, plugins: list[ExtendedPlugin]) -> None:
        for plugin in plugins:
            try:
                plugin._post_execution()
            except FAILURES as error:
                self.fail(error)

    def _tell_error(self, state: State, error: BaseException) -> None:
        for kind in WORK[state].told:
            for instance in (instance for level in self._levels(kind) for instance in level):
                try:
                    instance._on_error(source=state, exception=error)
                except FAILURES as further:
                    self._log.error(state, f"_on_error of {name_of(instance)} failed", further)


def error_info(error: BaseException, masked: Masker) -> ErrorInfo:
    """Give an error as observers are told of it."""
    trace = "".join(traceback.format_exception(error))
    return ErrorInfo(type=type(error).__name__, message=masked(str(error)), traceback=masked(trace))


@contextlib.contextmanager
def thread_named(name: str) -> Iterator[None]:
    """Call the current thread by another name for a while."""
    thread = threading.current_thread()
    former, thread.name = thread.name, name
    try:
        yield
    finally:
        thread.name = former
