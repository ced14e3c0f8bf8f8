"""The Avro codec: round trips, joining, resolution, and what it says of records and schemas that do not fit."""

from __future__ import annotations

import contextlib
import io
import json
import math
import struct
import subprocess
import sys
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.core.commons.errors import DecodeError, RecordError, SchemaError
from pypz.plugins.avro_codec.codec import AvroCodec
from pypz.plugins.avro_codec.plugin import pypz_make_codec

DEMO = """
{
    "type": "record",
    "name": "DemoRecord",
    "fields": [
        {"name": "text", "type": "string"}
    ]
}
"""

WIDE: dict[str, Any] = {
    "type": "record",
    "name": "Wide",
    "namespace": "some.where",
    "fields": [
        {"name": "text", "type": "string"},
        {"name": "small", "type": "int"},
        {"name": "big", "type": "long"},
        {"name": "real", "type": "double"},
        {"name": "flag", "type": "boolean"},
        {"name": "raw", "type": "bytes"},
        {"name": "two", "type": {"type": "fixed", "name": "Two", "size": 2}},
        {"name": "colour", "type": {"type": "enum", "name": "Colour", "symbols": ["RED", "BLUE"]}},
        {"name": "maybe", "type": ["null", "int"], "default": None},
        {"name": "either", "type": ["int", "string", "boolean"]},
        {"name": "many", "type": {"type": "array", "items": "long"}},
        {"name": "table", "type": {"type": "map", "values": {"type": "array", "items": "int"}}},
        {
            "name": "inner",
            "type": {"type": "record", "name": "Inner", "fields": [{"name": "n", "type": "int"}]},
        },
        {"name": "other", "type": ["null", "Inner"]},
    ],
}

INTS = st.integers(-(2**31), 2**31 - 1)
LONGS = st.integers(-(2**63), 2**63 - 1)
TEXTS = st.text(st.characters(codec="utf-8"), max_size=20)
INNERS = st.fixed_dictionaries({"n": INTS})
WIDE_RECORDS = st.fixed_dictionaries(
    {
        "text": TEXTS,
        "small": INTS,
        "big": LONGS,
        "real": st.floats(allow_nan=False),
        "flag": st.booleans(),
        "raw": st.binary(max_size=20),
        "two": st.binary(min_size=2, max_size=2),
        "colour": st.sampled_from(["RED", "BLUE"]),
        "maybe": st.none() | INTS,
        "either": INTS | TEXTS | st.booleans(),
        "many": st.lists(LONGS, max_size=4),
        "table": st.dictionaries(TEXTS, st.lists(INTS, max_size=3), max_size=3),
        "inner": INNERS,
        "other": st.none() | INNERS,
    }
)


def record_of(*fields: dict[str, Any], name: str = "R") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields)}


def payload_of(codec: AvroCodec, records: list[Any]) -> bytes:
    return codec.join([codec.encode(records)])


# --- round trip -------------------------------------------------------------------------------------------------------


@given(st.lists(WIDE_RECORDS, max_size=5))
@settings(max_examples=200, deadline=None)
def test_records_come_back_as_they_were_sent(records: list[Any]) -> None:
    codec = AvroCodec(WIDE)
    assert codec.decoder(codec.schema_text)(payload_of(codec, records)) == records


@given(st.lists(st.lists(WIDE_RECORDS, max_size=3), max_size=5))
@settings(max_examples=100, deadline=None)
def test_joined_parts_hold_the_records_of_all_in_order(parts: list[list[Any]]) -> None:
    codec = AvroCodec(WIDE)
    payload = codec.join([codec.encode(part) for part in parts])
    assert codec.decoder(codec.schema_text)(payload) == [record for part in parts for record in part]


@given(st.lists(WIDE_RECORDS, max_size=3), st.lists(WIDE_RECORDS, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_payload_is_an_avro_array_that_any_other_reader_reads(first: list[Any], second: list[Any]) -> None:
    codec = AvroCodec(WIDE)
    payload = codec.join([codec.encode(first), codec.encode(second)])
    array = fastavro.parse_schema({"type": "array", "items": json.loads(codec.schema_text)})
    assert fastavro.schemaless_reader(io.BytesIO(payload), array, None) == first + second


def test_nothing_encoded_is_no_part_at_all() -> None:
    codec = AvroCodec(DEMO)
    assert codec.encode([]) == b""
    assert codec.decoder(codec.schema_text)(codec.join([])) == []


@pytest.mark.parametrize(
    "schema, value",
    [
        ("string", "x"),
        ('"long"', 7),
        ({"type": "map", "values": "int"}, {"a": 1}),
        (["null", "string"], None),
        ({"type": "array", "items": "double"}, [1.5]),
    ],
)
def test_any_avro_type_may_be_the_schema_not_only_records(schema: Any, value: Any) -> None:
    codec = AvroCodec(schema)
    assert codec.decoder(codec.schema_text)(payload_of(codec, [value, value])) == [value, value]


def test_a_type_within_itself_is_carried_to_any_depth() -> None:
    tree = record_of({"name": "n", "type": "int"}, {"name": "next", "type": ["null", "R"]})
    codec = AvroCodec(tree)
    records = [{"n": 1, "next": {"n": 2, "next": {"n": 3, "next": None}}}]
    assert codec.decoder(codec.schema_text)(payload_of(codec, records)) == records
    with pytest.raises(RecordError, match=r"record 0: field 'next.next.n' is str 'x', the schema says int"):
        codec.encode([{"n": 1, "next": {"n": 2, "next": {"n": "x", "next": None}}}])


def test_defaults_fill_what_a_record_leaves_out_also_bytes() -> None:
    codec = AvroCodec(
        record_of(
            {"name": "text", "type": "string", "default": "none"},
            {"name": "raw", "type": "bytes", "default": "\u00ff\u0001"},
            {"name": "maybe", "type": ["null", "string"]},
        )
    )
    assert codec.decoder(codec.schema_text)(payload_of(codec, [{}])) == [
        {"text": "none", "raw": b"\xff\x01", "maybe": None}
    ]


# --- records that do not fit --------------------------------------------------------------------------------------------


def fault(record: Any, **changes: Any) -> str:
    """What the codec says of a record of WIDE with some fields changed."""
    good = {
        "text": "a",
        "small": 1,
        "big": 1,
        "real": 1.0,
        "flag": True,
        "raw": b"",
        "two": b"ab",
        "colour": "RED",
        "maybe": None,
        "either": 1,
        "many": [],
        "table": {},
        "inner": {"n": 1},
        "other": None,
    }
    with pytest.raises(RecordError) as caught:
        AvroCodec(WIDE).encode([good, record if record is not None else {**good, **changes}])
    return str(caught.value)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"text": 7}, "record 1: field 'text' is int 7, the schema says string"),
        ({"text": None}, "field 'text' is None, the schema says string"),
        ({"text": "\ud800"}, "field 'text' is str '\\ud800', which UTF-8 cannot hold"),
        ({"small": 2**31}, "field 'small' is int 2147483648, the schema says int (-2147483648 to 2147483647)"),
        ({"small": True}, "field 'small' is bool True, the schema says int"),
        ({"small": 1.5}, "field 'small' is float 1.5, the schema says int"),
        ({"big": -(2**63) - 1}, "field 'big' is int -9223372036854775809, the schema says long"),
        ({"real": "1.5"}, "field 'real' is str '1.5', the schema says double"),
        ({"real": 10**400}, "field 'real' is int 1000"),
        ({"flag": 1}, "field 'flag' is int 1, the schema says boolean"),
        ({"raw": "x"}, "field 'raw' is str 'x', the schema says bytes"),
        ({"two": b"abc"}, "field 'two' is bytes b'abc', the schema says fixed some.where.Two (2 bytes), it has 3"),
        ({"colour": "GREEN"}, "field 'colour' is str 'GREEN', the schema says enum some.where.Colour (RED, BLUE)"),
        ({"maybe": "x"}, "field 'maybe' is str 'x', the schema says null or int"),
        ({"maybe": 2**40}, "field 'maybe' is int 1099511627776, the schema says null or int"),
        ({"either": 1.5}, "field 'either' is float 1.5, the schema says int or string or boolean"),
        ({"many": [1, "x"]}, "field 'many[1]' is str 'x', the schema says long"),
        ({"many": "ab"}, "field 'many' is str 'ab', the schema says array of long"),
        ({"table": {"k": [1, None]}}, "field \"table['k'][1]\" is None, the schema says int"),
        ({"table": {1: []}}, "field 'table' has the key int 1"),
        ({"inner": 5}, "field 'inner' is int 5, the schema says record some.where.Inner, which is a dict"),
        ({"inner": {}}, "field 'inner.n' is missing, the schema says int and gives no default"),
        ({"inner": {"n": 1, "m": 2}}, "field 'inner.m' is not in the schema, whose fields are: n"),
        ({"other": {"n": "x"}}, "field 'other.n' is str 'x', the schema says int"),
        ({"unknown": 1}, "field 'unknown' is not in the schema, whose fields are: big, colour"),
        ({"text": 7 * 10**200}, "field 'text' is int 7" + "0" * 59 + "..., the schema says string"),
    ],
)
def test_a_record_that_does_not_fit_is_refused_naming_its_place_field_value_and_what_fits(
    changes: dict[str, Any], words: str
) -> None:
    assert words in fault(None, **changes)


@pytest.mark.parametrize("record", [5, "x", None, ["text"], [("text", "x")]])
def test_a_record_that_is_no_dict_is_refused(record: Any) -> None:
    with pytest.raises(RecordError, match="record 0: it is .*, the schema says record DemoRecord, which is a dict"):
        AvroCodec(DEMO).encode([record])


def test_a_missing_field_is_refused_by_name_and_nothing_is_encoded() -> None:
    with pytest.raises(RecordError, match="record 1: field 'text' is missing"):
        AvroCodec(DEMO).encode([{"text": "a"}, {}])


def test_numbers_of_other_types_are_taken_where_they_mean_the_same() -> None:
    class Whole(int):
        pass

    codec = AvroCodec(record_of({"name": "n", "type": "int"}, {"name": "f", "type": "float"}))
    records = codec.decoder(codec.schema_text)(payload_of(codec, [{"n": Whole(5), "f": 2}]))
    assert records == [{"n": 5, "f": 2.0}]


def test_logical_types_take_what_they_stand_for() -> None:
    import datetime
    import decimal
    import uuid

    codec = AvroCodec(
        record_of(
            {"name": "at", "type": {"type": "long", "logicalType": "timestamp-millis"}},
            {"name": "day", "type": {"type": "int", "logicalType": "date"}},
            {"name": "id", "type": {"type": "string", "logicalType": "uuid"}},
            {"name": "sum", "type": {"type": "bytes", "logicalType": "decimal", "precision": 9, "scale": 2}},
        )
    )
    record = {
        "at": datetime.datetime(2026, 11, 23, 9, 30, tzinfo=datetime.UTC),
        "day": datetime.date(2026, 11, 23),
        "id": uuid.UUID(int=7),
        "sum": decimal.Decimal("12.34"),
    }
    assert codec.decoder(codec.schema_text)(payload_of(codec, [record])) == [record]


def test_a_record_that_contains_itself_is_refused() -> None:
    codec = AvroCodec(record_of({"name": "next", "type": ["null", "R"]}))
    endless: dict[str, Any] = {}
    endless["next"] = endless
    with pytest.raises(RecordError, match="record 0:"):
        codec.encode([endless])


# --- schemas ----------------------------------------------------------------------------------------------------------


def test_equal_schemas_have_equal_fingerprints_whatever_their_layout() -> None:
    spaced = AvroCodec(DEMO)
    assert len(spaced.fingerprint) == 16
    assert spaced.fingerprint == AvroCodec(json.loads(DEMO)).fingerprint
    assert spaced.fingerprint == AvroCodec(spaced.schema_text).fingerprint
    assert spaced.fingerprint == AvroCodec({"doc": "told", **json.loads(DEMO)}).fingerprint
    nested = record_of({"name": "text", "type": {"type": "string"}}, name="DemoRecord")
    assert spaced.fingerprint == AvroCodec(nested).fingerprint


def test_a_default_or_an_alias_makes_another_fingerprint() -> None:
    plain = AvroCodec(record_of({"name": "n", "type": "int"})).fingerprint
    default = AvroCodec(record_of({"name": "n", "type": "int", "default": 1})).fingerprint
    alias = AvroCodec(record_of({"name": "n", "type": "int", "aliases": ["m"]})).fingerprint
    assert len({plain, default, alias}) == 3


def test_the_fingerprint_does_not_depend_on_the_process() -> None:
    script = f"from pypz.plugins.avro_codec.codec import AvroCodec; print(AvroCodec({WIDE!r}).fingerprint)"
    found = {
        subprocess.run(
            [sys.executable, "-c", script], capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}
        ).stdout
        for seed in ("1", "2")
    }
    assert found == {AvroCodec(WIDE).fingerprint + "\n"}


@pytest.mark.parametrize(
    "schema, words",
    [
        ('{"type": "record"', "no JSON"),
        ({"type": "record", "name": "R"}, "makes no sense"),
        ({"type": "record", "name": "R", "fields": [{"name": "a", "type": "strnig"}]}, "does not define: 'strnig'"),
        ("strnig", "no JSON"),
        (5, "makes no sense"),
        ({"type": "enum", "name": "E", "symbols": ["A B"]}, "symbol"),
    ],
)
def test_a_schema_that_cannot_be_parsed_is_refused_with_its_reason(schema: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        AvroCodec(schema)


# --- resolution -------------------------------------------------------------------------------------------------------


def read_as(reader: Any, writer: Any, records: list[Any]) -> list[Any]:
    wrote = AvroCodec(writer)
    return AvroCodec(reader).decoder(wrote.schema_text)(payload_of(wrote, records))


def test_an_added_field_with_default_and_a_dropped_one_resolve() -> None:
    writer = record_of({"name": "a", "type": "int"}, {"name": "gone", "type": "string"})
    reader = record_of({"name": "a", "type": "long"}, {"name": "new", "type": "bytes", "default": "\u00fe"})
    assert read_as(reader, writer, [{"a": 1, "gone": "x"}]) == [{"a": 1, "new": b"\xfe"}]


def test_an_alias_of_the_reader_finds_the_writers_field() -> None:
    writer = record_of({"name": "old", "type": "int"})
    reader = record_of({"name": "new", "type": "int", "aliases": ["old"]})
    assert read_as(reader, writer, [{"old": 3}]) == [{"new": 3}]


def test_a_type_may_become_a_union() -> None:
    writer = record_of({"name": "a", "type": "int"})
    reader = record_of({"name": "a", "type": ["null", "long"]})
    assert read_as(reader, writer, [{"a": 1}]) == [{"a": 1}]


NUMBER = st.sampled_from(["int", "long", "float", "double"])


@given(NUMBER, NUMBER, INTS)
def test_numbers_resolve_exactly_when_avro_promotes_them(wrote: str, reads: str, value: int) -> None:
    order = ["int", "long", "float", "double"]
    writer, reader = record_of({"name": "a", "type": wrote}), record_of({"name": "a", "type": reads})
    if order.index(wrote) > order.index(reads):
        with pytest.raises(SchemaError, match=f"field 'a' was written as {wrote}, the reader expects {reads}"):
            AvroCodec(reader).decoder(AvroCodec(writer).schema_text)
        return
    found = read_as(reader, writer, [{"a": value}])[0]["a"]
    expected: float = struct.unpack("f", struct.pack("f", value))[0] if "float" in (wrote, reads) else value
    assert math.isclose(found, expected, rel_tol=1e-6)  # fastavro does not round an int to the nearest float


@given(st.lists(WIDE_RECORDS, max_size=3))
@settings(max_examples=50, deadline=None)
def test_a_reader_that_asks_for_less_gets_that_part_of_each_record(records: list[Any]) -> None:
    keep = ("text", "maybe", "table", "inner")
    less = {**WIDE, "fields": [field for field in WIDE["fields"] if field["name"] in keep]}
    assert read_as(less, WIDE, records) == [{name: record[name] for name in keep} for record in records]


@pytest.mark.parametrize(
    "writer, reader, words",
    [
        ("string", "int", "the record was written as string, the reader expects int"),
        (
            record_of({"name": "a", "type": "int"}),
            record_of({"name": "a", "type": "int"}, {"name": "b", "type": "string"}),
            "the reader expects field 'b' .string., which the writer does not write; give it a default",
        ),
        (
            record_of({"name": "a", "type": {"type": "array", "items": "string"}}),
            record_of({"name": "a", "type": {"type": "array", "items": "int"}}),
            r"field 'a\[\]' was written as string",
        ),
        (
            record_of({"name": "a", "type": "int"}, name="One"),
            record_of({"name": "a", "type": "int"}, name="Two"),
            "written as record One, the reader expects record Two",
        ),
        (["null", "string"], "int", "written as null or string, the reader expects int"),
        (
            {"type": "enum", "name": "E", "symbols": ["A"]},
            {"type": "enum", "name": "E", "symbols": ["B"]},
            "written as enum E",
        ),
    ],
)
def test_schemas_that_do_not_resolve_are_refused_naming_the_place(writer: Any, reader: Any, words: str) -> None:
    with pytest.raises(SchemaError, match=words):
        AvroCodec(reader).decoder(AvroCodec(writer).schema_text)


def test_a_decoder_is_made_once_for_each_writers_schema() -> None:
    codec = AvroCodec(DEMO)
    assert codec.decoder(codec.schema_text) is codec.decoder(codec.schema_text)


@given(st.binary(max_size=40))
@settings(max_examples=300, deadline=None)
def test_a_corrupt_block_is_a_decode_error_never_another(payload: bytes) -> None:
    codec = AvroCodec(DEMO)
    with contextlib.suppress(DecodeError):
        found = codec.decoder(codec.schema_text)(payload)
        assert all(isinstance(record["text"], str) for record in found)


# --- plugin -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "schema, content_type, is_ours",
    [
        (DEMO, "", True),
        (DEMO, "avro", True),
        (json.loads(DEMO), "", True),
        ("string", "avro", True),
        (None, "", False),
        (DEMO, "msgpack", False),
        ("free text", "", False),
        ({"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object"}, "", False),
        (dict, "", False),
        ({"no": "type"}, "", False),
    ],
)
def test_the_hook_answers_for_avro_schemas_only(schema: Any, content_type: str, is_ours: bool) -> None:
    assert (pypz_make_codec(schema, content_type) is not None) == is_ours


def test_the_plugin_module_loads_no_fastavro() -> None:
    script = "import sys, pypz.plugins.avro_codec.plugin; print('fastavro' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert found.stdout == "False\n"


@pytest.mark.parametrize(
    ("schema", "records"),
    [
        (DEMO, [{"text": "a"}, {"text": "ä"}]),
        ({"type": "array", "items": "int"}, [[1, 2], []]),
        (["null", "string"], [None, "x"]),
        ("long", [1, -1]),
    ],
)
def test_a_message_of_one_record_is_an_avro_datum_that_others_read(schema: Any, records: list[Any]) -> None:
    codec = AvroCodec(schema)
    data = codec.encode_each(records)
    parsed = fastavro.parse_schema(json.loads(codec.schema_text))
    assert [fastavro.schemaless_reader(io.BytesIO(datum), parsed, None) for datum in data] == records
    decode = codec.record_decoder(codec.schema_text)
    assert [decode(datum) for datum in data] == [[record] for record in records]


def test_a_message_of_one_record_resolves_to_the_readers_schema() -> None:
    newer = {"type": "record", "name": "DemoRecord", "fields": [{"name": "n", "type": "int", "default": 7}]}
    decode = AvroCodec(newer).record_decoder(AvroCodec(DEMO).schema_text)
    assert decode(AvroCodec(DEMO).encode_each([{"text": "a"}])[0]) == [{"n": 7}]


@pytest.mark.parametrize("payload", [b"", b"\x04a", b"\x02ab"])
def test_a_message_that_is_no_datum_of_the_schema_is_corrupt(payload: bytes) -> None:
    with pytest.raises(DecodeError, match=f"an Avro datum of {len(payload)} bytes is corrupt"):
        AvroCodec(DEMO).record_decoder(AvroCodec(DEMO).schema_text)(payload)


def test_of_messages_of_one_record_all_or_none_are_encoded() -> None:
    with pytest.raises(RecordError, match=r"record 1: field 'text' is int 1"):
        AvroCodec(DEMO).encode_each([{"text": "a"}, {"text": 1}])
