"""An operator that is started again in the same process begins as it was before its first start, as one in a new process does."""

from __future__ import annotations

import copy
from typing import Any

from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator

_PARAMETERS = "_pypz_parameters"


class Renewal:
    """What an operator and its plugins held when this was made: attributes and parameters, as copies.

    What cannot be copied, such as a lock or a connection, stays as it is; operators make such things in `_on_init`.
    """

    def __init__(self, operator: Operator) -> None:
        self._held = [(one, _held_by(one)) for one in (operator, *Internals(operator).nested_instances.values())]

    def restore(self) -> None:
        """Give all of it back; attributes that have come since then go."""
        for instance, held in self._held:
            attributes = vars(instance)
            anew = _copied(held)
            parameters = anew.pop(_PARAMETERS)
            attributes[_PARAMETERS].clear()
            attributes[_PARAMETERS].update(parameters)
            for name in [name for name in attributes if not name.startswith("_pypz_") and name not in anew]:
                del attributes[name]
            attributes.update(anew)


def _held_by(instance: Any) -> dict[str, Any]:
    own = {name: value for name, value in vars(instance).items() if not name.startswith("_pypz_")}
    return _copied({**own, _PARAMETERS: dict(vars(instance)[_PARAMETERS])})


def _copied(values: dict[str, Any]) -> dict[str, Any]:
    """Copies of all; where that is not possible, of each by itself, and the thing itself as a last resort."""
    try:
        return copy.deepcopy(values)
    except Exception:  # noqa: BLE001  # whatever an object of the user's raises on being copied
        return {name: _copied_alone(value) for name, value in values.items()}


def _copied_alone(value: Any) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001  # likewise
        return value
