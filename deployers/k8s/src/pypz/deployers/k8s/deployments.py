"""Deployed pipelines of one namespace: made, found, looked at and removed, all without any of their classes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final

from pypz.deployers.base import DeploymentPlan, DeploymentState, MemberStatus
from pypz.deployers.k8s.api import ApiError, ClusterApi, Manifest
from pypz.deployers.k8s.attaching import LEEWAY_S, NO_MEMBER, Attachment, OnChange, OnNews
from pypz.deployers.k8s.comparing import Comparison
from pypz.deployers.k8s.manifests import dependent_manifests, owned, owner_manifest, renewed
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
    PipelinePlan,
    owner_name,
    selector_of,
)
from pypz.deployers.k8s.refusals import explained
from pypz.deployers.k8s.remains import remains_of
from pypz.deployers.k8s.scaling import Rescaling, note_down, wanted_of
from pypz.deployers.k8s.states import (
    Group,
    groups_of,
    has_completed,
    has_log,
    index_of,
    is_over,
    job_of,
    kept_of,
    pods_by_owner,
    pods_in,
    pods_of,
    refusal_of,
    restarts_in_place,
    size_of,
    states_of,
    statuses_of,
    waiting_reason,
    with_kept,
    workloads_of,
)
from pypz.deployers.k8s.versions import fitting
from pypz.deployers.k8s.warnings import WARNINGS, Warnings
from pypz.deployers.k8s.watching import Watcher
from pypz.utils.k8s.errors import DeploymentConflictException, DeploymentException, DeploymentNotFoundException
from pypz.utils.k8s.names import label_value

PODS_WITHIN_S: Final = 60.0
"""Seconds within which the cluster must have made another pod (not: run it), until there are all. Chosen: one second is usual
for all of a small pipeline, a minute for 300 on a busy control plane."""
LOOK_S: Final = 1.0
"""Seconds between two looks at whether a watching caller has enough; changes come at once. Chosen."""
AT_A_TIME: Final = 4
"""Requests that are under way together when a pipeline is made. Chosen: the server's own work on the first objects does not hold
up the last, and a single client is far from the share that the server gives each (API priority and fairness)."""
_WELL: Final = (DeploymentState.Running, DeploymentState.Completed)
_FOR_GOOD: Final = ("violates PodSecurity",)
"""What admission refuses by the pod's own description: waiting for it to change its mind helps nobody."""


class Deployments:
    """What is deployed in one namespace."""

    def __init__(self, api: ClusterApi, say: Callable[[str], None]) -> None:
        """Prepare.

        Args:
            api: The namespace.
            say: Told what people should know.
        """
        self._api = api
        self._say = say

    def names(self) -> set[str]:
        """Full names of the deployed pipelines.

        Raises:
            DeploymentException: There is no such namespace.
        """
        owners = self._api.list("ConfigMap", f"{MANAGED_BY}=pypz,{INSTANCE_TYPE}=pipeline").items
        if not owners:
            self._check_namespace()
        living = [o["metadata"] for o in owners if "deletionTimestamp" not in o["metadata"]]
        return {m["annotations"][FULL_NAME] for m in living if FULL_NAME in m.get("annotations", {})}

    def is_deployed(self, pipeline: str) -> bool:
        """Whether the pipeline is deployed and not being removed."""
        return _is_living(self._owner(pipeline))

    def config(self, pipeline: str) -> str | None:
        """The pipeline's DTO as YAML, secrets masked; None when it is not deployed."""
        return self._config_of(self._owner(pipeline))

    def _config_of(self, owner: Manifest | None) -> str | None:
        found = None if owner is None else self._api.get("ConfigMap", owner["data"]["config"])
        return None if found is None else str(found["data"][CONFIG_KEY])

    def remains(self, pipeline: str) -> str:
        """What a pipeline that has not ended well leaves outside of the cluster, in a sentence; empty when nothing."""
        config = self.config(pipeline)
        return "" if config is None else remains_of(config)

    def create(self, plan: PipelinePlan, wait: bool) -> None:
        """Make all objects of a pipeline, or none.

        Args:
            plan: The pipeline.
            wait: Return only when all its pods exist.

        Raises:
            DeploymentConflictException: It is deployed already.
            DeploymentException: Something could not be made; what was made is removed again.
        """
        dependents, left_out = fitting(dependent_manifests(plan), self._api.version())
        for sentence in left_out:
            self._say(sentence)
        self._await_removal(plan.name)
        try:
            owner = self._api.create(owner_manifest(plan))
        except BaseException as error:
            if isinstance(error, ApiError) and error.reason == "AlreadyExists":
                raise self._conflict(plan.name) from error
            if not isinstance(error, ApiError) or error.is_passing:  # it may be there all the same
                self._roll_back(plan, None, error)
            raise
        try:
            self._create_all([owned(manifest, owner) for manifest in dependents], plan)
            if wait:
                self._await_pods(plan.name, [m for m in dependents if m["kind"] in plan.workloads])
        except BaseException as error:
            self._roll_back(plan, owner, error)
            raise

    def compare(self, plan: PipelinePlan) -> DeploymentPlan:
        """Tell what deploying a pipeline would change; nothing is made."""
        return Comparison(self._api, plan).made()

    def destroy(self, pipeline: str, force: bool, wait: bool) -> None:
        """Remove a pipeline with everything that belongs to it.

        Args:
            pipeline: Its full name.
            force: Kill its pods at once.
            wait: Return only when nothing is left.

        Raises:
            DeploymentNotFoundException: It is not deployed.
            DeploymentException: Something did not go in time.
        """
        owner = self._owner(pipeline)
        kinds = _kinds_of(owner)
        if owner is None and not any(self._api.list(kind, selector_of(pipeline)).items for kind in kinds):
            raise self._not_found(pipeline)
        left = self._remove(pipeline, owner, force, wait)
        if left:
            self._say(f"{pipeline}: {left}")

    def states(self, pipeline: str) -> dict[str, DeploymentState]:
        """State of every member by its full name; empty when the pipeline is not deployed."""
        config = self.config(pipeline)
        if config is None:
            return {}
        groups = groups_of(config)
        return states_of(groups, self._workloads(pipeline, groups), self._pods(pipeline))

    def statuses(self, pipeline: str) -> list[MemberStatus]:
        """State, reason and whereabouts of every member; empty when the pipeline is not deployed."""
        owner = self._owner(pipeline)
        config = self._config_of(owner)
        if config is None:
            return []
        groups = groups_of(config)
        jobs, pods = with_kept(self._workloads(pipeline, groups), [owner]), self._pods(pipeline)
        is_well = all(s in _WELL for s in states_of(groups, jobs, pods).values())
        return statuses_of(groups, jobs, pods, Warnings() if is_well else self._warnings())

    def _workloads(self, pipeline: str, groups: Iterable[Group]) -> list[Manifest]:
        """The objects that make the pods of these operators, also one that is being replaced."""
        groups, owners = list(groups), list[Manifest | None]()
        while True:
            found = [o for kind in workloads_of(groups) for o in self._api.list(kind, selector_of(pipeline)).items]
            if owners or all(job_of(group, found) for group in groups):
                return with_kept(found, owners)
            owners.append(self._owner(pipeline))  # first of the two: the end of a replacement is noted when it is there

    def _pods(self, pipeline: str) -> list[Manifest]:
        return self._api.list("Pod", selector_of(pipeline)).items

    def _warnings(self) -> Warnings:
        """What the cluster warns of; nothing where it may not be read."""
        try:
            return Warnings(self._api.list("Event", fields=WARNINGS).items)
        except ApiError as error:
            if error.status != 403:
                raise
            return Warnings()

    def attach(self, pipeline: str, on_change: OnChange | None, on_news: OnNews = lambda status: None) -> None:
        """Stay with a pipeline until it has ended.

        Args:
            pipeline: Its full name.
            on_change: Called with a member's full name and its new state; may change the deployment.
            on_news: Told of a member whose state or reason has changed.

        Raises:
            DeploymentNotFoundException: It is not deployed.
        """
        try:
            config = self.config(pipeline)
            if config is None:
                raise self._not_found(pipeline)
            has_failed = Attachment(self._api, pipeline, groups_of(config), on_change, on_news, self._say).stay()
            if has_failed and (left := remains_of(config)):
                self._say(f"{pipeline}: {left}")
        except KeyboardInterrupt:
            where = "" if self._api.namespace == "default" else f" -n {self._api.namespace}"
            command = f"`pypz destroy {pipeline}{where}` (destroy({pipeline!r}))"
            self._say(f"detached from {pipeline}, which goes on; {command} ends and removes it")
            raise

    def watch(self, pipeline: str, on_status: OnNews, is_over: Callable[[], bool]) -> None:
        """Tell every member's status and each change, until it is enough; changes nothing."""
        told: dict[str, MemberStatus] = {}
        groups: list[Group] = []
        described: object = None
        with Watcher(self._api, selector_of(pipeline), "ConfigMap", JOB, DEPLOYMENT, "Pod", say=self._say) as seen:
            while not is_over():
                seen.catch_up()
                versions = {n: m["metadata"]["resourceVersion"] for n, m in seen.objects["ConfigMap"].items()}
                if versions != described:
                    described, config = versions, self.config(pipeline)
                    groups = groups if config is None else groups_of(config)
                found = statuses_of(groups, seen.workloads, seen.objects["Pod"].values())
                gone = told.keys() - {status.name for status in found}
                for status in [*found, *(MemberStatus(n, DeploymentState.NotExisting, NO_MEMBER) for n in gone)]:
                    if told.get(status.name) != status:
                        told[status.name] = status
                        on_status(status)
                seen.wait(time.monotonic() + LOOK_S)

    def restart_operator(self, full_name: str, force: bool, wait: bool) -> None:
        """Make the Job of an operator anew: all its members start again, in the same run.

        Raises:
            DeploymentConflictException: It is being scaled, or that broke off.
        """
        owner, job = self._owner(full_name.partition(".")[0]), self._job_of(full_name)
        operator = str(job["metadata"]["annotations"][FULL_NAME])
        wanted = wanted_of(owner, operator)
        if wanted is not None:
            raise DeploymentConflictException(
                f"{operator} is being scaled to {wanted} members, or that broke off; `pypz scale {operator} {wanted}` goes on "
                "with it, and starts all its members anew"
            )
        self._api.check_may_create(renewed(job))
        if owner is not None:
            note_down(self._api, owner, job, is_first=True)  # whoever restarts it may die in between
        if job["metadata"]["uid"]:
            self._remove_job(job, force, wait=True)
        try:
            made = self._api.create(renewed(job))
        except ApiError as error:
            if error.reason != "AlreadyExists":
                raise
            raise DeploymentConflictException(f"{operator}: somebody else has restarted it at this moment") from error
        if owner is not None:
            note_down(self._api, owner, None)
        if wait:
            self._await_pods(full_name.partition(".")[0], [made])

    def rescaling(self, full_name: str, members: int) -> Rescaling:
        """Another number of members for an operator."""
        return Rescaling(self._api, self._say, self._not_found, full_name, members)

    def destroy_operator(self, full_name: str, force: bool, wait: bool) -> None:
        """Remove the Job of an operator with its pods."""
        job, owner = self._job_of(full_name), self._owner(full_name.partition(".")[0])
        kept, name = kept_of(owner), str(job["metadata"]["annotations"][FULL_NAME])
        is_kept = kept is not None and kept["metadata"]["annotations"][FULL_NAME] == name
        if owner is not None and (is_kept or wanted_of(owner, name) is not None):
            note_down(self._api, owner, None)
        if job["metadata"]["uid"]:
            self._remove_job(job, force, wait)

    def logs(self, full_name: str, options: Mapping[str, str]) -> str | None:
        """What one member has logged; None when it has no pod, or no previous one that is asked for."""
        found = self._log_of(full_name, options)
        return None if found is None else self._api.read_log(*found)

    def follow_logs(self, full_name: str, options: Mapping[str, str]) -> Iterator[str]:
        """The log of one member, line by line as it comes; nothing when it has no pod, or no previous one.

        Who follows a member that has not started yet waits until it has.
        """
        if options.get("follow") == "true" and options.get("previous") != "true":
            self._await_start(full_name)
        found = self._log_of(full_name, options)
        if found is not None:
            yield from self._api.stream_log(*found)

    def _await_start(self, full_name: str) -> None:
        """Wait until a member has a log, or will have none."""
        group, index = self._member(full_name)
        selector = f"{selector_of(full_name.partition('.')[0])},{INSTANCE_NAME}={label_value(group.full_name.partition('.')[2])}"
        with Watcher(self._api, selector, group.workload, "Pod", say=self._say) as seen:

            def last() -> Manifest | None:
                job = job_of(group, seen.workloads)
                pods = [] if job is None else pods_of(job, seen.objects["Pod"].values())
                return next((pod for pod in reversed(pods) if index_of(pod) == index), None)

            def is_settled() -> bool:
                jobs, pod = seen.workloads, last()
                states = states_of([group], jobs, seen.objects["Pod"].values())
                return is_over(states.get(full_name, DeploymentState.NotExisting)) or (pod is not None and has_log(pod))

            if not is_settled():
                reason = waiting_reason(pod) if (pod := last()) else ""
                self._say(
                    f"{full_name} has not started yet{f': {reason}' if reason else ''}; its log comes when it has"
                )
                seen.wait_until(is_settled)

    def _log_of(self, full_name: str, options: Mapping[str, str]) -> tuple[str, Mapping[str, str]] | None:
        """The newest pod of a member, and the options to ask with; ``previous`` is the pod that it replaced, if any."""
        pipeline = full_name.partition(".")[0]
        group, index = self._member(full_name)
        job = job_of(group, self._workloads(pipeline, [group]))
        if job is None:
            return None
        pods = [p for p in pods_of(job, self._pods(pipeline)) if index_of(p) == index]
        asked = {"container": CONTAINER, **options}
        if len(pods) > 1 and asked.get("previous") == "true":
            del asked["previous"], pods[-1]
        if asked.get("previous") == "true" and not (pods and restarts_in_place(pods[-1])):
            return None  # it is its first start
        return (str(pods[-1]["metadata"]["name"]), asked) if pods else None

    def _create_all(self, manifests: Sequence[Manifest], plan: PipelinePlan) -> None:
        """Make objects: first those that others refer to, then the others, a few at a time."""
        workloads = [m for m in manifests if m["kind"] not in ("ConfigMap", "Secret")]
        for manifest in manifests:
            if manifest not in workloads:
                self._create(manifest, plan)
        with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="pypz-create") as threads:
            made = [threads.submit(self._create, manifest, plan) for manifest in workloads]
            try:
                for one in made:
                    one.result()
            except BaseException:
                threads.shutdown(cancel_futures=True)  # what is under way is waited for, so that it can be removed
                raise

    def _create(self, manifest: Manifest, plan: PipelinePlan) -> None:
        try:
            self._api.create(manifest)
        except ApiError as error:
            if error.reason == "AlreadyExists":
                raise DeploymentException(
                    f"{plan.name}: a {manifest['kind']} {manifest['metadata']['name']} is there in namespace "
                    f"{self._api.namespace!r} that is not its own: somebody deployed {plan.name} meanwhile (see `pypz status`), "
                    "or something else has this name; then remove that, or give the operator or the pipeline another name"
                ) from error
            told = explained(error, manifest, plan)
            if told is error:
                raise
            raise told from error

    def _owner(self, pipeline: str) -> Manifest | None:
        found = self._api.get("ConfigMap", owner_name(pipeline))
        if found is None or found["metadata"].get("labels", {}).get(MANAGED_BY) != "pypz":
            return None
        return found if found["metadata"].get("annotations", {}).get(FULL_NAME, pipeline) == pipeline else None

    def _member(self, full_name: str) -> tuple[Group, int]:
        """The group and index of a member.

        Raises:
            DeploymentNotFoundException: There is no such member.
        """
        pipeline = full_name.partition(".")[0]
        config = self.config(pipeline)
        if config is None:
            raise self._not_found(pipeline)
        members = {g.member_name(i): (g, i) for g in groups_of(config) for i in range(g.size)}
        if full_name == pipeline:
            raise DeploymentNotFoundException(
                f"{full_name!r} is a pipeline, expected one of its operators: {', '.join(members)}"
            )
        if full_name not in members:
            raise DeploymentNotFoundException(f"{pipeline} has no operator {full_name!r}; it has: {', '.join(members)}")
        return members[full_name]

    def _job_of(self, full_name: str) -> Manifest:
        group, _ = self._member(full_name)
        job = job_of(group, self._workloads(full_name.partition(".")[0], [group]))
        if job is None:
            raise DeploymentNotFoundException(
                f"{group.full_name} was destroyed, though its pipeline is deployed; "
                "destroy and deploy the pipeline to get it back"
            )
        return job

    def _conflict(self, pipeline: str) -> DeploymentConflictException | DeploymentException:
        if self._owner(pipeline) is None and self._api.get("ConfigMap", owner_name(pipeline)) is not None:
            return DeploymentException(
                f"{pipeline}: a ConfigMap {owner_name(pipeline)} is there in namespace {self._api.namespace!r} that is not its "
                "own; remove that, or give the pipeline another name"
            )
        missing = self._missing(pipeline)
        if missing:
            return DeploymentConflictException(
                f"{pipeline} is deployed in part only in namespace {self._api.namespace!r}, {missing}: its deployer broke off or "
                "is still at it, or operators were destroyed alone; destroy it first"
            )
        return DeploymentConflictException(
            f"{pipeline} is deployed already in namespace {self._api.namespace!r}; attach to it, or destroy it first"
        )

    def _missing(self, pipeline: str) -> str:
        """What a deployed pipeline lacks, in words; empty when it is whole."""
        config = self.config(pipeline)
        if config is None:
            return "without its description"
        groups = groups_of(config)
        jobs = self._workloads(pipeline, groups)
        without = [group.full_name for group in groups if job_of(group, jobs) is None]
        more = f" and {len(without) - 3} more" if len(without) > 3 else ""
        return f"without {', '.join(without[:3])}{more}" if without else ""

    def _not_found(self, pipeline: str) -> DeploymentNotFoundException:
        if self._owner(pipeline) is not None:
            return DeploymentNotFoundException(
                f"the deployment of {pipeline} in namespace {self._api.namespace!r} broke off before anything ran, or is being "
                f"removed; destroy({pipeline!r}) removes what is there"
            )
        names = ", ".join(sorted(self.names())) or "none"
        return DeploymentNotFoundException(
            f"{pipeline} is not deployed in namespace {self._api.namespace!r}; deployed there: {names}"
        )

    def _check_namespace(self) -> None:
        """Refuse a namespace that does not exist: lists of it are empty, and only making something in it is an error."""
        probe = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "pypz-"}}
        try:
            self._api.dry_run(probe)
        except ApiError as error:
            if error.status != 403:  # who may only look is told nothing of it
                raise

    def _await_removal(self, pipeline: str) -> None:
        """Wait for what is left of an earlier deployment that is being removed.

        Raises:
            DeploymentConflictException: Something is left that nobody removes.
        """
        if _is_living(owner := self._owner(pipeline)):
            return  # making it anew tells the conflict
        kinds = _kinds_of(owner)
        found = [one for kind in kinds for one in self._api.list(kind, selector_of(pipeline)).items]
        if not found or _is_living(owner := self._owner(pipeline)):  # somebody else deploys it at this moment
            return
        if owner is None and (orphans := [one for one in found if _is_orphan(one)]):
            raise DeploymentConflictException(
                f"{pipeline}: objects of an earlier deployment are left in namespace {self._api.namespace!r}, though the ConfigMap "
                f"that owned them was deleted alone: {orphans[0]['kind']} {orphans[0]['metadata']['name']}; "
                f"destroy({pipeline!r}) removes them"
            )
        with Watcher(self._api, selector_of(pipeline), *kinds, say=self._say) as seen:
            self._await_nothing_left(pipeline, seen, force=False)

    def _await_pods(self, pipeline: str, workloads: Iterable[Manifest]) -> None:
        """Wait until every pod of these Jobs and Deployments exists."""
        jobs = {str(m["metadata"]["name"]): m for m in workloads}
        kinds = sorted({m["kind"] for m in jobs.values()}, reverse=True)
        told: set[str] = set()
        with Watcher(self._api, selector_of(pipeline), *kinds, "Pod", "Event", say=self._say) as seen:

            def missing() -> dict[str, str]:
                """The Jobs that have not made all their pods, each with why it may not, where that is known."""
                made, warnings = pods_by_owner(seen.objects["Pod"].values()), seen.warnings
                found = {}
                for name, wanted in jobs.items():
                    job = seen.objects[wanted["kind"]].get(name)
                    pods = [] if job is None else pods_in(made, job)
                    if len({index_of(p) for p in pods}) < size_of(wanted):
                        found[name] = "" if job is None else refusal_of(job, pods, warnings)
                return found

            def is_done() -> bool:
                left = missing()
                for job, reason in left.items():
                    if any(words in reason for words in _FOR_GOOD):
                        raise DeploymentException(
                            f"{pipeline}: {jobs[job]['kind']} {job} may not make its pods: {reason}"
                        )
                    if reason and job not in told:
                        told.add(job)
                        self._say(f"{pipeline} waits: {jobs[job]['kind']} {job}: {reason}")
                return not left

            def is_further(than: int) -> bool:
                return len(seen.objects["Pod"]) > than or is_done()

            while not is_done():
                count = len(seen.objects["Pod"])
                if not seen.wait_until(partial(is_further, count), time.monotonic() + PODS_WITHIN_S):
                    job, reason = next(iter(missing().items()))
                    raise DeploymentException(
                        f"{pipeline}: {jobs[job]['kind']} {job} has not made all its pods within {PODS_WITHIN_S:.0f} s; "
                        f"last seen: {reason or 'nothing'}"
                    )

    def _roll_back(self, plan: PipelinePlan, owner: Manifest | None, cause: BaseException) -> None:
        try:
            self._remove(plan.name, owner, force=True, wait=True, run=plan.run)
        except DeploymentException as error:
            cause.add_note(f"and what was made could not be removed: {error}; destroy({plan.name!r}) tries again")

    def _remove(self, pipeline: str, owner: Manifest | None, force: bool, wait: bool, run: str = "") -> str:
        """Remove objects of a pipeline; tells what one that has not ended well leaves outside of the cluster.

        Args:
            pipeline: Its full name.
            owner: Its ConfigMap, where there is one.
            force: Kill its pods at once.
            wait: Return only when nothing is left.
            run: Only those of one deployment: somebody may have made another one in the meantime. Empty for all.
        """
        kinds = _kinds_of(owner)
        with Watcher(self._api, selector_of(pipeline), *kinds, say=self._say) as seen:
            configs = [c["data"][CONFIG_KEY] for c in seen.objects["ConfigMap"].values() if CONFIG_KEY in c["data"]]
            left = _left_by(configs[-1], seen.workloads) if configs else ""
            if owner is not None:
                self._api.delete("ConfigMap", owner["metadata"]["name"], uid=owner["metadata"]["uid"])
            # What the owner's deletion would reach a little later, or never when somebody has cut it off.
            for kind in (k for k in reversed(kinds) if k != "Pod"):
                for name, found in _of_run(run, seen.objects[kind].items()):
                    if "deletionTimestamp" not in found["metadata"]:
                        self._api.delete(kind, name, uid=found["metadata"]["uid"])
            if wait:
                self._await_nothing_left(pipeline, seen, force, run)
            elif force:
                self._kill((pod for _, pod in _of_run(run, seen.objects["Pod"].items())), set())
        return left

    def _remove_job(self, job: Manifest, force: bool, wait: bool) -> None:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        selector = ",".join(f"{label}={job['metadata']['labels'][label]}" for label in (PART_OF, MANAGED_BY))
        killed: set[str] = set()
        kind = job["kind"]
        with Watcher(self._api, selector, kind, "Pod", say=self._say) as seen:
            self._api.delete(kind, name, uid=uid)

            def is_gone() -> bool:
                pods = pods_of(job, seen.objects["Pod"].values())
                if force:
                    self._kill(pods, killed)
                return not pods and seen.objects[kind].get(name, {"metadata": {}})["metadata"].get("uid") != uid

            if not wait:
                is_gone()
            elif not seen.wait_until(is_gone, time.monotonic() + (0 if force else _grace_s(job)) + LEEWAY_S):
                raise DeploymentException(f"{kind} {name} was not removed in time; {self._remainder(seen)}")

    def _await_nothing_left(self, pipeline: str, seen: Watcher, force: bool, run: str = "") -> None:
        killed: set[str] = set()

        def is_nothing_left() -> bool:
            if force:
                self._kill((pod for _, pod in _of_run(run, seen.objects["Pod"].items())), killed)
            return not any(True for objects in seen.objects.values() for _ in _of_run(run, objects.items()))

        grace_s = 0 if force else max((_grace_s(j) for j in seen.workloads), default=0)
        if not seen.wait_until(is_nothing_left, time.monotonic() + grace_s + LEEWAY_S):
            raise DeploymentException(f"{pipeline} was not removed in time; {self._remainder(seen, run)}")

    def _kill(self, pods: Iterable[Manifest], killed: set[str]) -> None:
        for pod in pods:
            if pod["metadata"]["uid"] not in killed:
                killed.add(pod["metadata"]["uid"])
                metadata = pod["metadata"]
                self._api.delete("Pod", metadata["name"], grace_s=0, propagation="Background", uid=metadata["uid"])

    def _remainder(self, seen: Watcher, run: str = "") -> str:
        left = [
            f"{kind} {name}"
            + (f" ({waiting_reason(o) or o.get('status', {}).get('phase')})" if kind == "Pod" else "")
            + (f" (finalizers: {', '.join(o['metadata']['finalizers'])})" if o["metadata"].get("finalizers") else "")
            for kind, objects in seen.objects.items()
            for name, o in _of_run(run, objects.items())
        ]
        return f"left: {'; '.join(left) or 'nothing'}"


def _kinds_of(owner: Manifest | None) -> tuple[str, ...]:
    """Kinds of all objects of a deployment, as its owner says."""
    workloads = JOB if owner is None else str(owner.get("data", {}).get(WORKLOADS_KEY, JOB))
    return ("ConfigMap", "Secret", *workloads.split(","), "Pod")


def _left_by(config: str, workloads: Sequence[Manifest]) -> str:
    """What is told of the channels of a pipeline that is removed; empty when it has ended well."""
    jobs = [job_of(group, workloads) for group in groups_of(config)]
    if None in jobs and all(job is None or has_completed(job) for job in jobs):
        return remains_of(config, "not all of its Jobs are there to tell whether it ended well")
    return "" if all(job is not None and has_completed(job) for job in jobs) else remains_of(config)


def _of_run(run: str, found: Iterable[tuple[str, Manifest]]) -> list[tuple[str, Manifest]]:
    """Of objects by name those that one deployment has made; all of them where no run is named."""
    return [(name, o) for name, o in found if run in ("", o["metadata"].get("annotations", {}).get(RUN))]


def _is_living(owner: Manifest | None) -> bool:
    """Whether a pipeline is deployed and not being removed."""
    return owner is not None and "deletionTimestamp" not in owner["metadata"]


def _is_orphan(found: Manifest) -> bool:
    """Whether nobody has removed an object, and nothing will: its owner is known to be gone."""
    return not found["metadata"].get("ownerReferences") and "deletionTimestamp" not in found["metadata"]


def _grace_s(job: Manifest) -> int:
    return int(job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
