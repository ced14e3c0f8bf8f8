"""Folders of every kind, and members at them."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from plugins.local_io.tests.members import Mount

from pypz.plugins.local_io.transport import LocalTransport


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small disk with these options, where the system lets us."""
    with ExitStack() as stack:

        def make(options: str) -> Path:
            folder = tmp_path / f"disk-{uuid.uuid4().hex[:6]}"
            folder.mkdir()
            if os.geteuid() != 0:
                pytest.skip("only root may mount")
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True
            )
            if done.returncode:
                pytest.skip(f"mount: {done.stderr.strip()}")
            stack.callback(lambda: subprocess.run(["umount", folder], check=True))
            return folder

        yield make


@pytest.fixture
def open_transport(tmp_path: Path) -> Iterator[Callable[..., LocalTransport]]:
    """Opens transports, by default at one folder, and closes them."""
    made: list[LocalTransport] = []

    def make(folder: Path | None = None, **options: str) -> LocalTransport:
        location = f"local:{folder or tmp_path / 'channels'}"
        made.append(LocalTransport(location, {name.replace("_", "."): value for name, value in options.items()}))
        return made[-1]

    yield make
    for transport in made:
        transport.close()
