"""Descriptions as text: YAML out, YAML or JSON in."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, cast

from pypz.core.commons.errors import ConfigurationError, InstanceTypeError

if TYPE_CHECKING:
    import yaml

MOST_VALUES: Final = 100_000
"""Values that a document with aliases may stand for (chosen: some hundred times a large pipeline)."""


MOST_LEVELS: Final = 100
"""Levels of nesting of a document (chosen; a pipeline's own description has 20)."""


class _Refused(Exception):
    """YAML, but none that is accepted."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem)
        self.problem = problem
        self.problem_mark = mark


def to_yaml(document: dict[str, Any]) -> str:
    """Give a description as YAML: block style, keys in alphabetical order, sets as YAML sets.

    Raises:
        ConfigurationError: A number in it has more digits than Python writes as text (4300 unless told otherwise).
    """
    import yaml

    try:
        return yaml.dump(document, Dumper=_dumper(), default_flow_style=False, sort_keys=True, allow_unicode=True)
    except ValueError as error:
        raise ConfigurationError(
            f"the description of '{document.get('name')}' cannot be written as YAML: {error}; keep such a number as text"
        ) from error


class DocumentError(ConfigurationError):
    """A text cannot be taken as a document.

    Attributes:
        line: Where the fault is, counted from 1; None where that is not known.
        column: Likewise.
        problem: What is wrong.
        is_yaml: Whether it is YAML, only none that is accepted.
    """

    def __init__(self, problem: str, mark: Any = None, *, is_yaml: bool = False) -> None:
        self.line: int | None = None if mark is None else mark.line + 1
        self.column: int | None = None if mark is None else mark.column + 1
        self.problem = problem
        self.is_yaml = is_yaml
        where = "" if mark is None else f" at line {self.line}, column {self.column}"
        super().__init__(f"this text {'cannot be taken' if is_yaml else 'is neither YAML nor JSON'}{where}: {problem}")


def from_text(text: str) -> dict[str, Any]:
    """Read a description from JSON or YAML.

    Raises:
        DocumentError: It is neither, or none that is accepted, as `parse` tells; a ConfigurationError.
        InstanceTypeError: It is no mapping; a TypeError.
    """
    document = parse(text)
    if not isinstance(document, dict):
        raise InstanceTypeError(f"a description must be a mapping, this text holds {type(document).__name__}")
    return document


def parse(text: str) -> Any:
    """Read JSON or YAML; refuse keys that stand twice, and aliases that make much of little.

    Raises:
        DocumentError: It is neither, or is refused; tells line and column.
    """
    import json

    import yaml

    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text, object_pairs_hook=_without_doubles)
        except (ValueError, RecursionError):
            pass  # YAML's own {a: b} is told apart only by trying; and YAML tells the place
    try:
        _refuse_depth(text)
        return yaml.load(text, Loader=_loader())
    except _Refused as error:
        raise DocumentError(error.problem, error.problem_mark, is_yaml=True) from None
    except yaml.YAMLError as error:
        raise DocumentError(_in_words(error), getattr(error, "problem_mark", None)) from None
    except UnicodeError as error:
        raise DocumentError(f"it cannot be UTF-8, {error}") from None
    except RecursionError:
        raise DocumentError("it is nested too deeply", is_yaml=True) from None


def _in_words(error: Any) -> str:
    parts = [part for part in (getattr(error, "context", None), getattr(error, "problem", None)) if part]
    return ", ".join(parts) or " ".join(str(error).split())


def _without_doubles(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError
    return found


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    """Give a safe loader, fast where libyaml is there, that tells the place also of what it cannot make values of."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def get_single_node(self) -> Any:
            node = super().get_single_node()
            if node is not None:
                _check(node)
            return node

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, TypeError, OverflowError) as error:
                what = "a number of too many digits" if _is_long_number(node) else f"no value: {error}"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error

    return cast("type[yaml.SafeLoader]", Loader)


def _refuse_depth(text: str) -> None:
    """Refuse what is nested deeper than `MOST_LEVELS`, before anything follows it downwards: libyaml overflows the stack."""
    import yaml

    depth = 0
    for event in yaml.parse(text, Loader=_loader()):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MOST_LEVELS:
                raise _Refused(f"it is nested more than {MOST_LEVELS} levels deep", event.start_mark)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _refuse_doubles(node: Any) -> None:
    """Refuse a key that stands twice; one that ``<<`` brings may be overridden."""
    places: dict[Any, Any] = {}
    for key, _ in node.value if node.id == "mapping" else ():
        if key.id == "scalar" and key.tag != "tag:yaml.org,2002:merge":
            first = places.setdefault((key.tag, key.value), key.start_mark)
            if first is not key.start_mark:
                place = f"first at line {first.line + 1}, column {first.column + 1}"
                raise _Refused(f"key {key.value!r} stands here a second time, {place}; keep one", key.start_mark)


def _check(root: Any) -> None:
    """Refuse doubled keys, and aliases that stand for more than `MOST_VALUES` values, or for what they are in."""
    weights: dict[int, int] = {}
    looked_at: set[int] = set()
    is_aliased = False
    path: list[tuple[Any, Iterator[Any]]] = [(root, _parts(root))]
    above = {id(root)}
    while path:
        node, parts = path[-1]
        if id(node) not in looked_at:
            looked_at.add(id(node))
            _refuse_doubles(node)
        part = next(parts, None)
        if part is None:
            path.pop()
            above.discard(id(node))
            weights[id(node)] = 1 + sum(weights[id(one)] for one in _parts(node))
            if is_aliased and weights[id(node)] > MOST_VALUES:
                raise _Refused(
                    f"the aliases (*name) in it stand for more than {MOST_VALUES:,} values; write out what is meant",
                    node.start_mark,
                )
        elif id(part) in above:
            raise _Refused("it contains itself, by an alias (*name); write out what is meant", part.start_mark)
        elif id(part) in weights:
            is_aliased = True
        else:
            above.add(id(part))
            path.append((part, _parts(part)))


def _parts(node: Any) -> Iterator[Any]:
    if isinstance(node.value, list):
        for part in node.value:
            if isinstance(part, tuple):
                yield from part
            else:
                yield part


def _is_long_number(node: Any) -> bool:
    return str(node.tag).endswith(":int") and len(node.value) > sys.get_int_max_str_digits() > 0


@functools.cache
def _dumper() -> type[yaml.SafeDumper]:
    import yaml

    base: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)

    class Dumper(base):  # type: ignore[misc]
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def represent_ordered_dict(self, data: dict[Any, Any]) -> Any:
            return self.represent_mapping("tag:yaml.org,2002:map", sorted(data.items(), key=_order))

        def represent_ordered_set(self, data: set[Any]) -> Any:
            return self.represent_mapping("tag:yaml.org,2002:set", sorted(((v, None) for v in data), key=_order))

    Dumper.add_representer(dict, Dumper.represent_ordered_dict)
    Dumper.add_representer(set, Dumper.represent_ordered_set)
    return cast("type[yaml.SafeDumper]", Dumper)


def _order(pair: tuple[Any, Any]) -> tuple[str, str]:
    """Alphabetical order that also keys of different types have, so that equal descriptions are equal texts."""
    return type(pair[0]).__name__, str(pair[0])
