"""What is made of a plan: checked against what design and Pod Security ask for."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s.api import Manifest
from pypz.deployers.k8s.manifests import dependent_manifests, owned, owner_manifest, renewed
from pypz.deployers.k8s.parameters import FIELD_NAMES, KubernetesParameter
from pypz.deployers.k8s.plan import OperatorPlan, PipelinePlan, job_name, owner_name
from pypz.deployers.k8s.planning import plan_of
from pypz.executors.commons import ExecutionMode
from pypz.utils.k8s import DeploymentException


def plan(*operators: OperatorPlan, config: str = "name: pipe\n", secrets: dict[str, str] | None = None) -> PipelinePlan:
    return PipelinePlan("pipe", "run-1", config, operators, secrets or {})


def job_with(**settings: Any) -> Manifest:
    operator = OperatorPlan("reader", "image", settings=KubernetesParameter(**settings))
    return next(m for m in dependent_manifests(plan(operator)) if m["kind"] == "Job")


def pod_with(**settings: Any) -> Manifest:
    pod: Manifest = job_with(**settings)["spec"]["template"]["spec"]
    return pod


def container_with(**settings: Any) -> Manifest:
    container: Manifest = pod_with(**settings)["containers"][0]
    return container


def env_of(container: Manifest) -> dict[str, Any]:
    return {v["name"]: v.get("value", v.get("valueFrom")) for v in container["env"]}


def test_an_operator_becomes_an_indexed_job_of_its_group() -> None:
    job = next(m for m in dependent_manifests(plan(OperatorPlan("reader", "image", 4))) if m["kind"] == "Job")
    assert job["metadata"]["name"] == "pipe-reader"
    spec = job["spec"]
    assert (spec["completions"], spec["parallelism"], spec["completionMode"]) == (4, 4, "Indexed")
    assert (spec["backoffLimit"], spec["podReplacementPolicy"]) == (3, "Failed")
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert "finalizers" not in job["metadata"]


def test_the_container_runs_the_operator_runner_with_its_index() -> None:
    container = container_with()
    assert container["command"] == ["python", "-m", "pypz.runnables.operator"]
    assert container["args"] == [
        "/operator/config/config.yaml",
        "reader",
        "Standard",
        "--index",
        "$(JOB_COMPLETION_INDEX)",
        "--health-port",
        "8081",
    ]
    env = env_of(container)
    assert env["PYPZ_RUN"] == "run-1"
    assert env["PYPZ_OPERATOR_INSTANCE_NAME"] == "reader"
    assert env["PYPZ_OPERATOR_EXEC_MODE"] == "Standard"
    assert env["PYPZ_NODE_NAME"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    assert "job-completion-index" in env["JOB_COMPLETION_INDEX"]["fieldRef"]["fieldPath"]
    assert (env["HOME"], env["PYTHONUNBUFFERED"]) == ("/tmp", "1")


def test_pods_pass_the_restricted_profile_unless_told_otherwise() -> None:
    pod = pod_with()
    assert pod["securityContext"] == {
        "runAsNonRoot": True,
        "runAsUser": 10001,
        "runAsGroup": 10001,
        "fsGroup": 10001,
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    assert pod["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["automountServiceAccountToken"] is False
    assert pod["containers"][0]["resources"]["requests"]
    assert {"name": "pypz-tmp", "mountPath": "/tmp"} in pod["containers"][0]["volumeMounts"]


def test_an_image_is_pulled_only_when_the_node_lacks_it() -> None:
    assert container_with()["imagePullPolicy"] == "IfNotPresent"
    assert container_with(imagePullPolicy="Always")["imagePullPolicy"] == "Always"


def test_a_pod_gets_its_drain_time_and_15_seconds_to_end() -> None:
    jobs = dependent_manifests(plan(OperatorPlan("a", "image", drain_timeout_s=20.5)))
    assert jobs[-1]["spec"]["template"]["spec"]["terminationGracePeriodSeconds"] == 36
    assert pod_with(terminationGracePeriodSeconds=0)["terminationGracePeriodSeconds"] == 0


def test_pods_of_a_pipeline_spread_over_hosts_where_possible() -> None:
    (constraint,) = pod_with()["topologySpreadConstraints"]
    assert constraint["topologyKey"] == "kubernetes.io/hostname"
    assert constraint["whenUnsatisfiable"] == "ScheduleAnyway"
    labels = job_with()["spec"]["template"]["metadata"]["labels"]
    assert constraint["labelSelector"]["matchLabels"].items() <= labels.items()


def test_labels_say_what_an_object_is_and_annotations_its_full_name() -> None:
    metadata = job_with()["metadata"]
    assert metadata["labels"]["pypz.io/instance-type"] == "operator"
    assert metadata["labels"]["pypz.io/part-of"] == "pipe"
    assert metadata["labels"]["pypz.io/instance-name"] == "reader"
    assert metadata["annotations"]["pypz.io/full-name"] == "pipe.reader"


def test_the_users_labels_are_kept_and_their_dictionary_unchanged() -> None:
    given = {"team": "blue", "pypz.io/part-of": "other"}
    job = job_with(labels=given)
    for labels in (job["metadata"]["labels"], job["spec"]["template"]["metadata"]["labels"]):
        assert labels["team"] == "blue"
        assert labels["pypz.io/part-of"] == "pipe"
    assert given == {"team": "blue", "pypz.io/part-of": "other"}


def test_the_description_is_immutable_and_named_by_its_content() -> None:
    one, other = plan(config="a: 1\n"), plan(config="a: 2\n")
    config = dependent_manifests(one)[0]
    assert config["immutable"] is True
    assert config["data"] == {"config.yaml": "a: 1\n"}
    assert config["metadata"]["name"] == one.config_name == plan(config="a: 1\n").config_name != other.config_name


def test_the_run_is_no_part_of_the_description() -> None:
    assert plan().config_name == PipelinePlan("pipe", "run-2", "name: pipe\n").config_name


def test_a_description_too_large_for_the_cluster_is_refused_with_its_size() -> None:
    with pytest.raises(DeploymentException, match="takes 2,000,000 bytes, Kubernetes stores 1,048,576 at most"):
        dependent_manifests(plan(config="x" * 2_000_000))


def test_all_objects_go_with_their_owner() -> None:
    made = plan(OperatorPlan("a", "image"), secrets={"S": "value"})
    owner = {**owner_manifest(made), "metadata": {**owner_manifest(made)["metadata"], "uid": "u-1"}}
    for manifest in dependent_manifests(made):
        (reference,) = owned(manifest, owner)["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["name"], reference["uid"]) == ("ConfigMap", "pypz-pipe", "u-1")


def test_secret_values_stand_in_the_secret_only_and_each_operator_gets_its_own() -> None:
    made = plan(
        OperatorPlan("a", "image", secret_keys=["S_A"]),
        OperatorPlan("b", "image"),
        secrets={"S_A": "open sesame"},
    )
    secret = next(m for m in dependent_manifests(made) if m["kind"] == "Secret")
    assert secret["stringData"] == {"S_A": "open sesame"}
    others = [owner_manifest(made), *(m for m in dependent_manifests(made) if m["kind"] != "Secret")]
    assert "open sesame" not in json.dumps(others)
    env = {
        m["metadata"]["name"]: env_of(m["spec"]["template"]["spec"]["containers"][0])
        for m in others
        if m["kind"] == "Job"
    }
    assert env["pipe-a"]["S_A"] == {"secretKeyRef": {"name": "pipe-a", "key": "S_A"}}
    assert "S_A" not in env["pipe-b"]
    assert "open sesame" not in repr(made)


def test_the_others_are_told_which_operators_are_skipped() -> None:
    _, *jobs = dependent_manifests(plan(OperatorPlan("a", "image"), OperatorPlan("b", "image", mode="Skip")))
    assert env_of(jobs[0]["spec"]["template"]["spec"]["containers"][0])["PYPZ_SKIPPED"] == "pipe.b"
    assert "PYPZ_SKIPPED" not in env_of(container_with())


def test_the_users_environment_goes_before_ours_but_not_before_what_the_runner_needs() -> None:
    assert env_of(container_with(env=[{"name": "HOME", "value": "/data"}]))["HOME"] == "/data"
    with pytest.raises(DeploymentException, match=r"pipe\.reader: the environment variable 'PYPZ_RUN' is set by pypz"):
        job_with(env=[{"name": "PYPZ_RUN", "value": "mine"}])


def test_a_volume_of_the_user_takes_the_place_of_ours() -> None:
    mounts = container_with(
        volumes=[{"name": "big", "emptyDir": {}}], volumeMounts=[{"name": "big", "mountPath": "/tmp"}]
    )["volumeMounts"]
    assert [m["name"] for m in mounts if m["mountPath"] == "/tmp"] == ["big"]


def test_a_privileged_container_is_not_limited_as_well() -> None:
    assert container_with(containerSecurityContext={"privileged": True})["securityContext"] == {"privileged": True}


def test_a_pod_of_user_0_may_run_as_root() -> None:
    context = pod_with(podSecurityContext={"runAsUser": 0})["securityContext"]
    assert (context["runAsUser"], context["runAsNonRoot"]) == (0, False)


def test_hosts_wanted_and_hosts_avoided_hold_together_with_the_users_own_affinity() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}
    given = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
    pod = pod_with(nodeAffinity=given, hostAffinity=["h1", "h2"], hostAntiAffinity=["h2"])
    (made,) = pod["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert [(e["key"], e["operator"], e["values"]) for e in made["matchExpressions"]] == [
        ("disk", "In", ["ssd"]),
        ("kubernetes.io/hostname", "In", ["h1", "h2"]),
        ("kubernetes.io/hostname", "NotIn", ["h2"]),
    ]
    assert len(term["matchExpressions"]) == 1


def test_nodes_to_avoid_are_told_by_the_opposite_of_each_expression() -> None:
    term = {"matchExpressions": [{"key": "disk", "operator": "In", "values": ["hdd"]}]}
    other = {"matchExpressions": [{"key": "old", "operator": "Exists"}]}
    affinity = pod_with(
        nodeAntiAffinity={
            "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term, other]},
            "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 7, "preference": term}],
        },
        nodeAffinity={"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{}, {}]}},
    )["affinity"]["nodeAffinity"]
    avoided = [{"key": "disk", "operator": "NotIn", "values": ["hdd"]}, {"key": "old", "operator": "DoesNotExist"}]
    terms = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    assert terms == [{"matchExpressions": avoided}] * 2
    (wish,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert wish == {"weight": 7, "preference": {"matchExpressions": avoided[:1]}}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"x": "y"}, "nodeAntiAffinity has keys 'x', accepted as in nodeAffinity"),
        (
            {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchFields": []}]}},
            "nodeAntiAffinity: a term is .*, accepted: one expression",
        ),
    ],
)
def test_nodes_to_avoid_that_cannot_be_said_are_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        job_with(nodeAntiAffinity=given)


def test_pods_that_were_told_to_end_do_not_count_and_what_would_fail_again_fails_the_job() -> None:
    spec = job_with()["spec"]
    assert spec["backoffLimit"] == 3
    disruption, told, final = spec["podFailurePolicy"]["rules"]
    assert disruption["action"] == told["action"] == "Ignore"
    assert told["onExitCodes"]["values"] == [130]
    assert final["action"] == "FailJob"
    assert set(final["onExitCodes"]["values"]) == {1, *range(110, 118), 126, 127, 128}


def test_a_limit_of_the_users_own_counts_operators_that_raise() -> None:
    spec = job_with(backoffLimit=5)["spec"]
    assert spec["backoffLimit"] == 5
    assert set(spec["podFailurePolicy"]["rules"][-1]["onExitCodes"]["values"]) == {1, 117, 126, 127, 128}
    with pytest.raises(ConfigurationError, match="'backoffLimit' is -1, expected 0 or more"):
        KubernetesParameter.from_mapping({"backoffLimit": -1}, "pipe.reader")


def test_containers_restarted_in_place_are_asked_no_rule() -> None:
    spec = job_with(restartPolicy="OnFailure")["spec"]
    assert "podFailurePolicy" not in spec
    assert spec["template"]["spec"]["restartPolicy"] == "OnFailure"


def test_a_restart_policy_that_a_job_cannot_have_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="restartPolicy is 'Always', accepted: 'Never' or 'OnFailure'"):
        job_with(restartPolicy="Always")


def test_a_service_account_of_the_users_own_brings_its_token() -> None:
    assert pod_with(serviceAccountName="loader")["automountServiceAccountToken"] is True
    assert pod_with(serviceAccountName="default")["automountServiceAccountToken"] is False


def test_further_settings_reach_the_pod() -> None:
    pod = pod_with(
        nodeSelector={"zone": "a"},
        tolerations=[{"key": "gpu", "operator": "Exists"}],
        containers=[{"name": "proxy", "image": "proxy"}],
        envFrom=[{"configMapRef": {"name": "more"}}],
        resources={"limits": {"memory": "1Gi"}},
        livenessProbe={"tcpSocket": {"port": 1}},
        imagePullSecrets=[{"name": "mine"}],
        priorityClassName="high",
        runtimeClassName="gvisor",
    )
    assert pod["imagePullSecrets"] == [{"name": "mine"}]
    assert (pod["priorityClassName"], pod["runtimeClassName"]) == ("high", "gvisor")
    assert pod["nodeSelector"] == {"zone": "a"}
    assert pod["tolerations"][0]["key"] == "gpu"
    assert [c["name"] for c in pod["containers"]] == ["operator"]
    assert pod["initContainers"] == [{"name": "proxy", "image": "proxy", "restartPolicy": "Always"}]
    assert pod["containers"][0]["envFrom"] == [{"configMapRef": {"name": "more"}}]
    assert pod["containers"][0]["resources"] == {"limits": {"memory": "1Gi"}}
    assert pod["containers"][0]["livenessProbe"] == {"tcpSocket": {"port": 1}}


def test_a_container_is_probed_where_runner_or_plugin_answers_unless_told_otherwise() -> None:
    probed = container_with()
    assert probed["livenessProbe"]["httpGet"] == {"path": "/live", "port": 8081}
    assert probed["readinessProbe"]["httpGet"] == {"path": "/ready", "port": 8081}
    assert probed["startupProbe"]["failureThreshold"] == 300
    theirs = container_with(livenessProbe={"exec": {"command": ["true"]}}, readinessProbe={})
    assert theirs["livenessProbe"] == {"exec": {"command": ["true"]}}
    assert "readinessProbe" not in theirs
    own = plan(OperatorPlan("reader", "image", health_port=9000, has_health_plugin=True))
    (container,) = dependent_manifests(own)[-1]["spec"]["template"]["spec"]["containers"]
    assert "--health-port" not in container["args"]
    assert container["livenessProbe"]["httpGet"]["port"] == 9000


def test_the_parameter_class_has_the_names_that_older_pipelines_use() -> None:
    assert len(FIELD_NAMES) == 22 + len(
        ("imagePullSecrets", "priorityClassName", "runtimeClassName", "workload", "backoffLimit")
    )
    assert KubernetesParameter(imagePullPolicy="Never").__dict__["imagePullPolicy"] == "Never"
    assert set(KubernetesParameter().__dict__.values()) == {None}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"imagePullPolice": "Never"}, "unknown Kubernetes setting 'imagePullPolice'; did you mean 'imagePullPolicy'"),
        ({"zzz": 1}, "unknown Kubernetes setting 'zzz'; accepted: imagePullPolicy"),
        ({"labels": ["x"]}, "'labels' is list, expected dict"),
        ({"terminationGracePeriodSeconds": True}, "'terminationGracePeriodSeconds' is bool, expected int"),
    ],
)
def test_a_setting_that_does_not_exist_is_refused_with_the_nearest_name(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        KubernetesParameter.from_mapping(values, "pipe.reader")
    assert "pipe.reader" in str(caught.value)
    assert isinstance(caught.value, PypzError)


def test_a_job_made_anew_is_the_same_without_what_has_happened_to_it() -> None:
    job = job_with()
    seen = json.loads(json.dumps(job))
    seen["metadata"] |= {"uid": "u", "resourceVersion": "7", "ownerReferences": [{"uid": "o"}]}
    seen["metadata"]["annotations"]["pypz.io/ended-because"] = "another has failed"
    seen["metadata"]["labels"]["job-name"] = "pipe-reader"
    seen["spec"] |= {"selector": {"matchLabels": {"x": "y"}}, "suspend": True}
    seen["spec"]["template"]["metadata"]["labels"] |= {
        "batch.kubernetes.io/controller-uid": "u",
        "job-name": "pipe-reader",
    }
    seen["status"] = {"failed": 1}
    made = renewed(seen)
    assert made["metadata"].pop("ownerReferences") == [{"uid": "o"}]
    assert made == job


def test_names_of_a_pipelines_objects_are_told_from_its_name_alone() -> None:
    assert owner_name("pipeline") == "pypz-pipeline"
    assert job_name("pipeline", "reader") == "pipeline-reader"


def test_an_operator_that_never_ends_becomes_a_deployment() -> None:
    operator = OperatorPlan("reader", "image", workload="Deployment", settings=KubernetesParameter(labels={"a": "b"}))
    made = plan(operator)
    (found,) = [m for m in dependent_manifests(made) if m["kind"] == "Deployment"]
    assert found["metadata"]["name"] == "pipe-reader"
    spec = found["spec"]
    assert (spec["replicas"], spec["strategy"], spec["revisionHistoryLimit"]) == (1, {"type": "Recreate"}, 0)
    assert spec["selector"]["matchLabels"].items() <= spec["template"]["metadata"]["labels"].items()
    pod = spec["template"]["spec"]
    assert pod["restartPolicy"] == "Always"
    assert env_of(pod["containers"][0])["JOB_COMPLETION_INDEX"] == "0"
    assert owner_manifest(made)["data"]["workloads"] == "Job,Deployment"
    assert not [m for m in dependent_manifests(made) if m["kind"] == "Job"]


def test_only_an_operator_without_replicas_that_runs_may_be_a_deployment() -> None:
    pipeline = Endless("pipe")
    assert [o.workload for o in plan_of(pipeline, ExecutionMode.Standard, []).operators] == ["Deployment"]
    assert [o.workload for o in plan_of(pipeline, ExecutionMode.ResourceCreationOnly, []).operators] == ["Job"]
    pipeline.reader.set_parameter("replicationFactor", 2)
    words = r"pipe\.reader: .*'workload' is 'Deployment' for a group of 3 members: .*leave it out"
    with pytest.raises(ConfigurationError, match=words):
        plan_of(pipeline, ExecutionMode.Standard, [])
    pipeline.reader.set_parameter("kubernetes", KubernetesParameter(workload="DaemonSet").__dict__)
    with pytest.raises(ConfigurationError, match="'workload' is 'DaemonSet', expected 'Job' or 'Deployment'"):
        plan_of(pipeline, ExecutionMode.Standard, [])


class Endless(Pipeline):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.reader = BlankOperator()
        self.reader.set_parameter("operatorImageName", "image")
        self.reader.set_parameter("kubernetes", KubernetesParameter(workload="Deployment").__dict__)
