"""``pypz scale``: another number of members for an operator of a deployed pipeline."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pypz.cli.deployment.place import KUBERNETES, Context, Debug, Kubeconfig, Namespace, Operator, To, deployer_at
from pypz.cli.errors import told_plainly
from pypz.cli.screen import stderr
from pypz.core.channels.runs.scaling import Scaled, ScalingPlan


def scale(
    operator: Operator,
    members: Annotated[
        int,
        typer.Argument(metavar="N", help="Members from now on, the operator itself included: replicationFactor + 1."),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell what would move.")] = False,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    debug: Debug = False,
) -> None:
    """Give a deployed operator N members, in the same run: it says before what moves, and after that nothing was lost.

    Its members commit and stop, their partitions are handed over, and N members start. The other operators go on. The
    locations of its channels must be reachable from here.

    pypz scale weather.reader 4
    """
    with told_plainly(debug):
        deployer = deployer_at(to, namespace, context, kubeconfig)
        if dry_run:
            _tell(deployer.plan_scaling(operator, members))
            return
        with stderr().status(f"scaling {operator}"):
            scaled = deployer.scale_operator(operator, members, _tell)
        _tell_done(scaled)


def _tell(plan: ScalingPlan) -> None:
    """What will move."""
    factors = f"replicationFactor {plan.before - 1} -> {plan.after - 1}"
    lines = [f"{plan.operator}: {plan.before} -> {plan.after} members ({factors}), run {plan.run}"]
    if not plan.is_needed:
        lines.append("  nothing moves")
    for channel in dict.fromkeys(move.channel for move in plan.moves) if plan.is_needed else ():
        lines.append(f"  {channel}:")
        for move in plan.moves:
            if move.channel == channel:
                lines.append(
                    f"    partition {move.partition}: {_way(move.before, move.after)}; {move.waiting} entries wait"
                )
    for what, names in (("start", plan.added), ("end for good", plan.removed)):
        if names:
            lines.append(f"  {what}: {', '.join(names)}")
    if plan.is_needed:
        lines.append("  the members that stay commit, stop and start again; all other operators go on")
    _write(lines)


def _way(before: str, after: str) -> str:
    if not after:
        return "each member reads all of it"
    if not before:
        return f"new, for {after}"
    return f"stays with {after}" if before == after else f"{before} -> {after}"


def _tell_done(scaled: Scaled) -> None:
    """What was seen."""
    plan = scaled.plan
    lines = [f"{plan.operator} has {plan.after} members, by generation {scaled.generation} of the roster"]
    if scaled.positions:
        told = ", ".join(f"{channel} {number} at {at}" for (channel, number), at in sorted(scaled.positions.items()))
        lines.append(f"  nothing was lost: each partition goes on where it stood when its member had stopped ({told})")
    _write(lines)


def _write(lines: list[str]) -> None:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
