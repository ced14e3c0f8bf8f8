"""Where the news come from: streams that open late, fail, and come back."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import StatusStream, Transport
from pypz.core.channels.status import pack
from pypz.core.commons.errors import ConfigurationError, TransportError
from pypz.core.hooks.events import ChannelStatus, OperatorRef, PortRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.relay import Relay
from pypz.core.hooks.spec import hookimpl
from pypz.sniffer.model.frames import Frame, Mood
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.sources.feed import Feed


class Broken:
    """A plugin whose transport cannot open status streams until it is mended."""

    def __init__(self) -> None:
        self.is_mended = threading.Event()

    @hookimpl
    def pypz_make_transport(self, location: str, options: Mapping[str, str]) -> Transport | None:
        transport: Any = MemoryTransport(location.removeprefix("broken:"), {})
        opened = transport.open_status

        def open_status(pipeline: str, create: bool) -> StatusStream:
            if not self.is_mended.is_set():
                raise TransportError("connection refused")
            stream: StatusStream = opened(pipeline, create)
            return stream

        described = transport.describe_channel

        def describe_channel(name: str) -> object:
            if not self.is_mended.is_set():
                raise TransportError("connection lost")
            return described(name)

        transport.open_status = open_status
        transport.describe_channel = describe_channel
        return transport  # type: ignore[no-any-return]


def wait_for(model: PipelineModel, look: Callable[[Frame], bool]) -> Frame:
    deadline = time.monotonic() + 10
    pause = threading.Event()
    while not look(model.frame()):
        assert time.monotonic() < deadline, model.frame()
        pause.wait(0.02)
    return model.frame()


@pytest.fixture
def broken() -> Broken:
    return Broken()


@pytest.fixture
def host(broken: Broken) -> PluginHost:
    made = PluginHost(load=False)
    made.register(broken, "broken")
    return made


def test_a_location_that_is_away_is_named_and_tried_again(host: PluginHost, broken: Broken) -> None:
    name = str(uuid.uuid4())
    model = PipelineModel("p")
    feed = Feed(model, "p", [(f"broken:{name}", {})], host)
    feed.start()
    try:
        frame = wait_for(model, lambda frame: bool(frame.notice))
        assert frame.notice == f"broken:{name}: no news from there, trying again: connection refused"
        broken.is_mended.set()
        wait_for(model, lambda frame: not frame.notice)
        tell_of_a_run(name)
        frame = wait_for(model, lambda frame: bool(frame.members) and frame.members[0].mood is Mood.RUNNING)
        assert (frame.run, [m.name for m in frame.members]) == ("r1", ["p.writer", "p.writer_0"])
    finally:
        feed.close()


def test_corrupt_entries_are_told_and_those_of_older_and_newer_versions_are_read(
    host: PluginHost, broken: Broken
) -> None:
    name = str(uuid.uuid4())
    broken.is_mended.set()
    stream = MemoryTransport(name, {}).open_status("p", create=True)
    stream.put("run/r1", pack(v=9, run="r1", pipeline="p", groups={"p.old": 1, "p.new": 1}, tint="blue"))
    old = {"pipeline": "p", "run": "r1", "name": "p.old", "index": 0, "start": "s1"}
    stream.put("state/p.old", pack(operator=old, new="StateOperationRunning"))
    new = {**old, "v": 9, "name": "p.new", "zone": "b"}
    port = {"v": 9, "operator": new, "name": "in", "direction": "in", "channels": ["p.new.in"]}
    way = {"way": ["StateEntry", "StateOperationRunning"], "way_utc": [1.0, 2.0], "hue": 3}
    stream.put("state/p.new", pack(v=9, operator=new, new="StateOperationRunning", **way))
    figures = {"channel": "p.new.in", "state": "resting", "records": 7, "blocks": 1, "size_bytes": 9, "depth": {}}
    stream.put("status/p.new/in/p.new.in", pack(v=9, port=port, **figures))
    stream.put("exit/p.old", b"\xff not JSON")
    model = PipelineModel("p")
    feed = Feed(model, "p", [(f"broken:{name}", {})], host)
    feed.start()
    try:
        wait_for(model, lambda frame: frame.notice.startswith("1 entry of the status streams cannot be read"))
        frame = wait_for(model, lambda frame: len(frame.members) == 2)
        assert {m.name: (m.mood, m.since_utc) for m in frame.members} == {
            "p.old": (Mood.RUNNING, 0.0),
            "p.new": (Mood.RUNNING, 2.0),
        }
        assert [(p.state, p.records) for m in frame.members for p in m.ports] == [("resting", 7)]
    finally:
        feed.close()


def test_silence_of_all_is_told_from_a_location_that_is_away(host: PluginHost, broken: Broken) -> None:
    name = str(uuid.uuid4())
    ahead = [0.0]
    model = PipelineModel("p", clock=lambda: time.monotonic() + ahead[0])
    broken.is_mended.set()
    feed = Feed(model, "p", [(f"broken:{name}", {})], host)
    feed.start()
    try:
        tell_of_a_run(name)
        wait_for(model, lambda frame: bool(frame.members) and frame.members[0].mood is Mood.RUNNING)
        broken.is_mended.clear()
        ahead[0] = 4.0
        frame = wait_for(model, lambda frame: bool(frame.notice))
        assert "connection lost" in frame.notice
        ahead[0] = 100.0
        assert model.frame().members[0].mood is Mood.RUNNING
        broken.is_mended.set()
        wait_for(model, lambda frame: not frame.notice)
        assert model.frame().members[0].mood is Mood.RUNNING
        ahead[0] = 110.0
        assert model.frame().members[0].mood is Mood.LOST
    finally:
        feed.close()


def test_who_comes_after_a_failed_run_sees_its_last_figures(host: PluginHost, broken: Broken) -> None:
    name = str(uuid.uuid4())
    broken.is_mended.set()
    stream = MemoryTransport(name, {}).open_status("p", create=True)
    stream.put("run/r1", pack(run="r1", pipeline="p", groups={"p.reader": 1}, started_utc=time.time() - 60))
    relay = Relay("p", "r1", [stream])
    operator = OperatorRef("p", "r1", "p.reader", 0, "s1")
    port = PortRef(operator, "in", "in", ("p.reader.in",))
    relay.pypz_channel_status(ChannelStatus(port, "p.reader.in", "failed", 7, 1, 9, at_utc=time.time() - 48))
    relay.pypz_operator_finished(operator, 115)
    assert relay.close(5)
    stream.put("finished/r1", pack(run="r1", outcome="failed"))
    model = PipelineModel("p")
    feed = Feed(model, "p", [(f"broken:{name}", {})], host)
    feed.start()
    try:
        frame = wait_for(model, lambda frame: frame.mood is Mood.FAILED)
        assert frame.had_ended
        assert int(frame.elapsed_s) == 12
        [reader] = frame.members
        assert (reader.mood, reader.exit_code) == (Mood.FAILED, 115)
        assert [(p.state, p.records) for p in reader.ports] == [("failed", 7)]
    finally:
        feed.close()


def tell_of_a_run(name: str) -> None:
    stream = MemoryTransport(name, {}).open_status("p", create=True)
    stream.put("run/r1", pack(run="r1", pipeline="p", groups={"p.writer": 2}, started_utc=time.time()))
    relay = Relay("p", "r1", [stream])
    relay.pypz_operator_state_changed(OperatorRef("p", "r1", "p.writer", 0, "s1"), "", "StateOperationRunning", 0.0)
    assert relay.close(5)


def test_news_of_this_process_need_no_location(host: PluginHost) -> None:
    model = PipelineModel("p")
    feed = Feed(model, "p", [], host)
    feed.start()
    host.operator_state_changed(OperatorRef("p", "r1", "p.writer", 0, "s1"), "", "StateOperationRunning")
    wait_for(model, lambda frame: frame.run == "r1")
    feed.close()
    host.operator_state_changed(OperatorRef("p", "r1", "p.writer", 0, "s1"), "", "StateOperationShutdown")
    assert host.flush(5)
    assert model.frame().members[0].mood is Mood.RUNNING


def test_a_location_of_nobodys_scheme_is_refused_at_start() -> None:
    feed = Feed(PipelineModel("p"), "p", [("nothing://x", {})], PluginHost(load=False))
    with pytest.raises(ConfigurationError, match="nothing"):
        feed.start()
    feed.close()


def test_closing_twice_and_before_anything_opened_is_harmless(host: PluginHost) -> None:
    feed = Feed(PipelineModel("p"), "p", [("broken:x", {})], host)
    feed.start()
    feed.close()
    feed.close()
