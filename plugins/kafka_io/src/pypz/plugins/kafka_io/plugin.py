"""What this distribution answers to pypz: the transport of ``kafka://`` locations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport


PYPZ_CONTRACT: Final = 1
PYPZ_SCHEMES: Final = ("kafka",)


@hookimpl
def pypz_make_transport(location: str, options: Mapping[str, str]) -> Transport | None:
    """Answer for ``kafka://HOST[:PORT][,HOST[:PORT]...]``; ``options`` are librdkafka's properties."""
    if not location.startswith("kafka://"):
        return None
    from pypz.plugins.kafka_io.transport import KafkaTransport

    return KafkaTransport(location, options)
