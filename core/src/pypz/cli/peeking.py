"""Records of a channel as a viewer reads them: decoded by the schemas that their writers have left, nothing committed."""

from __future__ import annotations

import re
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pypz.core.channels.headers import (
    BATCH,
    CODEC,
    DATA,
    FRAMING,
    INCARNATION,
    KIND,
    RECORD,
    RUN,
    SCHEMA,
    WRITER,
    is_foreign,
)
from pypz.core.channels.runs.retiring import Place
from pypz.core.channels.spi import BlockReader, ChannelInfo, Received
from pypz.core.codecs.json import SCHEMA_TEXT
from pypz.core.codecs.spi import Codec, Decoder
from pypz.core.commons.errors import ConfigurationError, DecodeError, PypzError
from pypz.core.hooks.host import PluginHost

QUIET_S: Final = 0.3
"""Seconds without a block after which a channel that says so has been read to its end (chosen)."""
FIRST_ANSWER_S: Final = 3.0
"""Seconds in which a location must have given its first block; else the channel counts as empty (chosen)."""
BLOCKS: Final = 500

_CONDITION: Final = re.compile(r"\s*([^=!<>]+?)\s*(!=|>=|<=|=|<|>)(.*)", re.DOTALL)
_COMPARE: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": lambda one, other: bool(one == other),
    "!=": lambda one, other: bool(one != other),
    ">": lambda one, other: bool(one > other),
    "<": lambda one, other: bool(one < other),
    ">=": lambda one, other: bool(one >= other),
    "<=": lambda one, other: bool(one <= other),
}


@dataclass(frozen=True)
class Seen:
    """One record, and where it stands."""

    channel: str
    partition: int
    position: str
    index: int
    """Place in its block, from 0."""
    writer: str
    run: str
    record: Any


@dataclass(frozen=True)
class Condition:
    """``field=value``: which records are shown; ``a.b`` looks into nested ones."""

    field: str
    operator: str
    value: str

    def holds(self, record: Any) -> bool:
        """Whether a record meets it; one without the field does not."""
        found = field_of(record, self.field)
        if found is ABSENT:
            return False
        if isinstance(found, bool) or found is None:
            return _COMPARE[self.operator](_word(found), self.value) if self.operator in ("=", "!=") else False
        if isinstance(found, int | float):
            try:
                return _COMPARE[self.operator](found, float(self.value))
            except ValueError:
                return self.operator == "!="
        return _COMPARE[self.operator](str(found), self.value)


ABSENT: Final = object()


def read_condition(text: str) -> Condition:
    """Read ``field=value``; also !=, <, >, <=, >=.

    Raises:
        ConfigurationError: It is none.

    >>> read_condition("price>=3")
    Condition(field='price', operator='>=', value='3')
    """
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise ConfigurationError(f"--where {text!r}: expected FIELD=VALUE, or with != < > <= >=, such as 'price>3'")
    return Condition(found[1], found[2], found[3].strip())


def field_of(record: Any, path: str) -> Any:
    """A field, ``a.b`` of a nested record; `ABSENT` when there is none.

    >>> field_of({"a": {"b": 1}}, "a.b")
    1
    """
    for part in path.split("."):
        if isinstance(record, Mapping) and part in record:
            record = record[part]
        elif hasattr(record, part) and not isinstance(record, Mapping):
            record = getattr(record, part)
        else:
            return ABSENT
    return record


def _word(value: bool | None) -> str:
    return "null" if value is None else str(value).lower()


class Peek:
    """Reads channels at one location."""

    def __init__(self, place: Place, host: PluginHost, tell: Callable[[str], None], own: Codec | None = None) -> None:
        """Prepare.

        Args:
            place: The location, and the status stream that holds the schemas.
            host: Whose plugins make codecs.
            tell: Given what cannot be shown, in words.
            own: The reading port's codec, for messages that pypz has not written.
        """
        self._own = own
        self._place = place
        self._host = host
        self._tell = tell
        self._decoders: dict[tuple[str, str, str], Decoder] = {}
        self.failed = 0
        """Blocks that could not be decoded."""

    def find(self, name: str) -> ChannelInfo:
        """The channel of this name.

        Raises:
            ConfigurationError: There is none; tells which there are.
        """
        info = self._place.transport.describe_channel(name)
        if info is not None:
            return info
        if not self._place.transport.capabilities.across_processes:
            raise ConfigurationError(
                f"{self._place.shown} lives in one process, and holds no channel {name!r} in this one; to look from "
                "outside let the pipeline use a channelLocation for several processes, such as local:DIR or kafka://..."
            )
        known = sorted(key.removeprefix("channel/") for key in self._place.facts if key.startswith("channel/"))
        there = f"there are: {', '.join(known)}" if known else "its pipeline has none there; was it run, has it ended?"
        raise ConfigurationError(f"no channel {name!r} at {self._place.shown}; {there}")

    def describe(self, name: str) -> ChannelInfo | None:
        """The channel of this name; None when there is none now."""
        return self._place.transport.describe_channel(name)

    def records(self, info: ChannelInfo, *, from_end: bool, follow: bool) -> Iterator[Seen]:
        """Records of a channel, in order per partition; without ``follow`` those that are there."""
        for block in _blocks(self.reader(info, from_end=from_end), follow):
            if is_data(info, block):
                yield from self.decoded(info, block)

    def reader(self, info: ChannelInfo, *, from_end: bool) -> BlockReader:
        """What reads a channel without joining or committing; it ends with its transport."""
        reader = self.observer(info)
        for partition in range(info.partitions):
            reader.seek(partition, "end" if from_end else "first")
        return reader

    def observer(self, info: ChannelInfo) -> BlockReader:
        """What reads a channel from its end on, without joining or committing; it ends with its transport."""
        return self._place.transport.observe(info)

    def decoded(self, info: ChannelInfo, block: Received) -> list[Seen]:
        """The records of a block of data; none when it cannot be decoded, which is told."""
        headers = block.block.headers
        try:
            found = self._decoder_of(headers)(block.block.payload)
        except PypzError as error:
            self.failed += 1
            self._tell(f"{info.name}, partition {block.partition}, position {block.position}: not shown: {error}")
            return []
        writer, run = headers.get(WRITER, ""), headers.get(RUN, "")
        return [
            Seen(info.name, block.partition, block.position, index, writer, run, record)
            for index, record in enumerate(found)
        ]

    def schema_of(self, block: Received) -> str:
        """The schema that a block was written by, as its writer has left it; empty where none is known here."""
        headers = block.block.headers
        return (
            "" if is_foreign(headers) else str(self._place.value(f"schema/{headers.get(SCHEMA, '')}").get("schema", ""))
        )

    def _decoder_of(self, headers: Mapping[str, str]) -> Decoder:
        if is_foreign(headers):
            if self._own is None:
                raise DecodeError("pypz has not written it; name PIPELINE and PORT, whose schema reads it")
            return self._own.record_decoder(self._own.schema_text)
        key = headers.get(CODEC, ""), headers.get(SCHEMA, ""), headers.get(FRAMING, BATCH)
        if key not in self._decoders:
            self._decoders[key] = self._make_decoder(*key)
        return self._decoders[key]

    def _make_decoder(self, content_type: str, fingerprint: str, framing: str) -> Decoder:
        if f"schema/{fingerprint}" not in self._place.facts:
            self._place.facts = self._place.stream.facts()
        text = str(self._place.value(f"schema/{fingerprint}").get("schema", ""))
        if not text:
            raise DecodeError(f"its schema {fingerprint!r} ({content_type or 'no codec named'}) is not known here")
        codec = self._host.make_codec(None if text == SCHEMA_TEXT else text, content_type)
        return codec.record_decoder(text) if framing == RECORD else codec.decoder(text)


def codec_of_port(host: PluginHost, port: Any) -> Codec | None:
    """The codec of a reading port, for messages that pypz has not written; None where it is not installed."""
    if port.direction != "in" or getattr(port, "mocked", False):
        return None
    try:
        return host.make_codec(port.get_schema(), getattr(port, "content_type", ""))
    except PypzError:
        return None


def is_data(info: ChannelInfo, block: Received) -> bool:
    """Whether a block holds records of this incarnation of its channel, not an end or what an earlier one has left."""
    headers = block.block.headers
    return headers.get(KIND, DATA) == DATA and headers.get(INCARNATION, info.incarnation) == info.incarnation


def _blocks(reader: BlockReader, follow: bool) -> Iterator[Received]:
    """Blocks as they come; without ``follow`` up to where the channel ended at the beginning, however fast others write on."""
    began = quiet_since = time.monotonic()
    wait_s = FIRST_ANSWER_S
    left: dict[int, int] = {}
    """By partition that has given blocks: how many of those that were there then are still to come."""
    while True:
        found = reader.read(BLOCKS, QUIET_S if not follow else 10.0)
        behind = reader.lag()
        yield from found
        if follow:
            continue
        for partition, count in Counter(block.partition for block in found).items():
            end = behind.get(partition, 0)
            left[partition] = min(left.get(partition, end + count) - count, end)
        now = time.monotonic()
        if found:
            quiet_since, wait_s = now, QUIET_S
        elif now - quiet_since >= wait_s and not sum(behind.values()):
            return
        answered = now - began >= FIRST_ANSWER_S
        if found and all(left[n] <= 0 if n in left else answered and not behind[n] for n in behind):
            return


class AbsentFields:
    """Fields that the user has named, as long as no record has one: mostly a slip."""

    def __init__(self, fields: Iterable[str]) -> None:
        self._absent = dict.fromkeys(fields)
        self._example: Any = None
        self._count = 0

    def noted(self, records: Iterable[Seen]) -> Iterator[Seen]:
        """The same records, looked at."""
        for seen in records:
            self._count += 1
            self._example = seen.record
            if self._absent:
                self._absent = {one: None for one in self._absent if field_of(seen.record, one) is ABSENT}
            yield seen

    def told(self) -> Iterator[str]:
        """A text for each field that none of the records had, with the fields of the last one."""
        there = ", ".join(map(str, self._example)) if isinstance(self._example, Mapping) else ""
        for one in self._absent if self._count else ():
            yield f"none of {self._count:,} records has a field {one!r}" + (f"; there are: {there}" if there else "")


def chosen(records: Iterable[Seen], conditions: Sequence[Condition], last: int | None) -> Iterator[Seen]:
    """Those records that meet all conditions; the last ones of these where a number is given."""
    meeting = (seen for seen in records if all(condition.holds(seen.record) for condition in conditions))
    return iter(deque(meeting, last)) if last is not None else meeting
