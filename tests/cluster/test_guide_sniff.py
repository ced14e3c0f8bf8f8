"""The guide's `sniffer_deployed.py`, unchanged but for the namespace, beside a deployed pipeline with replicas."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading

import pytest
from confluent_kafka.admin import AdminClient

from pypz.deployers.k8s import KubernetesDeployer
from tests.cluster.conftest import Project
from tests.cluster.test_guide_deploy import RECORDS, admin, run_script

__all__ = ["admin"]

pytestmark = [pytest.mark.cluster, pytest.mark.broker, pytest.mark.slow]

MEMBERS = 4
"""Of each group in the guide's deploy_replicated.py."""


def test_the_guides_sniffer_shows_every_member_of_a_deployed_pipeline(
    project: Project, admin: AdminClient, namespace: str, kubeconfig: str
) -> None:
    text = (project.folder / "pypz" / "example" / "sniffer_deployed.py").read_text()
    sniffer = text.replace('namespace="default"', f"namespace={namespace!r}")
    environment = {"PYTHONPATH": str(project.folder), "PYPZ_SNIFFER_PLAIN": "1"}
    deploy = subprocess.Popen(
        [sys.executable, "-c", project.script("deploy_replicated", namespace)],
        env={**os.environ, **environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        deployer = KubernetesDeployer(namespace=namespace)
        pause = threading.Event()
        while not deployer.is_deployed("pipeline"):
            assert deploy.poll() is None, deploy.communicate()[1]
            pause.wait(0.2)
        done = run_script(sniffer, environment)
        _, errors = deploy.communicate(timeout=240)
    finally:
        deploy.kill()
    assert (deploy.returncode, errors) == (0, "")
    assert done.returncode == 0, done.stderr
    told = done.stdout
    counts = re.findall(r"^(writer|reader)(?:_\d)?\.\w+: closed (\d+) records", told, re.MULTILINE)
    assert [name for name, _ in counts].count("writer") == [name for name, _ in counts].count("reader") == MEMBERS, told
    assert sum(int(count) for name, count in counts if name == "writer") == MEMBERS * RECORDS
    assert sum(int(count) for name, count in counts if name == "reader") == MEMBERS * RECORDS
    assert "pipeline: finished" in told
