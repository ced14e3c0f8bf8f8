"""The base image for users' projects, and the image of the example on it: who runs there, what is there, what is kept."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from shutil import copytree
from typing import Any

import pytest

from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.watching import Watcher
from tests.cluster.conftest import BASE_IMAGE, PYPZ_IMAGE, ROOT, needed, run
from tests.docs.pages import environment, read_blocks

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

EXAMPLE_IMAGE = "localhost/pypz-hello-world:test"
LOOK = """
import importlib.metadata, json, os, pathlib

def is_writable(folder):
    try:
        pathlib.Path(folder, "probe").touch()
    except OSError:
        return False
    return True

print(json.dumps({
    "user": os.getuid(),
    "pypz": sorted(d.name for d in importlib.metadata.distributions() if "pypz" in d.name or d.name == "hello-world"),
    "others": sorted(d.name for d in importlib.metadata.distributions() if d.name in ("kubernetes", "textual", "pytest")),
    "writable": [folder for folder in ("/", "/opt/pypz", "/tmp") if is_writable(folder)],
}))
"""


def built(name: str, folder: Path, base: str) -> None:
    build_image = Path(needed("PYPZ_TESTBED", "no way to load an image")) / "kubernetes" / "build-image"
    run(build_image, name, folder, "--layers", "--build-arg", f"BASE_IMAGE={base}")


def example_wheel(into: Path) -> Path:
    """A copy of the example in a folder, its wheel made by the command that its page gives for it."""
    project = into / "hello"
    copytree(ROOT / "examples" / "hello_world", project)
    (block,) = [b for b in read_blocks(ROOT / "examples" / "hello_world" / "README.md") if "docker build" in b.text]
    command = block.text.splitlines()[0]
    around = environment(project) | {"PYTHONWARNINGS": "default"}  # pip's own warnings are none of ours
    done = subprocess.run(command, shell=True, cwd=project, env=around, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert list((project / "dist").glob("*.whl")), command
    return project


def layers(image: str) -> list[str]:
    """Digests of an image's layers, the lowest first."""
    done = subprocess.run(["buildah", "inspect", "--type", "image", image], capture_output=True, text=True, check=True)
    found: list[str] = json.loads(done.stdout)["OCIv1"]["rootfs"]["diff_ids"]
    return found


def ran(api: ClusterApi, name: str, image: str, code: str) -> str:
    """Run Python code in a pod as restricted as the deployer's, and give what it printed."""
    pod: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "labels": {"look": name}},
        "spec": {
            "restartPolicy": "Never",
            "automountServiceAccountToken": False,
            "securityContext": {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
            "volumes": [{"name": "tmp", "emptyDir": {}}],
            "containers": [
                {
                    "name": "look",
                    "image": image,
                    "imagePullPolicy": "Never",
                    "command": ["python", "-c", code],
                    "volumeMounts": [{"name": "tmp", "mountPath": "/tmp"}],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                        "readOnlyRootFilesystem": True,
                    },
                }
            ],
        },
    }
    with Watcher(api, f"look={name}", "Pod", say=print) as seen:
        api.create(pod)

        def phases() -> Sequence[str]:
            return [p.get("status", {}).get("phase", "") for p in seen.objects["Pod"].values()]

        assert seen.wait_until(lambda: phases() in (["Succeeded"], ["Failed"]), time.monotonic() + 120)
        log = api.read_log(name, {}) or ""
        assert phases() == ["Succeeded"], log
    return log


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    return ClusterApi(load_configuration(None, kubeconfig, True), namespace)


def test_the_base_image_runs_as_nobody_in_particular_on_a_read_only_root(api: ClusterApi) -> None:
    built(PYPZ_IMAGE, ROOT, BASE_IMAGE)
    found = json.loads(ran(api, "base", PYPZ_IMAGE, LOOK))
    assert found == {
        "user": 10001,
        "pypz": ["pypz", "pypz-avro", "pypz-kafka", "pypz-loggers"],
        "others": [],
        "writable": ["/tmp"],
    }
    assert ran(
        api, "version", PYPZ_IMAGE, "import pypz.plugins.kafka_io, pypz.runnables.operator; print('loaded')"
    ) == ("loaded\n")


def test_a_change_of_code_keeps_the_layers_with_dependencies(tmp_path: Path) -> None:
    built(PYPZ_IMAGE, ROOT, BASE_IMAGE)
    before = layers(PYPZ_IMAGE)
    for name in ("core", "plugins"):
        copytree(
            ROOT / name, tmp_path / name, ignore=lambda _, names: {n for n in names if n in ("tests", "__pycache__")}
        )
    for name in ("Dockerfile", ".dockerignore", "constraints.txt"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    with (tmp_path / "core" / "src" / "pypz" / "version" / "__init__.py").open("a") as file:
        file.write("\n# changed\n")
    built("localhost/pypz:changed", tmp_path, BASE_IMAGE)
    after = layers("localhost/pypz:changed")
    subprocess.run(["buildah", "rmi", "localhost/pypz:changed"], check=False, capture_output=True)
    same = [old for old, new in zip(before, after, strict=True) if old == new]
    assert before[: len(same)] == same
    assert len(before) - len(same) == 2  # the wheels, and what is installed of them


def test_the_example_is_an_image_on_top_of_it(api: ClusterApi, tmp_path: Path) -> None:
    built(PYPZ_IMAGE, ROOT, BASE_IMAGE)
    built(EXAMPLE_IMAGE, example_wheel(tmp_path), PYPZ_IMAGE)
    found = json.loads(ran(api, "example", EXAMPLE_IMAGE, LOOK))
    assert found["user"] == 10001
    assert "hello-world" in found["pypz"]
    assert found["writable"] == ["/tmp"]
    assert layers(EXAMPLE_IMAGE)[: len(layers(PYPZ_IMAGE))] == layers(PYPZ_IMAGE)
