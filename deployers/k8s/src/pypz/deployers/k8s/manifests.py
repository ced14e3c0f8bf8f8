"""What a pipeline becomes on the cluster: a small ConfigMap that owns the rest, its DTO, its secrets, a Job an operator.

Plain values in, plain values out; nothing here talks to a cluster.
"""

from __future__ import annotations

import copy
import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from pypz.core.channels.run import SKIPPED_VARIABLE
from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError
from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.parameters import KubernetesParameter
from pypz.executors.commons import ExecutionMode
from pypz.utils.k8s.errors import DeploymentException
from pypz.utils.k8s.names import MAX_JOB_NAME, MAX_LABEL, label_value, object_name

CONFIG_FOLDER: Final = "/operator/config"
CONFIG_KEY: Final = "config.yaml"
CONTAINER: Final = "operator"
USER: Final = 10001
"""User and group of the pods, unless told otherwise; above 10,000 so that it meets no user of the host. Chosen."""
GRACE_OVER_DRAIN_S: Final = 15
"""Seconds that a pod gets beyond its drain time-out to commit and end, before it is killed. Chosen."""
MAX_CONFIG_BYTES: Final = 1_048_576
"""Bytes in a ConfigMap (Kubernetes)."""

FULL_NAME: Final = "pypz.io/full-name"
RUN: Final = "pypz.io/run"
ENDED_BECAUSE: Final = "pypz.io/ended-because"
INSTANCE_TYPE: Final = "pypz.io/instance-type"
PART_OF: Final = "pypz.io/part-of"
INSTANCE_NAME: Final = "pypz.io/instance-name"
MANAGED_BY: Final = "app.kubernetes.io/managed-by"
INDEX: Final = "batch.kubernetes.io/job-completion-index"

_OURS: Final = (
    "JOB_COMPLETION_INDEX",
    "PYPZ_NODE_NAME",
    "PYPZ_OPERATOR_INSTANCE_NAME",
    "PYPZ_OPERATOR_EXEC_MODE",
    "PYPZ_RUN",
    SKIPPED_VARIABLE,
)
"""Environment variables that a user cannot set."""


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
    secret_keys: Sequence[str] = ()
    """Environment variables that its secret values come in."""


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
    def owner_name(self) -> str:
        """Name of the ConfigMap that owns all other objects."""
        return owner_name(self.name)

    @property
    def config_name(self) -> str:
        """Name of the ConfigMap that holds the DTO: changes with its content. No owner's name has a dot."""
        return f"{self.owner_name}.config-{hashlib.sha256(self.config.encode()).hexdigest()[:10]}"


def owner_name(pipeline: str) -> str:
    """Name of the ConfigMap that stands for a deployed pipeline, and of the Secret beside it."""
    return "pypz-" + object_name(pipeline, limit=MAX_LABEL - len("pypz-"))


def job_name(pipeline: str, operator: str) -> str:
    """Name of an operator's Job."""
    return object_name(pipeline, operator, limit=MAX_JOB_NAME)


def selector_of(pipeline: str) -> str:
    """Labels that all objects of a pipeline have, and no others."""
    return f"{PART_OF}={label_value(pipeline)},{MANAGED_BY}=pypz"


def owner_manifest(plan: PipelinePlan) -> Manifest:
    """Make the ConfigMap that stands for the pipeline; deleting it removes everything."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(plan, plan.owner_name, "pipeline", None, {}),
        "data": {"pipeline": plan.name, "run": plan.run, "config": plan.config_name},
    }


def dependent_manifests(plan: PipelinePlan) -> list[Manifest]:
    """Make all other objects of the pipeline, in the order in which they are to be created.

    Raises:
        DeploymentException: The DTO is too large for a ConfigMap.
        ConfigurationError: A setting of the user cannot be used.
    """
    size = len(plan.config.encode())
    if size > MAX_CONFIG_BYTES:
        raise DeploymentException(
            f"{plan.name}: its description takes {size:,} bytes, Kubernetes stores {MAX_CONFIG_BYTES:,} at most; "
            "give large parameters by a file in the image or by a volume"
        )
    made = [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": _metadata(plan, plan.config_name, "config", None, {}),
            "data": {CONFIG_KEY: plan.config},
            "immutable": True,
        }
    ]
    if plan.secrets:
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": _metadata(plan, plan.owner_name, "secrets", None, {}),
                "stringData": dict(plan.secrets),
                "type": "Opaque",
                "immutable": True,
            }
        )
    return made + [_job(plan, operator) for operator in plan.operators]


def owned(manifest: Manifest, owner: Manifest) -> Manifest:
    """Make an object go when its owner goes."""
    reference = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "blockOwnerDeletion": True,
    }
    return {**manifest, "metadata": {**manifest["metadata"], "ownerReferences": [reference]}}


def renewed(job: Manifest) -> Manifest:
    """Make a Job's manifest anew from what the cluster has of it: the same pods, nothing of what has happened to it."""
    spec = copy.deepcopy(job["spec"])
    spec.pop("selector", None)
    spec.pop("suspend", None)
    template = spec["template"]["metadata"]
    template.pop("creationTimestamp", None)
    template["labels"] = {k: v for k, v in template["labels"].items() if not _is_set_by_jobs(k)}
    old = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": old["name"],
            "labels": {k: v for k, v in old["labels"].items() if not _is_set_by_jobs(k)},
            "annotations": {k: v for k, v in old["annotations"].items() if k in (FULL_NAME, RUN)},
            "ownerReferences": old.get("ownerReferences", []),
        },
        "spec": spec,
    }


def _is_set_by_jobs(label: str) -> bool:
    return label.startswith("batch.kubernetes.io/") or label in ("job-name", "controller-uid")


def _metadata(
    plan: PipelinePlan, name: str, kind: str, operator: OperatorPlan | None, labels: Mapping[str, str]
) -> Manifest:
    full_name = plan.name if operator is None else f"{plan.name}.{operator.name}"
    return {
        "name": name,
        "labels": {**labels, **_labels(plan, kind, operator)},
        "annotations": {FULL_NAME: full_name, RUN: plan.run},
    }


def _labels(plan: PipelinePlan, kind: str, operator: OperatorPlan | None) -> dict[str, str]:
    pipeline = label_value(plan.name)
    instance = pipeline if operator is None else label_value(operator.name)
    return {
        "app.kubernetes.io/name": instance,
        "app.kubernetes.io/part-of": pipeline,
        "app.kubernetes.io/component": kind,
        MANAGED_BY: "pypz",
        INSTANCE_TYPE: kind,
        PART_OF: pipeline,
        INSTANCE_NAME: instance,
    }


def _job(plan: PipelinePlan, operator: OperatorPlan) -> Manifest:
    user_labels = operator.settings.labels or {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(plan, job_name(plan.name, operator.name), "operator", operator, user_labels),
        "spec": {
            "completionMode": "Indexed",
            "completions": operator.group_size,
            "parallelism": operator.group_size,
            "backoffLimit": 0,
            "podReplacementPolicy": "Failed",
            "template": {
                "metadata": {
                    "labels": {**user_labels, **_labels(plan, "operator", operator)},
                    "annotations": {FULL_NAME: f"{plan.name}.{operator.name}", RUN: plan.run},
                },
                "spec": _pod(plan, operator),
            },
        },
    }


def _pod(plan: PipelinePlan, operator: OperatorPlan) -> Manifest:
    where = f"{plan.name}.{operator.name}"
    settings = operator.settings
    grace_s = settings.terminationGracePeriodSeconds
    pod: Manifest = {
        "restartPolicy": _restart_policy(settings, where),
        "terminationGracePeriodSeconds": (
            math.ceil(operator.drain_timeout_s) + GRACE_OVER_DRAIN_S if grace_s is None else grace_s
        ),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(settings),
        "containers": [_container(plan, operator, where), *copy.deepcopy(settings.containers or [])],
        "volumes": [
            {"name": "pypz-config", "configMap": {"name": plan.config_name, "defaultMode": 0o444}},
            {"name": "pypz-tmp", "emptyDir": {}},
            *copy.deepcopy(settings.volumes or []),
        ],
        "topologySpreadConstraints": [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {PART_OF: label_value(plan.name), INSTANCE_TYPE: "operator"}},
            }
        ],
    }
    if settings.serviceAccountName is not None:
        pod["serviceAccountName"] = settings.serviceAccountName
        # Who names an account of its own wants its token; the default account's serves nobody.
        pod["automountServiceAccountToken"] = settings.serviceAccountName != "default"
    if settings.nodeSelector:
        pod["nodeSelector"] = dict(settings.nodeSelector)
    if settings.tolerations:
        pod["tolerations"] = copy.deepcopy(settings.tolerations)
    affinity = _node_affinity(settings, where)
    if affinity:
        pod["affinity"] = {"nodeAffinity": affinity}
    return pod


def _container(plan: PipelinePlan, operator: OperatorPlan, where: str) -> Manifest:
    settings = operator.settings
    mounts = copy.deepcopy(settings.volumeMounts or [])
    ours: list[Manifest] = [
        {"name": "pypz-config", "mountPath": CONFIG_FOLDER, "readOnly": True},
        {"name": "pypz-tmp", "mountPath": "/tmp"},
    ]
    container: Manifest = {
        "name": CONTAINER,
        "image": operator.image,
        "imagePullPolicy": settings.imagePullPolicy or "IfNotPresent",
        "command": ["python", "-m", "pypz.runnables.operator"],
        "args": [
            f"{CONFIG_FOLDER}/{CONFIG_KEY}",
            operator.name,
            operator.mode,
            "--index",
            "$(JOB_COMPLETION_INDEX)",
        ],
        "env": _environment(plan, operator, where),
        "resources": copy.deepcopy(settings.resources) or {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": _container_security(settings),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [m for m in ours if m["mountPath"] not in {u.get("mountPath") for u in mounts}] + mounts,
    }
    if settings.envFrom:
        container["envFrom"] = copy.deepcopy(settings.envFrom)
    for probe in ("livenessProbe", "startupProbe", "readinessProbe"):
        if getattr(settings, probe):
            container[probe] = copy.deepcopy(getattr(settings, probe))
    return container


def _environment(plan: PipelinePlan, operator: OperatorPlan, where: str) -> list[Manifest]:
    theirs = copy.deepcopy(operator.settings.env or [])
    names = {str(v.get("name")) for v in theirs}
    taken = sorted(names & {*_OURS, *operator.secret_keys})
    if taken:
        raise DeploymentException(f"{where}: the environment variable {taken[0]!r} is set by pypz; choose another name")
    skipped = ",".join(f"{plan.name}.{o.name}" for o in plan.operators if o.mode == ExecutionMode.Skip.value)
    ours: list[Manifest] = [
        {
            "name": "JOB_COMPLETION_INDEX",
            "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}},
        },
        {"name": "PYPZ_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "PYPZ_OPERATOR_INSTANCE_NAME", "value": operator.name},
        {"name": "PYPZ_OPERATOR_EXEC_MODE", "value": operator.mode},
        {"name": "PYPZ_RUN", "value": plan.run},
        *([{"name": SKIPPED_VARIABLE, "value": skipped}] if skipped else []),
        {"name": "HOME", "value": "/tmp"},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        *(
            {"name": key, "valueFrom": {"secretKeyRef": {"name": plan.owner_name, "key": key}}}
            for key in operator.secret_keys
        ),
    ]
    return [v for v in ours if v["name"] not in names] + theirs


def _restart_policy(settings: KubernetesParameter, where: str) -> str:
    policy = settings.restartPolicy or "Never"
    if policy == "OnFailure":
        raise NotBuiltYetError(
            f"{where}: restartPolicy 'OnFailure' is not built yet; with 'Never' restart_operator starts a failed one anew"
        )
    if policy != "Never":
        raise ConfigurationError(
            f"{where}: restartPolicy is {policy!r}, accepted: 'Never'; an operator is a Job, which ends"
        )
    return policy


def _pod_security(settings: KubernetesParameter) -> Manifest:
    """The *restricted* profile of the Pod Security Standards, changed by what the user says."""
    theirs = copy.deepcopy(settings.podSecurityContext or {})
    ours = {
        "runAsNonRoot": theirs.get("runAsUser", USER) != 0,
        "runAsUser": USER,
        "runAsGroup": USER,
        "fsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {**ours, **theirs}


def _container_security(settings: KubernetesParameter) -> Manifest:
    theirs: dict[str, Any] = copy.deepcopy(settings.containerSecurityContext or {})
    if theirs.get("privileged"):
        # A privileged container is refused together with any of the limits below.
        return theirs
    ours: dict[str, Any] = {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    if theirs.get("runAsUser") == 0:
        ours["runAsNonRoot"] = False
    return {**ours, **theirs}


def _node_affinity(settings: KubernetesParameter, where: str) -> Manifest:
    """Where pods may run: all wishes hold together."""
    if settings.nodeAntiAffinity:
        raise NotBuiltYetError(
            f"{where}: nodeAntiAffinity is not built yet; "
            "nodeAffinity with the operators NotIn or DoesNotExist says the same"
        )
    affinity: Manifest = copy.deepcopy(settings.nodeAffinity or {})
    wishes = [
        {"key": "kubernetes.io/hostname", "operator": how, "values": list(hosts)}
        for how, hosts in (("In", settings.hostAffinity), ("NotIn", settings.hostAntiAffinity))
        if hosts
    ]
    if wishes:
        required = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [{}]})
        for term in required["nodeSelectorTerms"]:  # terms are alternatives, so each gets all wishes
            term["matchExpressions"] = [*term.get("matchExpressions", []), *copy.deepcopy(wishes)]
    return affinity
