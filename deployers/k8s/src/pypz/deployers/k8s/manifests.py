"""What a pipeline becomes on the cluster: a small ConfigMap that owns the rest, its DTO, and for each operator its secrets
and a Job.

Plain values in, plain values out; nothing here talks to a cluster.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Final

from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.plan import (
    CONFIG_KEY,
    CONTAINER,
    DEPLOYMENT,
    FULL_NAME,
    INSTANCE_NAME,
    INSTANCE_TYPE,
    JOB,
    MANAGED_BY,
    PART_OF,
    RUN,
    WORKLOADS_KEY,
    OperatorPlan,
    PipelinePlan,
    job_name,
)
from pypz.deployers.k8s.pods import pod_spec
from pypz.executors.commons import FINAL_EXIT_CODES, ExitCodes
from pypz.utils.k8s.errors import DeploymentException
from pypz.utils.k8s.names import label_value

MAX_CONFIG_BYTES: Final = 1_048_576
"""Bytes in a ConfigMap or a Secret (Kubernetes)."""
BACKOFF_LIMIT: Final = 3
"""Pods of an operator that may fail by no fault of their own before its Job fails: after 10, 20 and 40 s. Chosen."""
STATE_EXIT_CODES: Final = frozenset(code.value for code in ExitCodes if code.name.startswith("State"))
"""The operator or a plugin of it has raised."""


def owner_manifest(plan: PipelinePlan) -> Manifest:
    """Make the ConfigMap that stands for the pipeline; deleting it removes everything."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(plan, plan.owner_name, "pipeline", None, {}),
        "data": {
            "pipeline": plan.name,
            "run": plan.run,
            "config": plan.config_name,
            WORKLOADS_KEY: ",".join(plan.workloads),
        },
    }


def config_manifest(plan: PipelinePlan) -> Manifest:
    """Make the ConfigMap that holds the DTO; it never changes."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": _metadata(plan, plan.config_name, "config", None, {}),
        "data": {CONFIG_KEY: plan.config},
        "immutable": True,
    }


def dependent_manifests(plan: PipelinePlan) -> list[Manifest]:
    """Make all other objects of the pipeline, in the order in which they are to be created.

    Raises:
        DeploymentException: The DTO is too large for a ConfigMap, or the secrets of an operator for a Secret.
        ConfigurationError: A setting of the user cannot be used.
    """
    size = len(plan.config.encode())
    if size > MAX_CONFIG_BYTES:
        raise DeploymentException(
            f"{plan.name}: its description takes {size:,} bytes, Kubernetes stores {MAX_CONFIG_BYTES:,} at most; "
            "give large parameters by a file in the image or by a volume"
        )
    made = [config_manifest(plan)]
    made += [_secret(plan, operator) for operator in plan.operators if operator.secret_keys]
    made += [_job(plan, operator) for operator in plan.operators if operator.workload == JOB]
    return made + [_deployment(plan, operator) for operator in plan.operators if operator.workload == DEPLOYMENT]


def _failure_handling(operator: OperatorPlan) -> Manifest:
    """Say which failed pods are started again: those that were told to end, without counting; those killed or without a
    broker, up to the limit. What would fail again fails the Job at once, unless the user has set the limit.
    """
    given = operator.settings.backoffLimit
    limit = BACKOFF_LIMIT if given is None else given
    if operator.settings.restartPolicy == "OnFailure":  # the kubelet restarts the container, no rule is asked
        return {"backoffLimit": limit}
    final = FINAL_EXIT_CODES if given is not None else FINAL_EXIT_CODES | STATE_EXIT_CODES

    def on_exit(action: str, codes: frozenset[int]) -> Manifest:
        rule = {"containerName": CONTAINER, "operator": "In", "values": sorted(codes)}
        return {"action": action, "onExitCodes": rule}

    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        on_exit("Ignore", frozenset({ExitCodes.SigTerm.value})),
        on_exit("FailJob", final),
    ]
    return {"backoffLimit": limit, "podFailurePolicy": {"rules": rules}}


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
    """Make a Job's or Deployment's manifest anew from what the cluster has of it: the same pods, nothing of what has happened
    to it.
    """
    spec = copy.deepcopy(job["spec"])
    if job["kind"] == JOB:
        spec.pop("selector", None)
        spec.pop("suspend", None)
    else:
        spec["replicas"] = 1
    template = spec["template"]["metadata"]
    template.pop("creationTimestamp", None)
    template["labels"] = {k: v for k, v in template["labels"].items() if not _is_set_by_jobs(k)}
    old = job["metadata"]
    return {
        "apiVersion": "batch/v1" if job["kind"] == JOB else "apps/v1",
        "kind": job["kind"],
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


def _secret(plan: PipelinePlan, operator: OperatorPlan) -> Manifest:
    """Make the Secret of one operator: its pods get no other's."""
    size = sum(len(plan.secrets[key].encode()) for key in operator.secret_keys)
    if size > MAX_CONFIG_BYTES:
        largest = max(operator.secret_keys, key=lambda key: len(plan.secrets[key]))
        raise DeploymentException(
            f"{plan.name}.{operator.name}: its secrets take {size:,} bytes, most of them {largest}; Kubernetes stores "
            f"{MAX_CONFIG_BYTES:,} at most; give large ones by a file in a volume"
        )
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": _metadata(plan, job_name(plan.name, operator.name), "secrets", operator, {}),
        "stringData": {key: plan.secrets[key] for key in operator.secret_keys},
        "type": "Opaque",
        "immutable": True,
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
            **_failure_handling(operator),
            "podReplacementPolicy": "Failed",
            "template": _template(plan, operator),
        },
    }


def _deployment(plan: PipelinePlan, operator: OperatorPlan) -> Manifest:
    """Make the object of an operator that never ends. ``Recreate``: the old pod has ended before the new one starts."""
    labels = {PART_OF: label_value(plan.name), INSTANCE_NAME: label_value(operator.name), INSTANCE_TYPE: "operator"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": _metadata(
            plan, job_name(plan.name, operator.name), "operator", operator, operator.settings.labels or {}
        ),
        "spec": {
            "replicas": operator.group_size,
            "strategy": {"type": "Recreate"},
            "revisionHistoryLimit": 0,
            "selector": {"matchLabels": labels},
            "template": _template(plan, operator),
        },
    }


def _template(plan: PipelinePlan, operator: OperatorPlan) -> Manifest:
    return {
        "metadata": {
            "labels": {**(operator.settings.labels or {}), **_labels(plan, "operator", operator)},
            "annotations": {FULL_NAME: f"{plan.name}.{operator.name}", RUN: plan.run},
        },
        "spec": pod_spec(plan, operator),
    }
