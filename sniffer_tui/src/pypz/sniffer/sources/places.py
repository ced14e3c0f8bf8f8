"""What runs at a location: pipelines found by their status streams, rebuilt from what they stored, without their code."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Final

from pypz.core.channels.headers import names as listed
from pypz.core.channels.port import has_scheme
from pypz.core.channels.runs.standing_runs import open_runs_in
from pypz.core.channels.spi import StatusEntry
from pypz.core.channels.status import with_prefix
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.sniffer.model.pipeline import plain_name
from pypz.sniffer.sources.asking import Asking, shown
from pypz.sniffer.sources.deployment import rebuilt

CHANGES_S: Final = 3.0
"""Seconds of one wait for a run; a stream that has not answered soon behind them is told (chosen)."""

_HOSTS: Final = re.compile(r"[\w.-]+:\d+(,[\w.-]+:\d+)*")


def location_of(target: str) -> str | None:
    """Give the location that a target names; None when it names something else. A bare ``host:port`` is Kafka.

    >>> location_of("localhost:9092"), location_of("local:/tmp/x"), location_of("weather:Weather")
    ('kafka://localhost:9092', 'local:/tmp/x', None)
    """
    if _HOSTS.fullmatch(target):
        return f"kafka://{target}"
    return target if has_scheme(target) else None


class Whereabouts:
    """What runs at one location, asked over one connection; a context manager.

    Args:
        location: Its address.
        options: Its ports' ``channelConfig``.
        tell: Told for what is waited, and what was last seen.
        at_most_s: Seconds that the location may take to answer; None: as long as it takes.

    Raises:
        ConfigurationError: The location is of nobody's scheme, or its options make no sense.
    """

    def __init__(
        self,
        location: str,
        options: Mapping[str, str] | None = None,
        tell: Callable[[str], None] = lambda text: None,
        at_most_s: float | None = None,
    ) -> None:
        self._shown = shown(location)
        self._tell = tell
        self._transport = PluginHost.default().make_transport(location, dict(options or {}))
        self._asking = Asking(location, self._transport, tell, at_most_s)

    def __enter__(self) -> Whereabouts:
        return self

    def __exit__(self, *exc: object) -> None:
        if not self._asking.is_waiting:  # else nobody waits for what may never come
            self._transport.close()

    def names(self) -> list[str]:
        """Names of the pipelines whose status streams are here, with their namespace's prefix.

        Raises:
            TransportError: The location lets nobody in, or does not answer in the time given.
        """
        if not self._transport.capabilities.across_processes:
            raise ConfigurationError(
                f"{self._shown} lives in one process, and this one runs no pipeline; to look from outside let the pipeline use "
                "a channelLocation for several processes, such as local:DIR or kafka://HOST:9092"
            )
        return self._asking.answer(self._transport.pipelines, "the names of the pipelines that have run there")

    def pipeline(self, name: str | None, on_absence: Callable[[str], None] | None = None) -> Pipeline:
        """Rebuild a pipeline from what its newest run has stored; waits for a run of one that is named.

        Args:
            name: Its name; None when there is only one.
            on_absence: Told, once, that no run of it is known yet; left out, whoever is told of waiting.

        Raises:
            ConfigurationError: No name was given, and there is none or there are several; tells which.
            TransportError: As `names`.
        """
        names = self.names()
        if name is None and len(names) != 1:
            known = f"there are {listed(names, 20)}; name one by --name" if names else "no pipeline has run there yet"
            hint = "" if names else "; --name NAME waits for the one of that name"
            raise ConfigurationError(f"{self._shown}: {known}{hint}")
        chosen = names[0] if name is None else name
        tell = on_absence or self._tell
        pipeline = rebuilt(
            self._description(chosen, lambda: tell(f"{self._shown}: {_absent(chosen, names)}")), "as stored by the run"
        )
        namespace = chosen.removesuffix(plain_name(chosen)).rstrip(".")
        if namespace:
            pipeline.set_parameter("channelNamespace", namespace)
        return pipeline

    def _description(self, name: str, is_absent: Callable[[], None]) -> str:
        """What the newest run of a pipeline has stored of it; waits for one."""
        what = f"a run of {name!r}"
        stream = self._asking.answer(lambda: self._transport.open_status(name, create=False), what)
        try:
            facts = dict(self._asking.answer(stream.facts, what))
            if _newest_description(facts) is None:
                is_absent()
            while (text := _newest_description(facts)) is None:
                news = self._asking.answer(lambda: stream.changes(CHANGES_S), what, CHANGES_S)
                facts |= {entry.key: entry for entry in news if entry.kind == "fact"}
            return text
        finally:
            if not self._asking.is_waiting:
                stream.close()


def pipeline_names(location: str, options: Mapping[str, str] | None = None) -> list[str]:
    """As `Whereabouts.names`."""
    with Whereabouts(location, options) as there:
        return there.names()


def pipeline_at(
    location: str,
    name: str | None,
    tell: Callable[[str], None] = lambda text: None,
    options: Mapping[str, str] | None = None,
) -> Pipeline:
    """As `Whereabouts.pipeline`."""
    with Whereabouts(location, options, tell) as there:
        return there.pipeline(name)


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
