"""What deploying would change: told before, and nothing is made meanwhile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from deployers.k8s.tests.test_cluster import objects_of, prepared

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.errors import PypzError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import DeploymentPlan
from pypz.deployers.k8s import KubernetesDeployer
from pypz.deployers.k8s.api import ApiError, ClusterApi
from pypz.deployers.k8s.comparing import moving_images
from pypz.deployers.k8s.hiding import masked, plain_secrets
from pypz.deployers.k8s.plan import OperatorPlan
from pypz.deployers.k8s.planning import plan_of
from pypz.deployers.k8s.refusals import explained
from pypz.deployers.k8s.touching import resized, touched
from pypz.executors.commons import ExecutionMode

IMAGE = "localhost/python:3.11-slim"
SECRET = "open sesame"


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.letters = ChannelOutputPort()


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.letters = ChannelInputPort()


class Letters(Pipeline):
    """Two operators with a channel between them."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.letters.connect(self.source.letters)


class Fewer(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()


class More(Letters):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.second = Source()
        self.sink.letters.connect(self.second.letters)


def letters(of: type[Pipeline] = Letters, replicas: int = 1, secret: str = SECRET, **settings: Any) -> Any:
    """A pipeline whose pods wait for a node that there is not."""
    made: Any = of("letters")
    made.set_parameter(">operatorImageName", IMAGE)
    made.set_parameter(">>channelLocation", "kafka://broker:9092")
    made.set_parameter(">>channelConfig", {"sasl.password": secret})
    if hasattr(made, "sink"):
        made.sink.set_parameter("replicationFactor", replicas)
    settings = {"nodeSelector": {"pypz.io/there-is-no": "such-node"}, **settings}
    made.set_parameter(">kubernetes", settings)
    return made


# --- data ---------------------------------------------------------------------------------------------------------------


def test_the_same_pipeline_touches_no_data() -> None:
    assert touched(str(letters()), str(letters(secret="another"))) == []


def test_a_group_that_grows_raises_its_channel_and_moves_keys() -> None:
    told = touched(str(letters()), str(letters(replicas=3)))
    assert "letters.sink: 4 members instead of 2" in told[0]
    assert told[1:] == [
        "channel letters.sink.letters: raised from 2 partitions to 4; what it holds is kept",
    ]
    old, new = letters(), letters(replicas=3)
    for pipeline in (old, new):
        pipeline.source.letters.set_parameter("partitionBy", "town")
    told = touched(str(old), str(new))
    assert "records of a key go to another partition (partitionBy of letters.source.letters)" in told[1]


def test_a_group_that_shrinks_keeps_its_partitions() -> None:
    told = touched(str(letters(replicas=3)), str(letters(replicas=0)))
    assert told[1] == "channel letters.sink.letters: 1 partition would do, it keeps its 4 and what they hold"
    fixed = letters(replicas=3)
    fixed.sink.letters.set_parameter("partitions", 8)
    told = touched(str(letters(replicas=3)), str(fixed))
    assert told == ["channel letters.sink.letters: raised from 4 partitions to 8; what it holds is kept"]


def test_operators_that_come_and_go_and_channels_that_move_are_told() -> None:
    told = touched(str(letters()), str(letters(Fewer)))
    assert told == [
        "letters.sink vanishes: 2 members would not start again",
        "channel letters.sink.letters at kafka://broker:9092: nobody reads it any more; it stays with what it holds",
    ]
    told = touched(str(letters()), str(letters(More)))
    assert told == [
        "letters.second is new: 1 member",
        "channel letters.sink.letters: letters.second.letters writes to it, too",
    ]
    assert touched(str(letters(More)), str(letters()))[1].endswith("writes to it no more; what it has written stays")
    moved, named = letters(), letters()
    moved.set_parameter(">>channelLocation", "kafka://elsewhere:9092")
    (told_of_move,) = touched(str(letters()), str(moved))
    assert told_of_move.startswith(
        "channel letters.sink.letters moves from kafka://broker:9092 to kafka://elsewhere:9092; what the old one holds"
    )
    named.set_parameter("channelNamespace", "blue")
    gone, new = touched(str(letters()), str(named))
    assert gone.startswith("channel letters.sink.letters at kafka://broker:9092: nobody reads it any more")
    assert new == "channel blue..letters.sink.letters at kafka://broker:9092 is new"


def test_a_change_of_sizes_alone_can_be_scaled() -> None:
    assert resized(str(letters()), str(letters())) == {}
    assert resized(str(letters()), str(letters(replicas=3))) == {"letters.sink": 4}
    assert resized(str(letters(replicas=3)), str(letters(replicas=0))) == {"letters.sink": 1}
    more_and_another = letters(replicas=3, env=[{"name": "A", "value": "1"}])
    assert resized(str(letters()), str(more_and_another)) == {}
    assert resized(str(letters()), str(letters(More, replicas=3))) == {}


def test_a_change_of_sizes_that_scaling_would_refuse_is_none() -> None:
    more_writers = letters()
    more_writers.source.set_parameter("replicationFactor", 2)
    assert resized(str(letters()), str(more_writers)) == {}
    for replicas, expected in ((1, {}), (3, {"letters.sink": 4})):  # from 3 members, with 4 partitions or a key
        old, new = letters(replicas=2), letters(replicas=3)
        for pipeline in (old, new):
            pipeline.sink.letters.set_parameter("partitions", replicas + 1)
        assert resized(str(old), str(new)) == expected
    old, new = letters(replicas=2), letters(replicas=3)
    for pipeline in (old, new):
        pipeline.source.letters.set_parameter("partitionBy", "town")
    assert resized(str(old), str(new)) == {}
    assert resized(str(new), str(old)) == {"letters.sink": 3}


# --- secrets ------------------------------------------------------------------------------------------------------------


def test_what_looks_like_a_secret_in_plain_text_is_told_by_place_and_without_its_value() -> None:
    pipeline = letters(
        env=[
            {"name": "DB_PASSWORD", "value": SECRET},
            {"name": "HTTPS_PROXY", "value": f"http://me:{SECRET.split()[0]}@proxy:3128"},
            {"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "LOG_FORMAT", "value": "short"},
        ]
    )
    pipeline.source.set_parameter("dbPassword", SECRET)
    pipeline.source.set_parameter("passwordFile", "/run/secrets/db")
    told = plain_secrets(plan_of(pipeline, ExecutionMode.Standard, []))
    assert [t for t in told if "letters.source" in t] == [
        (
            "letters.source: parameter 'dbPassword' looks like a secret, and would stand in plain text in the ConfigMap "
            f"{plan_of(pipeline, ExecutionMode.Standard, []).config_name}; describe it with secret=True, and pypz keeps it in "
            "a Secret"
        ),
        (
            "letters.source: environment variable 'DB_PASSWORD' looks like a secret, and would stand in plain text in its Job; "
            "refer to a Secret by valueFrom.secretKeyRef or envFrom"
        ),
        (
            "letters.source: environment variable 'HTTPS_PROXY' looks like a secret, and would stand in plain text in its Job; "
            "refer to a Secret by valueFrom.secretKeyRef or envFrom"
        ),
    ]
    assert SECRET.split()[0] not in " ".join(told)


def test_a_pipeline_without_plain_secrets_gives_no_warning() -> None:
    assert plain_secrets(plan_of(letters(), ExecutionMode.Standard, [])) == []


def test_masking_leaves_what_is_no_secret() -> None:
    shown = masked(
        {
            "env": [{"name": "TOKEN", "value": "x"}, {"name": "A", "value": "b"}],
            "url": "amqp://me:x@h:1",
            "volumes": [{"secret": {"secretName": "mine"}}],
            "automountServiceAccountToken": False,
        }
    )
    assert shown == {
        "env": [{"name": "TOKEN", "value": "********"}, {"name": "A", "value": "b"}],
        "url": "amqp://me:********@h:1",
        "volumes": [{"secret": {"secretName": "mine"}}],
        "automountServiceAccountToken": False,
    }


@pytest.mark.parametrize(
    ("image", "moves"),
    [("a", True), ("h:5/a", True), ("a:latest", True), ("a:1", False), ("h:5/a:1", False), ("a@sha256:00", False)],
)
def test_images_without_a_version_are_told(image: str, moves: bool) -> None:
    told = moving_images([OperatorPlan("a", image), OperatorPlan("b", image)], "p")
    assert bool(told) is moves
    assert not told or told[0].startswith(f"p.a, p.b: image {image!r} has no tag of a version")


# --- refusals -----------------------------------------------------------------------------------------------------------


def test_a_refusal_that_names_no_field_stays_as_it_is() -> None:
    plan = plan_of(letters(), ExecutionMode.Standard, [])
    job = {"kind": "Job", "metadata": {"annotations": {"pypz.io/full-name": "letters.sink"}}}
    error = ApiError("quota", status=403)
    assert explained(error, job, plan) is error
    error = ApiError("odd", status=400)
    assert explained(error, job, plan) is error


# --- on the cluster -----------------------------------------------------------------------------------------------------


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    return prepared(kubeconfig, namespace)


@pytest.fixture
def deployer(api: ClusterApi) -> KubernetesDeployer:
    return KubernetesDeployer(namespace=api.namespace)


def actions(found: DeploymentPlan) -> list[str]:
    return [f"{c.action} {c.kind} {c.operator or '-'}" for c in found.changes]


@pytest.mark.cluster
@pytest.mark.slow
def test_a_pipeline_that_is_not_deployed_would_be_created_and_one_that_is_would_not_change(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    before = objects_of(api)
    found = deployer.plan(letters())
    assert (found.is_deployed, found.errors, found.data, found.restarts) == (False, [], [], {})
    assert actions(found) == [
        "create ConfigMap -",
        "create ConfigMap -",
        "create Secret letters.source",
        "create Secret letters.sink",
        "create Job letters.source",
        "create Job letters.sink",
    ]
    assert objects_of(api) == before

    deployer.deploy(letters(), wait=False)
    deployed = objects_of(api)
    found = deployer.plan(letters())
    assert found.is_deployed
    assert (found.changes, found.restarts, found.data, found.errors) == ([], {}, [], [])
    assert {o for o in objects_of(api) if o[0] != "Pod"} == {o for o in deployed if o[0] != "Pod"}


@pytest.mark.cluster
@pytest.mark.slow
def test_what_changes_is_told_with_what_would_restart_and_no_secret(
    api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    deployer.deploy(letters(), wait=False)

    found = deployer.plan(letters(secret="another one"))
    assert actions(found) == ["change Secret letters.source", "change Secret letters.sink"]
    assert "another one" not in str(found)
    assert SECRET not in str(found)
    assert "(another value)" in found.changes[0].diff

    wanted = letters(replicas=2)
    wanted.sink.set_parameter(
        "kubernetes", {"env": [{"name": "PASSWORD", "value": SECRET}, {"name": "A", "value": "1"}]}
    )
    found = deployer.plan(wanted)
    assert actions(found) == ["change ConfigMap -", "change Job letters.sink"]
    diff = found.changes[1].diff
    assert "-  completions: 2\n+  completions: 3\n" in diff
    assert "PASSWORD" in diff
    assert SECRET not in str(found)
    assert found.restarts == {
        "letters.source": "a changed pipeline is deployed as a new run",
        "letters.sink": "it changes",
        "letters.sink_0": "it changes",
    }
    assert "channel letters.sink.letters: raised from 2 partitions to 3; what it holds is kept" in found.data
    assert any("environment variable 'PASSWORD' looks like a secret" in w for w in found.warnings)

    assert found.scaling == {}

    found = deployer.plan(letters(replicas=2))
    assert found.scaling == {"letters.sink": 3}
    assert found.restarts["letters.source"] == "a changed pipeline is deployed as a new run; `pypz scale` lets it go on"
    assert deployer.plan(letters(replicas=2, secret="another one")).scaling == {}

    found = deployer.plan(letters(Fewer))
    assert actions(found) == ["change ConfigMap -", "delete Secret letters.sink", "delete Job letters.sink"]
    assert found.data[0] == "letters.sink vanishes: 2 members would not start again"
    assert "letters.sink" not in found.restarts


@pytest.mark.cluster
@pytest.mark.slow
def test_an_operator_that_becomes_a_deployment_is_told_as_one_made_and_one_removed(
    deployer: KubernetesDeployer,
) -> None:
    deployer.deploy(letters(replicas=0), wait=False)
    endless = letters(replicas=0)
    endless.source.set_parameter("kubernetes", {"workload": "Deployment"})
    found = deployer.plan(endless)
    assert {"create Deployment letters.source", "delete Job letters.source"} <= set(actions(found))
    assert found.errors == []
    deployer.destroy("letters", force=True)
    deployer.deploy(endless, wait=False)
    assert deployer.plan(endless).changes == []
    found = deployer.plan(letters(replicas=0))
    assert {"create Job letters.source", "delete Deployment letters.source"} <= set(actions(found))


@pytest.mark.cluster
@pytest.mark.slow
def test_what_the_server_would_refuse_or_warns_of_is_told(
    kubeconfig: str, restricted_namespace: str, api: ClusterApi, deployer: KubernetesDeployer
) -> None:
    found = deployer.plan(letters(env=[{"value": "x"}]))
    assert [e.split(". These")[0] for e in found.errors] == [
        "letters.source: Kubernetes refuses env[0].name: Required value",
        "letters.sink: Kubernetes refuses env[0].name: Required value",
    ]
    strict = KubernetesDeployer(namespace=restricted_namespace)
    found = strict.plan(letters(containerSecurityContext={"privileged": True}))
    assert any("letters.sink: would violate PodSecurity" in w for w in found.warnings)
    foreign = {"kind": "Secret", "apiVersion": "v1", "metadata": {"name": "letters-sink"}}
    api.create(foreign)
    (error,) = deployer.plan(letters()).errors
    assert '"letters-sink" already exists' in error
    with pytest.raises(PypzError, match="has no namespace 'absent'"):
        raise PypzError(" ".join(KubernetesDeployer(namespace="absent").plan(letters()).errors))


@pytest.mark.cluster
@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"env": [{"name": "A", "value": "1"}, {"value": "x"}]}, "env[1].name: Required value"),
        ({"resources": {"limits": {"memory": "12 GB"}}}, "resources.limits.memory: '12 GB' is no quantity"),
        ({"resources": {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}}, "resources.requests: Invalid value"),
        ({"volumeMounts": [{"name": "absent", "mountPath": "/x"}]}, "volumeMounts[0].name: Not found"),
        ({"volumes": [{"name": "Upper", "emptyDir": {}}]}, "volumes[0].name: Invalid value"),
        (
            {"volumes": [{"name": "v", "emptyDir": {"sizeLimit": "much"}}]},
            "volumes[0].emptyDir.sizeLimit: 'much' is no",
        ),
        ({"tolerations": [{"operatr": "Exists"}]}, "tolerations[0].operatr: unknown field"),
        ({"containers": [{"name": "side"}]}, "containers[0].image: Required value"),
        ({"nodeSelector": {"a b": "c"}}, "nodeSelector: Invalid value"),
        ({"labels": {"team": "blue green"}}, "labels: Invalid value"),
        ({"imagePullPolicy": "Sometimes"}, "imagePullPolicy: Unsupported value"),
        ({"livenessProbe": {"httpGet": {"path": "/", "port": 99999}}}, "livenessProbe.httpGet.port: Invalid value"),
        ({"podSecurityContext": {"runAsUser": -2}}, "podSecurityContext.runAsUser: Invalid value"),
        ({"imagePullSecrets": ["mine"]}, "imagePullSecrets: a text, expected a mapping (LocalObjectReference)"),
        ({"env": [{"name": "A", "value": 1}]}, "env.value: a number, expected a text"),
        (
            {"tolerations": [{"tolerationSeconds": "9"}]},
            "tolerations.tolerationSeconds: a text, expected a whole number",
        ),
        ({"containerSecurityContext": {"procMount": "x"}}, "containerSecurityContext.procMount: "),
    ],
)
def test_a_setting_that_kubernetes_refuses_is_told_by_its_operator_and_name_and_nothing_stays(
    api: ClusterApi, deployer: KubernetesDeployer, settings: dict[str, Any], words: str
) -> None:
    before = objects_of(api)
    with pytest.raises(PypzError) as caught:
        deployer.deploy(letters(**settings))
    assert str(caught.value).startswith("letters.source: Kubernetes refuses ")
    assert words in str(caught.value)
    assert objects_of(api) == before


Pypz = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def pypz(api: ClusterApi, tmp_path: Path) -> Pypz:
    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pypz.cli.main", *arguments, "-n", api.namespace],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return call


@pytest.mark.cluster
@pytest.mark.slow
def test_the_command_tells_by_its_exit_code_and_as_json(pypz: Pypz, tmp_path: Path) -> None:
    plain = letters()
    plain.set_parameter(">>channelConfig", {})
    (tmp_path / "letters.yaml").write_text(str(plain))
    plain.sink.set_parameter("replicationFactor", 3)
    (tmp_path / "more.yaml").write_text(str(plain))
    plan = ("plan", "--to", "kubernetes")

    done = pypz(*plan, "letters.yaml", "--exit-code")
    assert (done.returncode, "is not deployed yet" in done.stdout) == (3, True), done.stderr
    assert done.stdout.endswith("would change: 4 created\n")
    assert pypz(*plan, "letters.yaml").returncode == 0

    assert pypz("deploy", "letters.yaml", "--no-wait").returncode == 0
    done = pypz(*plan, "letters.yaml", "--exit-code")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "nothing would change")

    done = pypz(*plan, "more.yaml", "--exit-code", "--json")
    assert done.returncode == 3
    found = json.loads(done.stdout)
    assert found["is_deployed"]
    assert found["restarts"]["letters.sink_0"] == "it changes"
    assert [c["kind"] for c in found["changes"]] == ["ConfigMap", "Job"]
    shown = pypz(*plan, "more.yaml").stdout
    assert (
        "would change: 2 changed, sizes of groups alone; `pypz scale letters.sink 4` brings it about while the run goes on, "
        "`pypz destroy letters`, then `pypz deploy` as a new run" in shown
    )
    assert found["scaling"] == {"letters.sink": 4}
    assert "raised from 2 partitions to 4" in shown

    done = pypz(*plan, "letters.yaml", "--context", "nowhere")
    assert (done.returncode, "nowhere" in done.stdout) == (1, True)
    assert pypz("plan", "letters.yaml", "--offline").returncode == 1
    assert pypz("destroy", "letters", "--force").returncode == 0
