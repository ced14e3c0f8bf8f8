"""All ends of one member at one Redis server: writers, readers, commits."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Final, Literal

import redis

from pypz.core.channels.spi import (
    AssignmentListener,
    ChannelInfo,
    Member,
    MemberNote,
    Position,
    Received,
    Unit,
)
from pypz.core.commons.errors import ChannelGoneError, ConfigurationError, FencedError, TransportError
from pypz_redis.reader import RedisReader
from pypz_redis.scripts import (
    COMMIT,
    SETTLE,
    blocks_key,
    channel_key,
    epochs_key,
    gone_key,
    groups_key,
    notes_key,
    positions_key,
    room_key,
)
from pypz_redis.server import FIRST_PAUSE_S, LONGEST_PAUSE_S, Entries, Server, Wait, Waker, is_away
from pypz_redis.writer import RedisWriter

MAX_NOTE: Final = 65_536
"""Largest note in bytes (chosen)."""


class Inbox:
    """Reads what a thread's readers want, waiting for the first block."""

    def __init__(self, server: Server, waker: Waker) -> None:
        self._server = server
        self._wait = Wait(waker)
        self.readers: list[RedisReader] = []
        self._turn = 0

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks; [] at the time-out and when woken. A server that is away is waited for.

        Raises:
            ChannelGoneError: A channel was deleted.
            PositionGoneError: Blocks that were to be read are not there any more.
            TransportError: The server refuses.
        """
        deadline = time.monotonic() + timeout_s
        pause_s = FIRST_PAUSE_S
        while True:
            left_s = max(0.0, deadline - time.monotonic())
            try:
                found = self._take(self._look(max_blocks, left_s), max_blocks)
                pause_s = FIRST_PAUSE_S
            except redis.RedisError as error:
                if not is_away(error):
                    raise self._server.told(error, "cannot read") from error
                found = []
                self._wait.pause(min(pause_s, left_s))
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            if found or self._wait.was_woken() or time.monotonic() >= deadline:
                return found
            for reader in self.readers:
                reader.check()

    def _look(self, max_blocks: int, timeout_s: float) -> dict[str, Entries]:
        streams = [stream for reader in self.readers for stream in reader.streams()]
        self._turn += 1  # when there are more partitions than blocks wanted, each gets its turn
        turn = self._turn % len(streams) if streams else 0
        wanted = dict(streams[turn:] + streams[:turn])
        for reader in self.readers:
            wanted[gone_key(reader.info)] = "0-0"
        return self._wait.look(wanted, max(1, max_blocks // max(1, len(streams))), timeout_s)

    def _take(self, answer: dict[str, Entries], max_blocks: int) -> list[Received]:
        found: list[Received] = []
        for reader in self.readers:
            if gone_key(reader.info) in answer:
                raise reader.gone()
            found += reader.take(answer, max_blocks - len(found))
        return found


class RedisClient:
    """A `ChannelClient`."""

    def __init__(self, server: Server, max_bytes: int, member: Member, epoch: int) -> None:
        self._server = server
        self._max_bytes = max_bytes
        self._member = member
        self._epoch = epoch
        self._waker = Waker(server)
        self._inbox = Inbox(server, self._waker)
        self._writers: list[RedisWriter] = []
        self._groups: dict[str, RedisReader] = {}
        self._commit = server.commands.register_script(COMMIT)
        self._settle = server.commands.register_script(SETTLE)

    def settle(self, timeout_s: float) -> MemberNote | None:
        """From now on no earlier start of this member can commit; gives the note that the last commit has left."""
        latest, note = self._server.ask(
            lambda: self._settle(self._keys(), [self._member.key, self._epoch]),
            f"cannot settle {self._member.key}",
            timeout_s,
        )
        if int(latest) > self._epoch:
            raise self._fenced(int(latest))
        return MemberNote(bytes(note)) if note else None

    def writer(self, channel: ChannelInfo) -> RedisWriter:
        """Open a writer."""
        made = RedisWriter(self._server, self._waker, channel, self._max_bytes)
        self._writers.append(made)
        return made

    def reader(
        self,
        channel: ChannelInfo,
        group: str,
        partitions: Sequence[int] | None,
        on_change: AssignmentListener | None = None,
    ) -> RedisReader:
        """Open a reader of these partitions; its group's blocks are kept from now on until it has committed them."""
        if partitions is None:
            raise ConfigurationError(
                f"{self._server.name}: the transport lacks the capability 'group_assignment'; name the partitions"
            )
        self._server.ask(
            lambda: self._server.commands.sadd(groups_key(channel), group), f"cannot open a reader of {channel.name!r}"
        )
        made = RedisReader(self._server, channel, group)
        self._inbox.readers.append(made)
        self._groups[channel.name] = made
        return made

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks of any of the readers, waiting for the first."""
        return self._inbox.read(max_blocks, timeout_s)

    def flush(self, timeout_s: float) -> None:
        """Return when the server has everything."""
        deadline = time.monotonic() + timeout_s
        for writer in self._writers:
            writer.flush(max(0.0, deadline - time.monotonic()))

    def commit(self, unit: Unit, timeout_s: float) -> None:
        """Store positions and notes, unless a later start of this member has settled.

        Raises:
            FencedError: One has.
            ChannelGoneError: A channel was deleted; nothing was stored.
            TransportTimeoutError: The server is away; the same unit may be committed again.
        """
        note = unit.member_note
        arguments: list[str | int | bytes] = [self._member.key, self._epoch]
        arguments += ["", b""] if note is None else ["note", note.value]
        for (name, partition), committed in unit.positions.items():
            reader = self._groups[name]
            if len(committed.note.encode()) > MAX_NOTE:
                raise TransportError(f"channel {name!r}: a note of {len(committed.note)} bytes, at most {MAX_NOTE} fit")
            info = reader.info
            arguments += [channel_key(name), blocks_key(info, partition), room_key(info), groups_key(info)]
            arguments += [positions_key(info, ""), info.incarnation, reader.group, partition]
            arguments += [committed.position, committed.note]
        # Carried out twice it does the same: positions are absolute.
        answer = self._server.ask(lambda: self._commit(self._keys(), arguments), "cannot commit", timeout_s)
        if answer[0] == b"fenced":
            raise self._fenced(int(answer[1]))
        if answer[0] == b"gone":
            raise ChannelGoneError(f"channel {answer[1].decode().removeprefix(channel_key(''))!r} was deleted")

    def abort(self) -> None:
        """No transactions here."""

    def wake(self) -> None:
        """End a waiting `read` or `write`."""
        self._waker.wake()

    def close(self, timeout_s: float) -> None:
        """End what waits; the connections are the transport's."""
        self._waker.close()

    def last_cause(self) -> str:
        """What kept the last write from being acknowledged."""
        return self._server.last_cause

    def _keys(self) -> list[str]:
        return [epochs_key(self._member.pipeline), notes_key(self._member.pipeline)]

    def _fenced(self, latest: int) -> FencedError:
        return FencedError(
            f"{self._member.key}: a later start of this member (epoch {latest}, this one has {self._epoch}) has taken over"
        )


class RedisObserver:
    """A `BlockReader` for viewers: joins no group, commits nothing."""

    def __init__(self, server: Server, channel: ChannelInfo) -> None:
        self._reader = RedisReader(server, channel, None)
        self._inbox = Inbox(server, Waker(server))
        self._inbox.readers.append(self._reader)
        for number in range(channel.partitions):
            self._reader.seek(number, "end")

    def committed(self, partition: int) -> None:
        """Nothing ever is."""

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there."""
        self._reader.seek(partition, position)

    def pause(self, partitions: Sequence[int]) -> None:
        """Hold these back."""
        self._reader.pause(partitions)

    def resume(self, partitions: Sequence[int]) -> None:
        """Let these go on."""
        self._reader.resume(partitions)

    def lag(self) -> Mapping[int, int]:
        """Entries not yet read."""
        return self._reader.lag()

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks, waiting for the first."""
        return self._inbox.read(max_blocks, timeout_s)
