"""Requests and watches against scripted servers: what a real server does seldom."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import certifi
import pytest
from kubernetes.config import incluster_config

from pypz.core.commons.errors import PypzError
from pypz.deployers.k8s import DeploymentException, KubernetesDeployer
from pypz.deployers.k8s.api import BUSY_RETRIES, ApiError, ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.watching import Watcher

Reply = tuple[int, Any]
"""Status, and a JSON value or bytes; a list is sent as the events of a watch, which then ends. None breaks the connection off.
With 429 goes that one may ask again at once."""


class ScriptedServer:
    """Gives one reply after another; the last one again and again."""

    def __init__(self, *replies: Reply) -> None:
        self._replies = deque(replies)
        self._asked = threading.Condition()
        self.requests: list[tuple[str, str, dict[str, str]]] = []
        """Method, path and query of each request."""
        self.headers: list[dict[str, str]] = []
        self.url = ""

    def await_request(self, number: int) -> dict[str, str]:
        """Wait for a request, the first being 0, and give its query."""
        with self._asked:
            assert self._asked.wait_for(lambda: len(self.requests) > number, 10), f"{len(self.requests)} requests only"
            return self.requests[number][2]

    def next_reply(self, method: str, target: str, headers: dict[str, str]) -> Reply:
        """Note a request and give the reply to it."""
        parts = urlsplit(target)
        with self._asked:
            self.requests.append((method, parts.path, {k: v[0] for k, v in parse_qs(parts.query).items()}))
            self.headers.append(headers)
            self._asked.notify_all()
            return self._replies.popleft() if len(self._replies) > 1 else self._replies[0]


@contextmanager
def serving(*replies: Reply) -> Iterator[ScriptedServer]:
    """Serve on a free port of the loopback interface."""
    script = ScriptedServer(*replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, value = script.next_reply(self.command, self.path, dict(self.headers))
            if value is None:
                self.close_connection = True
                return
            lines = value if isinstance(value, list) else [value]
            body = value if isinstance(value, bytes) else b"".join(json.dumps(line).encode() + b"\n" for line in lines)
            self.send_response(status)
            if status == 429:
                self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_PATCH = do_DELETE = answer

        def log_message(self, format: str, *args: Any) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    script.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield script
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def config_for(url: str, **user: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "c",
        "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": url}}],
        "users": [{"name": "u", "user": user}],
    }


def api_of(server: ScriptedServer, **user: str) -> ClusterApi:
    return ClusterApi(load_configuration(None, config_for(server.url, **user), True), "space")


def listing(version: str, *names: str) -> tuple[int, Any]:
    return 200, {"metadata": {"resourceVersion": version}, "items": [named(n, version) for n in names]}


def named(name: str, version: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "resourceVersion": version}}


def event(how: str, name: str, version: str) -> dict[str, Any]:
    return {"type": how, "object": named(name, version)}


def within(seconds: float = 10.0) -> float:
    return time.monotonic() + seconds


def seen_names(watcher: Watcher) -> set[str]:
    return set(watcher.objects["Job"])


def test_changes_are_applied_to_what_was_listed() -> None:
    changes = [event("ADDED", "b", "2"), event("DELETED", "a", "3")]
    with serving(listing("1", "a"), (200, changes), (200, [])) as server:
        with Watcher(api_of(server), "x=y", "Job", say=print) as watcher:
            assert seen_names(watcher) == {"a"}
            assert watcher.wait_until(lambda: seen_names(watcher) == {"b"}, within())
            assert server.await_request(2)["resourceVersion"] == "3"
        assert server.requests[0][1:] == ("/apis/batch/v1/namespaces/space/jobs", {"labelSelector": "x=y"})
        assert server.requests[1][2]["resourceVersion"] == "1"


def test_a_version_that_the_server_has_forgotten_is_listed_anew() -> None:
    gone = [{"type": "ERROR", "object": {"kind": "Status", "code": 410, "reason": "Expired"}}]
    with serving(listing("1", "a"), (200, gone), listing("9", "c"), (200, [])) as server:
        with Watcher(api_of(server), "x=y", "Job", say=print) as watcher:
            assert watcher.wait_until(lambda: seen_names(watcher) == {"c"}, within())


def test_a_watch_refused_with_410_is_listed_anew() -> None:
    with serving(listing("1", "a"), (410, {"message": "too old"}), listing("9", "c"), (200, [])) as server:
        with Watcher(api_of(server), "x=y", "Job", say=print) as watcher:
            assert watcher.wait_until(lambda: seen_names(watcher) == {"c"}, within())


def test_a_server_that_has_always_forgotten_is_asked_ever_more_seldom() -> None:
    waits: list[float | None] = []

    class Noted(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            return self.is_set()

    with serving(listing("1", "a"), *[(410, {"message": "too old"}), listing("9", "c")] * 3, (200, [])) as server:
        watcher = Watcher(api_of(server), "x=y", "Job", say=print)
        watcher._is_over = Noted()
        with watcher:
            assert watcher.wait_until(lambda: seen_names(watcher) == {"c"}, within())
            server.await_request(7)
    assert waits[:3] == [0.25, 0.5, 1.0]


def test_a_bookmark_moves_the_version_and_changes_nothing() -> None:
    with serving(listing("1", "a"), (200, [event("BOOKMARK", "", "5")]), (200, [event("ADDED", "b", "6")])) as server:
        with Watcher(api_of(server), "x=y", "Job", say=print) as watcher:
            assert watcher.wait_until(lambda: seen_names(watcher) == {"a", "b"}, within())
        assert server.requests[2][2]["resourceVersion"] == "5"


def test_a_watch_that_breaks_off_goes_on_where_it_was_and_tells_of_a_long_absence() -> None:
    told: list[str] = []
    broken = (200, None)
    with serving(listing("1", "a"), broken, broken, broken, (200, [event("ADDED", "b", "2")])) as server:
        with Watcher(api_of(server), "x=y", "Job", say=told.append) as watcher:
            assert watcher.wait_until(lambda: seen_names(watcher) == {"a", "b"}, within())
    assert len(told) == 2
    assert "does not answer" in told[0]
    assert "answers again" in told[1]


def test_a_watcher_that_is_refused_says_so_to_its_user() -> None:
    refusal = {"message": 'jobs.batch is forbidden: User "eve" cannot watch', "reason": "Forbidden"}
    with serving(listing("1", "a"), (403, refusal)) as server:
        with Watcher(api_of(server), "x=y", "Job", say=print) as watcher:
            with pytest.raises(DeploymentException, match=r'User "eve" cannot watch; ask for a role'):
                watcher.wait(within())


def test_a_wait_ends_at_its_deadline() -> None:
    with serving(listing("1", "a"), (200, [])) as server:
        with Watcher(api_of(server), "x=y", "Job", say=print) as watcher:
            assert not watcher.wait_until(lambda: False, time.monotonic() + 0.05)


def test_a_job_that_was_made_anew_is_not_missed_when_the_end_of_that_is_told_first() -> None:
    job = {
        "kind": "Job",
        "metadata": {"name": "j", "uid": "1", "annotations": {"pypz.io/full-name": "p.o"}},
        "spec": {},
    }
    owner: dict[str, Any] = {"metadata": {"annotations": {"pypz.io/scaling": json.dumps(job)}}}
    with serving(listing("1", "j"), listing("2")) as server:
        watcher = Watcher(api_of(server), "x=y", "ConfigMap", "Job", say=print)
        watcher.objects["ConfigMap"]["p"] = owner
        (gone,) = watcher.workloads
        assert (gone["metadata"]["uid"], server.requests) == ("", [])
        owner["metadata"]["annotations"] = {}
        (to_come,) = watcher.workloads  # the server has it, its watch has not told so yet
        assert to_come["metadata"]["uid"] == ""
        watcher.objects["Job"]["j"] = job
        assert watcher.workloads == [job]
        watcher.objects["Job"].clear()
        assert watcher.workloads == []
        assert len(server.requests) == 1

        owner["metadata"]["annotations"] = {"pypz.io/scaling": json.dumps(job)}
        assert len(watcher.workloads) == 1
        owner["metadata"]["annotations"] = {}
        assert watcher.workloads == []  # the server does not have it either


def test_what_a_busy_server_puts_off_is_sent_again_and_not_for_ever() -> None:
    busy = (429, {"message": "too many requests", "reason": "TooManyRequests"})
    with serving(busy, busy, (201, named("a", "1"))) as server:
        assert api_of(server).create({"kind": "Job"}) == named("a", "1")
        assert [method for method, _, _ in server.requests] == ["POST"] * 3
    with serving(busy) as server:
        with pytest.raises(ApiError, match="too many requests") as caught:
            api_of(server).create({"kind": "Job"})
        assert caught.value.is_passing
        assert len(server.requests) == 1 + BUSY_RETRIES


@pytest.mark.parametrize("page", [b"<html>please log in</html>", b"", b"[]", b"\xff"])
def test_a_page_in_the_servers_place_is_told_as_such(page: bytes) -> None:
    with serving((200, page)) as server:
        with pytest.raises(
            ApiError, match="does not answer as Kubernetes does, but .*: is it the API server, or a proxy"
        ):
            api_of(server).list("Job")
        with pytest.raises(ApiError, match="does not answer as Kubernetes does"):
            api_of(server).dry_run({"kind": "Job"})


def test_what_is_asked_beside_the_watches_is_asked_again_while_the_server_has_trouble() -> None:
    told: list[str] = []
    trouble = (500, {"message": "etcdserver: request timed out"})
    with serving(trouble, (200, None), (200, named("a", "1")), (403, {"message": "no"})) as server:
        watcher, api = Watcher(api_of(server), "x=y", say=told.append), api_of(server)
        assert watcher.ask(lambda: api.get("Job", "a")) == named("a", "1")
        assert len(server.requests) == 3
        assert len(told) == 1
        assert "does not answer" in told[0]
        with pytest.raises(ApiError, match="no"):
            watcher.ask(lambda: api.get("Job", "a"))
        assert len(server.requests) == 4


def test_the_token_of_the_kubeconfig_is_sent_and_never_told() -> None:
    with serving((401, {"message": "Unauthorized"})) as server:
        with pytest.raises(ApiError, match="Unauthorized: .*our token .* is wrong or has expired") as caught:
            api_of(server, token="very-secret").get("Pod", "x")
        assert server.headers[0]["Authorization"] == "Bearer very-secret"
        assert "very-secret" not in str(caught.value)


def test_in_a_pod_the_token_is_read_anew_as_the_cluster_renews_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    class Clock:
        ahead = timedelta()

        @classmethod
        def now(cls) -> datetime:
            return datetime.now() + cls.ahead  # noqa: DTZ005 - as the client compares

    token = tmp_path / "token"
    token.write_text("first")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setattr(incluster_config, "datetime", SimpleNamespace(datetime=Clock, timedelta=timedelta))
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    configuration = load_configuration(None, None, True)
    with serving(*[(200, {"data": {}})] * 2) as server:
        configuration.host = server.url
        api = ClusterApi(configuration, "space")
        for text in ("first", "second"):
            token.write_text(text)
            Clock.ahead += timedelta(hours=1)
            api.get("ConfigMap", "x")
        assert [headers["Authorization"] for headers in server.headers] == ["bearer first", "bearer second"]
        token.unlink()
        Clock.ahead += timedelta(hours=1)
        with pytest.raises(ApiError, match="our token cannot be read anew: .*No such file"):
            api.get("ConfigMap", "x")


def test_an_absent_object_is_none_but_an_absent_namespace_an_error() -> None:
    with serving((404, {"message": 'pods "x" not found', "reason": "NotFound"})) as server:
        assert api_of(server).get("Pod", "x") is None
    absent = {"message": 'namespaces "space" not found', "reason": "NotFound"}
    with serving((404, absent)) as server:
        with pytest.raises(ApiError, match="kubectl create namespace space"):
            api_of(server).create({"kind": "ConfigMap"})


def test_an_answer_that_is_no_json_is_told_as_it_is() -> None:
    with serving((502, ["bad", "gateway"])) as server:
        with pytest.raises(ApiError, match='"bad"\n"gateway"'):
            api_of(server).list("Pod")


def test_no_server_at_the_address_is_an_error_with_address_and_way_out() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    deployer = KubernetesDeployer(config_file=config_for(f"http://127.0.0.1:{port}"))
    words = rf"Kubernetes at http://127\.0\.0\.1:{port} does not answer: .*refused.*kubectl cluster-info"
    with pytest.raises(DeploymentException, match=words) as caught:
        deployer.is_deployed("pipeline")
    assert isinstance(caught.value, PypzError)


def test_no_kubeconfig_and_no_pod_around_us_is_an_error_with_the_way_out(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(
        DeploymentException, match=r"no Kubernetes cluster is known: there is no .*absent.*set KUBECONFIG"
    ):
        KubernetesDeployer().is_deployed("pipeline")


def test_a_kubeconfig_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "config"
    broken.write_text("clusters: [")
    with pytest.raises(DeploymentException, match=r"the kubeconfig .*config cannot be used"):
        KubernetesDeployer(config_file=broken).is_deployed("pipeline")
    with pytest.raises(DeploymentException, match=r"the kubeconfig .*nowhere cannot be used"):
        KubernetesDeployer(config_file=tmp_path / "nowhere").is_deployed("pipeline")


def test_in_a_pod_without_token_the_error_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    with pytest.raises(DeploymentException, match="the service account of this pod cannot be used"):
        KubernetesDeployer().is_deployed("pipeline")


def test_an_unverified_server_is_the_users_own_choice_and_leaves_their_configuration_alone() -> None:
    given = load_configuration(None, config_for("https://localhost:1"), True)
    assert given.verify_ssl
    assert not load_configuration(given, None, False).verify_ssl
    assert given.verify_ssl
    assert load_configuration(given, None, True) is given


def test_making_a_deployer_asks_nothing_of_any_cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "absent"))
    assert repr(KubernetesDeployer(namespace="mine")) == "KubernetesDeployer(namespace='mine')"
