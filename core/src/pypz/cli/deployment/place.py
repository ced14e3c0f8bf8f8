"""Where the commands of this package look: the options that they share."""

from __future__ import annotations

import shlex
from typing import Annotated

import typer

from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.deployers.base import Deployer

To = Annotated[str, typer.Option("--to", metavar="KIND", help="Kind of place, as plugins bring them.")]
Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Namespace; 'default' when left out.")]
Context = Annotated[str | None, typer.Option(help="Context of the kubeconfig; its current one when left out.")]
Kubeconfig = Annotated[
    str | None, typer.Option(help="Path of the kubeconfig; KUBECONFIG or ~/.kube/config when left out.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Name = Annotated[str, typer.Argument(help="Name of the deployed pipeline.")]
Operator = Annotated[str, typer.Argument(help="Full name of the operator, as in 'weather.reader'.")]
Force = Annotated[bool, typer.Option("--force", help="Kill at once, do not let it commit.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Return only when it is done.")]

KUBERNETES = "kubernetes"


def deployer_at(to: str, namespace: str | None, context: str | None, kubeconfig: str | None) -> Deployer:
    """Make the deployer that the options mean.

    Raises:
        ConfigurationError: No installed plugin deploys there.
    """
    given = {"namespace": namespace, "context": context, "kubeconfig": kubeconfig}
    return PluginHost.default().make_deployer(to, {key: value for key, value in given.items() if value is not None})


def options_of(to: str, namespace: str | None, context: str | None, kubeconfig: str | None) -> str:
    """Write the options that are given as one would write them again, each with a blank before it."""
    given = {
        "--to": None if to == KUBERNETES else to,
        "-n": namespace,
        "--context": context,
        "--kubeconfig": kubeconfig,
    }
    return "".join(f" {option} {shlex.quote(value)}" for option, value in given.items() if value is not None)


def check_deployed(deployer: Deployer, pipeline: str) -> None:
    """Refuse a pipeline that is not there.

    Raises:
        ConfigurationError: Tells which ones are.
    """
    if not deployer.is_deployed(pipeline):
        found = ", ".join(sorted(deployer.retrieve_pipeline_deployments())) or "none"
        where = f"in {deployer.place}; deployed there" if deployer.place else "there; deployed"
        raise ConfigurationError(f"{pipeline!r} is not deployed {where}: {found}")
