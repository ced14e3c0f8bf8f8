"""For each promise of the codec kit a codec that breaks it: JSON lines, but for one fault."""

from __future__ import annotations

import random
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from core.tests.testing.twins import twin_classes

from pypz.core.codecs.json import JsonCodec
from pypz.core.commons.errors import DecodeError, RecordError, SchemaError
from pypz.testing import CodecConformance

Decoder = Callable[[bytes], list[Any]]


class TakesFields(JsonCodec):
    def encode(self, records: Sequence[Any]) -> bytes:
        payload = super().encode(records)
        for record in records:
            if isinstance(record, dict):
                record.pop("text", None)
        return payload


class LosesTheLastPart(JsonCodec):
    def join(self, parts: Sequence[bytes]) -> bytes:
        return b"".join(parts[:2])


class LeavesOutTheUnfit(JsonCodec):
    def encode(self, records: Sequence[Any]) -> bytes:
        fit = []
        for record in records:
            try:
                super().encode([record])
                fit.append(record)
            except RecordError:
                pass
        return super().encode(fit)


class NamesItselfAtRandom(JsonCodec):
    def __getattribute__(self, name: str) -> Any:
        return uuid.uuid4().hex if name == "fingerprint" else super().__getattribute__(name)


class KnowsOnlyItsOwnText(JsonCodec):
    def __init__(self) -> None:
        self._dictionary = random.Random(id(self)).randbytes(4)

    def join(self, parts: Sequence[bytes]) -> bytes:
        return self._dictionary + super().join(parts)

    def decoder(self, writer_schema: str) -> Decoder:
        inner = super().decoder(writer_schema)

        def decode(payload: bytes) -> list[Any]:
            if payload[:4] != self._dictionary:
                raise DecodeError("another dictionary")
            return inner(payload[4:])

        return decode


class RaisesWhatItMeets(JsonCodec):
    def decoder(self, writer_schema: str) -> Decoder:
        import json

        super().decoder(writer_schema)
        return lambda payload: [json.loads(line) for line in payload.decode().splitlines() if line]


class ResolvesLate(JsonCodec):
    def decoder(self, writer_schema: str) -> Decoder:
        try:
            return super().decoder(writer_schema)
        except SchemaError as error:
            late = error

        def decode(payload: bytes) -> list[Any]:
            raise late

        return decode

    record_decoder = decoder


class SharesABuffer(JsonCodec):
    def __init__(self) -> None:
        self._lines: list[bytes] = []

    def encode(self, records: Sequence[Any]) -> bytes:
        self._lines = []
        for record in records:
            self._lines.append(super().encode([record]))
            time.sleep(0)  # another thread's turn
        found = b"".join(self._lines)
        self._lines = []
        return found


class PutsAllIntoOneMessage(JsonCodec):
    def encode_each(self, records: Sequence[Any]) -> list[bytes]:
        return [b"\n".join(super().encode_each(records))]


FAULTY: dict[int, type[JsonCodec]] = {
    1: TakesFields,
    2: LosesTheLastPart,
    3: LeavesOutTheUnfit,
    4: NamesItselfAtRandom,
    5: KnowsOnlyItsOwnText,
    6: RaisesWhatItMeets,
    7: ResolvesLate,
    8: SharesABuffer,
    9: PutsAllIntoOneMessage,
}


def fixtures_of(fault: Any) -> dict[str, Any]:
    @pytest.fixture
    def make_codec(self: Any) -> Any:
        return fault

    @pytest.fixture
    def records(self: Any) -> list[Any]:
        return [{"text": "Größe", "number": 1}, {"inner": [1, 2.5, None]}, "a text", [True]]

    @pytest.fixture
    def unfit_record(self: Any) -> Any:
        return {"raw": b"bytes"}

    @pytest.fixture
    def foreign_schema(self: Any) -> str:
        return '{"type": "string"}'

    return {fixture.__name__: fixture for fixture in (make_codec, records, unfit_record, foreign_schema)}


globals().update(twin_classes(CodecConformance, FAULTY, fixtures_of))
globals()["TestTwin00"] = type("TestTwin00", (CodecConformance,), fixtures_of(JsonCodec))
