"""What the deployer may do in its namespace: one table, of which the Role is made that `pypz render --rbac` prints."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pypz.deployers.k8s.api import Manifest
from pypz.utils.k8s.errors import DeploymentException
from pypz.utils.k8s.names import MAX_LABEL, OBJECT_NAME

RIGHTS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("", "configmaps"): ("create", "delete", "get", "list", "patch", "watch"),
    ("", "configmaps/finalizers"): ("update",),
    ("", "secrets"): ("create", "delete", "list", "watch"),
    ("apps", "deployments"): ("create", "delete", "list", "patch", "watch"),
    ("batch", "jobs"): ("create", "delete", "get", "list", "patch", "watch"),
    ("", "pods"): ("delete", "list", "watch"),
    ("", "pods/log"): ("get",),
    ("", "events"): ("list", "watch"),
}
"""Verbs by API group and resource: all that are needed, each of them needed. Tests refuse a request beyond this table, and
run the deployer with each verb missing.

Finalizers are never set: some clusters (OpenShift; the admission plugin OwnerReferencesPermissionEnforcement) let nobody without
that right make an object that holds up its owner's deletion, as ours do. It gives no more than the right to patch ConfigMaps."""

ACCOUNT: Final = "pypz-deployer"
"""Name of the account, its Role and its RoleBinding, unless told otherwise."""


def rules() -> list[Manifest]:
    """Give the rules of a Role."""
    return [
        {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}
        for (group, resource), verbs in RIGHTS.items()
    ]


def rights_manifests(account: str, namespace: str) -> list[Manifest]:
    """Make a ServiceAccount that may deploy to a namespace, and nothing else.

    Raises:
        DeploymentException: The account's name is no name of an object.
    """
    if len(account) > MAX_LABEL or not OBJECT_NAME.fullmatch(account):
        raise DeploymentException(
            f"account {account!r}: expected lower case letters, digits and '-', {MAX_LABEL} at most, such as {ACCOUNT!r}"
        )
    group = "rbac.authorization.k8s.io"
    metadata = {"name": account, "namespace": namespace}
    return [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {"apiVersion": f"{group}/v1", "kind": "Role", "metadata": metadata, "rules": rules()},
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": metadata,
            "roleRef": {"apiGroup": group, "kind": "Role", "name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        },
    ]
