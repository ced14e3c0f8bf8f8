"""Replicas: additional members of an operator's group.

In the model a replica is a proxy with names of its own; everything else it reads from and writes to the original, so the
original alone is configured and described. For execution `materialize` makes a real operator of it.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from pypz.core.commons.errors import InstanceError
from pypz.core.specs.instance import Instance, InstanceGroup

if TYPE_CHECKING:
    from pypz.core.specs.dtos import OperatorInstanceDTO
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.plugin import Plugin


class OperatorReplica(InstanceGroup):
    """Proxy of an operator; see the module.

    Args:
        original: The operator, principal of the group.
        replica_index: 0 for the first replica, whose group index is 1.
    """

    _pypz_original: Operator
    _pypz_index: int

    def __init__(self, original: Operator, replica_index: int) -> None:
        object.__setattr__(self, "_pypz_original", original)
        object.__setattr__(self, "_pypz_index", replica_index)

    def materialize(self) -> Operator:
        """Make a real operator of the original's class, with copies of its state, its plugins and its connections."""
        original = self._pypz_original
        args, kwargs = original._pypz_arguments
        copied: Operator = type(original)(
            self.get_simple_name(),
            *args,
            context=original.get_context(),
            replication_origin=original,
            replication_group_index=self.get_group_index(),
            **kwargs,
        )
        pairs: list[tuple[Instance[Any], Instance[Any]]] = [(original, copied)]
        pairs += [(plugin, _counterpart(plugin, original, copied)) for plugin in original._pypz_own_nested()]
        memo: dict[int, Any] = {id(source): target for source, target in pairs}
        for source, target in pairs:
            self._copy_attributes(source, target, memo)
        return copied

    def get_simple_name(self) -> str:
        """Give the original's name and the replica's number."""
        return f"{self._pypz_original.get_simple_name()}_{self._pypz_index}"

    def get_full_name(self) -> str:
        """Give the names of all contexts and the own one, joined by dots."""
        return f"{self._pypz_original.get_full_name()}_{self._pypz_index}"

    def get_original(self) -> Operator:
        """Give the operator this is a replica of."""
        return self._pypz_original

    def get_dto(self) -> OperatorInstanceDTO:
        """Describe the original under the replica's name."""
        description = self._pypz_original.get_dto()
        description.name = self.get_simple_name()
        return description

    def get_group_size(self) -> int:
        """Give the number of members of the group."""
        return self._pypz_original.get_group_size()

    def get_group_index(self) -> int:
        """Give the own index in the group, 1 or more."""
        return self._pypz_index + 1

    def get_group_name(self) -> str | None:
        """Give the full name of the original."""
        return self._pypz_original.get_group_name()

    def get_group_principal(self) -> Instance[Any] | None:
        """Give the original."""
        return self._pypz_original

    def is_principal(self) -> bool:
        """Tell that this is not the principal."""
        return False

    def _copy_attributes(self, source: Any, target: Any, memo: dict[int, Any]) -> None:
        """Copy what users (not the framework) keep in ``source``, its parameters, dependencies, schema, connections."""
        for name, value in vars(source).items():
            if not name.startswith("_pypz_"):
                _copy_attribute(target, name, value, memo)
        for name, value in source._pypz_parameters.items():
            target._pypz_store(name, copy.deepcopy(value))
        target._pypz_deferred.update(copy.deepcopy(source._pypz_deferred))
        target._pypz_depends_on.update(memo.get(id(d), d) for d in source._pypz_depends_on)
        if "_pypz_connected" in vars(source):
            target._pypz_schema = source._pypz_schema
            vars(target)["_pypz_connected"] = source.get_connected_ports()
        if "_pypz_group_mode" in vars(source):
            target._pypz_group_mode = source._pypz_group_mode

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(object.__getattribute__(self, "_pypz_original"))

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_pypz_original"), name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._pypz_original, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self._pypz_original, name)

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self._pypz_original)})

    def __eq__(self, other: object) -> bool:
        if type(other) is not OperatorReplica:
            return False
        return self._pypz_index == other._pypz_index and self._pypz_original == other._pypz_original

    def __hash__(self) -> int:
        return hash((self.get_full_name(), self._pypz_original._pypz_spec_name))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return memo.get(id(self), self)

    def __str__(self) -> str:
        from pypz.core.specs._documents import to_yaml

        return to_yaml(self.get_dto().to_dict())

    def __repr__(self) -> str:
        return f"<{type(self._pypz_original).__qualname__} '{self.get_full_name()}', replica>"


def _counterpart(plugin: Plugin, original: Operator, copied: Operator) -> Plugin:
    """Find the copy's plugin of the same name; make it when the operator's constructor does not."""
    name = plugin.get_simple_name()
    found: Plugin | None = copied._pypz_nested.get(name)
    if found is not None:
        return found
    args, kwargs = plugin._pypz_arguments
    made: Plugin = type(plugin)(name, *args, context=copied, **kwargs)
    attributes = [attribute for attribute, value in vars(original).items() if value is plugin]
    for attribute in attributes:
        setattr(copied, attribute, made)
    if not attributes:
        copied._pypz_register(made)
    return made


def _copy_attribute(target: Any, name: str, value: Any, memo: dict[int, Any]) -> None:
    try:
        copied = copy.deepcopy(value, memo)
    except Exception as error:
        if name in vars(target):  # a lock, a connection: the copy keeps what its own constructor made
            return
        raise InstanceError(
            f"{target.get_full_name()}: the attribute '{name}' ({type(value).__qualname__}) cannot be copied to the replica; "
            "make it in the constructor, or later in _on_init"
        ) from error
    object.__setattr__(target, name, copied)
