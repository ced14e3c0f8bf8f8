"""Makes the tables in ``docs/parameters.md`` from the described parameters of the classes.

    .venv/bin/python docs/make_parameters_page.py [--check]

With ``--check`` nothing is written, and the exit code is 1 when a table says something else than its class.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from pypz.core.commons.parameters import ExpectedParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import Plugin

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "parameters.md"
TABLE: Final = re.compile(r"(?s)<!-- parameters of ([\w.]+) -->\n.*?<!-- end -->")
"""What is replaced; the comment names the class."""


def make_page(text: str) -> str:
    """Give the page with all its tables made anew."""
    tabled = set(TABLE.findall(text))
    return TABLE.sub(
        lambda found: f"<!-- parameters of {found[1]} -->\n\n{_table(found[1], tabled)}\n<!-- end -->", text
    )


def list_described(modules: Iterable[str]) -> set[str]:
    """Give the full names of all classes, in these modules, that describe parameters of their own."""
    found = set()
    for module in modules:
        for kind in vars(importlib.import_module(module)).values():
            is_public = isinstance(kind, type) and kind.__module__ == module and not kind.__name__.startswith("_")
            if is_public and issubclass(kind, Pipeline | Operator | Plugin) and _own_parameters(kind):
                found.add(f"{module}.{kind.__qualname__}")
    return found


def _table(name: str, tabled: set[str]) -> str:
    lines = ["| parameter | type | default | meaning |", "|---|---|---|---|"]
    for parameter, told in _parameters_of(name, tabled).items():
        default = "required" if told["required"] and told["currentValue"] is None else f"`{told['currentValue']!r}`"
        meaning = str(told["description"] or "").replace("|", "\\|")
        lines.append(f"| `{parameter}` | `{told['type']}` | {default} | {meaning} |")
    return "\n".join(lines) + "\n"


def _parameters_of(name: str, tabled: set[str]) -> dict[str, dict[str, Any]]:
    """What a class describes, but for what those of its bases describe that have a table of their own."""
    kind = _load(name)
    above = {load for load in map(_load, tabled) if load is not kind and issubclass(kind, load)}
    left_out = {parameter for base in above for parameter in _own_parameters(base)}
    told: dict[str, dict[str, Any]] = _make(kind).get_expected_parameters()
    return {parameter: values for parameter, values in told.items() if parameter not in left_out}


def _own_parameters(kind: type[Any]) -> set[str]:
    return {value.name for value in vars(kind).values() if isinstance(value, ExpectedParameter)}


def _load(name: str) -> type[Any]:
    module, _, kind = name.rpartition(".")
    found = getattr(importlib.import_module(module), kind)
    assert isinstance(found, type)
    return found


def _make(kind: type[Any]) -> Any:
    """Make an instance of a class whose abstract methods nobody calls."""
    methods = {method: lambda self, *args: True for method in getattr(kind, "__abstractmethods__", ())}
    return types.new_class(kind.__name__, (kind,), exec_body=lambda names: names.update(methods))("documented")


def main() -> int:
    """Write the page, or compare it."""
    old = PAGE.read_text(encoding="utf-8")
    new = make_page(old)
    if "--check" in sys.argv[1:]:
        print(f"{PAGE.name} {'says what the code says' if old == new else 'differs: run docs/make_parameters_page.py'}")
        return 0 if old == new else 1
    PAGE.write_text(new, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
