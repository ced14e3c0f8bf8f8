"""What no pod could start with is refused before the cluster is asked; what is allowed but dangerous is said."""

from __future__ import annotations

from typing import Any

import pytest
from deployers.k8s.tests.test_comparing import letters

from pypz.core.commons.errors import ConfigurationError, MissingParametersError
from pypz.core.hooks.host import PluginHost
from pypz.deployers.k8s import KubernetesDeployer
from pypz.deployers.k8s.planning import plan_of
from pypz.deployers.k8s.starting import check_start, narrow_locations, privileged
from pypz.executors.commons import ExecutionMode

NOWHERE = KubernetesDeployer(config_file="/there/is/no/such/kubeconfig")
"""Asked for its cluster, it says that there is none."""


def located(location: str | None) -> Any:
    made = letters()
    made.set_parameter(">>channelLocation", location)
    return made


def test_all_parameters_without_a_value_are_told_before_the_cluster_is_asked() -> None:
    with pytest.raises(MissingParametersError) as caught:
        NOWHERE.deploy(located(None))
    assert "letters.sink.letters: channelLocation" in str(caught.value)
    assert "letters.source.letters: channelLocation" in str(caught.value)


def test_values_that_every_pod_would_refuse_are_told_at_once() -> None:
    pipeline = letters()
    pipeline.source.set_parameter("commitIntervalMs", -1)
    pipeline.sink.set_parameter("commitIntervalMs", -2)
    with pytest.raises(ConfigurationError, match=r"letters\.source: .* is -1, .*\n.*letters\.sink: .* is -2, "):
        NOWHERE.deploy(pipeline)


def test_a_location_within_one_process_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError) as caught:
        NOWHERE.deploy(located("memory:letters"))
    assert str(caught.value) == (
        "letters: channelLocation 'memory:letters' does not reach into other processes, and each member runs in a pod of its "
        "own; use a broker that the pods reach, such as Kafka ('kafka://HOST:9092')"
    )


@pytest.mark.parametrize(
    "location", ["kafka://broker:9092", "local:/shared", "of-the-image://there", "$(env:NOT_HERE)"]
)
def test_other_locations_are_not_refused(location: str) -> None:
    check_start(located(location), PluginHost.default())
    assert narrow_locations(located(location), PluginHost.default()) == []


@pytest.mark.cluster
def test_a_plan_tells_such_a_location_as_an_error(kubeconfig: str, namespace: str) -> None:
    found = KubernetesDeployer(namespace).plan(located("memory:letters"))
    assert [error for error in found.errors if "does not reach into other processes" in error]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, []),
        ({"containerSecurityContext": {"privileged": False}}, []),
        ({"containerSecurityContext": {"privileged": True}}, ["operator"]),
        ({"containers": [{"name": "side", "securityContext": {"privileged": True}}, {"name": "other"}]}, ["side"]),
    ],
)
def test_privileged_containers_are_warned_of(settings: dict[str, Any], told: list[str]) -> None:
    pipeline = letters()
    pipeline.source.set_parameter("kubernetes", settings)
    found = list(privileged(plan_of(pipeline, ExecutionMode.Standard, [])))
    assert len(found) == len(told)
    for warning, container in zip(found, told, strict=True):
        assert warning.startswith(f"letters.source: its container {container!r} is privileged: ")


@pytest.mark.cluster
def test_deploy_and_plan_warn_of_a_privileged_container(
    kubeconfig: str, namespace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    pipeline, deployer = letters(containerSecurityContext={"privileged": True}), KubernetesDeployer(namespace)
    words = "letters.source: its container 'operator' is privileged"
    assert [warning for warning in deployer.plan(pipeline).warnings if words in warning]
    deployer.deploy(pipeline)
    try:
        assert f"pypz: warning: {words}" in capfd.readouterr().err
    finally:
        deployer.destroy("letters", force=True, wait=False)
