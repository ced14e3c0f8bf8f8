"""The version of this distribution, and of any other that is installed."""

from __future__ import annotations

import os
from typing import Final

from importlib_metadata import PackageNotFoundError, version

OVERRIDE_VARIABLE: Final = "PYPZ_VERSION_OVERRIDE"
"""Environment variable that stands for every version asked for here, such as ``v1.2.3`` from a build's tag."""

NOT_INSTALLED: Final = "0.0.0"
"""The version told of a distribution that is not installed, as when sources are used without it."""


def resolve_project_version(dist: str) -> str:
    """Tell the version of the distribution ``dist``.

    Args:
        dist: Name of a distribution, such as ``pypz-kafka``.

    Returns:
        The value of ``PYPZ_VERSION_OVERRIDE`` without a leading v when that is set, else the installed version, else
        ``0.0.0``.
    """
    override = os.environ.get(OVERRIDE_VARIABLE, "").strip()
    if override:
        return override.removeprefix("v")
    try:
        return version(dist)
    except PackageNotFoundError:
        return NOT_INSTALLED


PROJECT_VERSION: Final = resolve_project_version("pypz")
"""The version of the distribution ``pypz``."""
