"""Descriptions as text: YAML out, YAML or JSON in."""

from __future__ import annotations

import functools
import sys
from typing import TYPE_CHECKING, Any, cast

from pypz.core.commons.errors import ConfigurationError, InstanceTypeError

if TYPE_CHECKING:
    import yaml


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


def from_text(text: str) -> dict[str, Any]:
    """Read a description from JSON or YAML.

    Raises:
        ConfigurationError: It is neither; tells line and column.
        InstanceTypeError: It is no mapping; a TypeError.
    """
    document = _parse(text)
    if not isinstance(document, dict):
        raise InstanceTypeError(f"a description must be a mapping, this text holds {type(document).__name__}")
    return document


def _parse(text: str) -> Any:
    import json

    import yaml

    if text.lstrip()[:1] == "{":
        try:
            return json.loads(text)
        except ValueError:
            pass  # YAML's own {a: b} is told apart only by trying
    try:
        return yaml.load(text, Loader=_loader())
    except yaml.YAMLError as error:
        place = getattr(error, "problem_mark", None)
        where = "" if place is None else f" at line {place.line + 1}, column {place.column + 1}"
        raise ConfigurationError(
            f"this text is neither YAML nor JSON{where}: {getattr(error, 'problem', None) or error}"
        ) from None
    except UnicodeError as error:
        raise ConfigurationError(f"this text is neither YAML nor JSON: it cannot be UTF-8, {error}") from None


@functools.cache
def _loader() -> type[yaml.SafeLoader]:
    """Give a safe loader, fast where libyaml is there, that tells the place also of what it cannot make values of."""
    import yaml

    base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):  # type: ignore[misc]
        def construct_object(self, node: Any, deep: bool = False) -> Any:
            try:
                return super().construct_object(node, deep)
            except (ValueError, TypeError, OverflowError) as error:
                what = "a number of too many digits" if _is_long_number(node) else f"no value: {error}"
                raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error

    return cast("type[yaml.SafeLoader]", Loader)


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
