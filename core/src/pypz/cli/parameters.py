"""``pypz params``: what can be set on a pipeline, an operator, a port, and what is set."""

from __future__ import annotations

import dataclasses
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.given import nested_of
from pypz.cli.options import AsJson, Debug, Parameters, PipelineName, Target
from pypz.cli.screen import as_json_text, stdout
from pypz.cli.target import load_instance, split_names
from pypz.core.commons import secrets
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.origins import defaults_of, origin_of
from pypz.core.specs.instance import Instance, Internals

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text


NOT_DESCRIBED: Final = "not described"
LONG_VALUE: Final = 36
"""Characters of a value that stand on one line of the plan's table (chosen, for 80 columns)."""


@dataclass(frozen=True)
class Parameter:
    """One parameter of one instance; secrets are masked."""

    name: str
    type: str | None
    """As declared; None for one that no class describes."""
    required: bool
    default: Any
    """What the constructor assigns, where it is known: None else."""
    value: Any
    origin: str
    description: str | None


@dataclass(frozen=True)
class Described:
    """An instance and its parameters."""

    instance: str
    of_class: str
    parameters: tuple[Parameter, ...]


def params(
    target: Target = None,
    only: Annotated[
        str | None, typer.Argument(metavar="[INSTANCE]", help="Operator, or operator.plugin; left out: all.")
    ] = None,
    parameter: Parameters = None,
    name: PipelineName = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show the parameters of a class or of a pipeline: type, default, current value, and where that comes from.

    pypz params letters:Letters

    pypz params letters:Letters sink.letters

    pypz params pypz.abstracts.channel_ports:ChannelInputPort

    A required parameter is marked with *. The exit code is 0, or 1 when there is no such class or instance.
    """
    with told_plainly(debug, as_json):
        target, only = split_names(target, only)
        whole = load_instance(target, name, parameter or [])
        found = describe(_chosen(whole, only))
        if as_json:
            sys.stdout.write(as_json_text([dataclasses.asdict(one) for one in found]))
            return
        console = stdout()
        for one in found:
            console.print(f"{one.instance}  ({one.of_class})", style="bold")
            for line in lines_of(one.parameters, console.width):
                console.print(line)
            console.print()


def describe(instance: Instance[Any]) -> list[Described]:
    """An instance and all nested in it, with their parameters."""
    values: dict[str, Any] = instance.get_dto().parameters or {}
    described = instance.get_expected_parameters()
    defaults = secrets.mask(instance._pypz_secret_scope(), defaults_of(instance), instance._pypz_secret_names())
    rows = [
        Parameter(
            name=name,
            type=described[name]["type"] if name in described else None,
            required=bool(name in described and described[name]["required"]),
            default=defaults.get(name),
            value=values.get(name),
            origin=str(origin_of(instance, name)),
            description=described[name]["description"] if name in described else None,
        )
        for name in dict.fromkeys([*described, *values])
    ]
    own = Described(instance.get_full_name(), Internals(instance).spec_name, tuple(rows))
    return [own, *(found for nested in nested_of(instance) for found in describe(nested))]


def lines_of(parameters: Iterable[Parameter], width: int) -> Iterator[Text]:
    """Parameters one below the other: name, type and value; where that comes from; what it is. Words stay whole."""
    from rich.text import Text

    rows = list(parameters)
    names = max((len(one.name) for one in rows), default=0) + 1
    types = max((len(one.type or NOT_DESCRIBED) for one in rows), default=0)
    for one in rows:
        is_missing = one.required and one.value is None
        value = Text("missing" if is_missing else shown(one.value), style="red" if is_missing else "")
        name = one.name + ("*" if one.required else "")
        yield Text.assemble(f" {name:{names}}  {one.type or NOT_DESCRIBED:{types}}  ", value)
        indent = " " * 4
        for text, style in ((_origin(one), "" if _is_class_default(one) else "cyan"), (one.description or "", "dim")):
            for line in textwrap.wrap(text, max(width - 4, 20), break_long_words=False, break_on_hyphens=False):
                yield Text(indent + line, style=style)


def _origin(one: Parameter) -> str:
    is_changed = one.default != one.value and not _is_class_default(one)
    return f"{one.origin}; default {shown(one.default)}" if is_changed else one.origin


def _is_class_default(one: Parameter) -> bool:
    return one.origin.startswith("default")


def table_of(parameters: Iterable[Parameter]) -> Table:
    """Parameters as a table, readable in 80 columns, without descriptions."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE, pad_edge=False, padding=(0, 1))
    table.add_column("parameter", no_wrap=True)
    table.add_column("type", overflow="fold")
    table.add_column("value", no_wrap=True)
    table.add_column("from", overflow="fold")
    for one in parameters:
        is_missing = one.required and one.value is None
        table.add_row(
            one.name + ("*" if one.required else ""),
            one.type or NOT_DESCRIBED,
            Text("missing" if is_missing else _broken(shown(one.value)), style="red" if is_missing else ""),
            Text(_origin(one), style="" if _is_class_default(one) else "cyan"),
        )
    return table


def shown(value: Any) -> str:
    """A value as people read it.

    >>> shown(None), shown("a"), shown({"b": 1})
    ('-', 'a', "{'b': 1}")
    """
    return "-" if value is None else str(value)


def _broken(text: str) -> str:
    """A value in lines, broken at spaces and behind commas: addresses stay whole."""
    if len(text) <= LONG_VALUE:
        return text
    return "\n".join(textwrap.wrap(re.sub(r",(?=\S)", ", ", text), LONG_VALUE, break_on_hyphens=False))


def _chosen(whole: Instance[Any], only: str | None) -> Instance[Any]:
    """The instance of this name, simple or full, within another."""
    chosen = whole
    for part in (only or "").removeprefix(f"{whole.get_full_name()}.").split("."):
        if part in ("", whole.get_full_name()):
            continue
        nested = {found.get_simple_name(): found for found in nested_of(chosen)}
        if part not in nested:
            there = ", ".join(nested) or "none"
            raise ConfigurationError(f"{chosen.get_full_name()} nests nothing named {part!r}; there are: {there}")
        chosen = nested[part]
    return chosen
