"""What users get wrong, each with the error that tells it: place, value, what is accepted, the way out."""

from __future__ import annotations

import copy
import time
from typing import Any

import certifi
import pytest
import yaml
from deployers.k8s.tests.test_api import config_for
from deployers.k8s.tests.test_cluster import objects_of, prepared, two
from deployers.k8s.tests.test_comparing import letters

from pypz.deployers.k8s import DeploymentConflictException, DeploymentException, KubernetesDeployer
from pypz.deployers.k8s.api import ClusterApi


def test_every_operator_without_an_image_is_named() -> None:
    pipeline = letters()
    for operator in (pipeline.source, pipeline.sink):
        operator.set_parameter("operatorImageName", None)
    with pytest.raises(
        DeploymentException, match=r"no image is known for letters\.source, letters\.sink; name the one"
    ):
        KubernetesDeployer().render(pipeline)


def test_a_context_that_is_not_in_the_kubeconfig_is_told_with_those_that_are(tmp_path: Any) -> None:
    content = config_for("http://127.0.0.1:9")
    content["contexts"].append({**content["contexts"][0], "name": "other"})
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(content))
    for given in (content, path):
        with pytest.raises(DeploymentException, match=r"has no context 'nowhere'; it has: c, other"):
            KubernetesDeployer(config_file=given, context="nowhere").is_deployed("x")


def test_a_description_that_a_config_map_cannot_hold_is_refused_with_its_size() -> None:
    pipeline = letters()
    pipeline.source.set_parameter("table", "x" * 1_100_000)
    with pytest.raises(
        DeploymentException, match=r"letters: its description takes 1,1\d\d,\d{3} bytes.*1,048,576 at most"
    ):
        KubernetesDeployer().render(pipeline)


def test_secrets_that_a_secret_cannot_hold_are_refused_with_their_size_and_name() -> None:
    with pytest.raises(
        DeploymentException, match=r"letters\.source: its secrets take 1,100,000 bytes, most of them PYPZ_SEC"
    ):
        KubernetesDeployer().render(letters(secret="x" * 1_100_000))


def test_a_description_too_large_for_kubectls_annotation_is_told_with_the_way_out(
    capfd: pytest.CaptureFixture[str],
) -> None:
    pipeline = letters()
    assert KubernetesDeployer().render(pipeline)
    assert capfd.readouterr().err == ""
    pipeline.source.set_parameter("table", "x" * 262_144)
    assert KubernetesDeployer().render(pipeline)
    assert "`kubectl apply --server-side` needs none" in capfd.readouterr().err


@pytest.mark.parametrize("name", ["", "a/b", "Upper", "a_b", "-a", "x" * 64])
def test_a_namespace_that_cannot_be_is_refused_before_any_cluster_is_asked(name: str) -> None:
    with pytest.raises(DeploymentException, match=f"namespace {name!r}: expected lower case letters, digits and '-'"):
        KubernetesDeployer(name)


def test_operators_without_image_are_all_listed_with_both_ways_out() -> None:
    pipeline = letters()
    pipeline.set_parameter(">operatorImageName", None)
    with pytest.raises(DeploymentException) as caught:
        KubernetesDeployer().render(pipeline)
    assert "letters: no image is known for letters.source, letters.sink; " in str(caught.value)
    assert 'set_parameter(">operatorImageName", ...)' in str(caught.value)
    assert "`pypz deploy --image registry/image:tag`" in str(caught.value)


# --- on the cluster -----------------------------------------------------------------------------------------------------


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    return prepared(kubeconfig, namespace)


def config_of(api: ClusterApi) -> dict[str, Any]:
    """The kubeconfig in use, as a mapping without paths."""
    made = config_for(api.server)
    configuration = api._configuration
    made["clusters"][0]["cluster"]["certificate-authority"] = configuration.ssl_ca_cert
    made["users"][0]["user"] = {"client-certificate": configuration.cert_file, "client-key": configuration.key_file}
    return made


@pytest.mark.cluster
@pytest.mark.slow
def test_a_cluster_whose_certificate_is_not_trusted_is_told_as_that(api: ClusterApi) -> None:
    config = config_of(api)
    assert not KubernetesDeployer(api.namespace, config_file=config).is_deployed("x")
    stranger = copy.deepcopy(config)
    stranger["clusters"][0]["cluster"]["certificate-authority"] = certifi.where()
    with pytest.raises(DeploymentException, match=r"cannot be trusted: .*certificate.*'certificate-authority'"):
        KubernetesDeployer(api.namespace, config_file=stranger).is_deployed("x")


@pytest.mark.cluster
@pytest.mark.slow
def test_a_namespace_that_does_not_exist_is_told_by_whatever_looks_into_it(api: ClusterApi) -> None:
    deployer = KubernetesDeployer("no-such-namespace")
    words = "has no namespace 'no-such-namespace'; `kubectl create namespace no-such-namespace` makes it"
    with pytest.raises(DeploymentException, match=words):
        deployer.retrieve_pipeline_deployments()
    with pytest.raises(DeploymentException, match=words):
        deployer.deploy(letters())
    with pytest.raises(DeploymentException, match=words):
        deployer.destroy("letters")
    assert KubernetesDeployer(api.namespace).retrieve_pipeline_deployments() == set()


@pytest.mark.cluster
@pytest.mark.slow
def test_a_large_description_is_deployed_as_long_as_kubernetes_holds_it(api: ClusterApi) -> None:
    deployer = KubernetesDeployer(api.namespace)
    pipeline = letters()
    pipeline.source.set_parameter("table", "x" * 900_000)
    deployer.deploy(pipeline, wait=False)
    assert deployer.retrieve_deployed_pipeline("letters") == pipeline
    deployer.destroy("letters", force=True)


@pytest.mark.cluster
@pytest.mark.slow
def test_deploying_twice_is_refused_and_leaves_the_first_alone(api: ClusterApi) -> None:
    deployer = KubernetesDeployer(api.namespace)
    deployer.deploy(letters())
    before = objects_of(api)
    with pytest.raises(
        DeploymentConflictException, match="letters is deployed already in namespace .*or destroy it first"
    ):
        deployer.deploy(letters())
    assert objects_of(api) == before


@pytest.mark.cluster
@pytest.mark.slow
def test_a_plain_secret_is_warned_of_where_it_is_deployed(api: ClusterApi, capfd: pytest.CaptureFixture[str]) -> None:
    deployer = KubernetesDeployer(api.namespace)
    pipeline = letters(env=[{"name": "DB_PASSWORD", "value": "open sesame"}])
    deployer.deploy(pipeline, wait=False)
    told = capfd.readouterr().err
    assert "warning: letters.source: environment variable 'DB_PASSWORD' looks like a secret" in told
    assert "open sesame" not in told


@pytest.mark.cluster
@pytest.mark.slow
def test_a_quota_is_told_as_such_and_not_as_a_missing_right(api: ClusterApi) -> None:
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": "few"},
        "spec": {"hard": {"count/jobs.batch": "1"}},
    }
    api._json("POST", f"/api/v1/namespaces/{api.namespace}/resourcequotas", body=quota)
    deadline = time.monotonic() + 60
    while not api._json("GET", f"/api/v1/namespaces/{api.namespace}/resourcequotas/few").get("status", {}).get("hard"):
        assert time.monotonic() < deadline
    before = objects_of(api)
    with pytest.raises(DeploymentException, match="exceeded quota: few") as caught:
        KubernetesDeployer(api.namespace).deploy(two("wait", "wait"))
    assert "--rbac" not in str(caught.value)
    assert objects_of(api) == before
