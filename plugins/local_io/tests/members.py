"""Members, blocks and clients of the tests here."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from pypz.core.channels.spi import Block, ChannelInfo, Guarantee, Member
from pypz.plugins.local_io.client import LocalClient
from pypz.plugins.local_io.transport import LocalTransport

Mount = Callable[[str], Path]
Open = Callable[..., LocalTransport]


def used_bytes(file: Path) -> int:
    """What lies in a file of SQLite's, without the pages in it that are free."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        pages, free, size = (
            connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count", "page_size")
        )
    return int((pages - free) * size)


def member(operator: str = "p.reader") -> Member:
    return Member("p", operator, 0, uuid.uuid4().hex)


def block(text: str, size: int = 0) -> Block:
    return Block({"text": text}, text.encode().ljust(size, b"."))


def open_client(transport: LocalTransport, operator: str = "p.reader", epoch: int = 1) -> LocalClient:
    return transport.open_client(member(operator), epoch, Guarantee.AT_LEAST_ONCE)


def open_reading(transport: LocalTransport, info: ChannelInfo, group: str = "p.reader") -> LocalClient:
    """A client with a reader that goes on behind what its group has committed."""
    client = open_client(transport, group)
    reader = client.reader(info, group, range(info.partitions))
    for number in range(info.partitions):
        committed = reader.committed(number)
        reader.seek(number, committed.position if committed else "first")
    return client
