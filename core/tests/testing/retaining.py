"""Memory with what it has not by itself: fencing, retention that passes unread blocks, and outages."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from core.tests.testing.proxies import ClientProxy, ReaderProxy, TransportProxy, WriterProxy

from pypz.core.channels.spi import Block, ChannelInfo, Committed, Guarantee, Member, Unit
from pypz.core.commons.errors import FencedError, PositionGoneError, TransportError


class RetainingReader(ReaderProxy):
    def committed(self, partition: int) -> Committed | None:
        found: Committed | None = self.inner.committed(partition)
        first = self.inner.channel.partitions[partition].base
        if found is not None and int(found.position) < first:
            raise PositionGoneError(
                f"channel {self.inner.channel.info.name!r}: position {found.position} is gone, the log begins at {first}"
            )
        return found


class BreakableWriter(WriterProxy):
    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        if self.kept.get("is_out"):
            raise TransportError("the disk is full")
        return super().write(partition, block, wait)


class RetainingClient(ClientProxy):
    writer_class = BreakableWriter
    reader_class = RetainingReader

    def settle(self, timeout_s: float) -> Any:
        self.kept.setdefault("epochs", {})[self.member.key] = self.epoch
        return self.inner.settle(timeout_s)

    def commit(self, unit: Unit, timeout_s: float) -> None:
        if self.kept.get("epochs", {}).get(self.member.key, self.epoch) > self.epoch:
            raise FencedError(f"a later start of {self.member.key} has settled")
        super().commit(unit, timeout_s)

    def writer(self, channel: ChannelInfo) -> Any:
        made = super().writer(channel)
        made.kept = self.kept
        return made


class RetainingTransport(TransportProxy):
    client_class = RetainingClient
    declares = {"fencing": True}

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> Any:
        self.kept.setdefault("store", self.inner._store)
        return super().open_client(member, epoch, guarantee)


def forget_before(kept: dict[str, Any], info: ChannelInfo, partition: int, position: str) -> None:
    """Drop blocks, whoever has not read them."""
    log = kept["store"].channels[info.name].partitions[partition]
    del log.blocks[: int(position) - log.base]
    log.base = int(position)


@contextmanager
def out_of_order(kept: dict[str, Any]) -> Iterator[None]:
    """Writing fails within."""
    kept["is_out"] = True
    yield
    kept["is_out"] = False
