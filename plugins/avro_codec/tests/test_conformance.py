"""The Avro codec keeps what the kit asks of every codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pypz.plugins.avro_codec.codec import AvroCodec
from pypz.testing import CodecConformance

SCHEMA: dict[str, Any] = {
    "type": "record",
    "name": "Order",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "count", "type": "long"},
        {"name": "parts", "type": {"type": "array", "items": "double"}},
    ],
}


class TestAvro(CodecConformance):
    @pytest.fixture
    def make_codec(self) -> Callable[[], AvroCodec]:
        return lambda: AvroCodec(SCHEMA)

    @pytest.fixture
    def records(self) -> list[Any]:
        return [{"text": f"Größe {number}", "count": number, "parts": [0.5] * number} for number in range(4)]

    @pytest.fixture
    def unfit_record(self) -> Any:
        return {"text": "Größe", "count": "many", "parts": []}

    @pytest.fixture
    def foreign_schema(self) -> str:
        return '{"type": "record", "name": "Order", "fields": [{"name": "other", "type": "string"}]}'
