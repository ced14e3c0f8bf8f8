"""What everything about Kubernetes in pypz shares: its errors and its rule for the names of objects."""

from pypz.utils.k8s.errors import (
    DeploymentConflictException,
    DeploymentException,
    DeploymentNotFoundException,
)
from pypz.utils.k8s.names import label_value, object_name

__all__ = [
    "DeploymentConflictException",
    "DeploymentException",
    "DeploymentNotFoundException",
    "label_value",
    "object_name",
]
