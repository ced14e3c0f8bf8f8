"""Instances in lists and dicts: each is nested under the attribute's name and its index or key.

``self.writers = [Writer() for _ in range(2)]`` nests ``writers_0`` and ``writers_1``, ``self.by_city = {"rome": Writer()}``
nests ``by_city_rome``, at any depth; a name given to the constructor wins. Lists and dicts stay the same objects.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pypz.core.commons.errors import InstanceError
from pypz.core.specs._interception import InstanceInitInterceptor, InterceptedInstance

KINDS = (list, dict, tuple)


def nest(owner: Any, name: str, value: Any) -> Any:
    """Nest in ``owner`` what ``value`` is or holds; gives the value with real objects in place of placeholders.

    Raises:
        InstanceError: Two would have the same name, or a key makes no name; an AttributeError.
    """
    return _nest(owner, name, value, set())


def begins_with_instance(value: Any) -> bool:
    """Tell whether the first thing in a list, dict or tuple is an instance or a placeholder."""
    first = next(iter(value.values() if isinstance(value, dict) else value), None)
    return type(first) is InterceptedInstance or isinstance(type(first), InstanceInitInterceptor)


def nest_all(owner: Any) -> None:
    """Nest what the constructor put into lists and dicts after these were assigned."""
    for name, value in list(vars(owner).items()):
        if type(value) in KINDS and not name.startswith("_pypz_"):
            nested = nest(owner, name, value)
            if nested is not value:
                object.__setattr__(owner, name, nested)


def _nest(owner: Any, name: str, value: Any, seen: set[int]) -> Any:
    kind = type(value)
    if kind is InterceptedInstance:
        value = value.build(owner, name, owner._pypz_nested_type)
        kind = type(value)
    if isinstance(kind, InstanceInitInterceptor):
        owner._pypz_register(value)
    elif kind in KINDS and id(value) not in seen:
        seen.add(id(value))
        return _nest_within(owner, name, value, seen)
    return value


def _nest_within(owner: Any, name: str, value: Any, seen: set[int]) -> Any:
    entries: Iterable[tuple[Any, Any]] = list(value.items()) if isinstance(value, dict) else enumerate(value)
    changed = {}
    for key, inner in entries:
        if (
            type(inner) in KINDS
            or type(inner) is InterceptedInstance
            or isinstance(type(inner), InstanceInitInterceptor)
        ):
            nested = _nest(owner, _name_of(owner, name, key, inner), inner, seen)
            if nested is not inner:
                changed[key] = nested
    if isinstance(value, tuple):
        return tuple(changed.get(index, inner) for index, inner in enumerate(value)) if changed else value
    for key, nested in changed.items():
        value[key] = nested
    return value


def _name_of(owner: Any, name: str, key: Any, inner: Any) -> str:
    if isinstance(key, str | int):
        return f"{name}_{key}"
    if type(inner) is InterceptedInstance and inner.name is None:
        raise InstanceError(
            f"{owner.get_full_name()}: '{name}' has the key {key!r}, which makes no name for an instance; expected a "
            f"text or a number, or a name in the constructor: {inner.context_class.__name__}('my_name')"
        )
    return name
