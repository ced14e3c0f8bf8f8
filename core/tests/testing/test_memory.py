"""The memory transport keeps what the kit asks of every transport."""

from __future__ import annotations

import uuid
from collections.abc import Mapping

import pytest

from pypz.testing import TransportConformance


class TestMemory(TransportConformance):
    @pytest.fixture
    def location(self) -> str:
        return f"memory:{uuid.uuid4().hex}"

    @pytest.fixture
    def tight_options(self) -> Mapping[str, str]:
        return {"max.bytes": "20000"}
