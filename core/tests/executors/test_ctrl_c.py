"""Ctrl-C once and twice, wherever a pipeline stands: the first ends it with 130, the second the process, at once."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

DEADLINE_S = 60.0

SCRIPT: Final = """
    import sys
    import threading

    from pypz.core.channels.runs.run import PipelineRun
    from pypz.core.specs.misc import (
        BlankInputPortPlugin, BlankOperator, BlankResourceHandlerPlugin, BlankServicePlugin
    )
    from pypz.core.specs.pipeline import Pipeline
    from pypz.core.specs.plugin import ExtendedPlugin
    from pypz.executors.operator.executor import OperatorExecutor
    from pypz.executors.pipeline.executor import PipelineExecutor

    kind, where, listens = sys.argv[1:]
    interrupted = threading.Event()

    def come_to(place):
        if place == where:
            print("here", flush=True)
            (interrupted if listens == "listens" else threading.Event()).wait()
        return True

    class Service(BlankServicePlugin):
        def _on_service_start(self): return come_to("service start")
        def _on_service_shutdown(self): return come_to("service shutdown")

    class Resource(BlankResourceHandlerPlugin):
        def _on_resource_creation(self): return come_to("resource creation")
        def _on_resource_deletion(self): return come_to("resource deletion")

    class Port(BlankInputPortPlugin):
        def _on_port_open(self): return come_to("port open")
        def _on_port_close(self): return come_to("port close")

    class Around(ExtendedPlugin):
        def _pre_execution(self): come_to("pre execution")
        def _post_execution(self): come_to("post execution")
        def _on_interrupt(self, system_signal=None): pass
        def _on_error(self, source, exception): pass

    class Worker(BlankOperator):
        def __init__(self, name=None, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.around, self.service, self.resource, self.port = Around(), Service(), Resource(), Port()
        def _on_init(self): return come_to("init")
        def _on_running(self): return come_to("running")
        def _on_shutdown(self): return come_to("shutdown")
        def _on_interrupt(self, system_signal=None):
            print("interrupted", flush=True)
            interrupted.set()

    class Demo(Pipeline):
        def __init__(self, name, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.op = Worker()

    def slow(begin):
        def begins(*args, **kwargs):
            come_to("connecting")
            return begin(*args, **kwargs)
        return begins

    PipelineRun.start, PipelineRun.join = slow(PipelineRun.start), slow(PipelineRun.join)
    demo = Demo("demo")
    if kind == "pipeline":
        print(PipelineExecutor(demo).start()["demo.op"], flush=True)
    else:
        print(OperatorExecutor(demo.op).execute(), flush=True)
"""

PLACES: Final = (
    "pre execution",
    "service start",
    "resource creation",
    "port open",
    "init",
    "running",
    "shutdown",
    "port close",
    "resource deletion",
    "service shutdown",
    "post execution",
)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    made: list[subprocess.Popen[str]] = []

    def begin(*arguments: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(SCRIPT), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        made.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "here\n"
        return process

    yield begin
    for process in made:
        if process.poll() is None:
            process.kill()
        process.communicate()


def once(process: subprocess.Popen[str]) -> tuple[list[str], str]:
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, err
    return out.splitlines(), err


@pytest.mark.parametrize("kind", ["pipeline", "operator"])
@pytest.mark.parametrize("where", PLACES)
def test_once_ends_the_pipeline_with_130(start: Start, kind: str, where: str) -> None:
    out, err = once(start(kind, where, "listens"))
    assert out == ["interrupted", "130"]
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", ["pipeline", "operator"])
def test_once_while_connecting_does_not_wait_for_the_location(start: Start, kind: str) -> None:
    out, err = once(start(kind, "connecting", "hangs"))
    assert out[-1:] == ["130"]
    assert "Traceback" not in err


@pytest.mark.parametrize("kind", ["pipeline", "operator"])
@pytest.mark.parametrize("where", PLACES)
def test_twice_ends_the_process_at_once(start: Start, kind: str, where: str) -> None:
    process = start(kind, where, "hangs")
    process.send_signal(signal.SIGINT)
    stdout: Any = process.stdout
    assert stdout.readline() == "interrupted\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(DEADLINE_S) == 130
