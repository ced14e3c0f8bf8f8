"""Whether what one schema has written can be read by another (Avro's rules of schema resolution)."""

from __future__ import annotations

from typing import Any, Final

from pypz.core.commons.errors import SchemaError
from pypz.plugins.avro_codec.schema import RECORDS, ParsedSchema, type_of, words_for

PROMOTIONS: Final = {
    "int": {"long", "float", "double"},
    "long": {"float", "double"},
    "float": {"double"},
    "string": {"bytes"},
    "bytes": {"string"},
}
"""What a reader takes beside the same type, by the writer's type (Avro specification, schema resolution)."""


def check(writer: ParsedSchema, reader: ParsedSchema) -> None:
    """Refuse a pair of schemas of which no value, or not every record, could be read.

    Raises:
        SchemaError: Names the place, and what stands on both sides.
    """
    fault = _Pair(writer, reader).fault(writer.array["items"], reader.array["items"], "")
    if fault:
        raise SchemaError(f"the reader's schema cannot read what the writer's schema writes: {fault}")


class _Pair:
    def __init__(self, writer: ParsedSchema, reader: ParsedSchema) -> None:
        self._writer = writer
        self._reader = reader
        self._seen: set[tuple[int, int]] = set()

    def fault(self, wrote: Any, reads: Any, path: str) -> str | None:
        wrote, reads = self._writer.look_up(wrote), self._reader.look_up(reads)
        if (id(wrote), id(reads)) in self._seen:  # a type within itself
            return None
        if isinstance(wrote, dict | list) and isinstance(reads, dict | list):
            self._seen.add((id(wrote), id(reads)))
        place = f"field {path!r}" if path else "the record"
        differs = f"{place} was written as {words_for(wrote)}, the reader expects {words_for(reads)}"
        if isinstance(wrote, list):
            faults = [self.fault(branch, reads, path) for branch in wrote]
            return differs if all(faults) else None
        if isinstance(reads, list):
            return differs if all(self.fault(wrote, branch, path) for branch in reads) else None
        return self._same_kind(wrote, reads, path, differs)

    def _same_kind(self, wrote: Any, reads: Any, path: str, differs: str) -> str | None:
        kind, expected = type_of(wrote), type_of(reads)
        if kind in RECORDS and expected in RECORDS:
            return self._records(wrote, reads, path) if _same_name(wrote, reads) else differs
        if kind != expected:
            return None if expected in PROMOTIONS.get(kind, ()) else differs
        if kind == "array":
            return self.fault(wrote["items"], reads["items"], f"{path}[]")
        if kind == "map":
            return self.fault(wrote["values"], reads["values"], f"{path}[]")
        if kind == "fixed":
            return None if wrote["size"] == reads["size"] and _same_name(wrote, reads) else differs
        if kind == "enum":
            can_meet = "default" in reads or set(wrote["symbols"]) & set(reads["symbols"])
            return None if can_meet and _same_name(wrote, reads) else differs
        return None

    def _records(self, wrote: Any, reads: Any, path: str) -> str | None:
        written = {field["name"]: field for field in wrote["fields"]}
        for field in reads["fields"]:
            name = f"{path}.{field['name']}" if path else field["name"]
            source = next((written[n] for n in (field["name"], *field.get("aliases", ())) if n in written), None)
            if source is not None:
                fault = self.fault(source["type"], field["type"], name)
                if fault:
                    return fault
            elif "default" not in field:
                return (
                    f"the reader expects field {name!r} ({words_for(field['type'])}), which the writer does not write; "
                    "give it a default"
                )
        return None


def _same_name(wrote: Any, reads: Any) -> bool:
    """Whether the unqualified names agree, or an alias of the reader's is the writer's name."""
    name = wrote["name"]
    accepted = {reads["name"], *reads.get("aliases", ())}
    return name in accepted or name.rsplit(".", 1)[-1] in {one.rsplit(".", 1)[-1] for one in accepted}
