"""Instances: what pipelines, operators and plugins have in common.

An instance has a name, parameters, dependencies and nested instances. Pipelines nest operators, operators nest plugins,
plugins nest nothing. Attributes whose name begins with ``_pypz_`` belong to the framework: they are no part of
descriptions and equality, and a replica does not inherit them.
"""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Iterable, Mapping
from contextlib import nullcontext
from typing import Any, ClassVar, Final, Generic, TypeVar, cast

from pypz.core.commons import origins, secrets
from pypz.core.commons.errors import (
    ConfigurationError,
    DependencyCycleError,
    InstanceError,
    InstanceTypeError,
    PypzWarning,
    UnknownParameterError,
)
from pypz.core.commons.parameters import (
    ExpectedParameter,
    check_value,
    on_set_templates,
    place_of,
    retrieve_parameters,
    store_parameter,
)
from pypz.core.specs import _collections, _creation, _describe
from pypz.core.specs._group import InstanceGroup
from pypz.core.specs._interception import (
    InstanceInitInterceptor,
    InterceptedInstance,
    RegisteredInterface,
    is_instance,
)
from pypz.core.specs._internals import Internals
from pypz.core.specs._names import check_name, nearest_name
from pypz.core.specs.dtos import InstanceDTO
from pypz.core.specs.utils import load_class_by_name, remove_super_classes, resolve_dependency_graph

__all__ = [
    "Instance",
    "InstanceGroup",
    "InstanceInitInterceptor",
    "InterceptedInstance",
    "Internals",
    "RegisteredInterface",
    "load_class_by_name",
    "remove_super_classes",
    "resolve_dependency_graph",
]

NestedInstanceType = TypeVar("NestedInstanceType")

_FRAMEWORK_ARGUMENTS: Final = frozenset(
    {
        "context",
        "from_dto",
        "mock_nonexistent",
        "disable_auto_update",
        "replication_origin",
        "replication_group_index",
    }
)


class Instance(Generic[NestedInstanceType], RegisteredInterface, ABC, metaclass=InstanceInitInterceptor):
    """Base of pipelines, operators and plugins.

    Args:
        name: Letters, digits, ``_`` and ``-``, not beginning with a digit or ``-``. Inside another instance it is taken
            from the attribute when left out.
        nested_instance_type: What it nests; None for nothing.
        args: Passed on by subclasses' constructors.
        kwargs: Passed on likewise; the framework's own arguments travel here.

    Raises:
        InstanceError: No name, or a bad one; an AttributeError.
        InstanceTypeError: The name is no text; a TypeError.
    """

    _internal_access: ClassVar[Mapping[str, str] | Iterable[str]] = {
        "parameters": "_pypz_parameters",
        "nested_instances": "_pypz_nested",
        "depends_on": "_pypz_depends_on",
        "spec_name": "_pypz_spec_name",
        "spec_classes": "_pypz_spec_classes",
        "expected_parameters": "_pypz_described",
        "nested_instance_type": "_pypz_nested_type",
        "reference": "_pypz_reference",
        "on_interrupt": "_on_interrupt",
        "on_error": "_on_error",
    }

    _pypz_dto_type: ClassVar[type[InstanceDTO]] = InstanceDTO
    _pypz_described_parameters: ClassVar[dict[str, ExpectedParameter[Any]] | None] = None

    _pypz_name: str | None
    _pypz_context: Any
    _pypz_nested_type: type | None
    _pypz_parameters: dict[str, Any]
    _pypz_deferred: dict[str, Any]
    _pypz_origins: dict[str, origins.Origin]
    _pypz_nested: dict[str, Any]
    _pypz_depends_on: set[Any]
    _pypz_described: dict[str, ExpectedParameter[Any]]
    _pypz_arguments: tuple[tuple[Any, ...], dict[str, Any]]
    _pypz_framework_arguments: dict[str, Any]

    def __new__(cls, name: str | None = None, *args: Any, **kwargs: Any) -> Instance[Any]:
        self = super().__new__(cls)
        described = cls.__dict__.get("_pypz_described_parameters")
        if described is None:
            described = retrieve_parameters(cls, ExpectedParameter)
            cls._pypz_described_parameters = described
        vars(self).update(
            _pypz_name=None,
            _pypz_context=kwargs.get("context"),
            _pypz_nested_type=None,
            _pypz_parameters={},
            _pypz_deferred={},
            _pypz_origins={},
            _pypz_nested={},
            _pypz_depends_on=set(),
            _pypz_described=described,
            _pypz_arguments=(args, {key: v for key, v in kwargs.items() if key not in _FRAMEWORK_ARGUMENTS}),
            _pypz_framework_arguments={key: v for key, v in kwargs.items() if key in _FRAMEWORK_ARGUMENTS},
        )
        return self

    def __init__(
        self,
        name: str | None = None,
        nested_instance_type: type[NestedInstanceType] | None = None,
        *args: Any,
        **kwargs: Any,
    ) -> None:
        vars(self).update(_pypz_name=check_name(type(self), name), _pypz_nested_type=nested_instance_type)

    def __on_init_finished__(self, *args: Any, **kwargs: Any) -> None:
        """Called once the constructor has run: creates nested instances that only the description knows."""
        description = kwargs.get("from_dto")
        if description is not None:
            _creation.create_missing_nested(self, description)

    # --- names --------------------------------------------------------------------------------------------------------

    def get_context(self) -> Any:
        """Give the instance that this one is nested in; None at the top."""
        return self._pypz_context

    def get_simple_name(self) -> str:
        """Give the name within the context."""
        return cast("str", self._pypz_name)

    def get_full_name(self) -> str:
        """Give the names of all contexts and the own one, joined by dots."""
        context = self._pypz_context
        return self.get_simple_name() if context is None else f"{context.get_full_name()}.{self.get_simple_name()}"

    # --- parameters ---------------------------------------------------------------------------------------------------

    def get_parameter(self, name: str) -> Any:
        """Give a parameter's value.

        Raises:
            UnknownParameterError: There is none of that name; a KeyError.
        """
        try:
            return self._pypz_parameters[name]
        except KeyError:
            known = ", ".join(sorted({*self._pypz_parameters, *self._pypz_described})) or "none"
            raise UnknownParameterError(
                f"{self.get_full_name()}: there is no parameter '{name}'; there are: {known}"
            ) from None

    def has_parameter(self, name: str) -> bool:
        """Tell whether a parameter of that name was set, be it to None."""
        return name in self._pypz_parameters

    def set_parameter(self, name: str, value: Any) -> None:
        """Set a parameter here, or by prefix on the instances nested in this one.

        Each leading character stands for a level: ``>`` leaves this one out, ``#`` includes it. So ``>>x`` on a pipeline
        sets ``x`` on all plugins, ``##x`` on pipeline, operators and plugins. Only instances that exist now are
        reached; what is set later wins. ``${env:NAME}`` in the value is replaced by the environment variable.

        Raises:
            ParameterTypeError: A value of a type that is not accepted; a TypeError.
            ConfigurationError: An empty name; a ValueError.
        """
        if not isinstance(name, str):
            raise InstanceTypeError(
                f"{place_of(self)}: a parameter's name must be a text, got {type(name).__qualname__}"
            )
        if not name.lstrip("#>"):
            raise ConfigurationError(f"{place_of(self)}: '{name}' names no parameter; expected such as 'x' or '>>x'")
        with origins.cascading_from(place_of(self)) if name[0] in "#>" else nullcontext():
            reached = self._pypz_set(name, value)
        doubt = _doubt(place_of(self), name, reached)
        if doubt is not None:
            warnings.warn(doubt, PypzWarning, stacklevel=2)

    def set_parameters(self, parameters: dict[str, Any]) -> None:
        """Set several parameters, in the order of the dict; names may carry prefixes."""
        for name, value in parameters.items():
            self.set_parameter(name, value)

    def get_expected_parameters(self) -> dict[str, dict[str, Any]]:
        """Give the described parameters: name -> type, required, description, currentValue (secrets masked)."""
        return _describe.expected_parameters(self)

    def get_missing_required_parameters(self) -> dict[str, set[str]]:
        """Give the required parameters without value, here and in all nested instances: full name -> names."""
        values = self._pypz_parameters
        own = {name for name, p in self._pypz_described.items() if p.required and values.get(name) is None}
        missing = {self.get_full_name(): own} if own else {}
        for nested in self._pypz_own_nested():
            missing |= nested.get_missing_required_parameters()
        return missing

    # --- dependencies -------------------------------------------------------------------------------------------------

    def depends_on(self, instance: Instance[Any]) -> None:
        """Let this one come after another of the same context.

        Raises:
            InstanceTypeError: ``instance`` is none; a TypeError.
            InstanceError: It is this very one, or of another context; an AttributeError.
            DependencyCycleError: It depends on this one itself; a RecursionError.
        """
        if not isinstance(instance, Instance):
            raise InstanceTypeError(f"{self.get_full_name()}: can depend only on an instance, not on {instance!r}")
        other: Instance[Any] = Internals(instance).reference
        if other is self:
            raise InstanceError(f"{self.get_full_name()}: cannot depend on itself")
        if self._pypz_context is None or other._pypz_context is not self._pypz_context:
            raise InstanceError(
                f"{self.get_full_name()}: cannot depend on {other.get_full_name()}; both must be nested in the same instance"
            )
        if self in other._pypz_depends_on:
            raise DependencyCycleError(f"{other.get_full_name()} depends already on {self.get_full_name()}")
        self._pypz_depends_on.add(other)

    # --- descriptions -------------------------------------------------------------------------------------------------

    def get_dto(self) -> InstanceDTO:
        """Describe the instance; secrets are masked, cascades resolved, replicas left to ``replicationFactor``."""
        return cast("InstanceDTO", _describe.describe(self))

    def update(self, source: InstanceDTO | dict[str, Any] | str) -> None:
        """Set parameters, nested instances and dependencies as a description (object, dict, YAML, JSON) says.

        Names and classes are looked at first: where one does not fit, nothing is changed.

        Raises:
            InstanceTypeError: The source is none of these; a TypeError.
            ConfigurationError: It is of another name, or a nested one has no name; a ValueError.
            InstanceError: It is of another class or names something that does not exist; an AttributeError.
        """
        _describe.update(self, _creation.read(source, self._pypz_dto_type))

    def is_equivalent_to(self, other: Instance[Any]) -> bool:
        """Tell whether the other has the same content, whatever its own name and its secrets are."""
        return isinstance(other, Instance) and _describe.is_equivalent(self, Internals(other).reference)

    @staticmethod
    def create_from_dto(instance_dto: InstanceDTO, *args: Any, **kwargs: Any) -> Any:
        """Build an instance from its description.

        Args:
            instance_dto: The description.
            args: Passed to the constructor.
            kwargs: Passed likewise; ``mock_nonexistent=True`` stands in for classes that are not installed here,
                ``disable_auto_update=True`` leaves parameters and connections as the constructor makes them.

        Raises:
            InstanceTypeError: Not a description, or its class no instance; a TypeError.
            ConfigurationError: No name, or a spec name without colon; a ValueError.
            InstanceError: No spec name, or no such class in the module; an AttributeError.
            ClassNotFoundError: The module is not installed; a ModuleNotFoundError.
            NotBuiltYetError: The spec has a location; a NotImplementedError.
        """
        return _creation.create(instance_dto, *args, **kwargs)

    @staticmethod
    def create_from_string(source: str, *args: Any, **kwargs: Any) -> Any:
        """Build an instance from its description as YAML or JSON; see `create_from_dto`."""
        return _creation.create(_creation.read(source, InstanceDTO), *args, **kwargs)

    # --- what subclasses may override -----------------------------------------------------------------------------------

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        """Called when the execution is interrupted; does nothing unless overridden."""

    def _on_error(self, source: Any, exception: Exception) -> None:
        """Called when the execution has failed; does nothing unless overridden."""

    # --- Python's protocols ---------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        kind = type(value)
        if kind is InterceptedInstance or isinstance(kind, InstanceInitInterceptor):
            if self._pypz_name is None:
                raise InstanceError(
                    f"{type(self).__qualname__}: '{name}' is assigned before super().__init__(name, *args, **kwargs) "
                    "was called; call that first"
                )
            if kind is InterceptedInstance:
                value = value.build(self, name, self._pypz_nested_type)
            self._pypz_register(value)
        elif kind in _collections.KINDS and self._pypz_name is not None and _collections.begins_with_instance(value):
            value = _collections.nest(self, name, value)
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        # Only what the ordinary way has not found arrives here: nested instances that have no attribute.
        nested = vars(self).get("_pypz_nested", {})
        if name in nested:
            return nested[name]
        raise InstanceError(f"{type(self).__qualname__} '{place_of(self)}' has no attribute '{name}'")

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if not is_instance(other):
            return NotImplemented
        return _describe.is_equal(self, cast("Instance[Any]", other))

    def __hash__(self) -> int:
        return hash((place_of(self), self._pypz_spec_name))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return memo.get(id(self), self)

    def __str__(self) -> str:
        return _describe.to_text(self)

    def __repr__(self) -> str:
        return f"<{type(self).__qualname__} '{place_of(self)}'>"

    # --- for the framework ----------------------------------------------------------------------------------------------

    @property
    def _pypz_spec_name(self) -> str:
        return f"{type(self).__module__}:{type(self).__qualname__}"

    @property
    def _pypz_spec_classes(self) -> set[type]:
        return {cls for cls in type(self).__mro__ if RegisteredInterface in cls.__bases__}

    @property
    def _pypz_reference(self) -> Instance[Any]:
        return self

    def _pypz_own_nested(self) -> list[Any]:
        """Nested instances without the proxies of replicas, which their originals describe."""
        return [nested for nested in self._pypz_nested.values() if is_instance(nested)]

    def _pypz_register(self, value: Any) -> None:
        """Nest a value under its simple name, when it is of the nested type and belongs to nobody else."""
        nested_type = self._pypz_nested_type
        if nested_type is None or not isinstance(value, nested_type) or value is self._pypz_context:
            return
        name, context = value.get_simple_name(), value.get_context()  # type: ignore[attr-defined]
        present = self._pypz_nested.get(name)
        if present is value or (context is not None and context is not self):
            return
        if present is not None:
            raise InstanceError(
                f"{self.get_full_name()}: an instance '{name}' is nested here already ({present!r}); give this one "
                "another attribute or name"
            )
        self._pypz_nested[name] = value

    def _pypz_nest_all(self) -> None:
        """Called by the metaclass once the constructor has run."""
        _collections.nest_all(self)

    def _pypz_set(self, name: str, value: Any) -> list[Instance[Any]]:
        """Set by prefix, except where a default has to give way; give the instances that were reached."""
        reached = self._pypz_reached(name)
        for instance, plain in reached:
            if not origins.gives_way(instance, plain):
                instance._pypz_store(plain, value)
        return [instance for instance, _ in reached]

    def _pypz_reached(self, name: str) -> list[tuple[Instance[Any], str]]:
        """Give the instances that a name with prefix reaches, each with the name that it has there."""
        if not name or name[0] not in "#>":
            return [(self, name)] if name else []
        here = [(self, _without_prefix(name))] if name[0] == "#" else []
        return [*here, *(one for nested in self._pypz_own_nested() for one in nested._pypz_reached(name[1:]))]

    def _pypz_store(self, name: str, value: Any) -> None:
        described = self._pypz_described.get(name)
        if described is not None:
            described.__set__(self, value)
        else:
            check_value(self, name, value)
            store_parameter(self, name, on_set_templates.resolve(value))

    def _pypz_described_values(self) -> dict[str, Any]:
        """Parameters as descriptions show them: ``$(env:...)`` stays, also after it was resolved for execution."""
        return {**self._pypz_parameters, **self._pypz_deferred}

    def _pypz_resolve_references(self) -> None:
        """Resolve ``$(env:...)`` in the own parameters, in place; descriptions keep the text."""
        for name, value in list(self._pypz_parameters.items()):
            if secrets.on_execution_templates.has_template(value):
                resolved = secrets.resolve_references(value, f"{self.get_full_name()}: parameter '{name}'")
                noted = origins.kept(self)
                self._pypz_store(name, resolved)
                origins.restore(self, noted)
                self._pypz_deferred[name] = value

    def _pypz_check_references(self) -> None:
        """Refuse what `_pypz_resolve_references` would; nothing changes."""
        for name, value in self._pypz_parameters.items():
            secrets.resolve_references(value, f"{self.get_full_name()}: parameter '{name}'")

    def _pypz_secret_scope(self) -> str:
        """Full name that the variables of its secrets are named after."""
        return self.get_full_name()

    def _pypz_secret_names(self) -> set[str]:
        return {name for name, described in self._pypz_described.items() if described.secret}


def _without_prefix(name: str) -> str:
    """Give the name that a parameter is stored under; after a leading ``#`` prefix characters are nowhere part of it."""
    return (
        name.replace("#", "").replace(">", "")
        if "#" in name[: len(name) - len(name.lstrip("#>"))]
        else name.lstrip(">")
    )


def _doubt(place: str, name: str, reached: list[Instance[Any]]) -> str | None:
    """Say what is probably not meant about a parameter that was set; None when nothing is."""
    if not reached:
        return f"{place}: the parameter '{name}' reached no instance: nothing is nested that deep here (yet)"
    plain = _without_prefix(name)
    if not origins.is_in_code() or any(plain in instance._pypz_described for instance in reached):
        return None
    near = nearest_name(plain, {known for instance in reached for known in instance._pypz_described})
    return near and f"{place}: no class describes the parameter '{plain}'; it is set, but '{near}' may be meant"
