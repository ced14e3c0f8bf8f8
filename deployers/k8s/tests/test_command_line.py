"""The commands against a real cluster, each a process of its own; the pods run the stand-in of `test_cluster`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from deployers.k8s.tests.test_cluster import configured, objects_of, prepared, two

from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.plan import selector_of
from pypz.deployers.k8s.watching import Watcher

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

Pypz = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    return prepared(kubeconfig, namespace)


@pytest.fixture
def pypz(api: ClusterApi, tmp_path: Path) -> Iterator[Pypz]:
    def call(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "pypz.cli.main", command, *arguments, "-n", api.namespace],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "160"},
            capture_output=True,
            text=True,
            timeout=120,
        )

    yield call
    call("destroy", "pipe", "--force", "--no-wait")


def test_a_pipeline_is_deployed_looked_at_and_destroyed(pypz: Pypz, api: ClusterApi, tmp_path: Path) -> None:
    before = objects_of(api)
    (tmp_path / "pipe.yaml").write_text(str(two("end", "fail", replicas=1)))

    done = pypz("deploy", "pipe.yaml", "--attach")
    assert done.returncode == 1
    assert f"pypz: pipe is deployed; `pypz attach pipe -n {api.namespace}` stays with it" in done.stderr
    assert "pipe.writer: Failed: exit code 115 (StateOperationError)" in done.stdout
    assert "pypz: pipe has failed: pipe.writer" in done.stderr

    again = pypz("deploy", "pipe.yaml")
    assert (again.returncode, "pipe is deployed already in namespace" in again.stderr) == (1, True)
    assert set(pypz("status").stdout.strip()[len("pipe: ") :].split(", ")) == {"2 Completed", "1 Failed"}
    members = json.loads(pypz("status", "pipe", "--json").stdout)
    assert [(m["name"], m["state"], m["reason"]) for m in members] == [
        ("pipe.reader", "Completed", ""),
        ("pipe.reader_0", "Completed", ""),
        ("pipe.writer", "Failed", "exit code 115 (StateOperationError)"),
    ]
    assert all(m["host"] and m["since_utc"] for m in members)
    assert pypz("logs", "pipe.writer", "--tail", "1").stdout == "going down\n"
    lines = pypz("logs", "pipe", "-f").stdout.splitlines()
    assert {line.split()[0] for line in lines} == {"pipe.reader", "pipe.reader_0", "pipe.writer"}
    assert pypz("restart", "pipe.writer").returncode == 0

    assert pypz("destroy", "pipe").returncode == 0
    assert objects_of(api) == before


def test_what_is_rendered_can_be_applied_and_is_always_the_same(pypz: Pypz, api: ClusterApi, tmp_path: Path) -> None:
    (tmp_path / "pipe.yaml").write_text(str(two("end", "end")))
    text = pypz("render", "pipe.yaml").stdout
    assert text == pypz("render", "pipe.yaml").stdout
    for document in yaml.safe_load_all(text):
        api.create(document)
    done = pypz("attach", "pipe")
    assert done.returncode == 0, done.stderr
    assert "pipe.reader: Completed" in done.stdout
    assert pypz("destroy", "pipe").returncode == 0


def test_a_context_that_does_not_exist_is_told(pypz: Pypz) -> None:
    done = pypz("status", "--context", "nowhere")
    assert done.returncode == 1
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_deploying_removes_what_was_made(api: ClusterApi, tmp_path: Path) -> None:
    before = objects_of(api)
    pipeline = two("end", "end")
    configured(pipeline.reader, "end", serviceAccountName="absent")  # its pods are never made
    (tmp_path / "pipe.yaml").write_text(str(pipeline))
    command = [sys.executable, "-m", "pypz.cli.main", "deploy", "pipe.yaml", "-n", api.namespace]
    with Watcher(api, selector_of("pipe"), "Job", say=print) as seen:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert seen.wait_until(lambda: len(seen.objects["Job"]) == 2, time.monotonic() + 60)
        process.send_signal(signal.SIGINT)
        shown, told = process.communicate(timeout=60)
    assert (process.returncode, shown) == (130, "")
    assert "interrupted" in told
    assert "\x1b" not in told
    assert objects_of(api) == before
