"""What runs at a location: pipelines found by their status streams, rebuilt from what they stored, without their code."""

from __future__ import annotations

import contextlib
import difflib
import re
from collections.abc import Callable
from typing import Final

from pypz.core.channels.headers import names as listed
from pypz.core.channels.port import has_scheme
from pypz.core.channels.runs.standing_runs import open_runs_in
from pypz.core.channels.spi import StatusEntry, Transport
from pypz.core.channels.status import with_prefix
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.sniffer.deployment import rebuilt
from pypz.sniffer.model import plain_name

_HOSTS: Final = re.compile(r"[\w.-]+:\d+(,[\w.-]+:\d+)*")


def location_of(target: str) -> str | None:
    """Give the location that a target names; None when it names something else. A bare ``host:port`` is Kafka.

    >>> location_of("localhost:9092"), location_of("local:/tmp/x"), location_of("weather:Weather")
    ('kafka://localhost:9092', 'local:/tmp/x', None)
    """
    if _HOSTS.fullmatch(target):
        return f"kafka://{target}"
    return target if has_scheme(target) else None


def pipeline_names(location: str) -> list[str]:
    """Names of the pipelines whose status streams are at a location, with their namespace's prefix.

    Raises:
        ConfigurationError: The location is of nobody's scheme.
        TransportError: It cannot be reached.
    """
    with _transport_at(location) as transport:
        return transport.pipelines()


def _transport_at(location: str) -> contextlib.closing[Transport]:
    return contextlib.closing(PluginHost.default().make_transport(location, {}))


def pipeline_at(location: str, name: str | None, tell: Callable[[str], None] = lambda text: None) -> Pipeline:
    """Rebuild a pipeline from what its newest run has stored at a location; waits for a run of one that is named.

    Args:
        location: Where its status stream is.
        name: Its name; None when there is only one.
        tell: Told for what it waits.

    Raises:
        ConfigurationError: No name was given, and there is none or there are several; tells which.
        TransportError: The location cannot be reached.
    """
    with _transport_at(location) as transport:
        names = transport.pipelines()
        if name is None and len(names) != 1:
            known = f"there are {listed(names, 20)}; name one by --name" if names else "no pipeline has run there yet"
            raise ConfigurationError(f"{location}: {known}")
        chosen = names[0] if name is None else name
        text = _description_of(transport, chosen, lambda: tell(f"{location}: {_absent(chosen, names)}"))
    pipeline = rebuilt(text, "as stored by the run")
    namespace = chosen.removesuffix(plain_name(chosen)).rstrip(".")
    if namespace:
        pipeline.set_parameter("channelNamespace", namespace)
    return pipeline


def _description_of(transport: Transport, name: str, is_absent: Callable[[], None]) -> str:
    """What the newest run of a pipeline has stored of it; waits for one."""
    stream = transport.open_status(name, create=False)
    try:
        facts = dict(stream.facts())
        if _newest_description(facts) is None:
            is_absent()
        while (text := _newest_description(facts)) is None:
            facts |= {entry.key: entry for entry in stream.changes(60.0) if entry.kind == "fact"}
        return text
    finally:
        stream.close()


def _absent(name: str, names: list[str]) -> str:
    near = difflib.get_close_matches(name, names, 1)
    hint = f" (there is {near[0]!r})" if near and near[0] != name else ""
    return f"no run of {name!r} is known there yet{hint}; waits for one"


def _newest_description(facts: dict[str, StatusEntry]) -> str | None:
    """The DTO of the newest run: of one that is open, else of the last in stream order."""
    runs = with_prefix(facts, "run/")
    names = [*(run for run in runs if run not in open_runs_in(facts)), *open_runs_in(facts)]
    found = [str(runs[name]["dto"]) for name in names if runs[name].get("dto")]
    return found[-1] if found else None
