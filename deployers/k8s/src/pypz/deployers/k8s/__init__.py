"""Deploys pipelines to Kubernetes.

The names are imported when they are asked for: pypz finds its plugins here at every start, also where nobody deploys.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from pypz.deployers.k8s.deployer import KubernetesDeployer
    from pypz.deployers.k8s.parameters import KubernetesParameter
    from pypz.utils.k8s.errors import (
        DeploymentConflictException,
        DeploymentException,
        DeploymentNotFoundException,
    )

__all__ = [
    "DeploymentConflictException",
    "DeploymentException",
    "DeploymentNotFoundException",
    "KubernetesDeployer",
    "KubernetesParameter",
]

_MODULES: Final = {
    "DeploymentConflictException": "pypz.utils.k8s.errors",
    "DeploymentException": "pypz.utils.k8s.errors",
    "DeploymentNotFoundException": "pypz.utils.k8s.errors",
    "KubernetesDeployer": "pypz.deployers.k8s.deployer",
    "KubernetesParameter": "pypz.deployers.k8s.parameters",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = globals()[name] = getattr(import_module(_MODULES[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
