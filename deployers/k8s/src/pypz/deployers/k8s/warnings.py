"""What the cluster warns of in events: why a Job may make no pod, why a pod does not start."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pypz.deployers.k8s.api import Manifest

WARNINGS: Final = "type=Warning"
"""Fields of the events that are looked at; they have no labels."""
REFUSED: Final = "FailedCreate"
"""Reason of the event by which a controller tells that it could not make a pod."""
NOT_READY: Final = "Unhealthy"
"""Reason of the event by which the kubelet tells that a probe has failed."""
NOT_STARTED: Final = ("FailedMount", "FailedAttachVolume", "FailedMapVolume", "FailedCreatePodSandBox")
"""Reasons of events about a pod whose own status says only that its containers are being created."""

NO_LOGIN: Final = "FailedToRetrieveImagePullSecret"
"""Reason of the event by which the kubelet tells that it pulls without a secret that the pod names."""


class Warnings:
    """The newest warning of each reason about each object."""

    def __init__(self, events: Iterable[Manifest] = ()) -> None:
        """Take the warnings of a namespace, in any order."""
        self._newest: dict[tuple[str, str], tuple[str, str]] = {}
        for event in events:
            key = str(event.get("involvedObject", {}).get("uid", "")), str(event.get("reason", ""))
            told = _last_seen(event), str(event.get("message") or "").strip()
            self._newest[key] = max(told, self._newest.get(key, told))

    def about(self, found: Manifest, *reasons: str, since: str = "") -> str:
        """The newest warning about an object in words, as ``reason: message``; empty when there is none.

        Args:
            found: The object.
            reasons: Only warnings of these reasons.
            since: Time of the cluster; older warnings are left out.
        """
        uid = found["metadata"]["uid"]
        told = [
            (at, f"{why}: {message}" if message else why)
            for (about, why), (at, message) in self._newest.items()
            if about == uid and why in reasons and at >= since
        ]
        return max(told, default=("", ""))[1]


def _last_seen(event: Manifest) -> str:
    series = (event.get("series") or {}).get("lastObservedTime")
    times = (series, event.get("lastTimestamp"), event.get("eventTime"), event["metadata"].get("creationTimestamp"))
    # In seconds: some are told in microseconds, and would compare as earlier ("." sorts before "Z").
    return max((str(time)[:19] for time in times if time), default="")
