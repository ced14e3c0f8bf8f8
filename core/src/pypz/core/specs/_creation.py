"""Instances from descriptions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pypz.core.commons.errors import (
    ConfigurationError,
    InstanceError,
    InstanceTypeError,
    NotBuiltYetError,
)
from pypz.core.specs import _documents, dtos
from pypz.core.specs._interception import InstanceInitInterceptor
from pypz.core.specs.utils import load_class_by_name, load_class_by_spec_name

_DTO = TypeVar("_DTO", bound=dtos.InstanceDTO)


def read(source: Any, dto_type: type[_DTO]) -> _DTO:
    """Make a description of the given class from text, dict or another description.

    Raises:
        InstanceTypeError: It is none of these, or does not fit; a TypeError.
        ConfigurationError: A text that is neither YAML nor JSON.
    """
    if isinstance(source, str):
        source = _documents.from_text(source)
        if dto_type is dtos.InstanceDTO:
            dto_type = _typed(source, dto_type)
    if not isinstance(source, dict | dtos.InstanceDTO):
        raise InstanceTypeError(
            f"expected a description (InstanceDTO, dict, YAML or JSON text), got {type(source).__qualname__}"
        )
    return dtos.convert(source, dto_type)


def create(description: Any, *args: Any, **kwargs: Any) -> Any:
    """Build the instance that a description describes; see `Instance.create_from_dto`."""
    if not isinstance(description, dtos.InstanceDTO):
        raise InstanceTypeError(f"expected an InstanceDTO, got {type(description).__qualname__}")
    cls = _class_of(description, bool(kwargs.get("mock_nonexistent")))
    description = dtos.convert(description, cls._pypz_dto_type)
    kwargs.setdefault("context", None)
    instance = cls(description.name, *args, from_dto=description, **kwargs)
    if not kwargs.get("disable_auto_update"):
        instance.update(description)
    return instance


def create_missing_nested(owner: Any, description: dtos.InstanceDTO) -> None:
    """Create what a description nests in ``owner``, at any depth, and the code of its class does not; mocks allowed."""
    for nested_dto in (description.spec and description.spec.nestedInstances) or ():
        name = nested_dto.name
        if name is None:
            raise ConfigurationError(f"{owner.get_full_name()}: a nested instance in the description has no name")
        present = owner._pypz_nested.get(name)
        if present is not None:
            create_missing_nested(present, nested_dto)
            continue
        nested = create(nested_dto, context=owner, mock_nonexistent=True, disable_auto_update=True)
        if hasattr(type(owner), name) or name in vars(owner):
            owner._pypz_register(nested)
        else:
            setattr(owner, name, nested)


def _class_of(description: dtos.InstanceDTO, mock_nonexistent: bool) -> Any:
    if not description.name:
        raise ConfigurationError("a description needs a name")
    if description.spec is None or not description.spec.name:
        raise InstanceError(f"the description of '{description.name}' has no spec.name; expected module:Class")
    if description.spec.location is not None:
        raise NotBuiltYetError(
            f"the description of '{description.name}' has a spec.location; classes are loaded only from what is installed: "
            "leave it out"
        )
    try:
        cls = load_class_by_spec_name(description.spec.name)
    except (ModuleNotFoundError, AttributeError):
        if not mock_nonexistent:
            raise
        from pypz.core.specs import _mocks

        return _mocks.make_class(description)
    if not isinstance(cls, InstanceInitInterceptor):
        raise InstanceTypeError(f"spec.name '{description.spec.name}' is no class of instances")
    return cls


def _typed(source: dict[str, Any], default: Any) -> Any:
    """Find which class of description a document is, by the class it describes or else by its types."""
    spec = source.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    types = spec.get("types")
    found: list[Any] = [_load(load_class_by_spec_name, spec.get("name"))]
    found += [_load(load_class_by_name, name) for name in (types if isinstance(types, list) else ())]
    return next((cls._pypz_dto_type for cls in found if hasattr(cls, "_pypz_dto_type")), default)


def _load(load: Callable[[str], type], name: Any) -> Any:
    """Load a class; None for whatever reason it cannot be, `create` tells the reason."""
    try:
        return load(name) if isinstance(name, str) else None
    except (ModuleNotFoundError, AttributeError, ValueError, TypeError):
        return None
