"""The core's own plugin: transport ``memory:NAME`` and the codec for ports without a schema."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport
    from pypz.core.codecs.spi import Codec

PYPZ_CONTRACT: Final = 1
PYPZ_SCHEMES: Final = ("memory",)


@hookimpl
def pypz_make_transport(location: str, options: Mapping[str, str]) -> Transport | None:
    """Answer for ``memory:NAME``; ``memory://NAME`` is the same."""
    scheme, found, rest = location.partition(":")
    if not found or scheme.lower() != "memory":
        return None
    name = rest.removeprefix("//")
    if not name:
        raise ConfigurationError(f"channel location {location!r} has no name; write for instance 'memory:demo'")
    from pypz.core.channels.memory.transport import (
        MemoryTransport,  # only where it is used: hook modules load in no time
    )

    return MemoryTransport(name, options)


@hookimpl
def pypz_make_codec(schema: Any, content_type: str) -> Codec | None:
    """Answer for ports without a schema, and only where JSON or nothing is asked for."""
    if schema is not None or content_type not in ("", "json"):
        return None
    from pypz.core.codecs.json import JsonCodec

    return JsonCodec()
