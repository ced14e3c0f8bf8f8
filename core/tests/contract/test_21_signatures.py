"""Section 21: names, bases, arguments and defaults of all that users' code calls, inherits from or overrides.

The table is ``signatures.txt`` beside this file. An argument of ours that the table does not know must have a default.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from functools import reduce
from importlib import import_module
from pathlib import Path
from typing import Any, Final

import pytest

from pypz.core.commons.parameters import ExpectedParameter, OptionalParameter, RequiredParameter, type_text
from pypz.executors.commons import ExecutionMode

TABLE: Final = Path(__file__).with_name("signatures.txt")
NEED_NOT_BE_WRITTEN: Final = ("_on_interrupt", "_on_error")
"""Abstract once, with a default today."""

KNOWN: Final = {
    kind.__name__: kind for kind in (OptionalParameter, RequiredParameter, ExecutionMode, ExpectedParameter)
}
"""What defaults and constants in the table name beside what their own module has."""

Row = tuple[str, str, str]


def rows() -> Iterator[Row]:
    """Module, class (empty for the module itself; with bases) and member (empty for the class itself)."""
    module = owner = ""
    for line in TABLE.read_text().splitlines():
        if line.startswith("#"):
            continue
        if line.startswith("    "):
            yield module, owner, line.strip()
        elif line.startswith("  "):
            owner = "" if line.strip() == "module" else line.strip()
            if owner:
                yield module, owner, ""
        else:
            module = line


ROWS: Final = tuple(rows())


def find(module: str, owner: str) -> Any:
    name = owner.partition("(")[0]
    return reduce(getattr, name.split("."), import_module(module)) if name else import_module(module)


def describe(row: Row) -> str:
    module, owner, member = row
    name = re.sub(r"^(abstract|static) ", "", member)
    return ".".join(filter(None, (module, owner.partition("(")[0], re.split(r"[(: ]", name)[0])))


def of(keep: Callable[[Row], bool]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("row", [pytest.param(row, id=describe(row)) for row in ROWS if keep(row)])


def test_the_table_is_whole() -> None:
    assert len(ROWS) == 369
    assert len({describe(row) for row in ROWS}) == len(ROWS)


@of(lambda row: not row[2])
def test_a_class_has_its_bases(row: Row) -> None:
    cls = find(*row[:2])
    wanted = {base.split(".")[-1] for base in re.split(r"[(), ]+", row[1].partition("(")[2]) if base}
    assert isinstance(cls, type)
    assert wanted <= {base.__name__ for base in cls.__mro__}


@of(lambda row: "(" in row[2] and " = " not in row[2])
def test_a_callable_takes_its_arguments(row: Row) -> None:
    owner = find(*row[:2])
    abstract, static, name, text = re.fullmatch(r"(abstract )?(static )?(\w+)\((.*)\)", row[2]).groups()  # type: ignore[union-attr]
    found = inspect.getattr_static(owner, name) if inspect.ismodule(owner) else attribute(owner, name)
    assert isinstance(found, staticmethod) == bool(static)
    if abstract and name not in NEED_NOT_BE_WRITTEN:
        assert found.__isabstractmethod__
    ours = [p for p in inspect.signature(found).parameters.values() if p.name != "self"]
    assert_accepts(ours, arguments(text))


@of(lambda row: " = " in row[2])
def test_a_constant_or_described_parameter_has_its_value(row: Row) -> None:
    name, _, text = row[2].partition(" = ")
    owner = find(*row[:2])
    found = attribute(owner, name) if row[1] else getattr(owner, name)
    wanted = eval(text, {**KNOWN, **vars(import_module(row[0]))})
    if not isinstance(wanted, ExpectedParameter):
        assert getattr(found, "value", found) == wanted
        return
    assert type(found) is type(wanted)
    assert (found.name, type_text(found.parameter_type)) == (wanted.alt_name or name, type_text(wanted.parameter_type))


def attribute(owner: type, name: str) -> Any:
    return next(vars(cls)[name] for cls in owner.__mro__ if name in vars(cls))


def arguments(text: str) -> list[inspect.Parameter]:
    made: dict[str, Any] = dict(KNOWN)
    exec(f"def wanted({text}): ...", made)
    return list(inspect.signature(made["wanted"]).parameters.values())


def assert_accepts(ours: list[inspect.Parameter], wanted: list[inspect.Parameter]) -> None:
    """Every call that fits ``wanted`` fits ``ours``."""
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    assert [p.kind for p in wanted if p.kind not in plain] == [
        p.kind for p in ours if p.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    ]
    ours_plain = [p for p in ours if p.kind in plain]
    wanted_plain = [p for p in wanted if p.kind in plain]
    known = len(wanted_plain)
    assert [p.name for p in ours_plain[:known]] == [p.name for p in wanted_plain]
    for mine, theirs in zip(ours_plain, wanted_plain, strict=False):
        assert theirs.default in (inspect.Parameter.empty, mine.default), mine.name
    added = [*ours_plain[known:], *(p for p in ours if p.kind is inspect.Parameter.KEYWORD_ONLY)]
    assert all(p.default is not inspect.Parameter.empty for p in added)
