"""From a pipeline's model to what is to run on the cluster."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any, Final

from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.secrets import secrets_of
from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s.parameters import FIELD_NAMES, KubernetesParameter
from pypz.deployers.k8s.plan import DEPLOYMENT, JOB, OperatorPlan, PipelinePlan
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.execution import JOINING
from pypz.executors.operator.executor import drain_seconds
from pypz.operators.k8s import KubernetesOperator
from pypz.utils.k8s.errors import DeploymentException, DeploymentTypeError

SETTINGS_PARAMETER: Final = "kubernetes"
"""Parameter of an operator that holds a `KubernetesParameter` as a dictionary."""


def plan_of(pipeline: Pipeline, mode: ExecutionMode, ignored: Iterable[Operator]) -> PipelinePlan:
    """Find out what is to run for a pipeline, under a new run id.

    Args:
        pipeline: What to deploy.
        mode: Mode of its operators.
        ignored: Operators that get the mode ``Skip``.

    Raises:
        DeploymentTypeError: An argument is of another type; a TypeError.
        DeploymentException: Operators have no image; all are listed. Or an ignored operator is not of this pipeline.
        ConfigurationError: A setting of an operator cannot be used.
    """
    if not isinstance(pipeline, Pipeline):
        raise DeploymentTypeError(f"deploy expects a Pipeline, got {type(pipeline).__name__}")
    if not isinstance(mode, ExecutionMode):
        raise DeploymentTypeError(f"{pipeline.get_full_name()}: execution_mode is {mode!r}, expected an ExecutionMode")
    principals = [o for o in members_of(pipeline) if o.is_principal()]
    _check_images(pipeline, principals)
    skipped = _skipped(pipeline, principals, ignored)
    return PipelinePlan(
        name=pipeline.get_full_name(),
        run=uuid.uuid4().hex[:12],
        config=str(pipeline),
        operators=[_operator_plan(o, ExecutionMode.Skip if o.get_full_name() in skipped else mode) for o in principals],
        secrets=secrets_of(pipeline),
    )


def members_of(pipeline: Pipeline) -> list[Operator]:
    """All operators of a pipeline, replicas included."""
    return list(Internals(pipeline).nested_instances.values())


def _check_images(pipeline: Pipeline, principals: Iterable[Operator]) -> None:
    without = [o.get_full_name() for o in principals if not o.get_operator_image_name()]
    if without:
        raise DeploymentException(
            f"{pipeline.get_full_name()}: no image is known for {', '.join(without)}; name the one that holds the "
            'operator\'s code, such as set_parameter("operatorImageName", "registry/image:tag") on the operator, '
            'or set_parameter(">operatorImageName", ...) on the pipeline for all of them, as '
            "`pypz deploy --image registry/image:tag` does"
        )


def _skipped(pipeline: Pipeline, principals: Iterable[Operator], ignored: Iterable[Operator]) -> set[str]:
    names = {o.get_full_name() for o in principals}
    skipped: set[str] = set()
    for operator in ignored:
        name = operator.get_full_name()
        if name not in names:
            raise DeploymentException(
                f"ignore_operators: {name} is none of {', '.join(sorted(names))}; "
                "replicas go with their operator, name that one"
            )
        skipped.add(name)
    return skipped


def _operator_plan(operator: Operator, mode: ExecutionMode) -> OperatorPlan:
    image = operator.get_operator_image_name()
    assert image is not None, "images are checked before"
    settings = _settings_of(operator)
    return OperatorPlan(
        name=operator.get_simple_name(),
        image=image,
        group_size=operator.get_group_size(),
        mode=mode.value,
        workload=_workload_of(operator, settings, mode),
        settings=settings,
        secret_keys=sorted(secrets_of(operator)),
        **_health_of(operator),
        drain_timeout_s=drain_seconds(operator),
    )


def _workload_of(operator: Operator, settings: KubernetesParameter, mode: ExecutionMode) -> str:
    """Which kind of object makes the pods of an operator; one that does not run in this mode ends, so it is a Job."""
    where, size = operator.get_full_name(), operator.get_group_size()
    if settings.workload not in (None, JOB, DEPLOYMENT):
        raise ConfigurationError(
            f"{where}: Kubernetes setting 'workload' is {settings.workload!r}, expected {JOB!r} or {DEPLOYMENT!r}"
        )
    if settings.workload != DEPLOYMENT or mode not in JOINING:
        return JOB
    if size > 1:
        raise ConfigurationError(
            f"{where}: Kubernetes setting 'workload' is {DEPLOYMENT!r} for a group of {size} members: pods of a Deployment have "
            f"no index, by which a member knows its place; leave it out ({JOB!r} starts members again, too), or have "
            "replicationFactor 0"
        )
    return DEPLOYMENT


def _health_of(operator: Operator) -> dict[str, Any]:
    """Where probes are answered, by a plugin of the operator where it has one."""
    for plugin in Internals(operator).nested_instances.values():
        if getattr(plugin, "answers_probes", False):
            port = plugin.get_parameter("port") if plugin.has_parameter("port") else None
            return {"health_port": int(port or OperatorPlan.health_port), "has_health_plugin": True}
    return {}


def _settings_of(operator: Operator) -> KubernetesParameter:
    """The pods' settings: of the operator's own parameters, where it is a `KubernetesOperator`, and of ``kubernetes``."""
    where = operator.get_full_name()
    settings = KubernetesParameter()
    if isinstance(operator, KubernetesOperator):
        own = {n: operator.get_parameter(n) for n in FIELD_NAMES if operator.has_parameter(n)}
        settings = KubernetesParameter.from_mapping(own, where)
    if operator.has_parameter(SETTINGS_PARAMETER):
        given: Any = operator.get_parameter(SETTINGS_PARAMETER)
        if given is not None and not isinstance(given, dict):
            raise ConfigurationError(
                f"{where}: the parameter {SETTINGS_PARAMETER!r} is {type(given).__name__}, "
                "expected a dict, such as KubernetesParameter(...).__dict__"
            )
        settings = settings.but(KubernetesParameter.from_mapping(given or {}, where))
    return settings
