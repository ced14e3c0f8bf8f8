"""Ports whose records travel in channels: what an operator sends by and retrieves from.

The location picks the transport: ``memory:NAME`` within one process, ``local:DIR``, ``kafka://HOST:PORT`` and others by
their plugins.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from pypz.core.channels.ends.decoding import SCHEMA_TIMEOUT_MS
from pypz.core.channels.ends.partitioning import Partitioner, by_partition
from pypz.core.channels.ends.writer import BLOCK_BYTES, OutputEnd, Part
from pypz.core.channels.error_policy import parse_error_policy
from pypz.core.channels.headers import BATCH, FRAMINGS, RECORD
from pypz.core.channels.members.session import MemberSession
from pypz.core.channels.port import ChannelPort, Reading, Writing, has_scheme
from pypz.core.channels.runs.whole import check_number
from pypz.core.channels.spi import Guarantee
from pypz.core.codecs.spi import Codec
from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError, PortClosedError, PypzError, RecordError
from pypz.core.commons.faults import refuse
from pypz.core.commons.parameters import OptionalParameter, RequiredParameter, given_value
from pypz.core.specs.plugin import ExtendedPlugin, InputPortPlugin, OutputPortPlugin, PortPlugin, ResourceHandlerPlugin

if TYPE_CHECKING:
    from pypz.core.hooks.host import PluginHost

ParamKeyChannelLocationConfig: Final = "channelLocation"
ParamKeyChannelConfig: Final = "channelConfig"
ParamKeySequentialModeEnabled: Final = "sequentialModeEnabled"
ParamKeyPortOpenTimeoutMs: Final = "portOpenTimeoutMs"
ParamKeySyncConnectionsOpen: Final = "syncConnectionsOpen"

ENCODE_RECORDS: Final = 1_000
"""Records encoded together into one part of a block (chosen: some 100 KiB of usual records)."""
RETRIEVE_RECORDS: Final = 500
"""Records that one `retrieve` gives at most (Kafka's own default of ``max.poll.records``)."""
LEAST: Final = {
    ParamKeyPortOpenTimeoutMs: 0,
    "partitions": 1,
    "maxRetrieveRecords": 1,
    "schemaTimeoutMs": 0,
    "lingerMs": 0,
    "sendTimeoutMs": 1,
}
"""Least value of each number."""
BLOCK_OVERHEAD_BYTES: Final = 1_024
"""Bytes of a block's limit that are kept for its headers and framing (chosen)."""


class ChannelTypeError(ConfigurationError, TypeError):
    """A channel class of earlier versions was given."""


class _ChannelPort(PortPlugin, ResourceHandlerPlugin, ExtendedPlugin, ChannelPort):
    """What reading and writing ports have in common."""

    default_scheme: ClassVar[str] = ""
    """Scheme that a location without one means, such as ``kafka`` for ``localhost:9092``."""
    content_type: ClassVar[str] = ""
    """Codec that the port asks for; empty for any that fits the schema."""

    _channel_location = RequiredParameter(
        str,
        alt_name=ParamKeyChannelLocationConfig,
        description="Where the channel lives: memory:NAME, kafka://HOST:PORT[,HOST:PORT], ...",
    )
    _channel_config = OptionalParameter(
        dict, alt_name=ParamKeyChannelConfig, description="Options of the transport, such as librdkafka's properties"
    )
    _port_open_timeout_ms = OptionalParameter(
        int,
        alt_name=ParamKeyPortOpenTimeoutMs,
        description="Milliseconds that opening may wait for others; 0: no bound",
    )

    def _set_common_defaults(self) -> None:
        self._channel_location = None
        self._channel_config = {}
        self._port_open_timeout_ms = 0
        self._executing: MemberSession | None = None

    # --- what the run asks ---

    def transport_location(self) -> str | None:
        """The location with its scheme; None while it is not set, empty where it was set to empty text."""
        given = given_value(self, ParamKeyChannelLocationConfig)
        if given is None:
            return None
        if self.default_scheme and given.strip() and not has_scheme(given):
            return f"{self.default_scheme}://{given}"
        return str(given)

    def transport_options(self) -> Mapping[str, str]:
        """``channelConfig``, values as text: booleans as librdkafka writes them."""
        return {str(key): _as_text(value) for key, value in (self._channel_config or {}).items()}

    def owner_name(self) -> str:
        """Full name of the principal operator."""
        return _principal_name(self)

    def connected_ports(self) -> list[tuple[str, str]]:
        """Owner and name of each port at the other end, sorted."""
        return sorted({(_principal_name(other), other.get_simple_name()) for other in self.get_connected_ports()})

    def bind(self, session: MemberSession | None) -> None:
        """Take part in this execution."""
        self._executing = session

    def check(self) -> None:
        """Refuse values that this version does not carry out.

        Raises:
            NotBuiltYetError: Names port, parameter, value and what is accepted.
        """
        for name, at_least in LEAST.items():
            check_number(self.get_full_name(), given_value(self, name), name, at_least=at_least)

    def _refuse(self, name: str, place: str, accepted: set[Any]) -> None:
        value = given_value(self, name)
        if value is not None and value not in accepted:
            ways = ", ".join(sorted(repr(way) for way in accepted if way is not None))
            text = f"{place}: parameter {name!r} is {value!r}, which this version does not carry out yet"
            refuse(NotBuiltYetError(f"{text}; expected {ways or 'no value'}; leave it out"))

    # --- states that need nothing here ---

    def _pre_execution(self) -> None:
        pass

    def _post_execution(self) -> None:
        pass

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        pass

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass

    def _on_port_close(self) -> bool:
        self._session().close_port(self)
        return True

    def _session(self) -> MemberSession:
        if self._executing is None:
            raise PortClosedError(f"{self.get_full_name()}: the port is not open; an executor opens it")
        return self._executing

    def _codec(self) -> Codec:
        try:
            return self._session().host.make_codec(self.get_schema(), self.content_type)
        except PypzError as error:
            raise type(error)(f"{self.get_full_name()}: {error}") from error

    def codec_of_schema(self, host: PluginHost) -> Codec | None:
        """The codec of the port's schema; None where it has none.

        Raises:
            PypzError: No plugin knows the schema, or it makes no sense.
        """
        schema = self.get_schema()
        return None if schema is None else host.make_codec(schema, self.content_type)

    def _timeout_s(self) -> float | None:
        return self._port_open_timeout_ms / 1000 if self._port_open_timeout_ms else None


class ChannelInputPort(_ChannelPort, InputPortPlugin):
    """Retrieves the records of one channel; with replicas each member gets a share of them."""

    direction: Literal["in", "out"] = "in"

    _sequential_mode_enabled = OptionalParameter(
        bool, alt_name=ParamKeySequentialModeEnabled, description="Begin to read only when all writers have ended"
    )
    _sync_connections_open = OptionalParameter(
        bool, alt_name=ParamKeySyncConnectionsOpen, description="Opening waits for all writers, not just one"
    )
    _partitions = OptionalParameter(
        int, alt_name="partitions", description="Partitions of the channel; default: size of the group"
    )
    _topic_config = OptionalParameter(
        dict, alt_name="topicConfig", description="Settings of the channel itself, by the transport's names"
    )
    _error_policy = OptionalParameter(
        str,
        alt_name="errorPolicy",
        description="What becomes of records that cannot be handled: fail, skip, retry(TIMES, SECONDS), "
        "retry(TIMES, SECONDS) then skip",
    )
    _max_retrieve_records = OptionalParameter(
        int, alt_name="maxRetrieveRecords", description="Records that one retrieve() gives at most"
    )
    _schema_timeout_ms = OptionalParameter(
        int,
        alt_name="schemaTimeoutMs",
        description="Milliseconds to wait for the schema of a block when it is not known yet",
    )

    def __init__(
        self,
        name: str | None = None,
        schema: Any = None,
        group_mode: bool = False,
        channel_reader_type: Any = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        _refuse_channel_type("channel_reader_type", channel_reader_type)
        super().__init__(name, schema, group_mode, *args, **kwargs)
        self._set_common_defaults()
        self._sequential_mode_enabled = False
        self._sync_connections_open = False
        self._partitions = None
        self._topic_config = {}
        self._error_policy = "fail"
        self._max_retrieve_records = RETRIEVE_RECORDS
        self._schema_timeout_ms = SCHEMA_TIMEOUT_MS

    def channel_names(self) -> tuple[str, ...]:
        """The channel read: named after the port of the group's principal."""
        return (f"{_principal_name(self)}.{self.get_simple_name()}",)

    def partition_count(self) -> int:
        """Partitions of the channel: one for each member unless ``partitions`` says otherwise."""
        return self._partitions or (1 if self.is_in_group_mode() else max(1, self.get_group_size()))

    def check(self) -> None:
        """Refuse values that this version does not carry out."""
        super().check()
        place = self.get_full_name()
        self._check_error_policy(place)
        self._refuse("assignment", place, {"static"})

    def _check_error_policy(self, place: str) -> None:
        try:
            policy = parse_error_policy(place, self._error_policy)
        except ConfigurationError as error:
            refuse(error)
            return
        if policy.retries and given_value(self.get_context(), "deliveryGuarantee") == Guarantee.AT_MOST_ONCE.value:
            text = f"{place}: parameter 'errorPolicy' is {self._error_policy!r}, and a retry hands a record out again, which"
            refuse(
                ConfigurationError(
                    f"{text} the operator's deliveryGuarantee 'at-most-once' rules out; use 'skip' or 'fail'"
                )
            )

    def _on_resource_creation(self) -> bool:
        if self.is_principal():
            has_all = self.is_in_group_mode()
            options = {str(key): _as_text(value) for key, value in (self._topic_config or {}).items()}
            is_held = bool(self._sequential_mode_enabled)
            self._session().create_channel(self, self.partition_count(), options, has_all=has_all, is_held=is_held)
        return True

    def _on_resource_deletion(self) -> bool:
        if self.is_principal():
            session = self._session()
            session.delete_channel(self, whatever_run=session.deletes_only)
        return True

    def _on_port_open(self) -> bool:
        now, timeout_s = self._session().clock.now, self._timeout_s()
        began = now()
        schema_timeout_ms = SCHEMA_TIMEOUT_MS if self._schema_timeout_ms is None else self._schema_timeout_ms
        reading = Reading(
            schema_timeout_ms / 1000,
            has_all=self.is_in_group_mode(),
            is_held=bool(self._sequential_mode_enabled),
            policy=parse_error_policy(self.get_full_name(), self._error_policy),
        )
        self._session().open_input(self, self._codec(), timeout_s, reading)
        if timeout_s is not None or self._sync_connections_open:
            left_s = None if timeout_s is None else max(0.0, timeout_s - (now() - began))
            self._session().await_writers(self, left_s, everyone=bool(self._sync_connections_open))
        return True

    def can_retrieve(self) -> bool:
        """Whether there are records now, or may still be: False once every writer has ended and all was retrieved."""
        return self._session().port_can_retrieve(self)

    def retrieve(self, timeout_s: float = 0.0) -> list[Any]:
        """Give the next records, in order per writer and partition.

        Args:
            timeout_s: Seconds to wait for the first record; 0 takes what is here.

        Returns:
            At most ``maxRetrieveRecords`` records; [] when none is here.

        Raises:
            PortClosedError: The port is not open.
            DecodeError: A block cannot be decoded.
            TransportError: The transport failed for good.
        """
        return self._session().retrieve(self, self._max_retrieve_records or RETRIEVE_RECORDS, timeout_s)

    def reject(self, record: Any, error: BaseException | str) -> None:
        """Say of a record that `retrieve` has given that it cannot be handled; the parameter ``errorPolicy`` says what follows.

        With ``skip`` the record counts as done. Otherwise this raises, and ends the iteration: with ``retry`` its records
        come again, one an iteration, and the rejected one as often as the policy says; with ``fail`` the member fails.

        Args:
            record: As it was given.
            error: Why, for the log.

        Raises:
            RecordRejectedError: The iteration is to end; let it pass.
            PortClosedError: The port is not open.
        """
        self._session().reject(self, error)

    def commit_current_read_offset(self) -> None:
        """Flush what the operator has sent and commit what it has retrieved, on all its ports, before returning."""
        self._session().commit_now()


class ChannelOutputPort(_ChannelPort, OutputPortPlugin):
    """Sends records into the channel of every connected input port."""

    direction: Literal["in", "out"] = "out"

    _linger_ms = OptionalParameter(
        int, alt_name="lingerMs", description="Milliseconds that a block may wait for more records"
    )
    _send_timeout_ms = OptionalParameter(
        int, alt_name="sendTimeoutMs", description="Milliseconds that send() may wait for room"
    )
    _partition_by = OptionalParameter(
        str,
        alt_name="partitionBy",
        description="Field whose value picks the partition, dots for nested ones: station.id",
    )
    _framing = OptionalParameter(str, alt_name="framing", description="batch: many records a message; record: one")

    def __init__(
        self, name: str | None = None, schema: Any = None, channel_writer_type: Any = None, *args: Any, **kwargs: Any
    ) -> None:
        _refuse_channel_type("channel_writer_type", channel_writer_type)
        super().__init__(name, schema, *args, **kwargs)
        self._set_common_defaults()
        self._linger_ms = 5
        self._send_timeout_ms = 120_000
        self._partition_by = None
        self._framing = "batch"
        self._encoder: Codec | None = None
        self._is_by_record = False
        self._partitioner: Partitioner | None = None
        self._max_block = self._max_part = BLOCK_BYTES

    def channel_names(self) -> tuple[str, ...]:
        """The channels written: one for each connected input port."""
        return tuple(f"{owner}.{name}" for owner, name in self.connected_ports())

    def partition_count(self) -> int:
        """An output port reads no channel."""
        return 0

    def check(self) -> None:
        """Refuse values that this version does not carry out."""
        super().check()
        _check_choice(self.get_full_name(), "framing", given_value(self, "framing"), FRAMINGS)
        if given_value(self, "partitionBy") == "":
            text = (
                f"{self.get_full_name()}: parameter 'partitionBy' is '', expected a field's name, such as 'station.id'"
            )
            refuse(ConfigurationError(f"{text}; leave it out to send to all partitions in turn"))

    def _on_resource_creation(self) -> bool:
        return True

    def _on_resource_deletion(self) -> bool:
        return True

    def _on_port_open(self) -> bool:
        self._encoder = self._codec()
        self._is_by_record = self._framing == RECORD  # a parameter is too slow to be read for each record
        linger_s = (5 if self._linger_ms is None else self._linger_ms) / 1000
        send_timeout_s = (self._send_timeout_ms or 120_000) / 1000
        writing = Writing(linger_s, send_timeout_s, self._framing or BATCH)
        self._session().open_output(self, self._encoder, self._timeout_s(), writing)
        self._partitioner = Partitioner(self._partition_by) if self._partition_by else None
        self._max_block = self._session().max_block(self)
        self._max_part = min(BLOCK_BYTES, self._max_block - BLOCK_OVERHEAD_BYTES)
        return True

    def send(self, data: Any) -> None:
        """Send a list of records to every connected input port; all of them, or on an error none.

        They are gathered into blocks and sent in the background; a failed transmission surfaces at the next send, at a
        commit or at the operator's end. Waits while the transport is full, at most ``sendTimeoutMs``.

        Raises:
            TypeError: ``data`` is no list.
            RecordError: A record does not fit the schema, or is too large; names record, field, and the line that sent it.
            TransportError: This or an earlier send failed for good.
        """
        if not isinstance(data, list):
            raise RecordTypeError(
                f"{self.get_full_name()}: send() was given {type(data).__name__}, expected a list of records"
            )
        outputs = self._session().outputs_of(self)
        if not data or not outputs:
            return
        try:
            if self._partitioner is not None:
                self._send_by_key(self._partitioner.hashes(data), data, outputs)
                return
            parts = self._encode(data, 0)
        except RecordError as error:
            raise RecordError(f"{self.get_full_name()}: {error}{_sent_from(inspect.currentframe())}") from error
        for part in parts:
            for output in outputs:
                output.add(part)

    def _send_by_key(self, hashes: Sequence[int], data: Sequence[Any], outputs: Sequence[OutputEnd]) -> None:
        """Encode all for each number of partitions that there is, then take them."""
        by_count = {count: self._encode_by_key(hashes, data, count) for count in {o.info.partitions for o in outputs}}
        for output in outputs:
            for number, part in by_count[output.info.partitions]:
                output.add(part, number)

    def _encode_by_key(self, hashes: Sequence[int], data: Sequence[Any], partitions: int) -> list[tuple[int, Part]]:
        try:
            return [
                (number, part)
                for number, places in by_partition(hashes, partitions).items()
                for part in self._encode([data[place] for place in places], 0)
            ]
        except RecordError:
            self._encode(data, 0)  # refuses, and names the record by its place in the user's list
            raise

    def _encode(self, records: Sequence[Any], first: int) -> list[Part]:
        """Encode all, in parts that each fit into a block; ``first`` is the place of the first in the user's list."""
        assert self._encoder is not None, "set when the port was opened"
        if len(records) > ENCODE_RECORDS:
            return [
                part
                for place in range(0, len(records), ENCODE_RECORDS)
                for part in self._encode(records[place : place + ENCODE_RECORDS], first + place)
            ]
        if len(records) == 1 and not first and not self._is_by_record:  # what is sent one by one takes the short way
            payload = self._encoder.encode(records)
            return [Part(payload, 1) if len(payload) <= self._max_part else self._single(payload, first)]
        try:
            payloads = self._encoder.encode_each(records) if self._is_by_record else [self._encoder.encode(records)]
        except RecordError as error:
            if error.place is None:
                raise
            raise RecordError(error.message, first + error.place) from error.__cause__
        if self._is_by_record:
            return [self._single(payload, first + place) for place, payload in enumerate(payloads)]
        payload = payloads[0]
        if len(payload) <= self._max_part:
            return [Part(payload, len(records))]
        if len(records) == 1:
            return [self._single(payload, first)]
        half = len(records) // 2
        return self._encode(records[:half], first) + self._encode(records[half:], first + half)

    def _single(self, payload: bytes, place: int) -> Part:
        limit = self._max_block - BLOCK_OVERHEAD_BYTES
        if len(payload) > limit:
            raise RecordError(
                f"record {place} is {len(payload)} bytes, the channel takes at most {limit}; "
                "send it in pieces, or raise the transport's limit (Kafka: topicConfig 'max.message.bytes')"
            )
        return Part(payload, 1)


class RecordTypeError(PypzError, TypeError):
    """Something else than a list of records was sent."""


def _principal_name(port: Any) -> str:
    """Full name of the principal operator that a port, original or replica, belongs to."""
    operator = port.get_context()
    if operator is None:
        return str(port.get_full_name())
    principal = operator.get_group_principal() or operator
    return str(principal.get_full_name())


def _check_choice(place: str, name: str, given: Any, choices: Sequence[str]) -> None:
    """Refuse a word that is none of a parameter's; None means the first."""
    if given is not None and given not in choices:
        text = f"{place}: parameter {name!r} is {given!r}, expected {' or '.join(map(repr, choices))}"
        refuse(ConfigurationError(f"{text}; leave it out for {choices[0]!r}"))


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _refuse_channel_type(keyword: str, given: Any) -> None:
    if given is not None:
        raise ChannelTypeError(
            f"{keyword}={getattr(given, '__name__', given)!r}: channel classes of pypz 0.10 are not taken any more; "
            "a Transport found by the location's scheme carries channels now, see docs/migration.md"
        )


def _sent_from(frame: FrameType | None) -> str:
    """Where the code stands that has called the function of ``frame``."""
    caller = frame.f_back if frame is not None else None
    return f" (sent in {caller.f_code.co_filename}, line {caller.f_lineno})" if caller is not None else ""
