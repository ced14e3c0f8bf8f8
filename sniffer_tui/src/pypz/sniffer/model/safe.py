"""What members tell of themselves, made safe to be shown: names, states and positions come from whoever may write there."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any, Final, cast

from pypz.core.hooks.events import ChannelStatus, OperatorRef, PortRef
from pypz.sniffer.model.texts import name_of, sentence

KEPT: Final = 10_000
"""Names remembered as looked through: a member tells its figures twice a second (chosen)."""


@lru_cache(KEPT)
def safe_operator(operator: OperatorRef) -> OperatorRef:
    """Give the member with names that can be shown."""
    return replace(
        operator,
        pipeline=name_of(operator.pipeline),
        run=name_of(operator.run),
        name=name_of(operator.name),
        start=name_of(operator.start),
        host=name_of(operator.host),
    )


@lru_cache(KEPT)
def safe_port(port: PortRef) -> PortRef:
    """Give the port with names that can be shown."""
    return replace(
        port,
        operator=safe_operator(port.operator),
        name=name_of(port.name),
        direction="out" if port.direction == "out" else "in",
        channels=tuple(name_of(channel) for channel in port.channels),
    )


def safe_status(status: ChannelStatus) -> ChannelStatus:
    """Give the figures with texts that can be shown."""
    return replace(
        status,
        port=safe_port(status.port),
        channel=name_of(status.channel),
        state=cast(Any, name_of(status.state)),
        waits_for=sentence(status.waits_for),
        positions=tuple(name_of(position) for position in status.positions),
    )
