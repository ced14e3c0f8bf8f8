"""A service that answers health probes over HTTP: whether the operator's process lives, and whether it gets on."""

from __future__ import annotations

import os
from typing import Any, ClassVar, Final

from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.plugin import ServicePlugin
from pypz.executors.operator.health import health_of
from pypz.executors.operator.probes import ProbeServer

DEFAULT_PORT: Final = 8081
POD_VARIABLE: Final = "PYPZ_NODE_NAME"
"""Environment variable that the Kubernetes deployer sets in pods."""


class PortInUseError(PypzError, OSError):
    """The port for health probes cannot be opened."""


class HttpHealthCheckPlugin(ServicePlugin):
    """Answers ``GET /check`` with 200 ``OK`` while the operator's services run; ``/live`` and ``/ready`` with 200 or 503.

    ``/live``: the threads go round. ``/ready``: the operator gets on with its work, or waits for records or others. Both tell
    as JSON why not.

    Parameters: ``port`` (8081; 0 takes a free one, see `bound_port`).
    """

    answers_probes: ClassVar[bool] = True
    """Whoever starts the operator need not answer probes itself."""

    port = OptionalParameter(int, description="TCP port on which GET /check, /live and /ready are answered")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = DEFAULT_PORT
        self._server: ProbeServer | None = None

    @property
    def bound_port(self) -> int | None:
        """The port that is open; None while there is none."""
        return None if self._server is None else self._server.port

    def _start_http_server(self) -> None:
        if self._server is not None:
            return
        port = DEFAULT_PORT if self.port is None else self.port
        try:
            self._server = self._make_server(port)
        except OverflowError as error:
            raise ConfigurationError(f"{self.get_full_name()}: port is {port}, expected 0 to 65535") from error
        except OSError as error:
            is_probed = POD_VARIABLE in os.environ
            if port == DEFAULT_PORT and not is_probed:  # several operators of one host
                self.get_logger().info(f"port {port} is taken; probes are answered on any that is free")
                self._server = self._make_server(0)
                return
            raise PortInUseError(
                f"{self.get_full_name()}: port {port} cannot be opened ({error}); set the parameter 'port' to another "
                f"one, or to 0 for any that is free"
            ) from error

    def _make_server(self, port: int) -> ProbeServer:
        operator = self.get_context()
        return ProbeServer(port, lambda: health_of(operator), f"{self.get_full_name()}/http")

    def _stop_http_server(self) -> None:
        server, self._server = self._server, None
        if server is not None:
            server.close()

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
