"""Decodes payloads that were damaged at random; run as a process of its own, which a crash ends.

Prints how many were tried, and how many of them were refused.
"""

import decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pypz.core.commons.errors import DecodeError
from pypz.plugins.avro_codec.codec import AvroCodec

EVERYTHING: dict[str, Any] = {
    "type": "record",
    "name": "all",
    "fields": [
        {"name": "number", "type": "long"},
        {"name": "text", "type": ["null", "string"]},
        {"name": "raw", "type": "bytes"},
        {"name": "nothing", "type": {"type": "array", "items": "null"}},
        {"name": "kind", "type": {"type": "enum", "name": "kind", "symbols": ["a", "b"]}},
        {"name": "hash", "type": {"type": "fixed", "name": "hash", "size": 2}},
        {"name": "price", "type": {"type": "bytes", "logicalType": "decimal", "precision": 6, "scale": 2}},
        {"name": "day", "type": ["null", {"type": "int", "logicalType": "date"}]},
        {"name": "next", "type": ["null", "all"]},
        {"name": "parts", "type": {"type": "array", "items": "all"}},
        {"name": "named", "type": {"type": "map", "values": "all"}},
    ],
}
NARROW = {"type": "record", "name": "all", "fields": [{"name": "number", "type": "double"}]}

WRITTEN = AvroCodec(EVERYTHING)
DECODERS = [
    WRITTEN.decoder(WRITTEN.schema_text),
    AvroCodec(NARROW).decoder(WRITTEN.schema_text),
    WRITTEN.record_decoder(WRITTEN.schema_text),
]
seen = {"tried": 0, "refused": 0}


def record(depth: int) -> dict[str, Any]:
    inner = [record(depth - 1)] if depth else []
    return {
        "number": 7,
        "text": "x" * depth,
        "raw": b"\x00\x01",
        "nothing": [None] * depth,
        "kind": "a",
        "hash": b"ab",
        "price": decimal.Decimal("1.50"),
        "day": None,
        "next": inner[0] if inner else None,
        "parts": inner,
        "named": dict.fromkeys(("k",), inner[0]) if inner else {},
    }


WHOLE = [WRITTEN.join([WRITTEN.encode([record(depth)] * count)]) for depth, count in ((0, 1), (1, 3), (3, 5))]
SINGLE = WRITTEN.encode_each([record(2)])[0]


@settings(max_examples=1500, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(
    payload=st.sampled_from([*WHOLE, SINGLE]) | st.binary(max_size=200),
    changes=st.lists(st.tuples(st.integers(0, 10_000), st.binary(max_size=12), st.integers(0, 12)), max_size=6),
    which=st.sampled_from(range(len(DECODERS))),
)
def damaged_payloads_end_in_a_decode_error_or_a_list(
    payload: bytes, changes: list[tuple[int, bytes, int]], which: int
) -> None:
    for place, inserted, removed in changes:
        at = place % (len(payload) + 1)
        payload = payload[:at] + inserted + payload[at + removed :]
    seen["tried"] += 1
    try:
        assert isinstance(DECODERS[which](payload), list)
    except DecodeError:
        seen["refused"] += 1


if __name__ == "__main__":
    damaged_payloads_end_in_a_decode_error_or_a_list()
    print(seen["tried"], seen["refused"])
