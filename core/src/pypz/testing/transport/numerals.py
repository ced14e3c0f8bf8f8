"""A codec with two schemas that resolve: numbers in Roman or in Arabic numerals, for promises about schemas."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Self

from pypz.core.commons.errors import SchemaError
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.codecs.spi import Codec, Decoder

ROMAN: Final = {1: "I", 4: "IV", 5: "V", 9: "IX", 10: "X"}
WRITE: Final[dict[str, Callable[[int], str]]] = {"roman": ROMAN.__getitem__, "arabic": str}
READ: Final[dict[str, Callable[[str], int]]] = {"roman": {v: k for k, v in ROMAN.items()}.__getitem__, "arabic": int}


class Numerals:
    """A schema: how numbers are written."""

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def __str__(self) -> str:
        return self.kind


class _NumeralsCodec:
    content_type = "numerals"

    def __init__(self, schema: Numerals) -> None:
        self.schema_text = schema.kind
        self.fingerprint = f"numerals-{schema.kind}"

    def encode(self, records: Sequence[Any]) -> bytes:
        return "".join(f"{WRITE[self.schema_text](record)}\n" for record in records).encode()

    def encode_each(self, records: Sequence[Any]) -> list[bytes]:
        return [self.encode([record]) for record in records]

    def join(self, parts: Sequence[bytes]) -> bytes:
        return b"".join(parts)

    def decoder(self, writer_schema: str) -> Decoder:
        if writer_schema not in READ:
            raise SchemaError(f"numerals are roman or arabic, not {writer_schema!r}")
        return lambda payload: [READ[writer_schema](line) for line in payload.decode().split()]

    def record_decoder(self, writer_schema: str) -> Decoder:
        return self.decoder(writer_schema)


class NumeralsPlugin:
    """Answers for `Numerals` while its ``with`` block lasts."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host

    def __enter__(self) -> Self:
        self._host.register(self, f"numerals {id(self):x}")
        return self

    def __exit__(self, *unused: object) -> None:
        self._host.unregister(self)

    @hookimpl
    def pypz_make_codec(self, schema: Any, content_type: str) -> Codec | None:
        """Answer for `Numerals`."""
        return _NumeralsCodec(schema) if isinstance(schema, Numerals) else None
