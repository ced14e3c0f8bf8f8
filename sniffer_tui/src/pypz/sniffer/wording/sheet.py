"""Records as cells of a sheet, and which of them are wanted: texts for a screen or a test to show."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Sequence
from typing import Any, Final

from rich.cells import cell_len, set_cell_size

from pypz.cli.peeking import ABSENT, Condition, Seen, field_of, read_condition
from pypz.core.commons.errors import ConfigurationError
from pypz.sniffer.model.texts import one_line

FIELDS: Final = 12
"""Fields shown as columns at most, where the user has chosen none (chosen)."""


def table_of(records: Sequence[Seen], columns: Sequence[str]) -> tuple[list[str], list[list[str]]]:
    """Headings and cells: chosen columns, the fields of records that have some, else each record in one."""
    fields = list(columns)
    if not fields:
        found = dict.fromkeys(name for seen in records for name in fields_of(seen.record))
        fields = list(found)[:FIELDS]
    names = [" part", "position", *(fields or ["record"])]
    rows = [
        [
            f" {seen.partition}",
            f"{seen.position}+{seen.index}",
            *([cell_of(seen.record, field) for field in fields] or [json_of(seen.record)]),
        ]
        for seen in records
    ]
    return names, rows


def fields_of(record: Any) -> list[str]:
    """Names of a record's fields; none for one that has none."""
    if isinstance(record, dict):
        return [str(name) for name in record]
    return list(getattr(record, "__struct_fields__", ()))


def cell_of(record: Any, field: str) -> str:
    """A field as a short text; empty where the record lacks it."""
    value = field_of(record, field)
    return "" if value is ABSENT else value if isinstance(value, str) else json_of(value)


def joined(cells: Sequence[str], widths: Sequence[int], to_the_right: Container[int] = ()) -> str:
    """Cells side by side, each as wide as its column, what is longer cut off; columns of these numbers stand to the right.

    >>> joined(["7", "Łódź", "東京都"], [3, 5, 5], to_the_right={0})
    '  7  Łódź   東京…'
    """
    return "  ".join(
        _fitted(one_line(cell), width, is_right=place in to_the_right)
        for place, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )


def _fitted(text: str, width: int, *, is_right: bool) -> str:
    if cell_len(text) > width:
        text = set_cell_size(text, width - 1).rstrip() + "…"
    space = " " * (width - cell_len(text))
    return space + text if is_right else text + space


def numeric_columns(cells: Sequence[Sequence[str]]) -> set[int]:
    """Numbers of the columns that hold nothing but numbers, the first two (partition, position) left out.

    >>> numeric_columns([[" 0", "7+1", "12", "Bergen", ""], [" 0", "7+2", "-3.5", "7", ""]])
    {2}
    """
    columns = enumerate(zip(*cells, strict=True))
    return {
        i for i, column in columns if i > 1 and any(column) and all(_NUMBER.fullmatch(cell) for cell in column if cell)
    }


_NUMBER: Final = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")


def json_of(value: Any, indent: int | None = None) -> str:
    """A record as JSON, objects of classes by their fields, what JSON lacks as text."""
    return json.dumps(value, indent=indent, default=_plain, ensure_ascii=False)


def _plain(value: Any) -> Any:
    fields = getattr(value, "__struct_fields__", None)
    return str(value) if fields is None else {name: getattr(value, name) for name in fields}


def read_where(text: str) -> tuple[list[Condition], str]:
    """Conditions, or where it is none, a text to be found anywhere in a record.

    >>> read_where("rome"), read_where("")
    (([], 'rome'), ([], ''))
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    try:
        return [read_condition(part) for part in parts], ""
    except ConfigurationError:
        return [], text.strip().casefold()
