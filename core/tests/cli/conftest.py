"""A user's project in a folder of its own, and the installed script ``pypz``."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

SHOP = '''
"""Two operators of a user: the code that the tests of the command line run."""

import json
from pathlib import Path

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline


class Base(Operator):
    def _on_init(self):
        return True

    def _on_shutdown(self):
        return True

    def _on_interrupt(self, system_signal=None):
        pass

    def _on_error(self, source, exception):
        pass


class Writer(Base):
    count = OptionalParameter(int)
    fails = OptionalParameter(bool)
    ends = OptionalParameter(bool)

    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.count = 100
        self.fails = False
        self.ends = True
        self.out = ChannelOutputPort()
        self.sent = False

    def _on_running(self):
        if not self.sent:
            self.out.send([{"n": number} for number in range(self.count)])
            self.sent = True
        if self.fails:
            raise ValueError("no more paper")
        return self.ends


class Reader(Base):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.got = []

    def _on_running(self):
        self.got += [record["n"] for record in self.input.retrieve()]

    def _on_shutdown(self):
        print("got", len(self.got), flush=True)
        return True


class ShopPipeline(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.reader = Reader()
        self.reader.input.connect(self.writer.out)


class Failing(Base):
    def _on_running(self):
        raise ValueError("no more paper")


class Telling(Base):
    def _on_running(self):
        print("got 7", flush=True)
        return True


class Lonely(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.op = Failing()
        self.other = Telling()


ready = ShopPipeline("ready")
ready.set_parameter(">>channelLocation", "memory:ready")
'''


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with the user's module ``shop``."""
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "shop.py").write_text(SHOP)
    monkeypatch.chdir(folder)
    return folder


Pypz = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pypz(project: Path) -> Pypz:
    """Run the script in the user's folder."""

    def call(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "pypz.cli.main", *arguments],
            cwd=project,
            env={**os.environ, "COLUMNS": "160", **variables},
            capture_output=True,
            text=True,
            timeout=120,
        )

    return call
