"""Answers health probes over HTTP: ``/live``, ``/ready`` and ``/check``."""

from __future__ import annotations

import dataclasses
import json
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from pypz.executors.operator.health import Health

ALL_ADDRESSES: Final = "0.0.0.0"  # probes come from outside of the container
STOP_TIMEOUT_S: Final = 5.0
"""Seconds that stopping waits for the server's thread (chosen; it looks every half second)."""


class ProbeServer:
    """An HTTP server in a thread of its own.

    ``/check`` is 200 while it is there. ``/live`` and ``/ready`` are 200 or 503 by what ``health`` says, and tell it as JSON.

    Args:
        port: TCP port; 0 for any that is free.
        health: Asked at each probe, in the server's thread.
        name: Of the thread.

    Raises:
        OSError: The port cannot be opened.
        OverflowError: It is no port.
    """

    def __init__(self, port: int, health: Callable[[], Health], name: str) -> None:
        handler = type("Handler", (_Handler,), {"health": staticmethod(health)})
        self._server = ThreadingHTTPServer((ALL_ADDRESSES, port), handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        """The port that is open."""
        return int(self._server.server_address[1])

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(STOP_TIMEOUT_S)


class _Handler(BaseHTTPRequestHandler):
    timeout = 10.0  # seconds; a client that sends nothing must not keep a thread
    health: Callable[[], Health]

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/check":
            self._answer(HTTPStatus.OK, b"OK", "text/plain")
        elif path in ("/live", "/ready"):
            found = type(self).health()
            is_well = found.is_live if path == "/live" else found.is_ready
            text = json.dumps(dataclasses.asdict(found)).encode()
            self._answer(HTTPStatus.OK if is_well else HTTPStatus.SERVICE_UNAVAILABLE, text, "application/json")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"NOT_FOUND", "text/plain")

    def _answer(self, status: HTTPStatus, text: bytes, content_type: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a probe every few seconds is no news."""
