"""One member's channels during one execution: what executor and ports share."""

from __future__ import annotations

from typing import Literal

from pypz.core.hooks.events import OperatorRef

Outcome = Literal["completed", "interrupted", "failed"]


class MemberSession:
    """INTERFACE DRAFT (bodies follow). Made by `PipelineRun.enter(operator, mode)`; every member has one, with ports or without.

    The executor calls, in this order: enter -> `_pre_execution` of plugins -> state machine -> `_post_execution` -> `close`.
    """

    ref: OperatorRef
    """This start of this member, as observers are told."""
    already_closed: bool
    """The member has ended in this very run before: the executor does nothing and exits 0 (semantics: run)."""
    has_channel_inputs: bool
    fenced: bool
    """A later start of this member was seen: stop, no end, no commit (exit code `Fenced`)."""

    def iteration_started(self) -> None:
        """The executor is about to call `_on_running`."""

    def iteration_ended(self) -> int:
        """The iteration has returned normally: what it retrieved and sent may be committed from now on (at intervals, in the background).

        Returns the number of records that channel ports handed out in it. Raises what failed in the background.
        """

    def can_retrieve(self) -> bool:
        """Whether any channel input port has records now or may still get some (= not ended)."""

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until a channel input port has a record or an end, `wake`/`interrupt` is called, or the time has passed."""

    def wake(self) -> None: ...

    def interrupt(self) -> None:
        """End all waits of ports (in open, send, retrieve, deletion) and of `wait`: the member is being stopped."""

    def finish(self, outcome: Outcome) -> None:
        """After `_on_shutdown`, before `_on_port_close`: completed = flush, end markers, last commit, fact `closed`;
        interrupted = flush and commit, no ends; failed = commit up to the last good iteration, no ends. Idempotent.
        """

    def close(self) -> None:
        """Let go of all clients; idempotent; never raises."""
