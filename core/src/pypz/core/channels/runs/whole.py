"""What a run is made of, seen from outside: the operators of a pipeline, where their channels are, what these are called."""

from __future__ import annotations

import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pypz.core.channels import pool
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.runs.connections import Connections
from pypz.core.channels.spi import Guarantee
from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError, PypzError
from pypz.core.commons.faults import collecting, refuse
from pypz.core.commons.parameters import given_value
from pypz.core.commons.utils import TemplateResolver
from pypz.core.hooks.lines import lowest_level

if TYPE_CHECKING:
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline

GUARANTEES: Final = (Guarantee.AT_LEAST_ONCE.value, Guarantee.AT_MOST_ONCE.value)
"""Values of ``deliveryGuarantee`` that this version carries out; the first is the default."""

TEMPLATES: Final = TemplateResolver("$(", ")")
"""References that are resolved where a run begins: ``$(env:NAME)``."""


def operators_of(whole: Pipeline | Operator) -> list[Operator]:
    """The principal operators of a pipeline, or the operator itself."""
    from pypz.core.specs.instance import Internals
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline

    if not isinstance(whole, Pipeline):
        return [whole]
    return [op for op in Internals(whole).nested_instances.values() if not isinstance(op, Operator.Replica)]


def whole_of(operator: Operator) -> Pipeline | Operator:
    """The pipeline of an operator; the operator itself when it has none."""
    return operator.get_context() or operator


def locations_of(whole: Pipeline | Operator) -> list[tuple[str, dict[str, str]]]:
    """Location and options of each transport that the channel ports use, without repetition."""
    found = {address: None for operator in operators_of(whole) for address in addresses_of(operator)}
    return [(location, dict(options)) for location, options in found]


def addresses_of(operator: Operator, *, is_run_here: bool = False) -> list[pool.Address]:
    """Addresses of an operator's channel ports, without those for which `address_of_port` gives None."""
    found = (address_of_port(port, is_run_here=is_run_here) for port in channel_ports_of(operator))
    return list(dict.fromkeys(address for address in found if address is not None))


def address_of_port(port: ChannelPort, *, is_run_here: bool = False) -> pool.Address | None:
    """Address of a channel port; None when it has no location, or refers to a variable that is not set here.

    Args:
        port: The port.
        is_run_here: It is opened in this environment: a variable that is not set gives its default, or empty text.
    """
    location, options = port.transport_location(), dict(port.transport_options())
    if location is None or (not is_run_here and unset_variables([location, options])):
        return None
    return pool.address_of(TEMPLATES.resolve(location), TEMPLATES.resolve(options))


def unset_variables(value: Any, templates: TemplateResolver = TEMPLATES) -> list[str]:
    """Names of the variables that a value refers to, that have no default there and are not set here.

    >>> unset_variables({"sasl.password": "$(env:PYPZ_NO_SUCH)", "client.id": "$(env:PYPZ_NO_SUCH:-me)"})
    ['PYPZ_NO_SUCH']
    """
    names = (name.removeprefix("env:") for name in templates.names(value) if name.startswith("env:"))
    return sorted({name for name in names if ":-" not in name and name not in os.environ})


def told_of_unset(names: list[str], place: str) -> str:
    """What is wrong with a place that refers to variables which are not set, and the way out."""
    return f"{place}: environment variable {', '.join(names)} is not set; set it where this process starts"


def namespace_of(whole: Pipeline | Operator) -> str:
    """The prefix that ``channelNamespace`` puts before every name that a transport sees; empty when not set."""
    given = given_value(whole, "channelNamespace")
    return f"{given}.." if given else ""


def status_name(whole: Pipeline | Operator) -> str:
    """Name of the pipeline's status streams at each location."""
    return f"{namespace_of(whole)}{whole.get_full_name()}"


def check_number(place: str, given: Any, name: str, *, at_least: int) -> None:
    """Refuse a whole number that is too small; None means the default.

    Raises:
        ConfigurationError: Names place, parameter, value and what is accepted.
    """
    if given is not None and given < at_least:
        text = f"{place}: parameter {name!r} is {given!r}, expected a whole number, {at_least} or more; leave it out"
        refuse(ConfigurationError(text))


def check_values(whole: Pipeline | Operator) -> None:
    """Refuse, before anything runs, what cannot be carried out.

    Raises:
        NotBuiltYetError: Names place, value and what is accepted.
    """
    for operator in operators_of(whole):
        name = operator.get_full_name()
        given = given_value(operator, "deliveryGuarantee")
        if given not in (None, *GUARANTEES):
            kind = NotBuiltYetError if given == Guarantee.EXACTLY_ONCE.value else ConfigurationError
            text = (
                f"{name}: parameter 'deliveryGuarantee' is {given!r}, which this version does not carry out"
                f"{' yet' if kind is NotBuiltYetError else ''}; expected {' or '.join(map(repr, GUARANTEES))}; leave it out "
                f"for {GUARANTEES[0]!r}"
            )
            refuse(kind(text))
        check_number(name, given_value(operator, "commitIntervalMs"), "commitIntervalMs", at_least=0)
        lowest_level(operator)
        for port in channel_ports_of(operator):
            port.check()


def faults_of(whole: Pipeline | Operator) -> list[PypzError]:
    """All for which a run of the whole would be refused before anything runs, as far as values tell."""
    found: dict[str, PypzError] = {}
    parts = [(op, channel_ports_of(op)) for op in operators_of(whole)]
    checks = [port.check for _, ports in parts for port in ports]
    checks.append(Connections([port for _, ports in parts for port in ports]).check)
    checks += [partial(check_values, part) for part in (*(op for op, _ in parts), whole)]
    for check in checks:
        with collecting() as faults:
            check()
        found.update((str(fault), fault) for fault in faults if str(fault) not in found)
    return list(found.values())
