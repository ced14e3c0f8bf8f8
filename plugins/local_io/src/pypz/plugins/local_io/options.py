"""A port's location and ``channelConfig``, checked."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pypz.core.commons.errors import ConfigurationError

SYNC: Final = "sync"
MAX_BYTES: Final = "max.bytes"
KNOWN: Final = {
    SYNC: "normal (survives killed processes) or full (and a machine without power)",
    MAX_BYTES: "bytes that a channel holds before its writers wait",
}
_RELATED: Final = {"synchronous": SYNC, "fsync": SYNC, "max_bytes": MAX_BYTES, "maxbytes": MAX_BYTES}


@dataclass(frozen=True)
class Options:
    """Settings of one transport."""

    location: str
    """As the user gave it, for messages."""
    folder: Path
    is_synced: bool = False
    """Whether each transaction is on the disk before it counts."""
    max_bytes: int | None = None
    """Bytes that a channel holds before its writers wait; None: as much as the disk has room for."""


def read_options(location: str, options: Mapping[str, str]) -> Options:
    """Check location and options; opens nothing.

    Raises:
        ConfigurationError: Names what makes no sense, and what is accepted.
    """
    given = location.partition(":")[2]
    text = given.removeprefix("//")
    if not text.strip():
        raise ConfigurationError(
            f"channel location {location!r} names no folder, expected local:DIR, such as local:./channels"
        )
    for name in options:
        if name not in KNOWN:
            raise ConfigurationError(f"{location}: channelConfig has no option {name!r}{_way_out(name)}")
    sync = options.get(SYNC, "normal").lower()
    if sync not in ("normal", "full"):
        raise ConfigurationError(
            f"{location}: option {SYNC!r} is {options[SYNC]!r}, expected {KNOWN[SYNC]}; leave it out for normal"
        )
    return Options(location, Path(text).expanduser().absolute(), sync == "full", _max_bytes(location, options))


def _max_bytes(location: str, options: Mapping[str, str]) -> int | None:
    given = options.get(MAX_BYTES)
    if given is None:
        return None
    if not given.isdecimal() or int(given) < 1:
        raise ConfigurationError(
            f"{location}: option {MAX_BYTES!r} is {given!r}, expected a whole number of bytes, 1 or more; "
            "leave it out for as much as the disk has room for"
        )
    return int(given)


def _way_out(name: str) -> str:
    lowered = name.lower()
    close = difflib.get_close_matches(lowered, [*KNOWN, *_RELATED], n=1, cutoff=0.6)
    known = " and ".join(f"{key!r}: {what}" for key, what in KNOWN.items())
    if close:
        return f"; did you mean {_RELATED.get(close[0], close[0])!r}? It takes {known}"
    return f"; it takes {known}"
