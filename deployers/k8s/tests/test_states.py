"""From Jobs and pods to states and reasons."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pypz.deployers.base import DeploymentState
from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.states import (
    Group,
    doing_of,
    exit_meaning,
    first_failed,
    groups_of,
    has_failed,
    has_just_started,
    is_finished,
    job_failure,
    pod_failure,
    refusal_of,
    replaced_pods,
    states_of,
    statuses_of,
    waiting_reason,
    with_kept,
)
from pypz.deployers.k8s.warnings import Warnings

READER = Group("pipe.reader", 3)


def job(*conditions: str, completed: str = "", annotations: dict[str, str] | None = None, **spec: Any) -> Manifest:
    return {
        "metadata": {
            "name": "j",
            "uid": "u-1",
            "annotations": {"pypz.io/full-name": "pipe.reader", **(annotations or {})},
        },
        "spec": spec,
        "status": {
            "completedIndexes": completed,
            "conditions": [{"type": t, "status": "True", "reason": "R", "message": "m"} for t in conditions],
        },
    }


def pod(
    index: int, phase: str, *, made: str = "1", owner: str = "u-1", probes: bool = False, **status: Any
) -> Manifest:
    container: Manifest = {"name": "operator"}
    if probes:
        container |= {"startupProbe": {"x": 1}, "readinessProbe": {"x": 1}}
    return {
        "metadata": {
            "name": f"pod-{index}-{made}",
            "uid": f"pod-{index}-{made}",
            "creationTimestamp": made,
            "ownerReferences": [{"uid": owner}],
            "annotations": {"batch.kubernetes.io/job-completion-index": str(index)},
        },
        "spec": {"containers": [container]},
        "status": {"phase": phase, **status},
    }


def ended(code: int, reason: str = "Error", at: str = "t1") -> dict[str, Any]:
    return {
        "containerStatuses": [
            {"name": "operator", "state": {"terminated": {"exitCode": code, "reason": reason, "finishedAt": at}}}
        ]
    }


def running(**flags: bool) -> dict[str, Any]:
    return {"containerStatuses": [{"name": "operator", "state": {"running": {}}, **flags}]}


def states(found: Manifest | None, *pods: Manifest) -> list[DeploymentState]:
    return list(states_of([READER], [found] if found else [], pods).values())


def test_operators_and_group_sizes_are_read_from_the_description() -> None:
    config = """
    name: pipe
    spec:
      nestedInstances:
      - name: reader
        parameters: {replicationFactor: 2, tags: !!set {a: null}}
        spec: {name: 'no.such.module:Class'}
      - name: writer
        parameters: null
    """
    assert groups_of(config) == [READER, Group("pipe.writer", 1)]
    assert [READER.member_name(i) for i in range(3)] == ["pipe.reader", "pipe.reader_0", "pipe.reader_1"]


def test_each_member_has_the_state_of_its_own_pod() -> None:
    found = states(job(), pod(0, "Succeeded"), pod(1, "Running", **running()), pod(2, "Pending"))
    assert found == [DeploymentState.Completed, DeploymentState.Running, DeploymentState.Open]


def test_a_member_without_job_does_not_exist() -> None:
    assert states(None, pod(0, "Running")) == [DeploymentState.NotExisting] * 3


def test_a_member_whose_pod_is_yet_to_be_made_is_open() -> None:
    assert states(job()) == [DeploymentState.Open] * 3


def test_members_of_a_failed_job_have_failed_but_those_that_completed() -> None:
    assert states(job("Failed", completed="0,2")) == [
        DeploymentState.Completed,
        DeploymentState.Failed,
        DeploymentState.Completed,
    ]


def test_completed_members_are_read_from_ranges() -> None:
    assert states(job(completed="0-2")) == [DeploymentState.Completed] * 3


def test_the_newest_pod_of_a_member_counts() -> None:
    found = states(job(), pod(0, "Failed", made="1"), pod(0, "Running", made="2", **running()))
    assert found[0] is DeploymentState.Running


def test_a_pod_of_an_earlier_job_does_not_count() -> None:
    assert states(job(), pod(0, "Failed", owner="u-0"))[0] is DeploymentState.Open


def test_a_job_that_was_ended_for_another_one_has_failed() -> None:
    why = {"pypz.io/ended-because": "pipe.writer has failed"}
    assert states(job(annotations=why, suspend=True)) == [DeploymentState.Failed] * 3
    assert is_finished(job(annotations=why, suspend=True))


def test_a_job_that_somebody_paused_is_open() -> None:
    assert states(job(suspend=True)) == [DeploymentState.Open] * 3
    assert not is_finished(job(suspend=True))


def test_a_started_pod_that_is_not_ready_is_unhealthy_when_both_probes_are_set() -> None:
    sick = running(started=True, ready=False)
    assert states(job(), pod(0, "Running", probes=True, **sick))[0] is DeploymentState.Unhealthy
    assert states(job(), pod(0, "Running", **sick))[0] is DeploymentState.Running
    starting = running(started=False, ready=False)
    assert states(job(), pod(0, "Running", probes=True, **starting))[0] is DeploymentState.Running


def test_a_pod_that_tells_nothing_is_unknown() -> None:
    assert states(job(), pod(0, "Unknown"))[0] is DeploymentState.Unknown
    assert states(job(), pod(0, "Running"))[0] is DeploymentState.Unknown


def test_a_job_has_failed_already_while_its_last_pods_end() -> None:
    assert has_failed(job("FailureTarget"))
    assert not has_failed(job("Complete"))
    assert job_failure(job("Failed")) == "R: m"


def test_an_image_that_cannot_be_pulled_is_a_reason_to_wait() -> None:
    waiting = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
    found = pod(0, "Pending", containerStatuses=[{"name": "operator", "state": waiting}])
    assert waiting_reason(found) == "ImagePullBackOff: no such image"
    uid = found["metadata"]["uid"]
    warned = Warnings([event(uid, "FailedToRetrieveImagePullSecret", "no secret (gone)"), event(uid, "Failed", "no")])
    told = "ImagePullBackOff: no such image; FailedToRetrieveImagePullSecret: no secret (gone)"
    assert waiting_reason(found, warned) == told


def test_a_pod_that_is_just_being_made_waits_for_nothing() -> None:
    waiting = {"waiting": {"reason": "ContainerCreating"}}
    assert waiting_reason(pod(0, "Pending", containerStatuses=[{"name": "operator", "state": waiting}])) == ""


def test_a_pod_without_a_node_tells_why() -> None:
    condition = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "0/1 nodes: cpu"}
    assert waiting_reason(pod(0, "Pending", conditions=[condition])) == "Unschedulable: 0/1 nodes: cpu"


@pytest.mark.parametrize(
    ("code", "reason", "words"),
    [
        (115, "Error", "exit code 115 (StateOperationError)"),
        (129, "Error", "exit code 129 (FatalError)"),
        (137, "OOMKilled", "exit code 137 (OOMKilled: it took more memory than its limit)"),
        (137, "Error", "exit code 137 (killed by signal 9)"),
        (3, "", "exit code 3 (not one of pypz)"),
    ],
)
def test_exit_codes_are_told_in_words(code: int, reason: str, words: str) -> None:
    assert exit_meaning(code, reason) == words


def test_a_pod_that_was_evicted_tells_so() -> None:
    assert pod_failure(pod(0, "Failed", reason="Evicted", message="low on memory")) == "Evicted: low on memory"


def test_the_pod_that_failed_first_is_the_cause_and_not_one_told_to_end() -> None:
    told = pod(0, "Failed", **ended(130, at="t0"))
    told["metadata"]["deletionTimestamp"] = "t"
    first, second = pod(1, "Failed", **ended(115, at="t1")), pod(2, "Failed", **ended(116, at="t2"))
    assert first_failed([told, second, first]) is first
    assert first_failed([told]) is told
    assert first_failed([pod(0, "Running")]) is None


def test_pods_are_replaced_up_to_the_limit_and_those_told_to_end_do_not_count() -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"values": [115]}}]
    tried = job(backoffLimit=1, podFailurePolicy={"rules": rules})
    killed = [pod(0, "Failed", made=str(n), **ended(137, at=f"t{n}")) for n in (1, 2)]
    evicted = pod(1, "Failed", **ended(130))
    assert replaced_pods(tried, [*killed, evicted]) == [evicted, killed[0]]
    assert states(tried, evicted)[1] is DeploymentState.Open
    assert replaced_pods(tried, [killed[0], pod(2, "Failed", **ended(115))]) == []
    assert replaced_pods(job("Failed", backoffLimit=1), killed) == []


def event(about: str, reason: str, message: str, at: str = "2026-01-01T00:00:05Z") -> Manifest:
    times = {"lastTimestamp": at, "metadata": {"creationTimestamp": at}}
    return {"involvedObject": {"uid": about}, "reason": reason, "message": message, **times}


def test_of_several_warnings_the_newest_is_told_however_its_time_is_written() -> None:
    early = {**event("u-1", "FailedCreate", "first"), "eventTime": "2026-01-01T00:00:01.000000Z"}
    late = {**event("u-1", "FailedCreate", "second"), "lastTimestamp": None, "eventTime": "2026-01-01T00:00:09.500000Z"}
    other = event("u-2", "FailedCreate", "of another one", "2026-01-01T00:01:00Z")
    for order in ([early, late, other], [other, late, early]):
        assert Warnings(order).about(job(), "FailedCreate") == "FailedCreate: second"
    assert Warnings([early]).about(job(), "FailedCreate", since="2026-01-01T00:00:06") == ""
    assert Warnings([early]).about(job(), "Unhealthy") == ""


def test_a_member_whose_pod_the_cluster_refuses_tells_why() -> None:
    refused = Warnings([event("u-1", "FailedCreate", "exceeded quota: two")])
    open_job = job(completions=3)
    alive = pod(0, "Running", made="2026-01-01T00:00:01Z", **running())
    found = {s.name: s.reason for s in statuses_of([READER], [open_job], [alive], refused)}
    assert found == {
        "pipe.reader": "",
        "pipe.reader_0": "FailedCreate: exceeded quota: two",
        "pipe.reader_1": "FailedCreate: exceeded quota: two",
    }
    assert refusal_of(open_job, [alive], refused) == "FailedCreate: exceeded quota: two"
    all_alive = [pod(index, "Running", made="2026-01-01T00:00:01Z", **running()) for index in range(3)]
    assert refusal_of(open_job, all_alive, refused) == ""
    assert refusal_of(job(completed="1-2", completions=3), [alive], refused) == ""
    assert refusal_of(job("Failed", completions=3), [], refused) == ""


def test_a_refusal_from_before_the_last_pod_was_made_is_over() -> None:
    refused = Warnings([event("u-1", "FailedCreate", "exceeded quota")])
    later = pod(0, "Failed", made="2026-01-01T00:00:06Z", **ended(137))
    (status, *_) = statuses_of([Group("pipe.reader", 1)], [job(completions=1)], [later], refused)
    assert status.reason == "exit code 137 (killed by signal 9)"
    earlier = pod(0, "Failed", made="2026-01-01T00:00:01Z", **ended(137))
    (status, *_) = statuses_of([Group("pipe.reader", 1)], [job(completions=1)], [earlier], refused)
    assert status.reason == "FailedCreate: exceeded quota"


def test_a_pod_that_cannot_start_tells_the_warning_about_it() -> None:
    waiting = pod(
        0, "Pending", containerStatuses=[{"name": "operator", "state": {"waiting": {"reason": "ContainerCreating"}}}]
    )
    told = Warnings([event("pod-0-1", "FailedMount", 'secret "x" not found')])
    assert waiting_reason(waiting, told) == 'FailedMount: secret "x" not found'
    assert waiting_reason(pod(0, "Running", **running(started=True, ready=True)), told) == ""


def test_a_container_that_crashes_again_and_again_tells_how_it_ended() -> None:
    state = {
        "name": "operator",
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s"}},
        "lastState": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}},
    }
    assert waiting_reason(pod(0, "Running", containerStatuses=[state])) == (
        "CrashLoopBackOff: ended with exit code 137 (OOMKilled: it took more memory than its limit); back-off 10s"
    )


def test_a_pod_whose_node_is_silent_is_unhealthy_and_says_so() -> None:
    def conditions(ready: str, containers: str) -> list[dict[str, str]]:
        return [{"type": "Ready", "status": ready}, {"type": "ContainersReady", "status": containers}]

    silent = pod(0, "Running", **running(started=True, ready=True), conditions=conditions("False", "True"))
    silent["spec"]["nodeName"] = "n1"
    assert states(job(), silent)[0] is DeploymentState.Unhealthy
    assert waiting_reason(silent).startswith("NodeNotReady: its node n1 does not answer")
    alive = pod(0, "Running", **running(started=True, ready=True), conditions=conditions("True", "True"))
    assert (states(job(), alive)[0], waiting_reason(alive)) == (DeploymentState.Running, "")


def test_what_was_told_of_a_start_that_is_over_is_no_reason() -> None:
    sick = pod(0, "Running", probes=True, **running(started=True, ready=False))
    slow = Warnings([event("pod-0-1", "Unhealthy", "Startup probe failed: connection refused")])
    assert waiting_reason(sick, slow) == ""
    stuck = Warnings([event("pod-0-1", "Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503")])
    assert "Readiness probe failed" in waiting_reason(sick, stuck)


def kept(name: str = "j") -> Manifest:
    """The pipeline's ConfigMap while the Job of this name is being replaced."""
    job_of_it = {**job(completions=2), "kind": "Job"}
    job_of_it["metadata"] = {"name": name, "annotations": {"pypz.io/full-name": "pipe.reader"}}
    return {"metadata": {"annotations": {"pypz.io/scaling": json.dumps(job_of_it)}}}


def test_members_whose_job_is_gone_while_it_is_replaced_are_open_and_not_over() -> None:
    (stand_in,) = with_kept([], [{"metadata": {}}, kept()])
    assert not is_finished(stand_in)
    assert states(stand_in) == [DeploymentState.Open] * 2
    assert (
        statuses_of([READER], [stand_in], [])[0].reason == "it is being restarted; if that broke off, do it once more"
    )
    assert statuses_of([READER], [stand_in], [pod(0, "Failed", **ended(130))])[0].restarts == 0


def test_a_job_that_is_there_needs_nothing_in_its_place() -> None:
    there = job(completions=3)
    assert [doing_of(found) for found in with_kept([there], [kept()])] == ["restarted"]
    assert with_kept([there], [None, {"metadata": {"annotations": {}}}]) == [there]


def test_members_that_were_stopped_to_be_scaled_say_so_and_not_how_their_pods_ended() -> None:
    stopped = job(suspend=True, completions=3)
    (first, *_) = statuses_of([READER], [stopped], [pod(0, "Failed", **ended(130))])
    assert first.state is DeploymentState.Open
    assert first.reason == "it is being scaled, or was suspended; if that broke off, do it once more"
    note = {"metadata": {"annotations": {"pypz.io/scaling-to": "pipe.reader=4"}}}
    (first, *_) = statuses_of([READER], with_kept([stopped], [note]), [pod(0, "Failed", **ended(130))])
    assert first.reason == "it is being scaled to 4 members; if that broke off, do it once more"


def test_members_that_stop_run_until_they_have_stopped_and_say_what_for() -> None:
    sick = running(started=True, ready=False)
    one = pod(0, "Running", made="2026-01-01T00:00:00Z", probes=True, **sick)
    one["metadata"]["deletionTimestamp"] = "2"
    (first, *_) = statuses_of([READER], [job(completions=3)], [one])
    assert (first.state, first.reason) == (DeploymentState.Running, "it was told to end; it commits and stops")
    note = {"metadata": {"annotations": {"pypz.io/scaling-to": "pipe.reader=4"}}}
    (first, *_) = statuses_of([READER], with_kept([job(suspend=True, completions=3)], [note]), [one])
    assert (first.state, first.reason) == (
        DeploymentState.Running,
        "it is being scaled to 4 members; it commits and stops",
    )
    removed = job(completions=3)
    removed["metadata"]["deletionTimestamp"] = "2"
    (first, *_) = statuses_of([READER], [removed], [one])
    assert first.reason == "it is being removed"
    (first, *_) = statuses_of([READER], with_kept([removed], [kept()]), [one])
    assert first.reason == "it is being restarted; it commits and stops"


def test_a_pod_that_was_not_ready_yet_is_given_the_time_to_and_one_that_was_is_not() -> None:
    def not_ready(since: str) -> Manifest:
        sick = running(started=True, ready=False)
        sick["containerStatuses"][0]["state"] = {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
        sick["conditions"] = [{"type": "ContainersReady", "status": "False", "lastTransitionTime": since}]
        return pod(0, "Running", made="2026-01-01T00:00:00Z", probes=True, **sick)

    fresh, sick = not_ready("2026-01-01T00:00:04Z"), not_ready("2026-01-01T00:00:09Z")
    assert has_just_started(fresh)
    assert not has_just_started(sick)
    assert states_of([READER], [job()], [fresh], [fresh["metadata"]["uid"]])["pipe.reader"] is DeploymentState.Running
    assert states_of([READER], [job()], [fresh])["pipe.reader"] is DeploymentState.Unhealthy
    (first, *_) = statuses_of([READER], [job()], [fresh])
    assert (first.state, first.reason) == (DeploymentState.Unhealthy, "it has started, and is not ready yet")
