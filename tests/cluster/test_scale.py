"""An operator of a deployed pipeline is scaled up and down while records are under way, on a real cluster and broker."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from pypz.core.commons.errors import ConfigurationError
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import DeploymentConflictException, KubernetesDeployer, KubernetesParameter
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.deployments import Deployments
from pypz.deployers.k8s.plan import selector_of
from pypz.deployers.k8s.watching import Watcher

pytestmark = [pytest.mark.cluster, pytest.mark.broker, pytest.mark.slow]

KINDS = ("ConfigMap", "Secret", "Job", "Pod")
TOTAL = 30_000
CODE = """
import threading

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

PACE = threading.Event()


class Base(Operator):
    def _on_init(self):
        return True

    def _on_shutdown(self):
        return True


class Source(Base):
    total = OptionalParameter(int)

    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.total = 30_000
        self.output = ChannelOutputPort()
        self.sent = 0

    def _on_init(self):
        self.sent = int(self.get_checkpoint() or b"0")
        return True

    def _on_running(self):
        self.output.send([{"n": n} for n in range(self.sent, min(self.sent + 50, self.total))])
        self.sent += 50
        self.checkpoint(str(self.sent).encode())
        PACE.wait(0.15)
        return self.sent >= self.total


class Worker(Base):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.output = ChannelOutputPort()
        self.count = 0

    def _on_running(self):
        found = self.input.retrieve()
        self.count += len(found)
        self.output.send([{"n": one["n"], "by": self.get_simple_name()} for one in found])

    def _on_shutdown(self):
        print(self.get_simple_name(), "has handled", self.count, flush=True)
        return True


class Sink(Base):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.seen = {}
        self.count = 0
        self.told = 0

    def _on_running(self):
        for one in self.input.retrieve():
            self.count += 1
            self.seen.setdefault(one["n"], one["by"])
        if self.count // 1000 > self.told:
            self.told = self.count // 1000
            print("so far", self.count, flush=True)

    def _on_shutdown(self):
        print("received", self.count, "distinct", len(self.seen), "by", sorted(set(self.seen.values())), flush=True)
        return True


class Scaled(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.worker = Worker()
        self.sink = Sink()
        self.worker.input.connect(self.source.output)
        self.sink.input.connect(self.worker.output)
"""


@pytest.fixture
def module(tmp_path: Path) -> Iterator[Any]:
    """The code that the pods run."""
    path = tmp_path / "scaled_line.py"
    path.write_text(CODE)
    spec = importlib.util.spec_from_file_location("scaled_line", path)
    assert spec is not None
    assert spec.loader is not None
    made = sys.modules["scaled_line"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    yield made
    del sys.modules["scaled_line"]


@pytest.fixture
def pipeline(module: Any, kubeconfig: str, namespace: str, pypz_image: str) -> Iterator[Pipeline]:
    bootstrap = os.environ.get("KAFKA_PODS_BOOTSTRAP")
    if not bootstrap:
        pytest.skip("KAFKA_PODS_BOOTSTRAP is not set: no broker that pods reach")
    api = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    code = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "code"}, "data": {"scaled_line.py": CODE}}
    api.create(code)
    made: Pipeline = module.Scaled(f"scaled-{uuid.uuid4().hex[:8]}")
    made.set_parameter(">>channelLocation", f"kafka://{bootstrap}")
    made.set_parameter(">operatorImageName", pypz_image)
    settings = KubernetesParameter(
        env=[{"name": "PYTHONPATH", "value": "/code"}],
        volumes=[{"name": "code", "configMap": {"name": "code"}}],
        volumeMounts=[{"name": "code", "mountPath": "/code"}],
    )
    made.set_parameter(">kubernetes", settings.__dict__)
    made.set_parameter(">drainTimeoutMs", 5_000)
    yield made
    name = made.get_full_name()
    deployer = KubernetesDeployer(namespace=namespace)
    if deployer.is_deployed(name):
        deployer.destroy(name, force=True)
    admin = AdminClient({"bootstrap.servers": bootstrap})
    left = [topic for topic in admin.list_topics(timeout=30).topics if topic.startswith(f"{name}.")]
    for future in (admin.delete_topics(left) if left else {}).values():
        future.result(30)


def await_received(deployer: KubernetesDeployer, name: str, count: int) -> None:
    """Wait until the sink has told that it has so many."""
    deadline = time.monotonic() + 120
    for line in deployer.follow_operator_logs(f"{name}.sink"):
        found = re.search(r"so far (\d+)", line)
        if found and int(found[1]) >= count:
            return
        assert time.monotonic() < deadline, line
    raise AssertionError(f"the sink's log has ended before {count} records")


def await_running(api: ClusterApi, deployer: KubernetesDeployer, name: str) -> None:
    with Watcher(api, selector_of(name), "Job", "Pod", say=print) as seen:

        def is_running() -> bool:
            return deployer.is_all_operator_in_state(name, DeploymentState.Running)

        assert seen.wait_until(is_running, time.monotonic() + 120), deployer.retrieve_pipeline_status(name)


def annotations_of(api: ClusterApi, name: str) -> list[Any]:
    return [config["metadata"]["annotations"] for config in api.list("ConfigMap", selector_of(name)).items]


def die_while_scaling(api: ClusterApi, kubeconfig: str, name: str) -> None:
    """Kill a scaling while the operator is stopped."""
    command = [sys.executable, "-m", "pypz.cli.main", "scale", f"{name}.worker", "2", "-n", api.namespace]
    with Watcher(api, selector_of(name), "Job", say=print) as seen:
        process = subprocess.Popen([*command, "--kubeconfig", kubeconfig], stdout=subprocess.DEVNULL)
        try:
            assert seen.wait_until(
                lambda: any(job["spec"].get("suspend") for job in seen.objects["Job"].values()), time.monotonic() + 60
            )
        finally:
            process.kill()
            assert process.wait() == -signal.SIGKILL


def test_scaled_up_and_down_with_records_under_way_nothing_is_lost_and_all_end(
    pipeline: Pipeline, namespace: str, kubeconfig: str
) -> None:
    name = pipeline.get_full_name()
    api = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    before = {(kind, o["metadata"]["name"]) for kind in KINDS for o in api.list(kind).items}
    deployer = KubernetesDeployer(namespace=namespace, mock_nonexistent_at_retrieval=True)
    deployer.deploy(pipeline)
    await_running(api, deployer, name)
    await_received(deployer, name, 2_000)
    said: list[str] = []
    told_states: list[tuple[str, DeploymentState]] = []
    attached = threading.Thread(
        target=Deployments(api, said.append).attach,
        args=(name, lambda member, state: told_states.append((member, state))),
        daemon=True,
    )
    attached.start()

    for members in (4, 2):
        if members == 2:
            die_while_scaling(api, kubeconfig, name)
            with pytest.raises(DeploymentConflictException, match=rf"or that broke off; `pypz scale {name}\.worker 2`"):
                deployer.restart_operator(f"{name}.worker")  # in which size?
        told: list[Any] = []
        scaled = deployer.scale_operator(f"{name}.worker", members, told.append)
        assert told == [scaled.plan]
        assert len(scaled.positions) == (1 if members == 4 else 4)
        await_running(api, deployer, name)
        assert len(deployer.retrieve_pipeline_state(name)) == 2 + members
        deployed = deployer.retrieve_deployed_pipeline(name)
        assert deployed is not None
        assert deployed.worker.get_group_size() == members
        await_received(deployer, name, 6_000 if members == 4 else 12_000)

    with pytest.raises(ConfigurationError, match="0 members are asked for, expected 1 or more"):
        deployer.scale_operator(f"{name}.worker", 0)
    with pytest.raises(ConfigurationError, match="no channel input port"):
        deployer.plan_scaling(f"{name}.source", 2)

    attached.join(300)
    assert not attached.is_alive()
    for members in (4, 2):
        assert (
            f"{name}.worker is being scaled to {members} members: its members commit and stop, then start anew" in said
        )
    assert f"{name}.worker is being restarted" not in "".join(said)
    assert DeploymentState.Unhealthy not in {state for _, state in told_states}
    assert not [words for words in said if "from outside" in words]
    gone = {member for member, state in told_states if state is DeploymentState.NotExisting}
    assert gone == {f"{name}.worker_1", f"{name}.worker_2"}
    states = deployer.retrieve_pipeline_state(name)
    assert set(states.values()) == {DeploymentState.Completed}, states
    (told_by_sink,) = re.findall(r"received .*", deployer.retrieve_operator_logs(f"{name}.sink") or "")
    assert f"received {TOTAL} distinct {TOTAL} by" in told_by_sink
    assert json.dumps(told_by_sink).count("worker") >= 4, told_by_sink
    deployer.destroy(name)
    assert {(kind, o["metadata"]["name"]) for kind in KINDS for o in api.list(kind).items} == before


def test_channels_out_of_reach_are_named_and_nothing_is_touched(
    pipeline: Pipeline, namespace: str, kubeconfig: str
) -> None:
    name = pipeline.get_full_name()
    pipeline.set_parameter(">>channelLocation", "kafka://127.0.0.1:1")
    api = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    deployer = KubernetesDeployer(namespace=namespace)
    deployer.deploy(pipeline)
    before = annotations_of(api, name)
    with pytest.raises(
        ConfigurationError, match=r"committed at kafka://127\.0\.0\.1:1, which cannot be reached from here: .*"
    ):
        deployer.scale_operator(f"{name}.worker", 2)
    assert annotations_of(api, name) == before
    assert not any(job["spec"].get("suspend") for job in api.list("Job").items)
    deployer.destroy(name, force=True)
