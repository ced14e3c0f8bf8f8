"""What stands committed: kept so that it is committed again before a transport forgets it, and missed when it is gone.

Kafka forgets a position some days after its last commit, also while its reader runs and waits. And a reader that finds no
position must know whether there never was one: to begin at the first entry would repeat everything, in silence.
"""

from __future__ import annotations

from collections.abc import Mapping

from pypz.core.channels.members.membership import Membership, PortEnds
from pypz.core.channels.spi import ChannelInfo, Committed
from pypz.core.channels.status import StatusHub, pack, with_prefix
from pypz.core.commons.errors import PypzError


class Standing:
    """The committed positions of one member, and the facts ``read/<channel>/<index>`` of which partitions have some."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._positions: dict[tuple[str, int], Committed] = {}
        self._told: dict[str, frozenset[int]] = {}
        """Partitions that this member has told of, by channel."""

    def known(self, ends: PortEnds, info: ChannelInfo, has_all: bool) -> frozenset[int]:
        """Partitions of a channel for which the port's group has committed before.

        Args:
            ends: Of the input port.
            info: The channel as it is now; what was committed for an earlier making does not count.
            has_all: Each member of the group commits apart.
        """
        m = self._membership
        facts = with_prefix(m.hub(ends).facts(), f"read/{info.name}/")
        found: set[int] = set()
        for index, value in facts.items():
            if value.get("incarnation") != info.incarnation or (has_all and index != str(m.ref.index)):
                continue
            partitions = frozenset(int(number) for number in value.get("partitions", ()))
            found |= partitions
            if index == str(m.ref.index):
                self._told[info.name] = partitions
        return frozenset(found)

    def found(self, info: ChannelInfo, positions: Mapping[int, Committed]) -> None:
        """A reading end goes on from these positions."""
        self._positions.update({(info.name, number): committed for number, committed in positions.items()})

    def committed(self, positions: Mapping[tuple[str, int], Committed]) -> None:
        """These have been committed; the first time, the status stream is told."""
        self._positions.update(positions)
        for ends in self._membership.ends.values():
            if ends.input is not None:
                name = ends.input.info.name
                numbers = frozenset(number for channel, number in positions if channel == name)
                if not numbers <= self._told.get(name, frozenset()):
                    self._tell(ends, ends.input.info, numbers)

    def _tell(self, ends: PortEnds, info: ChannelInfo, numbers: frozenset[int]) -> None:
        m = self._membership
        partitions = self._told.get(info.name, frozenset()) | numbers
        try:
            m.hub(ends).put(
                f"read/{info.name}/{m.ref.index}", pack(incarnation=info.incarnation, partitions=sorted(partitions))
            )
        except PypzError as error:  # what was committed stands; told with the next commit
            m.tell(f"could not say which partitions of {info.name!r} are read: {error}")
        else:
            self._told[info.name] = partitions

    def positions(self) -> Mapping[tuple[str, int], Committed]:
        """All that stands, by channel and partition."""
        return self._positions


def forget(hub: StatusHub, channel: str) -> None:
    """The channel was deleted: remove its facts."""
    for index in with_prefix(hub.facts(), f"read/{channel}/"):
        hub.put(f"read/{channel}/{index}", None)
    hub.put(f"channel/{channel}", None)
