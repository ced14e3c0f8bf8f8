"""The runs that stand in a pipeline's status stream: which of them is open, alive, or long over."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pypz.core.channels.members.channel_life import ALIVE_WAIT_S
from pypz.core.channels.spi import StatusEntry
from pypz.core.channels.status import StatusHub, with_prefix
from pypz.core.commons.errors import RunConflictError


def open_runs_in(facts: Mapping[str, StatusEntry]) -> list[str]:
    """Ids of the runs that are neither finished nor superseded, in stream order."""
    runs = with_prefix(facts, "run/")
    superseded = {value.get("supersedes") for value in runs.values()}
    return [run for run in runs if run not in superseded and f"finished/{run}" not in facts]


def refuse_alive(hub: StatusHub, pipeline: str, own: str) -> str | None:
    """Look at the runs that are open, but for our own: alive is refused; dead is given back, to be superseded.

    Raises:
        RunConflictError: Names the run that is alive, and the ways out.
    """
    superseded = None
    for run in open_runs_in(hub.facts()):
        if run == own:
            continue
        if hub.wait_alive(run, ALIVE_WAIT_S):
            raise _conflict(hub, pipeline, run)
        if superseded is not None:
            hub.put(f"run/{superseded}", None)
        superseded = run
    return superseded


def refuse_earlier(
    hub: StatusHub, pipeline: str, own: str, superseded: str | None, everywhere: Iterable[StatusHub]
) -> None:
    """Of two starts at the same moment, which both found no open run, the first in stream order stands.

    Raises:
        RunConflictError: Ours is the second; its entries were removed.
    """
    hub.refresh()
    for run in open_runs_in(hub.facts()):
        if run == own:
            return
        if run != superseded:
            for other in everywhere:
                other.put(f"run/{own}", None)
            raise _conflict(hub, pipeline, run)


def _conflict(hub: StatusHub, pipeline: str, run: str) -> RunConflictError:
    entry = hub.value(f"run/{run}")
    return RunConflictError(
        f"pipeline {pipeline!r} runs already: run {run}, started on host {entry.get('host')!r} by process "
        f"{entry.get('process')}, is alive. Stop it first, or let this one use other channels by the "
        "parameter 'channelNamespace' of the pipeline, or give the pipeline another name"
    )


def forget_old_runs(hub: StatusHub, own: str) -> None:
    """Remove the entries of all finished runs but the last, and schemas when no channel lives."""
    facts = hub.facts()
    runs = with_prefix(facts, "run/")
    still_open = open_runs_in(facts)
    over = [run for run in runs if run != own and run not in still_open]
    for run in over[:-1]:
        hub.put(f"run/{run}", None)
        for key in (f"finished/{run}", *(key for key in facts if key.startswith(f"roster/{run}/"))):
            if key in facts:
                hub.put(key, None)
    if not with_prefix(facts, "channel/"):
        for fingerprint in with_prefix(facts, "schema/"):
            hub.put(f"schema/{fingerprint}", None)
