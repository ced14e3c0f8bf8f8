"""One member's channels during one execution: what executor and ports share."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from pypz.core.channels import pool
from pypz.core.channels.client_loop import ClientLoop, seconds_until
from pypz.core.channels.headers import Origin, names, partitions_of_member
from pypz.core.channels.linger import timer
from pypz.core.channels.port import ChannelPort
from pypz.core.channels.reader import InputEnd
from pypz.core.channels.spi import ChannelInfo, ChannelSpec, Committed, Guarantee, Member, Transport, Unit
from pypz.core.channels.status import StatusHub, pack
from pypz.core.channels.writer import OutputEnd
from pypz.core.codecs.spi import Codec, Decoder
from pypz.core.commons.errors import (
    ChannelGoneError,
    DecodeError,
    FencedError,
    PortClosedError,
    PypzError,
    RetriableError,
    RunConflictError,
    SchemaError,
    TransportTimeoutError,
    WokenError,
)
from pypz.core.commons.parameters import given_value
from pypz.core.hooks.events import ChannelStatus, OperatorRef, PortRef
from pypz.core.hooks.loader import say
from pypz.core.specs.instance import Internals
from pypz.core.specs.plugin import LoggerPlugin

if TYPE_CHECKING:
    from pypz.core.channels.run import PipelineRun
    from pypz.core.specs.operator import Operator

Outcome = Literal["completed", "interrupted", "failed"]

STATUS_INTERVAL_S: Final = 0.5
"""Seconds between two figures of a port (design 2: twice a second at most)."""
COMMIT_TIMEOUT_S: Final = 10.0
"""Seconds that one flush or commit in the background may take before it is tried again (chosen)."""
ADMIN_TIMEOUT_S: Final = 60.0
"""Seconds to make or delete a channel (chosen: three times Kafka's usual worst)."""
SCHEMA_TIMEOUT_S: Final = 30.0
"""Seconds to wait for the fact of a schema (semantics: schemaTimeoutMs)."""


class _Ends:
    """The ends of one port."""

    def __init__(self, port: ChannelPort, ref: PortRef, address: pool.Address) -> None:
        self.port = port
        self.ref = ref
        self.address = address
        self.input: InputEnd | None = None
        self.outputs: dict[str, OutputEnd] = {}
        self.codec: Codec | None = None
        self.state: Literal["opening", "open", "ended", "closed", "failed"] = "opening"
        self.told: dict[str, ChannelStatus] = {}
        self.told_at: dict[str, float] = {}
        self.decoders: dict[tuple[str, str], Decoder] = {}


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
        self.already_closed = False
        self.fenced = False
        self.outcome: Outcome | None = None
        self.deletes_only = deletes_only
        """Whether the execution only deletes channels, whatever run they are of."""
        self._run = run
        self.host = run.host
        self._operator = operator
        self._member = member
        self._is_joining = is_joining
        self._has_logger = operator._pypz_own_logger is not None or any(
            isinstance(plugin, LoggerPlugin) for plugin in Internals(operator).nested_instances.values()
        )
        self._changed = threading.Condition()
        self._interrupted = False
        self._woken = False
        self._closed = False
        self._failure: Exception | None = None
        self._loops: dict[pool.Address, ClientLoop] = {}
        self._epochs: dict[str, int] = {}
        self._unlisten: list[Callable[[], None]] = []
        self._handed = 0
        self._in_iteration = False
        self._due: dict[tuple[str, int], Committed] = {}
        self._marks: dict[str, tuple[int, int]] = {}
        self._commit_at: float | None = None
        self._commit_interval_s = _milliseconds(operator, "commitIntervalMs", 100)
        self._drain_s = _milliseconds(operator, "drainTimeoutMs", 10_000)
        self._committing = threading.Lock()
        self._opening = threading.Lock()
        self._trouble_told = float("-inf")
        self._quiet: set[pool.Address] = set()
        self._ends: dict[ChannelPort, _Ends] = {}
        for port in ports:
            location, options = port.transport_location(), port.transport_options()
            assert location is not None, "required parameters were checked"
            name = str(port.get_simple_name())
            channels = tuple(run.prefixed(channel) for channel in port.channel_names())
            self._ends[port] = _Ends(
                port, PortRef(ref, name, port.direction, channels), pool.address_of(location, options)
            )
        self._ends_by_id = {id(port): ends for port, ends in self._ends.items()}
        self.has_channel_inputs = any(port.direction == "in" for port in ports)

    # --- joining ---

    def join(self) -> None:
        """Write ``joined`` at each location used; learn whether this member has ended in this run already."""
        for hub in self._hubs():
            closed = hub.value(f"closed/{self._member.key}")
            if closed.get("run") == self._run.id or self._run.retired_from(hub, self._member.key) is not None:
                self.already_closed = True
                return
        if self._is_joining:
            value = pack(run=self._run.id, start=self._member.start, host=self.ref.host, process=self.ref.process)
            for hub in self._hubs():
                self._epochs[self._location_of(hub)] = hub.join(self._member, value)
                self._unlisten.append(hub.listen(partial(self._look_for_successors, hub)))
        for ends in self._ends.values():
            ends.port.bind(self)

    def _look_for_successors(self, hub: StatusHub, keys: frozenset[str]) -> None:
        """On a hub's thread: stop when a later start of this member, or a run that supersedes ours, has appeared."""
        joined = f"joined/{self._member.key}"
        is_replaced = False
        if joined in keys:
            position, mine = hub.position(joined), self._epochs.get(self._location_of(hub))
            is_later = position is not None and mine is not None and position > mine
            is_replaced = is_later and hub.value(joined).get("start") != self._member.start
        if not is_replaced and any(key.startswith("run/") for key in keys):
            is_replaced = self._run.is_superseded(hub)
        if is_replaced:
            self.fenced = True
            self.fail(FencedError(f"{self.ref.name}: a later start of this member, or of the pipeline, has taken over"))

    # --- executor ---

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
        self._raise_failure()
        self._in_iteration = False
        for ends in self._ends.values():
            for output in ends.outputs.values():
                output.mark_iteration()
        if self.has_channel_inputs:
            with self._changed:
                self._mark()
        return self._handed

    def can_retrieve(self) -> bool:
        """Whether any channel input port has records now, or may still get some."""
        return any(self.port_can_retrieve(port) for port, ends in self._ends.items() if ends.input is not None)

    def wait(self, timeout_s: float | None) -> None:
        """Sleep until an input port has a record or an end, `wake` or `interrupt` is called, or the time has passed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        began = told = time.monotonic()
        with self._changed:
            while not (self._woken or self._interrupted or self._failure or self._has_news()):
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return
                if now - told >= 30:  # house rule: a wait for others says so every 30 s
                    told = now
                    self.tell(f"waits since {now - began:.0f} s for records or the end of {self._waited_for()}")
                until = told + 30 if deadline is None else min(told + 30, deadline)
                self._changed.wait(until - now)
            self._woken = False

    def wake(self) -> None:
        """End a `wait`."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()

    def interrupt(self) -> None:
        """End all waits of this member, now and from now on: it is being stopped. Called from any thread, never waits long."""
        self._interrupted = True
        with self._changed:
            self._changed.notify_all()
        for hub in self._hubs():
            hub.poke()
        for loop in list(self._loops.values()):
            loop.client.wake()

    def finish(self, outcome: Outcome) -> None:
        """After `_on_shutdown`: what is left is sent and committed, and if the member has ended by itself it says so.

        Raises:
            TransportError: Something could not be sent or committed; then no end was written, a restart goes on from there.
        """
        if self.outcome is not None:
            return
        self.outcome = outcome
        if self.fenced:
            return
        if self._in_iteration or outcome == "failed":
            for output in self._outputs():
                output.drop_unfinished()
        if outcome == "failed":
            if self._failure is None:
                try:
                    self._try_commit(wait=False)
                except PypzError as error:
                    self._tell_trouble(error)
            return
        self._raise_failure()
        self._interrupted = False  # the last unit may wait for the transport, within a bound
        if outcome == "interrupted":
            timer.call_in(self._drain_s, self._give_up)
        for output in self._outputs():
            if outcome == "completed":
                output.write_ends()
            else:
                output.send_pending(wait=True)
        if not self._in_iteration:
            with self._changed:
                self._mark()
        self._commit_rest()
        if outcome == "completed":
            self._tell_figures(final=True)
            if self._is_joining:
                self._write_closed()

    def _give_up(self) -> None:
        """On the timer's thread: the time to drain has passed."""
        if not self._closed:
            self.interrupt()

    def close(self) -> None:
        """Let go of all clients; idempotent; never raises."""
        self._closed = True
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()
        for ends in self._ends.values():
            ends.port.bind(None)
            for output in ends.outputs.values():
                output.close()
        for loop in self._loops.values():
            loop.close(10.0)
        self._loops.clear()
        self._run.left(self)

    # --- ports: channels ---

    def create_channel(self, port: ChannelPort, partitions: int, options: dict[str, str]) -> None:
        """Make the channel of an input port, and tell the run of it. The reading principal's task."""
        ends = self._ends[port]
        spec = ChannelSpec(ends.ref.channels[0], partitions, options)
        info = self._transport(ends).create_channel(spec, ADMIN_TIMEOUT_S)
        value = pack(run=self._run.id, incarnation=info.incarnation, partitions=info.partitions)
        self._hub(ends).put(f"channel/{info.name}", value)

    def delete_channel(self, port: ChannelPort, *, whatever_run: bool) -> None:
        """Delete the channel of an input port once every reader and writer of the run has ended.

        Returns at once, and deletes nothing, in a run where this member was interrupted or failed.
        """
        ends = self._ends[port]
        name = ends.ref.channels[0]
        hub = self._hub(ends)
        if whatever_run:
            for run in self._run.open_runs(hub):
                if run != self._run.id and hub.wait_alive(run, 2.5):
                    raise RunConflictError(
                        f"channel {name!r} is in use: run {run} of this pipeline is alive; stop it first, then delete"
                    )
        elif self.outcome != "completed" or self._interrupted:
            return
        else:
            try:
                hub.wait_for(
                    lambda: None if self._run.not_closed(hub, self._run.members_at(port)) else True,
                    what=lambda: "the end of " + names(self._run.not_closed(hub, self._run.members_at(port))),
                    stopped=self._is_stopped,
                    tell=self.tell,
                )
            except WokenError:
                return
        info = self._transport(ends).describe_channel(name)
        if info is not None:
            self._transport(ends).delete_channel(info, ADMIN_TIMEOUT_S)
        hub.put(f"channel/{name}", None)

    def open_input(self, port: ChannelPort, codec: Codec, timeout_s: float | None) -> None:
        """Open the reading end: waits for the channel of this run."""
        ends = self._ends[port]
        ends.codec = codec
        info = self._await_channel(ends, ends.ref.channels[0], timeout_s)
        writers = self._run.writers_of(port)
        own = partitions_of_member(info, self.ref.index, self._run.size_of(self._member.operator))
        loop = self._loop(ends)

        def start() -> InputEnd:
            reader = loop.client.reader(info, self._member.operator, own, None)
            end = InputEnd(
                info=info,
                run=self._run.id,
                writers=writers,
                reader=reader,
                changed=self._changed,
                decoder_for=lambda content, schema: self._decoder(ends, content, schema),
                tell=self.tell,
                retired=self._run.retired_writers(self._hub(ends), info.name, writers),
            )
            end.start(own)
            loop.inputs[info.name] = end
            return end

        ends.input = loop.call(start)
        loop.wake()
        self._opened(ends)

    def await_writer(self, port: ChannelPort, timeout_s: float) -> None:
        """Wait until one of the writers connected to an input port has joined the run (``portOpenTimeoutMs``)."""
        ends = self._ends[port]
        hub = self._hub(ends)
        members = self._run.writing_members(port)
        if members:
            hub.wait_for(
                lambda: True if any(hub.value(f"joined/{m}").get("run") == self._run.id for m in members) else None,
                what=lambda: (
                    f"a writer of channel {ends.ref.channels[0]!r}: none of {names(members)} has joined the run"
                ),
                timeout_s=timeout_s,
                stopped=self._is_stopped,
                tell=self.tell,
            )

    def open_output(
        self, port: ChannelPort, codec: Codec, timeout_s: float | None, linger_s: float, send_timeout_s: float
    ) -> None:
        """Open the writing ends: waits for the channels of this run; the schema is known before the first block."""
        ends = self._ends[port]
        ends.codec = codec
        hub = self._hub(ends)
        key = f"schema/{codec.fingerprint}"
        if key not in hub.facts():
            hub.put(key, pack(content_type=codec.content_type, schema=codec.schema_text))
        if not ends.ref.channels:
            self.tell(f"port {ends.ref.name!r} is connected to nothing: what it sends goes nowhere; connect() it")
        for name in ends.ref.channels:
            info = self._await_channel(ends, name, timeout_s)
            loop = self._loop(ends)
            epoch = self._epochs.get(self._location_of(hub), 0)
            ends.outputs[name] = OutputEnd(
                loop.client.writer(info),
                info,
                Origin(self._run.id, f"{self._member.key}/{ends.ref.name}", epoch, info.incarnation),
                codec,
                linger_s=linger_s,
                send_timeout_s=send_timeout_s,
                wake=loop.client.wake,
                stopped=self._is_stopped,
                last_cause=lambda: "",
                first_partition=self.ref.index,
            )
        self._opened(ends)

    def max_block(self, port: ChannelPort) -> int:
        """Largest block that all channels of an output port take, in bytes."""
        ends = self._ends[port]
        limit = self._transport(ends).capabilities.max_block
        return min((end.info.max_block or limit for end in ends.outputs.values()), default=limit)

    def outputs_of(self, port: ChannelPort) -> Sequence[OutputEnd]:
        """The writing ends of a port.

        Raises:
            TransportError: What failed in the background.
        """
        self._raise_failure()
        self._stir()
        return list(self._ends_of(port).outputs.values())

    def close_port(self, port: ChannelPort) -> None:
        """The port takes part no more."""
        ends = self._ends[port]
        for output in ends.outputs.values():
            output.close()
        if ends.state in ("open", "ended"):
            ends.state = "failed" if self.outcome == "failed" else "closed"
            self._tell_figures(final=True)
            self._run.host.port_closed(ends.ref)

    # --- ports: records ---

    def _ends_of(self, port: ChannelPort) -> _Ends:
        """As ``_ends[port]``, for each call of `send` and `retrieve`: a port's hash is made of its full name."""
        return self._ends_by_id.get(id(port)) or self._ends[port]

    def retrieve(self, port: ChannelPort, at_most: int, timeout_s: float) -> list[Any]:
        """Hand out records of an input port that are here; waits for the first at most ``timeout_s``."""
        self._raise_failure()
        end = self._ends_of(port).input
        if end is None:
            raise PortClosedError(f"{self.ref.name}.{self._ends[port].ref.name}: the port is not open")
        if timeout_s > 0:
            with self._changed:
                self._changed.wait_for(
                    lambda: end.has_records() or end.has_ended() or self._interrupted or self._failure is not None,
                    min(timeout_s, threading.TIMEOUT_MAX),
                )
        found = end.take(at_most)
        self._handed += len(found)
        if found:
            self._stir()
            if end.paused and end.wants_more():
                self._loop(self._ends[port]).wake()
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
        self._raise_failure()
        with self._changed:
            self._mark()
        self._commit_rest()

    # --- commits ---

    def _mark(self) -> None:
        """Note what is due for commit; with the lock held."""
        moved = False
        for ends in self._ends.values():
            if ends.input is not None:
                ends.input.has_records()  # passes over ends that are next
                mark = ends.input.mark()
                if mark.committed:
                    moved = True
                    self._due.update(mark.committed)
                    self._marks[ends.input.info.name] = mark.consumed, mark.records
        if moved and self._commit_at is None:
            self._commit_at = time.monotonic() + self._commit_interval_s
            first = next(iter(self._loops.values()), None)
            if first is not None:
                first.wake()

    def _commit_rest(self) -> None:
        """Flush and commit all that is due, from the operator's thread, within the deadlines of sends."""
        deadline = time.monotonic() + 2 * ADMIN_TIMEOUT_S
        while True:
            try:
                if self._try_commit(wait=True):
                    return
            except (RetriableError, TransportTimeoutError) as error:
                if time.monotonic() > deadline or self._is_stopped():
                    raise
                self._tell_trouble(error)

    def _try_commit(self, *, wait: bool) -> bool:
        """Flush every output of every transport, only then commit positions, one transport after another."""
        with self._committing:
            with self._changed:
                due, self._due = self._due, {}
                marks = dict(self._marks)
            try:
                for output in self._outputs():
                    if not output.send_pending(wait):
                        self._put_back(due)
                        return False
                for loop in list(self._loops.values()):
                    loop.client.flush(COMMIT_TIMEOUT_S)
                for loop in list(self._loops.values()):
                    positions = {key: value for key, value in due.items() if key[0] in loop.inputs}
                    if positions:
                        self._commit_on(loop, Unit(positions))
            except BaseException:
                self._put_back(due)
                raise
            with self._changed:
                self._commit_at = time.monotonic() + self._commit_interval_s if self._due else None
                for ends in self._ends.values():
                    if ends.input is not None and ends.input.info.name in marks:
                        ends.input.committed_entries, ends.input.committed_records = marks[ends.input.info.name]
            return True

    @staticmethod
    def _commit_on(loop: ClientLoop, unit: Unit) -> None:
        loop.call(lambda: loop.client.commit(unit, COMMIT_TIMEOUT_S))

    def _put_back(self, due: dict[tuple[str, int], Committed]) -> None:
        with self._changed:
            self._due = {**due, **self._due}

    def _tick(self, address: pool.Address, loop: ClientLoop) -> float | None:
        """On a client's thread: commit when due (the first client's), tell figures; gives the seconds until the next."""
        now = time.monotonic()
        is_first = next(iter(self._loops.values()), None) is loop
        if is_first and self._commit_at is not None and now >= self._commit_at and self.outcome is None:
            if self._committing.locked():
                self._commit_at = now + 0.02
            else:
                try:
                    if not self._try_commit(wait=False):
                        self._commit_at = now + 0.02
                except (RetriableError, TransportTimeoutError) as error:
                    self._commit_at = time.monotonic() + 1.0
                    self._tell_trouble(error)
        self._quiet.add(address)
        dues = [
            self._tell_figures_of(ends) for ends in list(self._ends.values()) if self._loops.get(ends.address) is loop
        ]
        if is_first:
            dues.append(self._commit_at)
        due = min((due for due in dues if due is not None), default=None)
        if due is not None:
            self._quiet.discard(address)
        return seconds_until(due)

    def _stir(self) -> None:
        """Records move: have sleeping clients' threads tell the figures again."""
        while self._quiet:
            loop = self._loops.get(self._quiet.pop())
            if loop is not None:
                loop.wake()

    def _tell_trouble(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._trouble_told >= 30:
            self._trouble_told = now
            self.tell(f"cannot commit yet, tries on: {error}")

    # --- figures ---

    def _tell_figures(self, *, final: bool) -> None:
        for ends in self._ends.values():
            self._tell_figures_of(ends, at_once=final)

    def _tell_figures_of(self, ends: _Ends, at_once: bool = False) -> float | None:
        """Tell the figures of a port that changed; gives the moment when it may tell again, None: when something happens."""
        next_due: float | None = None
        for status in self._figures(ends):
            told = ends.told.get(status.channel)
            if told is not None and _same(told, status):
                continue
            moment = ends.told_at.get(status.channel, float("-inf")) + STATUS_INTERVAL_S
            now = time.monotonic()
            if now < moment and not at_once and told is not None and told.state == status.state:
                next_due = moment if next_due is None else min(moment, next_due)
                continue
            ends.told[status.channel] = status
            ends.told_at[status.channel] = now
            self._run.host.channel_status(status)
            next_due = now + STATUS_INTERVAL_S
        return next_due

    def _figures(self, ends: _Ends) -> list[ChannelStatus]:
        end = ends.input
        if end is not None:
            on_loop = self._loops.get(ends.address)
            entries, records = on_loop.call(lambda: (end.lag_entries(), end.lag_records())) if on_loop else (None, None)
            with self._changed:
                waits_for = "" if end.has_records() else end.waiting_for()
            return [
                ChannelStatus(
                    ends.ref,
                    end.info.name,
                    ends.state,
                    end.records,
                    end.blocks,
                    end.size_bytes,
                    entries,
                    records,
                    waits_for,
                    time.time(),
                )
            ]
        return [
            ChannelStatus(ends.ref, name, ends.state, out.records, out.blocks, out.size_bytes, at_utc=time.time())
            for name, out in ends.outputs.items()
        ]

    def _write_closed(self) -> None:
        statuses = [status.to_json() for ends in self._ends.values() for status in ends.told.values()]
        for hub in self._hubs():
            hub.put(f"closed/{self._member.key}", pack(run=self._run.id, start=self._member.start, statuses=statuses))

    # --- below ---

    def tell(self, text: str) -> None:
        """Warn in the operator's name: in its log, and on stderr where it has none."""
        logger = self._operator.get_logger()
        logger.warning(text)
        if not self._has_logger:
            say(f"{self.ref.name}: {text}")

    def fail(self, error: Exception) -> None:
        """Make the member fail with ``error`` at its next call; ends its waits."""
        with self._changed:
            if self._failure is None:
                self._failure = error
            self._changed.notify_all()
        for hub in self._hubs():
            hub.poke()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _is_stopped(self) -> bool:
        return self._interrupted or self._failure is not None

    def _has_news(self) -> bool:
        inputs = [ends.input for ends in self._ends.values() if ends.input is not None]
        return any(end.has_records() for end in inputs) or (bool(inputs) and all(end.has_ended() for end in inputs))

    def _waited_for(self) -> str:
        return names({ends.input.waiting_for() for ends in self._ends.values() if ends.input is not None} - {""})

    def _outputs(self) -> list[OutputEnd]:
        return [output for ends in self._ends.values() for output in ends.outputs.values()]

    def _transport(self, ends: _Ends) -> Transport:
        return self._run.transport(ends.address)

    def _hub(self, ends: _Ends) -> StatusHub:
        return self._run.hub(ends.address[0])

    def _hubs(self) -> list[StatusHub]:
        if self._closed:
            return []
        return [self._run.hub(location) for location in dict.fromkeys(ends.address[0] for ends in self._ends.values())]

    def _location_of(self, hub: StatusHub) -> str:
        return next(ends.address[0] for ends in self._ends.values() if self._hub(ends) is hub)

    def _loop(self, ends: _Ends) -> ClientLoop:
        with self._opening:
            return self._loops.get(ends.address) or self._open_loop(ends)

    def _open_loop(self, ends: _Ends) -> ClientLoop:
        epoch = self._epochs.get(ends.address[0], 0)
        client = self._transport(ends).open_client(self._member, epoch, Guarantee.AT_LEAST_ONCE)
        client.settle(ADMIN_TIMEOUT_S)
        found = ClientLoop(
            client, self.ref.name, self._changed, lambda: self._tick_of(ends.address), self.fail, self._tell_earlier
        )
        self._loops[ends.address] = found
        return found

    def _tick_of(self, address: pool.Address) -> float | None:
        loop = self._loops.get(address)
        return self._tick(address, loop) if loop is not None else 0.05

    def _tell_earlier(self, end: InputEnd) -> None:
        self.tell(f"channel {end.info.name!r}: goes on with {end.earlier_run} entries that an earlier run left unread")

    def _await_channel(self, ends: _Ends, name: str, timeout_s: float | None) -> ChannelInfo:
        """Wait for the entry ``channel`` of this run: a topic alone may be left over, or just being deleted."""
        hub = self._hub(ends)

        def look() -> dict[str, Any] | None:
            value = hub.value(f"channel/{name}")
            return value if value.get("run") == self._run.id else None

        fact = hub.wait_for(
            look,
            what=lambda: f"channel {name!r}, which its reader {name.rsplit('.', 1)[0]!r} makes",
            timeout_s=timeout_s,
            stopped=self._is_stopped,
            tell=self.tell,
        )
        info = self._transport(ends).describe_channel(name)
        if info is None or info.incarnation != fact["incarnation"]:
            raise ChannelGoneError(f"channel {name!r} of this run was deleted by somebody else")
        return info

    def _opened(self, ends: _Ends) -> None:
        ends.state = "open"
        self._run.host.port_opened(ends.ref)
        loop = self._loops.get(ends.address)
        if loop is not None:
            loop.wake()

    def _decoder(self, ends: _Ends, content_type: str, fingerprint: str) -> Decoder:
        """Get what decodes blocks of one writer's schema; asked once per schema."""
        codec = ends.codec
        assert codec is not None
        found = ends.decoders.get((content_type, fingerprint))
        if found is None:
            if content_type != codec.content_type:
                raise DecodeError(f"holds {content_type!r}, the port reads {codec.content_type!r}")
            hub = self._hub(ends)
            if fingerprint == codec.fingerprint:
                text = codec.schema_text
            else:
                fact = hub.wait_for(
                    lambda: hub.value(f"schema/{fingerprint}") or None,
                    what=lambda: f"the schema {fingerprint} of a block",
                    timeout_s=SCHEMA_TIMEOUT_S,
                    stopped=self._is_stopped,
                )
                text = str(fact["schema"])
            try:
                found = codec.decoder(text)
            except SchemaError as error:
                raise DecodeError(f"its writer's schema does not resolve: {error}") from error
            ends.decoders[content_type, fingerprint] = found
        return found


def _same(one: ChannelStatus, other: ChannelStatus) -> bool:
    return (one.state, one.records, one.blocks, one.lag_entries, one.lag_records, one.waits_for) == (
        other.state,
        other.records,
        other.blocks,
        other.lag_entries,
        other.lag_records,
        other.waits_for,
    )


def _milliseconds(operator: Operator, name: str, default: int) -> float:
    """Read an operator parameter given in milliseconds, as seconds."""
    value = given_value(operator, name)
    return (default if value is None else int(value)) / 1000


def own_host() -> tuple[str, int]:
    """Host name and process id, for display."""
    return socket.gethostname(), os.getpid()
