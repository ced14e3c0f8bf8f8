"""The kit for codecs: what every codec promises, one test each."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pypz.core.codecs.spi import Codec
from pypz.core.commons.errors import DecodeError, RecordError, SchemaError
from pypz.testing.promises import promise, side_by_side

PATIENCE_S = 60.0


def through(codec: Codec, records: Sequence[Any]) -> list[Any]:
    """Records on their whole way, as one part."""
    return codec.decoder(codec.schema_text)(codec.join([codec.encode(records)]))


class CodecConformance:
    """What every codec promises. Give the fixtures; leave the tests alone.

    - ``make_codec``: a function that makes the codec anew, each time of the same schema;
    - ``records``: at least three records of the schema, all different;
    - ``unfit_record``: one that the schema does not take;
    - ``foreign_schema``: schema text, of the same kind, that does not resolve to the codec's own.
    """

    @pytest.fixture
    def codec(self, make_codec: Callable[[], Codec]) -> Codec:
        """The codec under test."""
        return make_codec()

    @promise(1)
    def test_01_records_come_back_as_they_were_sent_in_order(self, codec: Codec, records: list[Any]) -> None:
        """And encoding changes none of them."""
        before = copy.deepcopy(records)
        assert through(codec, records) == before
        assert through(codec, records[::-1]) == before[::-1]
        assert records == before

    @promise(2)
    def test_02_joined_parts_hold_the_records_of_all_in_order(self, codec: Codec, records: list[Any]) -> None:
        """However the records are cut into parts."""
        decode = codec.decoder(codec.schema_text)
        for cut in range(len(records) + 1):
            parts = [codec.encode(part) for part in (records[:cut], records[cut:], records[:1])]
            assert decode(codec.join(parts)) == [*records, records[0]]

    @promise(3)
    def test_03_a_record_that_does_not_fit_is_refused_with_its_place_and_none_is_encoded(
        self, codec: Codec, records: list[Any], unfit_record: Any
    ) -> None:
        """Places count from 0 in the list that was given."""
        with pytest.raises(RecordError, match="record 2"):
            codec.encode([*records[:2], unfit_record])
        with pytest.raises(RecordError, match="record 1"):
            codec.encode_each([records[0], unfit_record, records[1]])
        assert through(codec, records) == records

    @promise(4)
    def test_04_equal_schemas_have_equal_short_fingerprints(self, make_codec: Callable[[], Codec]) -> None:
        """They name facts and stand in the headers of each block; the content type does, too."""
        one, other = make_codec(), make_codec()
        assert one.fingerprint == other.fingerprint
        assert one.schema_text == other.schema_text
        assert 1 <= len(one.fingerprint) <= 64
        assert one.fingerprint.isprintable()
        assert one.content_type == other.content_type != ""

    @promise(5)
    def test_05_the_schemas_text_is_all_that_another_reader_needs(
        self, make_codec: Callable[[], Codec], records: list[Any]
    ) -> None:
        """What one codec has encoded, a codec made elsewhere decodes by that text."""
        writer = make_codec()
        payload, text = writer.join([writer.encode(records)]), str(writer.schema_text)
        assert make_codec().decoder(text)(payload) == records

    @promise(6)
    def test_06_a_corrupt_payload_is_a_decode_error_never_another(self, codec: Codec, records: list[Any]) -> None:
        """Cut off anywhere, or with any byte changed, it may at most decode to something else."""
        payload = codec.join([codec.encode(records)])
        decode = codec.decoder(codec.schema_text)
        with pytest.raises(DecodeError):
            decode(b"\xff" * 64)
        spoilt = [payload[:length] for length in range(len(payload))]
        spoilt += [payload[:at] + b"\xff" + payload[at + 1 :] for at in range(len(payload))]
        for one in spoilt:
            try:
                decode(one)
            except DecodeError:
                pass

    @promise(7)
    def test_07_a_schema_that_does_not_resolve_is_refused_when_its_decoder_is_made(
        self, codec: Codec, foreign_schema: str
    ) -> None:
        """Not at the first block: the reader tells before it takes anything."""
        with pytest.raises(SchemaError):
            codec.decoder(foreign_schema)
        with pytest.raises(SchemaError):
            codec.record_decoder(foreign_schema)

    @promise(8)
    def test_08_many_threads_use_one_codec(self, codec: Codec, records: list[Any]) -> None:
        """Ports of replicas share it; so do operator and reader."""
        decode = codec.decoder(codec.schema_text)

        def work(turn: int) -> bool:
            mine = [records[(turn + number) % len(records)] for number in range(50)]
            return all(decode(codec.join([codec.encode(mine), codec.encode(mine)])) == mine * 2 for _ in range(50))

        assert all(side_by_side([lambda turn=turn: work(turn) for turn in range(8)], PATIENCE_S))  # type: ignore[misc]

    @promise(9)
    def test_09_a_message_of_one_record_is_decoded_by_itself(self, codec: Codec, records: list[Any]) -> None:
        """Framing ``record``: one message for each, in order."""
        messages = codec.encode_each(records)
        assert len(messages) == len(records)
        decode = codec.record_decoder(codec.schema_text)
        assert [decode(message) for message in messages] == [[record] for record in records]
