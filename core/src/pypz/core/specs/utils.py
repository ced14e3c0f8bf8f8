"""Classes by their text, and the order that dependencies ask for."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from pypz.core.commons.errors import (
    ClassNotFoundError,
    ConfigurationError,
    DependencyCycleError,
    InstanceError,
    InstanceTypeError,
)

if TYPE_CHECKING:
    from pypz.core.specs.instance import Instance

_InstanceType = TypeVar("_InstanceType", bound="Instance[Any]")


def load_class_by_name(class_name: str) -> type:
    """Import a class by its dotted name, such as ``a.b.C`` or ``<class 'a.b.C'>``; nested classes are found too.

    Raises:
        ConfigurationError: There is no dot in the name; a ValueError.
        ClassNotFoundError: The top module cannot be imported; a ModuleNotFoundError.
        InstanceError: A module has no such attribute; an AttributeError.
        InstanceTypeError: What is found is no class; a TypeError.

    >>> load_class_by_name("<class 'collections.OrderedDict'>")
    <class 'collections.OrderedDict'>
    """
    dotted = class_name.removeprefix("<class '").removesuffix("'>")
    parts = dotted.split(".")
    if len(parts) < 2 or not all(parts):
        raise ConfigurationError(f"'{class_name}' is no class name; expected package.module.Class")
    module, rest = _import_longest(parts)
    return _attribute_of(module, rest, dotted)


def load_class_by_spec_name(spec_name: str) -> type:
    """Import a class by its spec name ``module:Class``.

    Raises:
        ConfigurationError: There is no colon in the name; a ValueError.
        ClassNotFoundError: The module cannot be imported; a ModuleNotFoundError.
        InstanceError: The module has no such class; an AttributeError.
        InstanceTypeError: What is found is no class; a TypeError.
    """
    module_name, colon, qualname = spec_name.partition(":")
    if not colon or not module_name or not qualname:
        raise ConfigurationError(f"spec name '{spec_name}': expected module:Class")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if not _is_part_of(error.name, module_name):
            raise
        raise ClassNotFoundError(
            f"spec name '{spec_name}': there is no module '{error.name}' here; install the project that has it, or "
            "allow mocks (mock_nonexistent=True)",
            name=error.name,
        ) from error
    return _attribute_of(module, qualname.split("."), spec_name)


def remove_super_classes(classes: set[type]) -> set[type]:
    """Leave out those classes that are superclasses of others in the set.

    >>> remove_super_classes({int, bool, object})
    {<class 'bool'>}
    """
    return {cls for cls in classes if not any(other is not cls and issubclass(other, cls) for other in classes)}


def resolve_dependency_graph(instances: Iterable[_InstanceType]) -> list[set[_InstanceType]]:
    """Sort instances into levels: each depends only on ones of earlier levels, or on others outside the given.

    Raises:
        DependencyCycleError: Some depend on each other in a circle; a RecursionError.
    """
    waiting = {instance.get_full_name(): instance for instance in instances}
    levels: list[set[_InstanceType]] = []
    while waiting:
        ready = {
            name
            for name, instance in waiting.items()
            if not any(d.get_full_name() in waiting for d in instance._pypz_depends_on)
        }
        if not ready:
            raise DependencyCycleError(f"these depend on each other in a circle: {', '.join(sorted(waiting))}")
        levels.append({waiting[name] for name in sorted(ready)})
        waiting = {name: instance for name, instance in waiting.items() if name not in ready}
    return levels


def _import_longest(parts: list[str]) -> tuple[Any, list[str]]:
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            return importlib.import_module(name), parts[length:]
        except ModuleNotFoundError as error:
            if not _is_part_of(error.name, name):
                raise
            cause = error
    raise ClassNotFoundError(f"'{'.'.join(parts)}': there is no module '{parts[0]}' here", name=parts[0]) from cause


def _is_part_of(missing: str | None, module_name: str) -> bool:
    return missing is not None and (module_name == missing or module_name.startswith(f"{missing}."))


def _attribute_of(module: Any, path: list[str], wanted: str) -> type:
    found = module
    for part in path:
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise InstanceError(f"'{wanted}': module '{module.__name__}' has no '{'.'.join(path)}'") from error
    if not isinstance(found, type):
        raise InstanceTypeError(f"'{wanted}' is no class but a {type(found).__qualname__}")
    return found
