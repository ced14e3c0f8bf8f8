"""The end of a process that was killed is known to viewers elsewhere: its starter writes it in its place."""

from __future__ import annotations

import json
import os
import signal
import threading
import uuid
from pathlib import Path

import pytest
from chaos_line import ChaosLine

from pypz.core.commons.errors import PipelineFailedError
from pypz.core.hooks.events import ChannelStatus, ErrorInfo, LogRecord, OperatorRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.receiver import Receiver
from pypz.core.hooks.spec import hookimpl
from pypz.executors.pipeline.executor import PipelineExecutor


class Killer:
    """Kills the process of the sink once."""

    def __init__(self) -> None:
        self.killed: list[OperatorRef] = []
        self.lines: list[tuple[str, int]] = []

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        self.lines.append((record.operator.name, record.number))

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        operator = status.port.operator
        if operator.name.endswith(".sink") and status.records and not self.killed:
            self.killed.append(operator)
            os.kill(operator.process, signal.SIGKILL)


class Viewer:
    """What is told of the sink's end."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str, object]] = []
        self.has_ended = threading.Event()

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        if operator.name.endswith(".sink"):
            self.told.append((operator.start, during, error.type))

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        if operator.name.endswith(".sink"):
            self.told.append((operator.start, "", exit_code))
            self.has_ended.set()


@pytest.mark.slow
def test_a_viewer_of_the_status_stream_learns_of_a_killed_process(tmp_path: Path) -> None:
    pipeline = ChaosLine(f"seen_{uuid.uuid4().hex[:8]}")
    pipeline.set_parameter(">>channelLocation", f"local:{tmp_path}/channels")
    name = pipeline.get_full_name()
    host, away = PluginHost(), PluginHost()
    transport = away.make_transport(f"local:{tmp_path}/channels", {})
    killer, viewer = Killer(), Viewer()
    host.register(killer)
    away.register(viewer)
    receiver = Receiver([transport.open_status(name, create=False)], away)
    try:
        with pytest.raises(PipelineFailedError, match="137"):
            PipelineExecutor(pipeline, isolation="process", host=host).start()
        assert viewer.has_ended.wait(30)
        assert host.flush(30)
        facts = transport.open_status(name, create=False).facts()
    finally:
        receiver.close()
        transport.close()
        host.close()
        away.close()
    [victim] = killer.killed
    assert viewer.told == [(victim.start, "StateOperationRunning", "ProcessEnded"), (victim.start, "", 137)]
    assert json.loads(facts[f"exit/{name}.sink"].value or b"")["exit_code"] == 137
    assert {name for name, _ in killer.lines} == {f"{name}.{member}" for member in ("source", "copier", "sink")}
    assert len(set(killer.lines)) == len(killer.lines)  # by the pipe alone, not by the stream of lines, too
