"""Plugins: what an operator is equipped with, by interfaces that can be combined."""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, cast

from pypz.core.commons.errors import InstanceError, InstanceTypeError, PypzWarning
from pypz.core.commons.loggers import ContextLogger, ContextLoggerInterface, DefaultContextLogger
from pypz.core.specs.dtos import PluginInstanceDTO
from pypz.core.specs.instance import Instance, InstanceGroup, RegisteredInterface

if TYPE_CHECKING:
    from pypz.core.specs.operator import Operator


class Plugin(Instance[None], InstanceGroup, RegisteredInterface, ABC):
    """Base of all plugins; a member of the group that its operator is in."""

    _pypz_dto_type = PluginInstanceDTO

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, None, *args, **kwargs)

    def get_context(self) -> Operator:
        """Give the operator; None when there is none."""
        return cast("Operator", super().get_context())

    def get_logger(self) -> ContextLogger:
        """Give the operator's logger with this plugin as context; without operator one that writes to stdout."""
        operator = self._pypz_context
        logger: ContextLoggerInterface
        if operator is None:
            logger = DefaultContextLogger(self.get_full_name())
            logger.set_log_level("DEBUG")
        else:
            logger = operator._pypz_logger()
        return ContextLogger(logger, self.get_full_name())

    def get_group_size(self) -> int:
        """Give the size of the operator's group."""
        operator = self._pypz_context
        return 1 if operator is None else int(operator.get_group_size())

    def get_group_index(self) -> int:
        """Give the operator's index in its group."""
        operator = self._pypz_context
        return 0 if operator is None else int(operator.get_group_index())

    def get_group_name(self) -> str | None:
        """Give the full name of the principal's plugin; None when the operator is not replicated."""
        operator = self._pypz_context
        if operator is None or operator.get_group_name() is None:
            return None
        principal = self.get_group_principal()
        return None if principal is None else principal.get_full_name()

    def get_group_principal(self) -> Instance[Any] | None:
        """Give the principal's plugin of the same simple name."""
        operator = self._pypz_context
        if operator is None or operator.is_principal():
            return self
        principal = operator.get_group_principal()
        found = None if principal is None else principal._pypz_nested.get(self.get_simple_name())
        return cast("Instance[Any] | None", found)

    def is_principal(self) -> bool:
        """Tell whether the operator is the principal of its group."""
        operator = self._pypz_context
        return operator is None or bool(operator.is_principal())

    def get_dto(self) -> PluginInstanceDTO:
        """Describe the plugin."""
        return cast("PluginInstanceDTO", super().get_dto())

    @staticmethod
    def create_from_string(source: str, *args: Any, **kwargs: Any) -> Any:
        """Build a plugin from its description as YAML or JSON."""
        return Instance.create_from_string(source, *args, **kwargs)

    @staticmethod
    def create_from_dto(instance_dto: Any, *args: Any, **kwargs: Any) -> Any:
        """Build a plugin from its description."""
        return Instance.create_from_dto(instance_dto, *args, **kwargs)

    def _pypz_secret_scope(self) -> str:
        return (self.get_group_principal() or self).get_full_name()


class ResourceHandlerPlugin(Plugin, RegisteredInterface, ABC):
    """A plugin that makes resources before the operation and deletes them afterwards. True means done, False again."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)

    @abstractmethod
    def _on_resource_creation(self) -> bool:
        """Make the resources; True when done, False to be called again."""

    @abstractmethod
    def _on_resource_deletion(self) -> bool:
        """Delete the resources; True when done, False to be called again."""


class PortPlugin(Plugin, RegisteredInterface, ABC):
    """A plugin that carries data between operators.

    Args:
        name: Simple name.
        schema: Of the records; what it may be depends on the port.
        args: Passed on.
        kwargs: Passed on.
    """

    def __init__(self, name: str | None = None, schema: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self._pypz_schema = schema
        vars(self)["_pypz_connected"] = set()

    def set_schema(self, schema: Any) -> None:
        """Set the schema of the records."""
        self._pypz_schema = schema

    def get_schema(self) -> Any:
        """Give the schema of the records; None when none was given."""
        return self._pypz_schema

    def get_connected_ports(self) -> set[PortPlugin]:
        """Give the ports at the other ends, as a set of its own."""
        return set(vars(self)["_pypz_connected"])

    def connect(self, other_port: PortPlugin) -> None:
        """Connect with a port of another operator of the same pipeline; direction and repetition do not matter.

        Raises:
            InstanceTypeError: The other is no port, or of the same class as this; a TypeError.
            InstanceError: One has no operator or no pipeline, or they are in the same operator or in different
                pipelines; an AttributeError.
        """
        _check_connection(self, other_port)
        if _differ(self.get_schema(), other_port.get_schema()):
            warnings.warn(
                f"{self.get_full_name()} and {other_port.get_full_name()} are connected but have different schemas",
                PypzWarning,
                stacklevel=2,
            )
        self._pypz_connect(other_port)
        other_port._pypz_connect(self)

    def _pypz_connect(self, other_port: PortPlugin) -> None:
        vars(self)["_pypz_connected"].add(other_port)

    @abstractmethod
    def _on_port_open(self) -> bool:
        """Open the port; True when done, False to be called again."""

    @abstractmethod
    def _on_port_close(self) -> bool:
        """Close the port; True when done, False to be called again."""


class OutputPortPlugin(PortPlugin, RegisteredInterface, ABC):
    """A port that sends."""

    def __init__(self, name: str | None = None, schema: Any | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, schema, *args, **kwargs)

    @abstractmethod
    def send(self, data: Any) -> Any:
        """Send data to all connected ports."""


class InputPortPlugin(PortPlugin, RegisteredInterface, ABC):
    """A port that receives.

    Args:
        name: Simple name.
        schema: Of the records.
        group_mode: Every member of the group gets all records, instead of its share.
        args: Passed on.
        kwargs: Passed on.
    """

    def __init__(
        self, name: str | None = None, schema: Any | None = None, group_mode: bool = False, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(name, schema, *args, **kwargs)
        self._pypz_group_mode = group_mode

    def is_in_group_mode(self) -> bool:
        """Tell whether every member of the group gets all records."""
        return self._pypz_group_mode

    @abstractmethod
    def can_retrieve(self) -> bool:
        """Tell whether there are records now or may still come some."""

    @abstractmethod
    def retrieve(self) -> Any:
        """Give the records that are there."""

    @abstractmethod
    def commit_current_read_offset(self) -> None:
        """Make final that what was retrieved so far has been processed."""


class ServicePlugin(Plugin, RegisteredInterface, ABC):
    """A plugin with a service around everything else. True means done, False again."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)

    @abstractmethod
    def _on_service_start(self) -> bool:
        """Start the service; called first of all; True when done, False to be called again."""

    @abstractmethod
    def _on_service_shutdown(self) -> bool:
        """Stop the service; called last, also when it was never started; True when done."""


class ExtendedPlugin(Plugin, RegisteredInterface, ABC):
    """A plugin with work before and after the states of the executor."""

    _internal_access: ClassVar[Mapping[str, str]] = {
        "pre_execution": "_pre_execution",
        "post_execution": "_post_execution",
    }

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)

    @abstractmethod
    def _pre_execution(self) -> None:
        """Called before the first state."""

    @abstractmethod
    def _post_execution(self) -> None:
        """Called after the last state."""


class LoggerPlugin(Plugin, ContextLoggerInterface, RegisteredInterface, ABC):
    """A plugin that writes what operator and plugins log; an operator may have several."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)


def _check_connection(port: PortPlugin, other: Any) -> None:
    if not isinstance(other, PortPlugin):
        raise InstanceTypeError(f"{port.get_full_name()}: can be connected only with a port, not with {other!r}")
    if isinstance(other, type(port)):
        raise InstanceTypeError(
            f"{port.get_full_name()} and {other.get_full_name()} are both {type(port).__qualname__}; "
            "connect an input port with an output port"
        )
    for end in (port, other):
        if end.get_context() is None:
            raise InstanceError(f"the port {end.get_full_name()} has no operator; assign it to an attribute of one")
    operator, other_operator = port.get_context(), other.get_context()
    if operator is other_operator:
        raise InstanceError(f"{port.get_full_name()} and {other.get_full_name()} are ports of the same operator")
    for owner in (operator, other_operator):
        if owner.get_context() is None:
            raise InstanceError(
                f"the operator {owner.get_full_name()} has no pipeline; assign it to an attribute of one"
            )
    if operator.get_context() is not other_operator.get_context():
        raise InstanceError(f"{port.get_full_name()} and {other.get_full_name()} are in different pipelines")


def _differ(schema: Any, other: Any) -> bool:
    if schema is None or other is None or schema == other:
        return False
    if isinstance(schema, str) and isinstance(other, str):
        import json

        try:
            return bool(json.loads(schema) != json.loads(other))
        except ValueError:
            return True
    return True
