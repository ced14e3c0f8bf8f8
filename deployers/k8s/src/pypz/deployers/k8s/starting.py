"""What is known before pods start: what no pod could start with, and what is allowed but deserves a word."""

from __future__ import annotations

from collections.abc import Iterator

from pypz.core.channels.runs.whole import addresses_of, faults_of, operators_of
from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.commons.secrets import conceal
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s.plan import PipelinePlan
from pypz.executors.preparation import check_parameters


def check_start(pipeline: Pipeline, host: PluginHost) -> None:
    """Refuse what every pod would refuse, or wait with for ever.

    Raises:
        MissingParametersError: Required parameters have no value; all are listed.
        ConfigurationError: A parameter's value makes no sense, or a location does not reach out of a process.
    """
    check_parameters(pipeline.get_missing_required_parameters())
    found = [*map(str, faults_of(pipeline)), *narrow_locations(pipeline, host)]
    if found:
        raise ConfigurationError("\n".join(found))


def narrow_locations(pipeline: Pipeline, host: PluginHost) -> list[str]:
    """Tell locations at which no pod sees what another one sends.

    Those of transports that are not installed here are left out: the image may have them.
    """
    name, found = pipeline.get_full_name(), []
    locations = dict.fromkeys(at for operator in operators_of(pipeline) for at, _ in addresses_of(operator))
    for location in locations:
        try:
            transport = host.make_transport(location, {})  # what it can do does not depend on its options
        except PypzError:
            continue
        is_narrow = not transport.capabilities.across_processes
        transport.close()
        if is_narrow:
            shown = conceal({"channelLocation": location})["channelLocation"]
            found.append(
                f"{name}: channelLocation {shown!r} does not reach into other processes, and each member runs in a pod of its "
                "own; use a broker that the pods reach, such as Kafka ('kafka://HOST:9092')"
            )
    return found


def privileged(plan: PipelinePlan) -> Iterator[str]:
    """Warn of containers that may do on their node whatever root may."""
    for operator in plan.operators:
        own = {"name": "operator", "securityContext": operator.settings.containerSecurityContext}
        for container in (own, *(operator.settings.containers or [])):
            if (container.get("securityContext") or {}).get("privileged"):
                yield (
                    f"{plan.name}.{operator.name}: its container {container.get('name')!r} is privileged: whatever runs in it is "
                    "root on its node; leave 'privileged' out, or ask for the single capabilities that it needs"
                )
