"""Records as JSON lines, for ports without a schema: whatever JSON can hold, one record a line.

What would come back as something else is refused: keys that are no text, not-a-number, infinity. Tuples come back as
lists.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Final

from pypz.core.codecs.spi import Decoder
from pypz.core.commons.errors import DecodeError, RecordError, SchemaError

SCHEMA_TEXT: Final = "json"
"""Stands for the schema that there is not."""

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class JsonCodec:
    """Codec of JSON lines."""

    content_type: Final = "json"
    schema_text: Final = SCHEMA_TEXT
    fingerprint: Final = "json"

    def encode(self, records: Sequence[Any]) -> bytes:
        """Encode records as lines; all or none.

        Raises:
            RecordError: JSON cannot hold a record; tells its place in the list and the field.
        """
        return b"".join([line + b"\n" for line in self.encode_each(records)])

    def encode_each(self, records: Sequence[Any]) -> list[bytes]:
        """Encode each record as a JSON document in UTF-8; all or none.

        Raises:
            RecordError: JSON cannot hold a record; tells its place in the list and the field.
        """
        documents = []
        for place, record in enumerate(records):
            try:
                document = _encode(record).encode()
                _check_keys(record)
            except (TypeError, ValueError, RecursionError, RecordError) as error:
                fault = _find_fault(record, "record", 0) or str(error)
                raise RecordError(f"cannot be sent as JSON: {fault}", place) from error
            documents.append(document)
        return documents

    def join(self, parts: Sequence[bytes]) -> bytes:
        """Put parts behind one another."""
        return b"".join(parts)

    def decoder(self, writer_schema: str) -> Decoder:
        """Give what decodes payloads of JSON lines.

        Raises:
            SchemaError: The writer had a schema.
        """
        _refuse_schema(writer_schema)
        return _decode

    def record_decoder(self, writer_schema: str) -> Decoder:
        """Give what decodes single JSON documents.

        Raises:
            SchemaError: The writer had a schema.
        """
        _refuse_schema(writer_schema)
        return _decode_document


def _refuse_schema(writer_schema: str) -> None:
    if writer_schema != SCHEMA_TEXT:
        raise SchemaError(
            "the writer's port has a schema, the reader's has none (JSON); give both ports the same schema, or none"
        )


def _decode_document(payload: bytes) -> list[Any]:
    try:
        return [json.loads(payload)]
    except (ValueError, RecursionError) as error:
        raise DecodeError(f"a message of {len(payload)} bytes is no JSON document: {error}") from error


def _decode(payload: bytes) -> list[Any]:
    records = []
    for number, line in enumerate(payload.split(b"\n")):
        if line:
            try:
                records.append(json.loads(line))
            except (ValueError, RecursionError) as error:
                raise DecodeError(f"line {number} of a block of JSON lines is corrupt: {error}") from error
    return records


def _check_keys(value: Any) -> None:
    """Refuse keys that JSON would turn into text on the way."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                raise RecordError("keys must be text")
            if isinstance(inner, dict | list | tuple):
                _check_keys(inner)
    elif isinstance(value, list | tuple):
        for inner in value:
            if isinstance(inner, dict | list | tuple):
                _check_keys(inner)


def _find_fault(value: Any, path: str, depth: int) -> str | None:
    """Say which field is at fault and why; None when none is found."""
    if depth > 100:
        return f"{path[:80]}... is nested more than 100 levels deep, or contains itself"
    if isinstance(value, dict):
        for key, inner in value.items():
            if not isinstance(key, str):
                return f"{path} has the key {key!r} of type {type(key).__name__}; keys must be text"
            if (fault := _find_fault(inner, f"{path}[{key!r}]", depth + 1)) is not None:
                return fault
        return None
    if isinstance(value, list | tuple):
        faults = (_find_fault(inner, f"{path}[{place}]", depth + 1) for place, inner in enumerate(value))
        return next((fault for fault in faults if fault is not None), None)
    if value is None or isinstance(value, bool | int | float | str):
        try:
            _encode(value).encode()
        except ValueError as error:
            shown = "a number of too many digits" if isinstance(value, int) else repr(value)
            return f"{path} is {shown}: {error}"
        return None
    return f"{path} is of type {type(value).__name__}; JSON holds text, numbers, true, false, null, lists and dicts"
