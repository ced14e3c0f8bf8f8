"""One start of a whole pipeline: its run, its members, and what becomes of the others when one fails."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Literal, Protocol, TypeVar

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import PipelineFailedError, PypzError
from pypz.executors.beginning import Beginning
from pypz.executors.commons import ENDED_WELL, ExitCodes, name_of_exit_code
from pypz.executors.reports import cause, say

Happening = Literal["entered", "failed", "ended"]


class Member(Protocol):
    """One member of the pipeline, over its restarts."""

    @property
    def name(self) -> str:
        """Full name of the operator or replica."""
        ...

    @property
    def exit_code(self) -> int: ...

    @property
    def reason(self) -> str:
        """Why it did not end well, in words; secrets masked."""
        ...

    @property
    def failure(self) -> BaseException | None:
        """What it raised, where that is known here."""
        ...

    def interrupt(self, signal_number: int | None, *, reason: str = "interrupted", keeps_failure: bool = False) -> None:
        """Ask it to end; returns at once. As `Execution.interrupt`."""
        ...


M = TypeVar("M", bound=Member)
T = TypeVar("T")


class Happenings(Generic[T]):
    """What members tell the thread that waits for them, in order."""

    def __init__(self, clock: Clock) -> None:
        self._told: deque[T] = deque()
        self._came = clock.condition()

    def put(self, told: T) -> None:
        """Tell something; from any thread."""
        with self._came:
            self._told.append(told)
            self._came.notify()

    def get(self) -> T:
        """Take the next; waits for it."""
        with self._came:
            self._came.wait_for(lambda: self._told)
            return self._told.popleft()


class Attempt(ABC, Generic[M]):
    """Carries the members of a pipeline out, all at the same time; used once.

    Args:
        pipeline_name: Full name of the pipeline.
        stops_on_failure: Whether the others are shut down when one has failed for good.
        clock: By which it goes.
    """

    def __init__(self, pipeline_name: str, stops_on_failure: bool, clock: Clock = PROCESS_CLOCK) -> None:
        self._name = pipeline_name
        self._stops_on_failure = stops_on_failure
        self._beginning: Beginning | None = None
        self._begun: PipelineRun | None = None
        self._members: Sequence[M] = ()
        self._interrupted_by: tuple[int | None] | None = None
        self._clock = clock
        self._happenings: Happenings[tuple[Happening, M]] = Happenings(clock)
        self._is_called_off = False
        self._first_failed: M | None = None
        self._codes: dict[str, int] = {}

    def interrupt(self, signal_number: int | None = None) -> None:
        """Ask all members to end; returns at once, from any thread."""
        if self._interrupted_by is None:
            self._interrupted_by = (signal_number,)
        if self._beginning is not None:
            self._beginning.give_up()
        for member in self._members:  # before their waits end: what these raise then is no failure
            member.interrupt(signal_number)
        if self._begun is not None:
            self._clock.thread(self._begun.interrupt, f"{self._name}/interrupt").start()

    def kill(self) -> None:
        """Leave nothing running outside of this process, which is about to end; called by a signal handler."""

    def carry_out(self, begin: Callable[[], PipelineRun], make_members: Callable[[], Sequence[M]]) -> dict[str, int]:
        """Begin the run, carry the members out and wait for all of them.

        Args:
            begin: Begins the run; it is finished and closed by this attempt.
            make_members: Makes the members.

        Returns:
            The exit code of each by full name, when none has failed.

        Raises:
            PipelineFailedError: One has failed, whatever the others did.
            RunConflictError: The run refuses a member; nothing was called.
            ConfigurationError: A setting makes no sense; nothing was called.
        """
        members = make_members()
        self._beginning = Beginning(begin, f"{self._name}/begin")
        if self._interrupted_by is not None:
            self._beginning.give_up()
        self._begun = self._beginning.wait()
        if self._begun is None:
            return {member.name: ExitCodes.SigTerm.value for member in members}
        outcome: Literal["finished", "failed", "interrupted"] = "failed"
        try:
            self._members = members
            if self._interrupted_by is not None:
                self.interrupt(*self._interrupted_by)
            self._launch()
            self._wait_for_ends()
            self._raise_refusal()
            if self._first_failed is not None:
                raise self._failure(self._first_failed)
            outcome = "interrupted" if ExitCodes.SigTerm.value in self._codes.values() else "finished"
            return self._codes
        finally:
            try:
                self._clean_up()
            finally:
                self._finish(outcome)

    @abstractmethod
    def _launch(self) -> None:
        """Start all members; each puts ``ended`` into the happenings when it has ended for good."""

    def _raise_refusal(self) -> None:
        """Raise why nothing was executed, where that is so."""

    @abstractmethod
    def _clean_up(self) -> None:
        """Let go of what `_launch` made, also when it failed half-way."""

    @property
    def _run(self) -> PipelineRun:
        assert self._begun is not None, "carry_out() begins it"
        return self._begun

    def _wait_for_ends(self) -> None:
        running = len(self._members)
        while running:
            happening, member = self._happenings.get()
            if happening == "failed":
                self._take_failure(member)
                continue
            running -= 1
            if member.exit_code not in ENDED_WELL and not self._is_called_off:
                self._take_failure(member)
        self._codes = {member.name: member.exit_code for member in self._members}

    def _take_failure(self, failed: M) -> None:
        if self._first_failed is None:
            self._first_failed = failed
            if self._stops_on_failure:
                for other in self._members:
                    if other is not failed:
                        other.interrupt(None, reason=f"stopped, because {failed.name} has failed", keeps_failure=True)

    def _finish(self, outcome: Literal["finished", "failed", "interrupted"]) -> None:
        try:
            self._run.finish(outcome)
        except PypzError as error:
            say(f"WARNING: {self._name}: the end of the run could not be told: {cause(error)}")
        finally:
            self._run.close()

    def _failure(self, failed: M) -> PipelineFailedError:
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
