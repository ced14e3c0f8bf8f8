"""Another number of members for one operator of a deployed pipeline, in the same run.

Its Job is suspended, so that all members commit and stop; the core hands their partitions over; then a Job of the new size
takes its place. What fails before the hand-over lets the old Job go on. A deployer that dies in between leaves a Job that is
suspended, or its manifest in an annotation of the pipeline's ConfigMap: scaling once more goes on from there. Nothing else may
start its members meanwhile: whether their partitions were handed over is known from the channels only.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Final

from pypz.core.channels.port import channel_ports_of
from pypz.core.channels.runs.retiring import Place, places_at
from pypz.core.channels.runs.scaling import Scaled, Scaling, ScalingPlan
from pypz.core.channels.runs.whole import address_of_port, status_name, whole_of
from pypz.core.commons.errors import ConfigurationError, TransportError
from pypz.core.commons.secrets import conceal
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.instance import Internals
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s.api import ApiError, ClusterApi, Manifest
from pypz.deployers.k8s.attaching import LEEWAY_S
from pypz.deployers.k8s.manifests import config_manifest, owned, renewed
from pypz.deployers.k8s.plan import (
    CONFIG_KEY,
    DEPLOYMENT,
    FULL_NAME,
    RUN,
    SCALING,
    SCALING_TO,
    PipelinePlan,
    job_name,
    owner_name,
    selector_of,
)
from pypz.deployers.k8s.states import groups_of, has_failed, is_finished, kept_of, pods_of
from pypz.deployers.k8s.watching import Watcher
from pypz.utils.k8s.errors import DeploymentConflictException, DeploymentException, DeploymentNotFoundException

ENDED: tuple[str, ...] = ("Succeeded", "Failed")
"""Phases of pods that run no more."""
MAX_KEPT_BYTES: Final = 240_000
"""Bytes of a Job's manifest that is kept as an annotation: all of an object are 262,144 at most (Kubernetes)."""


class Rescaling:
    """Changes one operator."""

    def __init__(
        self,
        api: ClusterApi,
        say: Callable[[str], None],
        not_found: Callable[[str], DeploymentNotFoundException],
        full_name: str,
        members: int,
    ) -> None:
        """Prepare.

        Args:
            api: The namespace.
            say: Told what people should know.
            not_found: Gives the error about a pipeline that is not deployed.
            full_name: Of the operator.
            members: From now on, the operator itself included.
        """
        self._api = api
        self._say = say
        self._not_found = not_found
        self._full_name = full_name
        self._pipeline, _, self._name = full_name.partition(".")
        self._members = members

    def plan(self) -> ScalingPlan:
        """Tell what would change; nothing is."""
        _, job, _, config = self._found()
        with self._opened(config, job) as (scaling, _):
            return scaling.plan()

    def carry_out(self, on_plan: Callable[[ScalingPlan], None]) -> Scaled:
        """Stop, hand over, start.

        Raises:
            ConfigurationError: It cannot be scaled so; nothing was changed.
            DeploymentException: Its members did not stop in time; they go on.
        """
        owner, job, is_gone, config = self._found()
        before = wanted_of(owner, self._full_name)
        is_open = is_gone or before is not None  # an earlier one broke off, perhaps behind its hand-over
        # First of all: without the right to do so nothing is touched.
        self._api.check_may_create(renewed(job))
        note_down(self._api, owner, job, self._members, is_first=True)
        is_handed_over = is_stopped = False
        try:
            with self._opened(config, job) as (scaling, described):
                plan = scaling.plan()
                on_plan(plan)
                if not plan.is_needed and not self._is_unfinished(job, is_gone):
                    is_open = False
                    return Scaled(plan, scaling.generation(), {})
                is_stopped = True
                if not is_gone:
                    self._stop(job)
                scaled = scaling.carry_out(plan)
            is_handed_over = True
            self._start(owner, job, is_gone, described)
        finally:
            if not is_handed_over and self._is_still_ours():
                if is_stopped and not is_open:
                    self._api.patch("Job", job["metadata"]["name"], {"spec": {"suspend": False}})
                note_down(self._api, owner, job if is_open else None, before)
        return scaled

    # --- below ---

    def _is_still_ours(self) -> bool:
        """Whether nobody else has begun to scale since, or has done it: they say what becomes of the Job."""
        return wanted_of(self._api.get("ConfigMap", owner_name(self._pipeline)), self._full_name) == self._members

    def _found(self) -> tuple[Manifest, Manifest, bool, str]:
        """The pipeline's ConfigMap; the operator's Job, or as it was before a deployer died that had removed it; whether
        it is gone; the pipeline's description.
        """
        owner = self._api.get("ConfigMap", owner_name(self._pipeline))
        found = None if owner is None else self._api.get("ConfigMap", owner["data"]["config"])
        if owner is None or found is None:
            raise self._not_found(self._pipeline)
        config = found["data"][CONFIG_KEY]
        names = [group.full_name for group in groups_of(config)]
        if self._full_name == self._pipeline:
            raise DeploymentNotFoundException(
                f"{self._full_name!r} is a pipeline, expected one of its operators: {', '.join(names)}"
            )
        if self._full_name not in names:
            raise DeploymentNotFoundException(
                f"{self._pipeline} has no operator {self._full_name!r}; it has: {', '.join(names)}"
            )
        if self._members < 1:
            raise ConfigurationError(
                f"{self._full_name}: {self._members} members are asked for, expected 1 or more; "
                f"`pypz destroy {self._full_name}` removes it"
            )
        if any(g.full_name == self._full_name and g.workload == DEPLOYMENT for g in groups_of(config)):
            raise ConfigurationError(
                f"{self._full_name} is a Deployment, whose only pod has no index: it cannot be rescaled"
            )
        job = self._api.get("Job", job_name(self._pipeline, self._name))
        kept = kept_of(owner)
        if job is None and kept is not None and kept["metadata"]["annotations"][FULL_NAME] == self._full_name:
            return owner, kept, True, config
        if job is None:
            raise DeploymentNotFoundException(f"{self._full_name} was destroyed, though its pipeline is deployed")
        if is_finished(job):
            state = "has failed" if has_failed(job) else "has ended"
            raise ConfigurationError(f"{self._full_name} {state}: there is nothing left to rescale")
        return owner, job, False, config

    @contextlib.contextmanager
    def _opened(self, config: str, job: Manifest) -> Iterator[tuple[Scaling, str]]:
        """The operator's channels as seen from here, and the pipeline's description as it is to be."""
        with contextlib.redirect_stderr(io.StringIO()):  # nothing of the operators' classes is needed here
            pipeline: Pipeline = Pipeline.create_from_string(config, mock_nonexistent=True)
        operator: Operator = Internals(pipeline).nested_instances[self._name]
        operator.set_parameter("replicationFactor", self._members - 1)
        run = job["metadata"]["annotations"][RUN]
        with self._secrets(), self._places(operator) as places:
            yield Scaling(places, operator, run, self._members), str(pipeline)

    @contextlib.contextmanager
    def _secrets(self) -> Iterator[None]:
        """Let references to the operator's secrets resolve here, as they do in its pods."""
        found: dict[str, str] = {}
        for secret in self._api.list("Secret", selector_of(self._pipeline)).items:
            if secret["metadata"]["name"] == job_name(self._pipeline, self._name):
                found = {key: base64.b64decode(value).decode() for key, value in (secret.get("data") or {}).items()}
        mine = {key: value for key, value in found.items() if key not in os.environ}
        os.environ.update(mine)
        try:
            yield
        finally:
            for key in mine:
                os.environ.pop(key, None)

    @contextlib.contextmanager
    def _places(self, operator: Operator) -> Iterator[list[Place]]:
        ports = channel_ports_of(operator)
        addresses = [address_of_port(port) for port in ports]
        missing = [port for port, address in zip(ports, addresses, strict=True) if address is None]
        if missing:
            raise ConfigurationError(
                f"{self._full_name}.{missing[0].get_simple_name()}: its channelLocation or channelConfig refers to an "
                "environment variable that is set neither here nor in the operator's Secret"
            )
        locations = [(address[0], dict(address[1])) for address in dict.fromkeys(addresses) if address is not None]
        with contextlib.ExitStack() as opened:
            try:
                places = opened.enter_context(
                    places_at(PluginHost.default(), status_name(whole_of(operator)), locations)
                )
            except TransportError as error:
                shown = ", ".join(str(conceal({"channelLocation": one})["channelLocation"]) for one, _ in locations)
                raise ConfigurationError(
                    f"{self._full_name}: scaling moves what stands committed at {shown}, which cannot be reached from "
                    f"here: {error}; scale from where it can, such as a pod of the cluster. Nothing was changed"
                ) from error
            yield places

    def _is_unfinished(self, job: Manifest, is_gone: bool) -> bool:
        """Whether an earlier scaling was broken off behind the hand-over."""
        spec = job["spec"]
        return is_gone or bool(spec.get("suspend")) or int(spec["completions"]) != self._members

    def _stop(self, job: Manifest) -> None:
        """Let all members commit and end."""
        name = job["metadata"]["name"]
        grace_s = int(job["spec"]["template"]["spec"]["terminationGracePeriodSeconds"])
        with Watcher(self._api, selector_of(self._pipeline), "Job", "Pod", say=self._say) as seen:
            try:
                self._api.patch("Job", name, {"metadata": {"uid": job["metadata"]["uid"]}, "spec": {"suspend": True}})
            except ApiError as error:
                if error.status not in (409, 422):  # it would be given another id
                    raise
                raise DeploymentConflictException(
                    f"{self._full_name}: somebody else has restarted or scaled it at this moment; nothing was changed"
                ) from error

            def running() -> list[Manifest]:
                pods = pods_of(job, seen.objects["Pod"].values())
                return [pod for pod in pods if pod.get("status", {}).get("phase") not in ENDED]

            if not seen.wait_until(lambda: not running(), time.monotonic() + grace_s + LEEWAY_S):
                names = ", ".join(pod["metadata"]["name"] for pod in running())
                raise DeploymentException(f"{self._full_name}: did not stop in time: {names}; it goes on as it was")

    def _start(self, owner: Manifest, job: Manifest, is_gone: bool, config: str) -> None:
        """Put a Job of the new size, which reads the new description, in the place of the old one."""
        described = PipelinePlan(self._pipeline, owner["data"]["run"], config)
        name = described.config_name
        if self._api.get("ConfigMap", name) is None:
            self._api.create(owned(config_manifest(described), owner))
        self._api.patch("ConfigMap", owner["metadata"]["name"], {"data": {"config": name}})
        if not is_gone:
            self._remove(job)
        self._api.create(self._resized(job, name))
        note_down(self._api, owner, None)
        self._forget_configs(name)

    def _resized(self, job: Manifest, config: str) -> Manifest:
        made = renewed(job)
        made["spec"].update(completions=self._members, parallelism=self._members)
        for volume in made["spec"]["template"]["spec"]["volumes"]:
            if volume.get("configMap", {}).get("name", "").startswith(f"{owner_name(self._pipeline)}.config-"):
                volume["configMap"]["name"] = config
        return made

    def _remove(self, job: Manifest) -> None:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        with Watcher(self._api, selector_of(self._pipeline), "Job", say=self._say) as seen:
            self._api.delete("Job", name, uid=uid)

            def is_gone() -> bool:
                return bool(seen.objects["Job"].get(name, {"metadata": {}})["metadata"].get("uid") != uid)

            if not seen.wait_until(is_gone, time.monotonic() + LEEWAY_S):
                raise DeploymentException(f"Job {name} was not removed in time; scale once more to go on")

    def _forget_configs(self, newest: str) -> None:
        """Remove descriptions that no Job reads any more; the other operators' Jobs go on with theirs."""
        used = {newest} | {
            volume.get("configMap", {}).get("name", "")
            for job in self._api.list("Job", selector_of(self._pipeline)).items
            for volume in job["spec"]["template"]["spec"].get("volumes", [])
        }
        for config in self._api.list("ConfigMap", selector_of(self._pipeline)).items:
            name = config["metadata"]["name"]
            if name.startswith(f"{owner_name(self._pipeline)}.config-") and name not in used:
                self._api.delete("ConfigMap", name)


def note_down(
    api: ClusterApi, owner: Manifest, job: Manifest | None, members: int | None = None, *, is_first: bool = False
) -> None:
    """Keep the manifest of a Job with its pipeline, as long as it may be gone.

    One that is too large is not kept: then what dies half way leaves the pipeline to be deployed anew.

    Args:
        api: The namespace.
        owner: The pipeline's ConfigMap.
        job: The Job; None: it is there again.
        members: How many it is about to have, where it is being scaled.
        is_first: Refuse where somebody has changed the ConfigMap since ``owner`` was read.

    Raises:
        DeploymentConflictException: Somebody has.
    """
    kept = None if job is None else json.dumps(renewed(job))
    if kept is not None and len(kept.encode()) > MAX_KEPT_BYTES:
        kept = None
    wanted = None if job is None or members is None else f"{job['metadata']['annotations'][FULL_NAME]}={members}"
    seen = {"resourceVersion": owner["metadata"]["resourceVersion"]} if is_first else {}
    change = {"metadata": {"annotations": {SCALING: kept, SCALING_TO: wanted}, **seen}}
    try:
        api.patch("ConfigMap", owner["metadata"]["name"], change)
    except ApiError as error:
        if error.status != 409:
            raise
        raise DeploymentConflictException(
            f"{owner['data']['pipeline']}: somebody else scales, restarts or removes one of its operators at this moment; "
            "nothing was changed, try again when that is over"
        ) from error


def wanted_of(owner: Manifest | None, full_name: str) -> int | None:
    """How many members an operator is about to have whose scaling is under way or broke off; None where there is none."""
    told = "" if owner is None else str(owner["metadata"].get("annotations", {}).get(SCALING_TO, ""))
    name, _, members = told.rpartition("=")
    return int(members) if name == full_name else None
