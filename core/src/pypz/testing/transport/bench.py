"""What the transport kit's tests work with: clients driven as the core drives them, and one name to clean up behind."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Final, TypeVar

import pytest

from pypz.core.channels.port import channel_ports_of
from pypz.core.channels.runs.whole import operators_of
from pypz.core.channels.spi import (
    AssignmentListener,
    Block,
    BlockReader,
    BlockWriter,
    ChannelClient,
    ChannelInfo,
    ChannelSpec,
    Committed,
    Guarantee,
    Member,
    MemberNote,
    Received,
    StatusStream,
    Transport,
    Unit,
)
from pypz.core.commons.errors import PypzError
from pypz.core.specs.pipeline import Pipeline
from pypz.testing.promises import Worker, result_of

T = TypeVar("T")

LONG_S: Final = 600.0
"""Seconds of a wait that something else has to end."""
ADMIN_S: Final = 60.0
"""Seconds that making or deleting a channel may take."""


def block_of(text: str, size: int = 0) -> Block:
    """A block that is known by ``text``, with a payload of at least ``size`` bytes."""
    return Block({"kit-text": text}, text.encode().ljust(size, b"."))


def texts_of(found: Sequence[Received]) -> list[str]:
    """What `block_of` has put into blocks."""
    return [received.block.headers["kit-text"] for received in found]


class DrivenWriter:
    """A `BlockWriter` called from a thread of its own; each call fails instead of hanging."""

    def __init__(self, spi: BlockWriter, worker: Worker, patience_s: float) -> None:
        self.spi = spi
        self._worker = worker
        self._patience_s = patience_s

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        """As `BlockWriter.write`."""
        return result_of(self.begin_write(partition, block, wait), "BlockWriter.write", self._patience_s)

    def begin_write(self, partition: int, block: Block, wait: bool = True) -> Future[bool]:
        """Begin a write that may wait."""
        return self._worker.submit(lambda: self.spi.write(partition, block, wait))

    def partition_count(self) -> int:
        """As `BlockWriter.partition_count`."""
        return self._worker.call(self.spi.partition_count, "BlockWriter.partition_count", self._patience_s)


class DrivenReader:
    """A `BlockReader` whose calls run on its client's thread."""

    def __init__(self, spi: BlockReader, client: DrivenClient, info: ChannelInfo) -> None:
        self.spi = spi
        self._client = client
        self.info = info

    def committed(self, partition: int) -> Committed | None:
        """As `BlockReader.committed`."""
        return self._client.on_thread(lambda: self.spi.committed(partition), "BlockReader.committed")

    def seek(self, partition: int, position: str) -> None:
        """As `BlockReader.seek`."""
        self._client.on_thread(lambda: self.spi.seek(partition, position), "BlockReader.seek")

    def pause(self, is_paused: bool) -> None:
        """As `BlockReader.pause` and `resume`, of partition 0."""
        self._client.on_thread(lambda: (self.spi.pause if is_paused else self.spi.resume)([0]), "BlockReader.pause")

    def lag(self) -> dict[int, int]:
        """As `BlockReader.lag`."""
        return dict(self._client.on_thread(self.spi.lag, "BlockReader.lag"))

    def go_on(self, partitions: Sequence[int]) -> None:
        """Go where a restarted reader goes: behind what is committed, else to the beginning."""
        for number in partitions:
            committed = self.committed(number)
            self.seek(number, committed.position if committed else "first")


class DrivenClient:
    """A `ChannelClient` as the core drives it: one thread reads, commits and closes, another writes."""

    def __init__(self, spi: ChannelClient, patience_s: float) -> None:
        self.spi = spi
        self.patience_s = patience_s
        self._reading = Worker("reads")
        self._writing = Worker("writes")
        self._is_closed = False

    def on_thread(self, call: Callable[[], T], what: str) -> T:
        """Run something on the client's thread."""
        return self._reading.call(call, what, self.patience_s)

    def settle(self) -> MemberNote | None:
        """As `ChannelClient.settle`."""
        return self.on_thread(lambda: self.spi.settle(self.patience_s), "ChannelClient.settle")

    def writer(self, info: ChannelInfo) -> DrivenWriter:
        """Open a writer."""
        spi = self.on_thread(lambda: self.spi.writer(info), "ChannelClient.writer")
        return DrivenWriter(spi, self._writing, self.patience_s)

    def reader(
        self,
        info: ChannelInfo,
        partitions: Sequence[int] | None = (0,),
        group: str = "group",
        on_change: AssignmentListener | None = None,
    ) -> DrivenReader:
        """Open a reader, which goes on behind what its group has committed."""
        spi = self.on_thread(lambda: self.spi.reader(info, group, partitions, on_change), "ChannelClient.reader")
        reader = DrivenReader(spi, self, info)
        reader.go_on(partitions or ())
        return reader

    def begin_read(self, max_blocks: int = 100, timeout_s: float = LONG_S) -> Future[list[Received]]:
        """Begin a read that may wait."""
        return self._reading.submit(lambda: self.spi.read(max_blocks, timeout_s))

    def read_once(self, max_blocks: int = 100, timeout_s: float = 0.0) -> list[Received]:
        """As `ChannelClient.read`."""
        return result_of(self.begin_read(max_blocks, timeout_s), "ChannelClient.read", self.patience_s + timeout_s)

    def read(self, count: int, max_blocks: int = 100) -> list[Received]:
        """Read so many blocks, or fail."""
        found: list[Received] = []
        deadline = time.monotonic() + self.patience_s
        while len(found) < count and time.monotonic() < deadline:
            found += self.read_once(max_blocks, 0.5)
        assert len(found) >= count, f"{len(found)} of {count} blocks came within {self.patience_s:g} s"
        return found

    def read_nothing(self) -> None:
        """Fail when there is a block."""
        found = self.read_once(100, 0.3)
        assert not found, f"blocks came that should not be there: {texts_of(found)}"

    def flush(self) -> None:
        """As `ChannelClient.flush`."""
        self._writing.call(lambda: self.spi.flush(self.patience_s), "ChannelClient.flush", 2 * self.patience_s)

    def commit(self, *positions: tuple[DrivenReader, int, Committed], note: bytes | None = None) -> None:
        """Commit positions, each by its reader, partition, and what to store; and a member note."""
        stored = {(reader.info.name, number): committed for reader, number, committed in positions}
        unit = Unit(stored, None if note is None else MemberNote(note))
        self.on_thread(lambda: self.spi.commit(unit, self.patience_s), "ChannelClient.commit")

    def wake(self) -> None:
        """As `ChannelClient.wake`."""
        self.spi.wake()

    def abort(self) -> None:
        """As `ChannelClient.abort`."""
        self.on_thread(self.spi.abort, "ChannelClient.abort")

    def close(self) -> None:
        """As `ChannelClient.close`, by the client's thread; and an end of the threads."""
        if not self._is_closed:
            self._is_closed = True
            self.spi.wake()  # a test that failed may have left a read
            closed = self._reading.submit(lambda: self.spi.close(5.0))
            self._writing.close()
            result_of(closed, "ChannelClient.close", self.patience_s)
            self._reading.close()


class Bench:
    """Transports at one location, and one pipeline's name under which all is made and removed again."""

    def __init__(self, open_transport: Callable[[], Transport], pipeline: str, patience_s: float) -> None:
        self._open_transport = open_transport
        self.pipeline = pipeline
        self.patience_s = patience_s
        self._transports: list[Transport] = []
        self._clients: list[DrivenClient] = []
        self._streams: list[StatusStream] = []
        self._channels: set[str] = set()
        self._has_status = False
        self.transport = self.open_transport()

    def open_transport(self) -> Transport:
        """Another transport at the same location."""
        made = self._open_transport()
        self._transports.append(made)
        return made

    def channel_name(self, port: str = "port") -> str:
        """Name of a channel of this test alone."""
        name = f"{self.pipeline}.reader.{port}"
        self._channels.add(name)
        return name

    def channel(self, partitions: int = 1, port: str = "port", transport: Transport | None = None) -> ChannelInfo:
        """Make a channel."""
        return (transport or self.transport).create_channel(ChannelSpec(self.channel_name(port), partitions), ADMIN_S)

    def adopt(self, pipeline: Pipeline) -> None:
        """Remove in the end what runs of this pipeline leave."""
        self._has_status = True
        for operator in operators_of(pipeline):
            for port in channel_ports_of(operator):
                self._channels.update(port.channel_names())

    def status(self, transport: Transport | None = None, create: bool = True) -> StatusStream:
        """Open the pipeline's status stream."""
        self._has_status |= create
        stream = (transport or self.transport).open_status(self.pipeline, create)
        self._streams.append(stream)
        return stream

    def member(self, operator: str = "reader", index: int = 0) -> Member:
        """A new start of a member."""
        return Member(self.pipeline, f"{self.pipeline}.{operator}", index, uuid.uuid4().hex[:12])

    def client(
        self,
        operator: str = "reader",
        index: int = 0,
        transport: Transport | None = None,
        guarantee: Guarantee = Guarantee.AT_LEAST_ONCE,
        settles: bool = True,
    ) -> DrivenClient:
        """Start a member: it joins, opens its client and settles."""
        transport = transport or self.transport
        member = self.member(operator, index)
        stream = self.status(transport)
        epoch = stream.join(member, b"{}")
        self._streams.remove(stream)
        stream.close()
        client = DrivenClient(transport.open_client(member, epoch, guarantee), self.patience_s)
        self._clients.append(client)
        if settles:
            client.settle()
        return client

    def forget(self, client: DrivenClient) -> None:
        """Close a client at once."""
        self._clients.remove(client)
        client.close()

    def forget_transport(self, transport: Transport) -> None:
        """Close a transport at once."""
        self._transports.remove(transport)
        transport.close()

    def close(self) -> None:
        """Close everything and remove what was made, also when some of it fails."""
        for client in self._clients:
            with contextlib.suppress(PypzError, pytest.fail.Exception):
                client.close()
        for stream in self._streams:
            stream.close()
        for name in self._channels:
            info = self.transport.describe_channel(name)
            if info is not None:
                self.transport.delete_channel(info, ADMIN_S)
        if self._has_status:
            self.transport.delete_status(self.pipeline, ADMIN_S)
        for transport in self._transports:
            transport.close()
