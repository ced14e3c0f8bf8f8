"""What deploying would change, found without changing anything."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class ObjectChange:
    """One object of a deployment that would be made, made anew or removed."""

    kind: str
    name: str
    action: Literal["create", "change", "delete"]
    operator: str = ""
    """Full name of the operator that it belongs to; empty when it belongs to the pipeline."""
    diff: str = ""
    """What is deployed against what would be, as a unified diff; secret values are masked."""


@dataclass
class DeploymentPlan:
    """Everything that deploying a pipeline would change."""

    pipeline: str
    place: str
    is_deployed: bool = False
    changes: list[ObjectChange] = field(default_factory=list)
    restarts: dict[str, str] = field(default_factory=dict)
    """Members that run now and would start again: full name -> why."""
    scaling: dict[str, int] = field(default_factory=dict)
    """Where nothing but sizes of groups changes, and the deployer can do that within the run: full name of the operator ->
    members from now on, as `Deployer.scale_operator` takes them."""
    data: list[str] = field(default_factory=list)
    """What becomes of groups, channels and their records."""
    warnings: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    """Why deploying would be refused."""
