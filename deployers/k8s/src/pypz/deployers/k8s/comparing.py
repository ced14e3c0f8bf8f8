"""What deploying a pipeline would change in the cluster: asked of the server by a dry run, nothing is made."""

from __future__ import annotations

import copy
import dataclasses
import difflib
from collections.abc import Iterable, Mapping
from typing import Any, Final

import yaml

from pypz.deployers.base import DeploymentPlan, ObjectChange
from pypz.deployers.k8s.api import ApiError, ClusterApi, Manifest
from pypz.deployers.k8s.hiding import MASK, masked, plain_secrets
from pypz.deployers.k8s.manifests import dependent_manifests, owner_manifest, renewed
from pypz.deployers.k8s.plan import (
    CONFIG_KEY,
    DEPLOYMENT,
    FULL_NAME,
    INSTANCE_TYPE,
    JOB,
    MANAGED_BY,
    OperatorPlan,
    PipelinePlan,
    owner_name,
    selector_of,
)
from pypz.deployers.k8s.refusals import explained
from pypz.deployers.k8s.starting import privileged
from pypz.deployers.k8s.states import groups_of
from pypz.deployers.k8s.touching import resized, touched
from pypz.deployers.k8s.versions import fitting

CONTEXT_LINES: Final = 2
_KINDS: Final = ("ConfigMap", "Secret", JOB, DEPLOYMENT)

_Key = tuple[str, str, str]
"""What an object is for, whatever its name: kind, part of the deployment, full name."""


class Comparison:
    """One pipeline against what is deployed under its name."""

    def __init__(self, api: ClusterApi, plan: PipelinePlan) -> None:
        """Prepare.

        Args:
            api: The namespace.
            plan: The pipeline.
        """
        owner = api.get("ConfigMap", owner_name(plan.name))
        is_ours = owner is not None and owner["metadata"].get("labels", {}).get(MANAGED_BY) == "pypz"
        self._owner = owner if is_ours and owner and "deletionTimestamp" not in owner["metadata"] else None
        if self._owner is not None:
            # A new run alone is no change.
            plan = dataclasses.replace(plan, run=str(self._owner["data"]["run"]))
        self._api = api
        self._plan = plan
        self._otherwise: set[str] = set()
        """Full names of operators whose Job changes not in its size alone."""
        self._found = DeploymentPlan(plan.name, f"kubernetes, namespace {api.namespace!r}", self._owner is not None)

    def made(self) -> DeploymentPlan:
        """Ask the cluster, and tell what would change."""
        dependents, left_out = fitting(dependent_manifests(self._plan), self._api.version())
        self._found.warnings += left_out
        wanted = {_key_of(m): m for m in [owner_manifest(self._plan), *dependents]}
        live: dict[_Key, Manifest] = {}
        if self._owner is not None:
            kinds = dict.fromkeys([*_KINDS, *(kind for kind, _, _ in wanted)])
            live = {_key_of(o): o for k in kinds for o in self._api.list(k, selector_of(self._plan.name)).items}
        for key, manifest in wanted.items():
            self._compare(key, manifest, live.get(key))
        for key, found in live.items():
            if key not in wanted:
                self._note(found, "delete", _diff(_view(found), None))
        self._found.warnings += [*plain_secrets(self._plan), *privileged(self._plan)]
        self._found.warnings += moving_images(self._plan.operators, self._plan.name)
        if self._owner is not None and self._found.changes:
            self._tell_consequences(live)
        return self._found

    def _compare(self, key: _Key, manifest: Manifest, live: Manifest | None) -> None:
        asked = copy.deepcopy(manifest)
        if live is not None:
            # Nothing of a Job can be changed in place, so the server is asked what it would make beside the one that is.
            asked["metadata"]["generateName"] = f"{asked['metadata'].pop('name')[:50]}-"
        try:
            checked, warnings = self._api.dry_run(asked)
        except ApiError as error:
            told = str(explained(error, manifest, self._plan))
            if told not in self._found.errors:  # a missing namespace or right is the same for all
                self._found.errors.append(told)
            return
        place = "" if key[2] == self._plan.name else f"{key[2]}: "
        self._found.warnings += [w for text in warnings if (w := place + text) not in self._found.warnings]
        if live is None:
            self._note(manifest, "create", "")
            return
        checked = {**checked, "kind": manifest["kind"]}
        if _content(live) != _content(checked):
            if _content(live, is_size_told=False) != _content(checked, is_size_told=False):
                self._otherwise.add(key[2])
            name = manifest["metadata"]["name"]
            self._note(
                {**manifest, "metadata": {**manifest["metadata"], "name": name}}, "change", _change(live, checked)
            )

    def _note(self, manifest: Manifest, action: Any, diff: str) -> None:
        full_name = str(manifest["metadata"].get("annotations", {}).get(FULL_NAME, ""))
        operator = "" if full_name == self._plan.name else full_name
        self._found.changes.append(ObjectChange(manifest["kind"], manifest["metadata"]["name"], action, operator, diff))

    def _tell_consequences(self, live: Mapping[_Key, Manifest]) -> None:
        config = next((o for k, o in live.items() if k[:2] == ("ConfigMap", "config")), None)
        if config is None:
            return
        deployed = str(config["data"][CONFIG_KEY])
        changed = {c.operator for c in self._found.changes} | _changed_operators(deployed, self._plan.config)
        self._found.scaling = self._resized(deployed)
        remaining = {f"{self._plan.name}.{o.name}" for o in self._plan.operators}
        for group in groups_of(deployed):
            if group.full_name not in remaining:
                continue
            why = "it changes" if group.full_name in changed else "a changed pipeline is deployed as a new run"
            if self._found.scaling and group.full_name not in changed:
                why += "; `pypz scale` lets it go on"
            self._found.restarts |= {group.member_name(index): why for index in range(group.size)}
        self._found.data += touched(deployed, self._plan.config)
        self._found.data.append(
            "records that nobody has read yet stay in their channels; the new run goes on behind what was committed"
        )

    def _resized(self, deployed: str) -> dict[str, int]:
        """What scaling brings about: sizes of groups, where nothing else changes."""
        found = resized(deployed, self._plan.config)
        are_sizes = all(
            c.action == "change" and (c.operator in found if c.kind == JOB else c.kind == "ConfigMap")
            for c in self._found.changes
        )
        return found if are_sizes and not self._otherwise & found.keys() else {}


def moving_images(operators: Iterable[OperatorPlan], pipeline: str) -> list[str]:
    """Tell images whose tag may mean another image tomorrow: a node keeps what it pulled first."""
    found: dict[str, list[str]] = {}
    for operator in operators:
        name = operator.image.rpartition("/")[2]
        is_fixed = "@" in name or (":" in name and not name.endswith(":latest"))
        if not is_fixed and operator.settings.imagePullPolicy != "Always":
            found.setdefault(operator.image, []).append(f"{pipeline}.{operator.name}")
    return [
        f"{', '.join(names)}: image {image!r} has no tag of a version, and a node that has it does not pull it again; "
        "give each build a tag of its own, or set imagePullPolicy to 'Always'"
        for image, names in found.items()
    ]


def _key_of(found: Manifest) -> _Key:
    metadata = found["metadata"]
    kind = str(metadata.get("labels", {}).get(INSTANCE_TYPE, ""))
    return found["kind"], kind, str(metadata.get("annotations", {}).get(FULL_NAME, metadata.get("name")))


def _content(found: Manifest, *, is_size_told: bool = True) -> Any:
    """What an object says, without what the cluster adds to it and without names that follow from its content."""
    if found["kind"] == "ConfigMap":
        return {k: v for k, v in found.get("data", {}).items() if k not in ("config", "run")}
    if found["kind"] == "Secret":
        return found.get("data", {})
    made = renewed(found)
    config = [v["configMap"] for v in made["spec"]["template"]["spec"].get("volumes", []) if v["name"] == "pypz-config"]
    for one in config:
        one["name"] = "(the pipeline's description)"
    if not is_size_told:
        made["spec"] = {k: v for k, v in made["spec"].items() if k not in ("completions", "parallelism")}
    metadata = {k: v for k, v in made["metadata"].items() if k in ("labels", "annotations")}
    return {"metadata": metadata, "spec": made["spec"]}


def _view(found: Manifest) -> Any:
    """What people are shown of an object: no secrets."""
    content = _content(found)
    if found["kind"] == "Secret":
        return dict.fromkeys(content, MASK)
    if found["kind"] == "ConfigMap" and CONFIG_KEY in content:
        return masked(yaml.load(content[CONFIG_KEY], Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
    return masked(content)


def _change(live: Manifest, wanted: Manifest) -> str:
    if live["kind"] == "Secret":
        old, new = _content(live), _content(wanted)
        marks = {k: f"{MASK} (another value)" if k in old and old[k] != v else MASK for k, v in new.items()}
        return _diff(_view(live), marks)
    return _diff(_view(live), _view(wanted)) or "(only values that are hidden here differ)\n"


def _diff(old: Any, new: Any) -> str:
    before, after = (
        [] if value is None else yaml.safe_dump(value, sort_keys=True, allow_unicode=True, width=1000).splitlines()
        for value in (old, new)
    )
    lines = list(difflib.unified_diff(before, after, "deployed", "wanted", lineterm="", n=CONTEXT_LINES))
    return "".join(f"{line}\n" for line in lines[2:])


def _changed_operators(deployed: str, wanted: str) -> set[str]:
    """Full names of the operators whose own description differs."""
    old, new = (_operators_in(config) for config in (deployed, wanted))
    return {name for name in old.keys() & new.keys() if old[name] != new[name]}


def _operators_in(config: str) -> dict[str, Any]:
    pipeline = yaml.load(config, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return {f"{pipeline['name']}.{o['name']}": o for o in (pipeline.get("spec") or {}).get("nestedInstances") or []}
