"""What the fault drills are made of: a ledger that pods tell what they do, the bed's own programs, one deployed line, a gateway
that lets a deployer get half way.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self

import fault_line
import urllib3
import yaml

from pypz.core.specs.instance import Internals
from pypz.deployers.k8s import KubernetesParameter
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.deployments import Deployments
from pypz.deployers.k8s.plan import INSTANCE_NAME, selector_of
from pypz.deployers.k8s.planning import plan_of
from pypz.deployers.k8s.watching import Watcher
from pypz.executors.commons import ExecutionMode

COUNT = 100_000
DEADLINE_S = 150.0


class Ledger:
    """Told by the members what they have done; its answers are orders.

    The source is held back once it has sent ``gate`` records.
    """

    def __init__(self, host: str) -> None:
        self.changed = threading.Condition()
        self.got: Counter[int] = Counter()
        self.highest = -1
        self.sent = 0
        self.inits: list[str] = []
        """Members in the order of their starts."""
        self.orders: dict[tuple[str, str], str] = {}
        """Answer to the next word of a member: (member, what) -> order."""
        self.gate = COUNT
        self._is_over = False
        ledger = self

        class Line(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                with contextlib.suppress(OSError):
                    for line in self.rfile:
                        self.wfile.write(f"{ledger.answer(*json.loads(line))}\n".encode())

        self._server = socketserver.ThreadingTCPServer((host, 0), Line)
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def answer(self, member: str, what: str, value: Any) -> str:
        with self.changed:
            if what == "init":
                self.inits.append(member)
            if what == "got":
                self.got.update(value)
                self.highest = max(self.highest, *value)
            if what == "sent":
                self.sent = max(self.sent, value)
            self.changed.notify_all()
            if what == "sent":
                self.changed.wait_for(lambda: self._is_over or value < self.gate)
            return self.orders.pop((member, what), "")

    def order(self, member: str, what: str, order: str) -> None:
        with self.changed:
            self.orders[member, what] = order

    def open_gate(self, until: int = COUNT + 1) -> None:
        with self.changed:
            self.gate = until
            self.changed.notify_all()

    def wait_until(self, is_so: Callable[[], bool], what: str) -> None:
        with self.changed:
            assert self.changed.wait_for(is_so, DEADLINE_S), f"waited {DEADLINE_S:.0f} s for {what}; got {self.highest}"

    def wait_for(self, count: int) -> None:
        """Wait until the sink has had so many records."""
        self.wait_until(lambda: self.highest >= count - 1, f"{count} records")

    def wait_for_sent(self, count: int) -> None:
        """Wait until the source has sent so many records."""
        self.wait_until(lambda: self.sent >= count, f"{count} records sent")

    def starts(self, member: str) -> int:
        with self.changed:
            return self.inits.count(member)

    def wait_for_start(self, member: str, number: int) -> None:
        self.wait_until(lambda: self.inits.count(member) >= number, f"start {number} of the {member}")

    def close(self) -> None:
        with self.changed:
            self._is_over = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()


class Witness:
    """Notes when the cluster itself has told what of the pods of a pipeline, and of warnings."""

    def __init__(self, api: ClusterApi, pipeline: str) -> None:
        self._watcher = Watcher(api, selector_of(pipeline), "Pod", "Event", say=lambda text: None)
        self._heard = threading.Condition()
        self._told: list[tuple[float, str]] = []
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="witness")
        self._thread.start()

    def first_word(self, evidence: str, since: float) -> float:
        """When something that has ``evidence`` in it was first told; waits for it."""

        def find() -> float:
            return next((at for at, text in self._told if at >= since and evidence in text), 0.0)

        with self._heard:
            at = self._heard.wait_for(find, DEADLINE_S)
        assert at, f"the cluster has told nothing of {evidence!r}"
        return at

    def close(self) -> None:
        self._is_over.set()
        self._thread.join()

    def _watch(self) -> None:
        known: set[tuple[str, str]] = set()
        with self._watcher as seen:
            while not self._is_over.is_set():
                for found in [o for objects in seen.objects.values() for o in objects.values()]:
                    version = found["metadata"]["uid"], found["metadata"]["resourceVersion"]
                    if version not in known:
                        known.add(version)
                        with self._heard:
                            self._told.append((time.monotonic(), json.dumps(found)))
                            self._heard.notify_all()
                seen.wait(time.monotonic() + 1)


class Line:
    """A line of a hundred thousand records, deployed and attached to."""

    def __init__(self, api: ClusterApi, image: str, ledger: Ledger, broker: str) -> None:
        self.api = api
        self.ledger = ledger
        self.name = f"fault_{uuid.uuid4().hex[:6]}"
        self.pipeline = fault_line.FaultLine(self.name)
        self.pipeline.set_parameter(">>channelLocation", f"kafka://{broker}")
        self.pipeline.set_parameter(">ledger", ledger.address)
        for operator in Internals(self.pipeline).nested_instances.values():
            operator.set_parameter("kubernetes", settings())
        self.set_images(**dict.fromkeys(Internals(self.pipeline).nested_instances, image))
        self.told: list[tuple[float, str]] = []
        self._heard = threading.Condition()
        self.deployed = Deployments(api, self._hear)
        self.attached: threading.Thread | None = None
        self.figures: list[str] = []
        self.witness = Witness(api, self.name)

    def deploy(self) -> None:
        self.deployed.create(plan_of(self.pipeline, ExecutionMode.Standard, ()), wait=True)
        self.attach()

    def set_images(self, **images: str) -> None:
        """Let operators have other images from the next deployment on."""
        for operator, image in images.items():
            Internals(self.pipeline).nested_instances[operator].set_parameter("operatorImageName", image)

    def deploy_and_be_killed(self, folder: Path) -> set[str]:
        """Deploy by a process that is killed in the midst of its requests; gives the operators that have come to be."""
        (folder / "line.yaml").write_text(str(self.pipeline))
        with Gateway(self.api) as gateway:
            (folder / "kubeconfig").write_text(yaml.safe_dump(gateway.kubeconfig))
            command = [
                sys.executable,
                "-m",
                "pypz.cli.main",
                "deploy",
                str(folder / "line.yaml"),
                "-n",
                self.api.namespace,
            ]
            process = subprocess.Popen(
                [*command, "--kubeconfig", str(folder / "kubeconfig")],
                env={**os.environ, "PYTHONPATH": str(Path(fault_line.__file__).parent)},
            )
            try:
                gateway.await_held(DEADLINE_S)
            finally:
                process.kill()
                assert process.wait(DEADLINE_S) == -signal.SIGKILL
        jobs = self.api.list("Job", selector_of(self.name)).items
        return {str(job["metadata"]["labels"][INSTANCE_NAME]) for job in jobs}

    def destroy(self) -> None:
        """Kill all of it; who is attached is told so, and comes back."""
        self.deployed.destroy(self.name, force=True, wait=True)
        self.join()

    def attach(self) -> None:
        self.attached = threading.Thread(target=self.deployed.attach, args=(self.name, None), name="attach")
        self.attached.start()

    def _hear(self, text: str) -> None:
        with self._heard:
            self.told.append((time.monotonic(), text))
            self._heard.notify_all()

    @contextlib.contextmanager
    def fault(self, what: str, evidence: str, *words: str) -> Iterator[None]:
        """Make a fault within; waits until all the words about it were told, and keeps how long that took.

        Args:
            what: The fault, for the figures.
            evidence: The cluster's own word for it, in a pod or an event; empty where it has none.
            words: What attach tells of it, on one line.
        """
        told_before, done, began = len(self.told), self.ledger.highest + 1, time.monotonic()
        yield
        with self._heard:
            at = self._heard.wait_for(lambda: self._find(told_before, words), DEADLINE_S)
        assert at, f"{what}: nothing told of {words!r}: {self.told[told_before:]}"
        word = self.witness.first_word(evidence, began) if evidence else began
        its = (
            f": the cluster's own word came after {word - began:.1f} s, ours {at - word:.2f} s behind it"
            if evidence
            else ""
        )
        self.figures.append(f"{what} at {done}: told after {at - began:.1f} s{its}")
        assert 0.2 * COUNT < done < 0.8 * COUNT, f"{what} did not land in the midst: {done}"

    def wait_told(self, words: str) -> None:
        """Wait until something was told, whenever."""
        with self._heard:
            assert self._heard.wait_for(lambda: self._find(0, (words,)), DEADLINE_S), self.told

    def _find(self, since: int, words: tuple[str, ...]) -> float:
        return next((at for at, text in self.told[since:] if all(word in text for word in words)), 0.0)

    def pod(self, operator: str) -> str:
        """The newest pod of an operator."""
        found = [p["metadata"] for p in self.api.list("Pod", f"pypz.io/instance-name={operator}").items]
        return str(max(found, key=lambda m: str(m["creationTimestamp"]))["name"])

    def lose(self, operator: str) -> None:
        """Delete the pod of an operator."""
        self.api.delete("Pod", self.pod(operator))

    def end(self) -> None:
        """Wait for the end: no record is lost, every member has completed."""
        self.ledger.open_gate()
        self.join()
        states = self.deployed.states(self.name)
        assert {s.name for s in states.values()} == {"Completed"}, (states, self.told)
        lost = COUNT - len(self.ledger.got)
        self.figures.append(f"lost {lost}, doubled {self.ledger.got.total() - len(self.ledger.got)} of {COUNT}")
        assert self.ledger.got.keys() == set(range(COUNT))

    def join(self) -> None:
        assert self.attached is not None
        self.attached.join(DEADLINE_S)
        assert not self.attached.is_alive(), self.told[-5:]

    def close(self) -> None:
        self.ledger.open_gate()
        if self.deployed.is_deployed(self.name):
            self.deployed.destroy(self.name, force=True, wait=True)
        if self.attached is not None:
            self.attached.join(60)
        self.witness.close()


class Gateway:
    """A way to the API server for one deployer, as ``kubectl proxy`` is one: its first Job gets through, no further one does."""

    def __init__(self, api: ClusterApi) -> None:
        self._is_held = threading.Event()
        is_over, lock = threading.Event(), threading.Lock()
        self._is_over = is_over
        jobs: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                with contextlib.suppress(OSError):  # the deployer was killed
                    super().handle()

            def carry(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                with lock:
                    is_more = self.command == "POST" and "/jobs?" in self.path and bool(jobs)
                    if self.command == "POST" and "/jobs?" in self.path:
                        jobs.append(self.path)
                if is_more:
                    gateway._is_held.set()
                    is_over.wait()
                    self.close_connection = True
                    return
                headers = {name: self.headers[name] for name in ("Accept", "Content-Type") if name in self.headers}
                answer = api._pool.request(self.command, api.server + self.path, body=body or None, headers=headers)
                self.send_response(answer.status)
                self.send_header("Content-Length", str(len(answer.data)))
                self.end_headers()
                self.wfile.write(answer.data)

            do_GET = do_POST = do_PATCH = do_DELETE = carry

            def log_message(self, format: str, *args: Any) -> None:
                """Stay silent."""

        gateway = self
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.kubeconfig = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "c",
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": f"http://127.0.0.1:{self._server.server_address[1]}"}}],
            "users": [{"name": "u", "user": {}}],
        }

    def await_held(self, timeout_s: float) -> None:
        """Wait until requests for further Jobs are under way."""
        assert self._is_held.wait(timeout_s), "no second Job was asked for"

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._server.shutdown()
        self._server.server_close()


def settings() -> dict[str, Any]:
    """Settings of pods that find the line's module."""
    volume = {"name": "line", "configMap": {"name": "line"}}
    return KubernetesParameter(
        env=[{"name": "PYTHONPATH", "value": "/line"}],
        volumes=[volume],
        volumeMounts=[{"name": "line", "mountPath": "/line"}],
        resources={"requests": {"cpu": "100m", "memory": "96Mi"}, "limits": {"memory": "256Mi"}},
    ).__dict__


def prepare(api: ClusterApi) -> None:
    """Put the line's module into the namespace."""
    code = Path(fault_line.__file__).read_text()
    data = {"metadata": {"name": "line"}, "data": {"fault_line.py": code}}
    api.create({"apiVersion": "v1", "kind": "ConfigMap", **data})


class Bed:
    """The programs that the cluster and the broker are made of."""

    def __init__(self, scripts: Path) -> None:
        self._scripts = scripts
        self._home = Path(os.environ.get("TESTBED_HOME", "/tmp/testbed"))

    @contextlib.contextmanager
    def frozen(self, program: str) -> Iterator[None]:
        """Stop a program of the cluster, without its connections being closed."""
        pid = self._pid(program)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    @contextlib.contextmanager
    def killed(self, program: str) -> Iterator[None]:
        """Kill a program of the cluster, and start it again."""
        os.kill(self._pid(program), signal.SIGKILL)
        try:
            yield
        finally:
            self.run("kubernetes/up")

    @contextlib.contextmanager
    def strict_api_server(self, api: ClusterApi, plugin: str, log: Path) -> Iterator[str]:
        """Run another API server of the same cluster, with one admission plugin more; gives its address."""
        found = Path(f"/proc/{self._pid('kube-apiserver')}/cmdline").read_bytes().decode().rstrip("\0").split("\0")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        given = dict(itertools.pairwise(found))
        plugins = f"{given['--enable-admission-plugins']},{plugin}"
        host = given["--bind-address"]
        own = ["--secure-port", str(port), "--enable-admission-plugins", plugins, "--endpoint-reconciler-type", "none"]
        with log.open("w") as file:  # of a flag that is given twice the last one counts
            process = subprocess.Popen(
                [*found, *own], executable=self._home / "bin" / "kube-apiserver", stdout=file, stderr=file
            )
        try:
            pause, deadline = threading.Event(), time.monotonic() + DEADLINE_S
            while not _is_ready(api, f"https://{host}:{port}"):
                assert process.poll() is None, log.read_text()[-2000:]
                assert time.monotonic() < deadline, log.read_text()[-2000:]
                pause.wait(0.1)
            yield f"https://{host}:{port}"
        finally:
            process.terminate()
            process.wait(DEADLINE_S)

    def _pid(self, program: str) -> int:
        pid = int((self._home / "run" / f"{program}.pid").read_text())
        assert Path(f"/proc/{pid}/cmdline").read_bytes().startswith(program.encode() + b"\0")
        return pid

    def run(self, script: str, *arguments: str) -> None:
        """Run a script of the test bed."""
        done = subprocess.run(
            [self._scripts / script, *arguments], capture_output=True, text=True, timeout=DEADLINE_S, check=False
        )
        assert done.returncode == 0, done.stderr


def _is_ready(api: ClusterApi, server: str) -> bool:
    try:
        return bool(api._pool.request("GET", f"{server}/readyz", retries=False).status == 200)
    except urllib3.exceptions.HTTPError:
        return False
