"""The transport of local files keeps what the kit asks of every transport."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest
from plugins.local_io.tests.members import Mount

from pypz.core.channels.spi import ChannelInfo
from pypz.plugins.local_io.database import FILE
from pypz.plugins.local_io.folder import free_bytes
from pypz.testing import TransportConformance
from pypz.testing.transport.base import ForgetRead


class TestLocal(TransportConformance):
    @pytest.fixture
    def location(self, tmp_path: Path) -> str:
        return f"local:{tmp_path / 'channels'}"

    @pytest.fixture
    def tight_options(self) -> Mapping[str, str]:
        return {"max.bytes": "20000"}

    @pytest.fixture
    def forget_read(self, tmp_path: Path) -> ForgetRead | None:
        """A group that came later than blocks were removed: nothing else has a position that was passed."""

        def forget(info: ChannelInfo, partition: int, position: str) -> None:
            with closing(sqlite3.connect(tmp_path / "channels" / FILE)) as connection, connection:
                connection.execute(
                    "UPDATE partitions SET base = ? WHERE number = ? AND channel = (SELECT id FROM channels WHERE name = ?)",
                    (int(position), partition, info.name),
                )

        return forget


class TestLocalSynced(TestLocal):
    """With every transaction on the disk before it counts."""

    @pytest.fixture
    def options(self) -> Mapping[str, str]:
        return {"sync": "full"}


class TestLocalOnASmallDisk(TestLocal):
    """With a disk that somebody else fills up."""

    @pytest.fixture
    def disk(self, mount: Mount) -> Path:
        return mount("size=400m")

    @pytest.fixture
    def location(self, disk: Path) -> str:
        return f"local:{disk / 'channels'}"

    @pytest.fixture
    def forget_read(self) -> ForgetRead | None:
        return None

    @pytest.fixture
    def outage(self, disk: Path) -> Callable[[], AbstractContextManager[None]]:
        @contextmanager
        def fill() -> Iterator[None]:
            with open(disk / "of-somebody-else", "wb") as file:
                os.posix_fallocate(file.fileno(), 0, free_bytes(disk))
            yield
            (disk / "of-somebody-else").unlink()

        return fill

    @pytest.fixture
    def patience_s(self) -> float:
        return 10.0
