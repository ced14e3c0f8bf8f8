"""Logs of members that have not started: nothing that breaks off the others, and who follows waits for the start."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest
from deployers.k8s.tests.test_cluster import configured, prepared, two
from typer.testing import CliRunner

from pypz.cli.main import app
from pypz.deployers.k8s import KubernetesDeployer
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.deployments import Deployments

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


@pytest.fixture
def late(kubeconfig: str, namespace: str) -> Iterator[ClusterApi]:
    """A namespace with a pipeline whose reader waits for a volume, while its writer ends."""
    prepared(kubeconfig, namespace)
    pipeline = two("end", "end")
    configured(pipeline.reader, "end", {"name": "late", "configMap": {"name": "late"}})
    deployer = KubernetesDeployer(namespace)
    deployer.deploy(pipeline)
    yield ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    if deployer.is_deployed("pipe"):
        deployer.destroy("pipe", force=True, wait=False)


def test_a_member_that_has_not_started_is_told_and_the_others_lines_are_shown(late: ClusterApi) -> None:
    list(KubernetesDeployer(late.namespace).follow_operator_logs("pipe.writer"))  # to its end
    done = CliRunner().invoke(app, ["logs", "pipe", "-n", late.namespace])
    assert done.exit_code == 0
    assert "pipe.writer arguments" in done.stdout
    assert "pipe.reader" not in done.stdout
    assert done.stderr.startswith("pypz: no lines of pipe.reader (Open")


def test_who_follows_a_member_before_it_starts_sees_its_log_from_the_first_line(late: ClusterApi) -> None:
    told: queue.Queue[str] = queue.Queue()
    lines: queue.Queue[str] = queue.Queue()
    deployments = Deployments(late, told.put)

    def follow() -> None:
        for line in deployments.follow_logs("pipe.reader", {"follow": "true"}):
            lines.put(line)

    follower = threading.Thread(target=follow)
    follower.start()
    assert told.get(timeout=60).startswith("pipe.reader has not started yet")
    late.create({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "late"}, "data": {}})
    assert lines.get(timeout=120).startswith("arguments")
    follower.join(60)
    assert not follower.is_alive()


def test_who_follows_a_member_that_will_not_start_any_more_is_let_go(late: ClusterApi) -> None:
    told: queue.Queue[str] = queue.Queue()
    deployments = Deployments(late, told.put)
    found: list[list[str]] = []
    follower = threading.Thread(
        target=lambda: found.append(list(deployments.follow_logs("pipe.reader", {"follow": "true"})))
    )
    follower.start()
    assert told.get(timeout=60).startswith("pipe.reader has not started yet")
    deployments.destroy_operator("pipe.reader", force=True, wait=True)
    follower.join(60)
    assert found == [[]]
