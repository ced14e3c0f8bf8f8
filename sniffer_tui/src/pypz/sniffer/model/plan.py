"""What the sniffer knows of a pipeline before it runs: members from left to right, ports, and what they are connected to."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Final

from pypz.core.channels.port import ChannelPort, channel_ports_of, has_scheme
from pypz.core.channels.runs.whole import TEMPLATES, locations_of, operators_of, told_of_unset, unset_variables
from pypz.core.specs.instance import Internals
from pypz.core.specs.plugin import InputPortPlugin, OutputPortPlugin, PortPlugin
from pypz.sniffer.model.frames import PlannedOperator, PlannedPort

if TYPE_CHECKING:
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline


def plan_of(pipeline: Pipeline) -> list[PlannedOperator]:
    """Give the members of a pipeline, principals in the order of the model, each followed by its replicas.

    Only names, kinds and connections are read: mocked operators and plugins do as well.
    """
    nested: Iterable[Operator] = Internals(pipeline).nested_instances.values()
    principals = {operator.get_full_name(): operator for operator in nested if operator.is_principal()}
    ports = {name: _ports_of(operator) for name, operator in principals.items()}
    names = {name.rpartition(".")[2]: name for name in principals}
    feeds = {
        name: [names[peer.partition(".")[0]] for port in mine if port.direction == "out" for peer in port.peers]
        for name, mine in ports.items()
    }
    level = levels(feeds)
    return [
        PlannedOperator(member, name, index, level[name], ports[name])
        for name, principal in principals.items()
        for index, member in enumerate([name, *(replica.get_full_name() for replica in principal.get_replicas())])
    ]


def reachable_locations(pipeline: Pipeline) -> list[tuple[str, dict[str, str]]]:
    """Give location and options of each transport that the ports use, also of ports whose class is not installed here.

    A mock does not know which scheme its class adds to a bare ``host:port``; only Kafka's classes add one. Ports that refer
    to a variable which is not set here are left out: `unset_places` tells of them.
    """
    found = locations_of(pipeline)
    for port in _mocked_ports(pipeline):
        given, options = _address_of_mock(port)
        if given and not unset_variables([given, options]):
            address = TEMPLATES.resolve(given if has_scheme(given) else f"kafka://{given}"), TEMPLATES.resolve(options)
            if address not in found:
                found.append(address)
    return found


def unset_places(pipeline: Pipeline) -> list[str]:
    """Tell which ports cannot be reached from here, because a variable that they refer to is not set: variables and places."""
    places: dict[tuple[str, str], list[str]] = {}
    addresses = [
        (f"{port.owner_name()}.{port.get_simple_name()}", port.transport_location(), dict(port.transport_options()))
        for operator in operators_of(pipeline)
        for port in channel_ports_of(operator)
    ]
    addresses += [(port.get_full_name(), *_address_of_mock(port)) for port in _mocked_ports(pipeline)]
    for name, location, options in addresses:
        for variable in unset_variables(location):
            places.setdefault((LOCATION, variable), []).append(name)
        for key, value in options.items():
            for variable in unset_variables(value):
                places.setdefault((f"{CONFIG}, {key!r}", variable), []).append(name)
    return [
        told_of_unset([variable], f"{names[0]}{f' and {len(names) - 1} more' if names[1:] else ''}: {parameter}")
        for (parameter, variable), names in places.items()
    ]


def _mocked_ports(pipeline: Pipeline) -> list[PortPlugin]:
    return [
        port
        for operator in Internals(pipeline).nested_instances.values()
        for port in Internals(operator).nested_instances.values()
        if isinstance(port, PortPlugin) and not isinstance(port, ChannelPort) and port.has_parameter(LOCATION)
    ]


def _address_of_mock(port: PortPlugin) -> tuple[str, dict[str, str]]:
    config = port.get_parameter(CONFIG) if port.has_parameter(CONFIG) else None
    return str(port.get_parameter(LOCATION) or ""), {str(key): str(value) for key, value in (config or {}).items()}


LOCATION: Final = "channelLocation"
CONFIG: Final = "channelConfig"


def levels(feeds: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """Place operators from left to right: each to the right of all that feed it, but for the last step of a cycle.

    Args:
        feeds: Whom each operator feeds, by name; every operator is a key.

    >>> levels({"a": ["b", "c"], "b": ["c"], "c": []})
    {'a': 0, 'b': 1, 'c': 2}
    >>> levels({"a": ["b"], "b": ["a"]})
    {'a': 0, 'b': 1}
    """
    level = dict.fromkeys(feeds, 0)
    left = list(feeds)
    while left:
        fed = {target for name in left for target in feeds[name] if target != name}
        free = [name for name in left if name not in fed] or _entrances(left, feeds, level)
        for name in free:
            left.remove(name)
            for target in feeds[name]:
                if target in left:
                    level[target] = max(level[target], level[name] + 1)
    return level


def _entrances(left: list[str], feeds: Mapping[str, Iterable[str]], level: Mapping[str, int]) -> list[str]:
    """Everything left is fed by something left: begin the cycle where it was reached first."""
    reached = [name for name in left if level[name]] or left
    return [min(reached, key=lambda name: level[name])]


def _ports_of(operator: Operator) -> tuple[PlannedPort, ...]:
    plugins = Internals(operator).nested_instances.values()
    return tuple(
        PlannedPort(
            name=port.get_simple_name(),
            direction="out" if isinstance(port, OutputPortPlugin) else "in",
            peers=tuple(sorted(_peer_name(peer) for peer in port.get_connected_ports())),
        )
        for port in plugins
        if isinstance(port, InputPortPlugin | OutputPortPlugin)
    )


def _peer_name(port: PortPlugin) -> str:
    """The connected port as ``operator.port``."""
    return ".".join(port.get_full_name().split(".")[-2:])
