"""What is to run for a pipeline on the cluster, and the names and labels that its objects have there."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from pypz.deployers.k8s.parameters import KubernetesParameter
from pypz.utils.k8s.names import MAX_JOB_NAME, MAX_LABEL, label_value, object_name

CONFIG_KEY: Final = "config.yaml"
WORKLOADS_KEY: Final = "workloads"
"""Where the owner says which kinds of objects make the pods."""
CONTAINER: Final = "operator"
JOB: Final = "Job"
DEPLOYMENT: Final = "Deployment"

FULL_NAME: Final = "pypz.io/full-name"
RUN: Final = "pypz.io/run"
ENDED_BECAUSE: Final = "pypz.io/ended-because"
SCALING: Final = "pypz.io/scaling"
"""Of the pipeline's ConfigMap: manifest of a Job (or Deployment) that scaling or a restart is about to replace."""
SCALING_TO: Final = "pypz.io/scaling-to"
"""Of the pipeline's ConfigMap: full name of the operator that is being scaled, and its members, as ``pipeline.reader=4``."""
INSTANCE_TYPE: Final = "pypz.io/instance-type"
PART_OF: Final = "pypz.io/part-of"
INSTANCE_NAME: Final = "pypz.io/instance-name"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
INDEX: Final = "batch.kubernetes.io/job-completion-index"


@dataclass(frozen=True)
class OperatorPlan:
    """What is to run for one operator and its replicas."""

    name: str
    """Simple name of the principal."""
    image: str
    group_size: int = 1
    mode: str = "Standard"
    drain_timeout_s: float = 10.0
    settings: KubernetesParameter = field(default_factory=KubernetesParameter)
    health_port: int = 8081
    """TCP port on which ``/live`` and ``/ready`` are answered."""
    has_health_plugin: bool = False
    """Whether a plugin of the operator answers there; else the runner does."""
    secret_keys: Sequence[str] = ()
    """Environment variables that its secret values come in."""
    workload: str = JOB
    """Kind of object that makes its pods."""


@dataclass(frozen=True)
class PipelinePlan:
    """What is to run for one pipeline."""

    name: str
    run: str
    config: str = field(repr=False)
    """Its DTO as YAML, secrets masked."""
    operators: Sequence[OperatorPlan] = ()
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Secret values by environment variable."""

    @property
    def workloads(self) -> tuple[str, ...]:
        """Kinds of objects that make its pods."""
        return tuple(sorted({JOB, *(operator.workload for operator in self.operators)}, reverse=True))

    @property
    def owner_name(self) -> str:
        """Name of the ConfigMap that owns all other objects."""
        return owner_name(self.name)

    @property
    def config_name(self) -> str:
        """Name of the ConfigMap that holds the DTO: changes with its content. No owner's name has a dot."""
        return config_name(self.name, self.config)


def owner_name(pipeline: str) -> str:
    """Name of the ConfigMap that stands for a deployed pipeline, and of the Secret beside it."""
    return "pypz-" + object_name(pipeline, limit=MAX_LABEL - len("pypz-"))


def config_name(pipeline: str, config: str) -> str:
    """Name of the ConfigMap that holds a pipeline's DTO."""
    return f"{owner_name(pipeline)}.config-{hashlib.sha256(config.encode()).hexdigest()[:10]}"


def job_name(pipeline: str, operator: str) -> str:
    """Name of an operator's Job."""
    return object_name(pipeline, operator, limit=MAX_JOB_NAME)


def selector_of(pipeline: str) -> str:
    """Labels that all objects of a pipeline have, and no others."""
    return f"{PART_OF}={label_value(pipeline)},{MANAGED_BY}=pypz"
