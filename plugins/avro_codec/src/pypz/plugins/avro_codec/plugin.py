"""What this distribution answers to pypz: a codec for Avro schemas, given as JSON text or as the dict it stands for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.codecs.spi import Codec


@hookimpl
def pypz_make_codec(schema: Any, content_type: str) -> Codec | None:
    """Answer for schemas that look like Avro, and for whatever asks for ``avro``."""
    if schema is None or content_type not in ("", "avro"):
        return None
    if content_type == "" and not _looks_like_avro(schema):
        return None
    from pypz.plugins.avro_codec.codec import AvroCodec

    return AvroCodec(schema)


def _looks_like_avro(schema: Any) -> bool:
    """Whether it is JSON text, a dict or a list (union), and no JSON Schema."""
    if isinstance(schema, str):
        return schema.lstrip()[:1] in ("{", "[", '"') and '"$schema"' not in schema
    if isinstance(schema, Mapping):
        return "type" in schema and "$schema" not in schema
    return isinstance(schema, list)
