"""Where a parameter's value comes from: noted when it is set, for those who show it (``pypz plan``).

No part of descriptions and equality. What a constructor assigns to its own instance is the default and is not noted.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

ORIGINS: Final = "_pypz_origins"
"""Attribute of an instance that holds origins by parameter name."""

DEFAULTS: Final = "_pypz_defaults"
"""Attribute of an instance that holds what its constructor assigned, by parameter name."""

STORE: Final = "_pypz_parameters"
"""Attribute of an instance that holds its parameters."""

DEFAULT: Final = "default"
CODE: Final = "code"


@dataclass(frozen=True)
class Origin:
    """Who set a parameter."""

    source: str
    """``default`` (of the class), ``code``, or what `setting_from` was told, such as a file's name."""
    level: str = ""
    """Full name of the instance from which a cascade (``>>x``) brought it; empty when it was set on the instance itself."""
    is_default: bool = False
    """Whether it gives way to what others have set."""

    def __str__(self) -> str:
        source = "default of the class" if self.source == DEFAULT else self.source
        return f"{source}, cascade from {self.level}" if self.level else source


_default: Final = Origin(DEFAULT)
_in_code: Final = Origin(CODE)
_current: ContextVar[Origin] = ContextVar("pypz_parameter_origin", default=_in_code)


@contextlib.contextmanager
def setting_from(source: str, *, is_default: bool = False) -> Iterator[None]:
    """Parameters that the block sets come from ``source``; as a default they are set only where `is_firm` is false."""
    token = _current.set(Origin(source, is_default=is_default))
    try:
        yield
    finally:
        _current.reset(token)


@contextlib.contextmanager
def cascading_from(level: str) -> Iterator[None]:
    """Parameters that the block sets come by a cascade from the instance of this full name."""
    token = _current.set(dataclasses.replace(_current.get(), level=level))
    try:
        yield
    finally:
        _current.reset(token)


def is_in_code() -> bool:
    """Tell whether what is set now comes from code, so that nobody else tells its user of a slip."""
    return _current.get().source == CODE


def is_firm(instance: Any, name: str) -> bool:
    """Tell whether code, a file or a command line has said what this parameter is.

    Not when it has no value, and not when a file only repeats the default of the class, as descriptions do.
    """
    found = vars(instance).get(ORIGINS, {}).get(name)
    value = vars(instance)[STORE].get(name)
    if found is None or found.is_default or value is None:
        return False
    return bool(found.source == CODE or name not in defaults_of(instance) or defaults_of(instance)[name] != value)


def gives_way(instance: Any, name: str) -> bool:
    """Tell whether what is set now is a default, and something else was said already."""
    return _current.get().is_default and is_firm(instance, name)


def begin(instance: Any, values: dict[str, Any]) -> None:
    """The constructor of an instance has run: what it assigned is the default."""
    vars(instance)[ORIGINS] = {}
    vars(instance)[DEFAULTS] = dict(values)


def note(instance: Any, name: str) -> None:
    """Note that a parameter of an instance is set now."""
    origins = vars(instance).get(ORIGINS)
    if origins is not None:
        origins[name] = _current.get()


def kept(instance: Any) -> dict[str, Origin]:
    """A copy of all origins, for `restore`."""
    return dict(vars(instance).get(ORIGINS, {}))


def restore(instance: Any, origins: dict[str, Origin]) -> None:
    """Undo what was noted since `kept`."""
    if ORIGINS in vars(instance):
        vars(instance)[ORIGINS] = origins


def origin_of(instance: Any, name: str) -> Origin:
    """Give where a parameter's value comes from."""
    found: Origin = vars(instance).get(ORIGINS, {}).get(name, _default)
    return dataclasses.replace(found, level="") if found.level == instance.get_full_name() else found


def defaults_of(instance: Any) -> dict[str, Any]:
    """Give what the constructor of an instance has assigned, by parameter name; secrets are not masked."""
    return dict(vars(instance).get(DEFAULTS, {}))
