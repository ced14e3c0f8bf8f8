"""What earlier runs of a pipeline have left, deleted before a fresh one: channels with their positions, and members' notes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from pypz.core.channels import pool
from pypz.core.channels.members.channel_life import ADMIN_TIMEOUT_S
from pypz.core.channels.members.standing import forget
from pypz.core.channels.port import channel_ports_of
from pypz.core.channels.runs.whole import TEMPLATES, addresses_of, operators_of, status_name
from pypz.core.channels.spi import Guarantee, Member, MemberNote, Transport, Unit
from pypz.core.channels.status import StatusHub, pack

if TYPE_CHECKING:
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline


class Leftovers:
    """Of one pipeline, at all its locations."""

    def __init__(
        self,
        whole: Pipeline | Operator,
        prefixed: Callable[[str], str],
        transports: Mapping[pool.Address, Transport],
        hubs: Mapping[str, StatusHub],
    ) -> None:
        """Look for them, by what a run is connected to.

        Args:
            whole: The pipeline.
            prefixed: Gives a name as transports see it.
            transports: By address.
            hubs: Status streams by location.
        """
        self._whole = whole
        self._prefixed = prefixed
        self._transports = transports
        self._hubs = hubs

    def delete_channels(self) -> None:
        """Delete the channels of all input ports."""
        for operator in operators_of(self._whole):
            for port in channel_ports_of(operator):
                if port.direction != "in":
                    continue
                address = pool.address_of(
                    TEMPLATES.resolve(port.transport_location()), TEMPLATES.resolve(dict(port.transport_options()))
                )
                for name in port.channel_names():
                    info = self._transports[address].describe_channel(self._prefixed(name))
                    if info is not None:
                        self._transports[address].delete_channel(info, ADMIN_TIMEOUT_S)
                        forget(self._hubs[address[0]], info.name)

    def delete_notes(self, size_of: Callable[[str], int]) -> None:
        """Remove the notes of all members; each is joined for that, since a transport may take them from the newest start only.

        Args:
            size_of: Gives the members of an operator's group.
        """
        for operator in operators_of(self._whole):
            name = self._prefixed(operator.get_full_name())
            for address in addresses_of(operator, is_run_here=True):
                for index in range(size_of(name)):
                    member = Member(status_name(self._whole), name, index, uuid.uuid4().hex[:12])
                    epoch = self._hubs[address[0]].join(member, pack(run="", start=member.start))
                    client = self._transports[address].open_client(member, epoch, Guarantee.AT_LEAST_ONCE)
                    try:
                        if client.settle(ADMIN_TIMEOUT_S) is not None:
                            client.commit(Unit({}, MemberNote(b"")), ADMIN_TIMEOUT_S)
                    finally:
                        client.close(ADMIN_TIMEOUT_S)
