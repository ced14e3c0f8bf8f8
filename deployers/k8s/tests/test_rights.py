"""The rights that deploying needs: all of them stand in the table, and each of them is needed."""

from __future__ import annotations

import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
import yaml
from deployers.k8s.tests.conftest import BoundedApi, fresh_namespace, right_of
from deployers.k8s.tests.test_cluster import Sending, configured, prepared, two

from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import DeploymentException, KubernetesDeployer, deployments
from pypz.deployers.k8s.api import ClusterApi, Manifest
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.rights import RIGHTS

_FOLDER = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}


def pending(name: str) -> Sending:
    """A pipeline with a secret whose pods wait for a node that there is not."""
    pipeline = Sending(name)
    for operator in (pipeline.sender, pipeline.other):
        configured(operator, "wait", nodeSelector={"pypz.io/there-is-no": "such-node"})
    pipeline.sender.port.set_parameter("channelLocation", "kafka://nowhere:1")
    pipeline.sender.port.set_parameter("channelConfig", {"sasl.password": "open sesame"})
    return pipeline


def failing(name: str) -> Any:
    """A pipeline with an operator that waits and one that fails."""
    return two("wait", "fail", name=name)


def endless(name: str) -> Any:
    """As `failing`; the operator that waits never ends."""
    pipeline = failing(name)
    configured(pipeline.reader, "wait", workload="Deployment")
    return pipeline


@pytest.fixture(scope="module")
def api(kubeconfig: str) -> Iterator[ClusterApi]:
    """One namespace for all tests, with the stand-in for the runner in it."""
    for name in fresh_namespace(kubeconfig, {}):
        yield prepared(kubeconfig, name)


@pytest.fixture
def name(api: ClusterApi) -> Iterator[str]:
    """A pipeline's name; it is gone when the test ends."""
    made = f"p{uuid.uuid4().hex[:6]}"
    yield made
    deployer = KubernetesDeployer(namespace=api.namespace)
    if deployer.is_deployed(made):
        deployer.destroy(made, force=True, wait=False)


def admitted(api: ClusterApi, documents: Sequence[Manifest], probe: tuple[tuple[str, str], str]) -> dict[str, Any]:
    """Apply the documents, wait until the cluster knows the right ``probe``, and give a kubeconfig of the account."""
    for document in documents:
        assert document["metadata"]["namespace"] == api.namespace
        api._json("POST", _FOLDER[document["kind"]].format(api.namespace), body=document)
    account = documents[0]["metadata"]["name"]
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    folder = _FOLDER["ServiceAccount"].format(api.namespace)
    token = api._json("POST", f"{folder}/{account}/token", body=request)["status"]["token"]
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [
            {"name": "c", "cluster": {"server": api.server, "certificate-authority": api._configuration.ssl_ca_cert}}
        ],
        "users": [{"name": "u", "user": {"token": token}}],
    }
    _await_right(ClusterApi(load_configuration(None, config, True), api.namespace), probe)
    return config


def _await_right(api: ClusterApi, right: tuple[tuple[str, str], str]) -> None:
    """Roles reach the server's authorizer a moment after they are made."""
    (group, resource), verb = right
    resource, _, part = resource.partition("/")
    attributes = {"namespace": api.namespace, "verb": verb, "group": group, "resource": resource, "subresource": part}
    review = {
        "apiVersion": "authorization.k8s.io/v1",
        "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": attributes},
    }
    pause = threading.Event()
    for _ in range(100):
        if api._json("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=review)["status"][
            "allowed"
        ]:
            return
        pause.wait(0.1)
    raise AssertionError(f"the cluster does not know the right {right}")


def rendered(namespace: str, account: str) -> list[Manifest]:
    command = [sys.executable, "-m", "pypz.cli.main", "render", "--rbac", "--account", account, "-n", namespace]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return list(yaml.safe_load_all(done.stdout))


def test_what_is_rendered_is_an_account_with_a_role_for_one_namespace() -> None:
    account, role, binding = rendered("space", "robot")
    assert (account["kind"], role["kind"], binding["kind"]) == ("ServiceAccount", "Role", "RoleBinding")
    assert {d["metadata"]["namespace"] for d in (account, role, binding)} == {"space"}
    assert binding["subjects"] == [{"kind": "ServiceAccount", "name": "robot", "namespace": "space"}]
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    told = {(g, r): tuple(x["verbs"]) for x in role["rules"] for g in x["apiGroups"] for r in x["resources"]}
    assert told == dict(RIGHTS)
    assert not any("*" in verbs for verbs in told.values())


def test_an_account_with_an_impossible_name_is_refused() -> None:
    with pytest.raises(DeploymentException, match="account 'My Robot': expected lower case letters"):
        KubernetesDeployer().render_rights("My Robot")


def test_a_request_that_is_not_in_the_table_fails_the_tests_before_it_is_sent() -> None:
    api = BoundedApi(load_configuration(None, _nowhere(), True), "space")
    with pytest.raises(AssertionError, match=r"not in the table of rights: .*'secrets'.*'get'"):
        api.get("Secret", "x")
    assert right_of("GET", "/api/v1/namespaces/n/pods/p/log", {}) == (("", "pods/log"), "get")
    assert right_of("GET", "/apis/batch/v1/namespaces/n/jobs", {"watch": "true"}) == (("batch", "jobs"), "watch")
    assert right_of("GET", "/version", {}) is None


def _nowhere() -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:9"}}],
        "users": [{"name": "u", "user": {}}],
    }


@pytest.mark.cluster
@pytest.mark.slow
def test_an_account_with_only_the_rendered_role_does_everything(api: ClusterApi, name: str) -> None:
    config = admitted(api, rendered(api.namespace, "whole"), (("", "events"), "list"))
    deployer = KubernetesDeployer(api.namespace, config_file=config)
    pipeline = Sending(name)
    configured(pipeline.sender, "fail")
    configured(pipeline.other, "wait")
    pipeline.sender.port.set_parameter("channelLocation", "kafka://nowhere:1")
    pipeline.sender.port.set_parameter("channelConfig", {"sasl.password": "open sesame"})

    deployer.deploy(pipeline)
    deployer.attach(name)
    assert deployer.retrieve_operator_state(f"{name}.sender") is DeploymentState.Failed
    assert "going down" in (deployer.retrieve_operator_logs(f"{name}.sender") or "")
    deployer.restart_operator(f"{name}.sender", force=True)
    assert name in deployer.retrieve_pipeline_deployments()
    assert deployer.retrieve_deployed_pipeline(name) == pipeline
    deployer.destroy_operator(f"{name}.other", force=True)
    deployer.destroy(name, force=True)

    with pytest.raises(DeploymentException, match='cannot list resource "configmaps".*in the namespace "default"'):
        KubernetesDeployer("default", config_file=config).retrieve_pipeline_deployments()


Action = Callable[[KubernetesDeployer, str], object]


def deploy(deployer: KubernetesDeployer, name: str) -> None:
    deployer.destroy(name, force=True)
    deployer.deploy(pending(name))


def deploy_endless(deployer: KubernetesDeployer, name: str) -> None:
    deployer.destroy(name, force=True)
    deployer.deploy(endless(name))


def deploy_what_makes_no_pods(deployer: KubernetesDeployer, name: str) -> None:
    """No pods for an account that there is not: the events tell why."""
    deployer.destroy(name, force=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(deployments, "PODS_WITHIN_S", 1.0)
        pipeline = pending(name)
        configured(pipeline.other, "wait", serviceAccountName="absent")
        deployer.deploy(pipeline)


def destroy(deployer: KubernetesDeployer, name: str) -> None:
    deployer.destroy(name, force=True)


def attach(deployer: KubernetesDeployer, name: str) -> None:
    deployer.attach(name)


def list_all(deployer: KubernetesDeployer, name: str) -> None:
    deployer.retrieve_pipeline_deployments()


def status(deployer: KubernetesDeployer, name: str) -> None:
    deployer.retrieve_pipeline_status(name)


def scale(deployer: KubernetesDeployer, name: str) -> None:
    deployer.scale_operator(f"{name}.other", 2)


NEEDED: dict[tuple[str, str], tuple[Callable[[str], Any], Action]] = {
    ("configmaps", "create"): (pending, deploy),
    ("configmaps", "delete"): (pending, destroy),
    ("configmaps", "get"): (pending, status),
    ("configmaps", "list"): (pending, list_all),
    ("configmaps", "patch"): (pending, scale),
    ("configmaps", "watch"): (pending, destroy),
    ("secrets", "create"): (pending, deploy),
    ("secrets", "delete"): (pending, destroy),
    ("secrets", "list"): (pending, destroy),
    ("secrets", "watch"): (pending, destroy),
    ("jobs", "create"): (pending, deploy),
    ("jobs", "delete"): (pending, destroy),
    ("jobs", "get"): (failing, attach),
    ("jobs", "list"): (pending, status),
    ("jobs", "patch"): (failing, attach),
    ("jobs", "watch"): (pending, destroy),
    ("deployments", "create"): (pending, deploy_endless),
    ("deployments", "delete"): (endless, destroy),
    ("deployments", "list"): (endless, status),
    ("deployments", "patch"): (endless, attach),
    ("deployments", "watch"): (endless, destroy),
    ("pods", "delete"): (pending, destroy),
    ("pods", "list"): (pending, status),
    ("pods", "watch"): (pending, destroy),
}
"""For each right: a pipeline that is deployed, and what cannot be done with it where the right is missing."""

TOLERATED: dict[tuple[str, str], tuple[Callable[[str], Any], Action]] = {
    ("pods/log", "get"): (failing, attach),
    ("events", "list"): (pending, deploy_what_makes_no_pods),
    ("events", "watch"): (pending, deploy_what_makes_no_pods),
}
"""Rights that are for reasons only: without them what is done is done, and the missing right told in the reason's place."""


ELSEWHERE = {("configmaps/finalizers", "update")}
"""Rights that only some clusters ask for: `tests/cluster/test_strict_owners.py` deploys to such a one."""


def test_every_right_of_the_table_has_its_case() -> None:
    rights = {(resource, verb) for (_, resource), verbs in RIGHTS.items() for verb in verbs}
    assert rights == {*NEEDED, *TOLERATED, *ELSEWHERE}


def without(api: ClusterApi, resource: str, verb: str) -> KubernetesDeployer:
    """A deployer whose account has all rights but one."""
    account = f"no-{verb}-{resource.replace('/', '-')}"
    documents = rendered(api.namespace, account)
    for rule in documents[1]["rules"]:
        if rule["resources"] == [resource]:
            rule["verbs"].remove(verb)
    documents[1]["rules"] = [rule for rule in documents[1]["rules"] if rule["verbs"]]
    last = documents[1]["rules"][-1]
    probe = ((last["apiGroups"][0], last["resources"][0]), last["verbs"][-1])
    return KubernetesDeployer(api.namespace, config_file=admitted(api, documents, probe))


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(("resource", "verb"), NEEDED)
def test_without_a_right_the_error_names_it_and_the_way_out(
    api: ClusterApi, name: str, resource: str, verb: str
) -> None:
    made, act = NEEDED[resource, verb]
    KubernetesDeployer(api.namespace).deploy(made(name), wait=False)
    words = f'cannot {verb} resource "{resource}".*`pypz render --rbac --namespace {api.namespace}` prints one'
    with pytest.raises(DeploymentException, match=words):
        act(without(api, resource, verb), name)


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(("resource", "verb"), TOLERATED)
def test_without_a_right_to_reasons_the_missing_right_is_told_instead(
    api: ClusterApi, name: str, resource: str, verb: str, capfd: pytest.CaptureFixture[str]
) -> None:
    made, act = TOLERATED[resource, verb]
    KubernetesDeployer(api.namespace).deploy(made(name), wait=False)
    told = ""
    try:
        act(without(api, resource, verb), name)
    except DeploymentException as error:
        told = str(error)
    assert f'cannot {verb} resource "{resource}"' in told + capfd.readouterr().err
