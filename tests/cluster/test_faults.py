"""A hundred thousand records on a real cluster and broker, and what may break is broken in their midst.

Each fault ends as the documentation says, its reason is told by `attach` at once (the figures are printed), and no record is
lost: a sink tells the test each number before it counts as read.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient
from drills import Bed, Ledger, Line, prepare

from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import DeploymentConflictException
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration

pytestmark = [pytest.mark.cluster, pytest.mark.broker, pytest.mark.slow]

KINDS = ("ConfigMap", "Secret", "Job", "Pod")


@pytest.fixture
def bed(testbed: Path) -> Bed:
    return Bed(testbed)


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    made = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    prepare(made)
    return made


@pytest.fixture
def ledger(broker: str) -> Iterator[Ledger]:
    made = Ledger(broker.rpartition(":")[0])
    yield made
    made.close()


@pytest.fixture
def line(api: ClusterApi, pypz_image: str, ledger: Ledger, broker: str, capsys: Any) -> Iterator[Line]:
    made = Line(api, pypz_image, ledger, broker)
    yield made
    made.close()
    with capsys.disabled():
        print("\n" + "\n".join(made.figures))


@pytest.fixture
def admin() -> Iterator[AdminClient]:
    """The broker's administration; topics of the drills are removed after them."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
    if not bootstrap:
        pytest.skip("KAFKA_BOOTSTRAP is not set: no broker to look at")
    client = AdminClient({"bootstrap.servers": bootstrap})
    yield client
    left = [t for t in client.list_topics(timeout=30).topics if t.startswith("fault_")]
    if left:
        for future in client.delete_topics(left).values():
            future.result(30)


def objects_of(api: ClusterApi) -> set[tuple[str, str]]:
    return {(kind, found["metadata"]["name"]) for kind in KINDS for found in api.list(kind).items}


def channels_of(admin: AdminClient, line: Line) -> set[str]:
    topics = admin.list_topics(timeout=30).topics
    return {t for t in topics if t.startswith(f"{line.name}.") and t.endswith(".input_port")}


def test_pods_are_lost_killed_refused_and_crash(line: Line, ledger: Ledger, admin: AdminClient) -> None:
    api = line.api
    ledger.open_gate(30_000)
    line.deploy()
    ledger.wait_for(25_000)

    with line.fault(
        "pod deleted", '"exitCode": 130', "copier: pod", "was told to end from outside; another one takes its place"
    ):
        line.lose("copier")
    ledger.wait_for(30_000)
    ledger.wait_for_start("copier", 2)

    ledger.order("sink", "got", "eat")
    with line.fault("out of memory", "OOMKilled", "sink: pod", "OOMKilled: it took more memory than its limit"):
        ledger.open_gate(40_000)
    ledger.wait_for(40_000)
    ledger.wait_for_start("sink", 2)

    quotas = f"/api/v1/namespaces/{api.namespace}/resourcequotas"
    body = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "none"}, "spec": {"hard": {"pods": "2"}}}
    api._json("POST", quotas, body=body)
    ledger.open_gate(50_000)
    with line.fault("quota", "exceeded quota: none", "sink waits: Job", "FailedCreate", "exceeded quota: none"):
        line.lose("sink")
    reasons = {status.name: status.reason for status in line.deployed.statuses(line.name)}
    assert "exceeded quota: none" in reasons[f"{line.name}.sink"]
    api._json("DELETE", f"{quotas}/none")
    ledger.wait_for(50_000)
    ledger.wait_for_start("sink", 3)

    ledger.order("copier", "init", "raise")
    ledger.open_gate(60_000)
    with line.fault(
        "crash in _on_init",
        '"exitCode": 114',
        "has failed:",
        "copier, pod",
        "114 (StateOperationInitError)",
        "the drill wants it so",
    ):
        line.lose("copier")
    ledger.open_gate()
    line.join()
    assert any("ending" in text and "source" in text and "sink" in text for _, text in line.told)
    assert set(line.deployed.states(line.name).values()) == {DeploymentState.Failed}
    assert channels_of(admin, line) == {f"{line.name}.copier.input_port", f"{line.name}.sink.input_port"}

    for operator in ("copier", "sink", "source"):
        line.deployed.restart_operator(f"{line.name}.{operator}", force=False, wait=True)
    line.attach()
    line.end()
    assert channels_of(admin, line) == set()


def test_the_broker_the_api_server_and_the_kubelet_are_away(
    line: Line, ledger: Ledger, bed: Bed, admin: AdminClient
) -> None:
    ledger.open_gate(30_000)
    line.deploy()
    ledger.wait_for(22_000)

    bed.run("kafka/kill-broker", "1")
    line.figures.append(f"broker killed at {ledger.highest + 1}")
    bed.run("kafka/start-broker", "1")
    ledger.wait_for(30_000)
    assert {ledger.starts(member) for member in ("source", "copier", "sink")} == {1}

    ledger.open_gate(50_000)
    with line.fault("API server killed", "", "does not answer"), bed.killed("kube-apiserver"):
        ledger.wait_for(40_000)
    ledger.wait_for(50_000)
    with line.fault("pod deleted after that", '"exitCode": 130', "copier: pod", "was told to end from outside"):
        line.lose("copier")
    ledger.open_gate(60_000)
    ledger.wait_for_start("copier", 2)
    ledger.wait_for(60_000)

    ledger.open_gate(70_000)
    with line.fault("kubelet stopped", "NodeNotReady", "source is not well", "its node"), bed.frozen("kubelet"):
        ledger.wait_for(70_000)
        line.wait_told("its node")
    line.end()
    assert channels_of(admin, line) == set()


def test_the_deployer_is_killed_half_way_and_an_image_does_not_exist(
    line: Line, ledger: Ledger, admin: AdminClient, pypz_image: str, tmp_path: Path
) -> None:
    before = objects_of(line.api)
    ledger.open_gate(30_000)
    line.deploy()
    ledger.wait_for(30_000)

    line.destroy()  # a user brings a new version out, and is killed while at it
    ledger.open_gate(40_000)
    made = line.deploy_and_be_killed(tmp_path)
    assert len(made) == 1
    (without, *_) = sorted({"source", "copier", "sink"} - made)
    with pytest.raises(DeploymentConflictException, match=f"in part only .*, without .*{line.name}.{without}.*destroy"):
        line.deploy()
    with line.fault("deployer killed half way", "", "is there in part only, without", f"{line.name}.{without}"):
        line.attach()
    line.destroy()
    assert objects_of(line.api) == before

    line.set_images(sink="localhost/no-such-image:1")
    ledger.open_gate(60_000)
    with line.fault(
        "image that does not exist", "ErrImagePull", "sink waits: pod", "ImagePull", "localhost/no-such-image:1"
    ):
        line.deploy()
    ledger.wait_for_sent(60_000)  # the source works, and its records wait
    reasons = {status.name: status.reason for status in line.deployed.statuses(line.name)}
    assert "localhost/no-such-image:1" in reasons[f"{line.name}.sink"]
    line.destroy()
    line.set_images(sink=pypz_image)
    line.deploy()
    line.end()
    assert channels_of(admin, line) == set()
    line.destroy()
    assert objects_of(line.api) == before
