"""``pypz plan``: what would run, and everything that is wrong with it, before anything runs."""

from __future__ import annotations

import dataclasses
import sys
import warnings
from typing import Annotated, Any, Final

import typer

from pypz.cli.deployment.deploy import prepared
from pypz.cli.deployment.place import deployer_at
from pypz.cli.deployment.planning import plan_deployment
from pypz.cli.errors import told_plainly
from pypz.cli.given import unexpected
from pypz.cli.options import AsJson, Debug, Parameters, PipelineName, Target
from pypz.cli.parameters import table_of
from pypz.cli.planning import EdgePlan, Plan, make_plan
from pypz.cli.screen import as_json_text, stderr, stdout
from pypz.cli.target import load_pipeline
from pypz.core.commons.errors import ConfigurationError, PypzWarning
from pypz.core.hooks.host import PluginHost

PANEL: Final = "With --to"


def plan(
    target: Target = None,
    parameter: Parameters = None,
    name: PipelineName = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Plan a start that deletes the channels first.")] = False,
    offline: Annotated[bool, typer.Option("--offline", help="Ask no broker: nothing is known of channels.")] = False,
    brief: Annotated[bool, typer.Option("--brief", help="Leave the parameters out.")] = False,
    to: Annotated[
        str | None,
        typer.Option(
            "--to",
            metavar="KIND",
            rich_help_panel=PANEL,
            help="Plan a deployment, as in 'kubernetes', instead of a run here.",
        ),
    ] = None,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", rich_help_panel=PANEL, help="Namespace.")
    ] = None,
    context: Annotated[str | None, typer.Option(rich_help_panel=PANEL, help="Context of the kubeconfig.")] = None,
    kubeconfig: Annotated[str | None, typer.Option(rich_help_panel=PANEL, help="Path of the kubeconfig.")] = None,
    image: Annotated[
        str | None, typer.Option(rich_help_panel=PANEL, help="Image of all operators that name none.")
    ] = None,
    tells_changes: Annotated[
        bool, typer.Option("--exit-code", rich_help_panel=PANEL, help="End with 3 where something would change.")
    ] = False,
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Show what would run: members, parameters with their origin, schemas of every connection, what happens to channels.

    Every error is told at once. Nothing is created or changed. Secrets are masked.

    With --to: what `pypz deploy` would change there, and what the cluster would refuse. No broker is asked.

    pypz plan letters:Letters -p '>>channelLocation=localhost:9092'

    pypz plan letters.yaml --offline --brief

    pypz plan letters:Letters --to kubernetes --image letters:2

    Exit code: 0 when a start would go on, 1 when it would be refused; with --exit-code 3 when something would change.
    """
    with told_plainly(debug, as_json and _nothing_but):
        if to is not None:
            raise typer.Exit(
                plan_deployment(
                    prepared(target, parameter, name, image),
                    deployer_at(to, namespace, context, kubeconfig),
                    as_json=as_json,
                    tells_changes=tells_changes,
                )
            )
        for option, given in (
            ("namespace", namespace),
            ("context", context),
            ("kubeconfig", kubeconfig),
            ("image", image),
        ):
            if given is not None:
                raise ConfigurationError(f"--{option} goes with --to, as in --to kubernetes")
        faults: list[str] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PypzWarning)
            pipeline = load_pipeline(target, name, parameter or [], mock_nonexistent=True, faults=faults)
        with stderr().status("asking the locations"):
            found = make_plan(pipeline, PluginHost.default(), offline=offline, fresh=fresh)
        found.errors = [*faults, *found.errors]
        found.warnings += [str(one.message) for one in caught if issubclass(one.category, PypzWarning)]
        found.warnings += list(unexpected(pipeline, parameter or []))
        found.warnings = list(dict.fromkeys(found.warnings))
        if as_json:
            sys.stdout.write(as_json_text(dataclasses.asdict(found)))
        else:
            _show(found, brief)
        if found.errors:
            raise typer.Exit(1)


def _nothing_but(errors: list[str]) -> dict[str, Any]:
    """What is planned when there is no pipeline to plan."""
    return dataclasses.asdict(Plan(None, errors=errors))


def _show(found: Plan, brief: bool) -> None:
    console = stdout()

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, soft_wrap=True)

    say(str(found.pipeline), "bold")
    for one in found.operators:
        replicas = "" if len(one.members) == 1 else f", {len(one.members)} members: {', '.join(one.members)}"
        say(f"  {one.operator}  ({one.of_class}){replicas}")
    if not brief:
        for described in found.parameters:
            if described.parameters:
                say(f"\n{described.instance}", "bold")
                console.print(table_of(described.parameters))
    if found.edges:
        say("\nconnections", "bold")
    for edge in found.edges:
        verdict = {True: "compatible", False: "INCOMPATIBLE", None: "not known"}[edge.is_compatible]
        say(f"  {edge.output} -> {edge.input}: {verdict}", "red" if edge.is_compatible is False else "")
        say(f"    {_cut(edge.output_schema)}" + ("" if _is_same(edge) else f"\n    read as {_cut(edge.input_schema)}"))
        if edge.reason:
            say(f"    {edge.reason}")
    if found.channels:
        say("\nchannels", "bold")
    for channel in found.channels:
        say(f"  {channel.name}\n    at {channel.location}: {channel.action}", "red" if "LOST" in channel.action else "")
    for run in found.runs:
        say(f"\n{run}")
    for warning in found.warnings:
        say(f"\nwarning: {warning}", "yellow")
    for error in found.errors:
        say(f"\nerror: {error}", "red")
    count = len(found.errors)
    say(f"\n{'would start' if not count else f'would NOT start: {count} error' + ('' if count == 1 else 's')}", "bold")


def _is_same(edge: EdgePlan) -> bool:
    return edge.output_schema == edge.input_schema


def _cut(text: str, at_most: int = 300) -> str:
    return text if len(text) <= at_most else f"{text[:at_most]} ..."
