"""``pypz plan --to``: what deploying would change, shown for people and scripts."""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from typing import Final

from pypz.cli.planning import make_plan
from pypz.cli.screen import as_json_text, stderr, stdout
from pypz.core.commons.errors import PypzError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentPlan

CHANGES: Final = 3
"""Exit code where something would change, when asked for: 2 is a mistake on the command line (click)."""
_STYLES: Final = {"+": "green", "-": "red", "@": "dim"}


def plan_deployment(pipeline: Pipeline, deployer: Deployer, *, as_json: bool, tells_changes: bool) -> int:
    """Plan, and show it; gives the exit code."""
    name = pipeline.get_full_name()
    with stderr().status(f"asking what deploying {name} would change"):
        try:
            found = deployer.plan(pipeline)
        except PypzError as error:
            found = DeploymentPlan(name, "", errors=[str(error)])
        # What is deployed may use classes that are not here, and brokers that only its pods reach.
        here = make_plan(pipeline, PluginHost.default(), offline=True, classes_are_here=False)
        found.errors += here.errors
        found.warnings += here.warnings
    if as_json:
        sys.stdout.write(as_json_text(dataclasses.asdict(found)))
    else:
        _show(found)
    if found.errors:
        return 1
    return CHANGES if found.changes and tells_changes else 0


def _show(found: DeploymentPlan) -> None:
    console = stdout()

    def say(text: str, style: str = "") -> None:
        console.print(text, style=style, soft_wrap=True)

    if found.place:
        say(
            f"{found.pipeline} at {found.place}: {'is deployed' if found.is_deployed else 'is not deployed yet'}",
            "bold",
        )
    for change in found.changes:
        of_operator = f" of {change.operator}" if change.operator else ""
        say(f"  {change.action} {change.kind} {change.name}{of_operator}", "bold")
        for line in change.diff.splitlines():
            say(f"    {line}", _STYLES.get(line[0], ""))
    if found.restarts:
        say("\nwould start again", "bold")
    for member, why in found.restarts.items():
        say(f"  {member}: {why}")
    if found.data:
        say("\ndata", "bold")
    for sentence in found.data:
        say(f"  {sentence}")
    for warning in found.warnings:
        say(f"\nwarning: {warning}", "yellow")
    for error in found.errors:
        say(f"\nerror: {error}", "red")
    say(f"\n{_verdict(found)}", "bold")


def _verdict(found: DeploymentPlan) -> str:
    if found.errors:
        count = len(found.errors)
        return f"would fail: {count} error{'' if count == 1 else 's'}"
    if not found.changes:
        return "nothing would change"
    counts: Counter[str] = Counter(change.action for change in found.changes)
    words = {"create": "created", "change": "changed", "delete": "removed"}
    told = ", ".join(f"{counts[action]} {word}" for action, word in words.items() if counts[action])
    if not found.is_deployed:
        return f"would change: {told}"
    anew = f"`pypz destroy {found.pipeline}`, then `pypz deploy`"
    if not found.scaling:
        return f"would change: {told}; {anew} brings it about"
    scale = ", ".join(f"`pypz scale {operator} {members}`" for operator, members in found.scaling.items())
    return f"would change: {told}, sizes of groups alone; {scale} brings it about while the run goes on, {anew} as a new run"
