"""A deployed pipeline is rebuilt by a process that has none of its code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from deployers.k8s.tests.test_cluster import prepared

from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s import KubernetesDeployer
from pypz.deployers.k8s.api import ClusterApi

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

CODE = """
from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline


class Source(BlankOperator):
    rate = OptionalParameter(int, alt_name="rate")

    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.rate = 5
        self.letters = ChannelOutputPort()


class Sink(BlankOperator):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.letters = ChannelInputPort()


class Letters(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.letters.connect(self.source.letters)
"""
STRANGER = """
import json, sys
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.k8s import DeploymentException, KubernetesDeployer

namespace, name = sys.argv[1:]
found = {}
try:
    KubernetesDeployer(namespace).retrieve_deployed_pipeline(name)
except DeploymentException as error:
    found["without"], found["is_missing_module"] = str(error), isinstance(error, ModuleNotFoundError)
pipeline = KubernetesDeployer(namespace, mock_nonexistent_at_retrieval=True).retrieve_deployed_pipeline(name)
found["description"] = str(pipeline)
found["members"] = sorted(o.get_full_name() for o in Internals(pipeline).nested_instances.values())
found["rate"] = pipeline.source.get_parameter("rate")
again = Pipeline.create_from_string(str(pipeline), mock_nonexistent=True)
found["equivalent"] = pipeline.is_equivalent_to(again) and pipeline == again
found["connected"] = [p.get_full_name() for p in pipeline.sink.letters.get_connected_ports()]
print(json.dumps(found))
"""


@pytest.fixture
def api(kubeconfig: str, namespace: str) -> ClusterApi:
    return prepared(kubeconfig, namespace)


def test_a_process_without_the_users_code_gets_an_equivalent_pipeline(
    api: ClusterApi, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "users_own_code.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    users: Any = __import__("users_own_code")
    pipeline = users.Letters("letters")
    pipeline.set_parameter(">operatorImageName", "nothing:1")
    pipeline.set_parameter(">>channelLocation", "kafka://broker:9092")
    pipeline.set_parameter(">>channelConfig", {"sasl.password": "open sesame"})
    pipeline.set_parameter(">kubernetes", {"nodeSelector": {"pypz.io/there-is-no": "such-node"}})
    pipeline.source.set_parameter("rate", 7)
    pipeline.sink.set_parameter("replicationFactor", 2)
    deployer = KubernetesDeployer(api.namespace)
    deployer.deploy(pipeline, wait=False)

    command = [sys.executable, "-c", STRANGER, api.namespace, "letters"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd="/")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)

    assert "users_own_code" in found["without"]
    assert "KubernetesDeployer(mock_nonexistent_at_retrieval=True)" in found["without"]
    assert found["is_missing_module"]
    assert found["members"] == ["letters.sink", "letters.sink_0", "letters.sink_1", "letters.source"]
    assert (found["rate"], found["equivalent"], found["connected"]) == (7, True, ["letters.source.letters"])
    assert "open sesame" not in done.stdout
    rebuilt: Pipeline = Pipeline.create_from_string(found["description"])
    assert isinstance(rebuilt, users.Letters)
    assert rebuilt.is_equivalent_to(pipeline)
    assert rebuilt.get_dto() == pipeline.get_dto()
    assert found["description"] == str(pipeline)
