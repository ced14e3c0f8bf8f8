"""Parameters and schemas of what is watched: of the pipeline at hand, and as the run has stored them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from pypz.cli.parameters import describe
from pypz.core.codecs.json import SCHEMA_TEXT
from pypz.core.commons.errors import PypzError
from pypz.core.specs.instance import Instance, Internals
from pypz.core.specs.pipeline import Pipeline


@dataclass(frozen=True)
class ParameterView:
    """One parameter of an operator or a port; secrets are masked."""

    name: str
    value: str
    origin: str
    """Where the value comes from, in words."""


class Description:
    """What is set on the operators and ports of a pipeline, asked when somebody looks.

    Args:
        pipeline: The pipeline as the user gave it, or as it was rebuilt; it is only read.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._told = ""
        self._stored: Mapping[str, Any] = {}

    def parameters(self, group: str, port: str, dto: str) -> list[ParameterView]:
        """Give the parameters of an operator, or of a port of it.

        Args:
            group: Full name of the operator, of the principal.
            port: Simple name of the port; empty for the operator itself.
            dto: The pipeline as it runs, as YAML; "" when that is not known. It prevails over the pipeline at hand.
        """
        instance = self._instance(group, port)
        stored = self._stored_parameters(group, port, dto)
        if instance is None:
            return [ParameterView(name, _shown(value), "the run") for name, value in stored.items()]
        own = describe(instance)[0].parameters
        found = [
            ParameterView(one.name, _shown(stored.get(one.name, one.value)), one.origin)
            if stored.get(one.name, one.value) == one.value
            else ParameterView(one.name, _shown(stored[one.name]), f"the run; here {_shown(one.value)}")
            for one in own
        ]
        known = {one.name for one in own}
        more = (ParameterView(name, _shown(value), "the run") for name, value in stored.items() if name not in known)
        return [*found, *more]

    def schema(self, group: str, port: str) -> str:
        """Give a port's schema as text; empty where it has none, or its class is not installed here."""
        instance = self._instance(group, port)
        get_schema = getattr(instance, "get_schema", None)
        if get_schema is None or getattr(instance, "mocked", False):
            return ""
        try:
            schema = get_schema()
        except (PypzError, TypeError, ValueError):
            return ""
        if schema is None or schema == SCHEMA_TEXT:
            return ""
        if isinstance(schema, type):
            return f"{schema.__module__}.{schema.__qualname__}"
        return indented(schema)

    def _instance(self, group: str, port: str) -> Instance[Any] | None:
        nested: Mapping[str, Any] = Internals(self._pipeline).nested_instances
        operator = next((one for one in nested.values() if one.get_full_name() == group), None)
        if operator is None or not port:
            return operator
        plugins: Mapping[str, Any] = Internals(operator).nested_instances
        return next((one for one in plugins.values() if one.get_simple_name() == port), None)

    def _stored_parameters(self, group: str, port: str, dto: str) -> Mapping[str, Any]:
        if dto != self._told:
            self._told, self._stored = dto, _read(dto)
        operator = _nested(self._stored, group.rpartition(".")[2])
        found = _nested(operator, port) if port else operator
        parameters = found.get("parameters")
        return parameters if isinstance(parameters, Mapping) else {}


def _read(dto: str) -> Mapping[str, Any]:
    try:
        found = yaml.load(dto, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except yaml.YAMLError:  # written by a version that we do not know
        return {}
    return found if isinstance(found, Mapping) else {}


def _nested(instance: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    return next((one for one in _children(instance) if one.get("name") == name), {})


def _children(instance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    spec = instance.get("spec")
    nested = spec.get("nestedInstances") if isinstance(spec, Mapping) else None
    return (one for one in nested or () if isinstance(one, Mapping))


def _shown(value: Any) -> str:
    return "-" if value is None else str(value)


def indented(schema: Any) -> str:
    """A schema as text, JSON with a line for each of its parts."""
    try:
        values = json.loads(schema) if isinstance(schema, str) else schema
        return json.dumps(values, indent=2)
    except (TypeError, ValueError):
        return str(schema)
