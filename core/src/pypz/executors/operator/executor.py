"""Executes an operator in the calling thread, as a pod or a process of its own does."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from types import FrameType
from typing import Final

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.parameters import given_value
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.executors.beginning import Beginning
from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.errors import FAILURES, AlreadyRunningError
from pypz.executors.operator.calls import name_of
from pypz.executors.operator.execution import Execution
from pypz.executors.operator.health import Health
from pypz.executors.operator.renewal import Renewal
from pypz.executors.operator.states import Signal, State
from pypz.executors.preparation import logger_for, prepare
from pypz.executors.reports import Masker
from pypz.executors.signals import SignalWatch

RUN_VARIABLE: Final = "PYPZ_RUN"
"""Environment variable with the id of the run that a member started alone takes part in."""

DRAIN_TIMEOUT_PARAMETER: Final = "drainTimeoutMs"
DRAIN_TIMEOUT_MS: Final = 10_000
"""Milliseconds that an interrupted operator may go on before it is named on stderr, and before its shutdown is given up
where it says False (design 5)."""


class OperatorExecutor:
    """Executes one operator in the calling thread, as often as wanted.

    Args:
        operator: What to execute; a replica is made into an operator of its own first.
        handle_interrupts: Take SIGTERM and SIGINT over while `execute` runs in the main thread: the first one drains,
            a second Ctrl-C ends the process at once.
        run: The run in which the operator takes part. None: the one of PYPZ_RUN, else the open one, else a new one.
        host: Who is told what happens; None: the plugins installed.
        want_logs: Ask the plugins for a logger when the operator carries none; else such an operator is silent.
        clock: By which it pauses; that of ``run``.

    Raises:
        LookupError: Required parameters of the operator or its plugins have no value; all are listed.
        PermissionError: The operator or one of its plugins stands in for a class that is not installed.
        ValueError: ``drainTimeoutMs`` makes no sense.
    """

    def __init__(
        self,
        operator: Operator,
        handle_interrupts: bool = True,
        *,
        run: PipelineRun | None = None,
        host: PluginHost | None = None,
        want_logs: bool = False,
        clock: Clock = PROCESS_CLOCK,
    ) -> None:
        self._operator = prepare(operator)
        self._handle_interrupts = handle_interrupts
        self._given_run = run
        self._clock = clock
        self._host = PluginHost.default() if host is None else host
        self._logger = logger_for(self._operator, self._host if want_logs else None)
        self._masked = Masker.of(self._operator)
        self._drain_s = drain_seconds(self._operator)
        self._lock = threading.Lock()
        self._run: PipelineRun | None = None
        self._beginning: Beginning | None = None
        self._thread: threading.Thread | None = None
        self._execution: Execution | None = None
        self._is_running = False

    def is_running(self) -> bool:
        return self._is_running

    def health(self) -> Health:
        """Tell how the execution does that runs; all is well when none does. From any thread."""
        return Health() if self._execution is None else self._execution.health()

    def get_current_state(self) -> State:
        """Give the state of the execution that runs, or ran last."""
        return State.StateEntry if self._execution is None else self._execution.state

    def get_current_signal(self) -> Signal:
        """Give the signal that led to the current state."""
        return Signal.SignalNoOp if self._execution is None else self._execution.signal

    def execute(self, exec_mode: ExecutionMode = ExecutionMode.Standard) -> int:
        """Carry the operator out, from the start of its services to their end.

        Args:
            exec_mode: Which part of it; Skip calls nothing at all.

        Returns:
            0, or one of `ExitCodes`; for each other than 0 the reason stands on stderr.

        Raises:
            AlreadyRunningError: It is running.
        """
        if exec_mode is ExecutionMode.Skip:
            return ExitCodes.NoError.value
        with self._lock:
            if self._is_running:
                raise AlreadyRunningError(f"{name_of(self._operator)}: runs already; wait for its end or interrupt it")
            self._is_running = True
        try:
            self._thread = threading.current_thread()
            execution = self._execution = self.make_execution(exec_mode)
            with SignalWatch(self._interrupt, is_active=self._handle_interrupts):
                try:
                    self._execute(execution)
                finally:
                    code = execution.end()
                    self._close_run()
            return code
        finally:
            self._is_running = False

    def _execute(self, execution: Execution) -> None:
        try:
            self._run = self._given_run or self._join(execution)
            if self._run is None:
                return
            execution.enter(self._run)
        except FAILURES as error:  # told here; the exit code tells the starter
            execution.fail(error)
        else:
            execution.perform()

    def _join(self, execution: Execution) -> PipelineRun | None:
        """Join the run; None when that was interrupted."""
        run_id = os.environ.get(RUN_VARIABLE)
        self._beginning = Beginning(
            lambda: PipelineRun.join(self._operator, self._host, run_id=run_id), f"{name_of(self._operator)}/join"
        )
        if execution.is_interrupted:
            self._beginning.give_up()
        return self._beginning.wait()

    def _close_run(self) -> None:
        self._beginning = None
        run, self._run = self._run, None
        if run is not None and run is not self._given_run:
            run.close()

    def interrupt(self, signal_number: int | None = None, current_stack: FrameType | None = None) -> None:
        """Ask the execution to end: `_on_interrupt` of plugins and operator, then drain, commit, exit code 130.

        A running `_on_running` is not aborted. Does nothing when not running. May be used as a signal handler.

        Args:
            signal_number: Passed on to `_on_interrupt`.
            current_stack: Not used; signal handlers are given one.
        """
        execution = self._execution
        if self._is_running and execution is not None:
            self._interrupt(signal_number)
            if threading.current_thread() is not self._thread:
                execution.wait_until_told()

    def _interrupt(self, signal_number: int | None = None) -> None:
        execution, run = self._execution, self._run
        if execution is not None:
            execution.interrupt(signal_number, run=None if run is self._given_run else run)
        if self._beginning is not None:
            self._beginning.give_up()

    def keep_beginning(self) -> Callable[[], None]:
        """Keep what the operator holds now; what this gives brings that back, so that it can be started anew."""
        return Renewal(self._operator).restore

    def make_execution(self, mode: ExecutionMode, on_failure: Callable[[Execution], None] | None = None) -> Execution:
        """Make an execution of the operator that has not begun, for whoever carries several out together."""
        return Execution(
            self._operator,
            mode,
            self._host,
            logger=self._logger,
            masked=self._masked,
            drain_s=self._drain_s,
            on_failure=on_failure,
            clock=self._clock,
        )


def drain_seconds(operator: Operator) -> float:
    """Give the parameter ``drainTimeoutMs`` of an operator in seconds.

    Raises:
        ConfigurationError: It is no number above 0.
    """
    given = given_value(operator, DRAIN_TIMEOUT_PARAMETER)
    if given is None:
        return DRAIN_TIMEOUT_MS / 1000
    if isinstance(given, bool) or not isinstance(given, int | float) or given <= 0:
        raise ConfigurationError(
            f"{name_of(operator)}: parameter {DRAIN_TIMEOUT_PARAMETER!r} is {given!r}, expected milliseconds, 1 or "
            f"more; leave it out for {DRAIN_TIMEOUT_MS}"
        )
    return given / 1000
