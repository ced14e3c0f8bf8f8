"""Executes a whole pipeline in this process: a thread for each operator and each replica."""

from __future__ import annotations

import threading
from types import FrameType
from typing import Literal

from pypz.core.channels.run import PipelineRun
from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.errors import AlreadyRunningError
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.attempt import Attempt
from pypz.executors.preparation import check_mocks, check_parameters
from pypz.executors.signals import SignalWatch

Isolation = Literal["thread", "process"]
OnFailure = Literal["stop", "continue"]


class PipelineExecutor:
    """Executes a pipeline, its replicas included, and waits for its end.

    While `start` runs in the main thread, SIGTERM and Ctrl-C drain the pipeline; a second Ctrl-C ends the process.

    Args:
        pipeline: What to execute.
        isolation: ``thread``: all operators in this process.
        on_failure: ``stop`` shuts the other operators down when one has failed. ``continue`` lets them go on; those that
            read what the failed one wrote then wait for the rest of it until they are interrupted.
        max_restarts: How often an operator that has failed is started again.
        fresh: Delete what earlier runs left in the channels first.
        host: Who is told what happens; None: the plugins installed.
        want_logs: Ask the plugins for a logger for operators that carry none; else such operators are silent.

    Raises:
        LookupError: Required parameters have no value; those of the whole pipeline are listed.
        PermissionError: An operator or plugin stands in for a class that is not installed.
        NotBuiltYetError: A value is documented, but not carried out by this version.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        isolation: Isolation = "thread",
        on_failure: OnFailure = "stop",
        max_restarts: int = 0,
        *,
        fresh: bool = False,
        host: PluginHost | None = None,
        want_logs: bool = False,
    ) -> None:
        _check_choice(pipeline, "isolation", isolation, ("thread", "process"))
        _check_choice(pipeline, "on_failure", on_failure, ("stop", "continue"))
        if isolation == "process":
            raise _not_built(pipeline, "isolation='process'", "'thread'")
        if max_restarts:
            raise _not_built(pipeline, f"max_restarts={max_restarts!r}", "0")
        for operator in Internals(pipeline).nested_instances.values():
            check_mocks(operator)
        check_parameters(pipeline.get_missing_required_parameters())
        self._pipeline = pipeline
        self._stops_on_failure = on_failure == "stop"
        self._fresh = fresh
        self._host = PluginHost.default() if host is None else host
        self._want_logs = want_logs
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._attempt: Attempt | None = None

    def start(self, exec_mode: ExecutionMode = ExecutionMode.Standard) -> dict[str, int]:
        """Execute the pipeline and wait for its end; may be called again afterwards.

        Args:
            exec_mode: Which part of each operator's life; Skip calls nothing at all.

        Returns:
            The exit code of each member by full name: 0, or 130 of `ExitCodes` when it was interrupted.

        Raises:
            PipelineFailedError: A member has failed; the others were shut down.
            RunConflictError: The pipeline runs already. Nothing was called.
            ConfigurationError: A setting makes no sense. Nothing was called.
            AlreadyRunningError: This executor runs already.
        """
        with self._lock:
            if not self._idle.is_set():
                name = self._pipeline.get_full_name()
                raise AlreadyRunningError(f"{name}: runs already; wait for its end or interrupt it")
            self._idle.clear()
        try:
            return self._start(exec_mode)
        finally:
            self._attempt = None
            self._idle.set()

    def shutdown(self) -> None:
        """Wait until a `start` in another thread has ended; does not interrupt it."""
        self._idle.wait()

    def interrupt(self, signal_number: int | None = None, current_stack: FrameType | None = None) -> None:
        """Ask all members to end: drain, commit, exit code 130. Returns at once; may be used as a signal handler.

        Args:
            signal_number: Passed on to `_on_interrupt`.
            current_stack: Not used; signal handlers are given one.
        """
        attempt = self._attempt
        if attempt is not None:
            attempt.interrupt(signal_number)

    def _start(self, mode: ExecutionMode) -> dict[str, int]:
        check_parameters(self._pipeline.get_missing_required_parameters())
        members = list(Internals(self._pipeline).nested_instances.values())
        if mode is ExecutionMode.Skip:
            return {member.get_full_name(): ExitCodes.NoError.value for member in members}
        executors = [OperatorExecutor(member, False, host=self._host, want_logs=self._want_logs) for member in members]
        attempt = self._attempt = Attempt(self._pipeline.get_full_name(), self._stops_on_failure)
        with SignalWatch(attempt.interrupt):
            return attempt.carry_out(
                lambda: PipelineRun.start(self._pipeline, self._host, fresh=self._fresh),
                lambda: [executor.make_execution(mode, attempt.has_failed) for executor in executors],
            )


def _check_choice(pipeline: Pipeline, name: str, given: object, accepted: tuple[str, ...]) -> None:
    if given not in accepted:
        choices = " or ".join(repr(choice) for choice in accepted)
        raise ConfigurationError(f"{pipeline.get_full_name()}: {name} is {given!r}, expected {choices}")


def _not_built(pipeline: Pipeline, what: str, instead: str) -> NotBuiltYetError:
    return NotBuiltYetError(f"{pipeline.get_full_name()}: {what} is not built yet; this version takes {instead}")
