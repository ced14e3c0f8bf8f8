"""States of a deployed member, as users see them."""

from __future__ import annotations

import enum


class DeploymentState(enum.Enum):
    """State of one member of a deployed pipeline."""

    Open = ("Open",)
    """It is there, but does not run yet."""
    Running = ("Running",)
    Completed = ("Completed",)
    Failed = ("Failed",)
    """It has failed for good, or was ended because another one has."""
    Unhealthy = ("Unhealthy",)
    """It runs, but says that it is not ready for work."""
    Unknown = ("Unknown",)
    NotExisting = "NotExisting"
