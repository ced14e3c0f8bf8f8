"""The few requests to a Kubernetes API server that deployments need; objects are plain JSON values.

Where the server is, who we are and whom we trust comes from the official client's configuration; so do the connections.
Only the client's parts that have stayed the same over its releases are used, not its generated classes.
"""

from __future__ import annotations

import contextlib
import copy
import json
import re
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import quote, urlencode

from pypz.utils.k8s.errors import DeploymentException

if TYPE_CHECKING:
    import urllib3
    from kubernetes.client import Configuration

Manifest = dict[str, Any]
"""An object of the cluster as JSON gives it; its fields are the Kubernetes API's."""

CONNECT_TIMEOUT_S: Final = 10.0
"""Chosen: a server that does not take a connection within this time is told as absent."""
READ_TIMEOUT_S: Final = 60.0
"""The server's own bound for requests that are no watches (kube-apiserver --request-timeout)."""
KEEPALIVE: Final = (10, 5, 3)
"""A connection on which nothing came for so many seconds is asked whether the other side is there, again after so many, so often,
by the kernels of both sides: a line that was cut silently is noticed after 25 s, also where a request was sent into it. Chosen."""
CONNECT_RETRIES: Final = 2
BUSY_RETRIES: Final = 5
"""Times that a request is sent again which the server has put off (429: it has done nothing). Chosen."""
LONGEST_PUT_OFF_S: Final = 10.0
"""Seconds that one such request waits at most; a server says 1 as a rule. Chosen."""
FIELD_MANAGER: Final = "pypz"
"""Whose the fields are that we set (server-side apply)."""

_PATHS: Final = {
    "ConfigMap": ("/api/v1", "configmaps"),
    "Deployment": ("/apis/apps/v1", "deployments"),
    "Event": ("/api/v1", "events"),
    "Job": ("/apis/batch/v1", "jobs"),
    "Pod": ("/api/v1", "pods"),
    "Secret": ("/api/v1", "secrets"),
}


class ApiError(DeploymentException):
    """The server refused a request, or could not be reached.

    Attributes:
        status: HTTP status; 0 when there was no answer.
        reason: The server's word for it, such as ``AlreadyExists``.
        causes: Fields of the object that it refused, each with what is wrong.
    """

    def __init__(
        self, message: str, *, status: int = 0, reason: str = "", causes: Sequence[tuple[str, str]] = ()
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.causes = tuple(causes)

    @property
    def is_passing(self) -> bool:
        """Whether it may be over soon: no answer came, or the server has trouble of its own. What was asked for may be done."""
        return self.status in (0, 429) or self.status >= 500


class Listing(NamedTuple):
    """Objects as they were at one version of the cluster."""

    items: list[Manifest]
    version: str


class WatchStream:
    """Changes as the server tells them: pairs of what happened (``ADDED``, ``BOOKMARK``, ``ERROR``...) and the object."""

    def __init__(self, response: urllib3.BaseHTTPResponse, where: str) -> None:
        self._response = response
        self._where = where

    def __iter__(self) -> Iterator[tuple[str, Manifest]]:
        from urllib3.exceptions import HTTPError

        rest = b""
        try:
            for chunk in self._response.stream(None, decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        event = json.loads(line)
                        yield event["type"], event["object"]
        except (HTTPError, OSError, ValueError) as error:
            raise ApiError(f"{self._where}: the watch broke off: {error}") from error

    def end(self) -> None:
        """Make the iteration end soon; from any thread."""
        connection = getattr(self._response, "connection", None)
        sock = getattr(connection, "sock", None)
        with contextlib.suppress(OSError):
            if isinstance(sock, socket.socket):
                # Not ssl.SSLSocket.shutdown: it drops the TLS layer, and the reader would go on with encrypted bytes.
                socket.socket.shutdown(sock, socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of the connection; by the thread that iterates."""
        self._response.close()


class ClusterApi:
    """One namespace of one cluster."""

    def __init__(self, configuration: Configuration, namespace: str) -> None:
        from kubernetes.client.rest import RESTClientObject

        self.namespace = namespace
        self.server = str(configuration.host).rstrip("/")
        self._configuration = configuration
        if getattr(configuration, "socket_options", None) is None:
            configuration = copy.copy(configuration)
            configuration.socket_options = _socket_options()
        self._pool: urllib3.PoolManager = RESTClientObject(configuration).pool_manager

    def create(self, manifest: Manifest) -> Manifest:
        """Create an object, its fields managed by pypz, and give it as the server keeps it."""
        query = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER}
        return self._json("POST", self._path(manifest["kind"]), body=manifest, query=query)

    def dry_run(self, manifest: Manifest) -> tuple[Manifest, list[str]]:
        """Ask what `create` would make, defaults filled in; nothing is made. Also gives the server's warnings."""
        query = {"fieldValidation": "Strict", "fieldManager": FIELD_MANAGER, "dryRun": "All"}
        answer = self._send("POST", self._path(manifest["kind"]), body=manifest, query=query)
        # 299 - "text" (RFC 7234, as the server writes it)
        warnings = [w.partition('"')[2].removesuffix('"') for w in answer.headers.getlist("Warning")]
        return self._object(answer.data), [w.replace('\\"', '"') for w in warnings]

    def check_may_create(self, manifest: Manifest) -> None:
        """Ask by a dry run whether we have the right to make an object that is about to take another one's place.

        Raises:
            ApiError: We have not; all else that speaks against it may be over once the other one is gone.
        """
        try:
            self.dry_run(manifest)
        except ApiError as error:
            if error.status == 403 and " cannot " in str(error):
                raise

    def get(self, kind: str, name: str) -> Manifest | None:
        """Read an object; None when it does not exist."""
        try:
            return self._json("GET", self._path(kind, name))
        except ApiError as error:
            if error.status == 404 and error.reason == "NotFound" and not self._is_namespace_missing(error):
                return None
            raise

    def list(self, kind: str, selector: str = "", fields: str = "") -> Listing:
        """List objects by their labels and fields."""
        query = {"labelSelector": selector, "fieldSelector": fields}
        answer = self._json("GET", self._path(kind), query={k: v for k, v in query.items() if v})
        # Items of a list come without their kind.
        return Listing([{**item, "kind": kind} for item in answer["items"]], answer["metadata"]["resourceVersion"])

    def watch(self, kind: str, selector: str, fields: str = "", *, version: str, timeout_s: int) -> WatchStream:
        """Follow objects by their labels and fields from one version of the cluster on.

        Args:
            kind: Kind of object.
            selector: Labels.
            fields: Fields.
            version: Version of a `list` or of the last object seen.
            timeout_s: Seconds after which the server ends the stream.
        """
        query = {
            "watch": "true",
            "labelSelector": selector,
            "fieldSelector": fields,
            "resourceVersion": version,
            "timeoutSeconds": str(timeout_s),
            "allowWatchBookmarks": "true",
        }
        query = {name: value for name, value in query.items() if value}
        response = self._send("GET", self._path(kind), query=query, read_timeout_s=timeout_s + CONNECT_TIMEOUT_S)
        return WatchStream(response, self._place())

    def patch(self, kind: str, name: str, change: Manifest) -> Manifest:
        """Change the fields of an object that ``change`` has (JSON merge patch)."""
        query = {"fieldManager": FIELD_MANAGER}
        kind_of_patch = "application/merge-patch+json"
        return self._json("PATCH", self._path(kind, name), query=query, body=change, content_type=kind_of_patch)

    def delete(
        self, kind: str, name: str, *, grace_s: int | None = None, propagation: str = "Foreground", uid: str = ""
    ) -> bool:
        """Delete an object, its dependents first.

        Args:
            kind: Kind of object.
            name: Its name.
            grace_s: Seconds that a pod gets to end; None for its own.
            propagation: Which of its dependents go before it.
            uid: Delete only the very object of this id; empty for whichever has the name.

        Returns:
            False when there is none.
        """
        options: Manifest = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": propagation}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        try:
            self._json("DELETE", self._path(kind, name), body=options)
        except ApiError as error:
            if error.status in (404, 409):  # gone, or another one by now
                return False
            raise
        return True

    def read_log(self, pod: str, options: Mapping[str, str]) -> str | None:
        """Read a pod's log; None when there is no such pod, or it has not started."""
        try:
            timeout_s = None if options.get("follow") == "true" else READ_TIMEOUT_S
            path = f"{self._path('Pod', pod)}/log"
            answer = self._send("GET", path, query=options, read_timeout_s=timeout_s)
        except ApiError as error:
            if error.status == 404 or _has_not_started(error):
                return None
            raise
        return answer.data.decode(errors="replace")

    def stream_log(self, pod: str, options: Mapping[str, str]) -> Iterator[str]:
        """Give a pod's log line by line as it comes; nothing when there is no such pod, or it has not started."""
        from urllib3.exceptions import HTTPError

        path = f"{self._path('Pod', pod)}/log"
        try:
            answer = self._send("GET", path, query=options, read_timeout_s=None)
        except ApiError as error:
            if error.status == 404 or _has_not_started(error):
                return
            raise
        rest = b""
        try:
            for chunk in answer.stream(None, decode_content=False):
                *lines, rest = (rest + chunk).split(b"\n")
                yield from (line.decode(errors="replace") for line in lines)
        except (HTTPError, OSError) as error:
            raise ApiError(f"{self._place()}: the log of pod {pod} broke off: {error}") from error
        finally:
            answer.close()
        if rest:
            yield rest.decode(errors="replace")

    def version(self) -> tuple[int, int] | None:
        """Major and minor version of the server; None when it does not tell us."""
        try:
            found = self._json("GET", "/version")
        except ApiError as error:
            if error.status in (401, 403, 404):
                return None
            raise
        numbers = [re.match(r"\d+", str(found.get(key, ""))) for key in ("major", "minor")]
        major, minor = (None if n is None else int(n[0]) for n in numbers)
        return None if major is None or minor is None else (major, minor)

    def _path(self, kind: str, name: str = "") -> str:
        base, plural = _PATHS[kind]
        path = f"{base}/namespaces/{quote(self.namespace, safe='')}/{plural}"
        return f"{path}/{quote(name, safe='')}" if name else path

    def _json(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
    ) -> Manifest:
        answer = self._send(method, path, query=query, body=body, content_type=content_type)
        return self._object(answer.data)

    def _object(self, data: bytes) -> Manifest:
        """Read an object; what is none comes from something else that answers in the server's place."""
        try:
            found: Manifest = json.loads(data)
        except ValueError:
            found = {}
        if isinstance(found, dict) and found:
            return found
        shown = data[:80].decode(errors="replace").strip()
        raise ApiError(
            f"{self._place()} does not answer as Kubernetes does, but {shown!r}: is it the API server, or a proxy or login page "
            "in between? `kubectl cluster-info` shows what the kubeconfig in use says"
        )

    def _send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Manifest | None = None,
        content_type: str = "application/json",
        read_timeout_s: float | None = READ_TIMEOUT_S,
    ) -> urllib3.BaseHTTPResponse:
        import urllib3

        url = f"{self.server}{path}" + (f"?{urlencode(query)}" if query else "")
        headers = {"Accept": "application/json", "User-Agent": "pypz", **self._who_we_are()}
        if body is not None:
            headers["Content-Type"] = content_type
        request = partial(
            self._pool.request,
            method,
            url,
            headers=headers,
            body=None if body is None else json.dumps(body).encode(),
            preload_content=False,
            timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s),
            retries=urllib3.Retry(
                total=None, connect=CONNECT_RETRIES, read=0, redirect=0, status=0, other=0, backoff_factor=0.1
            ),
        )
        try:
            answer = request()
            for _ in range(BUSY_RETRIES):
                put_off_s = _put_off_s(answer)
                if put_off_s is None:
                    break
                answer.read()
                time.sleep(put_off_s)
                answer = request()
            if answer.status >= 400:
                raise self._refusal(answer.status, answer.data)
        except (urllib3.exceptions.HTTPError, OSError) as error:
            cause = getattr(error, "reason", None) or error
            if isinstance(cause, urllib3.exceptions.SSLError):
                raise ApiError(
                    f"{self._place()} cannot be trusted: {cause}; 'certificate-authority' or 'certificate-authority-data' of "
                    "the kubeconfig must hold the authority that signed the cluster's certificate, and its 'server' a name "
                    "that the certificate is for"
                ) from error
            raise ApiError(
                f"{self._place()} does not answer: {cause}; is the cluster running, and is it the one meant? "
                "`kubectl cluster-info` shows what the kubeconfig in use says"
            ) from error
        return answer

    def _who_we_are(self) -> dict[str, str]:
        from kubernetes.config import ConfigException

        try:
            token = self._configuration.auth_settings().get("BearerToken")  # a pod's is read anew when it is due
        except (OSError, ConfigException) as error:
            raise ApiError(f"{self._place()}: our token cannot be read anew: {error}") from error
        return {"Authorization": str(token["value"])} if token and token["value"] else {}

    def _refusal(self, status: int, data: bytes) -> ApiError:
        try:
            told = json.loads(data)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            told = {"message": data[:500].decode(errors="replace").strip()}
        message = told.get("message") or f"HTTP status {status}"
        causes = (told.get("details") or {}).get("causes") or []
        hint = {
            401: ": it does not know who we are, since our token or certificate is wrong or has expired; renew it where you got "
            "it, or name another --context (KubernetesDeployer(context=...))",
            403: f"; ask for a role that allows it: `pypz render --rbac --namespace {self.namespace}` prints one with the "
            "rights that deploying needs",
        }.get(status, "")
        if status == 403 and " cannot " not in message:  # no right is missing: a quota, an admission
            hint = ""
        elif status == 403 and "system:anonymous" in message:
            hint = "; we have not told who we are: the user of the kubeconfig's context has no credentials"
        error = ApiError(
            f"{self._place()}: {message}{hint}",
            status=status,
            reason=str(told.get("reason", "")),
            causes=[(str(c["field"]), str(c.get("message", ""))) for c in causes if c.get("field")],
        )
        if self._is_namespace_missing(error):
            text = (
                f"{self._place()} has no namespace {self.namespace!r}; `kubectl create namespace {self.namespace}` "
                "makes it, KubernetesDeployer(namespace=...) names another"
            )
            error.args = (text,)
        return error

    def _is_namespace_missing(self, error: ApiError) -> bool:
        texts = (f'namespaces "{self.namespace}" not found', "has no namespace")
        return error.status == 404 and any(text in str(error) for text in texts)

    def _place(self) -> str:
        return f"Kubernetes at {self.server}"


def _has_not_started(error: ApiError) -> bool:
    """Whether there is no log because its container waits to be started."""
    return error.status == 400 and "is waiting to start" in str(error)


def _put_off_s(answer: urllib3.BaseHTTPResponse) -> float | None:
    """Seconds after which the server wants to be asked again, having done nothing; None when it has answered."""
    told = answer.headers.get("Retry-After", "") if answer.status == 429 else ""
    return min(float(told), LONGEST_PUT_OFF_S) if told.isdecimal() else None


def _socket_options() -> list[tuple[int, int, int]]:
    """Options of our connections, as far as the system has them."""
    tcp = socket.IPPROTO_TCP
    idle_s, interval_s, count = KEEPALIVE
    wanted = {
        "TCP_KEEPIDLE": idle_s,
        "TCP_KEEPINTVL": interval_s,
        "TCP_KEEPCNT": count,
        "TCP_USER_TIMEOUT": 1000 * (idle_s + interval_s * count),  # ms: while a request is on the way, nobody asks
    }
    found = [(tcp, getattr(socket, name), value) for name, value in wanted.items() if hasattr(socket, name)]
    return [(tcp, socket.TCP_NODELAY, 1), (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *found]
