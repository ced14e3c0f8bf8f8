"""The default logger plugin: lines, levels, colours."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from typing import Any

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import ServicePlugin
from pypz.executors.operator.executor import OperatorExecutor
from pypz.plugins.loggers import plugin as answers
from pypz.plugins.loggers.default import DefaultLoggerPlugin

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}"


class Service(ServicePlugin):
    def _on_service_start(self) -> bool:
        self.get_logger().info("service starts")
        return True

    def _on_service_shutdown(self) -> bool:
        return True


class Talking(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.logger = DefaultLoggerPlugin()
        self.service = Service()

    def _on_running(self) -> bool:
        self.get_logger().info("100 % done: {'a': 1}")
        self.get_logger().debug("a detail")
        return True


class Demo(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.op = Talking()


@pytest.fixture
def operator() -> Any:
    return Demo("demo").op


@pytest.fixture
def host() -> Any:
    made = PluginHost(load=False)
    made.register(answers, "loggers")
    yield made
    made.close()


@pytest.fixture
def terminal(monkeypatch: Any) -> Callable[[], None]:
    """Make stdout a terminal, to be called by the test: pytest changes stdout between set-up and test."""
    monkeypatch.delenv("NO_COLOR", raising=False)
    return lambda: monkeypatch.setattr(sys.stdout, "isatty", lambda: True)


def test_a_line_has_level_time_plugin_context_and_message(operator: Any, capsys: Any) -> None:
    operator.get_logger().info("hello")
    assert re.fullmatch(rf"INFO \| {TIME} \| demo\.op\.logger \| demo\.op \| hello\n", capsys.readouterr().out)


def test_plugins_have_their_own_name_as_context(operator: Any, capsys: Any) -> None:
    operator.service.get_logger().warning("careful")
    assert re.fullmatch(
        rf"WARNING \| {TIME} \| demo\.op\.logger \| demo\.op\.service \| careful\n", capsys.readouterr().out
    )


def test_an_execution_logs_transitions_at_info_and_timings_at_debug(operator: Any, host: Any, capsys: Any) -> None:
    assert OperatorExecutor(operator, host=host).execute() == 0
    lines = capsys.readouterr().out.splitlines()
    first = "demo.op.logger | demo.op | StateEntry | (StateEntry)--[SignalServicesStart]-->(StateServiceStart)"
    assert lines[0].endswith(first)
    assert sum("-->" in line for line in lines) == 8
    assert any(line.endswith("| demo.op | 100 % done: {'a': 1}") for line in lines)
    assert not any(line.startswith("DEBUG") for line in lines)
    operator.logger.set_parameter("logLevel", "DEBUG")
    assert OperatorExecutor(operator, host=host).execute() == 0
    lines = capsys.readouterr().out.splitlines()
    assert any(line.endswith("| a detail") for line in lines)
    timed = [line for line in lines if "StateOperationRunning | _on_running of demo.op: " in line]
    assert len(timed) == 1
    assert timed[0].endswith("ms in 1 call")


def test_an_error_is_logged_with_its_traceback(operator: Any, host: Any, capsys: Any) -> None:
    def fail() -> bool:
        raise ValueError("broken on purpose")

    object.__setattr__(operator, "_on_running", fail)
    assert OperatorExecutor(operator, host=host).execute() == 115
    out = capsys.readouterr().out
    assert "| StateOperationRunning | failed: ValueError: broken on purpose" in out
    assert "Traceback (most recent call last)" in out
    assert 'raise ValueError("broken on purpose")' in out


@pytest.mark.parametrize(("level", "colour"), [("error", "31"), ("warning", "33"), ("info", "37"), ("debug", "36")])
def test_a_terminal_gets_each_level_in_its_colour(
    operator: Any, capsys: Any, terminal: Any, level: str, colour: str
) -> None:
    terminal()
    operator.logger.set_parameter("logLevel", "DEBUG")
    getattr(operator.get_logger(), level)("hello")
    out = capsys.readouterr().out
    assert out.startswith(f"\x1b[{colour}m{level.upper()} | ")
    assert out.endswith("hello\x1b[0m\n")


def test_no_color_is_respected(operator: Any, capsys: Any, terminal: Any, monkeypatch: Any) -> None:
    terminal()
    monkeypatch.setenv("NO_COLOR", "1")
    operator.get_logger().error("hello")
    assert "\x1b" not in capsys.readouterr().out


def test_a_pipe_gets_no_colours(operator: Any, capsys: Any) -> None:
    operator.get_logger().error("hello")
    assert "\x1b" not in capsys.readouterr().out


def test_the_level_is_info_unless_told_otherwise_and_none_brings_it_back(operator: Any, capsys: Any) -> None:
    assert operator.logger.get_parameter("logLevel") == "INFO"
    operator.logger.set_parameter("logLevel", "ERROR")
    operator.get_logger().warning("left out")
    operator.logger.set_parameter("logLevel", None)
    operator.get_logger().info("back")
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(" | ")[2] for line in lines] == ["back"]


@pytest.mark.parametrize(("level", "kind"), [(10, TypeError), (["DEBUG"], TypeError), ("LOUD", ValueError)])
def test_a_level_that_makes_no_sense_is_refused(operator: Any, level: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind, match=r"(logLevel|log level)") as caught:
        operator.logger.set_parameter("logLevel", level)
    assert isinstance(caught.value, PypzError)
    assert operator.logger.get_parameter("logLevel") == "INFO"


def test_the_hook_answers_with_a_logger_for_operators_that_carry_none(host: Any, capsys: Any) -> None:
    class Silent(BlankOperator):
        pass

    class Quiet(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.op = Silent()

    pipeline = Quiet("quiet")
    assert OperatorExecutor(pipeline.op, host=host, want_logs=True).execute() == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert re.match(rf"INFO \| {TIME} \| quiet\.op \| StateEntry \| \(StateEntry\)--", first)


def test_the_plugin_goes_through_a_description(operator: Any) -> None:
    operator.logger.set_parameter("logLevel", "DEBUG")
    again = Pipeline.create_from_string(str(operator.get_context()))
    assert type(again.op.logger) is DefaultLoggerPlugin
    assert again.op.logger.get_parameter("logLevel") == "DEBUG"
