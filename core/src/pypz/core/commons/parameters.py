"""Described parameters: class attributes that say which parameters an instance expects.

The values live in one store for each instance, so the attribute and ``get_parameter`` always agree. Any other
parameter may be set as well; it is merely not described.
"""

from __future__ import annotations

import types
from collections.abc import Callable, Iterable
from typing import Any, Final, Generic, TypeVar, Union, cast, get_args, get_origin, overload

from pypz.core.commons import origins
from pypz.core.commons.errors import InstanceError, ParameterTypeError
from pypz.core.commons.utils import TemplateResolver, find_disallowed

ParameterType = TypeVar("ParameterType")

allowed_param_types = (str, int, float, set, list, dict, type(None))
"""Types a parameter's value may have, at any depth; a bool passes as int."""

DEFERRED: Final = "_pypz_deferred"
"""Attribute that holds the text of those parameters whose ``$(env:...)`` was resolved for execution."""

on_set_templates: Final = TemplateResolver("${", "}")


class ExpectedParameter(Generic[ParameterType]):
    """Describes a parameter; its default is what the constructor assigns to the attribute.

    Args:
        required: Whether it must have a value other than None at execution.
        parameter_type: str, int, float, bool, set, list, dict, or a generic of these such as ``list[str]``.
        alt_name: Name of the parameter where it differs from the attribute's.
        description: Shown to users.
        on_update: Called with instance and value after the first set and after each change; what it raises
            takes the new value back.
        secret: The value is hidden in every description, as `pypz.core.commons.secrets` tells.

    Raises:
        ParameterTypeError: The type is none of the accepted ones.
    """

    NamePrefix = "__private_instance_parameter__"

    def __init__(
        self,
        required: bool,
        parameter_type: type[ParameterType],
        alt_name: str | None = None,
        description: str | None = None,
        on_update: Callable[[Any, Any], None] | None = None,
        *,
        secret: bool = False,
    ) -> None:
        _check_declared_type(parameter_type)
        if secret and isinstance(parameter_type, type) and issubclass(parameter_type, int | float):
            raise ParameterTypeError("a secret parameter holds text (or list, set, dict of texts): declare it as str")
        self.required = required
        self.parameter_type = parameter_type
        self.alt_name = alt_name
        self.description = description
        self.on_update = on_update
        self.secret = secret
        self.attribute_name = ""
        self.name = alt_name or ""

    def __set_name__(self, owner: type, name: str) -> None:
        check_scope(owner.__name__, name)
        self.attribute_name = name
        self.name = self.alt_name or name

    @overload
    def __get__(self, instance: None, owner: type) -> ExpectedParameter[ParameterType]: ...

    @overload
    def __get__(self, instance: object, owner: type | None = None) -> ParameterType: ...

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if instance is None:
            return self
        store = instance.__dict__.get(origins.STORE)
        return None if store is None else store.get(self.name)

    def __set__(self, instance: Any, value: ParameterType | None) -> None:
        resolved = on_set_templates.resolve(self._checked(instance, value))
        store = parameters_of(instance)
        was_set, old = self.name in store, store.get(self.name)
        if self.on_update is None or (was_set and type(old) is type(resolved) and old == resolved):
            store_parameter(instance, self.name, resolved)
            return
        noted = origins.kept(instance)
        store_parameter(instance, self.name, resolved)
        try:
            self.on_update(instance, resolved)
        except BaseException:
            if was_set:
                store[self.name] = old
            else:
                del store[self.name]
            origins.restore(instance, noted)
            raise

    def to_dict(self, instance: Any = None) -> dict[str, Any]:
        """Give type, required, description and (of an instance) currentValue."""
        current = None if instance is None else parameters_of(instance).get(self.name)
        return {
            "type": type_text(self.parameter_type),
            "required": self.required,
            "description": self.description,
            "currentValue": current,
        }

    def _checked(self, instance: Any, value: Any) -> Any:
        if value is None:
            return None
        check_value(instance, self.name, value)
        misfit = find_misfit(value, self.parameter_type)
        if misfit is not None:
            place, found, expected = misfit
            raise ParameterTypeError(
                f"{place_of(instance)}: parameter '{self.name}'{place} is of type {type_text(found)}, "
                f"expected {type_text(expected)} (declared as {type_text(self.parameter_type)})"
            )
        return value


class RequiredParameter(ExpectedParameter[ParameterType]):
    """A parameter that must have a value at execution."""

    def __init__(
        self,
        parameter_type: type[ParameterType] | None = None,
        alt_name: str | None = None,
        description: str | None = None,
        on_update: Callable[[Any, Any], None] | None = None,
        *,
        secret: bool = False,
    ) -> None:
        super().__init__(
            True, cast("type[ParameterType]", parameter_type), alt_name, description, on_update, secret=secret
        )


class OptionalParameter(ExpectedParameter[ParameterType]):
    """A parameter that may stay None."""

    def __init__(
        self,
        parameter_type: type[ParameterType] | None = None,
        alt_name: str | None = None,
        description: str | None = None,
        on_update: Callable[[Any, Any], None] | None = None,
        *,
        secret: bool = False,
    ) -> None:
        super().__init__(
            False, cast("type[ParameterType]", parameter_type), alt_name, description, on_update, secret=secret
        )


def retrieve_parameters(
    input_val: Any, parameter_type: type[ExpectedParameter[Any]] = ExpectedParameter
) -> dict[str, ExpectedParameter[Any]]:
    """Give the described parameters of a class, or of an object's class, by parameter name.

    Raises:
        InstanceError: Two of them, anywhere among the base classes, have the same name; an AttributeError.
    """
    owner = input_val if isinstance(input_val, type) else type(input_val)
    found: dict[str, ExpectedParameter[Any]] = {}
    for cls in owner.__mro__:
        for value in vars(cls).values():
            if not isinstance(value, parameter_type):
                continue
            if value.name in found:
                raise InstanceError(
                    f"{owner.__qualname__}: parameter '{value.name}' is described twice (again in "
                    f"{cls.__qualname__}.{value.attribute_name}); remove one or give it another alt_name"
                )
            found[value.name] = value
    return found


def parameters_of(instance: Any) -> dict[str, Any]:
    """Give the store of an object's parameters, made at first use."""
    return cast("dict[str, Any]", vars(instance).setdefault(origins.STORE, {}))


def store_parameter(instance: Any, name: str, value: Any) -> None:
    """Keep a checked and resolved value under its name; a text kept back for descriptions is forgotten."""
    vars(instance).get(DEFERRED, {}).pop(name, None)
    parameters_of(instance)[name] = value
    origins.note(instance, name)


def check_value(instance: Any, name: str, value: Any) -> None:
    """Refuse values that no description could hold.

    Raises:
        ParameterTypeError: Something in it is of another type.
    """
    try:
        found = find_disallowed(value, allowed_param_types)
    except RecursionError:
        raise ParameterTypeError(
            f"{place_of(instance)}: parameter '{name}' contains itself, or is nested too deep for a description"
        ) from None
    if found is not None:
        place, kind = found
        raise ParameterTypeError(
            f"{place_of(instance)}: parameter '{name}'{place} is of type {kind.__qualname__}; "
            "accepted are str, int, float, bool, set, list, dict and None, at any depth"
        )


def check_scope(owner: str, attribute: str) -> None:
    """Refuse a described parameter with a private (``__x``) name.

    Raises:
        ParameterTypeError: Its name is private.
    """
    if attribute.startswith(f"_{owner.lstrip('_')}__"):
        raise ParameterTypeError(
            f"{owner}: the parameter '{attribute.removeprefix('_' + owner.lstrip('_'))}' is private; "
            "begin its name with at most one underscore"
        )


def find_misfit(value: Any, expected: Any, place: str = "") -> tuple[str, type, Any] | None:
    """Give place, type found and type expected of the first thing that does not fit; None when all does.

    None fits everywhere, and a whole number where a float is expected. Inside a generic, unions are understood and
    other ``typing`` constructs take anything.

    >>> find_misfit(["a", 1], list[str])
    ('[1]', <class 'int'>, <class 'str'>)
    >>> find_misfit([1, 0.5], list[float])
    """
    if value is None:
        return None
    origin: Any = get_origin(expected) or expected
    arguments: tuple[Any, ...] = get_args(expected)
    if origin in (types.UnionType, Union):
        misfits = [find_misfit(value, choice, place) for choice in arguments]
        return None if None in misfits else (place, type(value), expected)
    if not isinstance(origin, type):
        return None
    if not isinstance(value, origin) and not (origin is float and type(value) is int):
        return place, type(value), expected
    if not arguments:
        return None
    inner: list[tuple[Any, Any, str]]
    if isinstance(value, dict):
        inner = [(k, arguments[0], f"{place} key") for k in value]
        inner += [(v, arguments[1], f"{place}[{k!r}]") for k, v in value.items()]
    else:
        inner = [(v, arguments[0], f"{place}[{i}]") for i, v in enumerate(cast("Iterable[Any]", value))]
    return next((misfit for v, t, p in inner if (misfit := find_misfit(v, t, p)) is not None), None)


def type_text(kind: Any) -> str:
    """Give a type as users write it.

    >>> type_text(int), type_text(dict[str, list[int]])
    ('int', 'dict[str, list[int]]')
    """
    return str(kind) if isinstance(kind, types.GenericAlias) else str(getattr(kind, "__qualname__", kind))


def place_of(instance: Any) -> str:
    """Give what an error calls an object: its full name where it has one, else its class."""
    name = vars(instance).get("_pypz_name")
    return instance.get_full_name() if name is not None else type(instance).__qualname__


def _check_declared_type(kind: Any) -> None:
    origin: Any = kind
    arguments: tuple[Any, ...] = ()
    if isinstance(kind, types.GenericAlias):
        origin, arguments = get_origin(kind), get_args(kind)
    elif isinstance(kind, type) and get_origin(kind) is not None:
        origin = None
    expected_arguments = {dict: (0, 2), list: (0, 1), set: (0, 1)}.get(origin, (0,))
    if (
        not isinstance(origin, type)
        or origin is type(None)
        or not issubclass(origin, allowed_param_types)
        or len(arguments) not in expected_arguments
    ):
        raise ParameterTypeError(
            f"a parameter cannot be declared as {type_text(kind)}; accepted are str, int, float, bool, set, list, dict "
            "and generics of these such as list[str]; for a value that may be absent use OptionalParameter"
        )
    for argument in arguments:
        if isinstance(argument, type | types.GenericAlias) and argument is not Any:
            _check_declared_type(argument)


def given_value(instance: Any, name: str) -> Any:
    """Give a parameter's value; None also when the instance has no such parameter."""
    return instance.get_parameter(name) if instance.has_parameter(name) else None
