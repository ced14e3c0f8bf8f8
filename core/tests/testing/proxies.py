"""Transports that pass everything on to another one: what a faulty twin changes, and no more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pypz.core.channels.spi import Block, ChannelInfo, Guarantee, Member, Received, Unit


class Proxy:
    """Passes on what is not overridden; ``kept`` is shared by all of one location."""

    kept: dict[str, Any]

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


class WriterProxy(Proxy):
    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        return bool(self.inner.write(partition, block, wait))


class ReaderProxy(Proxy):
    group = ""


class ClientProxy(Proxy):
    writer_class: type[WriterProxy] = WriterProxy
    reader_class: type[ReaderProxy] = ReaderProxy

    def __init__(self, inner: Any, member: Member, epoch: int) -> None:
        super().__init__(inner)
        self.member = member
        self.epoch = epoch
        self.writers: list[Any] = []
        self.readers: list[Any] = []

    def writer(self, channel: ChannelInfo) -> Any:
        self.writers.append(self.writer_class(self.inner.writer(channel)))
        return self.writers[-1]

    def reader(self, channel: ChannelInfo, group: str, partitions: Sequence[int] | None, on_change: Any = None) -> Any:
        made = self.reader_class(self.inner.reader(channel, group, partitions, on_change))
        made.group = group
        self.readers.append(made)
        return made

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        return list(self.inner.read(max_blocks, timeout_s))

    def commit(self, unit: Unit, timeout_s: float) -> None:
        self.inner.commit(unit, timeout_s)

    def flush(self, timeout_s: float) -> None:
        self.inner.flush(timeout_s)

    def wake(self) -> None:
        self.inner.wake()

    def close(self, timeout_s: float) -> None:
        self.inner.close(timeout_s)


class StatusProxy(Proxy):
    pass


class TransportProxy(Proxy):
    """A transport whose clients and streams are of the classes given; ``kept`` is shared by all of one location."""

    client_class: type[ClientProxy] = ClientProxy
    status_class: type[StatusProxy] = StatusProxy
    declares: Mapping[str, Any] = {}

    def __init__(self, inner: Any, kept: dict[str, Any]) -> None:
        super().__init__(inner)
        self.kept = kept

    @property
    def capabilities(self) -> Any:
        from dataclasses import replace

        return replace(self.inner.capabilities, **self.declares)

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> Any:
        client = self.client_class(self.inner.open_client(member, epoch, Guarantee.AT_LEAST_ONCE), member, epoch)
        client.kept = self.kept
        return client

    def open_status(self, pipeline: str, create: bool) -> Any:
        stream = self.status_class(self.inner.open_status(pipeline, create))
        stream.kept = self.kept
        return stream
