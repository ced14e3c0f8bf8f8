"""Makes, describes and deletes channels in Redis, and opens what reads and writes them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

from pypz.core.channels.spi import Capabilities, ChannelInfo, ChannelSpec, Guarantee, Member
from pypz.core.commons.errors import ConfigurationError
from pypz_redis.client import MAX_NOTE, RedisClient, RedisObserver
from pypz_redis.scripts import (
    CREATE,
    DELETE,
    PIPELINES,
    beats_key,
    blocks_key,
    changes_key,
    channel_key,
    epochs_key,
    facts_key,
    gone_key,
    groups_key,
    notes_key,
    positions_key,
    room_key,
)
from pypz_redis.server import Server
from pypz_redis.status import RedisStatusStream
from pypz_redis.writer import MAX_BLOCK

DEFAULT_MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes that one partition holds before `write` waits (chosen: Redis keeps all of them in memory)."""
GONE_S: Final = 600
"""Seconds for which readers of a deleted channel can still learn of it at once (chosen)."""

CAPABILITIES: Final = Capabilities(
    durable="process",
    across_processes=True,
    across_hosts=True,
    partitions=True,
    raise_partitions=True,
    transactions=False,
    fencing=True,
    group_assignment=False,
    seek=True,
    keeps_read=False,
    last_value=True,
    inline=False,
    max_block=MAX_BLOCK,
    max_note=MAX_NOTE,
)


class RedisTransport:
    """A `Transport`. Connects at the first use."""

    capabilities: Final = CAPABILITIES

    def __init__(self, location: str, options: Mapping[str, str]) -> None:
        self._server = Server(location)
        self._max_bytes = _max_bytes(self._server.name, options)
        self._create = self._server.commands.register_script(CREATE)
        self._delete = self._server.commands.register_script(DELETE)

    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        """Make the channel or raise its partitions."""
        if spec.options:
            raise ConfigurationError(
                f"channel {spec.name!r} at {self._server.name}: Redis takes no topicConfig, given are {', '.join(spec.options)}"
            )
        incarnation = uuid.uuid4().hex[:12]  # the same at each try
        found = self._server.ask(
            lambda: self._create([channel_key(spec.name)], [incarnation, spec.partitions]),
            f"cannot make channel {spec.name!r}",
            timeout_s,
        )
        info = ChannelInfo(spec.name, int(found[1]), found[0].decode())
        if spec.groups:
            self._server.ask(lambda: self._keep_for(info, spec.groups), f"cannot make channel {spec.name!r}", timeout_s)
        return info

    def _keep_for(self, info: ChannelInfo, groups: Sequence[str]) -> None:
        """From now on nothing is dropped that one of these groups has not committed."""
        step = self._server.commands.pipeline(transaction=True)
        step.delete(groups_key(info))
        step.sadd(groups_key(info), *groups)
        step.execute()

    def describe_channel(self, name: str) -> ChannelInfo | None:
        """Tell what is known of the channel."""
        found: Any = self._server.ask(
            lambda: self._server.commands.hmget(channel_key(name), ["incarnation", "partitions"]),
            f"cannot look at channel {name!r}",
        )
        return ChannelInfo(name, int(found[1]), found[0].decode()) if found[0] else None

    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        """Delete that incarnation; who reads or writes it fails."""
        prefix = blocks_key(info, 0).removesuffix("0")
        self._server.ask(
            lambda: self._delete(
                [channel_key(info.name), groups_key(info), room_key(info), gone_key(info)],
                [info.incarnation, prefix, positions_key(info, ""), GONE_S],
            ),
            f"cannot delete channel {info.name!r}",
            timeout_s,
        )

    def open_status(self, pipeline: str, create: bool) -> RedisStatusStream:
        """Open the pipeline's stream; it is made by the first entry."""
        return RedisStatusStream(self._server, pipeline)

    def pipelines(self) -> list[str]:
        """Names of the pipelines that have streams here."""
        found: Any = self._server.ask(lambda: self._server.commands.smembers(PIPELINES), "cannot list pipelines")
        return sorted(name.decode() for name in found)

    def delete_status(self, pipeline: str, timeout_s: float) -> None:
        """Remove the pipeline's stream."""
        keys = [key(pipeline) for key in (facts_key, changes_key, beats_key, epochs_key, notes_key)]

        def remove() -> None:
            pipe = self._server.commands.pipeline(transaction=True)
            pipe.delete(*keys)
            pipe.srem(PIPELINES, pipeline)
            pipe.execute()

        self._server.ask(remove, f"cannot remove the status of {pipeline!r}", timeout_s)

    def observe(self, channel: ChannelInfo) -> RedisObserver:
        """A reader of all partitions, from their ends on, that commits nothing."""
        return RedisObserver(self._server, channel)

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> RedisClient:
        """All ends of one member."""
        return RedisClient(self._server, self._max_bytes, member, epoch)

    def close(self) -> None:
        """Let go of the connections; idempotent."""
        self._server.close()


def _max_bytes(name: str, options: Mapping[str, str]) -> int:
    for key in options:
        if key != "max.bytes":
            raise ConfigurationError(
                f"{name}: channelConfig has no option {key!r}, expected 'max.bytes' (bytes a partition holds) or none"
            )
    given = options.get("max.bytes", str(DEFAULT_MAX_BYTES))
    if not given.isdigit() or int(given) < 1:
        raise ConfigurationError(
            f"{name}: option 'max.bytes' is {given!r}, expected a whole number of bytes, 1 or more; "
            f"leave it out for {DEFAULT_MAX_BYTES}"
        )
    return int(given)
