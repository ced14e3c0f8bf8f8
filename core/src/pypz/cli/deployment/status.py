"""``pypz status``: what is deployed, and how it does."""

from __future__ import annotations

import json
import sys
from collections import Counter
from typing import Annotated, Any

import typer

from pypz.cli.deployment.place import (
    KUBERNETES,
    Context,
    Debug,
    Kubeconfig,
    Namespace,
    To,
    check_deployed,
    deployer_at,
)
from pypz.cli.deployment.table import table_of
from pypz.cli.errors import told_plainly
from pypz.cli.screen import stdout
from pypz.deployers.base import Deployer, DeploymentState, MemberStatus


def status(
    name: Annotated[str | None, typer.Argument(help="Name of the pipeline; all of them when left out.")] = None,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    as_json: Annotated[bool, typer.Option("--json", help="JSON: a list with an object for each member.")] = False,
    debug: Debug = False,
) -> None:
    """Show the deployed pipelines, or every member of one: state, restarts, age, host and reason.

    With --json each member is an object with "name", "state", "reason", "restarts", "host" and "since_utc" (seconds since 1970).

    pypz status

    pypz status weather --json
    """
    with told_plainly(debug, as_json):
        deployer = deployer_at(to, namespace, context, kubeconfig)
        if name is not None:
            check_deployed(deployer, name)
            members = deployer.retrieve_pipeline_status(name)
            if as_json:
                _write_json([_as_json(member) for member in members])
                return
            stdout().print(table_of(members, name))
            if any(member.state is DeploymentState.Failed for member in members):
                left = deployer.retrieve_remains(name)
                stdout().print(f"{name}: {left}" if left else "", soft_wrap=True, end="\n" if left else "")
            return
        found = {pipeline: _counts(deployer, pipeline) for pipeline in sorted(deployer.retrieve_pipeline_deployments())}
        if as_json:
            _write_json([{"name": pipeline, "states": counts} for pipeline, counts in found.items()])
            return
        for pipeline, counts in found.items():
            stdout().print(f"{pipeline}: " + ", ".join(f"{count} {state}" for state, count in counts.items()))
        if not found:
            stdout().print("nothing is deployed there")


def _counts(deployer: Deployer, pipeline: str) -> dict[str, int]:
    return dict(Counter(state.name for state in deployer.retrieve_pipeline_state(pipeline).values()))


def _as_json(member: MemberStatus) -> dict[str, Any]:
    return {
        "name": member.name,
        "state": member.state.name,
        "reason": member.reason,
        "restarts": member.restarts,
        "host": member.host,
        "since_utc": member.since_utc,
    }


def _write_json(values: Any) -> None:
    json.dump(values, sys.stdout, indent=2)
    sys.stdout.write("\n")
