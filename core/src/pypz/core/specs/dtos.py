# ruff: noqa: N803 - arguments and attributes are the keys of the document
"""Descriptions of instances as plain values: what stands in YAML and JSON.

Each class takes the keys of its document as arguments, so an unknown key is a TypeError. Nested documents may be
given as dicts; they become objects of the proper class.
"""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, cast

from pypz.core.commons.errors import InstanceTypeError
from pypz.core.commons.utils import convert_to_dict

_DTO = TypeVar("_DTO", bound="_Description")


class _Description:
    def to_dict(self) -> dict[str, Any]:
        """Give the description as dicts, lists and plain values."""
        return cast("dict[str, Any]", convert_to_dict(self))

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self) == vars(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.to_dict()!r})"


class SpecDTO(_Description):
    """What an instance is made of: its class, the types it has, the instances nested in it."""

    _nested_dto_type: ClassVar[type[_Description] | None] = None

    def __init__(
        self,
        name: str | None = None,
        location: str | None = None,
        expectedParameters: dict[str, Any] | None = None,
        types: list[str] | None = None,
        nestedInstanceType: str | None = None,
        nestedInstances: list[Any] | None = None,
        nested_instance_dto_type: type[Any] | str | None = "default",
    ) -> None:
        nested_type: Any = nested_instance_dto_type
        if nested_type == "default":
            nested_type = self._nested_dto_type or InstanceDTO
        self.name = _check("spec.name", name, str)
        self.location = _check("spec.location", location, str)
        self.expectedParameters = _check("spec.expectedParameters", expectedParameters, dict)
        self.types = _check_list("spec.types", types, str)
        self.nestedInstanceType = _check("spec.nestedInstanceType", nestedInstanceType, str)
        self.nestedInstances = _convert_list("spec.nestedInstances", nestedInstances, nested_type)


class InstanceDTO(_Description):
    """An instance: name, parameters, dependencies by simple name, and its spec."""

    _spec_dto_type: ClassVar[type[SpecDTO]] = SpecDTO

    def __init__(
        self,
        name: str | None = None,
        parameters: dict[str, Any] | None = None,
        dependsOn: list[str] | None = None,
        spec: Any = None,
    ) -> None:
        self.name = _check("name", name, str)
        self.parameters = _check("parameters", parameters, dict)
        for key in parameters or {}:
            _check("a name in parameters", key, str)
        self.dependsOn = _check_list("dependsOn", dependsOn, str)
        self.spec: Any = None if spec is None else _convert("spec", spec, self._spec_dto_type)


class PluginSpecDTO(SpecDTO):
    """Spec of a plugin; nothing is nested in it."""

    def __init__(
        self,
        name: str | None = None,
        location: str | None = None,
        expectedParameters: dict[str, Any] | None = None,
        types: list[str] | None = None,
        nestedInstanceType: str | None = None,
        nestedInstances: list[Any] | None = None,
    ) -> None:
        super().__init__(name, location, expectedParameters, types, nestedInstanceType, nestedInstances)


class PluginInstanceDTO(InstanceDTO):
    """A plugin."""

    _spec_dto_type = PluginSpecDTO


class OperatorSpecDTO(SpecDTO):
    """Spec of an operator, with its plugins."""

    _nested_dto_type = PluginInstanceDTO

    def __init__(
        self,
        name: str | None = None,
        location: str | None = None,
        expectedParameters: dict[str, Any] | None = None,
        types: list[str] | None = None,
        nestedInstanceType: str | None = None,
        nestedInstances: list[PluginInstanceDTO] | None = None,
    ) -> None:
        super().__init__(name, location, expectedParameters, types, nestedInstanceType, nestedInstances)


class OperatorConnectionSource(_Description):
    """The output end of a connection: operator and output port by simple name."""

    def __init__(self, instanceName: str | None = None, outputPortName: str | None = None) -> None:
        self.instanceName = _check("connections.source.instanceName", instanceName, str)
        self.outputPortName = _check("connections.source.outputPortName", outputPortName, str)


class OperatorConnection(_Description):
    """A connection of one of the operator's own input ports."""

    def __init__(
        self, inputPortName: str | None = None, source: dict[str, Any] | OperatorConnectionSource | None = None
    ) -> None:
        self.inputPortName = _check("connections.inputPortName", inputPortName, str)
        self.source: OperatorConnectionSource | None = (
            None if source is None else _convert("connections.source", source, OperatorConnectionSource)
        )


class OperatorInstanceDTO(InstanceDTO):
    """An operator, with the connections of its input ports."""

    _spec_dto_type = OperatorSpecDTO

    def __init__(
        self,
        name: str | None = None,
        parameters: dict[str, Any] | None = None,
        dependsOn: list[str] | None = None,
        spec: Any = None,
        connections: list[Any] | None = None,
    ) -> None:
        super().__init__(name, parameters, dependsOn, spec)
        self.connections: list[OperatorConnection] | None = _convert_list(
            "connections", connections, OperatorConnection
        )


class PipelineSpecDTO(SpecDTO):
    """Spec of a pipeline, with its operators."""

    _nested_dto_type = OperatorInstanceDTO

    def __init__(
        self,
        name: str | None = None,
        location: str | None = None,
        expectedParameters: dict[str, Any] | None = None,
        types: list[str] | None = None,
        nestedInstanceType: str | None = None,
        nestedInstances: list[OperatorInstanceDTO] | None = None,
    ) -> None:
        super().__init__(name, location, expectedParameters, types, nestedInstanceType, nestedInstances)


class PipelineInstanceDTO(InstanceDTO):
    """A pipeline."""

    _spec_dto_type = PipelineSpecDTO


def convert(source: Any, dto_type: type[_DTO]) -> _DTO:
    """Make a description of the given class from a dict or from a description of another class.

    Raises:
        InstanceTypeError: It is neither, or has an unknown key; a TypeError.
    """
    return _convert(dto_type.__name__, source, dto_type)


def _check(key: str, value: Any, expected: type) -> Any:
    if value is not None and not isinstance(value, expected):
        raise InstanceTypeError(f"description: '{key}' is of type {type(value).__name__}, expected {expected.__name__}")
    return value


def _check_list(key: str, value: Any, element: type) -> Any:
    for entry in _check(key, value, list) or ():
        _check(f"an entry of {key}", entry, element)
    return value


def _convert(key: str, value: Any, dto_type: type[_DTO]) -> _DTO:
    if isinstance(value, dto_type):
        return value
    if isinstance(value, InstanceDTO | SpecDTO):
        value = {name: inner for name, inner in vars(value).items() if inner is not None}
    if not isinstance(value, dict):
        raise InstanceTypeError(f"description: '{key}' is of type {type(value).__name__}, expected a mapping")
    try:
        return dto_type(**value)
    except TypeError as error:
        if isinstance(error, InstanceTypeError):
            raise
        known = dto_type.__init__.__code__.co_varnames[1 : dto_type.__init__.__code__.co_argcount]
        unknown = sorted(str(name) for name in value if name not in known)
        raise InstanceTypeError(
            f"description: '{key}' has the unknown key {', '.join(unknown)}; known are {', '.join(known)}"
        ) from error


def _convert_list(key: str, value: Any, dto_type: type[Any] | None) -> Any:
    if _check(key, value, list) is None or dto_type is None:
        return value
    return [_convert(key, entry, dto_type) for entry in value]
