"""The faulty twins of the transport kit, as test classes; `test_twins` runs them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
from core.tests.testing.faulty_transports import FAULTY
from core.tests.testing.retaining import forget_before, out_of_order
from core.tests.testing.twins import PATIENCE_S, twin_classes

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import Transport
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.testing import TransportConformance
from pypz.testing.transport.base import ForgetRead


class FaultyPlugin:
    """Answers for memory: with the faulty transport."""

    def __init__(self, make: Callable[[Mapping[str, str]], Transport]) -> None:
        self._make = make

    @hookimpl
    def pypz_make_transport(self, location: str, options: Mapping[str, str]) -> Transport | None:
        return self._make(options) if location.startswith("memory:") else None


def fixtures_of(fault: Any) -> dict[str, Any]:
    @pytest.fixture
    def location(self: Any) -> str:
        return f"memory:{uuid.uuid4().hex}"

    @pytest.fixture
    def make_transport(self: Any, location: str, kept: dict[str, Any]) -> Callable[[Mapping[str, str]], Transport]:
        return lambda options: fault(MemoryTransport(location.removeprefix("memory:"), options), kept)

    @pytest.fixture
    def plugin_host(self: Any, make_transport: Callable[[Mapping[str, str]], Transport]) -> Iterator[PluginHost]:
        host = PluginHost()
        host.register(FaultyPlugin(make_transport), "faulty")
        yield host
        host.close()

    @pytest.fixture
    def kept(self: Any) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def forget_read(self: Any, kept: dict[str, Any]) -> ForgetRead:
        return partial(forget_before, kept)

    @pytest.fixture
    def outage(self: Any, kept: dict[str, Any]) -> Callable[[], AbstractContextManager[None]]:
        return partial(out_of_order, kept)

    @pytest.fixture
    def open_close_cycles(self: Any) -> int:
        return 20

    @pytest.fixture
    def tight_options(self: Any) -> Mapping[str, str]:
        return {"max.bytes": "20000"}

    @pytest.fixture
    def patience_s(self: Any) -> float:
        return PATIENCE_S

    own = (
        location,
        make_transport,
        plugin_host,
        kept,
        forget_read,
        outage,
        open_close_cycles,
        tight_options,
        patience_s,
    )
    return {fixture.__name__: fixture for fixture in own}


globals().update(twin_classes(TransportConformance, FAULTY, fixtures_of))
