"""The faulty twins of the transport kit, as test classes; `test_twins` runs them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from core.tests.testing.faulty_transports import FAULTY
from core.tests.testing.twins import PATIENCE_S, twin_classes
from pypz.core.channels.memory import MemoryTransport
from pypz.core.channels.spi import Transport
from pypz.testing import TransportConformance


def fixtures_of(fault: Any) -> dict[str, Any]:
    @pytest.fixture
    def location(self: Any) -> str:
        return f"memory:{uuid.uuid4().hex}"

    @pytest.fixture
    def make_transport(self: Any, location: str) -> Callable[[Mapping[str, str]], Transport]:
        kept: dict[str, Any] = {}
        return lambda options: fault(MemoryTransport(location.removeprefix("memory:"), options), kept)

    @pytest.fixture
    def tight_options(self: Any) -> Mapping[str, str]:
        return {"max.bytes": "20000"}

    @pytest.fixture
    def patience_s(self: Any) -> float:
        return PATIENCE_S

    return {fixture.__name__: fixture for fixture in (location, make_transport, tight_options, patience_s)}


globals().update(twin_classes(TransportConformance, FAULTY, fixtures_of))
