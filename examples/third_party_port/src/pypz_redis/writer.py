"""Writes blocks into one channel, each acknowledged by the server, and each once, also when an answer gets lost."""

from __future__ import annotations

import json
import sys
import time
import uuid
from dataclasses import dataclass
from typing import Any, Final

import redis

from pypz.core.channels.bounds import Growth
from pypz.core.channels.spi import Block, ChannelInfo
from pypz.core.commons.errors import (
    BlockTooLargeError,
    ChannelGoneError,
    TransportTimeoutError,
    WokenError,
)
from pypz_redis.scripts import WRITE, blocks_key, channel_key, room_key
from pypz_redis.server import FIRST_PAUSE_S, LONGEST_PAUSE_S, SLICE_S, Server, Wait, Waker, is_away

MAX_BLOCK: Final = 16 * 1024 * 1024
"""Largest block in bytes (chosen; Redis takes 512 MB)."""


@dataclass
class _Sending:
    """A block that is with the server, or not: its number tells the server whether it has it."""

    partition: int
    number: int
    headers: str
    payload: bytes


class RedisWriter:
    """A `BlockWriter`. While the server is away it holds one block; the next one waits."""

    def __init__(self, server: Server, waker: Waker, info: ChannelInfo, max_bytes: int) -> None:
        self._server = server
        self._info = info
        self._max_bytes = max_bytes
        self._growth = Growth(info, server.name, max_bytes)
        self._name = uuid.uuid4().hex[:12]
        self._next_number = 1
        self._wait = Wait(waker)
        self._held: _Sending | None = None
        self._write = server.commands.register_script(WRITE)

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        """Append; waits while the channel is full, or the server away with an earlier block unacknowledged."""
        if len(block.payload) > MAX_BLOCK:
            raise BlockTooLargeError(
                f"channel {self._info.name!r}: a block of {len(block.payload)} bytes, at most {MAX_BLOCK} fit"
            )
        if not self._get_rid_of_held(wait):
            return False
        headers = json.dumps(dict(block.headers), ensure_ascii=False)
        sending = _Sending(partition, self._next_number, headers, block.payload)
        while True:
            room = self._try(sending)
            if room is None:
                self._next_number += 1
                return True
            if not wait:
                return False
            self._wait_for_room(room)

    def flush(self, timeout_s: float) -> None:
        """Return when the server has acknowledged all blocks.

        Raises:
            TransportTimeoutError: It is away.
        """
        deadline = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while not self._get_rid_of_held(wait=False):
            if time.monotonic() + pause_s > deadline:
                raise TransportTimeoutError(
                    f"{self._server.name}: a block for {self._info.name!r} not acknowledged in {timeout_s:g} s"
                )
            self._wait.pause(pause_s)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def partition_count(self) -> int:
        """Partitions now."""
        found: Any = self._server.ask(
            lambda: self._server.commands.hget(channel_key(self._info.name), "partitions"),
            f"cannot look at {self._info.name!r}",
        )
        return int(found) if found is not None else self._info.partitions

    def _get_rid_of_held(self, wait: bool) -> bool:
        """Whether no earlier block is unacknowledged any more."""
        pause_s = FIRST_PAUSE_S
        while self._held is not None:
            held, self._held = self._held, None
            room = self._try(held)
            if room is not None:
                self._held = held
            if self._held is None:
                break
            if not wait:
                return False
            if room is not None:
                self._wait_for_room(room)
                continue
            self._wait.pause(pause_s)
            self._refuse_woken("the server is away")
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
        return True

    def _try(self, sending: _Sending) -> str | None:
        """Send; gives where to watch for room when the channel is full. A block of unknown fate is held and sent again."""
        try:
            answer: Any = self._write(
                [
                    channel_key(self._info.name),
                    blocks_key(self._info, sending.partition),
                    room_key(self._info),
                ],
                [
                    self._info.incarnation,
                    sending.partition,
                    self._name,
                    sending.number,
                    self._max_bytes,
                    sending.headers,
                    sending.payload,
                ],
            )
        except redis.RedisError as error:
            if not is_away(error):
                raise self._server.told(error, f"cannot write to {self._info.name!r}") from error
            self._server.last_cause = str(error)
            self._held = sending
            return None
        self._server.last_cause = ""
        if answer[0] == b"gone":
            raise ChannelGoneError(f"channel {self._info.name!r} at {self._server.name} was deleted")
        if answer[0] == b"full" and self._growth.may_pass():
            self._max_bytes = sys.maxsize
            return self._try(sending)
        return str(answer[1].decode()) if answer[0] == b"full" else None

    def _wait_for_room(self, room: str) -> None:
        try:
            self._wait.look({room_key(self._info): room}, 1, SLICE_S)
        except redis.RedisError as error:
            if not is_away(error):
                raise self._server.told(error, f"cannot wait for room in {self._info.name!r}") from error
            self._wait.pause(LONGEST_PAUSE_S)
        self._refuse_woken("it is full")

    def _refuse_woken(self, why: str) -> None:
        if self._wait.was_woken():
            raise WokenError(f"channel {self._info.name!r} at {self._server.name}: {why}; woken while waiting")
