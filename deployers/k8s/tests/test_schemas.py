"""Manifests against the OpenAPI schemas that Kubernetes publishes for each version (as kubernetes-validate carries them),
and against the server of the cluster at hand.
"""

from __future__ import annotations

import copy
from dataclasses import fields
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]
import pytest
from deployers.k8s.tests.test_api import api_of, serving
from deployers.k8s.tests.test_cluster import prepared
from deployers.k8s.tests.test_comparing import Letters, letters

from pypz.deployers.k8s import DeploymentException, KubernetesParameter
from pypz.deployers.k8s.api import ClusterApi, Manifest
from pypz.deployers.k8s.manifests import dependent_manifests, owned, owner_manifest
from pypz.deployers.k8s.planning import plan_of
from pypz.deployers.k8s.rights import rights_manifests
from pypz.deployers.k8s.versions import OLDEST, fitting
from pypz.executors.commons import ExecutionMode

VERSIONS = [f"1.{minor}" for minor in range(29, 38)]
TERM = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
EVERYTHING = KubernetesParameter(
    workload="Job",
    imagePullPolicy="IfNotPresent",
    restartPolicy="Never",
    env=[{"name": "A", "value": "b"}],
    envFrom=[{"configMapRef": {"name": "more", "optional": True}}],
    volumeMounts=[{"name": "data", "mountPath": "/data"}],
    containers=[{"name": "proxy", "image": "proxy:1", "resources": {"requests": {"cpu": "10m"}}}],
    volumes=[{"name": "data", "emptyDir": {"sizeLimit": "1Gi"}}],
    terminationGracePeriodSeconds=30,
    serviceAccountName="default",
    labels={"team": "blue"},
    containerSecurityContext={"readOnlyRootFilesystem": True},
    podSecurityContext={"runAsUser": 12345},
    hostAffinity=["a"],
    hostAntiAffinity=["b"],
    nodeAffinity={"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [TERM]}},
    nodeAntiAffinity={"preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "preference": TERM}]},
    nodeSelector={"pypz.io/there-is-no": "such-node"},
    tolerations=[{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    resources={"requests": {"cpu": "500m"}, "limits": {"memory": "512Mi"}},
    livenessProbe={"httpGet": {"path": "/live", "port": 8081}},
    startupProbe={"httpGet": {"path": "/live", "port": 8081}},
    readinessProbe={"httpGet": {"path": "/ready", "port": 8081}},
    imagePullSecrets=[{"name": "registry"}],
    priorityClassName="system-cluster-critical",
    runtimeClassName="runc",
    backoffLimit=2,
)


def manifests(**settings: Any) -> list[Manifest]:
    """Everything that is made of a pipeline with secrets and replicas."""
    return manifests_of(letters(**settings))


def endless() -> Letters:
    """A pipeline with an operator that never ends."""
    pipeline: Letters = letters()
    pipeline.source.set_parameter("kubernetes", KubernetesParameter(workload="Deployment").__dict__)
    return pipeline


def manifests_of(pipeline: Letters) -> list[Manifest]:
    plan = plan_of(pipeline, ExecutionMode.Standard, [])
    owner = {**owner_manifest(plan)}
    known = {"metadata": {**owner["metadata"], "uid": "0"}}
    return [owner, *(owned(manifest, known) for manifest in dependent_manifests(plan))]


def test_the_example_uses_every_setting() -> None:
    assert all(getattr(EVERYTHING, field.name) is not None for field in fields(KubernetesParameter))


@pytest.mark.parametrize("version", VERSIONS)
def test_manifests_follow_the_schemas_published_for_a_version(version: str) -> None:
    for made in (
        manifests(),
        manifests(**EVERYTHING.__dict__),
        manifests_of(endless()),
        rights_manifests("deployer", "space"),
    ):
        for manifest in made:
            assert kubernetes_validate.validate(manifest, version, strict=True) == version
        kinds = {m["kind"] for m in made}
    assert kinds == {"ServiceAccount", "Role", "RoleBinding"}


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_that_a_version_does_not_have_is_seen(version: str) -> None:
    job = copy.deepcopy(manifests()[-1])
    job["spec"]["podReplacmentPolicy"] = "Failed"
    with pytest.raises(kubernetes_validate.ValidationError, match="podReplacmentPolicy"):
        kubernetes_validate.validate(job, version, strict=True)


def test_every_version_from_the_oldest_on_gets_every_field() -> None:
    assert VERSIONS[0] == f"{OLDEST[0]}.{OLDEST[1]}"
    made = manifests(**EVERYTHING.__dict__)
    assert fitting(made, OLDEST) == (made, [])
    assert fitting(made, None) == (made, [])


def test_fields_that_an_older_server_does_not_know_are_left_out_and_told() -> None:
    made = manifests()
    fitted, told = fitting(made, (1, 28))
    assert told == [
        ("podReplacementPolicy of Jobs needs Kubernetes 1.29, the server is 1.28: left out, a pod may run for a moment "
        "beside the one that it replaces"),
    ]  # fmt: skip
    jobs = [m["spec"] for m in fitted if m["kind"] == "Job"]
    assert all("podReplacementPolicy" not in spec and "podFailurePolicy" in spec for spec in jobs)
    assert all("podReplacementPolicy" in m["spec"] for m in made if m["kind"] == "Job")
    assert len(fitting(made, (1, 25))[1]) == 2
    with pytest.raises(
        DeploymentException, match=r"letters\.source: its 'containers' need Kubernetes 1\.29, the server is"
    ):
        fitting(manifests(containers=[{"name": "side", "image": "i:1"}]), (1, 28))


def test_the_server_tells_its_version_or_counts_as_new() -> None:
    with serving((200, {"major": "1", "minor": "28+"})) as server:
        assert api_of(server).version() == (1, 28)
    with serving((403, {"message": 'User "eve" cannot get path "/version"'})) as server:
        assert api_of(server).version() is None


@pytest.mark.cluster
@pytest.mark.slow
def test_the_server_at_hand_takes_every_manifest(kubeconfig: str, namespace: str) -> None:
    api: ClusterApi = prepared(kubeconfig, namespace)
    assert (api.version() or (0, 0)) >= OLDEST
    made = {**EVERYTHING.__dict__, "runtimeClassName": None}  # admission asks for the class to be there
    for manifest in manifests(**made):
        manifest["metadata"].pop("ownerReferences", None)
        _, warnings = api.dry_run(manifest)
        assert warnings == []
