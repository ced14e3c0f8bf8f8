"""What stands in a block's headers, and the note that is committed with a position."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from pypz.core.channels.roster import Writers
from pypz.core.channels.spi import Block, ChannelInfo

RUN: Final = "pypz-run"
WRITER: Final = "pypz-writer"
EPOCH: Final = "pypz-epoch"
INCARNATION: Final = "pypz-incarnation"
SEQUENCE: Final = "pypz-sequence"
COUNT: Final = "pypz-count"
KIND: Final = "pypz-kind"
CODEC: Final = "pypz-codec"
SCHEMA: Final = "pypz-schema"
FRAMING: Final = "pypz-framing"

DATA: Final = "data"
END: Final = "end"

COUNT_DIGITS: Final = 18
"""A count of more digits was not written by pypz."""

BATCH: Final = "batch"
RECORD: Final = "record"
FRAMINGS: Final = (BATCH, RECORD)
"""What one message holds: many records encoded together, or one that other consumers can read, too."""


@dataclass(frozen=True)
class Origin:
    """Who writes: the headers that all blocks of one writer share."""

    run: str
    writer: str
    """``<operator>/<index>/<port>``: the same over all starts."""
    epoch: int
    incarnation: str

    def data(self, payload: bytes, count: int, sequence: int, codec: str, schema: str, framing: str = BATCH) -> Block:
        """A block of records; ``sequence`` counts this writer's records in the partition before it."""
        headers = self._of_data(codec, schema, framing).copy()
        headers[SEQUENCE] = str(sequence)
        headers[COUNT] = str(count)
        return Block(headers, payload)

    def end(self, sequence: int, partitions: int) -> Block:
        """The end marker: the writer's last entry in a partition in this run."""
        return Block(self._shared(END, 0, sequence), json.dumps({"partitions": partitions}).encode())

    def _of_data(self, codec: str, schema: str, framing: str) -> dict[str, str]:
        """Headers of a block of records, but for its sequence and count; made once."""
        made: dict[tuple[str, str, str], dict[str, str]] = vars(self).setdefault("_made", {})
        found = made.get((codec, schema, framing))
        if found is None:
            shared = self._shared(DATA, 0, 0)
            found = made[codec, schema, framing] = {**shared, CODEC: codec, SCHEMA: schema, FRAMING: framing}
        return found

    def _shared(self, kind: str, count: int, sequence: int) -> dict[str, str]:
        return {
            KIND: kind,
            RUN: self.run,
            WRITER: self.writer,
            EPOCH: str(self.epoch),
            INCARNATION: self.incarnation,
            SEQUENCE: str(sequence),
            COUNT: str(count),
        }


@dataclass(frozen=True)
class Note:
    """What stands beside a committed position: enough for a restarted reader to know which writers have ended.

    The ended writers are a bitmap over the roster's writers, so that a thousand of them fit into 250 characters; with the
    roster's generation it says whom a bit means.
    """

    run: str
    incarnation: str
    index: int = 0
    """Records of the block at the position that were handed out already."""
    ended: frozenset[str] = frozenset()
    early: Mapping[str, int] = field(default_factory=dict)
    """Epochs of ends whose writers the roster does not know yet, as it was known to the reader."""

    def encode(self, writers: Writers) -> str:
        """Write the note; ``writers`` are the roster's as the reader knows it."""
        bits = sum(1 << place for place, writer in enumerate(writers.now) if writer in self.ended)
        values = {"r": self.run, "i": self.incarnation, "x": self.index, "e": f"{bits:x}"}
        rest = {"g": writers.generation, "u": self.early}
        return json.dumps({**values, **{key: value for key, value in rest.items() if value}}, separators=(",", ":"))

    @classmethod
    def decode(cls, text: str, writers: Writers) -> Note:
        """Read a note, of whichever generation, as it counts now; one that is not ours counts as empty."""
        try:
            values = json.loads(text)
            bits, generation = int(values["e"], 16), int(values.get("g", 0))
            found = {writer for place, writer in enumerate(writers.at(generation)) if bits >> place & 1}
            early = {str(writer): int(epoch) for writer, epoch in values.get("u", {}).items()}
            ended = writers.standing(found, generation) | frozenset(
                writer for writer, epoch in early.items() if writers.ends_since(writer, epoch)
            )
            unknown = {writer: epoch for writer, epoch in early.items() if writer not in writers}
            return cls(str(values["r"]), str(values["i"]), int(values["x"]), ended, unknown)
        except (ValueError, KeyError, TypeError, AttributeError):
            return cls("", "")


def is_foreign(headers: Mapping[str, str]) -> bool:
    """Whether a message was not written by pypz: it is then one record in the reading port's own schema and codec."""
    return KIND not in headers


def count_of(headers: Mapping[str, str]) -> int:
    """Records in a block; 1 for a message that pypz has not written, 0 for a block that does not say."""
    if is_foreign(headers):
        return 1
    text = headers.get(COUNT, "0")
    return int(text) if len(text) <= COUNT_DIGITS and text.isdecimal() else 0


def partitions_of_end(block: Block) -> int:
    """Partitions that a writer knew when it wrote its end; 0 for an end that does not say."""
    try:
        return int(json.loads(block.payload)["partitions"])
    except (ValueError, KeyError, TypeError):
        return 0


def partitions_of_member(info: ChannelInfo, index: int, size: int) -> list[int]:
    """Partitions that the member of this group index reads: p belongs to index p mod size.

    >>> partitions_of_member(ChannelInfo("c", 5, "x"), 1, 2)
    [1, 3]
    """
    return [number for number in range(info.partitions) if number % size == index]


def group_of(operator: str, index: int, has_all: bool) -> str:
    """Name of the group by which a member commits: the operator's, or in group mode its own.

    >>> group_of("pipe.reader", 1, True)
    'pipe.reader.1'
    """
    return f"{operator}.{index}" if has_all else operator


def names(writers: Iterable[str], at_most: int = 5) -> str:
    """List some writers in words.

    >>> names(["b", "a"])
    'a, b'
    """
    found = sorted(writers)
    more = f" and {len(found) - at_most} more" if len(found) > at_most else ""
    return ", ".join(found[:at_most]) + more
