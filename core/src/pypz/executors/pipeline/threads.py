"""Members in threads of this process: they enter the run together, or nothing is called at all."""

from __future__ import annotations

import threading
from collections.abc import Callable

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.clock import Clock
from pypz.core.commons.errors import ConfigurationError, PipelineFailedError, RunConflictError
from pypz.executors.commons import ExitCodes
from pypz.executors.operator.execution import Execution
from pypz.executors.pipeline.attempt import Attempt
from pypz.executors.pipeline.restarts import Restarts
from pypz.executors.reports import cause, say

MakeExecution = Callable[[Callable[[Execution], None]], Execution]


class ThreadMember:
    """One member and its current execution.

    Args:
        make_execution: Makes an execution that calls what it is given when something has failed first.
        restarts: The restarts that it has.
        clock: By which it pauses before them.
        renew: Makes its operator what it was in the beginning.
    """

    def __init__(
        self, make_execution: MakeExecution, restarts: Restarts, clock: Clock, renew: Callable[[], None]
    ) -> None:
        self._make_execution = make_execution
        self._restarts = restarts
        self._renew = renew
        self._lock = threading.Lock()
        self._interrupted = clock.event()
        self.on_failure: Callable[[ThreadMember], None] = lambda member: None
        self.execution = make_execution(self._has_failed)

    @property
    def name(self) -> str:
        return self.execution.name

    @property
    def exit_code(self) -> int:
        return self.execution.exit_code

    @property
    def reason(self) -> str:
        return self.execution.reason

    @property
    def failure(self) -> BaseException | None:
        return self.execution.failure

    def interrupt(self, signal_number: int | None, *, reason: str = "interrupted", keeps_failure: bool = False) -> None:
        with self._lock:
            self._interrupted.set()
            self.execution.interrupt(signal_number, reason=reason, keeps_failure=keeps_failure)

    def restarts(self) -> bool:
        """After an execution has ended: wait and make another one, where the member is to be started again."""
        if self._interrupted.is_set():
            return False
        pause_s = self._restarts.take(self.exit_code)
        if pause_s is None:
            return False
        say(
            f"WARNING: {self.name}: is started again in {pause_s:g} s "
            f"(restart {self._restarts.count} of {self._restarts.at_most})"
        )
        if self._interrupted.wait(pause_s):
            return False
        with self._lock:
            if not self._interrupted.is_set():
                self._renew()
                self.execution = self._make_execution(self._has_failed)
            return not self._interrupted.is_set()

    def _has_failed(self, execution: Execution) -> None:
        """It may still be closing its ports."""
        if self._interrupted.is_set() or not self._restarts.are_left(execution.exit_code):
            self.on_failure(self)


class ThreadAttempt(Attempt[ThreadMember]):
    """Members in threads."""

    def __init__(self, pipeline_name: str, stops_on_failure: bool, clock: Clock) -> None:
        super().__init__(pipeline_name, stops_on_failure, clock)
        self._gate = threading.Event()
        self._refusals: dict[str, BaseException] = {}

    # --- the thread that started the pipeline -------------------------------------------------------------------------

    def _launch(self) -> None:
        """Let all members enter the run, and go on together, or not at all."""
        for member in self._members:
            member.on_failure = lambda failed: self._happenings.put(("failed", failed))
            self._clock.thread(self._carry, member.name, (member,)).start()
        for _ in self._members:
            self._happenings.get()  # each puts "entered" first, and waits at the gate then
        self._is_called_off = bool(self._refusals) and (self._stops_on_failure or self._settings_refused() is not None)
        self._gate.set()

    def _clean_up(self) -> None:
        if not self._gate.is_set():  # not all threads could be started
            self._is_called_off = True
            self._gate.set()

    def _settings_refused(self) -> BaseException | None:
        refused = (RunConflictError, ConfigurationError)
        return next((error for error in self._refusals.values() if isinstance(error, refused)), None)

    def _raise_refusal(self) -> None:
        refused = self._settings_refused()
        if refused is not None:
            raise refused
        if self._is_called_off:
            name, error = next(iter(self._refusals.items()))
            fatal = ExitCodes.FatalError.value
            codes = {m.name: fatal if m.name in self._refusals else ExitCodes.SigTerm.value for m in self._members}
            raise PipelineFailedError(
                f"{name} could not start: {cause(error)}; nothing was executed",
                exit_code=fatal,
                operator=name,
                exit_codes=codes,
            ) from error

    # --- the threads of the members -----------------------------------------------------------------------------------

    def _carry(self, member: ThreadMember) -> None:
        """Whatever happens, tell that the member has ended: the pipeline waits for it."""
        try:
            error = enter(member.execution, self._run)
            if error is not None:
                self._refusals[member.name] = error
            self._happenings.put(("entered", member))
            self._gate.wait()
            if self._is_called_off:
                member.execution.abandon()
                member.execution.end()
                return
            perform(member.execution, error)
            while member.restarts():
                error = enter(member.execution, self._run)
                perform(member.execution, error)
        finally:
            self._happenings.put(("ended", member))


def enter(execution: Execution, run: PipelineRun) -> BaseException | None:
    """Enter the run; gives what was raised."""
    try:
        execution.enter(run)
    except BaseException as error:  # noqa: BLE001 - raised or told by the pipeline's thread
        return error
    return None


def perform(execution: Execution, refusal: BaseException | None) -> None:
    """Carry one execution out to its end; never raises."""
    try:
        if refusal is not None:
            execution.fail(refusal)
        else:
            execution.perform()
    except BaseException as error:  # noqa: BLE001 - the exit code says so
        execution.fail(error)
    finally:
        execution.end()
