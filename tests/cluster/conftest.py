"""The guide's project as an image on the cluster's nodes, a broker that pods reach, and namespaces to deploy to."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pypz.deployers.k8s.api import ClusterApi, WatchStream
from pypz.deployers.k8s.connection import load_configuration

ROOT = Path(__file__).resolve().parents[2]
BASE_IMAGE = "localhost/python:3.11-slim"
"""What the test bed has in place of python:3.11-slim."""
PYPZ_IMAGE = "localhost/pypz:test"
PROJECT_IMAGE = "docker.io/library/pypz-demo-pipeline:latest"
"""What the guide's ``docker build -t pypz-demo-pipeline .`` makes, in full."""

PYPROJECT = """
[project]
name = "pypz-demo-pipeline"
version = "1.0"
requires-python = ">=3.11"
dependencies = ["pypz"]

[build-system]
requires = ["uv_build>=0.13,<0.14"]
build-backend = "uv_build"

[tool.uv.build-backend]
module-name = "pypz.example"
module-root = ""
namespace = true
"""
DOCKERFILE = """
ARG BASE_IMAGE=pypz
FROM ${BASE_IMAGE}
COPY dist/*.whl /tmp/dist/
RUN pip install --no-cache-dir /tmp/dist/*.whl
"""
FAILING = """
from pypz.core.specs.pipeline import Pipeline
from pypz.example.reader import DemoReaderOperator
from pypz.example.writer import DemoWriterOperator


class FailingWriter(DemoWriterOperator):
    def _on_running(self):
        super()._on_running()
        if self.output_record_count == 5:
            raise RuntimeError("the source is gone")
        return False


class FailingPipeline(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.reader = DemoReaderOperator()
        self.writer = FailingWriter()
        self.reader.input_port.connect(self.writer.output_port)
        self.set_parameter(">operatorImageName", "pypz-demo-pipeline")
"""


@dataclass(frozen=True)
class Project:
    """A user's project, built, and its image loaded into the cluster."""

    folder: Path
    broker: str
    """Address of the broker for pods."""

    def script(self, name: str, namespace: str) -> str:
        """Text of one of the guide's scripts, for this cluster: only the broker's address and the namespace changed."""
        text = (self.folder / "pypz" / "example" / f"{name}.py").read_text()
        assert text.count('"localhost:9092"') == text.count('namespace="default"') == 1
        return text.replace("localhost:9092", self.broker).replace('namespace="default"', f"namespace={namespace!r}")


def needed(variable: str, what: str) -> str:
    """The value of an environment variable; without it the test is skipped by name."""
    found = os.environ.get(variable)
    if not found:
        pytest.skip(f"{variable} is not set: {what}")
    return found


@pytest.fixture(scope="session")
def kubeconfig() -> str:
    return needed("KUBECONFIG", "no Kubernetes cluster to test on")


@pytest.fixture(scope="session")
def testbed() -> Path:
    """Scripts of the test bed."""
    return Path(needed("PYPZ_TESTBED", "no test bed to break"))


@pytest.fixture(scope="session")
def broker() -> str:
    """Address of the broker for pods."""
    return needed("KAFKA_PODS_BOOTSTRAP", "no broker that pods reach")


@pytest.fixture(scope="session")
def pypz_image(kubeconfig: str) -> str:
    """The base image with pypz, made of this source and loaded into the cluster."""
    build_image = Path(needed("PYPZ_TESTBED", "no way to load an image")) / "kubernetes" / "build-image"
    run(build_image, PYPZ_IMAGE, ROOT, "--layers", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}")
    return PYPZ_IMAGE


@pytest.fixture(scope="session")
def project(kubeconfig: str, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The guide's project at its stage with images."""
    broker = needed("KAFKA_PODS_BOOTSTRAP", "no broker that pods reach")
    guide = needed("PYPZ_GUIDE", "no guide to take the code from")
    build_image = Path(needed("PYPZ_TESTBED", "no way to load an image")) / "kubernetes" / "build-image"
    folder = tmp_path_factory.mktemp("project")
    run(sys.executable, f"{guide}/guide_project.py", str(folder), "--stage", "image", "--sleep", "0.1")
    (folder / "pyproject.toml").write_text(PYPROJECT)
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "pypz" / "example" / "failing.py").write_text(FAILING)
    run(sys.executable, "-m", "build", str(folder))
    run(build_image, PYPZ_IMAGE, ROOT, "--layers", "--build-arg", f"BASE_IMAGE={BASE_IMAGE}")
    run(build_image, PROJECT_IMAGE, folder, "--build-arg", f"BASE_IMAGE={PYPZ_IMAGE}")
    return Project(folder, broker)


@pytest.fixture
def namespace(kubeconfig: str) -> Iterator[str]:
    """A namespace of its own that enforces the *restricted* Pod Security profile."""
    name = f"pypz-guide-{uuid.uuid4().hex[:8]}"
    api = ClusterApi(load_configuration(None, kubeconfig, True), name)
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    api._json("POST", "/api/v1/namespaces", body=body)
    try:
        # Controllers make these a moment later: pods need the account, and what a test lists before and after must be complete.
        for kind, made in (("serviceaccounts", "default"), ("configmaps", "kube-root-ca.crt")):
            query = {"watch": "true", "fieldSelector": f"metadata.name={made}", "timeoutSeconds": "30"}
            stream = WatchStream(api._send("GET", f"/api/v1/namespaces/{name}/{kind}", query=query), name)
            assert next(iter(stream))[0] == "ADDED"
            stream.close()
        yield name
    finally:
        api._json("DELETE", f"/api/v1/namespaces/{name}")


def run(*command: str | Path) -> None:
    """Run a command to its end; its output is shown when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-4000:]}"
