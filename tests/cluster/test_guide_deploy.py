"""The guide's deploy scripts, unchanged but for the broker's address and the namespace, on a real cluster and broker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from confluent_kafka.admin import AdminClient

from pypz.deployers.k8s import KubernetesDeployer
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.plan import selector_of
from pypz.deployers.k8s.watching import Watcher

pytestmark = [pytest.mark.cluster, pytest.mark.broker, pytest.mark.slow]

RECORDS = 30
"""The guide's writer sends so many."""


class LogCollector:
    """Keeps what all pods of a pipeline log, from their start to their end."""

    def __init__(self, api: ClusterApi, pipeline: str) -> None:
        self.logs: dict[str, str] = {}
        """Log by pod."""
        self._api = api
        self._selector = selector_of(pipeline)
        self._is_over = threading.Event()
        self._followers: dict[str, threading.Thread] = {}
        self._thread = threading.Thread(target=self._watch)

    @contextmanager
    def collecting(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._is_over.set()
            self._thread.join()
            for follower in self._followers.values():
                follower.join(60)

    def lines(self, operator: str, pattern: str) -> list[str]:
        """What the first group of ``pattern`` matches in the logs of one operator's members."""
        logs = [log for pod, log in self.logs.items() if pod.startswith(f"pipeline-{operator}-")]
        return [text for log in logs for text in re.findall(pattern, log)]

    def _watch(self) -> None:
        with Watcher(self._api, self._selector, "Pod", say=print) as seen:
            while not self._is_over.is_set():
                for name, pod in seen.objects["Pod"].items():
                    if pod["status"].get("phase") in ("Running", "Succeeded", "Failed") and name not in self._followers:
                        self._followers[name] = threading.Thread(target=self._follow, args=(name,))
                        self._followers[name].start()
                seen.wait(time.monotonic() + 1)

    def _follow(self, pod: str) -> None:
        self.logs[pod] = self._api.read_log(pod, {"follow": "true"}) or ""


def api_of(kubeconfig: str, namespace: str) -> ClusterApi:
    return ClusterApi(load_configuration(None, kubeconfig, True), namespace)


def objects_of(api: ClusterApi) -> set[str]:
    """Everything in the namespace, of every kind that the cluster knows, but events."""
    groups = api._json("GET", "/apis")["groups"]
    roots = [
        "/api/v1",
        *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups if g["name"] != "events.k8s.io"),
    ]
    found: set[str] = set()
    for root in roots:
        for kind in api._json("GET", root)["resources"]:
            if kind["namespaced"] and "list" in kind["verbs"] and kind["name"] not in ("events", "leases"):
                listing = api._json("GET", f"{root}/namespaces/{api.namespace}/{kind['name']}")
                found |= {f"{kind['name']}/{o['metadata']['name']}" for o in listing["items"]}
    return found


@pytest.fixture
def admin() -> Iterator[AdminClient]:
    """The broker's administration; topics that earlier runs of these pipelines left are removed before and after."""
    bootstrap = os.environ.get("KAFKA_BOOTSTRAP")
    if not bootstrap:
        pytest.skip("KAFKA_BOOTSTRAP is not set: no broker to clean up on")
    client = AdminClient({"bootstrap.servers": bootstrap})
    remove_topics(client)
    yield client
    remove_topics(client)


def remove_topics(client: AdminClient) -> None:
    left = [t for t in topics_of(client) if t.startswith(("pipeline.", "failing."))]
    if left:
        for future in client.delete_topics(left).values():
            future.result(30)


def topics_of(client: AdminClient) -> set[str]:
    return set(client.list_topics(timeout=30).topics)


def run_script(text: str, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a script as a user would, in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", text],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )


@pytest.mark.parametrize("where", ["default", "restricted"])
@pytest.mark.parametrize(("script", "members"), [("deploy", 1), ("deploy_replicated", 4)])
def test_the_guides_script_deploys_runs_and_removes_the_pipeline(
    request: pytest.FixtureRequest, where: str, script: str, members: int
) -> None:
    project = request.getfixturevalue("project")
    admin: AdminClient = request.getfixturevalue("admin")
    namespace = "default" if where == "default" else str(request.getfixturevalue("namespace"))
    api = api_of(request.getfixturevalue("kubeconfig"), namespace)
    before = objects_of(api)
    collector = LogCollector(api, "pipeline")

    with collector.collecting():
        done = run_script(project.script(script, namespace), {"PYTHONPATH": str(project.folder)})

    assert (done.returncode, done.stderr) == (0, "")
    assert len(collector.logs) == 2 * members
    sent = collector.lines("writer", r"Generated record: \{'text': '(\w+)'\}")
    received = collector.lines("reader", r"Received record: \{'text': '(\w+)'\}")
    assert Counter(sent) == {f"HelloWorld_{i}": members for i in range(RECORDS)}
    assert Counter(received) == Counter(sent)
    if members == 1:
        assert received == sent
    assert objects_of(api) - before == set()
    assert not {t for t in topics_of(admin) if t.startswith("pipeline.reader")}


def test_an_operator_that_raises_ends_the_pipeline_with_its_reason_and_keeps_its_channels(
    request: pytest.FixtureRequest, admin: AdminClient, namespace: str
) -> None:
    project = request.getfixturevalue("project")
    api = api_of(request.getfixturevalue("kubeconfig"), namespace)
    before = objects_of(api)
    deployer = KubernetesDeployer(namespace=namespace)
    text = (
        project.script("deploy", namespace)
        .replace("pypz.example.pipeline import DemoPipeline", "pypz.example.failing import FailingPipeline")
        .replace('DemoPipeline("pipeline")', 'FailingPipeline("failing")')
        .replace("deployer.destroy", "print")
    )
    done = run_script(text, {"PYTHONPATH": str(project.folder)})

    assert done.returncode == 0, done.stderr
    assert "failing has failed: failing.writer, pod failing-writer-0-" in done.stderr
    assert "exit code 115 (StateOperationError); its last lines:" in done.stderr
    assert "the source is gone" in done.stderr
    assert "failing: ending failing.reader" in done.stderr
    assert {s.name for s in deployer.retrieve_pipeline_state("failing").values()} == {"Failed"}
    assert "failing.reader.input_port" in topics_of(admin)
    manifests = json.dumps([o for kind in ("ConfigMap", "Job", "Pod") for o in api.list(kind).items])
    assert project.broker in manifests

    deployer.destroy("failing")
    assert objects_of(api) == before


def test_a_reader_ends_when_its_writer_was_left_out_of_the_deployment(
    request: pytest.FixtureRequest, admin: AdminClient, namespace: str
) -> None:
    project = request.getfixturevalue("project")
    text = project.script("deploy", namespace)
    collector = LogCollector(api_of(request.getfixturevalue("kubeconfig"), namespace), "pipeline")
    with collector.collecting():
        done = run_script(
            text.replace("deploy(pipeline)", "deploy(pipeline, ignore_operators=[pipeline.writer])"),
            {"PYTHONPATH": str(project.folder)},
        )
    assert (done.returncode, done.stderr) == (0, "")
    assert collector.lines("writer", r"(record)") == collector.lines("reader", r"(Received record)") == []
