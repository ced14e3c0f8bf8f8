"""What this distribution answers to pypz: the transport of ``local:`` locations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport


PYPZ_CONTRACT: Final = 1
PYPZ_SCHEMES: Final = ("local",)


@hookimpl
def pypz_make_transport(location: str, options: Mapping[str, str]) -> Transport | None:
    """Answer for ``local:DIR``; ``options`` are ``sync`` and ``max.bytes``."""
    if not location.lower().startswith("local:"):
        return None
    from pypz.plugins.local_io.transport import LocalTransport

    return LocalTransport(location, options)
