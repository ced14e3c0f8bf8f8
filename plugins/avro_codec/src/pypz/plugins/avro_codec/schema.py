"""One Avro schema, parsed once: its normal form, its name, and the forms that fastavro writes and reads by."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any, Final

from fastavro import parse_schema
from fastavro.schema import SchemaParseException, UnknownType

from pypz.core.commons.errors import SchemaError

PRIMITIVES: Final = frozenset({"null", "boolean", "int", "long", "float", "double", "bytes", "string"})
RECORDS: Final = frozenset({"record", "error"})
NAMED: Final = RECORDS | {"enum", "fixed"}

_HINTS: Final = ("__fastavro_parsed", "__named_schemas")
"""Keys by which fastavro knows a schema that it has parsed; without them it parses at every call."""


class ParsedSchema:
    """An Avro schema ready for use.

    Attributes:
        text: Normal form as JSON: full names, sorted keys, no documentation; with defaults and aliases, which resolution
            needs.
        fingerprint: 16 hexadecimal digits of the SHA-256 of ``text``.
        tree: The normal form as nested dicts and lists.
        names: Every named type (record, enum, fixed) by full name.
        array: What fastavro takes: the schema of an array of this, with its named types at hand.
        item: What it takes for a single datum.
    """

    def __init__(self, given: Any) -> None:
        parsed = _parse(given)
        self.tree: Any = _normal(parsed)
        self.text: str = json.dumps(self.tree, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        self.fingerprint: str = hashlib.sha256(self.text.encode()).hexdigest()[:16]
        named: dict[str, Any] = {}
        ready = parse_schema(json.loads(self.text), named_schemas=named, _write_hint=False)
        self.names: dict[str, Any] = named
        for one in [ready, *named.values()]:
            _make_defaults_binary(one, named, set())
        hints = {_HINTS[0]: True, _HINTS[1]: named}
        self.array: dict[str, Any] = {"type": "array", "items": ready, **hints}
        self.item: Any = {**ready, **hints} if isinstance(ready, dict) else ready

    def look_up(self, schema: Any) -> Any:
        """The definition behind a name; anything else as it is."""
        return self.names.get(schema, schema) if isinstance(schema, str) else schema


def type_of(schema: Any) -> str:
    """Avro's word for the type of a schema that was looked up; ``union`` for a list."""
    if isinstance(schema, list):
        return "union"
    if isinstance(schema, str):
        return schema
    inner = schema["type"]
    return type_of(inner) if isinstance(inner, dict | list) else str(inner)


def words_for(schema: Any) -> str:
    """A schema in words for a message.

    >>> words_for(["null", {"type": "array", "items": "string"}])
    'null or array of string'
    """
    kind = type_of(schema)
    if kind == "union":
        return " or ".join(words_for(branch) for branch in schema)
    if isinstance(schema, str):
        return schema
    if kind == "array":
        return f"array of {words_for(schema['items'])}"
    if kind == "map":
        return f"map of {words_for(schema['values'])}"
    if kind == "enum":
        symbols = [str(symbol) for symbol in schema["symbols"]]
        more = ", ..." if len(symbols) > 10 else ""
        return f"enum {schema['name']} ({', '.join(symbols[:10])}{more})"
    if kind == "fixed":
        return f"fixed {schema['name']} ({schema['size']} bytes)"
    if kind in RECORDS:
        return f"record {schema['name']}"
    logical = schema.get("logicalType")
    return f"{kind} ({logical})" if logical else kind


def _parse(given: Any) -> Any:
    if isinstance(given, bytes | bytearray):
        given = bytes(given).decode("utf-8", "replace")
    if isinstance(given, str) and given.strip() not in PRIMITIVES:
        try:
            given = json.loads(given)
        except ValueError as error:
            raise SchemaError(f"the Avro schema is no JSON: {error}; it begins with {given.strip()[:60]!r}") from error
    if isinstance(given, Mapping):
        given = dict(given)
    try:
        if isinstance(given, dict) and given.get("type") in RECORDS and not isinstance(given.get("fields"), list):
            raise SchemaError(f"the Avro schema makes no sense: record {given.get('name')!r} has no list of fields")
        return parse_schema(given, named_schemas={}, _force=True)
    except UnknownType as error:
        raise SchemaError(f"the Avro schema names a type that it does not define: {error.name!r}") from error
    except SchemaParseException as error:
        raise SchemaError(f"the Avro schema makes no sense: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise SchemaError(f"the Avro schema makes no sense: {type(error).__name__} {error}") from error


def _normal(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_normal(branch) for branch in schema]
    if not isinstance(schema, dict):
        return schema
    found: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _HINTS or key == "doc":
            continue
        if key == "fields":
            found[key] = [_normal(field) for field in value]
        elif key in ("type", "items", "values"):
            found[key] = _normal(value)
        else:
            found[key] = value
    if set(found) == {"type"} and isinstance(found["type"], str) and found["type"] in PRIMITIVES:
        return found["type"]
    return found


def _make_defaults_binary(schema: Any, names: Mapping[str, Any], seen: set[int]) -> None:
    """Turn defaults of bytes and fixed, which JSON spells as text, into bytes: fastavro takes them as they stand."""
    schema = names.get(schema, schema) if isinstance(schema, str) else schema
    if id(schema) in seen or isinstance(schema, str):
        return
    seen.add(id(schema))
    if isinstance(schema, list):
        for branch in schema:
            _make_defaults_binary(branch, names, seen)
        return
    for field in schema.get("fields", ()):
        if "default" in field:
            field["default"] = _binary(field["default"], field["type"], names)
        _make_defaults_binary(field["type"], names, seen)
    for key in ("items", "values", "type"):
        if isinstance(schema.get(key), dict | list):
            _make_defaults_binary(schema[key], names, seen)


def _binary(value: Any, schema: Any, names: Mapping[str, Any]) -> Any:
    schema = names.get(schema, schema) if isinstance(schema, str) else schema
    if isinstance(schema, list):
        return _binary(value, schema[0], names)
    kind = type_of(schema)
    if kind in ("bytes", "fixed") and isinstance(value, str):
        return value.encode("latin-1", "replace")
    if kind == "array" and isinstance(value, list):
        return [_binary(inner, schema["items"], names) for inner in value]
    if kind == "map" and isinstance(value, dict):
        return {key: _binary(inner, schema["values"], names) for key, inner in value.items()}
    if kind in RECORDS and isinstance(value, dict):
        types = {field["name"]: field["type"] for field in schema["fields"]}
        return {key: _binary(inner, types[key], names) if key in types else inner for key, inner in value.items()}
    return value
