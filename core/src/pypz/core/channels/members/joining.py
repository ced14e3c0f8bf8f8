"""How a member enters a run, sees that a later start has taken its place, and says that it has ended."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from functools import partial
from typing import Final

from pypz.core.channels.members.membership import Membership
from pypz.core.channels.status import StatusHub, pack
from pypz.core.commons.errors import FencedError, TransportError

ECHO_S: Final = 5.0
"""Seconds that a member which has ended waits to see its own entry (chosen; usually milliseconds)."""


class Joining:
    """Entries of one member in the status streams of the locations that it uses."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._unlisten: list[Callable[[], None]] = []

    def has_closed(self) -> bool:
        """Whether this member has ended in this run already, or was retired from it."""
        m = self._membership
        return any(
            hub.value(f"closed/{m.member.key}").get("run") == m.run.id
            or m.run.retired_from(hub, m.member.key) is not None
            for hub in m.hubs()
        )

    def join(self) -> None:
        """Write ``joined`` at each location used; the entry's place is the epoch there."""
        m = self._membership
        value = pack(run=m.run.id, start=m.member.start, host=m.ref.host, process=m.ref.process)
        for hub in m.hubs():
            m.epochs[m.location_of(hub)] = hub.join(m.member, value)
            self._unlisten.append(hub.listen(partial(self._look_for_successors, hub)))

    def watch_run(self) -> None:
        """Stop when another run has taken the place of this one, without joining it: for a member that has ended."""
        for hub in self._membership.hubs():
            self._unlisten.append(hub.listen(partial(self._look_for_successors, hub)))

    def _look_for_successors(self, hub: StatusHub, keys: frozenset[str]) -> None:
        """On a hub's thread: stop when a later start of this member, or a run that supersedes ours, has appeared."""
        m = self._membership
        joined = f"joined/{m.member.key}"
        is_replaced = False
        if joined in keys:
            position, mine = hub.position(joined), m.epochs.get(m.location_of(hub))
            is_later = position is not None and mine is not None and position > mine
            is_replaced = is_later and hub.value(joined).get("start") != m.member.start
        if not is_replaced and any(key.startswith("run/") for key in keys):
            is_replaced = m.run.is_superseded(hub)
        if is_replaced:
            m.is_fenced = True
            m.fail(FencedError(f"{m.ref.name}: a later start of this member, or of the pipeline, has taken over"))

    def write_closed(self) -> None:
        """Say that this member has ended by itself, with its last figures."""
        m = self._membership
        statuses = [status.to_json() for ends in m.ends.values() for status in ends.told.values()]
        with m.changed:
            left = [end.info.name for end in m.inputs() if not end.has_ended()]
        partitions = {
            ends.ref.name: {name: output.ended_partitions for name, output in ends.outputs.items()}
            for ends in m.ends.values()
            if ends.outputs
        }
        value = pack(run=m.run.id, start=m.member.start, statuses=statuses, left=left, partitions=partitions)
        for hub in m.hubs():
            hub.put(f"closed/{m.member.key}", value)
        for hub in m.hubs():  # who starts it again in this process asks the hub, which learns of entries a little later
            with contextlib.suppress(TransportError):  # it is written; only a start at this very moment might miss it
                hub.wait_for(
                    lambda hub=hub: True if hub.value(f"closed/{m.member.key}").get("run") == m.run.id else None,  # type: ignore[misc]
                    what=lambda: f"own entry closed/{m.member.key}",
                    timeout_s=ECHO_S,
                    stopped=m.is_stopped,
                )

    def leave(self) -> None:
        """Look for successors no more."""
        for unlisten in self._unlisten:
            unlisten()
        self._unlisten.clear()
