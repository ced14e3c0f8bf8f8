"""The health check answers while services run, and leaves nothing open."""

from __future__ import annotations

import socket
import threading
from http.client import HTTPConnection
from typing import Any

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor
from pypz.plugins.misc.health_check import HttpHealthCheckPlugin


class Healthy(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.health_check = HttpHealthCheckPlugin()


class Demo(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.op = Healthy()


@pytest.fixture
def plugin() -> Any:
    made = Demo("demo").op.health_check
    made.set_parameter("port", 0)
    yield made
    made._on_service_shutdown()


def ask(port: int | None, path: str) -> tuple[int, bytes]:
    assert port is not None
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def test_check_is_answered_with_ok_and_anything_else_with_not_found(plugin: Any, capfd: Any) -> None:
    assert plugin._on_service_start() is True
    assert ask(plugin.bound_port, "/check") == (200, b"OK")
    assert ask(plugin.bound_port, "/check?verbose=1") == (200, b"OK")
    assert ask(plugin.bound_port, "/") == (404, b"NOT_FOUND")
    assert capfd.readouterr() == ("", "")


def test_it_can_be_started_twice_and_stopped_twice(plugin: Any) -> None:
    assert plugin._on_service_start() is True
    port = plugin.bound_port
    assert plugin._on_service_start() is True
    assert plugin.bound_port == port
    assert plugin._on_service_shutdown() is True
    assert plugin._on_service_shutdown() is True
    assert plugin.bound_port is None
    with pytest.raises(ConnectionRefusedError):
        ask(port, "/check")
    assert not [t for t in threading.enumerate() if t.name.startswith("demo.op.health_check")]


def test_the_port_is_8081_unless_told_otherwise() -> None:
    assert Demo("demo").op.health_check.get_parameter("port") == 8081


def test_a_port_that_is_taken_is_named_with_the_way_out(plugin: Any) -> None:
    with socket.create_server(("0.0.0.0", 0)) as taken:
        plugin.set_parameter("port", taken.getsockname()[1])
        with pytest.raises(
            OSError, match=r"demo\.op\.health_check: port \d+ cannot be opened .*set the parameter"
        ) as e:
            plugin._on_service_start()
    assert isinstance(e.value, PypzError)


def test_a_port_that_is_none_is_refused(plugin: Any) -> None:
    plugin.set_parameter("port", 70_000)
    with pytest.raises(ValueError, match="port is 70000, expected 0 to 65535"):
        plugin._on_service_start()


def test_it_lives_as_long_as_the_operators_services(host: Any, plugin: Any) -> None:
    operator = plugin.get_context()
    seen: list[tuple[int, bytes]] = []

    def running() -> bool:
        seen.append(ask(plugin.bound_port, "/check"))
        return True

    object.__setattr__(operator, "_on_running", running)
    assert OperatorExecutor(operator, host=host).execute() == 0
    assert seen == [(200, b"OK")]
    assert plugin.bound_port is None


@pytest.fixture
def host() -> Any:
    from pypz.core.hooks.host import PluginHost

    made = PluginHost(load=False)
    yield made
    made.close()
