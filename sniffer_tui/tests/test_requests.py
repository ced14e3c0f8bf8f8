"""Ten viewers cost the pipeline's process no request: what it asks of its location is counted, without and with them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps

from pypz.core.channels.memory.status import MemoryStatusStream
from pypz.core.hooks.host import PluginHost
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.programs import watching

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
PROJECT = Path(__file__).parent / "project"

VIEWERS = 10
WINDOWS = 2
BEATS = 3
"""A window lasts for so many signs of life of the process: a slow machine makes it longer, and asks no more in it."""

NOISE = VIEWERS - 1
"""What a window may have more of by chance: with one request for each viewer there would be more."""

HOUSEKEEPING = {"Metadata", "ApiVersion"}
"""What a Kafka client asks now and then by itself."""

COUNTING = """
import json, logging, re, socket, sqlite3, sys, threading
from collections import Counter

counts, lock = Counter(), threading.Lock()

def note(what):
    with lock:
        counts[what] += 1

class Requests(logging.Handler):  # librdkafka tells each that it sends (debug=protocol)
    def emit(self, record):
        for kind in re.findall(r"Sent (\\w+?)Request", record.getMessage()):
            note(kind)

logging.getLogger("pypz.plugins.kafka_io").addHandler(Requests())
logging.getLogger("pypz.plugins.kafka_io").setLevel(logging.DEBUG)

connect, Socket = sqlite3.connect, socket.socket

def counted_connect(*given, **named):
    connection = connect(*given, **named)
    connection.set_trace_callback(lambda text: note(" ".join(text.split()[:3])))
    return connection

class CountedSocket(Socket):
    def sendto(self, *given):
        note("datagram")
        return super().sendto(*given)

sqlite3.connect, socket.socket = counted_connect, CountedSocket

from sniffed_pipelines import TwoSteps
from pypz.executors.pipeline.executor import PipelineExecutor

name, location, gate, config = sys.argv[1:]
p = TwoSteps(name)
p.set_parameter(">>channelLocation", location)
p.set_parameter(">>channelConfig", json.loads(config))
p.writer.set_parameter("gate", gate)
run = threading.Thread(target=lambda: PipelineExecutor(p).start(), daemon=True)
run.start()
for line in sys.stdin:
    with lock:
        print(json.dumps(counts), flush=True)
run.join(60)
"""


class Elsewhere:
    """A pipeline in a process that counts what it asks of its location."""

    def __init__(self, location: str, unit: str, config: dict[str, str], gate: Path) -> None:
        self.name = f"asked_{uuid.uuid4().hex[:8]}"
        self._location, self._unit, self._gate = location, unit, gate
        given = [self.name, location, str(gate), json.dumps(config)]
        self._process = subprocess.Popen(
            [sys.executable, "-c", COUNTING, *given],
            cwd=PROJECT,
            env={**os.environ, "PYTHONPATH": str(PROJECT)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def pipeline(self) -> TwoSteps:
        made = TwoSteps(self.name)
        made.set_parameter(">>channelLocation", self._location)
        return made

    def counts(self) -> Counter[str]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return Counter(json.loads(self._process.stdout.readline()))

    def window(self, beats: int = BEATS) -> Counter[str]:
        """Count until the process has given so many signs of life."""
        return counted(self.counts, self._unit, beats)

    def close(self) -> None:
        self._gate.touch()
        try:
            self._process.communicate(timeout=60)
        finally:
            self._process.kill()
            transport = PluginHost.default().make_transport(self._location, {})
            channel = transport.describe_channel(f"{self.name}.reader.inp")
            if channel is not None:
                transport.delete_channel(channel, 30)
            transport.delete_status(self.name, 30)
            transport.close()


def counted(counts: Callable[[], Counter[str]], unit: str, beats: int) -> Counter[str]:
    before, pause, deadline = counts(), threading.Event(), time.monotonic() + 60
    while (now := counts())[unit] - before[unit] < beats:
        assert time.monotonic() < deadline, (unit, now)
        pause.wait(0.05)
    return now - before


def until_taken(model: PipelineModel) -> None:
    deadline, pause = time.monotonic() + 60, threading.Event()
    while sum(p.records or 0 for m in model.frame().members for p in m.ports if p.name == "inp") != 10:
        assert time.monotonic() < deadline, model.frame()
        pause.wait(0.05)


def compare(window: Callable[[], Counter[str]], pipeline: Callable[[], TwoSteps], free: set[str]) -> None:
    """Count some windows without, then some with ten viewers, beginning while they come."""
    without = [window() for _ in range(WINDOWS)]
    with ExitStack() as viewers:
        models = [viewers.enter_context(watching(pipeline())) for _ in range(VIEWERS)]
        coming = window()
        for model in models:
            until_taken(model)
        beside = [window() for _ in range(WINDOWS)]
    for kind in set().union(*without, coming, *beside):
        most = max(one[kind] for one in without)
        told = (kind, without, coming, beside)
        assert min(one[kind] for one in beside) <= most + NOISE, told
        if kind not in free:
            assert most or not coming[kind] + sum(one[kind] for one in beside), told


KAFKA = pytest.param(
    (f"kafka://{BOOTSTRAP}", "Produce", {"debug": "protocol"}),
    marks=[pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP=host:port")],
    id="kafka",
)


@pytest.fixture(params=[pytest.param(("local:{}/channels", "INSERT INTO beats", {}), id="local"), KAFKA])
def elsewhere(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Elsewhere]:
    location, unit, config = request.param
    made = Elsewhere(location.format(tmp_path), unit, config, tmp_path / "gate")
    yield made
    made.close()


@pytest.mark.slow
def test_ten_viewers_cause_no_request_in_the_pipeline_s_process(elsewhere: Elsewhere) -> None:
    with watching(elsewhere.pipeline()) as model:
        until_taken(model)
    first = elsewhere.window(BEATS + 1)  # figures that stand still become facts
    assert first
    compare(elsewhere.window, elsewhere.pipeline, HOUSEKEEPING)


def test_ten_viewers_in_the_pipeline_s_own_process_cause_no_entry_and_no_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On ``memory:`` all share a process: what its own threads read and write is counted."""
    counts: Counter[str] = Counter()

    def count(kind: str) -> None:
        inner = getattr(MemoryStatusStream, kind)

        def noted(self: Any, *given: Any, **named: Any) -> Any:
            if not threading.current_thread().name.startswith(("pypz-receiver", "pypz-sniffer")):
                counts[kind] += 1
            return inner(self, *given, **named)

        monkeypatch.setattr(MemoryStatusStream, kind, noted)

    for kind in ("join", "put", "put_first", "beat", "log", "facts", "changes"):
        count(kind)
    name, gate = f"asked_{uuid.uuid4().hex[:8]}", tmp_path / "gate"

    def pipeline() -> TwoSteps:
        made = TwoSteps(name)
        made.set_parameter(">>channelLocation", f"memory:{name}")
        made.writer.set_parameter("gate", str(gate))
        return made

    run = threading.Thread(target=lambda: PipelineExecutor(pipeline()).start())
    run.start()
    try:
        with watching(pipeline()) as model:
            until_taken(model)
        counted(counts.copy, "beat", BEATS + 1)
        compare(lambda: counted(counts.copy, "beat", BEATS), pipeline, set())
    finally:
        gate.touch()
        run.join(60)
    assert not run.is_alive()
