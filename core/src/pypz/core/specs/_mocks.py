"""Stand-ins for classes that are not installed here: enough to show, connect and describe a pipeline, never to run it."""

from __future__ import annotations

import ast
import sys
from typing import Any, Final

from pypz.core.commons.errors import ConfigurationError, InstanceError, InstanceTypeError
from pypz.core.commons.parameters import ExpectedParameter, retrieve_parameters
from pypz.core.specs._interception import InstanceInitInterceptor
from pypz.core.specs.dtos import InstanceDTO
from pypz.core.specs.utils import load_class_by_name, remove_super_classes

_TYPES: Final = {kind.__name__: kind for kind in (str, int, float, bool, set, list, dict)}


def make_class(description: InstanceDTO) -> Any:
    """Make a class of the described name and types; its class attribute ``mocked`` is True.

    Raises:
        InstanceError: The description has no types; an AttributeError.
        InstanceTypeError: One of them is no class of instances; a TypeError.
    """
    spec_name, types = description.spec.name, description.spec.types
    module, colon, qualname = spec_name.partition(":")
    if not colon or not module or not qualname:
        raise ConfigurationError(f"spec name '{spec_name}': expected module:Class")
    if not types:
        raise InstanceError(f"'{description.name}' of class '{spec_name}' cannot be mocked: its spec has no types")
    bases = _bases(description)
    members: dict[str, Any] = {"mocked": True, "__module__": module, "__qualname__": qualname}
    members |= {name: _stub(name) for base in bases for name in getattr(base, "__abstractmethods__", ())}
    members |= _parameters(description, bases)
    sys.stderr.write(f"WARNING: {description.name}: no class '{spec_name}' is installed here, a mock takes its place\n")
    return InstanceInitInterceptor(qualname.rpartition(".")[2], bases, members)


def _bases(description: InstanceDTO) -> tuple[type, ...]:
    classes: set[type] = {_base_of(description)}
    for name in description.spec.types:
        try:
            cls = load_class_by_name(name)
        except (ModuleNotFoundError, AttributeError):
            sys.stderr.write(f"WARNING: {description.name}: its type {name} is not installed here and left out\n")
            continue
        if not isinstance(cls, InstanceInitInterceptor):
            raise InstanceTypeError(f"'{description.name}': type '{name}' of its spec is no class of instances")
        classes.add(cls)
    return tuple(sorted(remove_super_classes(classes), key=lambda cls: (cls.__module__, cls.__qualname__)))


def _base_of(description: InstanceDTO) -> type:
    """Class that all instances with this kind of description have in common."""
    from pypz.core.specs.instance import Instance
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline
    from pypz.core.specs.plugin import Plugin

    kinds: tuple[type[Instance[Any]], ...] = (Plugin, Operator, Pipeline)
    return next((kind for kind in kinds if kind._pypz_dto_type is type(description)), Instance)


def _stub(name: str) -> Any:
    def stub(self: Any, *args: Any, **kwargs: Any) -> None:
        return None

    stub.__name__ = name
    return stub


def _parameters(description: InstanceDTO, bases: tuple[type, ...]) -> dict[str, Any]:
    """Described parameters that the bases do not describe themselves, so that they can be shown."""
    known = {name for base in bases for name in retrieve_parameters(base)}
    return {
        f"_pypz_mocked_parameter_{index}": ExpectedParameter(
            bool(entry.get("required")), _type_of(entry.get("type")), name, entry.get("description")
        )
        for index, (name, entry) in enumerate((description.spec.expectedParameters or {}).items())
        if name not in known and isinstance(entry, dict) and _type_of(entry.get("type")) is not None
    }


def _type_of(text: Any) -> Any:
    """Read back what ``type_text`` writes; None for what it cannot have written."""
    try:
        plain = str(text).removeprefix("<class '").removesuffix("'>")
        return _read_type(ast.parse(plain, mode="eval").body)
    except (SyntaxError, KeyError, TypeError):
        return None


def _read_type(node: ast.expr) -> Any:
    if isinstance(node, ast.Name):
        return _TYPES[node.id]
    if isinstance(node, ast.Subscript):
        inner = node.slice.elts if isinstance(node.slice, ast.Tuple) else [node.slice]
        return _read_type(node.value)[tuple(_read_type(part) for part in inner)]
    raise KeyError(ast.dump(node))
