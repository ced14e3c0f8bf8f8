"""``pypz graph``: who sends to whom, as text or for Mermaid."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Annotated

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.given import nested_of
from pypz.cli.options import AsJson, Debug, Parameters, PipelineName, Target
from pypz.cli.screen import as_json_text
from pypz.cli.target import load_pipeline
from pypz.core.specs.plugin import OutputPortPlugin

if TYPE_CHECKING:
    from pypz.core.specs.pipeline import Pipeline


class Format(Enum):
    """How a graph is written."""

    TEXT = "text"
    MERMAID = "mermaid"


@dataclass(frozen=True)
class Edge:
    """One output port connected to one input port, by simple names."""

    source: str
    output: str
    target: str
    input: str
    closes_cycle: bool = False


@dataclass(frozen=True)
class Node:
    """One operator."""

    name: str
    of_class: str
    members: int
    """Principal and replicas."""
    level: int
    """0 for those that only send; else one more than the highest level that sends to it, cycles left out."""


@dataclass(frozen=True)
class Graph:
    """A pipeline's operators, by level, and their connections."""

    pipeline: str
    operators: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph(
    target: Target = None,
    form: Annotated[Format, typer.Option("--format", case_sensitive=False, help="How it is written.")] = Format.TEXT,
    parameter: Parameters = None,
    name: PipelineName = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Draw a pipeline: operators by level, their replicas, who sends to whom; connections that close a cycle are marked.

    pypz graph letters:Letters

    pypz graph letters:Letters --format mermaid > letters.mmd

    The exit code is 0, or 1 when the pipeline cannot be made.
    """
    with told_plainly(debug, as_json):
        found = graph_of(load_pipeline(target, name, parameter or [], mock_nonexistent=True))
        if as_json:
            sys.stdout.write(as_json_text(dataclasses.asdict(found)))
        else:
            lines = mermaid(found) if form is Format.MERMAID else drawing(found)
            sys.stdout.write("".join(f"{line}\n" for line in lines))


def graph_of(pipeline: Pipeline) -> Graph:
    """Read a pipeline's connections."""
    operators = nested_of(pipeline)
    reached: dict[str, list[tuple[str, str, str]]] = {op.get_simple_name(): [] for op in operators}
    for op in operators:
        for port in nested_of(op):
            if isinstance(port, OutputPortPlugin):
                others = ((o.get_context().get_simple_name(), o.get_simple_name()) for o in port.get_connected_ports())
                for other, entry in sorted(others):
                    reached[op.get_simple_name()].append((port.get_simple_name(), other, entry))
    edges = list(_edges(reached))
    levels = _levels(list(reached), [edge for edge in edges if not edge.closes_cycle])
    nodes = [
        Node(op.get_simple_name(), type(op).__qualname__, op.get_group_size(), levels[op.get_simple_name()])
        for op in operators
    ]
    return Graph(pipeline.get_full_name(), tuple(sorted(nodes, key=lambda node: node.level)), tuple(edges))


def _edges(reached: dict[str, list[tuple[str, str, str]]]) -> Iterator[Edge]:
    """All connections; one that leads back to where the search came from closes a cycle."""
    closing: set[tuple[str, str]] = set()
    done: set[str] = set()
    targets = {name for found in reached.values() for _, name, _ in found}
    for first in sorted(reached, key=lambda name: name in targets):  # from those that only send
        path: list[tuple[str, Iterator[str]]] = []
        if first not in done:
            path.append((first, iter([name for _, name, _ in reached[first]])))
        while path:
            name, ahead = path[-1]
            following = next(ahead, None)
            if following is None:
                done.add(path.pop()[0])
            elif following in {step for step, _ in path}:
                closing.add((name, following))
            elif following not in done:
                path.append((following, iter([other for _, other, _ in reached[following]])))
    for source, found in reached.items():
        for output, target, entry in found:
            yield Edge(source, output, target, entry, (source, target) in closing)


def _levels(names: list[str], edges: list[Edge]) -> dict[str, int]:
    levels = dict.fromkeys(names, 0)
    for _ in names:  # the longest way has as many steps as there are names, at most
        changed = False
        for edge in edges:
            if levels[edge.target] <= levels[edge.source]:
                levels[edge.target] = levels[edge.source] + 1
                changed = True
        if not changed:
            break
    return levels


def drawing(found: Graph) -> Iterator[str]:
    """Lines of text, one level below the other."""
    yield found.pipeline
    level = -1
    for node in found.operators:
        if node.level != level:
            level = node.level
            yield ""
            yield f"level {level}"
        yield f"  {_label(node)}  ({node.of_class})"
        for edge in found.edges:
            if edge.source == node.name:
                back = "   (closes a cycle)" if edge.closes_cycle else ""
                yield f"    {edge.output} ──▶ {edge.target}.{edge.input}{back}"
        if not any(node.name in (edge.source, edge.target) for edge in found.edges):
            yield "    (connected to nothing)"


def mermaid(found: Graph) -> Iterator[str]:
    """Lines of a Mermaid flowchart."""
    yield "flowchart LR"
    for node in found.operators:
        yield f'    {_id(node.name)}["{_label(node)}<br/><i>{node.of_class}</i>"]'
    for edge in found.edges:
        arrow = "-.->" if edge.closes_cycle else "-->"
        label = edge.output if edge.output == edge.input else f"{edge.output} → {edge.input}"
        yield f'    {_id(edge.source)} {arrow}|"{label}"| {_id(edge.target)}'


def _label(node: Node) -> str:
    return node.name if node.members == 1 else f"{node.name} x{node.members}"


def _id(name: str) -> str:
    """A name that is none of Mermaid's words, such as ``end``."""
    return f"op_{name}"
