"""Where the reader of one channel stands, and what it makes of the entries that were read.

A position is the number of the last block read: the block with number n has the id ``n-0``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import redis

from pypz.core.channels.spi import Block, ChannelInfo, Committed, Position, Received
from pypz.core.commons.errors import ChannelGoneError, PositionGoneError
from pypz_redis.scripts import blocks_key, channel_key, positions_key
from pypz_redis.server import Entries, Server, is_away


class RedisReader:
    """Reads some partitions of one channel, for a group or (None) for a viewer."""

    def __init__(self, server: Server, info: ChannelInfo, group: str | None) -> None:
        self._server = server
        self.info = info
        self.group = group or ""
        self._is_viewer = group is None
        self._positions: dict[int, int] = {}
        self._paused: set[int] = set()
        self._ends: dict[int, int] = {}

    def committed(self, partition: int) -> Committed | None:
        """What the group has committed."""
        found, before = self._look(partition)
        if found is None:
            return None
        position, _, note = found.decode().partition(" ")
        if int(position) < before:
            raise PositionGoneError(
                f"channel {self.info.name!r}, partition {partition}: committed is position {position}, but the blocks up to "
                f"{before} are gone: somebody has trimmed the stream, or Redis has lost data; begin anew with fresh=True"
            )
        return Committed(position, note)

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        if position == "end":
            self._positions[partition] = self._look_for_ends([partition])[partition]
        elif position == "first":
            self._positions[partition] = self._look(partition)[1]
        else:
            self._positions[partition] = int(position)

    def pause(self, partitions: Sequence[int]) -> None:
        """Hold these back."""
        self._paused.update(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Let these go on."""
        self._paused.difference_update(partitions)

    def lag(self) -> Mapping[int, int]:
        """Entries not yet read; while the server is away, as many as were known last."""
        try:
            self._ends.update(self._ends_now(list(self._positions)))
        except redis.RedisError as error:
            if not is_away(error):
                raise self._server.told(error, f"cannot look at {self.info.name!r}") from error
        return {number: max(0, self._ends.get(number, 0) - at) for number, at in self._positions.items()}

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Blocks come out of the client."""
        raise NotImplementedError("blocks come out of ChannelClient.read")

    # --- for the inbox ---

    def streams(self) -> list[tuple[str, str]]:
        """Streams to read, each with the id behind which to read."""
        return [
            (blocks_key(self.info, number), f"{at}-0")
            for number, at in self._positions.items()
            if number not in self._paused
        ]

    def take(self, answer: Mapping[str, Entries], max_blocks: int) -> list[Received]:
        """Make blocks of entries and move behind them."""
        found: list[Received] = []
        for number in self._positions:
            for entry_id, fields in answer.get(blocks_key(self.info, number), [])[: max_blocks - len(found)]:
                at = _number(entry_id)
                if at != self._positions[number] + 1 and not self._is_viewer:
                    raise PositionGoneError(
                        f"channel {self.info.name!r}, partition {number}: block {at} follows {self._positions[number]}; "
                        f"those between are gone"
                    )
                self._positions[number] = at
                block = Block(json.loads(fields[b"h"]), fields[b"p"])
                found.append(Received(self.info.name, number, block, str(at - 1), str(at)))
        return found

    def check(self) -> None:
        """After a long silence: see that the channel is still there.

        Raises:
            ChannelGoneError: It is not.
        """
        found: Any = self._server.ask(
            lambda: self._server.commands.hget(channel_key(self.info.name), "incarnation"),
            f"cannot look at {self.info.name!r}",
        )
        if found is None or found.decode() != self.info.incarnation:
            raise self.gone()

    def gone(self) -> ChannelGoneError:
        """The error for a deleted channel."""
        return ChannelGoneError(f"channel {self.info.name!r} at {self._server.name} was deleted")

    def _look(self, partition: int) -> tuple[bytes | None, int]:
        """What is committed, and the number before the first block that is there: at one moment, for writers go on."""

        def look() -> Any:  # Any: redis-py types answers for both of its kinds of clients
            pipe = self._server.commands.pipeline(transaction=True)
            pipe.hget(positions_key(self.info, self.group), str(partition))
            pipe.xrange(blocks_key(self.info, partition), count=1)
            pipe.hget(channel_key(self.info.name), f"last:{partition}")
            return pipe.execute()

        found, first, last = self._server.ask(look, f"cannot look where to read {self.info.name!r}")
        return found, _number(first[0][0]) - 1 if first else int(last or 0)

    def _look_for_ends(self, partitions: Sequence[int]) -> dict[int, int]:
        return self._server.ask(lambda: self._ends_now(partitions), f"cannot find the end of {self.info.name!r}")

    def _ends_now(self, partitions: Sequence[int]) -> dict[int, int]:
        if not partitions:
            return {}
        names = [f"last:{number}" for number in partitions]
        found: Any = self._server.commands.hmget(channel_key(self.info.name), names)
        return {number: int(last or 0) for number, last in zip(partitions, found, strict=True)}


def _number(entry_id: str | bytes) -> int:
    text = entry_id.decode() if isinstance(entry_id, bytes) else entry_id
    return int(text.partition("-")[0])
