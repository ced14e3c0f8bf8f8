"""`Internals`: what plugin authors may see of an instance beyond its public methods."""

from __future__ import annotations

from typing import Any

from pypz.core.commons.errors import InstanceError


class Internals:
    """Reads those internals of an instance that its classes list in ``_internal_access`` (name -> attribute).

    On the proxy of a replica it reads the original.
    """

    def __init__(self, instance: Any) -> None:
        get_original = getattr(type(instance), "get_original", None)
        self.__instance = instance if get_original is None else get_original(instance)

    def __getattr__(self, name: str) -> Any:
        access: dict[str, str] = {}
        for cls in reversed(type(self.__instance).__mro__):
            listed = vars(cls).get("_internal_access", {})
            access |= listed if isinstance(listed, dict) else {entry: f"_{entry}" for entry in listed}
        if name not in access:
            raise InstanceError(
                f"{type(self.__instance).__qualname__}: no internal '{name}'; accessible are {', '.join(sorted(access))}"
            )
        return getattr(self.__instance, access[name])
