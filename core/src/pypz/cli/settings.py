"""Defaults of the command line: ``pypz.toml``, found upwards from the current folder, and variables ``PYPZ_...``.

```toml
pipeline = "letters:Letters"     # or a YAML file, relative to this one
name = "letters"
log = true
strict = false

[parameters]
">>channelLocation" = "kafka://localhost:9092"
```

Parameters here and in the variables are defaults: they give way to what code or a YAML file says.
"""

from __future__ import annotations

import difflib
import os
import shlex
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pypz.core.commons.errors import ConfigurationError

FILE: Final = "pypz.toml"
PARAMETERS_VARIABLE: Final = "PYPZ_PARAMETERS"
"""Parameters as ``-p`` takes them, separated and quoted as a shell does."""

KEYS: Final[Mapping[str, tuple[type, str]]] = {
    "pipeline": (str, "package.module:Class or a file, as text"),
    "name": (str, "the pipeline's name, as text"),
    "log": (bool, "true or false"),
    "strict": (bool, "true or false"),
    "parameters": (dict, "a table of parameters, as [parameters]"),
}


@dataclass(frozen=True)
class Settings:
    """What ``pypz.toml`` says."""

    path: Path | None = None
    """The file; None when there is none."""
    pipeline: str | None = None
    name: str | None = None
    log: bool = True
    strict: bool = False
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        """What parameters from here are said to come from."""
        return FILE if self.path is None else _shown(self.path)

    @property
    def folder(self) -> Path:
        """Where modules and files that it names are looked for."""
        return Path.cwd() if self.path is None else self.path.parent


def read_settings() -> Settings:
    """Read ``pypz.toml`` of the current folder or the nearest one above it.

    Raises:
        ConfigurationError: It is no TOML, or holds an unknown key or a wrong value; names file and place.
    """
    here = Path.cwd()
    path = next((found for folder in (here, *here.parents) if (found := folder / FILE).is_file()), None)
    if path is None:
        return Settings()
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationError(f"{_shown(path)}: cannot be read: {error}") from error
    for key, value in document.items():
        _check(path, key, value)
    return Settings(path, **document)


def parameters_of_environment() -> list[str]:
    """The parameters in ``PYPZ_PARAMETERS``, ``NAME=VALUE`` each.

    Raises:
        ConfigurationError: A quote is left open.
    """
    try:
        return shlex.split(os.environ.get(PARAMETERS_VARIABLE, ""))
    except ValueError as error:
        raise ConfigurationError(
            f"environment variable {PARAMETERS_VARIABLE}: {error}; expected NAME=VALUE, quoted as in a shell"
        ) from error


def _check(path: Path, key: str, value: Any) -> None:
    if key not in KEYS:
        near = difflib.get_close_matches(key, KEYS, 1)
        hint = f"meant {near[0]!r}?" if near else f"there are {', '.join(KEYS)}; parameters go under [parameters]"
        raise ConfigurationError(f"{_shown(path)}: unknown key {key!r}; {hint}")
    kind, expected = KEYS[key]
    if not isinstance(value, kind):
        raise ConfigurationError(f"{_shown(path)}: key {key!r} is {value!r}, expected {expected}")


def _shown(path: Path) -> str:
    return os.path.relpath(path)
