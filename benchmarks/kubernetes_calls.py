"""What 100 operators with 3 replicas each cost on Kubernetes: requests and seconds of deploy and status, and an idle attach.

    KUBECONFIG=... .venv/bin/python benchmarks/kubernetes_calls.py [OPERATORS] [IDLE SECONDS]

In a namespace of its own, which is removed at the end. The pods ask for a node that there is not, so they stay Pending.
Beside it `kubectl apply --server-side` of the same manifests, in the same run (``KUBECTL``: its path). Ends with 1 where a
goal is missed, with 2 without a cluster.
"""

from __future__ import annotations

import contextlib
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from machine import print_machine

from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import KubernetesDeployer, deployer
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration

REPLICAS = 2
"""Beside the principal: 3 members each."""
GOAL_RATIO = 2.0
"""Time of deploy against kubectl apply, at most."""
GOAL_PERCENT = 1.0
"""Percent of a core that an attach with nothing to do takes, at most."""
ROUNDS = 2
SETTLE_S = 30.0
"""Seconds for the cluster to tell of all pods."""


class CountingApi(ClusterApi):
    """Counts what it sends: by verb and kind of object."""

    sent: Counter[str] = Counter()

    def _send(self, method: str, path: str, **options: Any) -> Any:
        parts = urlsplit(path).path.split("/namespaces/")[-1].split("/")
        verb = "WATCH" if (options.get("query") or {}).get("watch") else method
        self.sent[f"{verb} {parts[1] if len(parts) > 1 else path}" + ("/NAME" if len(parts) > 2 else "")] += 1
        return super()._send(method, path, **options)


class Many(Pipeline):
    """Operators that have nothing to do with each other."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        for index in range(COUNT):
            setattr(self, f"operator{index:03}", BlankOperator())


def many() -> Many:
    """The pipeline, for pods that stay Pending."""
    made = Many("many")
    made.set_parameter(">operatorImageName", "nothing:1")
    made.set_parameter(">replicationFactor", REPLICAS)
    made.set_parameter(">kubernetes", {"nodeSelector": {"pypz.io/there-is-no": "such-node"}})
    return made


@contextlib.contextmanager
def counted(what: str, found: dict[str, tuple[int, float]]) -> Iterator[None]:
    """Count and time a block, and print it."""
    CountingApi.sent.clear()
    began = time.perf_counter()
    yield
    took_s = time.perf_counter() - began
    found[what] = sum(CountingApi.sent.values()), took_s
    told = ", ".join(f"{count} {kind}" for kind, count in CountingApi.sent.most_common())
    print(f"{what}: {found[what][0]} requests ({told}), {took_s:.2f} s", flush=True)


def spent_s() -> float:
    """Processor time of this process up to now, in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def idle_percent(made: KubernetesDeployer, seconds: float) -> float:
    """Attach for a while, and tell what it takes of a core once it has seen everything."""
    attached = threading.Thread(target=made.attach, args=("many",), daemon=True)
    attached.start()
    time.sleep(SETTLE_S)
    before, began = spent_s(), time.perf_counter()
    time.sleep(seconds)
    percent = 100 * (spent_s() - before) / (time.perf_counter() - began)
    assert attached.is_alive(), "the attach has ended meanwhile"
    return percent


def kubectl(*arguments: str) -> None:
    """Run kubectl to its end."""
    command = [os.environ.get("KUBECTL", "kubectl"), *arguments]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def measure(namespace: str, idle_s: float) -> int:
    """Measure in a namespace; gives the exit code."""
    made, found = KubernetesDeployer(namespace), dict[str, tuple[int, float]]()
    pipeline = many()
    members = COUNT * (1 + REPLICAS)
    with counted("deploy, every pod made", found):
        made.deploy(pipeline)
    with counted("status", found):
        states = made.retrieve_pipeline_state("many")
    assert list(states.values()) == [DeploymentState.Open] * members, Counter(states.values())
    with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):  # 300 pods that wait
        percent = idle_percent(made, idle_s)
    print(
        f"attach to {members} members with nothing to tell: {percent:.2f} % of a core over {idle_s:.0f} s", flush=True
    )
    with counted("destroy", found):
        made.destroy("many", force=True)

    ours_s, theirs_s = [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.yaml"
        path.write_text(made.render(pipeline))
        for _ in range(ROUNDS):  # taking turns: who comes second finds the cluster busier
            with counted("deploy, not waiting for pods", found):
                made.deploy(pipeline, wait=False)
            made.destroy("many", force=True)
            ours_s.append(found["deploy, not waiting for pods"][1])
            began = time.perf_counter()
            kubectl("apply", "--server-side", "-f", str(path))
            theirs_s.append(time.perf_counter() - began)
            made.destroy("many", force=True)
    ours, ratio = found["deploy, not waiting for pods"], min(ours_s) / min(theirs_s)
    print(f"kubectl apply --server-side: {', '.join(f'{took_s:.2f}' for took_s in theirs_s)} s")
    print(f"deploy takes {ratio:.2f} times that, the shortest of each compared; goal {GOAL_RATIO:.0f}")
    print(f"deploy: {ours[0]} requests for {COUNT} operators, goal one each and a few; status: {found['status'][0]}")
    print_machine()  # once more, for the load meanwhile
    is_well = ours[0] <= COUNT + 20 and found["status"][0] <= 4 and ratio <= GOAL_RATIO and percent <= GOAL_PERCENT
    return 0 if is_well else 1


def main() -> int:
    """Make the namespace, measure, remove it."""
    if not os.environ.get("KUBECONFIG"):
        print("KUBECONFIG is not set: no cluster to measure on", file=sys.stderr)
        return 2
    print_machine()
    namespace = f"pypz-calls-{uuid.uuid4().hex[:6]}"
    api = ClusterApi(load_configuration(None, None, True), namespace)
    api._json("POST", "/api/v1/namespaces", body={"kind": "Namespace", "metadata": {"name": namespace}})
    deployer.ClusterApi = CountingApi  # type: ignore[attr-defined]
    try:
        kubectl("wait", "--for=create", "serviceaccount/default", "--namespace", namespace, "--timeout=60s")
        return measure(namespace, float(sys.argv[2]) if len(sys.argv) > 2 else 30.0)
    finally:
        api._json("DELETE", f"/api/v1/namespaces/{namespace}")
        kubectl("wait", "--for=delete", f"namespace/{namespace}", "--timeout=300s")


COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 100

if __name__ == "__main__":
    sys.exit(main())
