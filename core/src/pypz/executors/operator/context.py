"""What an execution knows of its operator: the plugins by kind, their dependency levels, mode and exit code."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator
from pypz.core.specs.plugin import Plugin
from pypz.core.specs.utils import resolve_dependency_graph
from pypz.executors.commons import ExecutionMode, ExitCodes

P = TypeVar("P")


class ExecutionContext:
    """One execution of one operator."""

    def __init__(self, operator: Operator, execution_mode: ExecutionMode) -> None:
        self._operator = operator
        self._mode = execution_mode
        self._exit_code = ExitCodes.NoError.value
        self._plugins: tuple[Plugin, ...] = tuple(Internals(operator).nested_instances.values())

    def get_operator(self) -> Operator:
        return self._operator

    def get_execution_mode(self) -> ExecutionMode:
        return self._mode

    def get_exit_code(self) -> int:
        return self._exit_code

    def set_exit_code(self, exit_code: int | ExitCodes) -> None:
        """Say how the execution ends; the last one who says so wins."""
        self._exit_code = exit_code.value if isinstance(exit_code, ExitCodes) else exit_code

    def get_plugins(self, plugin_type: type[Any]) -> list[Any]:
        """Give the plugins that are of ``plugin_type``, in the order in which the operator got them."""
        return [plugin for plugin in self._plugins if isinstance(plugin, plugin_type)]

    def get_plugin_instances_by_type(self, plugin_type: type[P]) -> set[P]:
        """Give the plugins that are of ``plugin_type``."""
        return set(self.get_plugins(plugin_type))

    def get_dependency_graph_by_type(self, plugin_type: type[P]) -> list[set[P]]:
        """Give the plugins of ``plugin_type`` level by level; a level depends on earlier ones only.

        Dependencies on plugins of other kinds are left out.

        Raises:
            RecursionError: They depend on each other in a circle.
        """
        graph: list[set[Any]] = resolve_dependency_graph(self.get_plugin_instances_by_type(plugin_type))
        return graph

    def get_levels(self, plugin_type: type[Any]) -> list[list[Any]]:
        """Give the dependency levels with the plugins of each in the order in which the operator got them."""
        return [[p for p in self.get_plugins(plugin_type) if p in level] for level in self._levels_of(plugin_type)]

    def _levels_of(self, plugin_type: type[Any]) -> list[set[Any]]:
        return self.get_dependency_graph_by_type(plugin_type) if self.get_plugins(plugin_type) else []

    def for_each_plugin_instances(self, consumer: Callable[[Plugin], Any]) -> None:
        """Call ``consumer`` with every plugin of the operator."""
        for plugin in self._plugins:
            consumer(plugin)

    def for_each_plugin_objects_with_type(self, plugin_type: type[P], consumer: Callable[[P], Any]) -> None:
        """Call ``consumer`` with every plugin that is of ``plugin_type``."""
        for plugin in self.get_plugins(plugin_type):
            consumer(plugin)
