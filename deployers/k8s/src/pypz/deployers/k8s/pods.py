"""The pods of an operator: what runs in them, as whom, with which environment, where."""

from __future__ import annotations

import copy
import math
from typing import Any, Final

from pypz.core.channels.runs.run import SKIPPED_VARIABLE
from pypz.core.commons.errors import ConfigurationError
from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.parameters import KubernetesParameter
from pypz.deployers.k8s.plan import (
    CONFIG_KEY,
    CONTAINER,
    DEPLOYMENT,
    INDEX,
    INSTANCE_TYPE,
    PART_OF,
    OperatorPlan,
    PipelinePlan,
    job_name,
)
from pypz.executors.commons import ExecutionMode
from pypz.utils.k8s.errors import DeploymentException
from pypz.utils.k8s.names import label_value

CONFIG_FOLDER: Final = "/operator/config"
USER: Final = 10001
"""User and group of the pods, unless told otherwise; above 10,000 so that it meets no user of the host. Chosen."""
GRACE_OVER_DRAIN_S: Final = 15
"""Seconds that a pod gets beyond its drain time-out to commit and end, before it is killed. Chosen."""

_OURS: Final = (
    "JOB_COMPLETION_INDEX",
    "PYPZ_NODE_NAME",
    "PYPZ_OPERATOR_INSTANCE_NAME",
    "PYPZ_OPERATOR_EXEC_MODE",
    "PYPZ_RUN",
    SKIPPED_VARIABLE,
)
"""Environment variables that a user cannot set."""


def pod_spec(plan: PipelinePlan, operator: OperatorPlan) -> Manifest:
    where = f"{plan.name}.{operator.name}"
    settings = operator.settings
    grace_s = settings.terminationGracePeriodSeconds
    pod: Manifest = {
        "restartPolicy": _restart_policy(operator, where),
        "terminationGracePeriodSeconds": (
            math.ceil(operator.drain_timeout_s) + GRACE_OVER_DRAIN_S if grace_s is None else grace_s
        ),
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": _pod_security(settings),
        "containers": [_container(plan, operator, where)],
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
    if settings.containers:
        # As native sidecars (Kubernetes 1.29): they start before the operator and end after it, so that the pod can end.
        pod["initContainers"] = [{"restartPolicy": "Always", **copy.deepcopy(c)} for c in settings.containers]
    if settings.serviceAccountName is not None:
        pod["serviceAccountName"] = settings.serviceAccountName
        # Who names an account of its own wants its token; the default account's serves nobody.
        pod["automountServiceAccountToken"] = settings.serviceAccountName != "default"
    if settings.nodeSelector:
        pod["nodeSelector"] = dict(settings.nodeSelector)
    for name in ("tolerations", "imagePullSecrets", "priorityClassName", "runtimeClassName"):
        if getattr(settings, name):
            pod[name] = copy.deepcopy(getattr(settings, name))
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
            *([] if operator.has_health_plugin else ["--health-port", str(operator.health_port)]),
        ],
        "env": _environment(plan, operator, where),
        "resources": copy.deepcopy(settings.resources) or {"requests": {"cpu": "100m", "memory": "128Mi"}},
        "securityContext": _container_security(settings),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [m for m in ours if m["mountPath"] not in {u.get("mountPath") for u in mounts}] + mounts,
    }
    if settings.envFrom:
        container["envFrom"] = copy.deepcopy(settings.envFrom)
    for name, default in _probes(operator).items():
        probe = getattr(settings, name)
        if probe or probe is None:  # {} leaves it out
            container[name] = copy.deepcopy(probe) if probe else default
    return container


def _probes(operator: OperatorPlan) -> dict[str, Manifest]:
    """Probes of a container that answers: a failed one is told soon, a stuck one is ended after a minute."""

    def get(path: str, **timing: int) -> Manifest:
        return {"httpGet": {"path": path, "port": operator.health_port}, "timeoutSeconds": 5, **timing}

    return {
        "startupProbe": get("/live", periodSeconds=1, failureThreshold=300),
        "livenessProbe": get("/live", periodSeconds=10, failureThreshold=6),
        "readinessProbe": get("/ready", periodSeconds=5, failureThreshold=3),
    }


def _environment(plan: PipelinePlan, operator: OperatorPlan, where: str) -> list[Manifest]:
    theirs = copy.deepcopy(operator.settings.env or [])
    names = {str(v.get("name")) for v in theirs}
    taken = sorted(names & {*_OURS, *operator.secret_keys})
    if taken:
        raise DeploymentException(f"{where}: the environment variable {taken[0]!r} is set by pypz; choose another name")
    skipped = ",".join(f"{plan.name}.{o.name}" for o in plan.operators if o.mode == ExecutionMode.Skip.value)
    ours: list[Manifest] = [
        _index(operator),
        {"name": "PYPZ_NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
        {"name": "PYPZ_OPERATOR_INSTANCE_NAME", "value": operator.name},
        {"name": "PYPZ_OPERATOR_EXEC_MODE", "value": operator.mode},
        {"name": "PYPZ_RUN", "value": plan.run},
        *([{"name": SKIPPED_VARIABLE, "value": skipped}] if skipped else []),
        {"name": "HOME", "value": "/tmp"},
        {"name": "PYTHONUNBUFFERED", "value": "1"},
        *(
            {"name": key, "valueFrom": {"secretKeyRef": {"name": job_name(plan.name, operator.name), "key": key}}}
            for key in operator.secret_keys
        ),
    ]
    return [v for v in ours if v["name"] not in names] + theirs


def _index(operator: OperatorPlan) -> Manifest:
    """The member's place in its group; of a Deployment there is only one."""
    name = "JOB_COMPLETION_INDEX"
    if operator.workload == DEPLOYMENT:
        return {"name": name, "value": "0"}
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": f"metadata.annotations['{INDEX}']"}}}


def _restart_policy(operator: OperatorPlan, where: str) -> str:
    settings = operator.settings
    if operator.workload == DEPLOYMENT:
        return "Always"
    policy = settings.restartPolicy or "Never"
    if policy not in ("Never", "OnFailure"):
        raise ConfigurationError(
            f"{where}: restartPolicy is {policy!r}, accepted: 'Never' or 'OnFailure'; an operator is a Job, which ends"
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
    affinity: Manifest = copy.deepcopy(settings.nodeAffinity or {})
    if settings.nodeAntiAffinity:
        _avoid(affinity, settings.nodeAntiAffinity, where)
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


_OPPOSITES: Final = {"In": "NotIn", "NotIn": "In", "Exists": "DoesNotExist", "DoesNotExist": "Exists"}


def _avoid(affinity: Manifest, unwanted: Manifest, where: str) -> None:
    """Add to a node affinity that nodes matched by ``unwanted``, of the same shape, are avoided.

    Kubernetes knows no node anti-affinity, so each expression is turned into its opposite.
    """
    required: Manifest = unwanted.get("requiredDuringSchedulingIgnoredDuringExecution") or {}
    expressions = [_opposite(term, where) for term in required.get("nodeSelectorTerms") or []]
    if expressions:
        ours = affinity.setdefault("requiredDuringSchedulingIgnoredDuringExecution", {"nodeSelectorTerms": [{}]})
        for term in ours["nodeSelectorTerms"]:
            term["matchExpressions"] = [*term.get("matchExpressions", []), *copy.deepcopy(expressions)]
    for wish in unwanted.get("preferredDuringSchedulingIgnoredDuringExecution") or []:
        preferred = affinity.setdefault("preferredDuringSchedulingIgnoredDuringExecution", [])
        preference = {"matchExpressions": [_opposite(wish["preference"], where)]}
        preferred.append({"weight": wish["weight"], "preference": preference})
    if not affinity:
        raise ConfigurationError(
            f"{where}: nodeAntiAffinity has keys {', '.join(map(repr, unwanted))}, accepted as in nodeAffinity: "
            "'requiredDuringSchedulingIgnoredDuringExecution', 'preferredDuringSchedulingIgnoredDuringExecution'"
        )


def _opposite(term: Manifest, where: str) -> Manifest:
    found = term.get("matchExpressions") or []
    if len(found) != 1 or term.get("matchFields") or found[0].get("operator") not in _OPPOSITES:
        raise ConfigurationError(
            f"{where}: nodeAntiAffinity: a term is {term!r}, accepted: one expression in 'matchExpressions' with the "
            f"operator {', '.join(_OPPOSITES)}; say anything else by nodeAffinity"
        )
    return {**copy.deepcopy(found[0]), "operator": _OPPOSITES[found[0]["operator"]]}
