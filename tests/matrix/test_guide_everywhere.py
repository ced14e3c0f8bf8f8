"""The guide's pipeline on each transport, in threads and in processes, alone and with replicas: the same records, and no trace.

Needs PYPZ_GUIDE, the folder with the guide and its helper. What runs left behind is counted behind a first run of the same kind,
which may set up what the process keeps.
"""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from plugins.local_io.tests.members import used_bytes

from pypz.core.channels.spi import Transport
from pypz.core.commons.errors import PypzError
from pypz.core.hooks.host import PluginHost
from pypz.executors.pipeline.executor import PipelineExecutor

GUIDE = os.environ.get("PYPZ_GUIDE")
BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")

pytestmark = [
    pytest.mark.skipif(not GUIDE, reason="needs PYPZ_GUIDE, the folder with the guide"),
    pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="counts threads and descriptors by /proc"),
]

KAFKA = pytest.param(
    "kafka", marks=[pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")]
)
RECORDS = 30
GROWTH_BYTES = 1024 * 1024
"""By which what lies in a local file may differ from one look to the next: log lines are bounded in number, not in size."""
SQLITE = b"SQLite format 3\0"
PATIENCE_S = 20.0

Isolation = Literal["thread", "process"]


@dataclass(frozen=True)
class Left:
    """What this process holds, and who runs below it."""

    threads: int
    descriptors: int
    children: int
    files: frozenset[str]

    @classmethod
    def count(cls, *folders: Path) -> Left:
        return cls(
            threads=len(os.listdir("/proc/self/task")),
            descriptors=len(os.listdir("/proc/self/fd")),
            children=sum(len(file.read_text().split()) for file in Path("/proc/self/task").glob("*/children")),
            files=frozenset(str(file) for folder in folders for file in folder.rglob("*")),
        )

    def exceeds(self, before: Left) -> bool:
        counts = (
            (self.threads, before.threads),
            (self.descriptors, before.descriptors),
            (self.children, before.children),
        )
        return any(after > earlier for after, earlier in counts) or bool(self.files - before.files)


def settled(before: Left, *folders: Path) -> Left:
    """Count until there is no more than ``before``, or patience ends."""
    deadline = time.monotonic() + PATIENCE_S
    while (after := Left.count(*folders)).exceeds(before) and time.monotonic() < deadline:
        threading.Event().wait(0.05)
    return after


@pytest.fixture(scope="module")
def guide_pipeline(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Any]]:
    """Makes the guide's pipeline, its classes imported from the guide's own files."""
    folder = tmp_path_factory.mktemp("guide")
    subprocess.run(
        [sys.executable, f"{GUIDE}/guide_project.py", str(folder), "--stage", "logger", "--sleep", "0"], check=True
    )
    sys.path.insert(0, str(folder))
    yield lambda name: importlib.import_module("pypz.example.pipeline").DemoPipeline(name)
    sys.path.remove(str(folder))
    for module in [module for module in sys.modules if module.startswith("pypz.example")]:
        del sys.modules[module]


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where all temporary files of the runs go."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return folder


@pytest.fixture(params=["memory", "local", KAFKA])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = uuid.uuid4().hex[:8]
    return {"memory": f"memory:{name}", "local": f"local:{tmp_path / 'channels'}", "kafka": f"kafka://{BOOTSTRAP}"}[
        request.param
    ]


@pytest.fixture
def host() -> Iterator[PluginHost]:
    made = PluginHost()
    yield made
    made.close()


@pytest.fixture
def transport(host: PluginHost, location: str) -> Iterator[Transport]:
    """The tests' own way to the location; it keeps what lives in ``memory:`` while they look."""
    made = host.make_transport(location, {})
    yield made
    made.close()


def texts(output: str) -> list[str]:
    return re.findall(r"Received record: +\{'text': '([^']*)'\}", output)


@pytest.mark.slow
@pytest.mark.parametrize("replicas", [0, 1, 3])
@pytest.mark.parametrize("isolation", ["thread", "process"])
def test_the_guides_records_arrive_and_nothing_is_left(
    guide_pipeline: Callable[[str], Any],
    host: PluginHost,
    location: str,
    transport: Transport,
    isolation: Isolation,
    replicas: int,
    temporary: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    name = f"matrix_{uuid.uuid4().hex[:8]}"

    def run() -> dict[str, int]:
        pipeline = guide_pipeline(name)
        pipeline.set_parameter(">>channelLocation", location)
        pipeline.set_parameter(">replicationFactor", replicas)
        pipeline.reader.logger.set_parameter("logLevel", "DEBUG")
        return PipelineExecutor(pipeline, isolation=isolation, host=host).start()

    if isolation == "process" and location.startswith("memory:"):
        with pytest.raises(PypzError, match="memory:"):
            run()
        return
    run()
    capfd.readouterr()
    before = Left.count(temporary, tmp_path)
    try:
        codes = run()
        members = [
            f"{name}.{group}{end}"
            for group in ("reader", "writer")
            for end in ["", *(f"_{i}" for i in range(replicas))]
        ]
        assert codes == dict.fromkeys(members, 0)
        received = texts(capfd.readouterr().out)
        assert sorted(received) == sorted([f"HelloWorld_{i}" for i in range(RECORDS)] * (replicas + 1))
        if not replicas:
            assert received == [f"HelloWorld_{i}" for i in range(RECORDS)]
        after = settled(before, temporary, tmp_path)
        assert not after.exceeds(before), f"{before} before the second run, {after} behind it"
        assert transport.describe_channel(f"{name}.reader.input_port") is None
    finally:
        transport.delete_status(name, PATIENCE_S)


def held_bytes(file: Path) -> int:
    """What lies in a file: of SQLite's without the free pages that it keeps, and without its log of bounded size."""
    if file.name.endswith(("-wal", "-shm")):
        return 0
    with file.open("rb") as opened:
        if opened.read(len(SQLITE)) != SQLITE:
            return file.stat().st_size
    return used_bytes(file)


@pytest.mark.slow
@pytest.mark.parametrize(("location", "count"), [("memory", 1000), ("local", 300)], indirect=["location"])
def test_hundreds_of_runs_leave_no_thread_descriptor_or_file_and_a_status_of_constant_size(
    guide_pipeline: Callable[[str], Any],
    host: PluginHost,
    location: str,
    transport: Transport,
    temporary: Path,
    tmp_path: Path,
    count: int,
) -> None:
    name = f"matrix_{uuid.uuid4().hex[:8]}"
    status = transport.open_status(name, True)

    def runs(times: int) -> tuple[int, int]:
        """Runs the pipeline; gives the status stream's facts and what lies in all files."""
        for _ in range(times):
            pipeline = guide_pipeline(name)
            pipeline.set_parameter(">>channelLocation", location)
            assert set(PipelineExecutor(pipeline, host=host).start().values()) == {0}
        return len(status.facts()), sum(held_bytes(file) for file in tmp_path.rglob("*") if file.is_file())

    facts, size_bytes = runs(count // 3)  # until there are as many log lines, figures and removed facts as are kept
    before = Left.count(temporary, tmp_path)
    facts_later, size_later_bytes = runs(count)
    after = settled(before, temporary, tmp_path)
    assert not after.exceeds(before), f"{before} before {count} runs, {after} behind them"
    assert facts_later == facts
    assert size_later_bytes <= size_bytes + GROWTH_BYTES, f"{size_bytes} before {count} runs, {size_later_bytes} behind"
    assert transport.pipelines() == [name]
    status.close()
    transport.delete_status(name, PATIENCE_S)
