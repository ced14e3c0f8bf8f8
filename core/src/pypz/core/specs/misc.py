"""Blank instances: every method is there and does nothing; for tests and as a base to override single methods."""

from __future__ import annotations

from typing import Any, TypeVar

from pypz.core.specs.instance import Instance
from pypz.core.specs.operator import Operator
from pypz.core.specs.plugin import (
    InputPortPlugin,
    OutputPortPlugin,
    Plugin,
    PortPlugin,
    ResourceHandlerPlugin,
    ServicePlugin,
)

BlankNestedInstanceType = TypeVar("BlankNestedInstanceType")


class BlankInstance(Instance[BlankNestedInstanceType]):
    """An instance that reacts to nothing."""

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        """Do nothing."""

    def _on_error(self, source: Any, exception: Exception) -> None:
        """Do nothing."""


class BlankPlugin(BlankInstance[None], Plugin):
    """A plugin without interface."""


class BlankResourceHandlerPlugin(ResourceHandlerPlugin, BlankPlugin):
    """A resource handler without resources."""

    def _on_resource_creation(self) -> bool:
        return True

    def _on_resource_deletion(self) -> bool:
        return True


class BlankPortPlugin(PortPlugin, BlankPlugin):
    """A port that carries nothing."""

    def _on_port_open(self) -> bool:
        return True

    def _on_port_close(self) -> bool:
        return True


class BlankInputPortPlugin(InputPortPlugin, BlankPortPlugin):
    """An input port that never has anything."""

    def can_retrieve(self) -> bool:
        """Tell that nothing will come."""
        return False

    def retrieve(self) -> Any:
        """Give None."""
        return None

    def commit_current_read_offset(self) -> None:
        """Do nothing."""


class BlankOutputPortPlugin(OutputPortPlugin, BlankPortPlugin):
    """An output port that sends to nobody."""

    def send(self, data: Any) -> Any:
        """Drop the data."""
        return None


class BlankServicePlugin(ServicePlugin, BlankPlugin):
    """A service that does nothing."""

    def _on_service_start(self) -> bool:
        return True

    def _on_service_shutdown(self) -> bool:
        return True


class BlankOperator(Operator, BlankInstance[Plugin]):
    """An operator that is done at once.

    Args:
        name: Simple name.
        replication_factor: Not used; the parameter ``replicationFactor`` counts.
        args: Passed on.
        kwargs: Passed on.
    """

    def __init__(
        self, name: str | None = None, replication_factor: int | None = None, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(name, *args, **kwargs)

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        return True

    def _on_shutdown(self) -> bool:
        return True
