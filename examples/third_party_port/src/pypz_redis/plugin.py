"""What this distribution answers to pypz: the transport of ``redis://`` and ``rediss://`` locations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport

PYPZ_CONTRACT: Final = 1
PYPZ_SCHEMES: Final = ("redis", "rediss")


@hookimpl
def pypz_make_transport(location: str, options: Mapping[str, str]) -> Transport | None:
    """Answer for ``redis`` and ``rediss`` addresses."""
    if location.partition("://")[0] not in PYPZ_SCHEMES:
        return None
    from pypz_redis.transport import RedisTransport  # the client library is imported where it is used

    return RedisTransport(location, options)
