"""Executes a whole pipeline on this machine: a thread, or a process, for each operator and each replica."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from functools import partial
from types import FrameType
from typing import Any, Literal

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.errors import AlreadyRunningError
from pypz.executors.operator.executor import OperatorExecutor, drain_seconds
from pypz.executors.pipeline.attempt import Attempt
from pypz.executors.pipeline.launching import check_importable
from pypz.executors.pipeline.processes import ProcessAttempt, ProcessMember
from pypz.executors.pipeline.restarts import Restarts
from pypz.executors.pipeline.threads import ThreadAttempt, ThreadMember
from pypz.executors.preparation import check_mocks, check_parameters, check_references
from pypz.executors.signals import SignalWatch

Isolation = Literal["thread", "process"]
OnFailure = Literal["stop", "continue"]


class PipelineExecutor:
    """Executes a pipeline, its replicas included, and waits for its end.

    While `start` runs in the main thread, SIGTERM and Ctrl-C drain the pipeline; a second Ctrl-C ends the process.

    Args:
        pipeline: What to execute.
        isolation: ``thread``: all operators in this process. ``process``: each in a process of its own, rebuilt there
            from the pipeline's description, as a pod would do; what code has set beyond parameters is not handed on.
            Their output comes out line by line on ours, and observers here are told what happens there.
        on_failure: ``stop`` shuts the other operators down when one has failed. ``continue`` lets them go on; those that
            read what the failed one wrote then wait for the rest of it until they are interrupted.
        max_restarts: How often each operator or replica that has failed is started again in the same run, after pauses
            that grow from 1 s to 60 s. It begins with the attributes that it had at `start`, from `_on_init` on, and goes on
            behind what it has committed. Settings that make no sense, and an interrupt, start nothing again.
        fresh: Delete what earlier runs left in the channels first.
        host: Who is told what happens; None: the plugins installed.
        want_logs: Ask the plugins for a logger for operators that carry none; else such operators are silent.
        clock: By which it goes: the process's own, but in tests (`pypz.testing.run_pipeline`).

    Raises:
        LookupError: Required parameters have no value; those of the whole pipeline are listed.
        PermissionError: An operator or plugin stands in for a class that is not installed.
        ConfigurationError: A setting makes no sense.
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
        clock: Clock = PROCESS_CLOCK,
    ) -> None:
        _check_choice(pipeline, "isolation", isolation, ("thread", "process"))
        _check_choice(pipeline, "on_failure", on_failure, ("stop", "continue"))
        if not isinstance(max_restarts, int) or isinstance(max_restarts, bool) or max_restarts < 0:
            name = pipeline.get_full_name()
            raise ConfigurationError(f"{name}: max_restarts is {max_restarts!r}, expected a whole number, 0 or more")
        if clock is not PROCESS_CLOCK and isolation == "process":
            name = pipeline.get_full_name()
            raise ConfigurationError(
                f"{name}: processes go by the clock of this host; a clock given needs isolation='thread'"
            )
        for operator in Internals(pipeline).nested_instances.values():
            check_mocks(operator)
        check_parameters(pipeline.get_missing_required_parameters())
        self._pipeline = pipeline
        self._in_processes = isolation == "process"
        self._max_restarts = max_restarts
        self._stops_on_failure = on_failure == "stop"
        self._fresh = fresh
        self._host = PluginHost.default() if host is None else host
        self._want_logs = want_logs
        self._clock = clock
        self._lock = threading.Lock()
        self._idle = threading.Event()
        self._idle.set()
        self._attempt: Attempt[Any] | None = None

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
        return self._start_processes(members, mode) if self._in_processes else self._start_threads(members, mode)

    def _start_threads(self, members: Sequence[Any], mode: ExecutionMode) -> dict[str, int]:
        executors = [
            OperatorExecutor(member, False, host=self._host, want_logs=self._want_logs, clock=self._clock)
            for member in members
        ]
        attempt = self._attempt = ThreadAttempt(self._pipeline.get_full_name(), self._stops_on_failure, self._clock)

        def make(executor: OperatorExecutor) -> ThreadMember:
            renew = executor.keep_beginning() if self._max_restarts else lambda: None
            return ThreadMember(
                partial(executor.make_execution, mode), Restarts(self._max_restarts), self._clock, renew
            )

        with SignalWatch(attempt.interrupt), self._clock.taking_part():
            return attempt.carry_out(self._begin, lambda: [make(executor) for executor in executors])

    def _start_processes(self, members: Sequence[Any], mode: ExecutionMode) -> dict[str, int]:
        check_importable(self._pipeline)
        for member in members:  # what makes no sense is refused before anything starts
            check_references(member)
            drain_seconds(member)
        attempt = self._attempt = ProcessAttempt(
            self._pipeline, self._stops_on_failure, mode, self._host, self._want_logs
        )
        with SignalWatch(attempt.interrupt, before_the_end=attempt.kill):
            return attempt.carry_out(
                self._begin, lambda: [ProcessMember(member, Restarts(self._max_restarts)) for member in members]
            )

    def _begin(self) -> PipelineRun:
        return PipelineRun.start(
            self._pipeline, self._host, fresh=self._fresh, in_processes=self._in_processes, clock=self._clock
        )


def _check_choice(pipeline: Pipeline, name: str, given: object, accepted: tuple[str, ...]) -> None:
    if given not in accepted:
        choices = " or ".join(repr(choice) for choice in accepted)
        raise ConfigurationError(f"{pipeline.get_full_name()}: {name} is {given!r}, expected {choices}")
