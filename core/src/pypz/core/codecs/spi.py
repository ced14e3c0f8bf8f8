"""What a codec brings: records into bytes and back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

Decoder = Callable[[bytes], list[Any]]
"""Gives the records of one block's payload, in order.

Raises `DecodeError` when the payload is corrupt.
"""


class Codec(Protocol):
    """Records of one schema. Thread-safe; the schema was parsed once, when the codec was made."""

    @property
    def content_type(self) -> str:
        """Written into each block's headers, such as ``avro``."""
        ...

    @property
    def schema_text(self) -> str:
        """The schema as text, stored once under its fingerprint, enough for any reader to decode."""
        ...

    @property
    def fingerprint(self) -> str:
        """Short, stable name of the schema: equal schemas have equal fingerprints."""
        ...

    def encode(self, records: Sequence[Any]) -> bytes:
        """Encode records as one part of a block; all or none.

        Raises:
            RecordError: A record does not fit; has its place in the list, from 0, and names the field.
        """
        ...

    def encode_each(self, records: Sequence[Any]) -> list[bytes]:
        """Encode each record as a message of its own that other consumers can read (framing ``record``); all or none.

        Raises:
            RecordError: A record does not fit; has its place in the list, from 0, and names the field.
        """
        ...

    def join(self, parts: Sequence[bytes]) -> bytes:
        """Make a block's payload of the parts that `encode` gave, in order.

        Raises:
            RecordError: They are too much for one block by what the codec knows; fewer are tried. Never of one part.
        """
        ...

    def decoder(self, writer_schema: str) -> Decoder:
        """Give what decodes payloads of ``writer_schema`` into records of this codec's schema.

        Raises:
            SchemaError: The two cannot be resolved; tells what does not fit.
        """
        ...

    def record_decoder(self, writer_schema: str) -> Decoder:
        """As `decoder`, for messages that `encode_each` gave: the decoder gives a list of one record.

        Raises:
            SchemaError: The two cannot be resolved; tells what does not fit.
        """
        ...
