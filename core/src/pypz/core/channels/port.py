"""What the core asks of a channel port; `pypz.abstracts.channel_ports` brings the classes that users see."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pypz.core.channels.error_policy import FAIL, ErrorPolicy

if TYPE_CHECKING:
    from pypz.core.channels.members.session import MemberSession
    from pypz.core.codecs.spi import Codec
    from pypz.core.hooks.host import PluginHost


@dataclass(frozen=True)
class Reading:
    """How an input port reads."""

    schema_timeout_s: float
    """Seconds to wait for the schema of a block when it is not known yet."""
    has_all: bool = False
    """Each member of the group reads the whole channel, and commits apart (``group_mode``)."""
    is_held: bool = False
    """Nothing is handed out before every writer has ended (``sequentialModeEnabled``)."""
    policy: ErrorPolicy = FAIL
    """What becomes of records that cannot be handled (``errorPolicy``)."""


@dataclass(frozen=True)
class Writing:
    """How an output port writes."""

    linger_s: float
    """Seconds that a block may wait for more records."""
    send_timeout_s: float
    """Seconds that a send may wait for room."""
    framing: str
    """``batch`` or ``record``."""


class ChannelPort(ABC):
    """A port whose records travel in channels. Its session is bound by the run for one execution at a time."""

    direction: Literal["in", "out"]
    """Which way records go, seen from the operator."""

    @abstractmethod
    def get_simple_name(self) -> str:
        """Name of the port in its operator."""

    @abstractmethod
    def transport_location(self) -> str | None:
        """Address of the transport with its scheme; None while ``channelLocation`` is not set."""

    @abstractmethod
    def transport_options(self) -> Mapping[str, str]:
        """``channelConfig``, values as text."""

    @abstractmethod
    def channel_names(self) -> tuple[str, ...]:
        """Names of the channels read (one) or written (one for each connected input port), without namespace."""

    @abstractmethod
    def partition_count(self) -> int:
        """Partitions that the channel read must have at least; 0 for a port that reads none."""

    @abstractmethod
    def connected_ports(self) -> list[tuple[str, str]]:
        """Full name of the principal operator and simple name of each port at the other end, sorted."""

    @abstractmethod
    def owner_name(self) -> str:
        """Full name of the principal operator that this port belongs to."""

    @abstractmethod
    def check(self) -> None:
        """Raise NotBuiltYetError or ConfigurationError for a value that cannot be carried out; before anything runs."""

    def codec_of_schema(self, host: PluginHost) -> Codec | None:
        """The codec of the port's schema; None where it has none."""
        return None

    @abstractmethod
    def bind(self, session: MemberSession | None) -> None:
        """Take part in this execution; None ends it."""


def has_scheme(location: str) -> bool:
    """Whether a location says whose it is; one such as ``localhost:9092`` leaves that to the port.

    >>> has_scheme("kafka://localhost:9092"), has_scheme("local:/data"), has_scheme("localhost:9092")
    (True, True, False)
    """
    return "://" in location or location.startswith(("memory:", "local:"))


def channel_ports_of(operator: Any) -> list[ChannelPort]:
    """The channel ports among an operator's plugins, in the order of their definition."""
    from pypz.core.specs.instance import Internals

    return [plugin for plugin in Internals(operator).nested_instances.values() if isinstance(plugin, ChannelPort)]
