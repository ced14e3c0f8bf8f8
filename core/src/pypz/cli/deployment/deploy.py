"""``pypz deploy`` and ``pypz render``: bring a pipeline to a cluster, or tell what that would make."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pypz.cli.deployment.attach import stay
from pypz.cli.deployment.place import (
    KUBERNETES,
    Context,
    Debug,
    Kubeconfig,
    Namespace,
    To,
    Wait,
    deployer_at,
    options_of,
)
from pypz.cli.errors import told_plainly
from pypz.cli.given import unexpected
from pypz.cli.options import Parameters, PipelineName, Target
from pypz.cli.screen import stderr
from pypz.cli.target import load_pipeline
from pypz.core.commons.errors import ConfigurationError
from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode

Image = Annotated[str | None, typer.Option(help="Image of all operators that name none.")]
Mode = Annotated[
    ExecutionMode,
    typer.Option(
        case_sensitive=False, metavar="MODE", help=f"Part of life: {', '.join(m.value for m in ExecutionMode)}."
    ),
]
Skip = Annotated[list[str] | None, typer.Option("--skip", metavar="OPERATOR", help="Leave this operator out.")]


def deploy(
    target: Target = None,
    parameter: Parameters = None,
    name: PipelineName = None,
    image: Image = None,
    mode: Mode = ExecutionMode.Standard,
    skip: Skip = None,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    attach: Annotated[bool, typer.Option("--attach", help="Stay until it has ended, as `pypz attach`.")] = False,
    wait: Wait = True,
    debug: Debug = False,
) -> None:
    """Deploy every operator of a pipeline with its replicas, as a new run: all or nothing.

    It returns when all pods exist, which is before they run. Ctrl-C before that removes what was made.

    pypz deploy weather:Weather -p '>>channelLocation=broker:9092' --image weather:1 --attach

    `pypz plan --to kubernetes` tells beforehand what would change and what is wrong.

    Exit code: 0, or 1 after an error; with --attach that of `pypz attach`; 130 after Ctrl-C.
    """
    with told_plainly(debug):
        pipeline = prepared(target, parameter, name, image)
        deployer = deployer_at(to, namespace, context, kubeconfig)
        full_name = pipeline.get_full_name()
        with stderr().status(f"deploying {full_name}"):
            deployer.deploy(pipeline, mode, named(pipeline, skip or ()), wait)
        where = options_of(to, namespace, context, kubeconfig)
        stderr().print(f"pypz: {full_name} is deployed; `pypz attach {full_name}{where}` stays with it", soft_wrap=True)
        if attach:
            raise typer.Exit(stay(deployer, full_name))


def render(
    target: Target = None,
    parameter: Parameters = None,
    name: PipelineName = None,
    image: Image = None,
    mode: Mode = ExecutionMode.Standard,
    skip: Skip = None,
    rbac: Annotated[
        bool,
        typer.Option("--rbac", help="Write an account that may deploy there, and nothing else; needs no pipeline."),
    ] = False,
    account: Annotated[str, typer.Option(help="With --rbac: the account's name.")] = "pypz-deployer",
    to: To = KUBERNETES,
    namespace: Namespace = None,
    debug: Debug = False,
) -> None:
    """Write what `pypz deploy` would make to stdout, for those who apply it by means of their own. No cluster is asked.

    Always the same text for the same pipeline. Secret values are left out.

    pypz render weather:Weather --image weather:1 | kubectl apply --server-side -f -

    pypz render --rbac --namespace weather | kubectl apply -f -
    """
    with told_plainly(debug):
        deployer = deployer_at(to, namespace, None, None)
        if rbac:
            sys.stdout.write(deployer.render_rights(account))
            return
        pipeline = prepared(target, parameter, name, image)
        sys.stdout.write(deployer.render(pipeline, mode, named(pipeline, skip or ())))


def prepared(target: str | None, parameters: list[str] | None, name: str | None, image: str | None) -> Pipeline:
    # What is deployed runs elsewhere: the code that a YAML file names need not be here.
    pipeline = load_pipeline(target, name, parameters or [], mock_nonexistent=True)
    for warning in unexpected(pipeline, parameters or []):
        stderr().print(f"pypz: warning: {warning}")
    if image is not None:
        for operator in _principals(pipeline):
            if not operator.get_operator_image_name():
                operator.set_parameter("operatorImageName", image)
    return pipeline


def _principals(pipeline: Pipeline) -> list[Operator]:
    return [operator for operator in Internals(pipeline).nested_instances.values() if operator.is_principal()]


def named(pipeline: Pipeline, names: list[str] | tuple[str, ...]) -> list[Operator]:
    """The operators of these simple or full names."""
    known = {operator.get_simple_name(): operator for operator in _principals(pipeline)}
    found = []
    for name in names:
        operator = known.get(name.removeprefix(f"{pipeline.get_full_name()}."))
        if operator is None:
            raise ConfigurationError(f"--skip {name!r}: no such operator; there are {', '.join(known)}")
        found.append(operator)
    return found
