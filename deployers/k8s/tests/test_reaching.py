"""How the cluster is reached: by a line that falls silent, by credentials that a program gives, by a context."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import queue
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pypz.core.commons.errors import PypzError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s import DeploymentException, KubernetesDeployer, KubernetesParameter, api, watching
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.deployments import Deployments
from pypz.deployers.k8s.planning import plan_of
from pypz.deployers.k8s.rights import rights_manifests
from pypz.executors.commons import ExecutionMode

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


class SilentLine:
    """A line to a server that can fall silent: what goes on it is lost, and nobody is told. New connections work."""

    def __init__(self, server: tuple[str, int]) -> None:
        self._server = server
        self._lock = threading.Lock()
        self._open: list[tuple[threading.Event, socket.socket, socket.socket]] = []
        self._is_closed = False
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def fall_silent(self) -> int:
        """Cut all connections that are open now, without closing them; gives their number."""
        with self._lock:
            for is_cut, _, _ in self._open:
                is_cut.set()
            return len(self._open)

    @contextlib.contextmanager
    def cut(self) -> Iterator[None]:
        """Let nothing of the connections that are open now arrive on either side, as when a cable is cut."""
        if os.geteuid() != 0 or shutil.which("iptables") is None:
            pytest.skip("a line is cut by iptables, which needs root")
        ports = [str(client.getpeername()[1]) for _, client, _ in self._open]
        ends = [(port, str(self.port)) for port in ports] + [(str(self.port), port) for port in ports]
        rules = [["INPUT", "-p", "tcp", "--sport", one, "--dport", other, "-j", "DROP"] for one, other in ends]
        with contextlib.ExitStack() as undo:
            for rule in rules:
                subprocess.run(["iptables", "-w", "-I", *rule], check=True)
                undo.callback(subprocess.run, ["iptables", "-w", "-D", *rule], check=True)
            yield

    def close(self) -> None:
        self._listener.close()
        with self._lock:
            self._is_closed = True
            for _, *ends in self._open:
                self._close(*ends)

    @staticmethod
    def _close(*ends: socket.socket) -> None:
        for end in ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._server)
            is_cut = threading.Event()
            with self._lock:
                if self._is_closed:  # it came in the last moment
                    self._close(client, server)
                    return
                self._open.append((is_cut, client, server))
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=self._carry, args=(is_cut, one, other), daemon=True).start()

    @staticmethod
    def _carry(is_cut: threading.Event, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while found := one.recv(65536):
                if not is_cut.is_set():
                    other.sendall(found)
            if not is_cut.is_set():
                other.shutdown(socket.SHUT_WR)


@pytest.fixture
def line(kubeconfig: str) -> Iterator[SilentLine]:
    host, _, port = load_configuration(None, kubeconfig, True).host.removeprefix("https://").partition(":")
    made = SilentLine((host, int(port)))
    yield made
    made.close()


class One(Pipeline):
    """One operator that has no node to run on."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.waiting = BlankOperator()
        self.waiting.set_parameter("operatorImageName", "localhost/none:1")
        self.waiting.set_parameter("kubernetes", KubernetesParameter(nodeSelector={"no": "node"}).__dict__)


@pytest.mark.parametrize("how", ["swallowed", "cut"])
def test_a_line_that_falls_silent_is_noticed_and_attach_goes_on(
    kubeconfig: str, namespace: str, line: SilentLine, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    if how == "swallowed":  # by what answers for the other side: the watch's own time-out is left
        monkeypatch.setattr(watching, "WATCH_TIMEOUT_S", 1)
    else:  # the kernels ask each other
        monkeypatch.setattr(watching, "WATCH_TIMEOUT_S", 600)
        monkeypatch.setattr(api, "KEEPALIVE", (1, 1, 2))
    configuration = copy.copy(load_configuration(None, kubeconfig, True))
    configuration.host = f"https://127.0.0.1:{line.port}"
    told: queue.Queue[str] = queue.Queue()
    far = Deployments(ClusterApi(configuration, namespace), told.put)
    near = Deployments(ClusterApi(load_configuration(None, kubeconfig, True), namespace), told.put)
    near.create(plan_of(One("one"), ExecutionMode.Standard, ()), wait=True)
    seen: queue.Queue[DeploymentState] = queue.Queue()
    attached = threading.Thread(target=far.attach, args=("one", lambda name, state: seen.put(state)))
    attached.start()
    assert seen.get(timeout=30) is DeploymentState.Open
    assert "Unschedulable" in told.get(timeout=30)

    with line.cut() if how == "cut" else contextlib.nullcontext():
        if how == "swallowed":
            assert line.fall_silent() > 0
        near.destroy_operator("one.waiting", force=True, wait=True)
        # A request between the watches may meet a line of the pool that is swallowed, too: `api.READ_TIMEOUT_S`.
        assert seen.get(timeout=150) is DeploymentState.NotExisting
        attached.join(60)
        assert not attached.is_alive()
    near.destroy("one", force=True, wait=True)


def test_credentials_come_from_a_program_and_the_cluster_from_a_context(
    kubeconfig: str, namespace: str, tmp_path: Path
) -> None:
    cluster = ClusterApi(load_configuration(None, kubeconfig, True), namespace)
    base = f"/api/v1/namespaces/{namespace}/serviceaccounts"
    rbac = f"/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}"
    account, role, binding = rights_manifests("robot", namespace)
    for path, manifest in ((base, account), (f"{rbac}/roles", role), (f"{rbac}/rolebindings", binding)):
        cluster._json("POST", path, body=manifest)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    token = cluster._json("POST", f"{base}/robot/token", body=request)["status"]["token"]

    kind = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential"}
    (tmp_path / "answer.json").write_text(json.dumps({**kind, "status": {"token": token}}))
    program = f"print(open({str(tmp_path / 'answer.json')!r}).read())"
    config = yaml.safe_load(Path(kubeconfig).read_text())
    exec_user = {
        "apiVersion": kind["apiVersion"],
        "command": sys.executable,
        "args": ["-c", program],
        "interactiveMode": "Never",
    }
    cluster = config["clusters"][0]["name"]
    config["users"].append({"name": "robot", "user": {"exec": exec_user}})
    config["clusters"].append({"name": "away", "cluster": {"server": "https://127.0.0.1:9"}})
    config["contexts"] += [
        {"name": "by-program", "context": {"cluster": cluster, "user": "robot"}},
        {"name": "away", "context": {"cluster": "away", "user": "robot"}},
    ]
    config["current-context"] = "away"
    (tmp_path / "config").write_text(yaml.safe_dump(config))

    deployer = KubernetesDeployer(namespace, config_file=tmp_path / "config", context="by-program")
    deployer.deploy(One("one"))
    assert deployer.retrieve_operator_state("one.waiting") is DeploymentState.Open
    deployer.destroy("one", force=True)

    with pytest.raises(PypzError, match=r"Kubernetes at https://127\.0\.0\.1:9 does not answer"):
        KubernetesDeployer(namespace, config_file=tmp_path / "config").is_deployed("one")
    with pytest.raises(DeploymentException, match="no-such-context"):
        KubernetesDeployer(namespace, config_file=tmp_path / "config", context="no-such-context").is_deployed("one")
    with pytest.raises(DeploymentException, match="system:serviceaccount:.*:robot"):
        KubernetesDeployer("default", config_file=tmp_path / "config", context="by-program").is_deployed("one")
