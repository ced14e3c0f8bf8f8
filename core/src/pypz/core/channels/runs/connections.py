"""What is known of a pipeline's connections before anything runs: which are in a cycle, and whether schemas resolve."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pypz.core.channels.port import ChannelPort
from pypz.core.commons.errors import ConfigurationError, PypzError, SchemaError
from pypz.core.commons.faults import refuse
from pypz.core.commons.parameters import given_value

if TYPE_CHECKING:
    from pypz.core.codecs.spi import Codec
    from pypz.core.hooks.host import PluginHost

WAIT_FOR_WRITERS: Final = ("sequentialModeEnabled", "syncConnectionsOpen")
"""Parameters by which a reader waits for all its writers."""


class Connections:
    """The channel ports of a whole pipeline, and what flows where."""

    def __init__(self, ports: Sequence[ChannelPort]) -> None:
        self._ports = ports
        self._readers: dict[str, set[str]] = {}
        for port in ports:
            for other, _ in port.connected_ports():
                writer, reader = (port.owner_name(), other) if port.direction == "out" else (other, port.owner_name())
                self._readers.setdefault(writer, set()).add(reader)

    def is_in_cycle(self, port: ChannelPort) -> bool:
        """Whether what the owner of an input port sends may come back to that port."""
        writers = {owner for owner, _ in port.connected_ports()}
        reached, ahead = set[str](), [port.owner_name()]
        while ahead:
            for reader in self._readers.get(ahead.pop(), set()) - reached:
                reached.add(reader)
                ahead.append(reader)
        return bool(writers & reached)

    def key_of(self, port: ChannelPort) -> str | None:
        """The field by which writers of an input port pick partitions (``partitionBy``); None when none does."""
        writers = set(port.connected_ports())
        keys = [
            given_value(other, "partitionBy")
            for other in self._ports
            if other.direction == "out" and (other.owner_name(), other.get_simple_name()) in writers
        ]
        return next((str(key) for key in keys if key), None)

    def check(self) -> None:
        """Refuse readers in a cycle that are to wait for their writers, which wait for them.

        Raises:
            ConfigurationError: Names port and parameter.
        """
        for port in self._ports:
            if port.direction == "in":
                self._refuse_waiting_in_a_cycle(port)

    def check_schemas(self, host: PluginHost) -> None:
        """Refuse schemas that do not resolve.

        Raises:
            SchemaError: A reader's schema cannot read what a writer's schema writes; names both ports and the field.
        """
        places = {(port.owner_name(), port.get_simple_name()): port for port in self._ports}
        codecs = {place: _codec(port, host) for place, port in places.items()}
        for place, reader in places.items():
            reads = codecs[place]
            if reader.direction == "out" or reads is None:
                continue
            for other in reader.connected_ports():
                writes = codecs.get(other)
                if writes is not None and writes.fingerprint != reads.fingerprint:
                    _refuse_pair(".".join(other), writes, ".".join(place), reads)

    def _refuse_waiting_in_a_cycle(self, port: ChannelPort) -> None:
        for name in WAIT_FOR_WRITERS:
            if given_value(port, name) and self.is_in_cycle(port):
                place = f"{port.owner_name()}.{port.get_simple_name()}"
                text = f"{place}: parameter {name!r} is True, and the port is in a cycle of connections"
                way_out = "set it to False, or take one of the connections out"
                refuse(ConfigurationError(f"{text}: it would wait for writers that wait for it; {way_out}"))


def _codec(port: ChannelPort, host: PluginHost) -> Codec | None:
    """The codec of a port with a schema; a fault of its own is told when the port is opened, by the member that has it."""
    try:
        return port.codec_of_schema(host)
    except PypzError:
        return None


def _refuse_pair(writer: str, writes: Codec, reader: str, reads: Codec) -> None:
    if writes.content_type != reads.content_type:
        raise SchemaError(
            f"{reader} reads {reads.content_type!r}, {writer}, which is connected to it, writes {writes.content_type!r}; "
            "give both the same kind of schema"
        )
    try:
        reads.decoder(writes.schema_text)
    except SchemaError as error:
        raise SchemaError(f"{reader} is connected to {writer}: {error}") from error
