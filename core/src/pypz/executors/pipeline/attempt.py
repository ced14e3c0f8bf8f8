"""One start of a whole pipeline: its members' threads, and what becomes of the others when one fails."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from queue import SimpleQueue
from typing import Literal

from pypz.core.channels.run import PipelineRun
from pypz.core.commons.errors import ConfigurationError, PipelineFailedError, PypzError, RunConflictError
from pypz.executors.beginning import Beginning
from pypz.executors.commons import ExitCodes, name_of_exit_code
from pypz.executors.operator.execution import Execution
from pypz.executors.reports import cause, say

Happening = Literal["entered", "failed", "ended"]

ENDED_WELL = frozenset({ExitCodes.NoError.value, ExitCodes.SigTerm.value})


class Attempt:
    """Carries the members of a pipeline out, all at the same time; used once.

    Args:
        pipeline_name: Full name of the pipeline.
        stops_on_failure: Whether the others are shut down when one has failed.
    """

    def __init__(self, pipeline_name: str, stops_on_failure: bool) -> None:
        self._name = pipeline_name
        self._beginning: Beginning | None = None
        self._begun: PipelineRun | None = None
        self._stops_on_failure = stops_on_failure
        self._executions: Sequence[Execution] = ()
        self._interrupted_by: tuple[int | None] | None = None
        self._happenings: SimpleQueue[tuple[Happening, Execution]] = SimpleQueue()
        self._gate = threading.Event()
        self._is_called_off = False
        self._refusals: dict[str, BaseException] = {}
        self._first_failed: Execution | None = None
        self._codes: dict[str, int] = {}

    def has_failed(self, execution: Execution) -> None:
        """Take note that a member has failed; it may still be closing its ports."""
        self._happenings.put(("failed", execution))

    def interrupt(self, signal_number: int | None) -> None:
        """Ask all members to end; returns at once and may be called by a signal handler."""
        if self._interrupted_by is None:
            self._interrupted_by = (signal_number,)
        if self._beginning is not None:
            self._beginning.give_up()
        for execution in self._executions:  # before their waits end: what these raise then is no failure
            execution.interrupt(signal_number)
        if self._begun is not None:
            threading.Thread(target=self._begun.interrupt, name=f"{self._name}/interrupt", daemon=True).start()

    def carry_out(
        self, begin: Callable[[], PipelineRun], make_executions: Callable[[], Sequence[Execution]]
    ) -> dict[str, int]:
        """Begin the run, carry the members out and wait for all of them.

        Args:
            begin: Begins the run; it is finished and closed by this attempt.
            make_executions: Makes one execution for each member.

        Returns:
            The exit code of each by full name, when none has failed.

        Raises:
            PipelineFailedError: One has failed, whatever the others did.
            RunConflictError: The run refuses a member; nothing was called.
            ConfigurationError: A setting makes no sense; nothing was called.
        """
        executions = make_executions()
        self._beginning = Beginning(begin, f"{self._name}/begin")
        if self._interrupted_by is not None:
            self._beginning.give_up()
        self._begun = self._beginning.wait()
        if self._begun is None:
            return {execution.name: ExitCodes.SigTerm.value for execution in executions}
        outcome: Literal["finished", "failed", "interrupted"] = "failed"
        try:
            self._executions = executions
            if self._interrupted_by is not None:
                self.interrupt(*self._interrupted_by)
            self._begin()
            self._wait_for_ends()
            self._raise_refusal()
            if self._first_failed is not None:
                raise self._failure(self._first_failed)
            outcome = "interrupted" if ExitCodes.SigTerm.value in self._codes.values() else "finished"
            return self._codes
        finally:
            if not self._gate.is_set():  # not all threads could be started
                self._is_called_off = True
                self._gate.set()
            self._finish(outcome)

    # --- the thread that started the pipeline -------------------------------------------------------------------------

    def _begin(self) -> None:
        """Let all members enter the run, and go on together, or not at all."""
        for execution in self._executions:
            threading.Thread(target=self._member, args=(execution,), name=execution.name, daemon=True).start()
        for _ in self._executions:
            self._happenings.get()  # each puts "entered" first, and waits at the gate then
        self._is_called_off = bool(self._refusals) and (self._stops_on_failure or self._settings_refused() is not None)
        self._gate.set()

    def _wait_for_ends(self) -> None:
        running = len(self._executions)
        while running:
            happening, execution = self._happenings.get()
            if happening == "failed":
                self._take_failure(execution)
                continue
            running -= 1
            if execution.exit_code not in ENDED_WELL and not self._is_called_off:
                self._take_failure(execution)
        self._codes = {execution.name: execution.exit_code for execution in self._executions}

    def _take_failure(self, failed: Execution) -> None:
        if self._first_failed is None:
            self._first_failed = failed
            if self._stops_on_failure:
                for other in self._executions:
                    if other is not failed:
                        other.interrupt(None, reason=f"stopped, because {failed.name} has failed", keeps_failure=True)

    def _finish(self, outcome: Literal["finished", "failed", "interrupted"]) -> None:
        try:
            self._run.finish(outcome)
        except PypzError as error:
            say(f"WARNING: {self._name}: the end of the run could not be told: {cause(error)}")
        finally:
            self._run.close()

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
            codes = {e.name: fatal if e.name in self._refusals else ExitCodes.SigTerm.value for e in self._executions}
            raise PipelineFailedError(
                f"{name} could not start: {cause(error)}; nothing was executed",
                exit_code=fatal,
                operator=name,
                exit_codes=codes,
            ) from error

    def _failure(self, failed: Execution) -> PipelineFailedError:
        code = self._codes[failed.name]
        stopped = [name for name, other in self._codes.items() if other == ExitCodes.SigTerm.value]
        rest = f"; stopped, too: {', '.join(stopped)}" if stopped and self._stops_on_failure else ""
        error = PipelineFailedError(
            f"{failed.name} ended with exit code {name_of_exit_code(code)}: {failed.reason}{rest}",
            exit_code=code,
            operator=failed.name,
            exit_codes=self._codes,
        )
        error.__cause__ = failed.failure
        return error

    @property
    def _run(self) -> PipelineRun:
        assert self._begun is not None, "carry_out() begins it"
        return self._begun

    # --- the threads of the members -----------------------------------------------------------------------------------

    def _member(self, execution: Execution) -> None:
        """Whatever happens, tell that the member has ended: the pipeline waits for it."""
        try:
            try:
                execution.enter(self._run)
            except BaseException as error:  # noqa: BLE001 - raised or told by the pipeline's thread
                self._refusals[execution.name] = error
            self._happenings.put(("entered", execution))
            self._gate.wait()
            if self._is_called_off:
                execution.abandon()
            elif execution.name in self._refusals:
                execution.fail(self._refusals[execution.name])
            else:
                execution.perform()
        except BaseException as error:  # noqa: BLE001 - the exit code says so
            execution.fail(error)
        finally:
            try:
                execution.end()
            finally:
                self._happenings.put(("ended", execution))
