"""From what the cluster tells of Jobs and pods to states of members, and reasons in words."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import yaml

from pypz.deployers.base import DeploymentState, MemberStatus
from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.plan import CONTAINER, DEPLOYMENT, ENDED_BECAUSE, FULL_NAME, INDEX, JOB, SCALING, SCALING_TO
from pypz.deployers.k8s.warnings import NO_LOGIN, NOT_READY, NOT_STARTED, REFUSED, Warnings
from pypz.executors.commons import ExitCodes

NO_WARNINGS: Final = Warnings()
_SETTLING: Final = ("ContainerCreating", "PodInitializing")
"""Reasons for which every healthy pod waits for a moment."""
_STOPPING: Final = "it commits and stops"


@dataclass(frozen=True)
class Group:
    """One operator of a deployed pipeline with its replicas."""

    full_name: str
    """Of the principal."""
    size: int
    workload: str = JOB
    """Kind of object that makes its pods, where it runs as usual."""

    def member_name(self, index: int) -> str:
        """Full name of one member; index 0 is the principal."""
        return self.full_name if index == 0 else f"{self.full_name}_{index - 1}"


def groups_of(config: str) -> list[Group]:
    """Read the operators from a pipeline's stored DTO, without any of its classes."""
    pipeline: Mapping[str, Any] = yaml.load(config, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    operators: Sequence[Mapping[str, Any]] = (pipeline.get("spec") or {}).get("nestedInstances") or []
    return [
        Group(
            f"{pipeline['name']}.{operator['name']}",
            1 + int((operator.get("parameters") or {}).get("replicationFactor") or 0),
            str(((operator.get("parameters") or {}).get("kubernetes") or {}).get("workload") or JOB),
        )
        for operator in operators
    ]


def workloads_of(groups: Iterable[Group]) -> tuple[str, ...]:
    """Kinds of objects that make the pods of these operators."""
    return tuple(sorted({JOB, *(group.workload for group in groups)}, reverse=True))


def job_of(group: Group, jobs: Iterable[Manifest]) -> Manifest | None:
    """The Job or Deployment of an operator."""
    return next((j for j in jobs if j["metadata"].get("annotations", {}).get(FULL_NAME) == group.full_name), None)


def kept_of(owner: Manifest | None) -> Manifest | None:
    """The Job or Deployment that scaling or a restart is about to put another one in the place of, as the pipeline's
    ConfigMap keeps it.
    """
    kept = None if owner is None else owner["metadata"].get("annotations", {}).get(SCALING)
    return None if not kept else dict(json.loads(kept))


def with_kept(jobs: list[Manifest], owners: Iterable[Manifest | None]) -> list[Manifest]:
    """The Jobs; one that is being scaled or restarted is marked with that (`doing_of`), and for one that is gone for a moment,
    between its removal and the making of the next, there is one without pods.

    Args:
        jobs: Those that are there.
        owners: ConfigMaps, among them that of the pipeline.
    """
    notes = [owner["metadata"].get("annotations") or {} for owner in owners if owner is not None]
    note = next((n for n in notes if n.get(SCALING) or n.get(SCALING_TO)), None)
    if note is None:
        return jobs
    kept = dict(json.loads(note[SCALING])) if note.get(SCALING) else None
    name, _, members = str(note.get(SCALING_TO) or "").rpartition("=")
    name = name or (kept or {})["metadata"]["annotations"][FULL_NAME]
    how = f"scaled to {members} members" if members else "restarted"
    found = [
        _marked(job, how) if job["metadata"].get("annotations", {}).get(FULL_NAME) == name else job for job in jobs
    ]
    if kept is None or any(job["metadata"]["name"] == kept["metadata"]["name"] for job in jobs):
        return found
    return [*found, _marked(without_pods(kept), how)]


def without_pods(kept: Manifest) -> Manifest:
    """Stand in for a Job or Deployment that is gone for a moment."""
    off = {"suspend": True} if kept["kind"] == JOB else {}
    return {**kept, "metadata": {**kept["metadata"], "uid": ""}, "spec": {**kept["spec"], **off}}


def _marked(job: Manifest, how: str) -> Manifest:
    metadata = job["metadata"]
    return {**job, "metadata": {**metadata, "annotations": {**metadata.get("annotations", {}), SCALING: how}}}


def doing_of(job: Manifest) -> str:
    """What is being done to a Job of `with_kept`, such as ``restarted`` or ``scaled to 4 members``; empty for nothing."""
    return str(job["metadata"].get("annotations", {}).get(SCALING, ""))


def is_being_removed(job: Manifest) -> bool:
    """Whether a Job makes no more pods, and goes when its last one has ended."""
    return "deletionTimestamp" in job["metadata"]


def is_being_replaced(job: Manifest) -> bool:
    """Whether a Job's members were stopped so that others, or they themselves, start anew, or nobody does."""
    is_gone = not job["metadata"].get("uid")
    return is_gone or is_being_removed(job) or bool(job["spec"].get("suspend") and not is_ended(job))


def pods_of(job: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    """The pods that a Job or Deployment has made, oldest first."""
    return pods_in(pods_by_owner(pods), job)


def pods_by_owner(pods: Iterable[Manifest]) -> dict[str, list[Manifest]]:
    """Pods by the id of what has made them, oldest first: for many Jobs at once."""
    found: dict[str, list[Manifest]] = {}
    for pod in sorted(pods, key=lambda p: str(p["metadata"].get("creationTimestamp"))):
        for owner in pod["metadata"].get("ownerReferences", []):
            found.setdefault(str(owner.get("uid")), []).append(pod)
        if _is_of_set(pod):
            found.setdefault(_set_key(pod), []).append(pod)
    return found


def pods_in(by_owner: Mapping[str, list[Manifest]], job: Manifest) -> list[Manifest]:
    """As `pods_of`, out of what `pods_by_owner` gives."""
    return by_owner.get(_set_key(job) if job.get("kind") == DEPLOYMENT else str(job["metadata"]["uid"]), [])


def _set_key(found: Manifest) -> str:
    """By what the pods of a Deployment are known: a ReplicaSet, which nobody looks at, stands between."""
    return f"{DEPLOYMENT} {found['metadata'].get('annotations', {}).get(FULL_NAME)}"


def _is_of_set(pod: Manifest) -> bool:
    return any(owner.get("kind") == "ReplicaSet" for owner in pod["metadata"].get("ownerReferences", []))


def size_of(job: Manifest) -> int:
    """Members of the group for which an object makes pods; 0 for objects that make none."""
    spec = job.get("spec") or {}
    return int(spec["completions"]) if job.get("kind", JOB) == JOB else int(spec.get("replicas", 0))


def states_of(
    groups: Iterable[Group],
    jobs: Iterable[Manifest],
    pods: Iterable[Manifest],
    starting: Collection[str] = (),
) -> dict[str, DeploymentState]:
    """State of every member by its full name; ids of pods in ``starting`` are given the time to become ready."""
    members = _members(groups, jobs, pods)
    return {name: _member_state(job, own[-1] if own else None, index, starting) for name, job, own, index in members}


def statuses_of(
    groups: Iterable[Group],
    jobs: Iterable[Manifest],
    pods: Iterable[Manifest],
    warnings: Warnings = NO_WARNINGS,
    starting: Collection[str] = (),
) -> list[MemberStatus]:
    """State, reason and whereabouts of every member; ``starting`` as in `states_of`."""
    return [_member_status(*member, warnings, starting) for member in _members(groups, jobs, pods)]


def _members(
    groups: Iterable[Group], jobs: Iterable[Manifest], pods: Iterable[Manifest]
) -> Iterator[tuple[str, Manifest | None, list[Manifest], int]]:
    """Full name, Job, pods (oldest first) and group index of every member."""
    by_name = {str(j["metadata"].get("annotations", {}).get(FULL_NAME)): j for j in reversed(list(jobs))}
    by_owner = pods_by_owner(pods)
    for group in groups:
        job = by_name.get(group.full_name)
        made: dict[int, list[Manifest]] = {}
        for pod in [] if job is None else pods_in(by_owner, job):
            made.setdefault(index_of(pod), []).append(pod)
        # Scaling makes a Job of another size before everybody has read the new description.
        for index in range(group.size if job is None else int(job["spec"].get("completions", group.size))):
            yield group.member_name(index), job, made.get(index, []), index


def _member_status(
    name: str,
    job: Manifest | None,
    pods: Sequence[Manifest],
    index: int,
    warnings: Warnings,
    starting: Collection[str],
) -> MemberStatus:
    pod = pods[-1] if pods else None
    state = _member_state(job, pod, index, starting)
    if job is not None and state is DeploymentState.Open and is_being_replaced(job):
        return MemberStatus(name, state, _replacement(job, "if that broke off, do it once more"))
    if pod is None:
        if job is None:
            return MemberStatus(name, state, "it has no Job: destroyed alone, or its deployment broke off")
        return MemberStatus(
            name, state, job_failure(job) or (refusal(job, pods, warnings) if not is_over(state) else "")
        )
    is_stopping = job is not None and is_being_replaced(job) and not is_over(state)
    return MemberStatus(
        name,
        state,
        (_replacement(job, _STOPPING) if job is not None and is_stopping else "")
        or (refusal(job, pods, warnings) if state is DeploymentState.Open else "")
        or member_reason(job, pod, warnings),
        restarts=len(pods) - 1 + restarts_in_place(pod),
        host=str(pod["spec"].get("nodeName", "")),
        since_utc=_seconds(pod["metadata"].get("creationTimestamp")),
    )


def has_log(pod: Manifest) -> bool:
    """Whether the operator's own container has started, now or before."""
    told = pod.get("status", {}).get("containerStatuses") or []
    return any(c["name"] == CONTAINER and ("waiting" not in c.get("state", {}) or c.get("lastState")) for c in told)


def _replacement(job: Manifest, then: str) -> str:
    """Why the members of a Job that `is_being_replaced` stop, and what comes then."""
    how = doing_of(job)
    if not how and is_being_removed(job):
        return "it is being removed"
    return f"it is being {how or 'scaled, or was suspended'}; {then}"


def restarts_in_place(pod: Manifest) -> int:
    """How often an operator was started again within its pod."""
    told = pod.get("status", {}).get("containerStatuses") or []
    return sum(int(c.get("restartCount", 0)) for c in told if c["name"] == CONTAINER)


def refusal(job: Manifest | None, pods: Sequence[Manifest], warnings: Warnings) -> str:
    """Why a Job may not make a pod for a member that has none, or none that lives; empty when it may.

    Args:
        job: The Job.
        pods: Those of one member, oldest first.
        warnings: What the cluster warns of.
    """
    if job is None or (pods and pods[-1].get("status", {}).get("phase") not in ("Failed", "Succeeded")):
        return ""
    if job.get("kind") == DEPLOYMENT:
        refused = _condition(job, "ReplicaFailure") or {}
        return _joined(refused.get("reason"), refused.get("message"))
    made = str(pods[-1]["metadata"].get("creationTimestamp") or "") if pods else ""
    return warnings.about(job, REFUSED, since=made[:19])


def refusal_of(job: Manifest, pods: Iterable[Manifest], warnings: Warnings) -> str:
    """Why a Job may not make a pod of one of its members; empty when it may, or has ended."""
    if is_finished(job):
        return ""
    made: dict[int, list[Manifest]] = {index: [] for index in range(size_of(job))}
    for pod in pods_of(job, pods):
        made.setdefault(index_of(pod), []).append(pod)
    done = _indexes(job.get("status", {}).get("completedIndexes", ""))
    found = (refusal(job, own, warnings) for index, own in made.items() if index not in done)
    return next(filter(None, found), "")


def member_reason(job: Manifest | None, pod: Manifest, warnings: Warnings = NO_WARNINGS) -> str:
    """Why a member is as it is; empty when all is well."""
    if pod.get("status", {}).get("phase") == "Failed":
        because = "" if job is None else job["metadata"].get("annotations", {}).get(ENDED_BECAUSE, "")
        return f"ended because {because}" if because and was_told_to_end(pod) else pod_failure(pod)
    return waiting_reason(pod, warnings) or _passing_reason(pod)


def _passing_reason(pod: Manifest) -> str:
    """What a pod is about that does what it should."""
    if pod.get("status", {}).get("phase") == "Running" and "deletionTimestamp" in pod["metadata"]:
        return f"it was told to end; {_STOPPING}"
    is_starting = pod_state(pod) is DeploymentState.Unhealthy and has_just_started(pod)
    return "it has started, and is not ready yet" if is_starting else ""


def _seconds(timestamp: str | None) -> float | None:
    return None if timestamp is None else datetime.fromisoformat(timestamp).timestamp()


def is_over(state: DeploymentState) -> bool:
    """Whether nothing is to be expected of a member any more."""
    return state in (DeploymentState.Completed, DeploymentState.Failed, DeploymentState.NotExisting)


def index_of(pod: Manifest) -> int:
    """Group index of a pod's member."""
    return int(pod["metadata"].get("annotations", {}).get(INDEX, 0))


def has_failed(job: Manifest) -> bool:
    """Whether a Job has failed for good; true already while its last pods end."""
    return _condition(job, "FailureTarget", "Failed") is not None


def has_completed(job: Manifest) -> bool:
    """Whether all members of a Job have ended well."""
    return _condition(job, "Complete", "SuccessCriteriaMet") is not None


def is_finished(job: Manifest) -> bool:
    """Whether a Job makes no pods any more: it has completed or failed, or was ended."""
    return _condition(job, "Complete", "SuccessCriteriaMet", "FailureTarget", "Failed") is not None or is_ended(job)


def is_ended(job: Manifest) -> bool:
    """Whether a Job was ended because another one has failed."""
    is_off = job["spec"].get("suspend") or (job.get("kind") == DEPLOYMENT and not job["spec"].get("replicas"))
    return ENDED_BECAUSE in job["metadata"].get("annotations", {}) and bool(is_off)


def _member_state(job: Manifest | None, pod: Manifest | None, index: int, starting: Collection[str]) -> DeploymentState:
    if job is None:
        return DeploymentState.NotExisting
    state = None if pod is None else pod_state(pod)
    if pod is not None and state is DeploymentState.Unhealthy and pod["metadata"]["uid"] in starting:
        state = DeploymentState.Running
    if state is not None and (state is not DeploymentState.Failed or has_failed(job) or is_ended(job)):
        return state
    if index in _indexes(job.get("status", {}).get("completedIndexes", "")):
        return DeploymentState.Completed
    if has_failed(job) or is_ended(job):
        return DeploymentState.Failed
    return DeploymentState.Open


def pod_state(pod: Manifest) -> DeploymentState:
    """State of a member from its pod."""
    status = pod.get("status", {})
    by_phase = {
        "Pending": DeploymentState.Open,
        "Succeeded": DeploymentState.Completed,
        "Failed": DeploymentState.Failed,
    }
    phase = status.get("phase")
    if phase != "Running":
        return by_phase.get(phase, DeploymentState.Unknown)
    container = next((c for c in pod["spec"]["containers"] if c["name"] == CONTAINER), pod["spec"]["containers"][0])
    told = next((c for c in status.get("containerStatuses") or [] if c["name"] == container["name"]), None)
    if told is None:
        return DeploymentState.Unknown
    if "waiting" in told.get("state", {}):  # it crashes again and again
        return DeploymentState.Unhealthy
    is_probed = container.get("startupProbe") and container.get("readinessProbe")
    if _is_node_silent(pod):
        return DeploymentState.Unhealthy
    if "deletionTimestamp" in pod["metadata"]:  # it stops, and is asked for nothing any more
        return DeploymentState.Running
    if is_probed and told.get("started") and not told.get("ready") and "terminated" not in told.get("state", {}):
        return DeploymentState.Unhealthy
    return DeploymentState.Running


def waiting_reason(pod: Manifest, warnings: Warnings = NO_WARNINGS) -> str:
    """Why a pod does not run yet or is not well, where that is not mere start-up; else empty."""
    status = pod.get("status", {})
    statuses = [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]
    for container in statuses:
        waiting = container.get("state", {}).get("waiting")
        if waiting and waiting.get("reason") not in _SETTLING:
            last = (container.get("lastState") or {}).get("terminated")
            ended = f"ended with {exit_meaning(last['exitCode'], last.get('reason', ''))}" if last else ""
            no_login = warnings.about(pod, NO_LOGIN) if "Image" in str(waiting.get("reason")) else ""
            return _joined(waiting.get("reason"), "; ".join(filter(None, (ended, waiting.get("message"), no_login))))
    for condition in status.get("conditions") or []:
        if condition["type"] == "PodScheduled" and condition["status"] == "False":
            return _joined(condition.get("reason"), condition.get("message"))
    if status.get("phase") == "Pending":
        return warnings.about(pod, *NOT_STARTED)
    if _is_node_silent(pod):
        return f"NodeNotReady: its node {pod['spec'].get('nodeName')} does not answer; it may run on, nothing new is known of it"
    if status.get("phase") == "Running" and pod_state(pod) is DeploymentState.Unhealthy:
        told = warnings.about(pod, NOT_READY)
        # It has started, so what is told of its start-up is over: slow starts are no news.
        return "" if "Startup probe" in told else told
    return ""


def has_just_started(pod: Manifest) -> bool:
    """Whether a pod has not been ready yet since its operator's last start, as far as the cluster tells."""
    status = pod.get("status", {})
    told: Manifest = next((c for c in status.get("containerStatuses") or [] if c["name"] == CONTAINER), {})
    since = str((told.get("state", {}).get("running") or {}).get("startedAt") or "")
    ready: Manifest = next((c for c in status.get("conditions") or [] if c["type"] == "ContainersReady"), {})
    is_waited_for = bool(told.get("started")) and not told.get("ready") and ready.get("status") == "False"
    return is_waited_for and bool(since) and str(ready.get("lastTransitionTime") or "") <= since


def _is_node_silent(pod: Manifest) -> bool:
    """Whether the cluster took a pod's readiness away though its containers, by their last word, are ready.

    The kubelet tells both together; only for a node that is not heard of any more the control plane changes one of them.
    """
    status = pod.get("status", {})
    told = {c["type"]: c["status"] for c in status.get("conditions") or []}
    is_split = told.get("ContainersReady") == "True" and told.get("Ready") == "False"
    return is_split and status.get("phase") == "Running" and not pod["spec"].get("readinessGates")


def pod_failure(pod: Manifest) -> str:
    """Why a pod has failed."""
    status = pod.get("status", {})
    for container in status.get("containerStatuses") or []:
        ended = container.get("state", {}).get("terminated")
        if ended and ended.get("exitCode") != 0:
            return exit_meaning(ended["exitCode"], ended.get("reason", ""))
    return _joined(status.get("reason") or "failed", status.get("message"))


def exit_meaning(code: int, reason: str = "") -> str:
    """An exit code in words.

    >>> exit_meaning(115)
    'exit code 115 (StateOperationError)'
    >>> exit_meaning(137, "OOMKilled")
    'exit code 137 (OOMKilled: it took more memory than its limit)'
    """
    if reason == "OOMKilled":
        words = "OOMKilled: it took more memory than its limit"
    elif code in {c.value for c in ExitCodes}:
        words = ExitCodes(code).name
    elif code > 128:
        words = f"killed by signal {code - 128}"
    else:
        words = reason or "not one of pypz"
    return f"exit code {code} ({words})"


def replaced_pods(job: Manifest, pods: Iterable[Manifest]) -> list[Manifest]:
    """The failed pods of a Job for which it makes another one, in the order of their failure."""
    if is_finished(job):
        return []
    failed = [p for p in pods_of(job, pods) if p.get("status", {}).get("phase") == "Failed"]
    if job.get("kind") == DEPLOYMENT:
        return failed
    told = [p for p in failed if was_told_to_end(p)]
    rules = job["spec"].get("podFailurePolicy", {}).get("rules", [])
    final = [r["onExitCodes"]["values"] for r in rules if r["action"] == "FailJob" and "onExitCodes" in r]
    counted = sorted((p for p in failed if p not in told), key=_failure_order)
    if any(_exit_code(pod) in values for pod in counted for values in final):
        return told
    return told + counted[: int(job["spec"]["backoffLimit"])]


def was_told_to_end(pod: Manifest) -> bool:
    """Whether somebody deleted or evicted a pod that has failed: no fault of its own."""
    conditions = pod.get("status", {}).get("conditions") or []
    is_disrupted = any(c["type"] == "DisruptionTarget" and c["status"] == "True" for c in conditions)
    return is_disrupted or _exit_code(pod) == ExitCodes.SigTerm.value


def _exit_code(pod: Manifest) -> int | None:
    """The exit code of the operator's own container; None while it has none."""
    for container in pod.get("status", {}).get("containerStatuses") or []:
        if container["name"] == CONTAINER and "terminated" in container.get("state", {}):
            return int(container["state"]["terminated"]["exitCode"])
    return None


def job_failure(job: Manifest) -> str:
    """Why a Job has failed, as its controller says."""
    condition = _condition(job, "Failed", "FailureTarget") or {}
    return _joined(condition.get("reason"), condition.get("message"))


def first_failed(pods: Iterable[Manifest]) -> Manifest | None:
    """The pod that failed first; one that was told to end comes after those that ended on their own."""
    failed = [p for p in pods if p.get("status", {}).get("phase") == "Failed"]
    return min(failed, key=_failure_order, default=None)


def _failure_order(pod: Manifest) -> tuple[bool, str]:
    ended = [c.get("state", {}).get("terminated") or {} for c in pod["status"].get("containerStatuses") or []]
    return "deletionTimestamp" in pod["metadata"], min((str(e.get("finishedAt", "")) for e in ended), default="")


def _condition(job: Manifest, *types: str) -> Manifest | None:
    conditions = job.get("status", {}).get("conditions") or []
    return next((c for t in types for c in conditions if c["type"] == t and c["status"] == "True"), None)


def _joined(reason: str | None, message: str | None) -> str:
    return ": ".join(t.strip() for t in (reason, message) if t)


def _indexes(text: str) -> set[int]:
    """Numbers of a list such as ``1,3-5``, as Jobs write it."""
    found: set[int] = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        found.update(range(int(first), int(last or first) + 1))
    return found
