"""The deployer on a real cluster. The pods run a small stand-in for the operator runner, so that no image is to be built.

`tests/cluster` does the same with real operators.
"""

from __future__ import annotations

import base64
import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from kubernetes.config import incluster_config

from pypz.abstracts.channel_ports import ChannelOutputPort
from pypz.core.commons.errors import PypzError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import (
    DeploymentConflictException,
    DeploymentException,
    DeploymentNotFoundException,
    KubernetesDeployer,
    KubernetesParameter,
)
from pypz.deployers.k8s.api import ClusterApi, Manifest, WatchStream
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.deployments import Deployments
from pypz.deployers.k8s.manifests import owner_manifest
from pypz.deployers.k8s.plan import INSTANCE_NAME, selector_of
from pypz.deployers.k8s.planning import members_of, plan_of
from pypz.deployers.k8s.rights import rights_manifests
from pypz.deployers.k8s.watching import Watcher
from pypz.executors.commons import ExecutionMode
from pypz.testing import DeployerConformance

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

IMAGE = "localhost/python:3.11-slim"
KINDS = ("ConfigMap", "Secret", "Job", "Deployment", "Pod")
RUNNER = """
import hashlib, os, signal, sys, time

def end(*_):
    print("told to end", flush=True)
    sys.exit(130)

how = os.environ["HOW"]
signal.signal(signal.SIGTERM, signal.SIG_IGN if how == "stubborn" else end)
print("arguments", *sys.argv[1:], "run", os.environ["PYPZ_RUN"], "user", os.getuid(), "at", time.time_ns(), flush=True)
for name, value in os.environ.items():
    if name.startswith("PYPZ_SECRET_"):
        print("secret", name, hashlib.sha256(value.encode()).hexdigest(), flush=True)
open(os.path.join(os.environ["HOME"], "writable"), "w").close()
if how == "eat":
    eaten = bytearray(os.urandom(4096)) * 200_000
if how == "killed":
    sys.exit(137)
if how == "fail":
    print("going down", flush=True)
    sys.exit(115)
if how != "end" and "Skip" not in sys.argv:
    time.sleep(600)
"""


def configured(operator: Operator, how: str, *volumes: Manifest, **settings: Any) -> None:
    """Let the pods of an operator run the stand-in."""
    parameter = KubernetesParameter(
        env=[{"name": "PYTHONPATH", "value": "/runner"}, {"name": "HOW", "value": how}],
        volumes=[
            {
                "name": "runner",
                "configMap": {"name": "runner", "items": [{"key": "code", "path": "pypz/runnables/operator.py"}]},
            },
            *volumes,
        ],
        volumeMounts=[
            {"name": "runner", "mountPath": "/runner"},
            *({"name": volume["name"], "mountPath": f"/{volume['name']}"} for volume in volumes),
        ],
        **settings,
    )
    operator.set_parameter("kubernetes", parameter.__dict__)
    operator.set_parameter("operatorImageName", IMAGE)


class Two(Pipeline):
    """Two operators that have nothing to do with each other."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.reader = BlankOperator()
        self.writer = BlankOperator()


class Sender(BlankOperator):
    """An operator with a port whose configuration holds a secret."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelOutputPort()


class Sending(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.sender = Sender()
        self.other = BlankOperator()


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    """The namespace, with the stand-in for the runner in it."""
    return prepared(kubeconfig, namespace)


def prepared(kubeconfig: str, namespace: str) -> ClusterApi:
    made = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    made.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "runner"}, "data": {"code": RUNNER}})
    return made


@pytest.fixture
def deployer(api: ClusterApi) -> Iterator[KubernetesDeployer]:
    """A deployer whose pipelines are gone, force used, when the test ends."""
    made = KubernetesDeployer(namespace=api.namespace)
    yield made
    for name in made.retrieve_pipeline_deployments():
        made.destroy(name, force=True, wait=False)


def objects_of(api: ClusterApi) -> set[tuple[str, str]]:
    return {(kind, o["metadata"]["name"]) for kind in KINDS for o in api.list(kind).items}


def two(reader: str, writer: str, replicas: int = 0, name: str = "pipe") -> Two:
    pipeline = Two(name)
    configured(pipeline.reader, reader)
    configured(pipeline.writer, writer)
    pipeline.reader.set_parameter("replicationFactor", replicas)
    return pipeline


def test_a_pipeline_is_deployed_attached_to_and_destroyed_without_a_trace(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    before = objects_of(api)
    pipeline = two("end", "end", replicas=2)
    assert not deployer.is_deployed("pipe")

    deployer.deploy(pipeline)

    assert deployer.is_deployed("pipe")
    assert deployer.retrieve_pipeline_deployments() == {"pipe"}
    assert len(api.list("Pod").items) == 4
    assert Counter(kind for kind, _ in objects_of(api) - before) == {"ConfigMap": 2, "Job": 2, "Pod": 4}
    with pytest.raises(DeploymentConflictException, match="pipe is deployed already in namespace"):
        deployer.deploy(pipeline)

    told: list[tuple[str, DeploymentState]] = []
    deployer.attach("pipe", lambda operator, state: told.append((operator.get_full_name(), state)))

    members = {"pipe.reader", "pipe.reader_0", "pipe.reader_1", "pipe.writer"}
    assert {name for name, _ in told} == members
    for name in members:
        states = [state for told_name, state in told if told_name == name]
        assert states[-1] is DeploymentState.Completed
        assert len(states) == len(set(states))
    assert deployer.retrieve_pipeline_state("pipe") == dict.fromkeys(members, DeploymentState.Completed)
    assert deployer.retrieve_operator_state("pipe.reader_1") is DeploymentState.Completed
    assert deployer.is_all_operator_in_state("pipe", DeploymentState.Completed)

    logs = {name: deployer.retrieve_operator_logs(name) or "" for name in members}
    assert "arguments /operator/config/config.yaml reader Standard --index 0 " in logs["pipe.reader"]
    assert "arguments /operator/config/config.yaml reader Standard --index 2 " in logs["pipe.reader_1"]
    assert "user 10001" in logs["pipe.writer"]
    assert len({log.partition(" run ")[2].partition(" at ")[0] for log in logs.values()}) == 1
    assert deployer.retrieve_operator_logs("pipe.writer", tail_lines=0) == ""

    deployer.destroy("pipe")

    assert objects_of(api) == before
    assert not deployer.is_deployed("pipe")
    assert deployer.retrieve_pipeline_state("pipe") == {}
    assert deployer.retrieve_operator_state("pipe.reader") is DeploymentState.NotExisting


class TestKubernetes(DeployerConformance):
    """What every deployer promises."""

    @pytest.fixture
    def pipeline(self) -> Pipeline:
        return two("end", "end", replicas=1)


def test_a_pipeline_that_is_not_deployed_is_told_with_those_that_are(deployer: KubernetesDeployer) -> None:
    deployer.deploy(two("wait", "wait"), wait=False)
    words = "other is not deployed in namespace .*; deployed there: pipe"
    with pytest.raises(DeploymentNotFoundException, match=words) as caught:
        deployer.destroy("other")
    assert isinstance(caught.value, PypzError)
    with pytest.raises(DeploymentNotFoundException, match=words):
        deployer.attach("other")
    with pytest.raises(
        DeploymentNotFoundException, match="pipe has no operator 'pipe.x'; it has: pipe.reader, pipe.writer"
    ):
        deployer.restart_operator("pipe.x")
    is_pipeline = "'pipe' is a pipeline, expected one of its operators: pipe.reader, pipe.writer"
    with pytest.raises(DeploymentNotFoundException, match=is_pipeline):
        deployer.restart_operator("pipe")
    with pytest.raises(DeploymentNotFoundException, match=is_pipeline):
        deployer.plan_scaling("pipe", 2)
    assert deployer.retrieve_deployed_pipeline("other") is None


def test_pods_pass_the_restricted_profile(kubeconfig: str, restricted_namespace: str) -> None:
    api = prepared(kubeconfig, restricted_namespace)
    deployer = KubernetesDeployer(namespace=restricted_namespace)
    pipeline = two("end", "end")
    deployer.deploy(pipeline)
    deployer.attach("pipe")
    assert deployer.is_all_operator_in_state("pipe", DeploymentState.Completed)
    deployer.destroy("pipe")

    before = objects_of(api)
    configured(pipeline.reader, "end", containerSecurityContext={"privileged": True})
    words = 'Job pipe-reader may not make its pods: FailedCreate: .*violates PodSecurity "restricted'
    with pytest.raises(DeploymentException, match=words):
        deployer.deploy(pipeline)
    assert objects_of(api) == before


def test_an_operator_that_fails_for_good_ends_the_others_and_is_told(
    api: ClusterApi, deployer: KubernetesDeployer, capfd: pytest.CaptureFixture[str]
) -> None:
    deployer.deploy(two("wait", "fail", replicas=1))
    deployer.attach("pipe")

    told = capfd.readouterr().err
    assert "pipe has failed: pipe.writer, pod pipe-writer-0-" in told
    assert "exit code 115 (StateOperationError); its last lines:" in told
    assert "    going down" in told
    assert "pipe: ending pipe.reader, with up to 25 s to commit" in told
    assert deployer.is_all_operator_in_state("pipe", DeploymentState.Failed)
    left = [p["metadata"] for p in api.list("Pod").items if "deletionTimestamp" not in p["metadata"]]
    assert [metadata["labels"]["pypz.io/instance-name"] for metadata in left] == ["writer"]

    deployer.attach("pipe")  # once more, after the end
    assert "pipe has failed: pipe.writer" in capfd.readouterr().err


def test_a_pipeline_goes_on_when_the_callback_restarts_what_failed(
    api: ClusterApi, deployer: KubernetesDeployer, capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline = two("end", "fail")
    deployer.deploy(pipeline)
    restarts: list[str] = []

    def on_change(operator: Operator, state: DeploymentState) -> None:
        if state is DeploymentState.Failed:
            restarts.append(operator.get_full_name())
            if len(restarts) == 1:
                deployer.restart_operator(operator.get_full_name())

    deployer.attach("pipe", on_change)

    assert restarts == ["pipe.writer", "pipe.writer"]
    assert capfd.readouterr().err.count("has failed") == 1
    assert deployer.retrieve_operator_state("pipe.reader") is DeploymentState.Completed


def test_a_pod_that_somebody_deletes_is_replaced_without_counting(api: ClusterApi) -> None:
    told: queue.Queue[str] = queue.Queue()
    deployed = Deployments(api, told.put)
    pipeline = two("wait", "end")
    configured(pipeline.reader, "wait", backoffLimit=0)
    deployed.create(plan_of(pipeline, ExecutionMode.Standard, ()), wait=True)
    attached = threading.Thread(target=deployed.attach, args=("pipe", None))
    with Watcher(api, selector_of("pipe"), "Pod", say=print) as seen:

        def readers(phase: str) -> set[str]:
            pods = [p for p in seen.objects["Pod"].values() if p["metadata"]["labels"][INSTANCE_NAME] == "reader"]
            return {p["metadata"]["name"] for p in pods if p["status"].get("phase") == phase}

        assert seen.wait_until(lambda: bool(readers("Running")), time.monotonic() + 60)
        (first,) = readers("Running")
        attached.start()
        assert next(iter(api.stream_log(first, {"follow": "true"})))  # it hears signals from here on
        api.delete("Pod", first)
        assert seen.wait_until(lambda: bool(readers("Running") - {first}), time.monotonic() + 60)
    assert deployed.states("pipe")["pipe.reader"] is DeploymentState.Running
    assert f"pipe.reader: pod {first} was told to end from outside; another one takes its place" in told.get(timeout=30)
    deployed.destroy("pipe", force=True, wait=True)
    attached.join(60)
    assert not attached.is_alive()


def test_a_pod_that_was_killed_is_replaced_as_often_as_the_limit_allows(
    deployer: KubernetesDeployer, capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline = two("end", "killed")
    configured(pipeline.writer, "killed", backoffLimit=1)
    deployer.deploy(pipeline)
    deployer.attach("pipe")
    told = capfd.readouterr().err
    assert "exit code 137 (killed by signal 9); another one takes its place, 1 times at most" in told
    assert told.count("another one takes its place") == 1
    assert "pipe has failed: pipe.writer, pod pipe-writer-0-" in told


def test_an_image_that_does_not_exist_is_told_while_its_pod_waits(api: ClusterApi) -> None:
    told: queue.Queue[str] = queue.Queue()
    deployed = Deployments(api, told.put)
    pipeline = two("end", "end")
    pipeline.writer.set_parameter("operatorImageName", "localhost/no-such-image:1")
    deployed.create(plan_of(pipeline, ExecutionMode.Standard, ()), wait=True)
    attached = threading.Thread(target=deployed.attach, args=("pipe", None))
    attached.start()
    try:
        assert "pipe.writer waits: pod pipe-writer-0-" in (first := told.get(timeout=60))
        assert "localhost/no-such-image:1" in first
        assert "ImagePull" in first
    finally:
        deployed.destroy("pipe", force=True, wait=True)
        attached.join(60)
    assert not attached.is_alive()
    assert "pipe was destroyed meanwhile" in [told.get(timeout=1) for _ in range(told.qsize())]


FAULTS: dict[str, tuple[str, dict[str, Any], str]] = {
    "image": ("end", {}, "ErrImagePull|ImagePullBackOff"),
    "image_name": ("end", {}, "InvalidImageName"),
    "scheduling": ("end", {"nodeSelector": {"no": "such-node"}}, "Unschedulable: .*node"),
    "room": ("end", {"resources": {"limits": {"cpu": "1000", "memory": "64Mi"}}}, "Unschedulable: .*Insufficient cpu"),
    "memory": ("eat", {"resources": {"limits": {"memory": "64Mi"}}}, r"exit code 137 \(OOMKilled: it took more memory"),
    "crash_loop": (
        "fail",
        {"restartPolicy": "OnFailure", "backoffLimit": 100},
        r"CrashLoopBackOff: ended with exit code 115 \(StateOperationError\)",
    ),
    "priority": ("end", {"priorityClassName": "absent"}, "FailedCreate: .*no PriorityClass with name absent"),
    "account": ("end", {"serviceAccountName": "absent"}, 'FailedCreate: .*serviceaccount "absent" not found'),
    "quota": ("end", {"resources": {"limits": {"memory": "200Gi"}}}, "FailedCreate: .*exceeded quota: little"),
    "volume": ("end", {}, 'FailedMount: .*"absent" not found'),
    "environment": (
        "end",
        {"envFrom": [{"secretRef": {"name": "absent"}}]},
        'CreateContainerConfigError: secret "absent" not found',
    ),
}
"""What is done wrong, and what is told of it."""


class Faulty(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        for fault in FAULTS:
            setattr(self, fault, BlankOperator())


def test_whatever_keeps_a_pod_from_running_is_told_in_words(
    api: ClusterApi, capsys: pytest.CaptureFixture[str]
) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "little"},
        "spec": {"hard": {"limits.memory": "100Gi"}, "scopes": ["NotTerminating"]},
    }
    api._json("POST", f"/api/v1/namespaces/{api.namespace}/resourcequotas", body=quota)
    told: queue.Queue[tuple[float, str]] = queue.Queue()
    deployed = Deployments(api, lambda text: told.put((time.time(), text)))
    pipeline = Faulty("pipe")
    for fault, (how, settings, _) in FAULTS.items():
        # A quota of memory takes only pods with a limit.
        volumes = [{"name": "v", "secret": {"secretName": "absent"}}] if fault == "volume" else []
        configured(getattr(pipeline, fault), how, *volumes, **{"resources": {"limits": {"memory": "64Mi"}}, **settings})
    pipeline.image.set_parameter("operatorImageName", "localhost/no-such-image:1")
    pipeline.image_name.set_parameter("operatorImageName", "Not An Image")
    deployed.create(plan_of(pipeline, ExecutionMode.Standard, ()), wait=False)
    began = time.time()
    attached = threading.Thread(target=deployed.attach, args=("pipe", None))
    attached.start()
    missing = dict(FAULTS)
    seconds: dict[str, float] = {}
    try:
        while missing:
            try:
                at, text = told.get(timeout=30)
            except queue.Empty:
                reasons = {status.name: status.reason for status in deployed.statuses("pipe")}
                pytest.fail(f"not told of {', '.join(missing)}; known: {reasons}")
            print(text)
            for fault in [f for f in missing if re.search(rf"pipe\.{f}(:| waits:| is not well:) ", text)]:
                if re.search(missing[fault][2], text, re.DOTALL):
                    del missing[fault]
                    seconds[fault] = at - began
        reasons = {status.name: status.reason for status in deployed.statuses("pipe")}
    finally:
        deployed.destroy("pipe", force=True, wait=True)
        attached.join(60)
    with capsys.disabled():
        print("\nseconds from the end of the deployment to the word:", {f: round(s, 1) for f, s in seconds.items()})
    for fault, (_, _, words) in FAULTS.items():
        assert re.search(words, reasons[f"pipe.{fault}"], re.DOTALL) or fault == "memory", (fault, reasons)


def test_operators_that_are_ignored_are_deployed_in_mode_skip(deployer: KubernetesDeployer) -> None:
    pipeline = two("wait", "end")
    deployer.deploy(pipeline, ignore_operators=[pipeline.reader])
    deployer.attach("pipe")
    assert " reader Skip --index 0 " in (deployer.retrieve_operator_logs("pipe.reader") or "")
    assert " writer Standard --index 0 " in (deployer.retrieve_operator_logs("pipe.writer") or "")


def test_secret_values_reach_their_operator_and_no_manifest(api: ClusterApi, deployer: KubernetesDeployer) -> None:
    secret = "open sesame"
    pipeline = Sending("pipe")
    configured(pipeline.sender, "end")
    configured(pipeline.other, "end")
    pipeline.sender.port.set_parameter("channelLocation", "kafka://nowhere:1")
    pipeline.sender.port.set_parameter("channelConfig", {"sasl.password": secret})
    deployer.deploy(pipeline)
    deployer.attach("pipe")

    manifests = json.dumps([o for kind in ("ConfigMap", "Job", "Pod", "Event") for o in api.list(kind).items])
    assert secret not in manifests
    (kept,) = api.list("Secret").items
    assert list(kept["data"].values()) == [base64.b64encode(secret.encode()).decode()]
    assert "secret PYPZ_SECRET_PIPE_SENDER_PORT_CHANNELCONFIG_SASL_PASSWORD " in (
        deployer.retrieve_operator_logs("pipe.sender") or ""
    )
    assert "secret" not in (deployer.retrieve_operator_logs("pipe.other") or "")

    found = deployer.retrieve_deployed_pipeline("pipe")
    assert isinstance(found, Sending)
    assert "$(env:PYPZ_SECRET_" in found.sender.port.get_parameter("channelConfig")["sasl.password"]
    deployer.destroy("pipe")
    assert not api.list("Secret").items


def test_a_deployed_pipeline_is_rebuilt_with_its_replicas(deployer: KubernetesDeployer) -> None:
    pipeline = two("wait", "wait", replicas=2)
    deployer.deploy(pipeline, wait=False)
    found = deployer.retrieve_deployed_pipeline("pipe")
    assert isinstance(found, Two)
    assert found == pipeline
    assert [r.get_full_name() for r in found.reader.get_replicas()] == ["pipe.reader_0", "pipe.reader_1"]


def test_a_class_that_is_not_installed_here_is_named_or_stood_in_for(
    deployer: KubernetesDeployer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Two, "__module__", "no_such_project.pipeline")
    deployer.deploy(two("wait", "wait"), wait=False)
    words = "pipe is deployed, but cannot be rebuilt here: .*no_such_project.*mock_nonexistent_at_retrieval=True"
    with pytest.raises(DeploymentException, match=words) as caught:
        deployer.retrieve_deployed_pipeline("pipe")
    assert isinstance(caught.value, ModuleNotFoundError)
    stand_in = KubernetesDeployer(namespace=deployer._namespace, mock_nonexistent_at_retrieval=True)
    found = stand_in.retrieve_deployed_pipeline("pipe")
    assert found is not None
    assert found.get_full_name() == "pipe"


def test_in_a_pod_its_service_account_with_the_rendered_role_suffices(
    api: ClusterApi, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    base = f"/api/v1/namespaces/{api.namespace}/serviceaccounts"
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{api.namespace}"
    folders = {"ServiceAccount": base, "Role": f"{rbac}/roles", "RoleBinding": f"{rbac}/rolebindings"}
    for manifest in rights_manifests("deployer", api.namespace):
        api._json("POST", folders[manifest["kind"]], body=manifest)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = api._json("POST", f"{base}/deployer/token", body=request)["status"]["token"]

    (tmp_path / "token").write_text(token)
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(tmp_path / "token"))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", str(api._configuration.ssl_ca_cert))
    host, _, port = api.server.removeprefix("https://").partition(":")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", host)
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", port)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))

    deployer = KubernetesDeployer(namespace=api.namespace)
    deployer.deploy(two("end", "fail"))
    deployer.attach("pipe")
    assert deployer.retrieve_operator_state("pipe.writer") is DeploymentState.Failed
    deployer.restart_operator("pipe.writer", force=True)
    deployer.destroy("pipe", force=True)

    with pytest.raises(DeploymentException, match="system:serviceaccount:.*cannot list resource.*ask for a role"):
        KubernetesDeployer(namespace="default").retrieve_pipeline_deployments()


def test_names_that_differ_in_case_and_dashes_live_side_by_side(deployer: KubernetesDeployer) -> None:
    names = {"A_b", "a_b", "a-b"}
    for name in names:
        deployer.deploy(two("end", "end", name=name), wait=False)
    assert deployer.retrieve_pipeline_deployments() == names
    for name in sorted(names):
        deployer.attach(name)
        assert deployer.is_all_operator_in_state(name, DeploymentState.Completed)


def test_a_deployment_that_meets_a_foreign_object_is_rolled_back(api: ClusterApi, deployer: KubernetesDeployer) -> None:
    foreign: Manifest = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "pipe-writer"},
        "spec": {
            "suspend": True,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": IMAGE}]}},
        },
    }
    api.create(foreign)
    before = objects_of(api)
    with pytest.raises(DeploymentException, match="a Job pipe-writer is there in namespace .* that is not its own"):
        deployer.deploy(two("wait", "wait"))
    assert objects_of(api) == before


class OvertakenApi(ClusterApi):
    """One of a deployer beside which somebody does something before it makes its second object."""

    meanwhile: Callable[[], None]

    def create(self, manifest: Manifest) -> Manifest:
        if manifest["metadata"]["labels"]["pypz.io/instance-type"] == "config":
            self.meanwhile()
        return super().create(manifest)


def test_a_deployment_that_is_overtaken_by_another_one_takes_nothing_of_it_away(
    api: ClusterApi, kubeconfig: str, deployer: KubernetesDeployer
) -> None:
    there: set[str] = set()

    def ids() -> set[str]:
        found = [o["metadata"] for kind in KINDS for o in api.list(kind, selector_of("pipe")).items]
        return {metadata["uid"] for metadata in found if "deletionTimestamp" not in metadata}

    def deploy_anew() -> None:
        deployer.destroy("pipe", force=True)
        deployer.deploy(two("wait", "wait"))
        there.update(ids())

    overtaken = OvertakenApi(load_configuration(None, kubeconfig, True), api.namespace)
    overtaken.meanwhile = deploy_anew
    with pytest.raises(DeploymentException, match="a ConfigMap .* is there in namespace .* that is not its own"):
        Deployments(overtaken, print).create(plan_of(two("wait", "wait"), ExecutionMode.Standard, ()), wait=True)
    assert len(there) == 6
    assert ids() == there


def test_destroying_by_force_does_not_wait_for_pods_that_will_not_end(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    before = objects_of(api)
    pipeline = two("stubborn", "stubborn")
    configured(pipeline.reader, "stubborn", terminationGracePeriodSeconds=3600)
    deployer.deploy(pipeline)
    deployer.destroy("pipe", force=True)
    assert objects_of(api) == before


def test_a_pipeline_is_deployed_again_as_soon_as_its_removal_has_ended(deployer: KubernetesDeployer) -> None:
    deployer.deploy(two("end", "end"))
    deployer.attach("pipe")
    deployer.destroy("pipe", wait=False)
    assert not deployer.is_deployed("pipe")
    deployer.deploy(two("wait", "wait"))
    assert deployer.is_deployed("pipe")


def test_an_operator_is_removed_alone(api: ClusterApi, deployer: KubernetesDeployer) -> None:
    deployer.deploy(two("wait", "end"))
    deployer.destroy_operator("pipe.reader", force=True)
    assert deployer.retrieve_operator_state("pipe.reader") is DeploymentState.NotExisting
    assert [j["metadata"]["name"] for j in api.list("Job").items] == ["pipe-writer"]
    with pytest.raises(
        DeploymentNotFoundException, match=r"pipe\.reader was destroyed, though its pipeline is deployed"
    ):
        deployer.restart_operator("pipe.reader")
    assert deployer.retrieve_operator_logs("pipe.reader") is None


class DyingApi(ClusterApi):
    """One of a process that is ended before it makes anything."""

    def create(self, manifest: Manifest) -> Manifest:
        raise KeyboardInterrupt


def die_while_restarting(api: ClusterApi, kubeconfig: str, operator: str) -> None:
    dying = DyingApi(load_configuration(None, kubeconfig, True), api.namespace)
    with pytest.raises(KeyboardInterrupt):
        Deployments(dying, print).restart_operator(operator, force=True, wait=True)
    assert operator not in {j["metadata"]["annotations"]["pypz.io/full-name"] for j in api.list("Job").items}


def test_a_restart_that_is_killed_half_way_is_waited_for_and_goes_on_when_it_is_done_again(
    api: ClusterApi, deployer: KubernetesDeployer, kubeconfig: str
) -> None:
    deployer.deploy(two("wait", "end"))
    die_while_restarting(api, kubeconfig, "pipe.reader")
    (reader, _) = deployer.retrieve_pipeline_status("pipe")
    assert (reader.state, reader.reason) == (
        DeploymentState.Open,
        "it is being restarted; if that broke off, do it once more",
    )

    told: list[tuple[str, DeploymentState]] = []
    runs, has_ended = threading.Event(), threading.Event()

    def note(operator: Operator, state: DeploymentState) -> None:
        told.append((operator.get_simple_name(), state))
        if told[-1] == ("writer", DeploymentState.Completed):
            has_ended.set()
        if told[-1] == ("reader", DeploymentState.Running):
            runs.set()

    attached = threading.Thread(target=deployer.attach, args=("pipe", note), daemon=True)
    attached.start()
    assert has_ended.wait(60)
    deployer.restart_operator("pipe.reader")
    assert runs.wait(60)  # still attached: of two operators one had ended, and the other had no Job
    assert ("reader", DeploymentState.NotExisting) not in told

    die_while_restarting(api, kubeconfig, "pipe.reader")
    deployer.destroy_operator("pipe.reader")
    attached.join(60)
    assert not attached.is_alive()
    assert told[-1] == ("reader", DeploymentState.NotExisting)


def test_a_job_that_is_too_large_to_be_kept_is_restarted_all_the_same(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    pipeline = two("end", "wait")
    settings = pipeline.reader.get_parameter("kubernetes")
    settings["env"] = [*settings["env"], *({"name": f"V{n}", "value": "x" * 1000} for n in range(300))]
    pipeline.reader.set_parameter("kubernetes", settings)
    deployer.deploy(pipeline)
    before = {job["metadata"]["name"]: job["metadata"]["uid"] for job in api.list("Job").items}
    deployer.restart_operator("pipe.reader", force=True)
    after = {job["metadata"]["name"]: job["metadata"]["uid"] for job in api.list("Job").items}
    assert {name for name in before if before[name] != after[name]} == {"pipe-reader"}


def test_ctrl_c_detaches_without_destroying_and_needs_no_class_of_the_pipeline(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    deployer.deploy(two("wait", "wait"))
    code = (
        "from pypz.deployers.k8s import KubernetesDeployer\n"
        f"deployer = KubernetesDeployer(namespace={api.namespace!r})\n"
        "deployer.attach('pipe', lambda operator, state: print(type(operator).__module__, flush=True))\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline()  # attached
    os.kill(process.pid, signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGINT
    command = f"`pypz destroy pipe -n {api.namespace}` (destroy('pipe'))"
    assert f"detached from pipe, which goes on; {command} ends and removes it" in errors
    assert deployer.is_deployed("pipe")
    assert deployer.is_any_operator_in_state("pipe", DeploymentState.Open, DeploymentState.Running)


class CountingApi(ClusterApi):
    """Notes what it sends."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sent: list[tuple[str, str, bool]] = []
        """Method, path, whether it is a watch."""

    def _send(self, method: str, path: str, **options: Any) -> Any:
        self.sent.append((method, path, bool((options.get("query") or {}).get("watch"))))
        return super()._send(method, path, **options)


class Several(Pipeline):
    """As many operators as asked for."""

    count = 0

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        for index in range(self.count):
            setattr(self, f"operator{index}", BlankOperator())


def test_deploying_takes_one_request_an_operator_and_a_few_and_looking_one_list_a_kind(
    kubeconfig: str, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counts: dict[int, Counter[str]] = {}
    for count in (1, 6):
        monkeypatch.setattr(Several, "count", count)
        pipeline = Several(f"several{count}")
        for operator in members_of(pipeline):
            configured(operator, "wait", nodeSelector={"pypz.io/there-is-no": "such-node"})
            operator.set_parameter("replicationFactor", 2)
        api = CountingApi(load_configuration(None, kubeconfig, True), namespace)
        deployed = Deployments(api, print)

        deployed.create(plan_of(pipeline, ExecutionMode.Standard, ()), wait=True)
        counts[count] = Counter(
            f"{method} {path.rpartition('/')[2]}" for method, path, is_watch in api.sent if not is_watch
        )

        api.sent.clear()
        assert len(deployed.states(pipeline.get_full_name())) == 3 * count
        lists = [path.rpartition("/")[2] for _, path, _ in api.sent if not path.rpartition("/")[2].startswith("pypz-")]
        assert sorted(lists) == ["jobs", "pods"]
        assert len(api.sent) == 4
        deployed.destroy(pipeline.get_full_name(), force=True, wait=True)
    more = counts[6] - counts[1]
    more = Counter({what: number for what, number in more.items() if not what.startswith("GET pypz-")})
    assert more == {"POST jobs": 5}
    assert sum(counts[1].values()) <= 20


def test_an_operator_that_never_ends_is_started_again_whatever_happens(
    api: ClusterApi, deployer: KubernetesDeployer, capfd: pytest.CaptureFixture[str]
) -> None:
    before = objects_of(api)
    pipeline = two("wait", "wait")
    configured(pipeline.reader, "wait", workload="Deployment")
    deployer.deploy(pipeline)
    with Watcher(api, selector_of("pipe"), "Deployment", "Pod", say=print) as seen:

        def readers() -> set[str]:
            pods = [p for p in seen.objects["Pod"].values() if p["metadata"]["labels"][INSTANCE_NAME] == "reader"]
            return {p["metadata"]["name"] for p in pods if p["status"].get("phase") == "Running"}

        assert seen.wait_until(lambda: bool(readers()), time.monotonic() + 60)
        (first,) = readers()
        assert deployer.retrieve_operator_state("pipe.reader") is DeploymentState.Running
        assert " reader Standard --index 0 " in next(iter(deployer.follow_operator_logs("pipe.reader")))
        api.delete("Pod", first, grace_s=0)
        assert seen.wait_until(lambda: bool(readers() - {first}), time.monotonic() + 60)
        second = readers() - {first}
        deployer.restart_operator("pipe.reader", force=True)
        assert seen.wait_until(lambda: bool(readers() - {first} - second), time.monotonic() + 60)

    configured(pipeline.writer, "fail")
    deployer.destroy("pipe", force=True)
    assert objects_of(api) == before
    deployer.deploy(pipeline)
    deployer.attach("pipe")
    told = capfd.readouterr().err
    assert "pipe has failed: pipe.writer" in told
    assert "pipe: ending pipe.reader" in told
    assert deployer.is_all_operator_in_state("pipe", DeploymentState.Failed)
    deployer.restart_operator("pipe.reader", force=True)
    assert deployer.retrieve_operator_state("pipe.reader") in (DeploymentState.Open, DeploymentState.Running)
    assert {s.name for s in deployer.retrieve_pipeline_status("pipe")} == {"pipe.reader", "pipe.writer"}
    deployer.destroy_operator("pipe.reader", force=True)
    assert api.list("Deployment").items == []
    deployer.destroy("pipe", force=True)
    assert objects_of(api) == before


class Many(Pipeline):
    """Twenty operators that no node has room for."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        for number in range(20):
            setattr(self, f"op{number}", BlankOperator())
            operator = getattr(self, f"op{number}")
            operator.set_parameter("operatorImageName", IMAGE)
            operator.set_parameter("kubernetes", KubernetesParameter(nodeSelector={"no": "node"}).__dict__)


DEPLOYING = """
import sys
from deployers.k8s.tests.test_cluster import Many
from pypz.deployers.k8s import KubernetesDeployer
sys.stdin.readline()
KubernetesDeployer(namespace=sys.argv[1]).deploy(Many("pipe"))
"""


def test_a_deployer_that_is_killed_half_way_leaves_what_destroy_removes(
    api: ClusterApi, deployer: KubernetesDeployer, capfd: pytest.CaptureFixture[str]
) -> None:
    before = objects_of(api)
    process = subprocess.Popen(
        [sys.executable, "-c", DEPLOYING, api.namespace],
        stdin=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[3],
    )
    assert process.stdin is not None
    with Watcher(api, selector_of("pipe"), "Job", say=print) as seen, process.stdin:
        process.stdin.write("\n")
        process.stdin.flush()
        assert seen.wait_until(lambda: len(seen.objects["Job"]) >= 5, time.monotonic() + 60)
        process.kill()
    process.wait(60)
    made = len(api.list("Job").items)
    with capfd.disabled():
        print(f"\nkilled the deployer when {made} of 20 Jobs were there")
    assert 5 <= made < 20, "the kill did not land half way"

    assert deployer.is_deployed("pipe")
    with pytest.raises(
        DeploymentConflictException, match=r"pipe is deployed in part only .*, without pipe\.op.* more: "
    ):
        deployer.deploy(Many("pipe"))
    reasons = {status.reason for status in deployer.retrieve_pipeline_status("pipe")}
    assert any(reason.startswith("it has no Job: destroyed alone, or its deployment broke off") for reason in reasons)
    deployer.destroy("pipe", force=True)
    assert objects_of(api) == before
    assert "in part only" not in capfd.readouterr().err
    deployer.deploy(Many("pipe"))
    deployer.destroy("pipe", force=True)
    assert objects_of(api) == before


def test_a_deployer_that_is_killed_before_the_first_job_leaves_what_destroy_removes(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    before = objects_of(api)
    api.create(owner_manifest(plan_of(two("end", "end"), ExecutionMode.Standard, ())))
    with pytest.raises(DeploymentConflictException, match="in part only .*, without its description"):
        deployer.deploy(two("end", "end"))
    with pytest.raises(DeploymentNotFoundException, match=r"broke off before anything ran.*destroy\('pipe'\) removes"):
        deployer.attach("pipe")
    assert deployer.retrieve_pipeline_status("pipe") == []
    deployer.destroy("pipe")
    assert objects_of(api) == before


def test_a_deployment_that_a_quota_stops_half_way_is_rolled_back(api: ClusterApi, deployer: KubernetesDeployer) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"count/jobs.batch": "1"}},
    }
    path = f"/api/v1/namespaces/{api.namespace}/resourcequotas"
    api._json("POST", path, body=body)
    query = {"watch": "true", "fieldSelector": "metadata.name=few", "timeoutSeconds": "30"}
    stream = WatchStream(api._send("GET", path, query=query), api.namespace)
    next(found for _, found in stream if found.get("status", {}).get("used"))  # before that nothing is allowed at all
    stream.close()
    before = objects_of(api)
    with pytest.raises(DeploymentException, match="exceeded quota: few"):
        deployer.deploy(two("wait", "wait"))
    assert objects_of(api) == before
    assert not deployer.is_deployed("pipe")


def test_all_that_is_deployed_has_pypz_as_the_manager_of_its_fields(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    pipeline = two("wait", "fail")
    deployer.deploy(pipeline)
    deployer.attach("pipe")
    for kind in ("ConfigMap", "Job"):
        for found in api.list(kind, selector_of("pipe")).items:
            ours = [m for m in found["metadata"]["managedFields"] if m["manager"] == "pypz"]
            assert ours, found["metadata"]["name"]
            others = {m["manager"] for m in found["metadata"]["managedFields"]} - {"pypz"}
            assert others <= {"kube-controller-manager"}
    (job,) = [j for j in api.list("Job").items if j["metadata"]["name"] == "pipe-reader"]
    fields = json.dumps([m["fieldsV1"] for m in job["metadata"]["managedFields"] if m["manager"] == "pypz"])
    assert "f:podFailurePolicy" in fields
    assert "f:suspend" in fields
