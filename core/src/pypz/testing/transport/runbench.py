"""Runs of a pipeline over the transport under test, with members that start, stop and die one by one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest

from pypz.core.channels.runs.run import PipelineRun
from pypz.core.commons.errors import PypzError
from pypz.core.hooks.events import ChannelStatus
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import RUN_VARIABLE, OperatorExecutor
from pypz.testing.promises import Worker, result_of
from pypz.testing.transport.bench import Bench
from pypz.testing.transport.line import LedSink, LedSource


class Watch:
    """An observer that keeps the last figures of each input port."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.inputs: dict[str, ChannelStatus] = {}

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        """A port has told its figures."""
        if status.port.direction == "in":
            with self.changed:
                self.inputs[status.port.operator.name] = status
                self.changed.notify_all()


class StartedMember:
    """One member that a thread executes."""

    def __init__(self, operator: Operator, run: PipelineRun, host: PluginHost, patience_s: float) -> None:
        self.name = operator.get_full_name()
        self._executor = OperatorExecutor(operator, False, run=run, host=host)
        self._worker = Worker(self.name)
        self._patience_s = patience_s
        self._code: Future[int] = self._worker.submit(self._executor.execute)

    @property
    def has_ended(self) -> bool:
        """Whether the execution has returned."""
        return self._code.done()

    def code(self) -> int:
        """Wait for the exit code."""
        return result_of(self._code, f"the execution of {self.name}", self._patience_s)

    def interrupt(self) -> int:
        """Interrupt it and give its exit code."""
        self._executor.interrupt()
        return self.code()

    def close(self) -> None:
        """Interrupt it if it still runs."""
        if not self.has_ended:
            with contextlib.suppress(pytest.fail.Exception):
                self.interrupt()
        self._worker.close()


class RunBench:
    """One run after the other of one pipeline; ``runner`` is the command line of a member's process, empty without processes."""

    def __init__(
        self,
        bench: Bench,
        pipeline: Pipeline,
        host: PluginHost,
        location: str,
        options: Mapping[str, str],
        runner: Sequence[str],
        folder: Path,
    ) -> None:
        self.bench = bench
        self.host = host
        self.location = location
        self.patience_s = bench.patience_s
        self.watch = Watch()
        self._pipeline = pipeline
        self._options = options
        self._runner = runner
        self._folder = folder
        self._members: list[StartedMember] = []
        self._processes: list[subprocess.Popen[bytes]] = []
        self._run: PipelineRun | None = None
        self._name = f"kit {uuid.uuid4().hex}"
        host.register(self.watch, self._name)
        pipeline.set_parameter(">>channelLocation", location)
        pipeline.set_parameter(">>channelConfig", dict(options))
        bench.adopt(pipeline)

    @property
    def run(self) -> PipelineRun:
        """The run; begun when it is first asked for."""
        if self._run is None:
            self._run = PipelineRun.start(self._pipeline, self.host)
        return self._run

    def start(self, operator: Operator) -> StartedMember:
        """Start a member of the run, again if it has run before."""
        with self.watch.changed:
            self.watch.inputs.pop(operator.get_full_name(), None)
        self._members.append(StartedMember(operator, self.run, self.host, self.patience_s))
        return self._members[-1]

    def start_and_kill(self, source: LedSource, sends: int, until: Callable[[], None]) -> None:
        """Start a source that sends so many numbers; kill it when ``until`` has returned: -9, where there are processes."""
        if not self._runner:
            session = self.run.enter(source, ExecutionMode.Standard)
            source.port._on_port_open()
            source.port.send(list(range(sends)))
            until()
            session.close()
            return
        source.set_parameter("first", sends)
        config = self._folder / "line.yaml"
        config.write_text(str(self._pipeline), encoding="utf-8")
        source.set_parameter("first", 0)
        process = subprocess.Popen(
            [*self._runner, str(config), source.get_full_name()],
            env={**os.environ, RUN_VARIABLE: self.run.id},
        )
        self._processes.append(process)
        until()
        process.kill()
        process.wait(self.patience_s)

    def finish(self) -> None:
        """End the run, as if it had been interrupted; what stands in the channels stays."""
        if self._run is not None:
            run, self._run = self._run, None
            run.finish("interrupted")
            run.close()

    def forget_told(self) -> None:
        """From now on only figures count that are told later."""
        with self.watch.changed:
            self.watch.inputs.clear()

    def until_got(self, sink: LedSink, *records: Any) -> None:
        """Wait until a sink has got just these records, in this order."""
        with sink.changed:
            sink.changed.wait_for(lambda: len(sink.got) >= len(records), self.patience_s)
            assert sink.got == list(records)

    def until_told(self, operator: Operator, condition: Callable[[ChannelStatus], bool], what: str) -> None:
        """Wait until the figures of an operator's input port fulfil a condition."""
        name = operator.get_full_name()
        with self.watch.changed:
            is_so = self.watch.changed.wait_for(
                lambda: name in self.watch.inputs and condition(self.watch.inputs[name]), self.patience_s
            )
            assert is_so, f"{name} never told that {what}; it told last: {self.watch.inputs.get(name)}"

    def until_waits_for(self, sink: LedSink, *sources: Operator) -> None:
        """Wait until a sink says that it waits for just these sources."""
        names = {source.get_full_name() for source in sources}
        self.until_told(
            sink,
            lambda status: {writer.split("/")[0] for writer in status.waits_for.split(", ")} == names,
            f"it waits for {sorted(names)}",
        )

    def close(self) -> None:
        """End whatever still runs."""
        for process in self._processes:
            process.kill()
            process.wait(self.patience_s)
        for member in self._members:
            member.close()
        with contextlib.suppress(PypzError):
            self.finish()
        self.host.unregister(self._name)
