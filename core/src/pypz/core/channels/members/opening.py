"""Opening the ends of ports: waits for the channels of this run, makes clients, resolves writers' schemas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from functools import partial
from typing import Any, Final

from pypz.core.channels import pool
from pypz.core.channels.ends.client_loop import ClientLoop
from pypz.core.channels.ends.decoding import Decoders
from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.ends.writer import OutputEnd
from pypz.core.channels.headers import Origin, group_of, names, partitions_of_member
from pypz.core.channels.members.membership import Membership, PortEnds
from pypz.core.channels.members.standing import Standing
from pypz.core.channels.port import Reading, Writing
from pypz.core.channels.roster import roster_key
from pypz.core.channels.spi import ChannelClient, ChannelInfo, MemberNote, tells_cause
from pypz.core.channels.status import pack
from pypz.core.codecs.spi import Codec
from pypz.core.commons.errors import ChannelGoneError

SETTLE_TIMEOUT_S: Final = 60.0
"""Seconds to settle what an older start left open (chosen)."""


class Opening:
    """Opens the ends of one member's ports."""

    def __init__(
        self,
        membership: Membership,
        standing: Standing,
        *,
        found_note: Callable[[MemberNote], None],
        tick: Callable[[pool.Address, ClientLoop], float | None],
    ) -> None:
        """Take part in a session.

        Args:
            membership: Whose ports.
            standing: What it has committed.
            found_note: Told of the note of an earlier start.
            tick: What the threads of its clients do when something is due; gives the seconds until the next time.
        """
        self._membership = membership
        self._standing = standing
        self._found_note = found_note
        self._tick = tick
        self._lock = threading.Lock()
        self._unlisten: list[Callable[[], None]] = []

    def open_input(self, ends: PortEnds, codec: Codec, timeout_s: float | None, reading: Reading) -> None:
        """Open the reading end: waits for the channel of this run."""
        m = self._membership
        ends.codec = codec
        info = self._await_channel(ends, ends.ref.channels[0], timeout_s)
        writers = m.run.writers_of(ends.port)
        size = m.run.size_of(m.member.operator)
        own = list(range(info.partitions)) if reading.has_all else partitions_of_member(info, m.ref.index, size)
        group = group_of(m.member.operator, m.ref.index, reading.has_all)
        loop = self._loop(ends)
        known = self._standing.known(ends, info, reading.has_all)
        decoders = Decoders(codec, m.hub(ends), reading.schema_timeout_s, m.is_stopped)

        def start() -> InputEnd:
            reader = loop.client.reader(info, group, own, None)
            end = InputEnd(
                info=info,
                run=m.run.id,
                writers=writers,
                reader=reader,
                changed=m.changed,
                decoder_for=decoders.of,
                tell=m.tell,
                group=group,
                policy=reading.policy,
                is_held=reading.is_held,
                retired=m.run.retired_writers(m.hub(ends), info.name, writers.now),
            )
            self._standing.found(info, end.start(own, known))
            loop.inputs[info.name] = end
            return end

        ends.input = loop.call(start)
        if reading.is_held:
            self._hold(ends, ends.input)
        self._follow(ends, ends.input, loop, has_all=reading.has_all)
        loop.wake()
        self._opened(ends)

    def _follow(self, ends: PortEnds, end: InputEnd, loop: ClientLoop, *, has_all: bool) -> None:
        """Take up partitions that are added while the run goes on; learn in which of them writers have ended unseen."""
        m = self._membership
        hub = m.hub(ends)
        name = end.info.name

        def grow() -> None:
            info = m.transport(ends).describe_channel(name)
            if info is None or info.incarnation != end.info.incarnation or info.partitions <= end.info.partitions:
                return
            size = m.run.size_of(m.member.operator)
            own = list(range(info.partitions)) if has_all else partitions_of_member(info, m.ref.index, size)
            new = [number for number in own if number not in end.places]
            end.add(info, loop.client.reader(info, end.group, new, None) if new else None, new)

        def look(keys: Iterable[str]) -> None:
            writers = closing_keys(end)
            if any(key.startswith(f"roster/{m.run.id}/") for key in keys):
                with m.changed:
                    end.expect(m.run.writers_of(ends.port))
                    m.changed.notify_all()
                writers = closing_keys(end)
                keys = [*keys, *writers]  # some may have closed before it was known that they are expected
            for key in keys:
                fact = hub.value(key) if key in writers else {}
                if fact.get("run") == m.run.id:
                    with m.changed:
                        for writer in writers[key]:
                            known = (fact.get("partitions") or {}).get(writer.rsplit("/", 1)[1], {}).get(name)
                            if isinstance(known, int):
                                end.writer_closed(writer, known)
                        m.changed.notify_all()
            if f"channel/{name}" in keys:
                fact = hub.value(f"channel/{name}")
                if fact.get("run") == m.run.id and fact.get("partitions", 0) > end.info.partitions:
                    loop.post(grow)

        end.more_partitions = lambda: loop.post(grow)
        self._unlisten.append(hub.listen(look))
        look([*closing_keys(end), f"channel/{name}", roster_key(m.run.id, 0)])

    def _hold(self, ends: PortEnds, end: InputEnd) -> None:
        """Let go of an end once the last of its writers has said that it has ended."""
        m = self._membership
        hub = m.hub(ends)

        def look(keys: frozenset[str]) -> None:
            if end.is_held and not m.run.not_closed(hub, m.run.writing_members(ends.port)):
                with m.changed:
                    end.is_held = False
                    m.changed.notify_all()

        self._unlisten.append(hub.listen(look))
        look(frozenset())

    def await_writers(self, ends: PortEnds, timeout_s: float | None, *, everyone: bool) -> None:
        """Wait until one of the writers connected to an input port has joined the run, or every one.

        Raises:
            TransportTimeoutError: Not within ``timeout_s``; names those that have not.
        """
        m = self._membership
        hub = m.hub(ends)

        def absent() -> list[str]:
            gone = m.run.not_closed(hub, m.run.writing_members(ends.port))
            return [w for w in sorted(gone) if hub.value(f"joined/{w}").get("run") != m.run.id]

        if m.run.writing_members(ends.port):
            hub.wait_for(
                lambda: True if len(absent()) < (1 if everyone else len(m.run.writing_members(ends.port))) else None,
                what=lambda: (
                    f"{'every writer' if everyone else 'a writer'} of channel {ends.ref.channels[0]!r}: "
                    f"{'' if everyone else 'none of '}{names(absent())} has {'not ' if everyone else ''}joined the run"
                ),
                timeout_s=timeout_s,
                stopped=m.is_stopped,
                tell=m.tell,
            )

    def close(self) -> None:
        """Look for ends of writers no more."""
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()

    def open_output(self, ends: PortEnds, codec: Codec, timeout_s: float | None, writing: Writing) -> None:
        """Open the writing ends: waits for the channels of this run; the schema is known before the first block."""
        m = self._membership
        ends.codec = codec
        hub = m.hub(ends)
        key = f"schema/{codec.fingerprint}"
        if key not in hub.facts():
            hub.put(key, pack(content_type=codec.content_type, schema=codec.schema_text))
        if not ends.ref.channels:
            m.tell(f"port {ends.ref.name!r} is connected to nothing: what it sends goes nowhere; connect() it")
        loop = self._loop(ends)
        for name in ends.ref.channels:
            info = self._await_channel(ends, name, timeout_s)
            epoch = m.epochs.get(ends.address[0], 0)
            ends.outputs[name] = OutputEnd(
                loop.client.writer(info),
                info,
                Origin(m.run.id, f"{m.member.key}/{ends.ref.name}", epoch, info.incarnation),
                codec,
                linger_s=writing.linger_s,
                send_timeout_s=writing.send_timeout_s,
                wake=loop.client.wake,
                stopped=m.is_stopped,
                last_cause=partial(_last_cause, loop.client),
                first_partition=m.ref.index,
                framing=writing.framing,
                clock=m.clock,
            )
            self._grow(ends, ends.outputs[name], loop)
        self._opened(ends)

    def _grow(self, ends: PortEnds, output: OutputEnd, loop: ClientLoop) -> None:
        """Write to partitions, too, that are added while the run goes on: the fact comes after their readers' share is settled."""
        m = self._membership
        hub, key = m.hub(ends), f"channel/{output.info.name}"

        def look(keys: Iterable[str]) -> None:
            fact = hub.value(key) if key in keys else {}
            partitions = fact.get("partitions", 0)
            if fact.get("run") != m.run.id or fact.get("incarnation") != output.info.incarnation:
                return
            if partitions > output.info.partitions:
                info = replace(output.info, partitions=partitions)
                loop.post(lambda: output.grow(loop.client.writer(info), info))

        self._unlisten.append(hub.listen(look))
        look([key])

    # --- below ---

    def _loop(self, ends: PortEnds) -> ClientLoop:
        with self._lock:
            return self._membership.loops.get(ends.address) or self._open_loop(ends)

    def _open_loop(self, ends: PortEnds) -> ClientLoop:
        m = self._membership
        epoch = m.epochs.get(ends.address[0], 0)
        client = m.transport(ends).open_client(m.member, epoch, m.guarantee)
        note = client.settle(SETTLE_TIMEOUT_S)
        if ends.address == m.home and note is not None:
            self._found_note(note)
        found = ClientLoop(
            client, m.ref.name, m.changed, lambda: self._tick_of(ends.address), m.fail, self._tell_earlier, m.clock
        )
        m.loops[ends.address] = found
        return found

    def _tick_of(self, address: pool.Address) -> float | None:
        loop = self._membership.loops.get(address)
        return self._tick(address, loop) if loop is not None else 0.05

    def _tell_earlier(self, end: InputEnd) -> None:
        self._membership.tell(
            f"channel {end.info.name!r}: goes on with {end.earlier_run} entries that an earlier run left unread"
        )

    def _await_channel(self, ends: PortEnds, name: str, timeout_s: float | None) -> ChannelInfo:
        """Wait for the entry ``channel`` of this run: a topic alone may be left over, or just being deleted."""
        m = self._membership
        hub = m.hub(ends)

        def look() -> dict[str, Any] | None:
            value = hub.value(f"channel/{name}")
            return value if value.get("run") == m.run.id else None

        fact = hub.wait_for(
            look,
            what=lambda: f"channel {name!r}, which its reader {name.rsplit('.', 1)[0]!r} makes",
            timeout_s=timeout_s,
            stopped=m.is_stopped,
            tell=m.tell,
        )
        info = m.transport(ends).describe_channel(name)
        if info is None or info.incarnation != fact["incarnation"]:
            raise ChannelGoneError(f"channel {name!r} of this run was deleted by somebody else")
        return replace(info, is_unbounded=fact.get("unbounded") is True)

    def _opened(self, ends: PortEnds) -> None:
        ends.state = "open"
        self._membership.host.port_opened(ends.ref)
        loop = self._membership.loops.get(ends.address)
        if loop is not None:
            loop.wake()


def closing_keys(end: InputEnd) -> dict[str, list[str]]:
    """Keys of the facts that say that writers have closed, and the writers of whom they say it."""
    found: dict[str, list[str]] = {}
    for writer in end.writers.now:
        found.setdefault(f"closed/{writer.rsplit('/', 1)[0]}", []).append(writer)
    return found


def _last_cause(client: ChannelClient) -> str:
    return client.last_cause() if tells_cause(client) else ""
