"""The memory transport keeps what the kit asks of every transport."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import pytest
from core.tests.testing.retaining import RetainingTransport, forget_before, out_of_order

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import Transport
from pypz.testing import TransportConformance
from pypz.testing.transport.base import ForgetRead


class TestMemory(TransportConformance):
    @pytest.fixture
    def location(self) -> str:
        return f"memory:{uuid.uuid4().hex}"

    @pytest.fixture
    def tight_options(self) -> Mapping[str, str]:
        return {"max.bytes": "20000"}


class TestRetainingMemory(TestMemory):
    """With what memory has not, so that each test of the kit is seen to pass where its twin is refused."""

    @pytest.fixture
    def kept(self) -> dict[str, Any]:
        return {}

    @pytest.fixture
    def make_transport(self, location: str, kept: dict[str, Any]) -> Callable[[Mapping[str, str]], Transport]:
        return lambda options: RetainingTransport(MemoryTransport(location.removeprefix("memory:"), options), kept)

    @pytest.fixture
    def forget_read(self, kept: dict[str, Any]) -> ForgetRead:
        return partial(forget_before, kept)

    @pytest.fixture
    def outage(self, kept: dict[str, Any]) -> Callable[[], AbstractContextManager[None]]:
        return partial(out_of_order, kept)
