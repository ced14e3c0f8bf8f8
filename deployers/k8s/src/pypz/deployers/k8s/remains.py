"""What a pipeline that has not ended well leaves outside of the cluster: its channels, and how they are removed."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pypz.deployers.k8s.touching import Channel, shape_of

_SCHEME: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?!\d+(,|$))")
"""Beginning of a location that names its transport; ``localhost:9092`` does not."""
SHOWN: Final = 3
"""Names of channels that are told at a location. Chosen: enough to know them by."""


def remains_of(config: str, because: str = "it did not end well") -> str:
    """Tell in a sentence what stays of a pipeline's channels, what becomes of it, and what removes it.

    Args:
        config: The pipeline's DTO.
        because: Why they stay.

    Returns:
        Empty when it has no channels.
    """
    shape = shape_of(config)
    places: dict[str, list[Channel]] = {}
    for channel in shape.channels.values():
        places.setdefault(channel.location, []).append(channel)
    if not places:
        return ""
    told = "; ".join(f"{_names(channels)} at {location}" for location, channels in places.items())
    # What only the port's own class or parameters make an address of cannot be reached by the location alone.
    if any(c.has_options or "*" in c.location or not _SCHEME.match(c.location) for c in shape.channels.values()):
        ways = "`pypz retire PIPELINE --all`, with its code and parameters as for `pypz deploy`,"
    else:
        ways = " and ".join(f"`pypz retire {shape.status} --all --location {location}`" for location in places)
    return (
        f"{because}, so what there is of its channels stays ({told}): deployed again, it goes on there; {ways} "
        "removes them for good"
    )


def _names(channels: Iterable[Channel]) -> str:
    names = [channel.name for channel in channels]
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
