"""A cluster that asks for a right more before an object may hold up its owner's deletion, as OpenShift does."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from drills import Bed

from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s import DeploymentException, KubernetesDeployer, KubernetesParameter
from pypz.deployers.k8s.api import ClusterApi, Manifest
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.rights import rights_manifests

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

FOLDERS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}


class One(Pipeline):
    """One operator that has no node to run on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.waiting = BlankOperator()
        self.waiting.set_parameter("operatorImageName", "localhost/none:1")
        self.waiting.set_parameter("kubernetes", KubernetesParameter(nodeSelector={"no": "node"}).__dict__)


def admitted(api: ClusterApi, server: str, documents: list[Manifest]) -> dict[str, Any]:
    """Make an account with its rights, and give a kubeconfig for it once the server knows them."""
    for document in documents:
        api._json("POST", FOLDERS[document["kind"]].format(api.namespace), body=document)
    account = documents[0]["metadata"]["name"]
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"{FOLDERS['ServiceAccount'].format(api.namespace)}/{account}/token"
    token = api._json("POST", path, body=request)["status"]["token"]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": server, "certificate-authority": api._configuration.ssl_ca_cert}}
        ],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    last = documents[1]["rules"][-1]
    attributes = {"namespace": api.namespace, "verb": last["verbs"][-1], "group": "", "resource": last["resources"][0]}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    asking = ClusterApi(load_configuration(None, config, True), api.namespace)
    pause, deadline = threading.Event(), time.monotonic() + 60
    reviews = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
    while not asking._json("POST", reviews, body=review)["status"]["allowed"]:
        assert time.monotonic() < deadline, f"the server does not know the rights of {account}"
        pause.wait(0.1)
    return config


def test_where_owners_are_guarded_the_rendered_role_suffices_and_nothing_less_does(
    kubeconfig: str, namespace: str, testbed: Path, tmp_path: Path
) -> None:
    api = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    with Bed(testbed).strict_api_server(api, "OwnerReferencesPermissionEnforcement", tmp_path / "log") as server:
        deployer = KubernetesDeployer(
            namespace, config_file=admitted(api, server, rights_manifests("whole", namespace))
        )
        deployer.deploy(One("one"))
        deployer.destroy("one", force=True)

        documents = rights_manifests("less", namespace)
        rules = documents[1]["rules"]
        rules[:] = [rule for rule in rules if rule["resources"] != ["configmaps/finalizers"]]
        deployer = KubernetesDeployer(namespace, config_file=admitted(api, server, documents))
        with pytest.raises(DeploymentException, match="cannot set blockOwnerDeletion .*`pypz render --rbac"):
            deployer.deploy(One("one"))
        assert not deployer.is_deployed("one")
