"""``pypz peek`` and ``pypz retire``, in this process on memory: and as processes on a real broker."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from pypz.cli.main import app
from pypz.cli.peeking import ABSENT, Peek, field_of, read_condition
from pypz.cli.target import load_pipeline
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.runs.retiring import places_at
from pypz.core.channels.spi import Guarantee, Member
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import OperatorExecutor


@pytest.fixture(autouse=True)
def _forget(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield
    sys.modules.pop("shop", None)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def place() -> Iterator[MemoryTransport]:
    made = MemoryTransport(f"peek-{uuid.uuid4().hex[:8]}")
    yield made
    made.close()


@pytest.fixture
def options(place: MemoryTransport) -> list[str]:
    return ["-p", f">>channelLocation=memory:{place._store.name}", "-p", ">count=10"]


@pytest.fixture
def filled(options: list[str], place: MemoryTransport) -> list[str]:
    """A channel with ten records of a writer that was stopped, in a run that is open; nobody has read it."""
    given = [one for one in options if one != "-p"]

    def make() -> Any:
        return load_pipeline("shop:ShopPipeline", parameters=[*given, ">ends=false"])

    reading = OperatorExecutor(make().reader, handle_interrupts=False)
    assert reading.execute(ExecutionMode.ResourceCreationOnly) == 0
    writing = OperatorExecutor(make().writer, handle_interrupts=False)
    thread = threading.Thread(target=writing.execute)
    thread.start()
    info = place.describe_channel("shop_pipeline.reader.input")
    assert info is not None
    observer = place.observe(info)
    observer.seek(0, "first")
    assert observer.read(1, 30)
    writing.interrupt()
    thread.join(30)
    return options


READ = ("peek", "shop:ShopPipeline", "reader.input")


def test_records_are_shown_decoded_one_a_line_and_nothing_is_taken(filled: list[str], place: MemoryTransport) -> None:
    channel = place._store.channels["shop_pipeline.reader.input"]
    before = dict(channel.committed)
    result = call(*READ, *filled)
    assert result.exit_code == 0, result.stderr
    assert [json.loads(line) for line in result.stdout.splitlines()] == [{"n": number} for number in range(10)]
    assert call(*READ, *filled).stdout == result.stdout
    assert channel.committed == before


def test_an_output_port_shows_what_it_sends_to(filled: list[str]) -> None:
    assert len(call("peek", "shop:ShopPipeline", "writer.out", *filled).stdout.splitlines()) == 10


@pytest.mark.parametrize(
    ("more", "lines"),
    [
        (["--where", "n>=8"], ['{"n": 8}', '{"n": 9}']),
        (["--where", "n=3"], ['{"n": 3}']),
        (["--where", "m=3"], []),
        (["--last", "2"], ['{"n": 8}', '{"n": 9}']),
        (["--where", "n<3", "--last", "1", "--columns", "n,m"], ["n\tm", "2\t"]),
        (["--from", "end"], []),
    ],
)
def test_records_are_filtered_and_cut(filled: list[str], more: list[str], lines: list[str]) -> None:
    assert call(*READ, *filled, *more).stdout.splitlines() == lines


def test_a_field_that_no_record_has_is_told_with_those_there_are(filled: list[str]) -> None:
    told = call(*READ, *filled, "--where", "m=3", "--columns", "n,k").stderr.splitlines()
    assert told == [
        "pypz: warning: none of 10 records has a field 'm'; there are: n",
        "pypz: warning: none of 10 records has a field 'k'; there are: n",
    ]
    assert call(*READ, *filled, "--where", "n=99").stderr == ""


def test_json_tells_where_each_record_stands(filled: list[str]) -> None:
    (line,) = call(*READ, *filled, "--json", "--last", "1").stdout.splitlines()
    found = json.loads(line)
    assert found["record"] == {"n": 9}
    assert (found["channel"], found["partition"], found["index"]) == ("shop_pipeline.reader.input", 0, 9)
    assert found["writer"] == "shop_pipeline.writer/0/out"


def test_a_channel_is_found_without_code_by_its_name(filled: list[str], place: MemoryTransport) -> None:
    result = call("peek", "--location", f"memory:{place._store.name}", "shop_pipeline.reader.input", "--last", "1")
    assert result.stdout == '{"n": 9}\n', result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ["shop:ShopPipeline", "reader.inputs"],
            "no channel port 'reader.inputs'; there are: writer.out, reader.input",
        ),
        (["shop:ShopPipeline"], "name a port, as operator.port; there are"),
        (["shop:ShopPipeline", "reader.input"], "has no channelLocation here"),
        (["shop:ShopPipeline", "reader.input", "--where", "n"], "--where 'n': expected FIELD=VALUE"),
        (["shop:ShopPipeline", "reader.input", "--follow", "--last", "1"], "leave one out"),
        (["--location", "memory:x"], "expected one channel's name"),
        (
            ["--location", "memory:x", "a.b.c"],
            "memory:x lives in one process, and holds no channel 'a.b.c' in this one",
        ),
    ],
)
def test_what_cannot_be_shown_tells_the_way_out(arguments: list[str], words: str) -> None:
    result = call("peek", *arguments)
    assert result.exit_code == 1
    assert words in result.stderr


def test_what_is_written_meanwhile_is_not_waited_for(filled: list[str], place: MemoryTransport) -> None:
    info = place.describe_channel("shop_pipeline.reader.input")
    assert info is not None
    observer = place.observe(info)
    observer.seek(0, "first")
    there = observer.read(100, 30)
    client = place.open_client(Member("shop_pipeline", "shop_pipeline.writer", 0, "s"), 1, Guarantee.AT_LEAST_ONCE)
    writer = client.writer(info)
    with places_at(PluginHost.default(), "shop_pipeline", [(f"memory:{place._store.name}", {})]) as (found,):
        peek = Peek(found, PluginHost.default(), pytest.fail)
        seen = []
        for one in peek.records(info, from_end=False, follow=False):
            seen.append(one)
            assert writer.write(0, there[0].block)  # the channel is never quiet
            assert len(seen) < 100
    assert [one.record["n"] for one in seen] == list(range(10))


def test_conditions_know_numbers_words_and_nested_fields() -> None:
    record = {"a": {"b": 3, "c": True, "d": None}, "e": "x"}
    for text, holds in {
        "a.b=3": True,
        "a.b!=3": False,
        "a.b<10": True,
        "a.c=true": True,
        "a.d=null": True,
        "a.d>1": False,
        "e=x": True,
        "e!=y": True,
        "f=1": False,
        "a.b=x": False,
        "a.b!=x": True,
    }.items():
        assert read_condition(text).holds(record) is holds, text
    assert field_of(record, "a.z") is ABSENT
    with pytest.raises(ConfigurationError):
        read_condition("=3")


# --- retire -------------------------------------------------------------------------------------------------------------


def test_a_member_is_retired_by_its_name(filled: list[str]) -> None:
    result = call("retire", "shop:ShopPipeline", "writer", *filled, "--json")
    assert result.exit_code == 0, result.stderr
    (done,) = json.loads(result.stdout)
    assert (done["member"], done["channels"]) == ("shop_pipeline.writer", ["shop_pipeline.reader.input"])
    again = call("retire", "shop:ShopPipeline", "reader", *filled)
    assert "shop_pipeline.reader is retired from run" in again.stdout
    assert "the run has finished" in again.stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["shop:ShopPipeline", "rider"], "has no member 'rider'; there are: writer, reader"),
        (["shop:ShopPipeline", "writer_4"], "shop_pipeline.writer_4 is no member of run"),
        (["shop:ShopPipeline"], "expected either a MEMBER that will not come back, or --all"),
        (["shop:ShopPipeline", "writer", "--all"], "expected either"),
        (["shop:ShopPipeline", "--all"], "--yes says that it may be"),
    ],
)
def test_who_cannot_be_retired_tells_the_way_out(filled: list[str], arguments: list[str], words: str) -> None:
    result = call("retire", *arguments, *filled)
    assert result.exit_code == 1
    assert words in result.stderr


def test_all_that_a_pipeline_left_is_removed(filled: list[str], place: MemoryTransport) -> None:
    result = call("retire", "shop:ShopPipeline", "--all", "--yes", *filled)
    assert result.exit_code == 0, result.stderr
    assert "channel shop_pipeline.reader.input, 1 partition(s)" in result.stdout
    assert place.pipelines() == []
    assert place.describe_channel("shop_pipeline.reader.input") is None
    again = call("retire", "shop:ShopPipeline", "--all", *filled)
    assert (again.exit_code, again.stdout.endswith(": nothing is left\n")) == (0, True)


def test_all_is_found_without_code_by_the_pipeline_s_name(filled: list[str], place: MemoryTransport) -> None:
    result = call("retire", "shop_pipeline", "--all", "--yes", "--location", f"memory:{place._store.name}", "--json")
    assert [one["channels"] for one in json.loads(result.stdout)] == [["shop_pipeline.reader.input"]]
    assert place.describe_channel("shop_pipeline.reader.input") is None


# --- as processes, on a real broker ---------------------------------------------------------------------------------------


@pytest.fixture
def on_broker() -> list[str]:
    broker = os.environ.get("KAFKA_BOOTSTRAP")
    if not broker:
        pytest.skip("KAFKA_BOOTSTRAP is not set")
    return ["--name", f"peek_{uuid.uuid4().hex[:8]}", "-p", f">>channelLocation=kafka://{broker}", "-p", ">count=10"]


def start(project: Path, *arguments: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "pypz.cli.main", *arguments],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.broker
def test_a_broker_s_channel_is_peeked_into_followed_retired_and_removed(
    pypz: Any, project: Path, on_broker: list[str]
) -> None:
    name = on_broker[1]
    # The writer goes on for ever (`ends` is false), so the run is open and alive.
    running = start(project, "run", "shop:ShopPipeline", "--no-log", *on_broker, "-p", ">ends=false")
    try:
        peeked = ""
        deadline = time.monotonic() + 60
        while len(peeked.splitlines()) < 10 and time.monotonic() < deadline:
            peeked = pypz("peek", "shop:ShopPipeline", "reader.input", *on_broker).stdout
        assert [json.loads(line)["n"] for line in peeked.splitlines()] == list(range(10))
        following = start(project, "peek", "shop:ShopPipeline", "reader.input", *on_broker, "--follow")
        assert following.stdout is not None
        assert [json.loads(following.stdout.readline())["n"] for _ in range(10)] == list(range(10))
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
        following.communicate()
        planned = pypz("plan", "shop:ShopPipeline", "--brief", *on_broker)
        assert planned.returncode == 1
        assert "runs already" in planned.stdout
        refused = pypz("retire", "shop:ShopPipeline", "writer", *on_broker)
        assert refused.returncode == 1
        assert f"{name}.writer is alive in run" in refused.stderr
        assert "is alive at" in pypz("retire", "shop:ShopPipeline", "--all", "--yes", *on_broker).stderr
    finally:
        running.kill()
        running.communicate()
    retired = pypz("retire", "shop:ShopPipeline", "writer", *on_broker)
    assert f"{name}.writer is retired from run" in retired.stdout, retired.stderr
    removed = pypz("retire", "shop:ShopPipeline", "--all", "--yes", *on_broker)
    assert removed.returncode == 0, removed.stderr
    again = pypz("retire", "shop:ShopPipeline", "--all", *on_broker)
    assert again.stdout.endswith("nothing is left\n"), again.stderr
