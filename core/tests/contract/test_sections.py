"""Every section has its module, and every test that README.md names is there."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parents[2]
README: Final = (HERE / "README.md").read_text()
SECTIONS: Final = (*range(1, 10), 11, 14, *range(17, 22))
FAULTS: Final = range(1, 18)


def rows(heading: str) -> dict[int, str]:
    """Rows by number of the table that comes next behind ``heading``."""
    table = README.split(heading, 1)[1].split("\n#", 1)[0]
    return {int(number): row for number, row in re.findall(r"(?m)^\| (\d+) \|(.*)\|$", table)}


BY_SECTION: Final = rows("# What code written for pypz 0.10.2 relies on")
BY_FAULT: Final = rows("## The faults of 0.10.2")


@cache
def functions_of(path: Path) -> set[str]:
    return {node.name for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)}


def named(text: str) -> list[tuple[Path, str]]:
    found = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", text)
    return [((ROOT if "/" in path else HERE) / path, test) for path, test in found]


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_has_its_module_with_tests(section: int) -> None:
    here = [path for path, _ in named(BY_SECTION[section]) if path.name.startswith(f"test_{section:02}_")]
    assert here
    assert all(any(name.startswith("test_") for name in functions_of(path)) for path in here)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_has_a_test_that_it_is_absent(fault: int) -> None:
    assert any(test for _, test in named(BY_FAULT[fault]))


def test_every_test_that_is_named_is_there() -> None:
    for path, test in named(README):
        assert path.is_file(), path
        assert not test or test in functions_of(path), f"{path.name}: {test}"


def test_every_module_here_is_named() -> None:
    modules = {path.name for path in HERE.glob("test_*.py")}
    assert modules <= {path.name for path, _ in named(README)}
