"""Making and deleting the channel of an input port: the task of the reading group's principal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from pypz.core.channels.headers import group_of, names
from pypz.core.channels.members.membership import Membership, PortEnds
from pypz.core.channels.members.standing import forget
from pypz.core.channels.members.unread import Unread
from pypz.core.channels.roster import Writers
from pypz.core.channels.spi import ChannelInfo, ChannelSpec, Guarantee, Transport
from pypz.core.channels.status import StatusHub, pack
from pypz.core.commons.errors import ChannelMismatchError, ConfigurationError, RunConflictError, WokenError

ADMIN_TIMEOUT_S: Final = 60.0
"""Seconds to make or delete a channel (chosen: three times Kafka's usual worst)."""
ALIVE_WAIT_S: Final = 2.5
"""Seconds in which an open run must beat to count as alive (semantics: run)."""


def create_channel(
    membership: Membership,
    ends: PortEnds,
    partitions: int,
    options: Mapping[str, str],
    *,
    has_all: bool,
    is_held: bool,
) -> None:
    """Make the channel of an input port, and tell the run of it.

    Args:
        membership: The principal of the reading group.
        ends: Of the input port.
        partitions: As many at least.
        options: Settings of the channel itself.
        has_all: Each member of the group reads all of it.
        is_held: Nothing is read before all is written.
    """
    operator = membership.member.operator
    size = membership.run.size_of(operator)
    groups = sorted({group_of(operator, index, has_all) for index in range(size)})
    count = _partitions(membership, ends, partitions, groups)
    spec = ChannelSpec(ends.ref.channels[0], count, options, tuple(groups))
    _refuse_raising(membership.transport(ends), spec)
    info = membership.transport(ends).create_channel(spec, ADMIN_TIMEOUT_S)
    value = pack(
        run=membership.run.id,
        incarnation=info.incarnation,
        partitions=info.partitions,
        unbounded=is_held or membership.run.is_in_cycle(ends.port),
    )
    membership.hub(ends).put(f"channel/{info.name}", value)


def _refuse_raising(transport: Transport, spec: ChannelSpec) -> None:
    if transport.capabilities.raise_partitions:
        return
    found = transport.describe_channel(spec.name)
    if found is not None and found.partitions < spec.partitions:
        raise ConfigurationError(
            f"channel {spec.name!r} has {found.partitions} partitions and should have {spec.partitions}, but its transport lacks "
            "the capability 'raise_partitions'; start with --fresh, or leave the number as it was"
        )


def _partitions(membership: Membership, ends: PortEnds, wanted: int, groups: Sequence[str]) -> int:
    """How many partitions the channel shall have at least, where it exists with fewer.

    Raises:
        ChannelMismatchError: Records of a key would go to another partition than unread ones of it.
    """
    run, hub, name = membership.run, membership.hub(ends), ends.ref.channels[0]
    key = run.key_of(ends.port)
    standing = hub.value(f"channel/{name}")
    present = int(standing.get("partitions", 0)) if standing.get("run") == run.id else 0
    if 0 < present < wanted:
        operator = membership.member.operator
        readers = [f"{operator}/{index}" for index in range(run.size_of(operator))]
        if key is not None or len(run.not_closed(hub, readers)) < len(readers):
            why = f"its writers send by key ({key!r})" if key is not None else "one of its readers has ended"
            membership.tell(f"channel {name!r} keeps its {present} partitions for the rest of this run: {why}")
            return present
    elif key is not None and not present:
        info = membership.transport(ends).describe_channel(name)
        if info is not None and info.partitions < wanted:
            _refuse_moving_keys(membership, ends, info, wanted, groups, key)
    return wanted


def _refuse_moving_keys(
    membership: Membership, ends: PortEnds, info: ChannelInfo, wanted: int, groups: Sequence[str], key: str
) -> None:
    for group in groups:
        client = membership.transport(ends).open_client(membership.member, 0, Guarantee.AT_LEAST_ONCE)
        try:
            has_unread = Unread(client, info, group, membership.run.id, Writers()).has_any()
        finally:
            client.close(5.0)
        if has_unread:
            raise ChannelMismatchError(
                f"channel {info.name!r} has {info.partitions} partitions and holds unread records, {wanted} are asked for, and "
                f"its writers send by key (partitionBy {key!r}): records of one key would be in two partitions; run once "
                f"more with {info.partitions} (as many members, or parameter 'partitions') until all is read, or start with "
                "--fresh (fresh=True), which deletes what is there"
            )


def owes_deletion(membership: Membership) -> bool:
    """Whether a principal that has ended was killed before it had deleted a channel of its run."""
    return membership.ref.index == 0 and any(
        is_of_run(membership, ends) for ends in membership.ends.values() if ends.port.direction == "in"
    )


def is_of_run(membership: Membership, ends: PortEnds) -> bool:
    """Whether the channel of an input port was made in this run, and not deleted since."""
    fact = membership.hub(ends).value(f"channel/{ends.ref.channels[0]}")
    return fact.get("run") == membership.run.id


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
        if not whatever_run:
            _tell_unread(membership, ends, hub, info)
        membership.transport(ends).delete_channel(info, ADMIN_TIMEOUT_S)
    forget(hub, name)


def _tell_unread(membership: Membership, ends: PortEnds, hub: StatusHub, info: ChannelInfo) -> None:
    """Say how many records are lost with the channel, where a reader has ended by itself before its writers."""
    run, member = membership.run, membership.member
    readers = [f"{member.operator}/{index}" for index in range(run.size_of(member.operator))]
    early = [reader for reader in readers if info.name in (hub.value(f"closed/{reader}").get("left") or ())]
    if not early:
        return
    has_all = ends.input is not None and ends.input.group != member.operator
    groups = [group_of(member.operator, int(reader.rsplit("/", 1)[1]), has_all) for reader in early]
    counts = [_count_unread(membership, ends, hub, info, group) for group in sorted(set(groups))]
    records, is_complete = sum(count for count, _ in counts), all(complete for _, complete in counts)
    if records or not is_complete:
        membership.tell(
            f"channel {info.name!r} is deleted with {'' if is_complete else 'at least '}{records} unread records: "
            f"{names(early)} ended before the writers did"
        )


def _count_unread(
    membership: Membership, ends: PortEnds, hub: StatusHub, info: ChannelInfo, group: str
) -> tuple[int, bool]:
    run = membership.run
    writers = run.writers_of(ends.port)
    epoch = membership.epochs.get(ends.address[0], 0)
    client = membership.transport(ends).open_client(membership.member, epoch, Guarantee.AT_LEAST_ONCE)
    try:
        retired = run.retired_writers(hub, info.name, writers.now)
        rest = Unread(client, info, group, run.id, writers, retired, now=membership.clock.now)
        is_complete = rest.count()
        return rest.records, is_complete
    finally:
        client.close(5.0)


def _refuse_alive(membership: Membership, hub: StatusHub, name: str) -> None:
    for run in membership.run.open_runs(hub):
        if run != membership.run.id and hub.wait_alive(run, ALIVE_WAIT_S):
            raise RunConflictError(
                f"channel {name!r} is in use: run {run} of this pipeline is alive; stop it first, then delete"
            )


def _await_ends(membership: Membership, ends: PortEnds, hub: StatusHub) -> bool:
    """Wait until all members at the channel have ended; False when interrupted."""
    run = membership.run

    def missing() -> set[str]:
        return run.not_closed(hub, run.members_at(ends.port))

    try:
        hub.wait_for(
            lambda: None if missing() else True,
            what=lambda: "the end of " + names(missing()),
            stopped=membership.is_stopped,
            tell=membership.tell,
        )
    except WokenError:
        return False
    return True
