"""What goes wrong around a run, on each transport: a channel deleted under it, one left over of another size, clocks that jump."""

from __future__ import annotations

import itertools
import os
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import OFFSET_END, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.spi import ChannelInfo, ChannelSpec, Transport
from pypz.core.commons.errors import ChannelGoneError, PipelineFailedError, PositionGoneError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")
KAFKA = pytest.param(
    "kafka", marks=[pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")]
)
RECORDS = 200
PATIENCE_S = 20.0


class Source(BlankOperator):
    """Sends ten records an iteration; ``while_running`` is called before each."""

    while_running: Callable[[int], None] = staticmethod(lambda sent: None)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()
        self.sent = 0
        self.count: int | None = RECORDS

    def _on_running(self) -> bool | None:
        Source.while_running(self.sent)
        self.output_port.send([{"n": self.sent + i} for i in range(10)])
        self.sent += 10
        return self.sent == self.count


class Sink(BlankOperator):
    got: list[int] = []
    while_running: Callable[[], None] = staticmethod(lambda: None)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()

    def _on_running(self) -> bool | None:
        Sink.got += [record["n"] for record in self.input_port.retrieve()]
        Sink.while_running()
        return None


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.input_port.connect(self.source.output_port)


@pytest.fixture
def host() -> Iterator[PluginHost]:
    made = PluginHost()
    yield made
    made.close()


@pytest.fixture(params=["memory", "local", KAFKA])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    name = uuid.uuid4().hex[:8]
    return {"memory": f"memory:{name}", "local": f"local:{tmp_path / 'channels'}", "kafka": f"kafka://{BOOTSTRAP}"}[
        request.param
    ]


@pytest.fixture
def transport(host: PluginHost, location: str) -> Iterator[Transport]:
    made = host.make_transport(location, {})
    yield made
    made.close()


@pytest.fixture
def line(location: str, transport: Transport, monkeypatch: pytest.MonkeyPatch) -> Iterator[Line]:
    monkeypatch.setattr(Sink, "got", [])
    made = Line(f"faults_{uuid.uuid4().hex[:8]}")
    made.set_parameter(">>channelLocation", location)
    yield made
    left = transport.describe_channel(channel_of(made))
    if left is not None:
        transport.delete_channel(left, PATIENCE_S)
    transport.delete_status(made.get_full_name(), PATIENCE_S)


def again(line: Line) -> Line:
    """The same pipeline, not run yet."""
    made = Line(line.get_full_name())
    made.set_parameter(">>channelLocation", line.source.output_port.get_parameter("channelLocation"))
    return made


def channel_of(line: Line) -> str:
    return f"{line.get_full_name()}.sink.input_port"


@pytest.mark.slow
def test_a_channel_deleted_under_a_run_fails_it_by_name_and_the_next_run_works(
    line: Line, transport: Transport, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    deleted: list[ChannelInfo] = []

    def delete() -> None:
        if len(Sink.got) > RECORDS and not deleted:
            info = transport.describe_channel(channel_of(line))
            assert info is not None
            deleted.append(info)
            transport.delete_channel(info, PATIENCE_S)

    with monkeypatch.context() as patched:
        patched.setattr(Sink, "while_running", staticmethod(delete))
        line.source.count = None  # it would go on for ever
        with pytest.raises(PipelineFailedError, match=channel_of(line)) as caught:
            PipelineExecutor(line, host=host).start()
    assert isinstance(caught.value.__cause__, ChannelGoneError), caught.value.__cause__
    assert 0 not in caught.value.exit_codes.values()
    Sink.got.clear()
    assert set(PipelineExecutor(again(line), host=host).start().values()) == {0}
    assert Sink.got == list(range(RECORDS))


@pytest.mark.parametrize(("found", "wanted"), [(5, None), (5, 2), (2, 5)])
def test_a_channel_left_over_with_other_partitions_is_used_as_it_is_or_grows(
    line: Line, transport: Transport, host: PluginHost, monkeypatch: pytest.MonkeyPatch, found: int, wanted: int | None
) -> None:
    transport.create_channel(ChannelSpec(channel_of(line), found), PATIENCE_S)
    line.sink.input_port.set_parameter("partitions", wanted)
    seen: set[int] = set()

    def look() -> None:
        info = transport.describe_channel(channel_of(line))
        seen.add(info.partitions if info else 0)

    monkeypatch.setattr(Sink, "while_running", staticmethod(look))
    assert set(PipelineExecutor(line, host=host).start().values()) == {0}
    assert sorted(Sink.got) == list(range(RECORDS))
    assert seen == {max(found, wanted or 1)}
    assert transport.describe_channel(channel_of(line)) is None


def test_clocks_that_jump_change_nothing(line: Line, host: PluginHost, monkeypatch: pytest.MonkeyPatch) -> None:
    real, jumps = time.time, itertools.cycle([0.0, 3e7, -3e7, 1e5, -1e9])
    asked = []

    def jumping() -> float:
        asked.append(next(jumps))
        return real() + asked[-1]

    monkeypatch.setattr(time, "time", jumping)
    assert set(PipelineExecutor(line, host=host).start().values()) == {0}
    assert Sink.got == list(range(RECORDS))
    assert asked, "nobody asked for the time, so nothing was tried"


@pytest.mark.broker
@pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")
@pytest.mark.parametrize("location", ["kafka"], indirect=True)
def test_a_position_that_retention_has_passed_is_told_and_a_fresh_start_goes_on(
    line: Line, host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(sent: int) -> None:
        if sent >= RECORDS and Sink.got:
            raise ValueError("in the middle")

    line.source.count = None
    with monkeypatch.context() as patched:
        patched.setattr(Source, "while_running", staticmethod(fail))
        with pytest.raises(PipelineFailedError, match="in the middle"):
            PipelineExecutor(line, host=host).start()
    write_and_remove(channel_of(line))
    with pytest.raises(PipelineFailedError, match=r"position \d+ is gone, the log begins at \d+.*--fresh") as caught:
        PipelineExecutor(again(line), host=host).start()
    assert isinstance(caught.value.__cause__, PositionGoneError)
    Sink.got.clear()
    assert set(PipelineExecutor(again(line), host=host, fresh=True).start().values()) == {0}
    assert Sink.got == list(range(RECORDS))


def write_and_remove(topic: str) -> None:
    """Put entries behind what was committed, and have the broker drop all, as retention does."""
    producer = Producer({"bootstrap.servers": BOOTSTRAP})
    for _ in range(10):
        producer.produce(topic, b"{}", partition=0)
    assert producer.flush(PATIENCE_S) == 0
    end = TopicPartition(topic, 0, OFFSET_END)
    admin = AdminClient({"bootstrap.servers": BOOTSTRAP})
    for future in admin.delete_records([end]).values():
        future.result(PATIENCE_S)
