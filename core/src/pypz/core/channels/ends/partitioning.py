"""Which partition a record goes to by the value of a field: the same value, the same partition, in every process.

The hash is Kafka's murmur2 of the value's text, as Kafka's own clients use it for the keys of their messages.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import uuid
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from pypz.core.commons.errors import RecordError

SEED: Final = 0x9747B28C
"""murmur2's seed as Kafka's clients set it (org.apache.kafka.common.utils.Utils)."""
KNOWN_KEYS: Final = 16_384
"""Keys whose hashes are kept (chosen): hashing one takes some microseconds, finding it a tenth of that."""

_WORD: Final = 0xFFFFFFFF
_FACTOR: Final = 0x5BD1E995


def murmur2(data: bytes) -> int:
    """Hash bytes as Kafka's default partitioner does: 32 bits, without sign.

    >>> murmur2(b"abc")
    479470107
    """
    length = len(data)
    found = SEED ^ length
    whole = length & ~3
    for place in range(0, whole, 4):
        word = int.from_bytes(data[place : place + 4], "little") * _FACTOR & _WORD
        word = (word ^ (word >> 24)) * _FACTOR & _WORD
        found = (found * _FACTOR & _WORD) ^ word
    if whole < length:
        found = (found ^ int.from_bytes(data[whole:], "little")) * _FACTOR & _WORD
    found = (found ^ (found >> 13)) * _FACTOR & _WORD
    return found ^ (found >> 15)


def key_bytes(value: Any) -> bytes:
    """Spell a key: numbers of equal value alike, text as UTF-8, None as nothing.

    Raises:
        TypeError: It is of a type that makes no key, such as a list.

    >>> key_bytes(7), key_bytes(7.0), key_bytes("7")
    (b'7', b'7', b'7')
    """
    if isinstance(value, str) and not isinstance(value, enum.Enum):
        return value.encode("utf-8", "surrogatepass")
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int) and not isinstance(value, enum.Enum):
        return b"%d" % value
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    return _rare_key(value)


def _rare_key(value: Any) -> bytes:
    if isinstance(value, enum.Enum):
        return key_bytes(value.value)
    if isinstance(value, float):
        return (str(int(value)) if value.is_integer() else repr(value)).encode()
    if isinstance(value, decimal.Decimal):
        is_whole = value.is_finite() and value == value.to_integral_value()
        return (str(int(value)) if is_whole else str(value.normalize())).encode()
    if isinstance(value, datetime.datetime) and value.tzinfo is not None:
        return value.astimezone(datetime.UTC).isoformat().encode()
    if isinstance(value, datetime.date):
        return value.isoformat().encode()
    if isinstance(value, uuid.UUID):
        return str(value).encode()
    raise TypeError(f"a value of type {type(value).__name__} makes no key; text, numbers, bytes, dates and null do")


class Partitioner:
    """Finds the hash of each record's key field (parameter ``partitionBy``)."""

    def __init__(self, field: str) -> None:
        """Take the field's name.

        Args:
            field: Its name; dots lead into nested records, such as ``station.id``.
        """
        self.field = field
        self._path = tuple(field.split("."))
        self._hash = lru_cache(KNOWN_KEYS)(lambda kind, value: murmur2(key_bytes(value)) & 0x7FFFFFFF)

    def hashes(self, records: Sequence[Any]) -> list[int]:
        """Give each record's hash; its remainder by the number of partitions is the partition.

        Raises:
            RecordError: A record does not have the field, or its value makes no key; names record, field and value.
        """
        return [self._hash_of(record, place) for place, record in enumerate(records)]

    def _hash_of(self, record: Any, place: int) -> int:
        value = record
        for name in self._path:
            try:
                value = value[name] if isinstance(value, Mapping) else getattr(value, name)
            except (KeyError, AttributeError, TypeError):
                raise RecordError(
                    f"there is no field {self.field!r}, by which it is partitioned (partitionBy); it has "
                    f"{_fields_of(value)}",
                    place,
                ) from None
        try:
            return self._hash(value.__class__, value)
        except TypeError:
            return self._hash_of_unhashable(value, place)

    def _hash_of_unhashable(self, value: Any, place: int) -> int:
        """A ``bytearray`` makes a key although Python cannot hash it; a list makes none."""
        try:
            return murmur2(key_bytes(value)) & 0x7FFFFFFF
        except TypeError as error:
            raise RecordError(
                f"field {self.field!r}, by which it is partitioned (partitionBy), is {repr(value)[:60]}: {error}", place
            ) from error


def by_partition(hashes: Sequence[int], partitions: int) -> dict[int, list[int]]:
    """Sort the places of records by partition; within one they keep their order.

    >>> by_partition([4, 7, 5, 10], 3)
    {1: [0, 1, 3], 2: [2]}
    """
    found: dict[int, list[int]] = {}
    for place, key in enumerate(hashes):
        found.setdefault(key % partitions, []).append(place)
    return found


def _fields_of(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(sorted(str(name) for name in value)[:10]) or "none"
    return f"a value of type {type(value).__name__}"
