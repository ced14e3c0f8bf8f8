"""Channels in one folder: ``local:DIR``, one SQLite file for all of them, for any number of processes on one machine."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar

from pypz.core.channels.spi import (
    BlockReader,
    Capabilities,
    ChannelInfo,
    ChannelSpec,
    Guarantee,
    LogReader,
    Member,
    StatusStream,
)
from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError
from pypz.plugins.local_io import channels, status
from pypz.plugins.local_io.client import MAX_BLOCK, MAX_NOTE, LocalClient
from pypz.plugins.local_io.database import Database
from pypz.plugins.local_io.folder import check_can_be_made
from pypz.plugins.local_io.logs import LocalLogReader
from pypz.plugins.local_io.options import read_options
from pypz.plugins.local_io.outbox import Outbox
from pypz.plugins.local_io.reading import LocalObserver
from pypz.plugins.local_io.signals import Bell
from pypz.plugins.local_io.status import LocalStatusStream

K = TypeVar("K", LocalClient, LocalLogReader, LocalStatusStream)

CLEAN_S: Final = 5.0
"""Seconds that closing may take to remove what was consumed (chosen); the rest is removed by whoever opens the folder next."""

CAPABILITIES: Final = Capabilities(
    durable="process",
    across_processes=True,
    across_hosts=False,
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


class LocalTransport:
    """Channels in one folder; nothing is opened or made before it is needed."""

    def __init__(self, location: str, options: Mapping[str, str] | None = None) -> None:
        """Check the settings.

        Raises:
            ConfigurationError: Location or options make no sense.
        """
        self._options = read_options(location, options or {})
        self._database = Database(self._options)
        self._bell = Bell(self._database)
        self._outbox = Outbox(self._database, self._bell)
        self._lock = threading.Lock()
        self._open: list[LocalClient | LocalLogReader | LocalStatusStream] = []

    def __repr__(self) -> str:
        return f"LocalTransport({self._options.location!r})"

    @property
    def capabilities(self) -> Capabilities:
        """What a local file can do as this version uses it: exactly-once comes later."""
        return replace(CAPABILITIES, durable="machine") if self._options.is_synced else CAPABILITIES

    # --- channels ---

    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        """Make the channel, or raise its partitions.

        Raises:
            ConfigurationError: ``topicConfig`` is given: there is nothing to set; or the folder cannot hold channels.
            TransportError: The file cannot be made or written.
        """
        if spec.options:
            given = ", ".join(sorted(spec.options))
            raise ConfigurationError(
                f"channel {spec.name!r}: topicConfig has {given}, but channels at {self._options.location} have no settings of "
                "their own; leave it out"
            )
        self._database.open(create=True)
        row = self._database.write(
            partial(channels.create, name=spec.name, partitions=spec.partitions, groups=spec.groups)
        )
        self._bell.ring({row.topic})
        return row.info

    def describe_channel(self, name: str) -> ChannelInfo | None:
        """Tell what is known of the channel; makes neither folder nor file.

        Raises:
            TransportError: There is no folder, and it could not be made; or the file cannot be read.
        """
        if not self._database.open(create=False):
            if not self._options.folder.exists():
                check_can_be_made(self._options.location, self._options.folder)
            return None
        with self._database.reading() as connection:
            found = channels.find(connection, name)
        return None if found is None else found.info

    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        """Delete that incarnation with its positions; its blocks are removed by and by."""
        if not self._database.open(create=False):
            return
        with self._database.reading() as connection:
            found = channels.find(connection, info.name)
        if found is None or found.info.incarnation != info.incarnation:
            return
        self._database.write(partial(channels.delete, row=found))
        self._bell.ring({found.topic})
        self._outbox.clean(None)

    # --- status ---

    def open_status(self, pipeline: str, create: bool) -> StatusStream:
        """Open the status stream of a pipeline; a viewer's may wait for one that is made later."""
        self._database.open(create=create)
        return self._keep(LocalStatusStream(self._database, self._bell, self._outbox, pipeline, create=create))

    def open_logs(self, pipeline: str, kept: int) -> LogReader:
        """Follow the log lines of a pipeline; file and lines may be made later."""
        return self._keep(LocalLogReader(self._database, self._bell, pipeline, kept))

    def pipelines(self) -> list[str]:
        """Names of the pipelines that have streams here."""
        if not self._database.open(create=False):
            return []
        with self._database.reading() as connection:
            return [row[0] for row in connection.execute("SELECT pipeline FROM streams ORDER BY pipeline").fetchall()]

    def delete_status(self, pipeline: str, timeout_s: float) -> None:
        """Remove the pipeline's stream, and what its members have noted."""
        if self._database.open(create=False):
            self._database.write(partial(status.delete, pipeline=pipeline))
            self._bell.ring({status.topic_of(pipeline)})

    # --- clients ---

    def observe(self, channel: ChannelInfo) -> BlockReader:
        """A reader of all partitions, from the end on, that commits nothing and holds nothing back.

        Raises:
            ChannelGoneError: That making of the channel does not exist.
        """
        if not self._database.open(create=False):
            raise channels.gone(channel, self._options.location)
        return LocalObserver(self._database, self._bell, channel)

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> LocalClient:
        """Open what a member writes and reads by.

        Raises:
            NotBuiltYetError: The guarantee is not carried out yet.
        """
        if guarantee is Guarantee.EXACTLY_ONCE:
            raise NotBuiltYetError(
                f"{member.operator}: deliveryGuarantee {guarantee.value!r} is not carried out on local: yet; "
                f"use {Guarantee.AT_LEAST_ONCE.value!r}"
            )
        self._database.open(create=True)
        return self._keep(LocalClient(self._database, self._bell, self._outbox, member, epoch))

    def _keep(self, made: K) -> K:
        with self._lock:
            self._open = [one for one in self._open if not one.is_closed]
            self._open.append(made)
        return made

    def close(self) -> None:
        """Close what is still open; idempotent. Does nothing in a forked child: all is the parent's."""
        if self._database.is_forked():
            return
        with self._lock:
            left, self._open = self._open, []
        for one in left:
            one.close(0.0)
        self._outbox.close(CLEAN_S)
        self._bell.close()
        self._database.close()
