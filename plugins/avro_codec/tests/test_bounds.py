"""Payloads that claim too much, and payloads that were damaged at random: each ends in a DecodeError or a list.

In processes of their own, with bounds of memory and time, so that a crash, and one that stays busy, is seen.
"""

import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pypz.core.commons.errors import DecodeError, RecordError
from pypz.plugins.avro_codec.bounds import MOST_FROM_NOTHING, MOST_LEVELS, check_for
from pypz.plugins.avro_codec.codec import AvroCodec
from pypz.plugins.avro_codec.schema import ParsedSchema

CHAIN = {"type": "record", "name": "n", "fields": [{"name": "next", "type": ["null", "n"]}]}
TREE = {"type": "record", "name": "t", "fields": [{"name": "parts", "type": {"type": "array", "items": "t"}}]}
NAMED = {"type": "record", "name": "m", "fields": [{"name": "parts", "type": {"type": "map", "values": "m"}}]}
ENDLESS = {"type": "record", "name": "e", "fields": [{"name": "self", "type": "e"}]}
NULLS = {"type": "record", "name": "r", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}
EMPTY = {"type": "record", "name": "r", "fields": []}
PLAIN = {"type": "record", "name": "r", "fields": [{"name": "a", "type": "string"}, {"name": "b", "type": "long"}]}


def number(value: int) -> bytes:
    value = value << 1 ^ value >> 63
    found = b""
    while value & ~0x7F:
        found += bytes([value & 0x7F | 0x80])
        value >>= 7
    return found + bytes([value])


ONE, END = number(1), number(0)
TOO_MUCH = [
    (NULLS, ONE + number(10**15) + END + END),
    (NULLS, ONE + number(-(10**15)) + END + END + END),
    (NULLS, ONE + (number(MOST_FROM_NOTHING // 2) * 3) + END + END),
    (EMPTY, number(10**15) + END),
    (CHAIN, ONE + ONE * 1_000_000 + END + END),
    (TREE, ONE * 1_000_000 + END * 1_000_001),
    (NAMED, ONE + (ONE + number(1) + b"k") * 1_000_000 + END * 1_000_001),
    (ENDLESS, ONE + END),
]


def in_a_process(code: str, *arguments: str, timeout_s: float = 120) -> "subprocess.CompletedProcess[str]":
    def bound() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))

    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        timeout=timeout_s,
        preexec_fn=bound,
    )


@pytest.mark.parametrize("place", range(len(TOO_MUCH)))
def test_a_payload_that_claims_too_much_ends_in_a_decode_error(place: int) -> None:
    schema, payload = TOO_MUCH[place]
    code = (
        "import sys\n"
        "from pypz.core.commons.errors import DecodeError\n"
        "from pypz.plugins.avro_codec.codec import AvroCodec\n"
        f"codec = AvroCodec({schema!r})\n"
        "try:\n"
        "    codec.decoder(codec.schema_text)(bytes.fromhex(sys.stdin.read()))\n"
        "except DecodeError as error:\n"
        "    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], input=payload.hex(), capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr) == (0, "")
    assert "is corrupt, or " in done.stdout


def test_what_is_encoded_is_decoded_up_to_the_depth_that_is_taken() -> None:
    codec = AvroCodec(CHAIN)
    record: Any = {"next": None}
    for _ in range(49):  # each counts twice: the union, and the record in it
        record = {"next": record}
    for records in ([record], [record] * 1000):
        assert codec.decoder(codec.schema_text)(codec.join([codec.encode(records)])) == records
    empty = AvroCodec(EMPTY)
    assert empty.decoder(empty.schema_text)(empty.join([empty.encode([{}] * 10_000)])) == [{}] * 10_000
    nulls = AvroCodec(NULLS)
    many = [{"a": [None] * 1000}] * 1000
    assert nulls.decoder(nulls.schema_text)(nulls.join([nulls.encode(many)])) == many


def test_what_no_reader_would_take_is_refused_by_whoever_sends_it() -> None:
    codec = AvroCodec(NULLS)
    decode = codec.decoder(codec.schema_text)
    most, more, half = ({"a": [None] * count} for count in (MOST_FROM_NOTHING, MOST_FROM_NOTHING + 1, 600_000))
    assert decode(codec.join([codec.encode([most])])) == [most]
    for refused in (codec.encode, codec.encode_each):
        for records, place in (([more], 0), ([half, more, half], 1)):
            with pytest.raises(
                RecordError, match=f"record {place}: holds more than 1,000,000 items that take no bytes"
            ):
                refused(records)
    with pytest.raises(RecordError, match="2 records hold more than 1,000,000 .* together; send fewer at once"):
        codec.encode([half, half])
    with pytest.raises(RecordError, match="a block of 2 parts would hold more than 1,000,000"):
        codec.join([codec.encode([half])] * 2)
    assert codec.record_decoder(codec.schema_text)(codec.encode_each([half, half])[1]) == [half]
    with pytest.raises(RecordError, match="1000001 records hold more than"):
        AvroCodec(EMPTY).encode([{}] * (MOST_FROM_NOTHING + 1))


def test_a_chain_of_exactly_the_levels_is_decoded_and_one_more_is_not() -> None:
    codec = AvroCodec(CHAIN)
    decode = codec.decoder(codec.schema_text)
    fits = (MOST_LEVELS - 3) // 2
    assert len(decode(ONE + ONE * fits + END + END)) == 1
    with pytest.raises(DecodeError, match="nested more than"):
        decode(ONE + ONE * (fits + 2) + END + END)


def test_schemas_that_cannot_claim_too_much_cost_nothing() -> None:
    assert check_for(ParsedSchema(PLAIN), is_single=False) is None
    assert check_for(ParsedSchema(EMPTY), is_single=True) is None
    assert check_for(ParsedSchema(EMPTY), is_single=False) is not None
    assert check_for(ParsedSchema(CHAIN), is_single=False, is_ours=True) is None
    both: Any = {"type": "record", "name": "d", "fields": [{"name": "a", "type": PLAIN}, {"name": "b", "type": "r"}]}
    assert check_for(ParsedSchema(both), is_single=False) is None, "a type used twice is not within itself"


def test_payloads_damaged_at_random_end_in_a_decode_error_or_a_list() -> None:
    done = in_a_process("import runpy, sys; sys.argv = ['damage.py']; runpy.run_path('damage.py', run_name='__main__')")
    assert done.returncode == 0, done.stderr[-3000:]
    tried, refused = (int(word) for word in done.stdout.split())
    assert tried >= 1000
    assert tried > refused > 100
