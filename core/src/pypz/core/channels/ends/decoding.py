"""What decodes the blocks of one channel, by what their headers say; a schema not met yet is awaited."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from pypz.core.channels.headers import BATCH, CODEC, FRAMING, FRAMINGS, RECORD, SCHEMA, is_foreign
from pypz.core.channels.status import StatusHub
from pypz.core.codecs.spi import Codec, Decoder
from pypz.core.commons.errors import DecodeError, SchemaError, TransportTimeoutError

SCHEMA_TIMEOUT_MS: Final = 30_000
"""Milliseconds to wait for the fact of a schema (semantics: schemaTimeoutMs)."""


class Decoders:
    """Decoders of one reading port, made once for each schema and framing."""

    def __init__(self, codec: Codec, hub: StatusHub, timeout_s: float, stopped: Callable[[], bool]) -> None:
        """Take what the port reads with.

        Args:
            codec: The port's.
            hub: Where the facts ``schema/<fingerprint>`` of writers stand.
            timeout_s: Seconds to wait for such a fact.
            stopped: Whether to wait no more.
        """
        self._codec = codec
        self._hub = hub
        self._timeout_s = timeout_s
        self._stopped = stopped
        self._found: dict[tuple[str | None, str, str], Decoder] = {}

    def of(self, headers: Mapping[str, str]) -> Decoder:
        """Give what decodes a block with these headers; may wait for its schema's fact.

        Raises:
            DecodeError: It is of another codec, of a schema that is not known in time or does not resolve to the port's.
            WokenError: Interrupted while waiting.
        """
        if is_foreign(headers):
            key: tuple[str | None, str, str] = (None, "", RECORD)
        else:
            key = (headers.get(CODEC, ""), headers.get(SCHEMA, ""), headers.get(FRAMING, BATCH))
        found = self._found.get(key)
        if found is None:
            found = self._found[key] = self._make(*key)
        return found

    def _make(self, content_type: str | None, fingerprint: str, framing: str) -> Decoder:
        codec = self._codec
        if content_type is not None and content_type != codec.content_type:
            raise DecodeError(f"holds {content_type!r}, the port reads {codec.content_type!r}")
        if framing not in FRAMINGS:
            raise DecodeError(f"its framing is {framing!r}, this version reads {' and '.join(map(repr, FRAMINGS))}")
        is_own = content_type is None or fingerprint == codec.fingerprint
        text = codec.schema_text if is_own else self._schema_text(fingerprint)
        try:
            return codec.record_decoder(text) if framing == RECORD else codec.decoder(text)
        except SchemaError as error:
            raise DecodeError(f"its writer's schema does not resolve: {error}") from error

    def _schema_text(self, fingerprint: str) -> str:
        try:
            fact = self._hub.wait_for(
                lambda: self._hub.value(f"schema/{fingerprint}") or None,
                what=lambda: f"the schema {fingerprint} of a block",
                timeout_s=self._timeout_s,
                stopped=self._stopped,
            )
        except TransportTimeoutError as error:
            raise DecodeError(
                f"its writer's schema {fingerprint} is not known here: {error} (schemaTimeoutMs); the status stream that "
                "held it may have been removed"
            ) from error
        return str(fact["schema"])
