"""Records of one Avro schema: many of them are one Avro array, so that a block's payload is a valid datum by itself."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Final

from fastavro import schemaless_reader, schemaless_writer

from pypz.core.codecs.spi import Decoder
from pypz.core.commons.errors import DecodeError, RecordError
from pypz.plugins.avro_codec.bounds import OUT_OF_NOTHING, Check, check_for
from pypz.plugins.avro_codec.checking import fault_of, quick_check
from pypz.plugins.avro_codec.resolution import check as check_resolution
from pypz.plugins.avro_codec.schema import ParsedSchema

END_OF_ARRAY: Final = b"\x00"
"""Avro: an array is a series of blocks, each a count and its items; a count of 0 ends it."""

ONE_ITEM: Final = b"\x02"
"""Avro: the count 1 before the items of a block of an array."""

FAULTS: Final = (
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    OverflowError,
    IndexError,
    ArithmeticError,
    RecursionError,
    EOFError,
    MemoryError,
)
"""What fastavro raises for data that do not fit (its own errors are ValueErrors)."""


class AvroCodec:
    """Codec of one Avro schema; what `encode` gives is one block of an Avro array, `join` ends the array."""

    content_type: Final = "avro"

    def __init__(self, schema: Any) -> None:
        """Parse the schema.

        Args:
            schema: JSON text, or the dict, list or type name that it stands for.

        Raises:
            SchemaError: It cannot be parsed.
        """
        self._schema = ParsedSchema(schema)
        self._array = self._schema.array
        self._item = self._schema.item
        self._fit = quick_check(self._schema)
        self._check_one = check_for(self._schema, is_single=True, is_ours=True)
        self._check_many = check_for(self._schema, is_single=False, is_ours=True)
        self._decoders: dict[tuple[str, bool], Decoder] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"AvroCodec({self.fingerprint})"

    @property
    def schema_text(self) -> str:
        """The schema in its normal form: with defaults and aliases, without documentation."""
        return self._schema.text

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits; the same for schemas that differ in layout and documentation only."""
        return self._schema.fingerprint

    def encode(self, records: Sequence[Any]) -> bytes:
        """Encode records as one part of a block; all or none.

        Raises:
            RecordError: A record does not fit; has its place in the list and names the field, its value and what fits.
        """
        if not records:
            return b""
        self._refuse_unsure(records)
        into = BytesIO()
        try:
            if len(records) == 1:  # saves a third of the time
                schemaless_writer(into, self._item, records[0])
                if self._check_one is not None:
                    self._refuse_bloated(into.getvalue())
                return ONE_ITEM + into.getvalue()
            schemaless_writer(into, self._array, records)
        except FAULTS as error:
            raise self._refused(records, error) from error
        if self._check_many is not None:
            self._refuse_bloated_of(records, into.getvalue())
        return into.getvalue()[:-1]

    def encode_each(self, records: Sequence[Any]) -> list[bytes]:
        """Encode each record as one Avro datum; all or none.

        Raises:
            RecordError: A record does not fit; has its place in the list and names the field, its value and what fits.
        """
        self._refuse_unsure(records)
        found = []
        try:
            for record in records:
                into = BytesIO()
                schemaless_writer(into, self._item, record)
                found.append(into.getvalue())
                if self._check_one is not None:
                    self._refuse_bloated(into.getvalue(), len(found) - 1)
        except FAULTS as error:
            raise self._refused(records, error) from error
        return found

    def join(self, parts: Sequence[bytes]) -> bytes:
        """Make an Avro array of the parts.

        Raises:
            RecordError: Decoders would refuse it; some of the parts may be taken.
        """
        payload = b"".join((*parts, END_OF_ARRAY))
        if self._check_many is not None and len(parts) > 1 and not _is_taken(self._check_many, payload):
            raise RecordError(f"a block of {len(parts)} parts would hold more than {OUT_OF_NOTHING}")
        return payload

    def decoder(self, writer_schema: str) -> Decoder:
        """Give what decodes payloads of ``writer_schema`` into records of this schema.

        Raises:
            SchemaError: The two cannot be resolved; tells what does not fit.
        """
        return self._decoder_of(writer_schema, is_single=False)

    def record_decoder(self, writer_schema: str) -> Decoder:
        """Give what decodes single data of ``writer_schema`` into a record of this schema.

        Raises:
            SchemaError: The two cannot be resolved; tells what does not fit.
        """
        return self._decoder_of(writer_schema, is_single=True)

    # --- below ---

    def _decoder_of(self, writer_schema: str, *, is_single: bool) -> Decoder:
        key = (writer_schema, is_single)
        with self._lock:
            found = self._decoders.get(key)
            if found is None:
                found = self._decoders[key] = self._make_decoder(writer_schema, is_single)
            return found

    def _refuse_unsure(self, records: Sequence[Any]) -> None:
        """Refuse what fastavro would take and change."""
        if self._fit is not None:
            try:
                is_sure = self._fit(records)
            except KeyError:
                is_sure = False
            if not is_sure:
                self._refuse_faulty(records)

    def _refuse_bloated(self, payload: bytes, place: int = 0) -> None:
        """Refuse a datum that decoders would refuse."""
        if self._check_one is not None and not _is_taken(self._check_one, payload):
            raise RecordError(f"holds more than {OUT_OF_NOTHING}, which no reader takes", place)

    def _refuse_bloated_of(self, records: Sequence[Any], payload: bytes) -> None:
        """Refuse an array that decoders would refuse; names the record that is too much by itself."""
        if self._check_many is not None and not _is_taken(self._check_many, payload):
            self.encode_each(records)
            raise RecordError(f"{len(records)} records hold more than {OUT_OF_NOTHING} together; send fewer at once")

    def _refused(self, records: Sequence[Any], error: BaseException) -> RecordError:
        self._refuse_faulty(records, error)
        message, place = f"does not fit the schema: {_in_words(error)}", self._first_failing(records)
        return RecordError(f"one of {len(records)} records {message}" if place is None else message, place)

    def _refuse_faulty(self, records: Sequence[Any], cause: BaseException | None = None) -> None:
        for place, record in enumerate(records):
            fault = fault_of(record, self._schema)
            if fault is not None:
                raise RecordError(fault, place) from cause

    def _first_failing(self, records: Sequence[Any]) -> int | None:
        for place, record in enumerate(records):
            try:
                schemaless_writer(BytesIO(), self._array, [record])
            except FAULTS:
                return place
        return None

    def _make_decoder(self, writer_schema: str, is_single: bool) -> Decoder:
        writer = ParsedSchema(writer_schema)
        same = writer.fingerprint == self.fingerprint
        if not same:
            check_resolution(writer, self._schema)
        written = writer.item if is_single else writer.array
        wanted = self._item if is_single else self._array
        reader = None if same else wanted
        what = "an Avro datum" if is_single else "an Avro block"
        check = check_for(writer, is_single=is_single)

        def decode(payload: bytes) -> list[Any]:
            source = BytesIO(payload)
            if check is not None:
                try:
                    check(payload)
                except DecodeError as error:
                    raise DecodeError(f"{what} of {len(payload)} bytes {error}") from None
            try:
                found = schemaless_reader(source, written, reader)
            except FAULTS as error:
                raise DecodeError(f"{what} of {len(payload)} bytes is corrupt: {_in_words(error)}") from error
            records: Any = [found] if is_single else found
            if source.tell() != len(payload) or not isinstance(records, list):
                rest = len(payload) - source.tell()
                raise DecodeError(f"{what} of {len(payload)} bytes is corrupt: {rest} bytes follow its end")
            return records

        return decode


def _is_taken(check: Check, payload: bytes) -> bool:
    try:
        check(payload)
    except DecodeError:
        return False
    return True


def _in_words(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
