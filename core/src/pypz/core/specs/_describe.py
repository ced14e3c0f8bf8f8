"""An instance and its description: making one, following one, comparing by content."""

from __future__ import annotations

from typing import Any

from pypz.core.commons import secrets
from pypz.core.commons.errors import ConfigurationError, InstanceError
from pypz.core.specs import _documents
from pypz.core.specs.dtos import InstanceDTO
from pypz.core.specs.utils import remove_super_classes


def describe(instance: Any) -> Any:
    """Give the description of an instance; everything in it is a copy."""
    dto_type = instance._pypz_dto_type
    nested_type = instance._pypz_nested_type
    return dto_type(
        name=instance.get_simple_name(),
        parameters=_masked(instance),
        dependsOn=sorted(d.get_simple_name() for d in instance._pypz_depends_on),
        spec=dto_type._spec_dto_type(
            name=instance._pypz_spec_name,
            location=None,
            expectedParameters=expected_parameters(instance),
            types=sorted(str(cls) for cls in remove_super_classes(instance._pypz_spec_classes)),
            nestedInstanceType=None if nested_type is None else str(nested_type),
            nestedInstances=[nested.get_dto() for nested in instance._pypz_own_nested()],
        ),
    )


def expected_parameters(instance: Any) -> dict[str, dict[str, Any]]:
    """Give the described parameters of an instance with their masked values."""
    masked = _masked(instance)
    return {
        name: {**described.to_dict(), "currentValue": masked.get(name)}
        for name, described in instance._pypz_described.items()
    }


def to_text(instance: Any) -> str:
    """Give the description as YAML."""
    return _documents.to_yaml(instance.get_dto().to_dict())


def update(instance: Any, description: InstanceDTO) -> None:
    """Set own parameters, then nested instances, then dependencies; nothing when names or classes do not fit."""
    _check_fit(instance, description)
    instance.set_parameters(description.parameters or {})
    for nested_dto in (description.spec and description.spec.nestedInstances) or ():
        _nested(instance, nested_dto).update(nested_dto)
    for name in description.dependsOn or ():
        _set_dependency(instance, name)


def is_equal(one: Any, other: Any) -> bool:
    """Same class, full name, content."""
    return (
        type(one)._pypz_dto_type is type(other)._pypz_dto_type
        and one._pypz_spec_name == other._pypz_spec_name
        and one.get_full_name() == other.get_full_name()
        and is_equivalent(one, other)
    )


def is_equivalent(one: Any, other: Any) -> bool:
    """Same content: class, parameters but for secrets, described parameters, dependencies, nested instances."""
    nested, other_nested = _nested_by_name(one), _nested_by_name(other)
    return (
        one._pypz_spec_name == other._pypz_spec_name
        and _concealed(one) == _concealed(other)
        and _described(one) == _described(other)
        and {d.get_simple_name() for d in one._pypz_depends_on} == {d.get_simple_name() for d in other._pypz_depends_on}
        and nested.keys() == other_nested.keys()
        and all(is_equivalent(nested[name], other_nested[name]) for name in nested)
    )


def _masked(instance: Any) -> dict[str, Any]:
    return secrets.mask(instance._pypz_secret_scope(), instance._pypz_described_values(), instance._pypz_secret_names())


def _concealed(instance: Any) -> dict[str, Any]:
    return secrets.conceal(instance._pypz_described_values(), instance._pypz_secret_names())


def _described(instance: Any) -> dict[str, Any]:
    return {name: described.to_dict() for name, described in instance._pypz_described.items()}


def _nested_by_name(instance: Any) -> dict[str, Any]:
    return {nested.get_simple_name(): nested for nested in instance._pypz_own_nested()}


def _check_fit(instance: Any, description: InstanceDTO) -> None:
    """Refuse a description that names what is not here, at any depth."""
    _check_identity(instance, description)
    for nested_dto in (description.spec and description.spec.nestedInstances) or ():
        _check_fit(_nested(instance, nested_dto), nested_dto)
    for name in description.dependsOn or ():
        _beside(instance, name)


def _check_identity(instance: Any, description: InstanceDTO) -> None:
    name = instance.get_full_name()
    if description.name is not None and description.name != instance.get_simple_name():
        raise ConfigurationError(f"{name}: the description is of '{description.name}', not of this instance")
    if description.spec is None:
        return
    if description.spec.name is not None and description.spec.name != instance._pypz_spec_name:
        raise InstanceError(
            f"{name}: the description is of class '{description.spec.name}', this is a '{instance._pypz_spec_name}'"
        )
    if description.spec.nestedInstances and instance._pypz_nested_type is None:
        raise InstanceError(
            f"{name}: the description nests instances, but a {type(instance).__qualname__} nests nothing"
        )


def _nested(instance: Any, description: InstanceDTO) -> Any:
    if description.name is None:
        raise ConfigurationError(f"{instance.get_full_name()}: a nested instance in the description has no name")
    found = instance._pypz_nested.get(description.name)
    if found is None:
        raise InstanceError(
            f"{instance.get_full_name()}: nothing of the name '{description.name}' is nested here; "
            f"there are: {', '.join(sorted(instance._pypz_nested)) or 'none'}"
        )
    return found


def _beside(instance: Any, name: str) -> Any:
    context = instance.get_context()
    other = None if context is None else context._pypz_nested.get(name)
    if other is None:
        raise InstanceError(
            f"{instance.get_full_name()}: cannot depend on '{name}', there is no such instance beside it"
        )
    return other


def _set_dependency(instance: Any, name: str) -> None:
    other = _beside(instance, name)
    if other not in instance._pypz_depends_on:
        instance.depends_on(other)
