"""States of a deployed member, as users see them."""

from __future__ import annotations

import enum
from dataclasses import dataclass


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


@dataclass(frozen=True)
class MemberStatus:
    """One member of a deployed pipeline, as its place tells of it."""

    name: str
    """Full name: of the principal, or ``<principal>_<i>`` of a replica."""
    state: DeploymentState
    reason: str = ""
    """Why it is in this state, in words; empty when there is nothing to say."""
    restarts: int = 0
    """How often it was started again."""
    host: str = ""
    """Where it runs; empty when it does not, or when that is not known."""
    since_utc: float | None = None
    """When its newest start was made, in seconds since 1970."""
