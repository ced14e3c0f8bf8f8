"""Makes ``docs/hooks.md`` from the specification of the hooks.

    .venv/bin/python docs/make_hooks_page.py [--check]

With ``--check`` nothing is written, and the exit code is 1 when the page says something else than the code.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import re
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from pypz.core.hooks import events, spec
from pypz.core.hooks.host import BUILDING, OBSERVING
from pypz.core.hooks.loader import HOOKS

ROOT: Final = Path(__file__).resolve().parents[1]
PAGE: Final = ROOT / "docs" / "hooks.md"
SECTIONS: Final = ("Args", "Returns", "Raises")

HEAD: Final = """\
# Hooks

<!-- Made by docs/make_hooks_page.py from pypz.core.hooks.spec; change that file, then run the program. -->

A plugin takes part in pypz by functions of agreed names: hooks. It is a module, named in the entry point group
`{group}` of its distribution, or an object given to `PluginHost.register`; each function carries `@hookimpl` and takes
those arguments of the hook that it wants, by name. [Writing a plugin](writing-a-plugin.md) shows a whole one.

This is contract {contract}. A module may state the contract it is made for as `PYPZ_CONTRACT = {contract}`; one that states
another number, has an unknown hook or a wrong argument is not loaded, and `pypz plugins` tells why. The others are loaded.
New hooks and new arguments keep the contract; anything else would open `pypz.v{next}`.

- **Building** hooks are asked. They describe and build and do no I/O; what they return does the work. Plugins are asked
  in the order of their names, the core last; the first answer that is not None wins, and nobody is asked after it. A plugin
  that fails, or answers nonsense, is named on stderr and passed over where another one answers; one that takes 10 s is named.
- **Observing** hooks are told what happened, in the order in which it happened, by one thread a process. Figures are
  coalesced: of those of one port and channel that wait, only the latest is told. Everything else is told without
  exception. A pipeline never waits for an observer: one that raises, or that is busy for {busy:g} s with one event, is named on
  stderr and told nothing more.

Observing hooks are called in the process where something happens. A viewer elsewhere gets the same calls again from the
channels' status streams; see [how the sniffer does it](sniffer.md).

| hook | kind | in one line |
|---|---|---|
"""


def make_page() -> str:
    """Give the text of the page."""
    from pypz.core.hooks.dispatcher import BUSY_LIMIT_S

    head = HEAD.format(group=spec.ENTRY_POINT_GROUP, contract=spec.CONTRACT, next=spec.CONTRACT + 1, busy=BUSY_LIMIT_S)
    parts = [head + "".join(f"| [`{n}`](#{n}) | {_kind(n)} | {_summary(HOOKS[n])} |\n" for n in HOOKS)]
    for title, names in (("Building", BUILDING), ("Observing", OBSERVING)):
        parts.append(f"## {title}\n")
        parts += [_hook(name) for name in names]
    parts.append(
        "## What observers are told\n\n"
        "Frozen dataclasses of `pypz.core.hooks.events`. `to_json()` and `from_json()` turn them into plain JSON values "
        "and back;\nfields that a version does not know are ignored.\n"
    )
    parts += [_event(name, comments) for name, comments in _events()]
    return "\n".join(parts)


def _kind(name: str) -> str:
    return "building" if name in BUILDING else "observing"


def _summary(function: Callable[..., Any]) -> str:
    return _plain(inspect.cleandoc(function.__doc__ or "").partition("\n")[0])


def _hook(name: str) -> str:
    function = HOOKS[name]
    lines = [f"### {name}", "", "```text", f"{name}{_signature(function)}", "```", ""]
    text, sections = _cut(inspect.cleandoc(function.__doc__ or ""))
    lines += [_plain(text), ""]
    for title in SECTIONS:
        if title in sections:
            lines += [f"**{title}**", "", *(f"- {item}" for item in _items(title, sections[title])), ""]
    return "\n".join(lines)


def _signature(function: Callable[..., Any]) -> str:
    signature = inspect.signature(function)
    arguments = ", ".join(f"{p.name}: {p.annotation}" for p in signature.parameters.values())
    return f"({arguments}) -> {signature.return_annotation}"


def _cut(doc: str) -> tuple[str, dict[str, str]]:
    """Part a docstring into its text and its sections."""
    parts = re.split(rf"(?m)^({'|'.join(SECTIONS)}):\n", doc)
    return parts[0].strip(), dict(zip(parts[1::2], map(textwrap.dedent, parts[2::2]), strict=True))


def _items(title: str, section: str) -> Iterator[str]:
    """Lines of a list: one for each argument or error."""
    text = re.sub(r"\n +", " ", section.strip())
    if title == "Returns":
        yield _plain(text.replace("\n", " "))
        return
    for item in text.split("\n"):
        name, _, rest = item.partition(":")
        yield f"`{name}`: {_plain(rest.strip())}"


def _plain(text: str) -> str:
    return text.replace("``", "`")


def _events() -> Iterator[tuple[type, dict[str, str]]]:
    """Each event class with what stands below its fields."""
    for node in ast.parse(inspect.getsource(events)).body:
        found = getattr(events, node.name, None) if isinstance(node, ast.ClassDef) else None
        if not isinstance(node, ast.ClassDef) or found is None or not dataclasses.is_dataclass(found):
            continue
        comments: dict[str, str] = {}
        for field, below in zip(node.body, node.body[1:], strict=False):
            text = below.value if isinstance(below, ast.Expr) else None
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Constant):
                comments[ast.unparse(field.target)] = " ".join(str(text.value).split())
        assert isinstance(found, type)
        yield found, comments


def _event(kind: type, comments: dict[str, str]) -> str:
    lines = [f"### {kind.__name__}", "", _plain(inspect.cleandoc(kind.__doc__ or "")), ""]
    lines += ["| field | type | meaning |", "|---|---|---|"]
    for field in dataclasses.fields(kind):
        shown = str(field.type).replace("|", "\\|")
        lines.append(f"| `{field.name}` | `{shown}` | {_plain(comments.get(field.name, ''))} |")
    return "\n".join([*lines, ""])


def main() -> int:
    """Write the page, or compare it."""
    text = make_page()
    if "--check" in sys.argv[1:]:
        is_same = PAGE.exists() and PAGE.read_text(encoding="utf-8") == text
        print(f"{PAGE.name} {'says what the code says' if is_same else 'differs: run docs/make_hooks_page.py'}")
        return 0 if is_same else 1
    PAGE.write_text(text, encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
