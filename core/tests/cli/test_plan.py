"""``pypz plan``, ``params`` and ``graph``: what they tell, and that they change nothing."""

import json
import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pypz.cli.graph import drawing, graph_of
from pypz.cli.main import app
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import ChannelSpec

LOOP = """
from shop import Base, Reader, ShopPipeline, Writer
from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.specs.pipeline import Pipeline
from pypz.core.commons.parameters import OptionalParameter, RequiredParameter


class Copier(Reader):
    secret = OptionalParameter(str, secret=True)
    needed = RequiredParameter(int)

    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.secret = "hidden-" + "default"
        self.needed = None
        self.out = ChannelOutputPort()


class LoopPipeline(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.first = Copier()
        self.second = Copier()
        self.alone = Writer()
        self.first.input.connect(self.writer.out)
        self.second.input.connect(self.first.out)
        self.first.input.connect(self.second.out)
        self.second.set_parameter("replicationFactor", 2)
"""


@pytest.fixture(autouse=True)
def _forget(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (project / "loop.py").write_text(LOOP)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setenv("COLUMNS", "80")
    yield
    for name in ("shop", "loop"):
        sys.modules.pop(name, None)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def planned(*arguments: str) -> Any:
    return json.loads(call("plan", *arguments, "--json").stdout)


def test_a_plan_tells_members_parameters_with_origin_connections_and_channels() -> None:
    result = call("plan", "shop:ShopPipeline", "-p", ">>channelLocation=memory:p", "-p", ">replicationFactor=1")
    assert result.exit_code == 0
    for words in (
        "shop_pipeline.reader  (shop:Reader), 2 members: shop_pipeline.reader, shop_pipeline.reader_0",
        "-p, cascade from",
        "shop_pipeline.writer.out -> shop_pipeline.reader.input: compatible",
        "at memory:p: would be created with 2 partitions",
        "would start",
    ):
        assert words in result.stdout
    assert max(len(line) for line in result.stdout.splitlines() if "──" in line) <= 80


def test_every_error_is_told_at_once(project: Path) -> None:
    found = planned(
        "loop:LoopPipeline",
        *("-p", ">>maxRetrieveRecords=0", "-p", ">>lingerMs=-1", "-p", ">commitIntervalMs=-1", "-p", ">cuont=3"),
    )
    told = "\n".join(found["errors"])
    for words in (
        "loop_pipeline.first: required parameter 'needed' has no value",
        "loop_pipeline.first.input: required parameter 'channelLocation' has no value",
        "loop_pipeline.second.out: parameter 'lingerMs' is -1",
        "loop_pipeline.first.input: parameter 'maxRetrieveRecords' is 0",
        "loop_pipeline.writer: parameter 'commitIntervalMs' is -1",
    ):
        assert words in told
    assert len(found["errors"]) == len(set(found["errors"]))
    assert "-p '>cuont=3': nothing in the pipeline expects 'cuont'; meant 'count'?" in found["warnings"]
    assert "loop_pipeline.alone.out: is connected to nothing; connect() it" in found["warnings"]
    assert call("plan", "loop:LoopPipeline", "--brief").exit_code == 1


def test_two_faults_of_one_port_are_both_told() -> None:
    found = planned(
        "shop:ShopPipeline", "-p", ">>channelLocation=memory:p", "-p", ">>maxRetrieveRecords=0", "-p", ">>partitions=0"
    )
    assert len([one for one in found["errors"] if one.startswith("shop_pipeline.reader.input: ")]) == 2


def test_an_unknown_scheme_is_an_error_also_offline() -> None:
    found = planned("shop:ShopPipeline", "-p", ">>channelLocation=nope://x", "--offline")
    assert any("no transport for nope:" in one for one in found["errors"])


def test_secrets_are_masked() -> None:
    result = call("plan", "loop:LoopPipeline", "-p", ">>channelLocation=kafka://me:pw77@b:1", "--offline")
    assert result.exit_code == 1  # 'needed' is missing
    found = planned("loop:LoopPipeline", "--offline")
    assert "$(env:PYPZ_SECRET_LOOP_PIPELINE_FIRST_SECRET)" in json.dumps(found)
    for secret in ("hidden-default", "pw77"):
        assert secret not in result.stdout
        assert secret not in json.dumps(found)


@pytest.fixture
def place() -> Iterator[MemoryTransport]:
    made = MemoryTransport(f"plan-{uuid.uuid4().hex[:8]}")
    yield made
    made.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "would be raised from 1 partition to 3; what it holds is kept"),
        (["-p", ">replicationFactor=0"], "stays with 1 partition; what it holds is read first"),
        (["--fresh"], "LOST: would be deleted with all it holds, and created with 3 partitions"),
    ],
)
def test_a_channel_that_is_there_tells_what_becomes_of_it(
    place: MemoryTransport, arguments: list[str], words: str
) -> None:
    before = place.create_channel(ChannelSpec("shop_pipeline.reader.input", 1), 5)
    location = f">>channelLocation=memory:{place._store.name}"
    found = planned("shop:ShopPipeline", "-p", location, "-p", ">replicationFactor=2", *arguments)
    assert [channel["action"] for channel in found["channels"]] == [words]
    assert place.describe_channel("shop_pipeline.reader.input") == before
    assert place.pipelines() == []


def test_schemas_that_do_not_resolve_are_an_error(project: Path) -> None:
    pytest.importorskip("pypz.plugins.avro_codec")
    (project / "typed.py").write_text(
        "import shop\n"
        "def schema(field):\n"
        '    return \'{"type": "record", "name": "r", "fields": [{"name": "%s", "type": "int"}]}\' % field\n'
        "class Typed(shop.ShopPipeline):\n"
        "    def __init__(self, name=None, *args, **kwargs):\n"
        "        super().__init__(name, *args, **kwargs)\n"
        "        self.writer.out.set_schema(schema('n'))\n"
        "        self.reader.input.set_schema(schema('m'))\n"
    )
    found = planned("typed:Typed", "-p", ">>channelLocation=memory:p")
    (edge,) = found["edges"]
    assert (edge["is_compatible"], "expects field 'm' (int)" in edge["reason"]) == (False, True)
    assert found["errors"] == [f"typed.writer.out -> typed.reader.input: {edge['reason']}"]


def test_a_class_that_is_not_here_is_an_error_by_name(project: Path) -> None:
    made = call("plan", "shop:ShopPipeline", "--json")
    assert made.exit_code == 1
    from pypz.cli.target import load_pipeline

    text = str(load_pipeline("shop:ShopPipeline", parameters=[">>channelLocation=memory:p"]))
    (project / "gone.yaml").write_text(text.replace("shop:", "elsewhere:"))
    found = planned("gone.yaml")
    assert any("shop_pipeline.reader (elsewhere:Reader): its class is not installed here" in e for e in found["errors"])


def test_params_show_type_default_value_and_origin() -> None:
    found = json.loads(
        call("params", "loop:LoopPipeline", "first", "-p", ">count=3", "-p", ">needed=4", "--json").stdout
    )
    by_name = {one["name"]: one for one in found[0]["parameters"]}
    assert found[0]["instance"] == "loop_pipeline.first"
    assert by_name["needed"] == {
        "name": "needed",
        "type": "int",
        "required": True,
        "default": None,
        "value": 4,
        "origin": "-p, cascade from loop_pipeline",
        "description": None,
    }
    assert by_name["count"]["type"] is None
    assert "hidden" not in json.dumps(found)


@pytest.mark.parametrize("name", ["loop:Copier", "shop:Base", "pypz.abstracts.channel_ports:ChannelInputPort"])
def test_params_take_any_class_also_an_abstract_one(name: str) -> None:
    result = call("params", name)
    assert result.exit_code == 0
    assert "default of the class" in result.stdout
    assert max(map(len, result.stdout.splitlines())) <= 80


def test_params_of_something_that_is_not_there_tell_what_is() -> None:
    result = call("params", "shop:ShopPipeline", "rider")
    assert result.exit_code == 1
    assert "shop_pipeline nests nothing named 'rider'; there are: writer, reader" in result.stderr


def test_a_graph_shows_levels_replicas_and_cycles() -> None:
    result = call("graph", "loop:LoopPipeline")
    assert result.stdout == (
        "loop_pipeline\n\nlevel 0\n  writer  (Writer)\n    out ──▶ first.input\n  alone  (Writer)\n"
        "    (connected to nothing)\n\nlevel 1\n  first  (Copier)\n    out ──▶ second.input\n\nlevel 2\n"
        "  second x3  (Copier)\n    out ──▶ first.input   (closes a cycle)\n"
    )
    drawn = call("graph", "loop:LoopPipeline", "--format", "mermaid").stdout
    assert drawn.startswith("flowchart LR\n")
    assert 'op_second["second x3<br/><i>Copier</i>"]' in drawn
    assert 'op_second -.->|"out → input"| op_first' in drawn
    edges = json.loads(call("graph", "loop:LoopPipeline", "--json").stdout)["edges"]
    assert [edge["closes_cycle"] for edge in edges] == [False, False, True]


def test_a_pipeline_without_operators_has_a_graph() -> None:
    from pypz.core.specs.pipeline import Pipeline

    class Empty(Pipeline):
        pass

    assert list(drawing(graph_of(Empty("empty")))) == ["empty"]


def test_the_commands_work_as_processes(pypz: Any) -> None:
    done = pypz("plan", "shop:ShopPipeline", "--brief", "-p", ">>channelLocation=memory:p", NO_COLOR="1", COLUMNS="80")
    assert (done.returncode, done.stderr) == (0, "")
    assert "\x1b" not in done.stdout
    assert pypz("params", "shop:ShopPipeline").returncode == 0
    assert pypz("graph", "shop:ShopPipeline").returncode == 0


@pytest.mark.broker
def test_a_broker_is_asked_and_nothing_is_made_there(pypz: Any) -> None:
    broker = os.environ.get("KAFKA_BOOTSTRAP")
    if not broker:
        pytest.skip("KAFKA_BOOTSTRAP is not set")
    done = pypz(
        "plan",
        "shop:ShopPipeline",
        "--name",
        f"plan_{uuid.uuid4().hex[:8]}",
        "-p",
        f">>channelLocation=kafka://{broker}",
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert "would be created with 1 partition" in done.stdout
