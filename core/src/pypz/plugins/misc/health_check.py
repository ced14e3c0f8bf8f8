"""A service that answers health probes over HTTP: says that the process lives, no more."""

from __future__ import annotations

import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.plugin import ServicePlugin

DEFAULT_PORT: Final = 8081
ALL_ADDRESSES: Final = "0.0.0.0"  # probes come from outside of the container
STOP_TIMEOUT_S: Final = 5.0
"""Seconds that stopping waits for the server's thread (chosen; it looks every half second)."""


class PortInUseError(PypzError, OSError):
    """The port for health probes cannot be opened."""


class HttpHealthCheckPlugin(ServicePlugin):
    """Answers ``GET /check`` with 200 ``OK`` while the operator's services run, anything else with 404 ``NOT_FOUND``.

    Parameters: ``port`` (8081; 0 takes a free one, see `bound_port`).
    """

    port = OptionalParameter(int, description="TCP port on which GET /check is answered")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = DEFAULT_PORT
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None

    @property
    def bound_port(self) -> int | None:
        """The port that is open; None while there is none."""
        return None if self._server is None else int(self._server.server_address[1])

    def _start_http_server(self) -> None:
        if self._server is not None:
            return
        port = DEFAULT_PORT if self.port is None else self.port
        try:
            self._server = ThreadingHTTPServer((ALL_ADDRESSES, port), _CheckHandler)
        except OverflowError as error:
            raise ConfigurationError(f"{self.get_full_name()}: port is {port}, expected 0 to 65535") from error
        except OSError as error:
            raise PortInUseError(
                f"{self.get_full_name()}: port {port} cannot be opened ({error}); set the parameter 'port' to another "
                f"one, or to 0 for any that is free"
            ) from error
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=f"{self.get_full_name()}/http", daemon=True
        )
        self._thread.start()

    def _stop_http_server(self) -> None:
        server, self._server = self._server, None
        thread, self._thread = self._thread, None
        if server is not None:
            server.shutdown()
            server.server_close()
        if thread is not None:
            thread.join(STOP_TIMEOUT_S)

    def _on_service_start(self) -> bool:
        self._start_http_server()
        return True

    def _on_service_shutdown(self) -> bool:
        self._stop_http_server()
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        pass

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass


class _CheckHandler(BaseHTTPRequestHandler):
    timeout = 10.0  # seconds; a client that sends nothing must not keep a thread

    def do_GET(self) -> None:
        if self.path.partition("?")[0] == "/check":
            self._answer(HTTPStatus.OK, b"OK")
        else:
            self._answer(HTTPStatus.NOT_FOUND, b"NOT_FOUND")

    def _answer(self, status: HTTPStatus, text: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *args: Any) -> None:
        """Keep quiet: a probe every few seconds is no news."""
