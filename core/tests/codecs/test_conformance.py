"""The JSON codec keeps what the kit asks of every codec."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pypz.core.codecs.json import JsonCodec
from pypz.testing import CodecConformance


class TestJson(CodecConformance):
    @pytest.fixture
    def make_codec(self) -> Callable[[], JsonCodec]:
        return JsonCodec

    @pytest.fixture
    def records(self) -> list[Any]:
        return [{"text": "Größe", "number": 1}, {"inner": [1, 2.5, None]}, "a text", [True]]

    @pytest.fixture
    def unfit_record(self) -> Any:
        return {"raw": b"bytes"}

    @pytest.fixture
    def foreign_schema(self) -> str:
        return '{"type": "string"}'
