"""A cluster to test on, and a fresh namespace of it for each test."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from pypz.deployers.k8s import deployer
from pypz.deployers.k8s.api import ClusterApi, WatchStream
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.rights import RIGHTS

_VERBS = {"POST": "create", "PATCH": "patch", "PUT": "update", "DELETE": "delete"}


class BoundedApi(ClusterApi):
    """Refuses every request that the table of rights has not, before it is sent."""

    def _send(self, method: str, path: str, **options: Any) -> Any:
        right = right_of(method, path, options.get("query") or {})
        assert right is None or right[1] in RIGHTS.get(right[0], ()), f"not in the table of rights: {right}"
        return super()._send(method, path, **options)


def right_of(method: str, path: str, query: Any) -> tuple[tuple[str, str], str] | None:
    """Group, resource and verb that a request needs as RBAC calls them; None for what needs no right in a namespace."""
    parts = urlsplit(path).path.strip("/").split("/")
    if "namespaces" not in parts:
        return None
    at = parts.index("namespaces")
    group = "" if parts[0] == "api" else parts[1]
    resource, *rest = parts[at + 2 :]
    verb = _VERBS.get(method) or ("get" if rest else "watch" if query.get("watch") else "list")
    return (group, "/".join([resource, *rest[1:]])), verb


@pytest.fixture(autouse=True)
def _bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no deployer of any test here do what its Role would not allow."""
    monkeypatch.setattr(deployer, "ClusterApi", BoundedApi)


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    """Path of a kubeconfig whose cluster may be used."""
    found = os.environ.get("KUBECONFIG")
    if not found:
        pytest.skip("KUBECONFIG is not set: no Kubernetes cluster to test on")
    return found


@pytest.fixture
def namespace(kubeconfig: str) -> Iterator[str]:
    """A namespace of its own for one test, ready for pods."""
    yield from fresh_namespace(kubeconfig, {})


@pytest.fixture
def restricted_namespace(kubeconfig: str) -> Iterator[str]:
    """As `namespace`, and it enforces the *restricted* Pod Security profile."""
    yield from fresh_namespace(kubeconfig, {"pod-security.kubernetes.io/enforce": "restricted"})


def fresh_namespace(kubeconfig: str, labels: dict[str, str]) -> Iterator[str]:
    name = f"pypz-test-{uuid.uuid4().hex[:8]}"
    api = ClusterApi(load_configuration(None, kubeconfig, True), name)
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    api._json("POST", "/api/v1/namespaces", body=body)
    try:
        # Controllers make these a moment later: pods need the account, and what a test lists before and after must be complete.
        for kind, made in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
            query = {"watch": "true", "fieldSelector": f"metadata.name={made}", "timeoutSeconds": "30"}
            stream = WatchStream(api._send("GET", f"/api/v1/namespaces/{name}/{kind}", query=query), name)
            assert next(iter(stream))[0] == "ADDED"
            stream.close()
        yield name
    finally:
        api._json("DELETE", f"/api/v1/namespaces/{name}")
