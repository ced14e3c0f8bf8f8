"""The example does what its README says. A project of your own may test its pipelines the same way: on ``memory:``."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from hello_world.greeting import TEXTS
from hello_world.pipeline import HelloWorld
from pypz.executors.pipeline.executor import PipelineExecutor

PROJECT = Path(__file__).resolve().parents[1]
PYPZ = PROJECT.parents[1]
IMAGE = "docker.io/library/hello-world:latest"
"""What ``docker build -t hello-world .`` makes, in full."""


def run_script(*arguments: str) -> str:
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": "src", "PYTHONUNBUFFERED": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_listener_hears_every_greeting_once() -> None:
    pipeline = HelloWorld("hello_test")
    pipeline.set_parameter(">>channelLocation", "memory:hello_test")
    pipeline.greeter.set_parameter("greetingCount", 1_000)
    assert PipelineExecutor(pipeline).start() == {"hello_test.greeter": 0, "hello_test.listener": 0}
    assert pipeline.listener.heard == dict.fromkeys(TEXTS, 200)


def test_replicas_share_the_greetings_of_all_greeters(capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = HelloWorld("hello_many")
    pipeline.set_parameter(">>channelLocation", "memory:hello_many")
    pipeline.set_parameter(">replicationFactor", 2)
    PipelineExecutor(pipeline).start()
    heard = [int(count) for count in re.findall(r"heard (\d+) greetings", capsys.readouterr().out)]
    assert len(heard) == 3
    assert sum(heard) == 30


def test_execute_runs_in_memory() -> None:
    printed = run_script("execute.py")
    assert "sent 10 greetings" in printed
    assert "heard 10 greetings: 2 in English, 2 in German, 2 in Hungarian, 2 in Japanese, 2 in Swahili" in printed


@pytest.mark.broker
def test_execute_runs_over_kafka() -> None:
    if not os.environ.get("KAFKA_BOOTSTRAP"):
        pytest.skip("KAFKA_BOOTSTRAP is not set")
    assert "heard 10 greetings" in run_script("execute.py", f"kafka://{os.environ['KAFKA_BOOTSTRAP']}")


@pytest.mark.cluster
@pytest.mark.slow
def test_deploy_runs_on_kubernetes(tmp_path: Path) -> None:
    for name in ("KUBECONFIG", "KAFKA_PODS_BOOTSTRAP", "PYPZ_TESTBED"):
        if not os.environ.get(name):
            pytest.skip(f"{name} is not set")
    build_image = f"{os.environ['PYPZ_TESTBED']}/kubernetes/build-image"
    folder = tmp_path / "hello_world"
    shutil.copytree(PROJECT, folder, ignore=shutil.ignore_patterns("dist", "__pycache__"))
    base = ["--layers", "--build-arg", "BASE_IMAGE=localhost/python:3.11-slim"]
    for command in (
        [sys.executable, "-m", "build", "--wheel", str(folder)],
        [build_image, "localhost/pypz:test", str(PYPZ), *base],
        [build_image, IMAGE, str(folder), "--build-arg", "BASE_IMAGE=localhost/pypz:test"],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]} failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    printed = run_script("deploy.py", f"kafka://{os.environ['KAFKA_PODS_BOOTSTRAP']}")
    completed = re.findall(r"(?m)^hello_world\.(\w+): Completed$", printed)
    assert sorted(completed) == ["greeter", "listener", "listener_0", "listener_1"]
