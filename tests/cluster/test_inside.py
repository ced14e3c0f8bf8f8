"""A pod of the cluster deploys there, by its service account with nothing but the rendered Role, and by the page's CronJob."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka.admin import AdminClient

from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.watching import Watcher
from tests.cluster.conftest import ROOT, needed, run
from tests.cluster.test_base_image import example_wheel
from tests.cluster.test_guide_deploy import objects_of
from tests.docs.pages import read_blocks

pytestmark = [pytest.mark.cluster, pytest.mark.broker, pytest.mark.slow]

IMAGE = "localhost/pypz-inside:test"
FOLDERS = {
    "ServiceAccount": "/api/v1/namespaces/{}/serviceaccounts",
    "Role": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/roles",
    "RoleBinding": "/apis/rbac.authorization.k8s.io/v1/namespaces/{}/rolebindings",
}
GREETINGS = 60
LIFE = f"""
import json, os, sys

from hello_world.pipeline import HelloWorld
from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import DeploymentException, KubernetesDeployer

name, namespace, location, image = sys.argv[1:]
found = {{"has_kubeconfig": "KUBECONFIG" in os.environ or os.path.exists(os.path.expanduser("~/.kube/config"))}}
pipeline = HelloWorld(name)
pipeline.set_parameter(">>channelLocation", location)
pipeline.set_parameter(">operatorImageName", image)
pipeline.greeter.set_parameter("greetingCount", {GREETINGS})
pipeline.greeter.set_parameter("pauseMs", 250)
pipeline.listener.logger.set_parameter("logLevel", "DEBUG")
deployer = KubernetesDeployer(namespace)
deployer.deploy(pipeline)
found["deployed"] = sorted(deployer.retrieve_pipeline_deployments())

running = {{}}
deployer.watch(
    name,
    lambda status: running.update({{status.name: status.state}}),
    lambda: running.get(f"{{name}}.listener") is DeploymentState.Running,
)
next(line for line in deployer.follow_operator_logs(f"{{name}}.listener") if "heard number" in line)
scaled = deployer.scale_operator(f"{{name}}.listener", 2)
found["scaled"] = [scaled.plan.before, scaled.plan.after]
found["members"] = deployer.retrieve_deployed_pipeline(name).listener.get_group_size()
deployer.attach(name, lambda operator, state: None)
found["states"] = {{status.name: status.state.name for status in deployer.retrieve_pipeline_status(name)}}
found["logs"] = {{member: deployer.retrieve_operator_logs(member).splitlines() for member in found["states"]}}
deployer.destroy(name)
found["is_deployed"] = deployer.is_deployed(name)
try:
    KubernetesDeployer().retrieve_pipeline_deployments()
except DeploymentException as error:
    found["elsewhere"] = str(error)
print(json.dumps(found))
"""


@pytest.fixture
def image(pypz_image: str, tmp_path: Path) -> str:
    """The example's image, made as its own Dockerfile says, with the deployer's wheel beside the project's."""
    project = example_wheel(tmp_path)
    deployer = str(ROOT / "deployers" / "k8s")
    run(sys.executable, "-m", "build", "--wheel", "--outdir", str(project / "dist"), deployer)
    build_image = Path(needed("PYPZ_TESTBED", "no way to load an image")) / "kubernetes" / "build-image"
    pinned = "PIP_CONSTRAINT=/opt/pypz/constraints.txt"
    run(build_image, IMAGE, project, "--layers", "--env", pinned, "--build-arg", f"BASE_IMAGE={pypz_image}")
    return IMAGE


@pytest.fixture
def name(broker: str) -> Iterator[str]:
    """How the pipelines' names begin; what is left of them at the broker is removed."""
    made = f"inside{uuid.uuid4().hex[:6]}"
    yield made
    admin = AdminClient({"bootstrap.servers": broker})
    left = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(made)]
    for future in (admin.delete_topics(left) if left else {}).values():
        future.result(30)


def as_on_the_page(namespace: str, name: str, broker: str) -> dict[str, Any]:
    """The Job that the CronJob of the documentation makes; only names and addresses changed."""
    blocks = [b.text for b in read_blocks(ROOT / "docs" / "kubernetes.md") if b.language == "yaml"]
    (text,) = [text for text in blocks if "kind: CronJob" in text]
    for theirs, ours in (
        ("registry.example/hello:1", IMAGE),
        ("broker.example:9092", broker),
        ("--namespace hello", f"--namespace {namespace}"),
        ("--name hello", f"--name {name}"),
        ("attach hello", f"attach {name}"),
        ("destroy hello", f"destroy {name}"),
    ):
        assert theirs in text
        text = text.replace(theirs, ours)
    spec: dict[str, Any] = yaml.safe_load(text)["spec"]["jobTemplate"]["spec"]
    return spec


def test_a_pod_with_the_rendered_role_deploys_scales_stays_and_destroys(
    kubeconfig: str, namespace: str, image: str, broker: str, name: str
) -> None:
    api = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    rights = [sys.executable, "-m", "pypz.cli.main", "render", "--rbac", "--namespace", namespace]
    for document in yaml.safe_load_all(subprocess.run(rights, capture_output=True, text=True, check=True).stdout):
        api._json("POST", FOLDERS[document["kind"]].format(namespace), body=document)
    before = objects_of(api)

    nightly = as_on_the_page(namespace, f"{name}n", broker)
    life = as_on_the_page(namespace, name, broker)
    container = life["template"]["spec"]["containers"][0]
    container.update(command=["python", "-c", LIFE], args=[name, namespace, f"kafka://{broker}", image])
    for called, spec in (("life", life), ("nightly", nightly)):
        spec["template"]["metadata"] = {"labels": {"inside": called}}
        metadata = {"name": called, "labels": {"inside": called}}
        api.create({"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec})

    logs = {called: log_of(api, called) for called in ("life", "nightly")}

    found = json.loads(logs["life"].splitlines()[-1])
    told = found.pop("logs")
    elsewhere = found.pop("elsewhere")
    assert found == {
        "has_kubeconfig": False,
        "deployed": found["deployed"],
        "scaled": [1, 2],
        "members": 2,
        "states": dict.fromkeys([f"{name}.greeter", f"{name}.listener", f"{name}.listener_0"], "Completed"),
        "is_deployed": False,
    }
    assert name in found["deployed"]
    assert f"sent {GREETINGS} greetings" in "\n".join(told[f"{name}.greeter"])
    assert "heard" in "\n".join(told[f"{name}.listener_0"])
    assert f'User "system:serviceaccount:{namespace}:pypz-deployer" cannot list resource "configmaps"' in elsewhere

    assert f"{name}n is deployed" in logs["nightly"]
    assert f"{name}n.listener: Completed" in logs["nightly"]
    assert logs["nightly"].rstrip().endswith(f"{name}n is removed")

    for called in ("life", "nightly"):
        api.delete("Job", called)
        with Watcher(api, f"inside={called}", "Job", "Pod", say=print) as seen:
            assert seen.wait_until(lambda: not any(seen.objects.values()), time.monotonic() + 60)
    assert objects_of(api) == before
    admin = AdminClient({"bootstrap.servers": broker})
    assert not [
        topic
        for topic in admin.list_topics(timeout=30).topics
        if topic.startswith((f"{name}.listener", f"{name}n.listener"))
    ]


def log_of(api: ClusterApi, called: str) -> str:
    """What the pod of a Job has said until it ended well."""
    with Watcher(api, f"inside={called}", "Pod", say=print) as seen:

        def phases() -> set[str]:
            return {str(pod.get("status", {}).get("phase")) for pod in seen.objects["Pod"].values()}

        assert seen.wait_until(lambda: phases() in ({"Succeeded"}, {"Failed"}), time.monotonic() + 180)
        (pod,) = seen.objects["Pod"]
    log = api.read_log(pod, {}) or ""
    assert phases() == {"Succeeded"}, log
    return log
