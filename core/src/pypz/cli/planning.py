"""What a run of a pipeline would be, found without running anything: edges, channels, runs, and all that is wrong."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from pypz.cli.given import nested_of
from pypz.cli.parameters import Described, describe
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.runs.retiring import Place, places_at
from pypz.core.channels.runs.whole import address_of_port, faults_of, namespace_of, operators_of, status_name
from pypz.core.codecs.spi import Codec
from pypz.core.commons.errors import PypzError, SchemaError
from pypz.core.commons.parameters import given_value
from pypz.core.commons.secrets import conceal
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import InputPortPlugin, OutputPortPlugin

NOT_ASKED: Final = "not asked"


@dataclass(frozen=True)
class Member:
    """One operator with its replicas."""

    operator: str
    of_class: str
    members: tuple[str, ...]


@dataclass(frozen=True)
class EdgePlan:
    """One output port connected to one input port."""

    output: str
    input: str
    output_schema: str
    input_schema: str
    is_compatible: bool | None
    """None: not known, for a schema's codec is not there, or its class is not installed here."""
    reason: str = ""


@dataclass(frozen=True)
class ChannelPlan:
    """One channel, and what a start would do to it."""

    name: str
    location: str
    partitions: int
    """That the run asks for."""
    found: int | None = None
    """Partitions that there are; None when there is no such channel, or nobody was asked."""
    action: str = NOT_ASKED


@dataclass
class Plan:
    """Everything, as ``pypz plan --json`` gives it."""

    pipeline: str | None
    """None when it cannot be made at all."""
    operators: list[Member] = field(default_factory=list)
    parameters: list[Described] = field(default_factory=list)
    edges: list[EdgePlan] = field(default_factory=list)
    channels: list[ChannelPlan] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    """What is known of earlier runs, location by location."""
    errors: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def refuse(self, error: object) -> None:
        """Note an error once."""
        if str(error) not in self.errors:
            self.errors.append(str(error))


def make_plan(
    pipeline: Pipeline, host: PluginHost, *, offline: bool = False, fresh: bool = False, classes_are_here: bool = True
) -> Plan:
    """Find out what a start would do.

    Args:
        pipeline: The pipeline.
        host: Whose plugins are asked.
        offline: Ask no location.
        fresh: The start would delete the channels first.
        classes_are_here: Whether a class that cannot be imported here is an error.
    """
    plan = Plan(pipeline.get_full_name())
    plan.operators = [_member(operator) for operator in operators_of(pipeline)]
    plan.parameters = describe(pipeline)
    _check_values(plan, pipeline, classes_are_here)
    plan.edges = list(_edges(plan, pipeline, host))
    _plan_channels(plan, pipeline, host, offline, fresh)
    return plan


def _member(operator: Operator) -> Member:
    replicas = (replica.get_full_name() for replica in operator.get_replicas())
    return Member(operator.get_full_name(), operator._pypz_spec_name, (operator.get_full_name(), *replicas))


def _check_values(plan: Plan, pipeline: Pipeline, classes_are_here: bool) -> None:
    for instance, names in sorted(pipeline.get_missing_required_parameters().items()):
        for name in sorted(names):
            plan.refuse(f"{instance}: required parameter {name!r} has no value")
    if not plan.operators:
        plan.refuse(f"{plan.pipeline}: has no operators; assign them to attributes of the pipeline")
    for operator in operators_of(pipeline):
        for instance in (operator, *nested_of(operator)):
            if classes_are_here and getattr(instance, "mocked", False):
                place = f"{instance.get_full_name()} ({instance._pypz_spec_name})"
                plan.refuse(f"{place}: its class is not installed here; install what holds it, or put it on PYTHONPATH")
    for fault in faults_of(pipeline):
        plan.refuse(fault)


# --- edges --------------------------------------------------------------------------------------------------------------


def _edges(plan: Plan, pipeline: Pipeline, host: PluginHost) -> Iterable[EdgePlan]:
    codecs: dict[str, Codec | str] = {}
    for operator in operators_of(pipeline):
        for port in nested_of(operator):
            if isinstance(port, OutputPortPlugin | InputPortPlugin) and not port.get_connected_ports():
                plan.warnings.append(f"{port.get_full_name()}: is connected to nothing; connect() it")
            if isinstance(port, OutputPortPlugin):
                for other in sorted(port.get_connected_ports(), key=lambda one: one.get_full_name()):
                    yield _edge(plan, port, other, host, codecs)


def _edge(plan: Plan, output: Any, reader: Any, host: PluginHost, codecs: dict[str, Codec | str]) -> EdgePlan:
    ends = output.get_full_name(), reader.get_full_name()
    texts = _shown_schema(output), _shown_schema(reader)
    writer, own = _codec(plan, output, host, codecs), _codec(plan, reader, host, codecs)
    if isinstance(writer, str) or isinstance(own, str):
        return EdgePlan(
            *ends, *texts, None, "; ".join(dict.fromkeys(one for one in (writer, own) if isinstance(one, str)))
        )
    try:
        if writer.content_type != own.content_type:
            raise SchemaError(f"is written as {writer.content_type}, read as {own.content_type}")
        own.decoder(writer.schema_text)
    except SchemaError as error:
        plan.refuse(f"{ends[0]} -> {ends[1]}: {error}")
        return EdgePlan(*ends, *texts, False, str(error))
    return EdgePlan(*ends, *texts, True)


def _codec(plan: Plan, port: Any, host: PluginHost, codecs: dict[str, Codec | str]) -> Codec | str:
    """The codec of a port, or why there is none."""
    name = port.get_full_name()
    if not isinstance(port, ChannelPort):
        return f"{name} is no channel port"
    if getattr(port, "mocked", False) or getattr(port.get_context(), "mocked", False):  # type: ignore[attr-defined]
        return f"the class of {name} is not installed here"
    if name not in codecs:
        try:
            codecs[name] = host.make_codec(port.get_schema(), getattr(port, "content_type", ""))  # type: ignore[attr-defined]
        except PypzError as error:
            plan.refuse(f"{name}: {error}")
            codecs[name] = str(error)
    return codecs[name]


def _shown_schema(port: Any) -> str:
    schema = port.get_schema()
    if schema is None:
        return "no schema"
    return " ".join(str(getattr(schema, "__qualname__", schema)).split())


# --- channels -----------------------------------------------------------------------------------------------------------


def _plan_channels(plan: Plan, pipeline: Pipeline, host: PluginHost, offline: bool, fresh: bool) -> None:
    prefix = namespace_of(pipeline)
    planned: dict[str, tuple[ChannelPort, ChannelPlan]] = {}
    by_location: dict[str, list[Any]] = {}
    for operator in operators_of(pipeline):
        for port in channel_ports_of(operator):
            address = address_of_port(port)
            if address is None:
                continue
            by_location.setdefault(address[0], []).append(address)
            if port.direction == "in":
                count = given_value(port, "partitions") or max(1, operator.get_group_size())
                for name in port.channel_names():
                    planned[prefix + name] = port, ChannelPlan(prefix + name, _hidden(address[0]), count)
    for location, addresses in by_location.items():
        here = [one for _, one in planned.values() if one.location == _hidden(location)]
        try:
            for address in dict.fromkeys(addresses):
                host.make_transport(address[0], dict(address[1])).close()
            if not offline:
                with places_at(host, status_name(pipeline), [(a[0], dict(a[1])) for a in dict.fromkeys(addresses)]) as (
                    place,
                ):
                    _ask_runs(plan, place)
                    here = [_asked(place, one, fresh) for one in here]
        except PypzError as error:
            shown = _hidden(location)
            plan.refuse(error if str(error).startswith(shown) else f"{shown}: {error}")
        plan.channels += here


def _asked(place: Place, planned: ChannelPlan, fresh: bool) -> ChannelPlan:
    info = place.transport.describe_channel(planned.name)
    count, found = planned.partitions, None if info is None else info.partitions
    if info is None:
        action = f"would be created with {_partitions(count)}"
    elif fresh:
        action = f"LOST: would be deleted with all it holds, and created with {_partitions(count)}"
    elif info.partitions < count:
        action = f"would be raised from {_partitions(info.partitions)} to {count}; what it holds is kept"
    else:
        action = f"stays with {_partitions(info.partitions)}; what it holds is read first"
    return ChannelPlan(planned.name, planned.location, count, found, action)


def _ask_runs(plan: Plan, place: Place) -> None:
    alive = place.living_run()
    if alive is not None:
        plan.refuse(
            f"{place.shown}: pipeline {plan.pipeline!r} runs already: {place.told_of(alive)}, is alive; stop it first, "
            "or set 'channelNamespace'"
        )
    for run in place.open_runs():
        if run != alive:
            plan.runs.append(f"{place.shown}: {place.told_of(run)}, shows no sign of life and would be superseded")


def _partitions(count: int) -> str:
    return f"{count} partition{'' if count == 1 else 's'}"


def _hidden(location: str) -> str:
    return str(conceal({"channelLocation": location})["channelLocation"])
