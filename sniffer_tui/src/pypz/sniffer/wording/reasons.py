"""Why is it stuck? One sentence for each member, and one for the whole pipeline, from what is seen and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from textwrap import shorten
from typing import Final

from pypz.sniffer.model.frames import DeployedView, Frame, MemberView, Mood, PortView
from pypz.sniffer.model.pipeline import OLD_AFTER_S
from pypz.sniffer.wording.table import elapsed_words, rate_words, short_name


class Verdict(Enum):
    """How the whole pipeline does."""

    UNSEEN = "unseen"
    """No run was seen."""
    HEALTHY = "healthy"
    FINISHED = "finished"
    FAILED = "failed"
    """Something failed, or the run was interrupted."""
    STUCK = "stuck"
    """A member is lost, or leaves records waiting, and nothing says that it will go on."""


@dataclass(frozen=True)
class Diagnosis:
    """What is to be said of one frame."""

    verdict: Verdict
    why: str
    """One sentence for the whole pipeline."""
    members: Mapping[str, str]
    """One sentence for each member, by full name."""


REASON_WIDTH: Final = 160
"""Characters of a pod's reason that a sentence takes at most (chosen); the details tell all of it."""

STALLED_AFTER_S: Final = 10.0
"""Records that have waited for that long while none was taken are left waiting (chosen)."""

PATIENCE: Final = 3
"""A reader that was seen to take longer than that over what it has taken gets as many times as long (chosen)."""

FIRST_PATIENCE_S: Final = 300.0
"""One that works on what it has taken, and was never seen to be done, gets as long as Kafka gives between two polls (KIP-62)."""

AT_WORK: Final = (Mood.STARTING, Mood.RUNNING, Mood.STOPPING)
_STARTING: Final = {
    "": "has joined the run",
    "StateEntry": "has joined the run",
    "StateServiceStart": "starts its services",
    "StateResourceCreation": "makes its channels",
    "StateOperationInit": "opens its ports",
}
_STOPPING: Final = {
    "StateOperationShutdown": "sends and commits the rest",
    "StateResourceDeletion": "waits until all others have ended, to delete its channels",
    "StateServiceShutdown": "stops its services",
    "StateKilled": "is about to end",
}


def diagnose(frame: Frame) -> Diagnosis:
    """Say how the pipeline and each of its members does, and what they wait for."""
    by_group: dict[str, list[MemberView]] = {}
    for member in frame.members:
        by_group.setdefault(short_name(member.group, frame.pipeline), []).append(member)
    sentences = {member.name: _of_member(frame.pipeline, member, by_group) for member in frame.members}
    verdict, why = _of_all(frame, sentences)
    return Diagnosis(verdict, why, sentences)


def _of_all(frame: Frame, sentences: Mapping[str, str]) -> tuple[Verdict, str]:
    if not frame.run and all(member.deployed is None for member in frame.members):
        return Verdict.UNSEEN, "waits for the run to start"
    failed = _first(frame.members, Mood.FAILED)
    if frame.mood is Mood.FINISHED:
        return Verdict.FINISHED, "all have ended well"
    if frame.mood in (Mood.FAILED, Mood.INTERRUPTED) or failed is not None:
        cause = failed or _first(frame.members, Mood.INTERRUPTED)
        told = sentences[cause.name] if cause is not None else frame.mood.value
        return Verdict.FAILED, _named(frame, cause, told)
    lost = _first(frame.members, Mood.LOST)
    held = next((m for m in frame.members if trouble_of_pod(m)), None)
    culprit = lost or held or next((m for m in frame.members if _stalled_port(m) is not None), None)
    if culprit is not None:
        return Verdict.STUCK, _named(frame, culprit, sentences[culprit.name])
    if not frame.run:
        return Verdict.HEALTHY, "its pods run; more is not known from here"
    waiting = _first(frame.members, Mood.WAITING) or _first(frame.members, Mood.STARTING)
    if waiting is not None:
        return Verdict.HEALTHY, _named(frame, waiting, sentences[waiting.name])
    rates = [port.rate or 0.0 for member in frame.members for port in member.ports if port.direction == "in"]
    if sum(rates):
        return Verdict.HEALTHY, f"{rate_words(sum(rates))} records/s are read"
    busy = next((member for member in frame.members if held_port(member) is not None), None)
    return Verdict.HEALTHY, "waits for records" if busy is None else _named(frame, busy, sentences[busy.name])


def _named(frame: Frame, member: MemberView | None, sentence: str) -> str:
    return sentence if member is None else f"{short_name(member.name, frame.pipeline)} {sentence}"


def _first(members: Iterable[MemberView], mood: Mood) -> MemberView | None:
    return next((member for member in members if member.mood is mood), None)


def _of_member(pipeline: str, member: MemberView, groups: Mapping[str, Sequence[MemberView]]) -> str:
    if member.mood is Mood.FAILED:
        code = "" if member.exit_code is None else f" with exit code {member.exit_code}"
        pod = member.deployed.reason if member.deployed is not None and not code else ""
        return f"has failed{code}" + (
            f": {member.error} (in {member.during})" if member.error else f": its pod: {pod}" if pod else ""
        )
    if member.mood is Mood.LOST:
        cause = _words_of_pod(member) or "killed, frozen, or cut off"
        return f"is lost: no sign of life for {elapsed_words(member.silent_s)}; {cause}"
    if member.mood is Mood.WAITING or (not member.start and member.deployed is not None):
        return _not_started(member)
    if member.mood in (Mood.FINISHED, Mood.INTERRUPTED):
        return {Mood.FINISHED: "has ended well", Mood.INTERRUPTED: "was interrupted"}[member.mood]
    if member.mood is Mood.STARTING:
        return _starting(pipeline, member, groups)
    if member.mood is Mood.STOPPING:
        return _STOPPING.get(member.state, "is stopping")
    return _running(pipeline, member, groups)


def _not_started(member: MemberView) -> str:
    deployed = member.deployed
    if deployed is None or (deployed.state == "Open" and not deployed.reason):
        return "has not started in this run" if deployed is None else "waits for its pod to start"
    if deployed.state == "NotExisting":
        return f"is not deployed in {deployed.place}"
    if deployed.state == "Completed":
        return "has ended well, as its pod says"
    trouble = _words_of_pod(member)
    return f"has not started: {trouble}" if trouble else f"runs in its pod{_on(deployed)}; more is not known from here"


def _words_of_pod(member: MemberView) -> str:
    """What is the matter with its pod, in a clause with the pod's own words; empty when nothing is."""
    deployed = member.deployed
    if deployed is None or deployed.state == "Completed" or not (deployed.reason or deployed.state == "Unhealthy"):
        return ""
    told = f": {shorten(deployed.reason, REASON_WIDTH, placeholder='...')}" if deployed.reason else ""
    return f"its pod{_on(deployed)} {trouble_of_pod(member) or 'has trouble'}{told}"


def _on(deployed: DeployedView) -> str:
    return f" on {deployed.host}" if deployed.host else ""


def trouble_of_pod(member: MemberView) -> str:
    """What the pod of a member that should run cannot do, in a clause behind "its pod"; empty when all is well."""
    deployed = member.deployed
    if deployed is None or member.mood in (Mood.FINISHED, Mood.FAILED, Mood.INTERRUPTED):
        return ""
    if deployed.state == "Unhealthy":
        return "is not ready for work"
    if deployed.state != "Open" or not deployed.reason:
        return ""
    first = deployed.reason.partition(":")[0]
    return _TROUBLES_OF_PODS.get(first, f"does not start ({first})")


def _starting(pipeline: str, member: MemberView, groups: Mapping[str, Sequence[MemberView]]) -> str:
    unopened = [port for port in member.ports if port.state in ("", "opening")]
    peers = [word for port in unopened for word in _troubled_peers(pipeline, port, groups)]
    if member.state == "StateOperationInit" and peers:
        return f"waits for {' and '.join(dict.fromkeys(peers))}"
    return _STARTING.get(member.state, "is starting")


def _running(pipeline: str, member: MemberView, groups: Mapping[str, Sequence[MemberView]]) -> str:
    stalled = _stalled_port(member)
    if stalled is not None:
        return f"leaves {stalled.lag.words} records of {stalled.name} waiting: it is busy in its own code, or cannot commit"
    rates = sum(port.rate or 0.0 for port in member.ports)
    if rates:
        verb = "reads" if any(port.rate and port.direction == "in" for port in member.ports) else "sends"
        return f"{verb} {rate_words(max(port.rate or 0.0 for port in member.ports))} records/s"
    held = held_port(member)
    if held is not None:
        waiting_for = elapsed_words(held.held_s)
        if held.in_hand:
            more = f"; {held.lag.words} records of {held.name} wait to be read or committed"
            is_all = held.lag.records is not None and held.lag.records <= held.in_hand
            count = "1 record" if held.in_hand == 1 else f"{held.in_hand:,} records"
            return f"works on {count} of {held.name} for {waiting_for}{'' if is_all else more}"
        return f"has taken none for {waiting_for}; {held.lag.words} records of {held.name} wait to be read or committed"
    waiting = [port for port in member.ports if port.direction == "in" and port.waits_for]
    if not waiting:
        return "works" if not member.ports else "sends nothing at the moment"
    peers = [word for port in waiting for word in _troubled_peers(pipeline, port, groups)]
    return f"waits for records of {' and '.join(dict.fromkeys(peers)) or _peer_names(waiting)}"


def held_port(member: MemberView) -> PortView | None:
    """The input port whose records have waited longest while none was taken."""
    if member.mood is not Mood.RUNNING:
        return None
    held = [p for p in member.ports if p.direction == "in" and (p.lag.records or 0) > 0 and p.rate == 0.0]
    return max(held, key=lambda port: port.held_s, default=None)


def is_in_doubt(frame: Frame) -> bool:
    """Whether only time tells: a reader that takes nothing is slow or stuck, a member that is silent late or lost."""
    if any(member.mood in _ALIVE and member.silent_s > OLD_AFTER_S for member in frame.members):
        return True
    doubtful = [m for m in frame.members if (held := held_port(m)) is not None and not _is_busy_first(held)]
    return any(_stalled_port(member) is None for member in doubtful)


def _stalled_port(member: MemberView) -> PortView | None:
    """The same, where that lasts longer than a slow reader was seen to take."""
    held = held_port(member)
    if held is None:
        return None
    patience_s = FIRST_PATIENCE_S if _is_busy_first(held) else max(STALLED_AFTER_S, PATIENCE * (held.pace_s or 0.0))
    return held if held.held_s >= patience_s else None


def _is_busy_first(port: PortView) -> bool:
    """Whether records are worked on, and nothing is known of how long that takes."""
    return bool(port.in_hand) and port.pace_s is None


def _troubled_peers(pipeline: str, port: PortView, groups: Mapping[str, Sequence[MemberView]]) -> list[str]:
    """Members at the other end that are not at work, with what is the matter with them."""
    found = []
    for peer in port.peers:
        for member in groups.get(peer.partition(".")[0], ()):
            trouble = trouble_of_pod(member)
            matter = f"whose pod {trouble}" if trouble else _MATTERS.get(member.mood)
            if matter is not None:
                found.append(f"{short_name(member.name, pipeline)}, {matter}")
    return found


def _peer_names(ports: Iterable[PortView]) -> str:
    return ", ".join(dict.fromkeys(peer.partition(".")[0] for port in ports for peer in port.peers)) or "others"


_ALIVE: Final = frozenset({Mood.STARTING, Mood.RUNNING, Mood.STOPPING})

_MATTERS: Final = {
    Mood.WAITING: "which has not started",
    Mood.STARTING: "which is starting",
    Mood.LOST: "which is lost",
    Mood.FAILED: "which has failed",
    Mood.INTERRUPTED: "which was interrupted",
}

_TROUBLES_OF_PODS: Final = {
    "ErrImagePull": "cannot pull its image",
    "ImagePullBackOff": "cannot pull its image",
    "ErrImageNeverPull": "cannot pull its image",
    "InvalidImageName": "cannot pull its image",
    "Unschedulable": "finds no node",
    "CrashLoopBackOff": "ends again and again",
    "CreateContainerConfigError": "cannot be made",
    "CreateContainerError": "cannot be made",
    "RunContainerError": "cannot be started",
}
"""By the reason that Kubernetes gives for a waiting container, or for a pod without node."""
