"""Making and deleting the channel of an input port: the task of the reading group's principal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pypz.core.channels.headers import names
from pypz.core.channels.membership import Membership, PortEnds
from pypz.core.channels.spi import ChannelSpec
from pypz.core.channels.status import StatusHub, pack
from pypz.core.commons.errors import RunConflictError, WokenError

ADMIN_TIMEOUT_S: Final = 60.0
"""Seconds to make or delete a channel (chosen: three times Kafka's usual worst)."""
ALIVE_WAIT_S: Final = 2.5
"""Seconds in which an open run must beat to count as alive (semantics: run)."""


def create_channel(membership: Membership, ends: PortEnds, partitions: int, options: Mapping[str, str]) -> None:
    """Make the channel of an input port, and tell the run of it."""
    spec = ChannelSpec(ends.ref.channels[0], partitions, options)
    info = membership.transport(ends).create_channel(spec, ADMIN_TIMEOUT_S)
    value = pack(run=membership.run.id, incarnation=info.incarnation, partitions=info.partitions)
    membership.hub(ends).put(f"channel/{info.name}", value)


def delete_channel(membership: Membership, ends: PortEnds, *, whatever_run: bool) -> None:
    """Delete the channel of an input port once every reader and writer of the run has ended.

    Returns at once, and deletes nothing, in a run where this member was interrupted or failed.

    Args:
        membership: The principal of the reading group.
        ends: Of the input port.
        whatever_run: Delete it whatever run it is of, at once.

    Raises:
        RunConflictError: ``whatever_run``, and a run that uses it is alive.
    """
    name = ends.ref.channels[0]
    hub = membership.hub(ends)
    if whatever_run:
        _refuse_alive(membership, hub, name)
    elif membership.outcome != "completed" or membership.is_interrupted or not _await_ends(membership, ends, hub):
        return
    info = membership.transport(ends).describe_channel(name)
    if info is not None:
        membership.transport(ends).delete_channel(info, ADMIN_TIMEOUT_S)
    hub.put(f"channel/{name}", None)


def _refuse_alive(membership: Membership, hub: StatusHub, name: str) -> None:
    for run in membership.run.open_runs(hub):
        if run != membership.run.id and hub.wait_alive(run, ALIVE_WAIT_S):
            raise RunConflictError(
                f"channel {name!r} is in use: run {run} of this pipeline is alive; stop it first, then delete"
            )


def _await_ends(membership: Membership, ends: PortEnds, hub: StatusHub) -> bool:
    """Wait until all members at the channel have ended; False when interrupted."""
    run = membership.run
    members = run.members_at(ends.port)
    try:
        hub.wait_for(
            lambda: None if run.not_closed(hub, members) else True,
            what=lambda: "the end of " + names(run.not_closed(hub, members)),
            stopped=membership.is_stopped,
            tell=membership.tell,
        )
    except WokenError:
        return False
    return True
