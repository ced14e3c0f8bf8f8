"""What a pipeline that has not ended well leaves is told where people look: its channels, and the command that removes them."""

from __future__ import annotations

import pytest
from deployers.k8s.tests.test_cluster import configured, prepared
from deployers.k8s.tests.test_comparing import Fewer, letters
from typer.testing import CliRunner

from pypz.cli.main import app
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s import KubernetesDeployer
from pypz.deployers.k8s.remains import remains_of

LEFT = (
    "it did not end well, so what there is of its channels stays (letters.sink.letters at kafka://broker:9092): deployed again, it "
    "goes on there; "
)
WAY = "`pypz retire letters --all --location kafka://broker:9092` removes them for good"


def without_options() -> Pipeline:
    made: Pipeline = letters()
    made.set_parameter(">>channelConfig", {})
    return made


def test_channels_and_the_command_that_removes_them_are_named() -> None:
    assert remains_of(str(without_options())) == LEFT + WAY
    assert remains_of(str(letters(Fewer))) == ""


def test_the_namespace_of_channels_is_part_of_the_command() -> None:
    named = without_options()
    named.set_parameter("channelNamespace", "blue")
    assert "`pypz retire blue..letters --all --location kafka://broker:9092`" in remains_of(str(named))


def test_a_location_that_takes_more_than_its_address_is_left_to_the_pipelines_own_parameters() -> None:
    told = remains_of(str(letters()))
    assert "`pypz retire PIPELINE --all`, with its code and parameters as for `pypz deploy`, removes them" in told
    assert "--location" not in told


@pytest.mark.parametrize("location", ["localhost:9092", "10.0.0.1:9092,10.0.0.2:9092", "broker:9092,other:9092"])
def test_a_location_that_names_no_transport_is_left_to_the_pipelines_own_ports(location: str) -> None:
    bare = without_options()
    bare.set_parameter(">>channelLocation", location)
    assert "`pypz retire PIPELINE --all`, with its code and parameters" in remains_of(str(bare))
    bare.set_parameter(">>channelLocation", "local:///data")
    assert "`pypz retire letters --all --location local:///data`" in remains_of(str(bare))


@pytest.mark.cluster
@pytest.mark.slow
def test_they_are_told_by_attach_status_and_destroy_and_not_of_what_ended_well(
    kubeconfig: str, namespace: str, capfd: pytest.CaptureFixture[str]
) -> None:
    prepared(kubeconfig, namespace)
    pipeline = without_options()
    deployer = KubernetesDeployer(namespace)

    def told_of(*ends: str) -> list[str]:
        for operator, how in zip((pipeline.source, pipeline.sink), ends, strict=True):
            configured(operator, how)
        deployer.deploy(pipeline)
        deployer.attach("letters")
        attached = capfd.readouterr().err
        shown = CliRunner().invoke(app, ["status", "letters", "-n", namespace]).stdout
        deployer.destroy("letters", force=True)
        return [attached, shown, capfd.readouterr().err]

    for told in told_of("end", "fail"):
        assert f"letters: {LEFT}{WAY}\n" in told
    for told in told_of("end", "end"):
        assert "retire" not in told
