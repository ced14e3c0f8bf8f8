"""A pipeline over Redis, as a user runs it: in one process, when the server goes away, and with the distribution installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import uuid
from pathlib import Path
from typing import Any

import pytest
from own_redis import OwnServer
from pypz_redis import plugin
from pypz_redis.transport import RedisTransport

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.spi import Block, ChannelSpec, Committed, Guarantee, Member, MemberNote, Unit
from pypz.core.commons.errors import ConfigurationError, FencedError, TransportError, TransportTimeoutError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor

PROJECT = Path(__file__).resolve().parents[1]
COUNT = 20_000
OUTAGE_AT = 5_000


class Counter(BlankOperator):
    """Sends numbers."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelOutputPort()
        self.sent = 0

    def _on_running(self) -> bool:
        self.numbers.send([{"number": self.sent + more} for more in range(100)])
        self.sent += 100
        return self.sent >= COUNT


class Adder(BlankOperator):
    """Keeps the numbers; tells when there are many."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort()
        self.seen: list[int] = []
        self.are_many = threading.Event()

    def _on_running(self) -> None:
        self.seen += [record["number"] for record in self.numbers.retrieve()]
        if len(self.seen) >= OUTAGE_AT:
            self.are_many.set()


class Adding(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.counter = Counter()
        self.adder = Adder()
        self.adder.numbers.connect(self.counter.numbers)


def host_with_plugin() -> PluginHost:
    host = PluginHost()
    if not any(report.name == "redis" for report in host.reports):
        host.register(plugin)
    return host


def pipeline_at(server: OwnServer) -> Adding:
    made = Adding(f"adding_{uuid.uuid4().hex[:8]}")
    made.set_parameter(">>channelLocation", server.location)
    return made


def test_a_pipeline_carries_every_record_once_in_order_and_leaves_only_its_status(server: OwnServer) -> None:
    pipeline = pipeline_at(server)
    assert set(PipelineExecutor(pipeline, host=host_with_plugin()).start().values()) == {0}
    assert pipeline.adder.seen == list(range(COUNT))
    with server.connect() as redis:
        left = {str(key).split(":")[1] for key in redis.keys(f"pypz:*{pipeline.get_simple_name()}*")}
    assert left <= {"facts", "changes", "beats", "epochs", "notes", "gone", "room"}  # the last two expire


def test_a_server_that_dies_in_a_run_and_comes_back_loses_nothing(server: OwnServer) -> None:
    pipeline = pipeline_at(server)
    executor = PipelineExecutor(pipeline, host=host_with_plugin())
    codes: dict[str, int] = {}
    run = threading.Thread(target=lambda: codes.update(executor.start()))
    run.start()
    assert pipeline.adder.are_many.wait(60)
    with server.outage():
        assert pipeline.counter.sent < COUNT or len(pipeline.adder.seen) < COUNT
    run.join(120)
    assert not run.is_alive()
    assert set(codes.values()) == {0}
    assert pipeline.adder.seen == list(range(COUNT))  # redis.conf's appendonly kept what was acknowledged


def test_a_member_whose_later_start_has_settled_cannot_commit(server: OwnServer) -> None:
    transport = RedisTransport(server.location, {})
    name = f"fenced_{uuid.uuid4().hex[:8]}"
    info = transport.create_channel(ChannelSpec(f"{name}.reader.port", 1), 10)
    status = transport.open_status(name, create=True)
    clients = []
    for start in ("first", "second"):
        member = Member(name, f"{name}.reader", 0, start)
        client = transport.open_client(member, status.join(member, b"{}"), Guarantee.AT_LEAST_ONCE)
        client.settle(10)
        client.reader(info, "group", [0])
        clients.append(client)
    unit = Unit({(info.name, 0): Committed("0", "note")}, MemberNote(b"kept"))
    clients[1].commit(unit, 10)
    assert clients[1].settle(10) == MemberNote(b"kept")
    with pytest.raises(FencedError, match="a later start of this member"):
        clients[0].commit(unit, 10)
    transport.delete_channel(info, 10)
    transport.delete_status(name, 10)
    transport.close()


def test_a_reader_that_begins_while_a_writer_writes_misses_nothing(server: OwnServer) -> None:
    transport = RedisTransport(server.location, {})
    name = f"begins_{uuid.uuid4().hex[:8]}"
    member = Member(name, f"{name}.reader", 0, "start")
    for number in range(50):
        info = transport.create_channel(ChannelSpec(f"{name}.reader.port{number}", 1), 10)
        client = transport.open_client(member, 1, Guarantee.AT_LEAST_ONCE)
        writer, reader = client.writer(info), client.reader(info, "group", [0])
        blocks = [Block({}, bytes([place])) for place in range(20)]
        writing = threading.Thread(target=lambda w=writer, blocks=blocks: [w.write(0, block) for block in blocks])
        writing.start()
        reader.seek(0, "first")
        found: list[bytes] = []
        while len(found) < len(blocks) and (some := client.read(100, 20)):
            found += [received.block.payload for received in some]
        writing.join()
        assert found == [block.payload for block in blocks]
        client.close(1)
        transport.delete_channel(info, 10)
    transport.close()


def test_a_server_that_is_not_there_is_named_without_the_password(unused_port: int) -> None:
    transport = RedisTransport(f"redis://user:hunter2@127.0.0.1:{unused_port}/0", {})
    with pytest.raises(TransportTimeoutError, match=rf"127\.0\.0\.1:{unused_port}.*refused") as caught:
        transport.create_channel(ChannelSpec("absent.reader.port", 1), 0.5)
    assert "hunter2" not in str(caught.value)
    transport.close()


def test_a_wrong_password_is_told_at_once(server: OwnServer) -> None:
    transport = RedisTransport(server.location.replace("//", "//user:hunter2@"), {})
    with pytest.raises(TransportError, match="invalid username-password") as caught:
        transport.describe_channel("any.reader.port")
    assert not isinstance(caught.value, TransportTimeoutError)
    assert "hunter2" not in str(caught.value)
    transport.close()


@pytest.mark.parametrize(
    ("location", "options", "words"),
    [
        ("redis://host:port/0", {}, "redis://localhost:6379/0"),
        ("redis://host/0", {"max.byte": "1"}, "expected 'max.bytes'"),
        ("redis://host/0", {"max.bytes": "many"}, "a whole number of bytes, 1 or more"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_way_out(location: str, options: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(words)):
        RedisTransport(location, options)


def test_installed_as_a_distribution_it_is_found_by_its_entry_point(tmp_path: Path) -> None:
    wheel = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(PROJECT)]
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    subprocess.run(wheel, env={**os.environ, "PATH": path}, check=True, capture_output=True, timeout=120)
    (built,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), str(built)]
    subprocess.run(install, check=True, capture_output=True, timeout=120)
    shown = subprocess.run(
        [str(Path(sys.executable).parent / "pypz"), "plugins"],
        env={**os.environ, "PYTHONPATH": str(site), "COLUMNS": "120"},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert re.search(r"redis +loaded +pypz-redis-streams 1\.0\.0 +make_transport", shown.stdout), shown.stdout
