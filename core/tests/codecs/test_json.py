"""JSON lines for ports without schema."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pypz.core.codecs.json import JsonCodec
from pypz.core.commons.errors import DecodeError, RecordError, SchemaError

CODEC = JsonCodec()
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
)
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
RECORDS = st.lists(st.recursive(PLAIN, lambda inner: st.lists(inner) | st.dictionaries(TEXT, inner), max_leaves=8))


@given(st.lists(RECORDS, max_size=4))
def test_records_come_back_as_they_were_over_all_parts_of_a_block(parts: list[list[Any]]) -> None:
    payload = CODEC.join([CODEC.encode(part) for part in parts])
    decode = CODEC.decoder(CODEC.schema_text)
    assert decode(payload) == [record for part in parts for record in part]


LOOP: list[Any] = []
LOOP.append(LOOP)


@pytest.mark.parametrize(
    ("record", "words"),
    [
        (
            {"a": {"b": [0, object()]}},
            r"record 1: cannot be sent as JSON: record\['a'\]\['b'\]\[1\] is of type object; JSON holds text",
        ),
        ({"a": {3: 4}}, r"record\['a'\] has the key 3 of type int; keys must be text"),
        ({"a": float("nan")}, r"record\['a'\] is nan"),
        ({"a": b"x"}, r"record\['a'\] is of type bytes"),
        ({"a": "\ud800"}, r"record\['a'\] is '\\ud800'"),
        (LOOP, "contains itself"),
    ],
)
def test_what_json_cannot_hold_is_refused_by_field_and_nothing_is_sent(record: Any, words: str) -> None:
    with pytest.raises(RecordError, match=words):
        CODEC.encode([{"a": 1}, record])


def test_a_corrupt_block_is_named_by_its_line() -> None:
    with pytest.raises(DecodeError, match="line 1 of a block of JSON lines is corrupt"):
        CODEC.decoder("json")(b'{"a":1}\n{"a":\n')


def test_a_writer_with_a_schema_is_refused() -> None:
    with pytest.raises(SchemaError, match="the writer's port has a schema, the reader's has none"):
        CODEC.decoder('{"type": "record"}')


def test_a_message_of_one_record_is_a_json_document() -> None:
    records = [{"a": 1}, "ä", None, [1, 2]]
    codec = JsonCodec()
    documents = codec.encode_each(records)
    assert [json.loads(document) for document in documents] == records
    decode = codec.record_decoder("json")
    assert [decode(document) for document in documents] == [[record] for record in records]
    assert decode(b'{\n "a": 1\n}\n') == [{"a": 1}]
    with pytest.raises(DecodeError, match="message of 3 bytes is no JSON document"):
        decode(b"{x}")
    with pytest.raises(SchemaError, match="the reader's has none"):
        codec.record_decoder('{"type": "int"}')


def test_of_messages_of_one_record_all_or_none_are_encoded() -> None:
    with pytest.raises(RecordError, match=r"record 1: .*record\['x'\]"):
        JsonCodec().encode_each([{"x": 1}, {"x": object()}])
