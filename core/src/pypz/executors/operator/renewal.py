"""An operator that is started again in the same process begins as it was before its first start, as one in a new process does."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator
from pypz.executors.reports import say

_PARAMETERS = "_pypz_parameters"


class Renewal:
    """What an operator and its plugins held when this was made: attributes and parameters, as copies.

    What cannot be copied, such as a lock or a connection, stays as it is, which the first restart tells on stderr;
    operators make such things in `_on_init`.
    """

    def __init__(self, operator: Operator) -> None:
        self._held = [(one, _held_by(one)) for one in (operator, *Internals(operator).nested_instances.values())]
        self._has_told = False

    def restore(self) -> None:
        """Give all of it back; attributes that have come since then go."""
        kept: list[str] = []
        for instance, held in self._held:
            attributes = vars(instance)
            anew = _copied(held, partial(_note, kept, instance))
            parameters = anew.pop(_PARAMETERS)
            attributes[_PARAMETERS].clear()
            attributes[_PARAMETERS].update(parameters)
            for name in [name for name in attributes if not name.startswith("_pypz_") and name not in anew]:
                del attributes[name]
            attributes.update(anew)
        if kept and not self._has_told:
            self._has_told = True
            say(
                f"WARNING: {', '.join(kept)}: cannot be copied, so a restart in threads goes on with what the failed start left "
                "there; make it in _on_init, or use isolation='process'"
            )


def _note(kept: list[str], instance: Any, name: str) -> None:
    kept.append(f"{instance.get_full_name()}.{name}")


def _held_by(instance: Any) -> dict[str, Any]:
    own = {name: value for name, value in vars(instance).items() if not name.startswith("_pypz_")}
    return _copied({**own, _PARAMETERS: dict(vars(instance)[_PARAMETERS])})


def _copied(values: dict[str, Any], keeps: Callable[[str], None] = lambda name: None) -> dict[str, Any]:
    """Copies of all; where that is not possible, of each by itself, and the thing itself as a last resort.

    Args:
        values: What to copy, by name.
        keeps: Told the names of those that are not copied.
    """
    try:
        return copy.deepcopy(values)
    except Exception:  # noqa: BLE001  # whatever an object of the user's raises on being copied
        return {name: _copied_alone(name, value, keeps) for name, value in values.items()}


def _copied_alone(name: str, value: Any, keeps: Callable[[str], None]) -> Any:
    try:
        return copy.deepcopy(value)
    except Exception:  # noqa: BLE001  # likewise
        keeps(name)
        return value
