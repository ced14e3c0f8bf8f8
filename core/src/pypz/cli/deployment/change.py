"""``pypz restart`` and ``pypz destroy``: change what is deployed."""

from __future__ import annotations

from typing import Annotated

import typer

from pypz.cli.deployment.place import (
    KUBERNETES,
    Context,
    Debug,
    Force,
    Kubeconfig,
    Namespace,
    Operator,
    To,
    Wait,
    deployer_at,
)
from pypz.cli.errors import told_plainly
from pypz.cli.screen import stderr


def restart(
    operator: Operator,
    force: Force = False,
    wait: Wait = True,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    debug: Debug = False,
) -> None:
    """Start an operator of a deployed pipeline anew with all its replicas, in the same run.

    Its members go on behind what they have committed; those that had ended stay ended.
    """
    with told_plainly(debug):
        deployer = deployer_at(to, namespace, context, kubeconfig)
        with stderr().status(f"restarting {operator}"):
            deployer.restart_operator(operator, force, wait)
        stderr().print(f"pypz: {operator} starts again")


def destroy(
    name: Annotated[str, typer.Argument(help="A pipeline, or one of its operators by full name.")],
    force: Force = False,
    wait: Wait = True,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    debug: Debug = False,
) -> None:
    """Remove a deployed pipeline with all that its deployment made, or one operator of it.

    Operators finish what they have begun, and commit. Channels of a run that did not end well stay: a later start goes on.

    Ctrl-C stops the waiting; what has begun goes on.

    pypz destroy weather

    pypz destroy weather.reader --force
    """
    with told_plainly(debug):
        deployer = deployer_at(to, namespace, context, kubeconfig)
        with stderr().status(f"removing {name}"):
            (deployer.destroy_operator if "." in name else deployer.destroy)(name, force, wait)
        stderr().print(f"pypz: {name} is {'removed' if wait else 'being removed'}")
