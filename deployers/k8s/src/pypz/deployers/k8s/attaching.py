"""Staying with a deployed pipeline until it has ended, and ending the rest of it when a part has failed for good."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from pypz.deployers.base import DeploymentState, MemberStatus
from pypz.deployers.k8s.api import ApiError, ClusterApi, Manifest
from pypz.deployers.k8s.plan import CONTAINER, ENDED_BECAUSE, FULL_NAME, JOB, owner_name, selector_of
from pypz.deployers.k8s.states import (
    Group,
    doing_of,
    first_failed,
    has_failed,
    has_just_started,
    is_being_replaced,
    is_finished,
    is_over,
    job_failure,
    job_of,
    pod_failure,
    pods_of,
    refusal_of,
    replaced_pods,
    states_of,
    statuses_of,
    waiting_reason,
    was_told_to_end,
    with_kept,
    workloads_of,
)
from pypz.deployers.k8s.watching import Watcher

LAST_LINES: Final = 20
"""Lines of a failed pod's log that are shown. Chosen: a traceback's end and the error line."""
READY_WITHIN_S: Final = 15.0
"""Seconds from its start on in which a member that is not ready yet counts as running: as long as its probe takes to call it
not ready later, three times 5 s."""
LEEWAY_S: Final = 60.0
"""Seconds that the cluster gets beyond the pods' own grace period to tell that they have ended. Chosen."""
NO_MEMBER: Final = "it is no member any more"

OnChange = Callable[[str, DeploymentState], None]
OnNews = Callable[[MemberStatus], None]


class Attachment:
    """One stay with one pipeline."""

    def __init__(
        self,
        api: ClusterApi,
        pipeline: str,
        groups: Sequence[Group],
        on_change: OnChange | None,
        on_news: OnNews,
        say: Callable[[str], None],
    ) -> None:
        """Prepare to stay.

        Args:
            api: Where the pipeline is.
            pipeline: Its full name.
            groups: Its operators.
            on_change: Called with a member's full name and its new state.
            on_news: Told of a member whose state or reason has changed; must not wait.
            say: Told what people should know.
        """
        self._api = api
        self._pipeline = pipeline
        self._groups = groups
        self._kinds = workloads_of(groups)
        self._on_change = on_change
        self._on_news = on_news
        self._statuses: dict[str, tuple[DeploymentState, str]] = {}
        self._say = say
        self._states: dict[str, DeploymentState] = {}
        self._told_waits: set[tuple[str, str]] = set()
        self._told_failures: set[str] = set()
        """Ids of pods."""
        self._judged: set[str] = set()
        """Ids of Jobs whose failure was dealt with."""
        self._deadline: float | None = None
        """Monotonic time until which the rest must have ended, once a Job has failed."""
        self._starts: dict[str, float] = {}
        """Ids of pods that have not been ready yet, with the monotonic time at which that was first seen."""
        self._replacements: dict[str, str] = {}
        """Full names of operators that are being replaced, with how that was told."""

    def stay(self) -> bool:
        """Return when every member has completed, failed or gone; tells whether it has failed."""
        with Watcher(
            self._api, selector_of(self._pipeline), "ConfigMap", *self._kinds, "Pod", "Event", say=self._say
        ) as seen:
            self._tell_missing(seen)
            while True:
                self._note_starts(seen)
                self._tell_replacements(seen)
                self._tell_news(seen)
                self._tell_changes(seen)
                self._tell_waits(seen)
                self._tell_retries(seen)
                self._judge_failures(seen)
                if self._is_all_over(seen):
                    break
                ends = [self._deadline] if self._deadline is not None else []
                if not seen.wait(min([*ends, *self._ends_of_starts()], default=None)) and self._is_late():
                    names = ", ".join(self._unfinished())
                    self._say(f"{self._pipeline}: did not end in time: {names}; destroy ends them")
                    return True
        if self._states and all(s is DeploymentState.NotExisting for s in self._states.values()):
            self._say(f"{self._pipeline} was destroyed meanwhile")
        return self._deadline is not None

    def _is_late(self) -> bool:
        return self._deadline is not None and time.monotonic() >= self._deadline

    def _note_starts(self, seen: Watcher) -> None:
        now = time.monotonic()
        waited_for = [p["metadata"]["uid"] for p in seen.objects["Pod"].values() if has_just_started(p)]
        self._starts = {uid: self._starts.get(uid, now) for uid in waited_for}

    def _starting(self) -> list[str]:
        now = time.monotonic()
        return [uid for uid, since in self._starts.items() if now < since + READY_WITHIN_S]

    def _ends_of_starts(self) -> list[float]:
        """When those that are not ready yet will count as unhealthy."""
        now = time.monotonic()
        return [end for since in self._starts.values() if (end := since + READY_WITHIN_S) > now]

    def _tell_missing(self, seen: Watcher) -> None:
        """Tell of operators that have nothing on the cluster: the others may wait for them for ever."""
        without = [group.full_name for group in self._groups if job_of(group, seen.workloads) is None]
        if without:
            names = ", ".join(without[:3]) + (f" and {len(without) - 3} more" if len(without) > 3 else "")
            self._say(
                f"{self._pipeline} is there in part only, without {names}: destroyed alone, or the deployer broke off"
            )

    def _tell_news(self, seen: Watcher) -> None:
        jobs, pods = seen.workloads, seen.objects["Pod"].values()
        found: set[str] = set()
        for status in statuses_of(self._groups, jobs, pods, seen.warnings, self._starting()):
            if self._statuses.get(status.name) != (status.state, status.reason):
                self._statuses[status.name] = status.state, status.reason
                self._on_news(status)
            found.add(status.name)
        for name in self._statuses.keys() - found:
            del self._statuses[name]
            self._on_news(MemberStatus(name, DeploymentState.NotExisting, NO_MEMBER))

    def _tell_changes(self, seen: Watcher) -> None:
        """Call back for every change of a state; what a call back changes is seen by the next."""
        is_told = False
        while not is_told:
            is_told = True
            gone = dict.fromkeys(self._states, DeploymentState.NotExisting)  # members that scaling has taken away
            for name, state in (gone | self._found_states(seen)).items():
                if self._states.get(name) is not state:
                    self._states[name] = state
                    if self._on_change is not None:
                        self._on_change(name, state)
                        seen.catch_up()
                        is_told = False
                        break

    def _tell_waits(self, seen: Watcher) -> None:
        jobs, pods, warnings = seen.workloads, list(seen.objects["Pod"].values()), seen.warnings
        waits = [("pod", pod, waiting_reason(pod, warnings)) for pod in pods]
        waits += [(job["kind"], job, refusal_of(job, pods, warnings)) for job in jobs]
        for kind, found, reason in waits:
            told = (found["metadata"]["uid"], reason.partition(":")[0])
            if reason and told not in self._told_waits:
                self._told_waits.add(told)
                how = "is not well" if found.get("status", {}).get("phase") == "Running" else "waits"
                self._say(f"{_full_name(found)} {how}: {kind} {found['metadata']['name']}: {reason}")

    def _tell_retries(self, seen: Watcher) -> None:
        """Tell why a pod has failed whose place another one takes."""
        for job in seen.workloads:
            for pod in replaced_pods(job, seen.objects["Pod"].values()):
                if pod["metadata"]["uid"] in self._told_failures:
                    continue
                self._told_failures.add(pod["metadata"]["uid"])
                what = f"{_full_name(pod)}: pod {pod['metadata']['name']}"
                if was_told_to_end(pod) and is_being_replaced(job):
                    continue  # told already
                if was_told_to_end(pod):
                    pause = ", after a pause of 10 s or more" if job["kind"] == JOB else ""  # the Job controller's own
                    self._say(f"{what} was told to end from outside; another one takes its place{pause}")
                else:
                    limit = job["spec"].get("backoffLimit")
                    bound = "" if limit is None else f", {limit} times at most"
                    self._say(f"{what} has failed: {pod_failure(pod)}; another one takes its place{bound}")

    def _tell_replacements(self, seen: Watcher) -> None:
        """Tell which operators are being scaled or restarted."""
        found = {_full_name(job): doing_of(job) for job in seen.workloads if is_being_replaced(job) and doing_of(job)}
        for name, how in found.items():
            if self._replacements.get(name) != how:
                self._say(f"{name} is being {how}: its members commit and stop, then start anew")
        self._replacements = found

    def _judge_failures(self, seen: Watcher) -> None:
        """Tell why a Job has failed for good and end the others, unless somebody has restarted it."""
        for job in seen.workloads:
            uid = job["metadata"]["uid"]
            if not has_failed(job) or uid in self._judged:
                continue
            self._judged.add(uid)
            now = seen.ask(partial(self._api.get, job["kind"], job["metadata"]["name"]))
            if now is None or now["metadata"]["uid"] != uid or "deletionTimestamp" in now["metadata"]:
                continue
            if self._deadline is None:  # the first failure is the cause, the others follow from it
                self._tell_failure(job, list(seen.objects["Pod"].values()))
                self._end_others(job, seen)

    def _tell_failure(self, job: Manifest, pods: list[Manifest]) -> None:
        pod = first_failed(pods_of(job, pods))
        if pod is None:
            self._say(f"{self._pipeline} has failed: {_full_name(job)}: {job_failure(job)}")
            return
        name = pod["metadata"]["name"]
        text = f"{self._pipeline} has failed: {_full_name(job)}, pod {name}: {pod_failure(pod)}"
        try:
            log = self._api.read_log(name, {"container": CONTAINER, "tailLines": str(LAST_LINES)})
        except ApiError as error:
            log = f"(its log cannot be read: {error})"
        if log and log.strip():
            text += "; its last lines:\n" + "\n".join(f"    {line}" for line in log.rstrip().splitlines())
        self._say(text)

    def _end_others(self, failed: Manifest, seen: Watcher) -> None:
        """Let the pods of all other Jobs drain and end; their channels stay as they are."""
        others = [j for j in seen.workloads if j is not failed and not is_finished(j)]
        reason = f"{_full_name(failed)} has failed"
        for job in others:
            off = {"suspend": True} if job["kind"] == JOB else {"replicas": 0}
            change = {"metadata": {"annotations": {ENDED_BECAUSE: reason}}, "spec": off}
            try:
                seen.ask(partial(self._api.patch, job["kind"], job["metadata"]["name"], change))
            except ApiError as error:
                if error.status != 404:
                    raise
        grace_s = max((int(j["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]) for j in others), default=0)
        self._deadline = time.monotonic() + grace_s + LEEWAY_S
        if others:
            names = ", ".join(sorted(_full_name(j) for j in others))
            self._say(f"{self._pipeline}: ending {names}, with up to {grace_s} s to commit")

    def _is_all_over(self, seen: Watcher) -> bool:
        # A pod has failed a moment before its Job has: the failure is to be told before the end.
        if not all(is_finished(j) for j in seen.workloads):
            return False
        if not all(is_over(s) for s in self._found_states(seen).values()):
            return False
        # Watches lag behind; a callback may just have restarted something.
        selector = selector_of(self._pipeline)
        # First: it is told last of a replacement's end.
        owner = seen.ask(partial(self._api.get, "ConfigMap", owner_name(self._pipeline)))
        found = [seen.ask(partial(self._api.list, kind, selector)) for kind in self._kinds]
        jobs = with_kept([job for listing in found for job in listing.items], [owner])
        return all(is_over(s) for s in states_of(self._groups, jobs, seen.objects["Pod"].values()).values())

    def _found_states(self, seen: Watcher) -> dict[str, DeploymentState]:
        return states_of(self._groups, seen.workloads, seen.objects["Pod"].values(), self._starting())

    def _unfinished(self) -> list[str]:
        return [name for name, state in self._states.items() if not is_over(state)]


def _full_name(found: Manifest) -> str:
    return str(found["metadata"].get("annotations", {}).get(FULL_NAME, found["metadata"]["name"]))
