"""Deploys pipelines to Kubernetes."""

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
