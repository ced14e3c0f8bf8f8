"""What a payload claims, looked at before it is decoded: how deep it nests, and how much it makes of no bytes at all.

fastavro believes a payload: one of ten bytes may claim a thousand million nulls, and one of a type within itself may
nest until the stack overflows, which ends the process. Only schemas with which either can happen are looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from pypz.core.commons.errors import DecodeError
from pypz.plugins.avro_codec.schema import RECORDS, ParsedSchema, type_of

MOST_LEVELS: Final = 500
"""Levels of nesting that are decoded (chosen; encoded are 100; fastavro 1.13 held 2,000 and not 100,000)."""

MOST_FROM_NOTHING: Final = 1_000_000
"""Items without a byte of their own (nulls, empty records) in a payload (chosen: half a second of decoding)."""

OUT_OF_NOTHING: Final = f"{MOST_FROM_NOTHING:,} items that take no bytes (nulls, empty records)"

Check = Callable[[bytes], None]

_SIZES: Final = {"null": 0, "boolean": 1, "float": 4, "double": 8}
_NUMBERS: Final = frozenset({"int", "long", "enum"})

# Kinds of nodes.
_FIXED, _NUMBER, _BYTES, _RECORD, _UNION, _LIST, _MAP, _ITEMS = range(8)


class _Node:
    """A part of a schema: how its bytes are passed over."""

    __slots__ = ("kind", "may_be_empty", "parts", "size")

    def __init__(self) -> None:
        self.kind = _FIXED
        self.size = 0
        """Bytes of one of fixed size."""
        self.parts: list[_Node] = []
        """Fields, branches, or the one type of the items."""
        self.may_be_empty = False
        """Of a list: whether its items take no bytes."""


def check_for(schema: ParsedSchema, *, is_single: bool, is_ours: bool = False) -> Check | None:
    """Give what refuses payloads that claim too much; None: with this schema none can.

    Args:
        schema: Of the writer.
        is_single: The payload is one datum, not an array of many.
        is_ours: It was just encoded here, so that it nests as deep as its records do.
    """
    made = _Nodes(schema)
    item = made.node(schema.array["items"])
    if is_single:
        root = item
    else:
        root = _Node()
        root.kind, root.parts, root.may_be_empty = _LIST, [item], made.takes_nothing(schema.array["items"], frozenset())
    if not (made.has_empty_items or root.may_be_empty or (made.is_recursive and not is_ours)):
        return None
    is_length_enough = not (made.has_empty_items or root.may_be_empty or made.recurs_without_bytes)

    def check(payload: bytes) -> None:
        if not (is_length_enough and len(payload) < MOST_LEVELS // 2):  # a level within itself takes a byte, at least
            _pass_over(payload, root)

    return check


class _Nodes:
    def __init__(self, schema: ParsedSchema) -> None:
        self._schema = schema
        self._made: dict[int, _Node] = {}
        self._above: set[int] = set()
        self.is_recursive = False
        self.recurs_without_bytes = False
        self.has_empty_items = False

    def node(self, given: Any) -> _Node:
        given = self._schema.look_up(given)
        if isinstance(given, dict | list):
            found = self._made.get(id(given))
            if found is not None:
                self.is_recursive |= id(given) in self._above
                return found
        node = _Node()
        if isinstance(given, dict | list):
            self._made[id(given)] = node
            self._above.add(id(given))
        self._fill(node, given)
        self._above.discard(id(given))
        return node

    def _fill(self, node: _Node, given: Any) -> None:
        kind = type_of(given)
        if kind in _SIZES or kind == "fixed":
            node.kind, node.size = _FIXED, _SIZES[kind] if kind in _SIZES else given["size"]
        elif kind in _NUMBERS:
            node.kind = _NUMBER
        elif kind == "union":
            node.kind, node.parts = _UNION, [self.node(branch) for branch in given]
        elif kind in ("array", "map"):
            inner = given["items" if kind == "array" else "values"]
            node.kind, node.parts = _LIST if kind == "array" else _MAP, [self.node(inner)]
            node.may_be_empty = kind == "array" and self.takes_nothing(inner, frozenset())
            self.has_empty_items |= node.may_be_empty
        elif kind in RECORDS:
            node.kind, node.parts = _RECORD, [self.node(field["type"]) for field in given["fields"]]
        elif isinstance(given, dict) and isinstance(given["type"], dict | list):
            self._fill(node, given["type"])
        else:
            node.kind = _BYTES

    def takes_nothing(self, given: Any, above: frozenset[int]) -> bool:
        """Whether no value of a type takes any bytes; not of one directly within itself, which has no value at all."""
        given = self._schema.look_up(given)
        kind = type_of(given)
        if kind in RECORDS:
            if id(given) in above:
                self.recurs_without_bytes = True
                return False
            above |= {id(given)}
            return all(self.takes_nothing(field["type"], above) for field in given["fields"])
        return kind == "null" or (kind == "fixed" and given["size"] == 0)


def _pass_over(payload: bytes, root: _Node) -> None:
    """Go over a payload as decoding will, without making anything of it.

    What does not fit the payload is left to the decoder, which tells it.

    Raises:
        DecodeError: It claims too much.
    """
    at = from_nothing = 0
    end = len(payload)
    todo: list[tuple[int, _Node, int, int]] = [(root.kind, root, 1, 0)]  # kind, node, depth, items that are left
    while todo:
        kind, node, depth, left = todo.pop()
        if kind == _FIXED:
            at += node.size
        elif kind == _RECORD:
            todo.extend((part.kind, part, depth + 1, 0) for part in reversed(node.parts))
        elif kind == _ITEMS:
            part = node.parts[0]
            if left > 1:
                todo.append((_ITEMS, node, depth, left - 1))
            if node.kind == _MAP:
                size, at = _number(payload, at)
                at += max(size, 0)
            todo.append((part.kind, part, depth + 1, 0))
        else:
            number, at = _number(payload, at)
            if kind == _BYTES:
                if number < 0:
                    return
                at += number
            elif kind == _UNION:
                if not 0 <= number < len(node.parts):
                    return
                part = node.parts[number]
                todo.append((part.kind, part, depth + 1, 0))
            elif kind != _NUMBER and number:
                if number < 0:
                    _, at = _number(payload, at)  # the size of the items in bytes
                todo.append((kind, node, depth, 0))  # what follows them: more, or the end
                if node.may_be_empty:
                    from_nothing += abs(number)
                else:
                    todo.append((_ITEMS, node, depth, abs(number)))
        if at > end:
            return
        if depth > MOST_LEVELS:
            raise DecodeError(f"is corrupt, or nested more than {MOST_LEVELS} levels deep")
        if from_nothing > MOST_FROM_NOTHING:
            raise DecodeError(f"is corrupt, or claims more than {OUT_OF_NOTHING}")


def _number(payload: bytes, at: int) -> tuple[int, int]:
    """Avro's whole number at a place, and the place behind it; past the end where there is none."""
    found = shift = 0
    for place in range(at, min(at + 10, len(payload))):
        byte = payload[place]
        found |= (byte & 0x7F) << shift
        if byte < 0x80:
            return (found >> 1) ^ -(found & 1), place + 1
        shift += 7
    return 0, len(payload) + 1
