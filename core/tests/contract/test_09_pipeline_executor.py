"""Section 9: a whole pipeline in this process. Replicas run too, there is no limit of operators, exit codes are kept.

The rest of what it promises is tested beside it, in ``core/tests/executors/test_pipeline_executor.py``.
"""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.pipeline.executor import PipelineExecutor

DEADLINE_S = 20.0
RUNNING: dict[str, Callable[[Any], Any]] = {}


class Worker(BlankOperator):
    def _on_running(self) -> bool | None:
        work = RUNNING.get("work")
        return True if work is None else work(self)


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.one = Worker()
        self.two = Worker()


@pytest.fixture
def host() -> Iterator[PluginHost]:
    RUNNING.clear()
    made = PluginHost(load=False)
    yield made
    made.close()


def test_start_waits_for_the_end_of_all_operators_replicas_included(host: PluginHost) -> None:
    ended: list[str] = []

    def work(operator: Any) -> bool:
        ended.append(operator.get_full_name())
        return True

    RUNNING["work"] = work
    pipeline = Works("p")
    pipeline.one.set_parameter("replicationFactor", 2)
    PipelineExecutor(pipeline, host=host).start()
    assert sorted(ended) == ["p.one", "p.one_0", "p.one_1", "p.two"]


def test_the_exit_codes_are_kept(host: PluginHost) -> None:
    assert PipelineExecutor(Works("p"), host=host).start(ExecutionMode.Skip) == {"p.one": 0, "p.two": 0}
    assert PipelineExecutor(Works("p"), host=host).start() == {"p.one": 0, "p.two": 0}


def test_dependencies_between_operators_are_kept_and_never_acted_on(host: PluginHost) -> None:
    both = threading.Barrier(2, timeout=DEADLINE_S)
    RUNNING["work"] = lambda operator: both.wait() >= 0
    pipeline = Works("p")
    pipeline.one.depends_on(pipeline.two)
    assert PipelineExecutor(pipeline, host=host).start() == {"p.one": 0, "p.two": 0}
    assert pipeline.get_dto().spec.nestedInstances[0].dependsOn == ["two"]


def test_there_is_no_limit_of_32_operators(host: PluginHost) -> None:
    pipeline = Works("p")
    pipeline.one.set_parameter("replicationFactor", 39)
    assert len(PipelineExecutor(pipeline, host=host).start()) == 41


def test_a_signal_interrupts_all_and_the_handlers_come_back(host: PluginHost) -> None:
    before = signal.getsignal(signal.SIGTERM)
    both = threading.Barrier(2, timeout=DEADLINE_S, action=lambda: os.kill(os.getpid(), signal.SIGTERM))
    met: set[str] = set()

    def work(operator: Any) -> bool:
        if operator.get_full_name() not in met:
            met.add(operator.get_full_name())
            both.wait()
        return False

    RUNNING["work"] = work
    assert PipelineExecutor(Works("p"), host=host).start() == {"p.one": 130, "p.two": 130}
    assert signal.getsignal(signal.SIGTERM) == before


def test_shutdown_waits_and_interrupt_ends_a_start_in_another_thread(host: PluginHost) -> None:
    began = threading.Event()

    def work(operator: Any) -> bool:
        began.set()
        return False

    RUNNING["work"] = work
    executor = PipelineExecutor(Works("p"), host=host)
    codes: list[dict[str, int]] = []
    thread = threading.Thread(target=lambda: codes.append(executor.start()))
    thread.start()
    assert began.wait(DEADLINE_S)
    executor.interrupt(signal.SIGTERM, None)
    executor.shutdown()
    thread.join(DEADLINE_S)
    assert codes == [{"p.one": 130, "p.two": 130}]
