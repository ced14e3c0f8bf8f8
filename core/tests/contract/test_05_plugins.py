"""Section 5: plugins, their interfaces, their groups."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankPlugin
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


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.plugin = BlankPlugin()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.a = Worker()


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
