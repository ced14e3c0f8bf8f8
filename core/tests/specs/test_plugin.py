"""Plugins, connections, groups of plugins, loggers (contract 5 and 6, 17)."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.commons.errors import PypzWarning
from pypz.core.commons.loggers import DefaultContextLogger
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import (
    ExtendedPlugin,
    InputPortPlugin,
    LoggerPlugin,
    OutputPortPlugin,
    PortPlugin,
    ResourceHandlerPlugin,
    ServicePlugin,
)


class OtherInputPort(BlankInputPortPlugin):
    pass


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = BlankInputPortPlugin(schema="s")
        self.other_input = OtherInputPort()
        self.output = BlankOutputPortPlugin(schema="s")
        self.second_output = BlankOutputPortPlugin(schema="other")
        self.plugin = BlankPlugin()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.a = Worker()
        self.b = Worker()
        self.c = Worker()


def test_connections_go_both_ways_and_once() -> None:
    p = Works("p")
    p.a.input.connect(p.b.output)
    p.b.output.connect(p.a.input)
    assert p.a.input.get_connected_ports() == {p.b.output}
    assert p.b.output.get_connected_ports() == {p.a.input}


def test_many_outputs_may_go_to_many_inputs_and_in_circles() -> None:
    p = Works("p")
    for sender in (p.a, p.b):
        for receiver in (p.a, p.b, p.c):
            if sender is not receiver:
                sender.output.connect(receiver.input)
    assert p.c.input.get_connected_ports() == {p.a.output, p.b.output}
    assert p.a.output.get_connected_ports() == {p.b.input, p.c.input}


def test_the_set_of_connected_ports_is_a_copy() -> None:
    p = Works("p")
    p.a.input.connect(p.b.output)
    p.a.input.get_connected_ports().clear()
    assert p.a.input.get_connected_ports() == {p.b.output}


def test_ports_of_the_same_class_are_a_type_error() -> None:
    p = Works("p")
    with pytest.raises(TypeError, match="are both BlankInputPortPlugin"):
        p.a.input.connect(p.b.input)
    with pytest.raises(TypeError, match="only with a port"):
        p.a.input.connect(p.b.plugin)  # type: ignore[arg-type]


def test_the_class_is_looked_at_first() -> None:
    with pytest.raises(TypeError):
        BlankInputPortPlugin("x").connect(BlankInputPortPlugin("y"))


def test_two_input_ports_of_different_classes_pass() -> None:
    p = Works("p")
    p.a.other_input.connect(p.b.input)


def test_ports_need_operators_and_these_a_pipeline() -> None:
    p = Works("p")
    with pytest.raises(AttributeError, match="has no operator"):
        p.a.input.connect(BlankOutputPortPlugin("free"))
    with pytest.raises(AttributeError, match="has no pipeline"):
        p.a.input.connect(Worker("w").output)


def test_ports_of_one_operator_or_of_two_pipelines_are_attribute_errors() -> None:
    p = Works("p")
    with pytest.raises(AttributeError, match="same operator"):
        p.a.input.connect(p.a.output)
    with pytest.raises(AttributeError, match="different pipelines"):
        p.a.input.connect(Works("q").a.output)


def test_different_schemas_are_only_a_warning() -> None:
    p = Works("p")
    with pytest.warns(PypzWarning, match="different schemas"):
        p.a.input.connect(p.b.second_output)
    p.c.input.set_schema('{"a": 1}')
    p.b.output.set_schema('{ "a":1 }')
    p.c.input.connect(p.b.output)
    assert p.c.input.get_schema() == '{"a": 1}'


def test_group_mode_is_what_the_constructor_was_told() -> None:
    assert not BlankInputPortPlugin("x").is_in_group_mode()
    assert BlankInputPortPlugin("x", "schema", True).is_in_group_mode()
    assert BlankInputPortPlugin("x", group_mode=True).get_schema() is None


def test_a_plugin_is_in_the_group_of_its_operator() -> None:
    p = Works("p")
    assert (p.a.plugin.get_group_size(), p.a.plugin.get_group_index(), p.a.plugin.get_group_name()) == (1, 0, None)
    p.a.set_parameter("replicationFactor", 2)
    assert (p.a.plugin.get_group_size(), p.a.plugin.get_group_name()) == (3, "p.a.plugin")
    assert p.a.plugin.is_principal()
    copied = p.a.get_replica(1).materialize().plugin
    assert (copied.get_group_size(), copied.get_group_index(), copied.get_group_name()) == (3, 2, "p.a.plugin")
    assert copied.get_group_principal() is p.a.plugin
    assert not copied.is_principal()


def test_a_plugin_without_operator_is_a_group_of_its_own() -> None:
    plugin = BlankPlugin("x")
    assert (plugin.get_group_size(), plugin.get_group_index(), plugin.get_group_name()) == (1, 0, None)
    assert plugin.get_group_principal() is plugin
    assert plugin.is_principal()


@pytest.mark.parametrize(
    "interface, methods",
    [
        (ResourceHandlerPlugin, {"_on_resource_creation", "_on_resource_deletion"}),
        (PortPlugin, {"_on_port_open", "_on_port_close"}),
        (
            InputPortPlugin,
            {"_on_port_open", "_on_port_close", "can_retrieve", "retrieve", "commit_current_read_offset"},
        ),
        (OutputPortPlugin, {"_on_port_open", "_on_port_close", "send"}),
        (ServicePlugin, {"_on_service_start", "_on_service_shutdown"}),
        (ExtendedPlugin, {"_pre_execution", "_post_execution"}),
        (LoggerPlugin, {"_error", "_warning", "_info", "_debug"}),
        (Operator, {"_on_init", "_on_running", "_on_shutdown"}),
    ],
)
def test_each_interface_asks_for_its_methods(interface: Any, methods: set[str]) -> None:
    assert interface.__abstractmethods__ == methods


# --- logging --------------------------------------------------------------------------------------------------------------


class Recorder(LoggerPlugin):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.lines: list[tuple[str, str | None, list[str] | None]] = []
        self.calls_back = False

    def note(self, level: str, event: str | None, context_stack: list[str] | None) -> None:
        self.lines.append((level, event, context_stack))
        if self.calls_back:
            self.get_context().get_logger().info("again")

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.note("error", event, context_stack)

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.note("warning", event, context_stack)

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        self.note("info", event, context_stack)

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.note("debug", event, context_stack)

    def speak(self) -> None:
        self.get_logger().info("from a logger")


class Logging(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = Recorder()
        self.second = Recorder()
        self.plugin = BlankPlugin()


def test_an_event_goes_to_all_logger_plugins_with_its_context() -> None:
    operator = Logging("o")
    operator.get_logger().error("e")
    operator.get_logger().warning("w")
    operator.plugin.get_logger().info("i")
    operator.plugin.get_logger().debug("d")
    expected = [
        ("error", "e", ["o"]),
        ("warning", "w", ["o"]),
        ("info", "i", ["o.plugin"]),
        ("debug", "d", ["o.plugin"]),
    ]
    assert operator.first.lines == operator.second.lines == expected


def test_an_operator_without_logger_plugin_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    operator = Worker("o")
    operator.get_logger().error("e")
    operator.plugin.get_logger().error("e")
    assert capfd.readouterr() == ("", "")


def test_a_logger_given_by_the_executor_is_used_without_logger_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    operator = Worker("o")
    operator._pypz_own_logger = DefaultContextLogger("given")
    operator.plugin.get_logger().info("hello")
    assert capsys.readouterr().out.endswith(" | given | o.plugin | hello\n")


def test_a_plugin_without_operator_logs_to_stdout_from_debug_on(capsys: pytest.CaptureFixture[str]) -> None:
    BlankPlugin("x").get_logger().debug("hello")
    line = capsys.readouterr().out
    assert line.startswith("DEBUG | ")
    assert line.endswith(" | x | hello\n")


def test_logging_from_a_logger_plugin_is_a_recursion_error() -> None:
    operator = Logging("o")
    operator.first.calls_back = True
    with pytest.raises(RecursionError):
        operator.get_logger().info("x")
    operator.first.calls_back = False
    operator.get_logger().info("y")
    assert operator.second.lines == [("info", "y", ["o"])]
    with pytest.raises(RecursionError):
        operator.first.speak()


def test_the_context_stack_is_a_copy() -> None:
    logger = Logging("o").get_logger()
    logger.get_context_stack().append("x")
    assert logger.get_context_stack() == ["o"]
