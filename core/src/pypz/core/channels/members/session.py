"""One member's channels during one execution: what executor and ports call."""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pypz.core.channels import pool
from pypz.core.channels.ends.client_loop import ClientLoop
from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.ends.writer import OutputEnd
from pypz.core.channels.headers import names
from pypz.core.channels.members import channel_life
from pypz.core.channels.members.checkpoints import Checkpoints
from pypz.core.channels.members.commits import Commits
from pypz.core.channels.members.figures import Figures
from pypz.core.channels.members.joining import Joining
from pypz.core.channels.members.membership import Membership, Outcome, PortEnds
from pypz.core.channels.members.opening import Opening
from pypz.core.channels.members.redelivery import Redelivery
from pypz.core.channels.members.standing import Standing
from pypz.core.channels.port import ChannelPort, Reading, Writing
from pypz.core.channels.spi import Guarantee, Member, tells_cause
from pypz.core.codecs.spi import Codec
from pypz.core.commons.clock import LONGEST_WAIT_S, Clock, OperatorClock
from pypz.core.commons.errors import DecodeError, PortClosedError, PypzError
from pypz.core.commons.parameters import given_value
from pypz.core.commons.secrets import conceal
from pypz.core.hooks.events import OperatorRef

if TYPE_CHECKING:
    from pypz.core.channels.runs.run import PipelineRun
    from pypz.core.specs.operator import Operator

SILENT_S: Final = 60.0
"""Seconds beyond its longest wait after which a client's thread counts as stuck (chosen: some commits' time)."""

__all__ = ["MemberSession", "Outcome", "own_host"]


class MemberSession:
    """Made by `PipelineRun.enter`; every member has one, with channel ports or without.

    The executor calls `iteration_started` and `iteration_ended` around `_on_running`, `finish` between `_on_shutdown` and
    `_on_port_close`, `close` at the very end. The ports call the rest.
    """

    def __init__(
        self,
        run: PipelineRun,
        operator: Operator,
        ref: OperatorRef,
        member: Member,
        ports: Sequence[ChannelPort],
        *,
        is_joining: bool,
        deletes_only: bool = False,
    ) -> None:
        self.ref = ref
        self.host = run.host
        self.already_closed = False
        self.owes_deletion = False
        """Whether the member has ended before and was killed before it had deleted its channels."""
        self.deletes_only = deletes_only
        """Whether the execution only deletes channels, whatever run they are of."""
        self.has_channel_inputs = any(port.direction == "in" for port in ports)
        self._run = run
        self._is_joining = is_joining
        self._drain_s = _milliseconds(operator, "drainTimeoutMs", 10_000)
        self._membership = Membership(run, operator, ref, member, ports)
        self._changed = self._membership.changed
        self._clock = run.clock
        self._ends = self._membership.ends
        self._ends_by_id = {id(port): ends for port, ends in self._ends.items()}
        self._joining = Joining(self._membership)
        self._figures = Figures(self._membership)
        self._checkpoints = Checkpoints(self._membership)
        standing = Standing(self._membership)
        self._commits = Commits(
            self._membership, self._checkpoints, standing, _milliseconds(operator, "commitIntervalMs", 100)
        )
        self._opening = Opening(self._membership, standing, found_note=self._checkpoints.found, tick=self._tick)
        self._woken = False
        self._redelivery: Redelivery | None = None
        """Made with the first port whose errorPolicy asks for it."""
        self._handed = 0
        self._sent = 0
        self._in_iteration = False

    @property
    def clock(self) -> Clock:
        """By which it goes."""
        return self._clock

    @property
    def fenced(self) -> bool:
        """Whether a later start of this member, or of the pipeline, has taken over."""
        return self._membership.is_fenced

    @property
    def outcome(self) -> Outcome | None:
        """How the operation has ended; None before."""
        return self._membership.outcome

    # --- executor ---

    def join(self) -> None:
        """Enter the run at each location used, unless this member has ended in it already."""
        if self._joining.has_closed():
            self.already_closed = True
            self.owes_deletion = channel_life.owes_deletion(self._membership)
            return
        if self._is_joining:
            self._joining.join()
        vars(self._membership.operator)["_pypz_checkpoints"] = self._checkpoints
        clock = OperatorClock(self._clock, self._changed, self._membership.is_stopped)
        vars(self._membership.operator)["_pypz_clock"] = clock
        for port in self._ends:
            port.bind(self)

    def take_up_deletion(self) -> None:
        """Go on where an earlier start of this member was killed: it has ended, its channels are still to be deleted."""
        self._membership.outcome = "completed"
        self._joining.watch_run()
        for port in self._ends:
            port.bind(self)

    def iteration_started(self) -> None:
        """The executor is about to call `_on_running`."""
        self._handed = 0
        self._in_iteration = True

    def iteration_ended(self) -> int:
        """The iteration has returned: what it retrieved and sent may be committed from now on, at intervals.

        Returns:
            Records that channel ports handed out in it.

        Raises:
            TransportError: What failed in the background.
        """
        self._membership.raise_failure()
        self._in_iteration = False
        self._close_unit()
        return self._handed

    def take_sent(self) -> int:
        """Records sent since the last call."""
        before, self._sent = self._sent, sum(output.records for output in self._membership.outputs())
        return self._sent - before

    def iteration_failed(self, error: Exception) -> bool:
        """`_on_running` has raised: what it retrieved and sent is taken back where a port's ``errorPolicy`` says so.

        Returns:
            Whether the operator goes on.
        """
        if self._redelivery is None or not self._redelivery.iteration_failed(error):
            return False
        self._in_iteration = False
        self._close_unit()
        return True

    def _close_unit(self) -> None:
        for ends in self._ends.values():
            for output in ends.outputs.values():
                output.mark_iteration()
        if self.has_channel_inputs or self._checkpoints.is_open:
            self._commits.close_unit()
        if self._redelivery is not None:
            self._redelivery.unit_closed()

    def _discard_unit(self) -> None:
        for output in self._membership.outputs():
            output.drop_unfinished()
        self._checkpoints.discard()

    def can_retrieve(self) -> bool:
        """Whether any channel input port has records now, or may still get some."""
        return any(self.port_can_retrieve(port) for port, ends in self._ends.items() if ends.input is not None)

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until an input port has a record or an end, `wake` or `interrupt` is called, or the time has passed."""
        deadline = None if timeout_s is None else self._clock.now() + timeout_s
        began = told = self._clock.now()
        with self._changed:
            while not (self._woken or self._membership.is_stopped() or self._has_news()):
                if not self._in_iteration:
                    self._commits.close_unit()  # ends that have come since then belong to no iteration
                now = self._clock.now()
                if deadline is not None and now >= deadline:
                    return
                if now - told >= self._clock.tell_interval_s:
                    told = now
                    waited_for = f"{self._waited_for()}{self._last_seen()}"
                    self.tell(f"waits since {now - began:.0f} s for records or the end of {waited_for}")
                again = told + self._clock.tell_interval_s
                until = again if deadline is None else min(again, deadline)
                self._changed.wait(until - now)
            self._woken = False

    def _last_seen(self) -> str:
        """What went wrong lately at the clients of this member, as the end of a sentence; empty when nothing did."""
        clients = [loop.client for loop in list(self._membership.loops.values())]
        causes = {client.last_cause() for client in clients if tells_cause(client)} - {""}
        return f"; last seen: {'; '.join(sorted(causes))}" if causes else ""

    def wake(self) -> None:
        """End a `wait`."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def interrupt(self) -> None:
        """End all waits of this member, now and from now on: it is being stopped. Called from any thread, never waits long."""
        self._membership.is_interrupted = True
        with self._changed:
            self._changed.notify_all()
        for hub in self._membership.hubs():
            hub.poke()
        for loop in list(self._membership.loops.values()):
            loop.client.wake()

    def troubles(self) -> list[str]:
        """What keeps the member from getting on, in words; from any thread."""
        failure, trouble = self._membership.failure, self._commits.trouble
        return [*([f"has failed: {failure}"] if failure else []), *([f"cannot commit: {trouble}"] if trouble else [])]

    def silent_threads(self) -> list[str]:
        """Threads of channel clients that have ended or do not go round any more, in words; from any thread."""
        found = []
        for (location, _), loop in list(self._membership.loops.items()):
            silent_s = loop.silent_s()
            if silent_s is None or silent_s > SILENT_S:
                what = "has ended" if silent_s is None else f"has not gone round for {silent_s:.0f} s"
                found.append(f"the thread of {conceal({'channelLocation': location})['channelLocation']} {what}")
        return found

    def finish(self, outcome: Outcome) -> None:
        """After `_on_shutdown`: what is left is sent and committed, and if the member has ended by itself it says so.

        Raises:
            TransportError: Something could not be sent or committed; then no end was written, a restart goes on from there.
        """
        m = self._membership
        if m.outcome is not None:
            return
        m.outcome = outcome
        if m.is_fenced:
            return
        try:
            self._finish(outcome)
        except BaseException:
            m.outcome = "failed"  # no `closed` was written, so whoever deletes channels must not wait for it
            raise

    def _finish(self, outcome: Outcome) -> None:
        m = self._membership
        if self._in_iteration or outcome == "failed":
            for output in m.outputs():
                output.drop_unfinished()
        if outcome == "failed":
            self._commit_before_failure()
            return
        m.raise_failure()
        m.is_interrupted = False  # the last unit may wait for the transport, within a bound
        if outcome == "interrupted":
            self._clock.call_in(self._drain_s, self._give_up)
        for output in m.outputs():
            if outcome == "completed":
                output.write_ends()
            else:
                output.send_pending(wait=True)
        if not self._in_iteration:
            self._commits.close_unit()
        self._commits.commit_rest()
        if outcome == "completed":
            self._figures.tell_all()
            if self._is_joining:
                self._joining.write_closed()

    def _commit_before_failure(self) -> None:
        """Commit the units that were closed before the member failed, if that goes at once."""
        if self._membership.failure is None:
            try:
                self._commits.try_commit(wait=False)
            except PypzError as error:
                self._commits.tell_trouble(error)

    def _give_up(self) -> None:
        """On the timer's thread: the time to drain has passed."""
        if not self._membership.is_closed:
            self.interrupt()

    def close(self) -> None:
        """Let go of all clients; idempotent; never raises."""
        m = self._membership
        m.is_closed = True
        self._joining.leave()
        self._opening.close()
        vars(m.operator).pop("_pypz_checkpoints", None)
        vars(m.operator).pop("_pypz_clock", None)
        for port, ends in m.ends.items():
            port.bind(None)
            for output in ends.outputs.values():
                output.close()
        for loop in m.loops.values():
            loop.close(10.0)
        m.loops.clear()
        self._run.left(self)

    def tell(self, text: str) -> None:
        """Warn in the operator's name: in its log, and on stderr where it has none."""
        self._membership.tell(text)

    # --- ports: channels ---

    def create_channel(
        self,
        port: ChannelPort,
        partitions: int,
        options: dict[str, str],
        *,
        has_all: bool = False,
        is_held: bool = False,
    ) -> None:
        """Make the channel of an input port, and tell the run of it. The reading principal's task."""
        ends = self._ends[port]
        channel_life.create_channel(self._membership, ends, partitions, options, has_all=has_all, is_held=is_held)

    def delete_channel(self, port: ChannelPort, *, whatever_run: bool) -> None:
        """Delete the channel of an input port once every reader and writer of the run has ended.

        Returns at once, and deletes nothing, in a run where this member was interrupted or failed.
        """
        if self.already_closed and not channel_life.is_of_run(self._membership, self._ends[port]):
            return  # an earlier start of this member has deleted it
        channel_life.delete_channel(self._membership, self._ends[port], whatever_run=whatever_run)

    def open_input(self, port: ChannelPort, codec: Codec, timeout_s: float | None, reading: Reading) -> None:
        """Open the reading end: waits for the channel of this run."""
        self._opening.open_input(self._ends[port], codec, timeout_s, reading)
        if not reading.policy.is_fail and self._redelivery is None:
            self._redelivery = Redelivery(self._membership, self._discard_unit)

    def await_writers(self, port: ChannelPort, timeout_s: float | None, *, everyone: bool) -> None:
        """Wait until one of the writers connected to an input port has joined the run, or every one."""
        self._opening.await_writers(self._ends[port], timeout_s, everyone=everyone)

    def open_output(self, port: ChannelPort, codec: Codec, timeout_s: float | None, writing: Writing) -> None:
        """Open the writing ends: waits for the channels of this run; the schema is known before the first block."""
        self._opening.open_output(self._ends[port], codec, timeout_s, writing)

    def max_block(self, port: ChannelPort) -> int:
        """Largest block that all channels of an output port take, in bytes."""
        ends = self._ends[port]
        limit = self._membership.transport(ends).capabilities.max_block
        return min((end.info.max_block or limit for end in ends.outputs.values()), default=limit)

    def close_port(self, port: ChannelPort) -> None:
        """The port takes part no more."""
        ends = self._ends[port]
        for output in ends.outputs.values():
            output.close()
        if ends.state in ("open", "ended"):
            ends.state = "failed" if self.outcome == "failed" else "closed"
            self._figures.tell_all()
            if self._redelivery is not None:
                self._redelivery.port_closed(ends)
            self.host.port_closed(ends.ref)

    # --- ports: records ---

    def outputs_of(self, port: ChannelPort) -> Sequence[OutputEnd]:
        """The writing ends of a port.

        Raises:
            TransportError: What failed in the background.
        """
        self._membership.raise_failure()
        self._figures.stir()
        return list(self._ends_of(port).outputs.values())

    def retrieve(self, port: ChannelPort, at_most: int, timeout_s: float) -> list[Any]:
        """Hand out records of an input port that are here; waits for the first at most ``timeout_s``."""
        m = self._membership
        m.raise_failure()
        ends, end = self._input_of(port)
        if timeout_s > 0 and (self._redelivery is None or self._redelivery.at_most(ends, at_most)):
            with self._changed:
                self._changed.wait_for(
                    lambda: end.has_records() or end.has_ended() or m.is_stopped(), min(timeout_s, LONGEST_WAIT_S)
                )
        found = self._take(ends, end, at_most)
        if found and m.guarantee is Guarantee.AT_MOST_ONCE:
            self._commits.commit_handed_out(ends, end)
        self._handed += len(found)
        if found:
            self._figures.stir()
            if end.paused and end.wants_more():
                m.loops[ends.address].wake()
        return found

    def port_can_retrieve(self, port: ChannelPort) -> bool:
        """Whether an input port has records now, or may still get some."""
        ends = self._ends[port]
        if ends.input is None:
            return False
        with self._changed:
            if not ends.input.has_ended():
                return True
        if ends.state == "open":
            ends.state = "ended"
        return False

    def port_has_records(self, port: ChannelPort) -> bool:
        """Whether an input port has records now."""
        end = self._ends_of(port).input
        if end is None:
            return False
        with self._changed:
            return end.has_records()

    def commit_now(self) -> None:
        """Close the member's unit, all ports, and commit it before returning."""
        self._membership.raise_failure()
        self._close_unit()
        self._commits.commit_rest()

    def reject(self, port: ChannelPort, error: BaseException | str) -> None:
        """The operator cannot handle a record that an input port has handed out.

        Raises:
            RecordRejectedError: As the port's ``errorPolicy`` says.
            PortClosedError: The port is not open.
        """
        ends, end = self._input_of(port)
        redelivery = self._redelivery or Redelivery(self._membership, self._discard_unit)
        self._redelivery = redelivery
        redelivery.reject(ends, end, error)

    # --- below ---

    def _input_of(self, port: ChannelPort) -> tuple[PortEnds, InputEnd]:
        ends = self._ends_of(port)
        if ends.input is None:
            raise PortClosedError(f"{self.ref.name}.{ends.ref.name}: the port is not open")
        return ends, ends.input

    def _take(self, ends: PortEnds, end: InputEnd, at_most: int) -> list[Any]:
        redelivery = self._redelivery
        if redelivery is None:
            return end.take(at_most)
        tries = 0
        while not (tries and self._membership.is_stopped()):
            try:
                found = end.take(redelivery.at_most(ends, at_most))
            except DecodeError as error:
                redelivery.cannot_decode(ends, end, error, tries)
                tries = 0 if tries >= end.policy.retries else tries + 1
            else:
                if found:
                    redelivery.handed_out(ends, len(found))
                return found
        return []

    def _ends_of(self, port: ChannelPort) -> PortEnds:
        """As ``_ends[port]``, for each call of `send` and `retrieve`: a port's hash is made of its full name."""
        return self._ends_by_id.get(id(port)) or self._ends[port]

    def _tick(self, address: pool.Address, loop: ClientLoop) -> float | None:
        """On a client's thread: commit when due, tell figures; gives the seconds until the next."""
        commit_s = self._commits.commit_due(loop)
        figures_s = self._figures.tell_due(address, loop)
        return min((seconds for seconds in (commit_s, figures_s) if seconds is not None), default=None)

    def _has_news(self) -> bool:
        inputs = self._membership.inputs()
        return any(end.has_records() for end in inputs) or (bool(inputs) and all(end.has_ended() for end in inputs))

    def _waited_for(self) -> str:
        return names({end.waiting_for() for end in self._membership.inputs()} - {""})


def _milliseconds(operator: Operator, name: str, default: int) -> float:
    """Read an operator parameter given in milliseconds, as seconds."""
    value = given_value(operator, name)
    return (default if value is None else int(value)) / 1000


def own_host() -> tuple[str, int]:
    """Host name and process id, for display."""
    return socket.gethostname(), os.getpid()
