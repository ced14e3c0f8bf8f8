"""``pypz retire``: a member will not come back; or nothing of a pipeline is needed any more."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from pypz.cli.completion import complete_pipeline
from pypz.cli.errors import told_plainly
from pypz.cli.options import AsJson, Debug, Parameters, PipelineName
from pypz.cli.screen import as_json_text, stdout
from pypz.cli.target import load_pipeline, split_names
from pypz.core.channels.port import channel_ports_of
from pypz.core.channels.runs.retiring import Left, Place, find_left, places_at, places_of, retire_member
from pypz.core.channels.runs.whole import namespace_of, operators_of
from pypz.core.commons.errors import ConfigurationError, RunConflictError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline


def retire(
    first: Annotated[
        str | None,
        typer.Argument(
            metavar="PIPELINE",
            autocompletion=complete_pipeline,
            help="As for `pypz run`; with --location: the pipeline's name there.",
        ),
    ] = None,
    member: Annotated[
        str | None, typer.Argument(metavar="MEMBER", help="An operator, or a replica such as worker_0.")
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Remove all that the pipeline left: channels, positions, status streams.")
    ] = False,
    location: Annotated[
        str | None, typer.Option("--location", help="With --all: look here, by the pipeline's name; no code is needed.")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    parameter: Parameters = None,
    name: PipelineName = None,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Say that a member will not come back: its readers, and the run, take it as ended, behind all that it has sent.

    Without it they wait for its restart for ever. A member that is alive, or has ended by itself, is refused; one that
    is started again in the same run does nothing.

    pypz retire letters:Letters source -p '>>channelLocation=localhost:9092'

    pypz retire letters:Letters --all

    pypz retire letters --all --location kafka://localhost:9092 --yes

    The exit code is 0, or 1 when it was refused, also by your answer.
    """
    with told_plainly(debug, as_json):
        if not everything:
            first, member = split_names(first, member)
        if everything == (member is not None):
            raise ConfigurationError("expected either a MEMBER that will not come back, or --all")
        if location is not None and not everything:
            raise ConfigurationError("--location goes with --all; a member is found by its pipeline")
        if everything:
            with _all_places(first, location, parameter, name) as (places, channels):
                _remove_all(places, channels, yes, as_json)
        else:
            pipeline = load_pipeline(first, name, parameter or [], mock_nonexistent=True)
            _retire_member(pipeline, str(member), as_json)


def _retire_member(pipeline: Pipeline, member: str, as_json: bool) -> None:
    operator, index = _member_of(pipeline, member)
    with places_of(PluginHost.default(), pipeline) as places:
        done = retire_member(places, operator, index)
    if as_json:
        sys.stdout.write(
            as_json_text(
                [
                    {
                        "member": one.member,
                        "run": one.run,
                        "location": one.shown,
                        "channels": list(one.channels),
                        "run_finished": one.is_last,
                    }
                    for one in done
                ]
            )
        )
        return
    for one in done:
        marked = f"; its end stands in {', '.join(one.channels)}" if one.channels else ""
        finished = "; the run has finished" if one.is_last else ""
        stdout().print(f"{one.member} is retired from run {one.run} at {one.shown}{marked}{finished}")


def _member_of(pipeline: Pipeline, named: str) -> tuple[Operator, int]:
    """The operator and group index of a member; replicas need not be those of the code: the run has its own number."""
    wanted = named.removeprefix(f"{pipeline.get_full_name()}.")
    operators = {operator.get_simple_name(): operator for operator in operators_of(pipeline)}
    if wanted in operators:
        return operators[wanted], 0
    principal, _, number = wanted.rpartition("_")
    if principal in operators and number.isdigit():
        return operators[principal], int(number) + 1
    raise ConfigurationError(
        f"{pipeline.get_full_name()} has no member {named!r}; there are: {', '.join(operators) or 'none'}, and "
        "replicas such as NAME_0"
    )


@contextmanager
def _all_places(
    first: str | None, location: str | None, parameters: list[str] | None, name: str | None
) -> Iterator[tuple[list[Place], list[str]]]:
    """The locations, and the names of channels to look for beside those that are known there."""
    if location is not None:
        if first is None:
            raise ConfigurationError("with --location: expected the pipeline's name, such as letters")
        with places_at(PluginHost.default(), first, [(location, {})]) as places:
            yield places, []
        return
    pipeline = load_pipeline(first, name, parameters or [], mock_nonexistent=True)
    prefix = namespace_of(pipeline)
    channels = [
        prefix + one for op in operators_of(pipeline) for port in channel_ports_of(op) for one in port.channel_names()
    ]
    with places_of(PluginHost.default(), pipeline) as places:
        if not places:
            raise ConfigurationError(
                f"{pipeline.get_full_name()}: no port has a channelLocation here; -p '>>channelLocation=...' sets it"
            )
        yield places, channels


def _remove_all(places: list[Place], channels: list[str], yes: bool, as_json: bool) -> None:
    for place in places:
        alive = place.living_run()
        if alive is not None:
            raise RunConflictError(f"{place.told_of(alive)}, is alive at {place.shown}; stop it first")
    left = [find_left(place, channels) for place in places]
    if not as_json or not yes:
        _show(left, as_json)
    if any(one.channels or one.has_status for one in left):
        if not yes:
            _ask()
        for one in left:
            one.remove()
    if as_json:
        sys.stdout.write(
            as_json_text(
                [
                    {
                        "location": one.place.shown,
                        "channels": [info.name for info in one.channels],
                        "status": one.has_status,
                    }
                    for one in left
                ]
            )
        )


def _show(left: list[Left], to_stderr: bool) -> None:
    lines = []
    for one in left:
        lines.append(f"{one.place.shown}:" if one.channels or one.has_status else f"{one.place.shown}: nothing is left")
        lines += [f"  channel {info.name}, {info.partitions} partition(s)" for info in one.channels]
        lines += [f"  status streams of {one.place.pipeline}"] if one.has_status else []
    (sys.stderr if to_stderr else sys.stdout).write("".join(f"{line}\n" for line in lines))


def _ask() -> None:
    """Ask whether to go on.

    Raises:
        ConfigurationError: There is nobody to ask.
        Exit: The answer is no.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            "this removes what is listed for good; --yes says that it may be (nobody is here to ask)"
        )
    if not typer.confirm("Remove all of this for good?", err=True):
        raise typer.Exit(1)
