"""Servers older than the fields that we use: what they do not know is left out, and said."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from typing import Final

from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.plan import DEPLOYMENT, FULL_NAME, JOB
from pypz.utils.k8s.errors import DeploymentException

Version = tuple[int, int]

OLDEST: Final[Version] = (1, 29)
"""The oldest version whose published schemas our manifests are tested against; it knows every field."""
_SINCE: Final = (
    ("podReplacementPolicy", (1, 29), "a pod may run for a moment beside the one that it replaces"),
    ("podFailurePolicy", (1, 26), "a pod that cannot work is started again as often as one that was killed"),
)
"""Fields of a Job's specification, the version that has them switched on, and what it means that they are missing."""
_SIDECARS: Final[Version] = (1, 29)
"""Has sidecars switched on (KEP-753)."""


def fitting(manifests: Iterable[Manifest], version: Version | None) -> tuple[list[Manifest], list[str]]:
    """Leave out the fields that a server does not know.

    Args:
        manifests: What is to be made.
        version: Of the server; None when it does not tell, which counts as new.

    Returns:
        The manifests, and a sentence for each field left out.

    Raises:
        DeploymentException: An operator has sidecars, which the server would wait for before it starts the operator.
    """
    made = list(manifests)
    if version is None or version >= OLDEST:
        return made, []
    told: dict[str, None] = {}
    for place, manifest in enumerate(made):
        if manifest["kind"] not in (JOB, DEPLOYMENT):
            continue
        made[place] = copy.deepcopy(manifest)
        spec = made[place]["spec"]
        if version < _SIDECARS and _has_sidecars(spec):
            raise DeploymentException(
                f"{manifest['metadata']['annotations'][FULL_NAME]}: its 'containers' need Kubernetes {_text(_SIDECARS)}, the "
                f"server is {_text(version)}; leave them out, or put what they do into the image"
            )
        for field, since, meaning in _SINCE:
            if version < since and spec.pop(field, None) is not None:
                told[
                    f"{field} of Jobs needs Kubernetes {_text(since)}, the server is {_text(version)}: left out, {meaning}"
                ] = None
    return made, list(told)


def _has_sidecars(spec: Manifest) -> bool:
    containers: Sequence[Manifest] = spec["template"]["spec"].get("initContainers") or []
    return any(container.get("restartPolicy") == "Always" for container in containers)


def _text(version: Version) -> str:
    return ".".join(map(str, version))
