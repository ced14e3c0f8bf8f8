"""Servers in trouble, strangers under our names, and several at one pipeline: nothing is left behind, nobody is overtaken."""

from __future__ import annotations

from typing import Any

import pytest
from deployers.k8s.tests.test_cluster import configured, objects_of, prepared, two
from deployers.k8s.tests.test_comparing import letters

from pypz.core.commons.errors import ConfigurationError
from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import DeploymentConflictException, DeploymentException, KubernetesDeployer
from pypz.deployers.k8s.api import ApiError, ClusterApi, Listing, Manifest
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.deployments import Deployments
from pypz.deployers.k8s.plan import owner_name
from pypz.deployers.k8s.planning import plan_of
from pypz.deployers.k8s.scaling import note_down, wanted_of
from pypz.executors.commons import ExecutionMode

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    return prepared(kubeconfig, namespace)


def owner_of(api: ClusterApi) -> Manifest:
    found = api.get("ConfigMap", owner_name("pipe"))
    assert found is not None
    return found


def job_of_reader(api: ClusterApi) -> Manifest:
    found = api.get("Job", "pipe-reader")
    assert found is not None
    return found


class Deaf(ClusterApi):
    """Never hears that its first object was made."""

    is_first = True

    def create(self, manifest: Manifest) -> Manifest:
        made = super().create(manifest)
        if self.is_first:
            self.is_first = False
            raise ApiError("the answer was lost")
        return made


def test_a_deployment_whose_first_answer_is_lost_leaves_nothing(api: ClusterApi, kubeconfig: str) -> None:
    before = objects_of(api)
    deaf = Deployments(Deaf(load_configuration(None, kubeconfig, True), api.namespace), print)
    with pytest.raises(ApiError, match="the answer was lost"):
        deaf.create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    assert objects_of(api) == before


class Shaky(ClusterApi):
    """Once it ``is_shaky``, each request fails the first time; watches go on."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.is_shaky = False
        self.failed: set[tuple[str, str]] = set()

    def _send(self, method: str, path: str, **options: Any) -> Any:
        is_watch = "watch" in (options.get("query") or {})
        if self.is_shaky and not is_watch and not path.endswith("/log") and (method, path) not in self.failed:
            self.failed.add((method, path))
            raise ApiError("etcdserver: leader changed", status=500)
        return super()._send(method, path, **options)


def test_attach_ends_the_others_though_the_server_has_trouble_at_that_moment(api: ClusterApi, kubeconfig: str) -> None:
    told: list[str] = []
    shaky = Shaky(load_configuration(None, kubeconfig, True), api.namespace)
    deployed = Deployments(shaky, told.append)
    deployed.create(plan_of(two("wait", "fail"), ExecutionMode.Standard, ()), wait=True)

    def on_change(name: str, state: DeploymentState) -> None:
        shaky.is_shaky = True

    deployed.attach("pipe", on_change)

    assert [words for words in told if "pipe has failed: pipe.writer" in words]
    assert {method for method, _ in shaky.failed} == {"GET", "PATCH"}
    assert set(Deployments(api, print).states("pipe").values()) == {DeploymentState.Failed}


class Overtaken(ClusterApi):
    """Somebody else starts to scale in the moment before its first change."""

    is_first = True

    def patch(self, kind: str, name: str, change: Manifest) -> Manifest:
        if self.is_first:
            self.is_first = False
            note_down(self, owner_of(self), job_of_reader(self), 3)
        return super().patch(kind, name, change)


def test_a_restart_that_somebody_who_scales_has_overtaken_changes_nothing(api: ClusterApi, kubeconfig: str) -> None:
    overtaken = Deployments(Overtaken(load_configuration(None, kubeconfig, True), api.namespace), print)
    overtaken.create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    before = {job["metadata"]["uid"] for job in api.list("Job").items}
    with pytest.raises(DeploymentConflictException, match="pipe: somebody else scales, restarts or removes"):
        overtaken.restart_operator("pipe.reader", force=True, wait=True)
    assert {job["metadata"]["uid"] for job in api.list("Job").items} == before
    assert wanted_of(owner_of(api), "pipe.reader") == 3
    overtaken.destroy("pipe", force=True, wait=True)


class Forbidden(ClusterApi):
    """May not make Jobs."""

    def _send(self, method: str, path: str, **options: Any) -> Any:
        if method == "POST" and path.endswith("/jobs"):
            raise ApiError('jobs.batch is forbidden: eve cannot create resource "jobs"', status=403)
        return super()._send(method, path, **options)


def test_who_may_not_make_jobs_takes_none_away_by_a_restart_or_by_scaling(api: ClusterApi, kubeconfig: str) -> None:
    deployed = Deployments(api, print)
    deployed.create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    job, owner = job_of_reader(api), owner_of(api)
    forbidden = Deployments(Forbidden(load_configuration(None, kubeconfig, True), api.namespace), print)
    with pytest.raises(ApiError, match='cannot create resource "jobs"'):
        forbidden.restart_operator("pipe.reader", force=True, wait=True)
    with pytest.raises(ApiError, match='cannot create resource "jobs"'):
        forbidden.rescaling("pipe.reader", 2).carry_out(lambda plan: None)
    assert job_of_reader(api)["metadata"]["uid"] == job["metadata"]["uid"]
    assert owner_of(api)["metadata"]["resourceVersion"] == owner["metadata"]["resourceVersion"]
    deployed.destroy("pipe", force=True, wait=True)


class Succeeded(ClusterApi):
    """Somebody else begins to scale as soon as we have begun."""

    def list(self, kind: str, selector: str = "", fields: str = "") -> Listing:
        if kind == "Secret":
            note_down(self, owner_of(self), job_of_reader(self), 5)
        return super().list(kind, selector, fields)


def test_a_scaling_that_fails_leaves_the_word_of_whoever_scales_after_it(api: ClusterApi, kubeconfig: str) -> None:
    succeeded = Deployments(Succeeded(load_configuration(None, kubeconfig, True), api.namespace), print)
    deployed = Deployments(api, print)
    deployed.create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    for one, wanted in ((deployed, None), (succeeded, 5)):
        with pytest.raises(ConfigurationError, match=r"pipe\.reader has no channel input port"):
            one.rescaling("pipe.reader", 2).carry_out(lambda plan: None)
        assert wanted_of(owner_of(api), "pipe.reader") == wanted
    deployed.destroy("pipe", force=True, wait=True)


def test_a_job_that_somebody_has_made_anew_is_not_stopped(api: ClusterApi) -> None:
    deployed = Deployments(api, print)
    deployed.create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    job = job_of_reader(api)
    deployed.restart_operator("pipe.reader", force=True, wait=True)
    with pytest.raises(DeploymentConflictException, match=r"pipe\.reader: somebody else has restarted or scaled it"):
        deployed.rescaling("pipe.reader", 2)._stop(job)
    assert not job_of_reader(api)["spec"].get("suspend")
    deployed.destroy("pipe", force=True, wait=True)


def test_a_strangers_object_under_our_name_is_told_and_left_alone(api: ClusterApi) -> None:
    deployer = KubernetesDeployer(api.namespace)
    stranger: Manifest = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "pypz-pipe"},
        "data": {"a": "b"},
    }
    api.create(stranger)
    words = "a ConfigMap pypz-pipe is there in namespace '.*' that is not its own; remove that, or give the pipeline another"
    with pytest.raises(DeploymentException, match=words):
        deployer.deploy(two("wait", "wait"))
    api.delete("ConfigMap", "pypz-pipe", propagation="Background")

    job = {
        "metadata": {"name": "pipe-writer"},
        "spec": {"suspend": True, "template": {"spec": {"restartPolicy": "Never"}}},
    }
    job["spec"]["template"]["spec"]["containers"] = [{"name": "x", "image": "x"}]  # type: ignore[index]
    api.create({"apiVersion": "batch/v1", "kind": "Job", **job})
    before = objects_of(api)
    with pytest.raises(DeploymentException, match="a Job pipe-writer is there in namespace '.*' that is not its own"):
        deployer.deploy(two("wait", "wait"))
    assert objects_of(api) == before


class Tied(ClusterApi):
    """Somebody else deploys the same between its look for an earlier deployment and its look for what is left of one."""

    is_first = True

    def list(self, kind: str, selector: str = "", fields: str = "") -> Listing:
        if self.is_first:
            self.is_first = False
            KubernetesDeployer(self.namespace).deploy(two("wait", "wait"))
        return super().list(kind, selector, fields)


def test_of_two_who_deploy_at_once_one_is_told_so_at_once(api: ClusterApi, kubeconfig: str) -> None:
    tied = Deployments(Tied(load_configuration(None, kubeconfig, True), api.namespace), print)
    with pytest.raises(DeploymentConflictException, match="pipe is deployed already in namespace"):
        tied.create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    tied.destroy("pipe", force=True, wait=True)


def test_what_an_owner_that_was_deleted_alone_leaves_is_told_at_once_and_removed(
    api: ClusterApi, capfd: pytest.CaptureFixture[str]
) -> None:
    deployer, before = KubernetesDeployer(api.namespace), objects_of(api)
    pipeline = letters()
    for operator in (pipeline.source, pipeline.sink):
        configured(operator, "wait")
    deployer.deploy(pipeline)
    api.delete("ConfigMap", owner_name("letters"), propagation="Orphan")
    words = r"though the ConfigMap that owned them was deleted alone: .*; destroy\('letters'\) removes them"
    with pytest.raises(DeploymentConflictException, match=words):
        deployer.deploy(pipeline)
    deployer.destroy("letters", force=True)
    assert objects_of(api) == before

    deployer.deploy(pipeline)
    for operator in ("source", "sink"):
        deployer.destroy_operator(f"letters.{operator}", force=True)
    capfd.readouterr()
    deployer.destroy("letters", force=True)
    told = capfd.readouterr().err
    assert (
        "letters: not all of its Jobs are there to tell whether it ended well, so what there is of its channels stays"
        in told
    )
