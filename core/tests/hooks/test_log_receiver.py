"""Log lines of a run, as a viewer elsewhere gets them."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import LogReader
from pypz.core.commons.errors import TransportError
from pypz.core.hooks import dispatcher, log_receiver
from pypz.core.hooks.events import LogRecord, OperatorRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.log_receiver import LogReceiver
from pypz.core.hooks.relay import Relay
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.misc import BlankOperator, BlankServicePlugin
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.plugins.loggers.default import DefaultLoggerPlugin

MEMBER = OperatorRef("pipe", "run1", "pipe.reader", 0, "start1")


def line(number: int) -> LogRecord:
    return LogRecord(MEMBER, "INFO", f"line {number}", ("pipe.reader",), 1.0, number)


class Lines:
    """Observes log lines, and lets wait until a certain one was told."""

    def __init__(self) -> None:
        self.told: list[LogRecord] = []
        self._came = threading.Condition()

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        with self._came:
            self.told.append(record)
            self._came.notify_all()

    def wait_for(self, text: str) -> None:
        with self._came:
            found = self._came.wait_for(lambda: any(text in record.text for record in self.told), 20)
        assert found, f"{text!r} was not told; {len(self.told)} other lines were"

    @property
    def numbers(self) -> list[int]:
        return [record.number for record in self.told]


@pytest.fixture
def location() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def memory(location: str) -> Iterator[MemoryTransport]:
    made = MemoryTransport(location)
    yield made
    made.close()


@pytest.fixture
def far() -> Iterator[tuple[PluginHost, Lines]]:
    """A viewer's own host."""
    host, lines = PluginHost(load=False), Lines()
    host.register(lines)
    yield host, lines
    host.close()


def test_what_the_relay_writes_is_told_again_to_viewers_before_and_after(
    memory: MemoryTransport, host: PluginHost, far: tuple[PluginHost, Lines]
) -> None:
    stream = memory.open_status("pipe", create=True)
    early = LogReceiver([memory], "pipe", far[0])
    relay = Relay("pipe", "run1", [stream])
    host.register(relay)
    for number in range(1, 101):
        assert host.log(line(number))
    assert host.flush(10)
    assert relay.close(10)
    far[1].wait_for("line 100")
    assert far[1].told == [line(number) for number in range(1, 101)]
    early.close()
    late = LogReceiver([memory], "pipe", far[0], kept=10)
    far[1].wait_for("line 100")
    late.close()
    assert far[0].flush(10)
    assert not [t for t in threading.enumerate() if t.name.startswith("pypz-log-receiver")]


def test_many_kept_lines_wait_for_observers_instead_of_being_lost(
    memory: MemoryTransport, far: tuple[PluginHost, Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatcher, "MAX_OFFERED", 7)
    monkeypatch.setattr(log_receiver, "TELL_S", 0.05)
    stream = memory.open_status("pipe", create=True)
    for number in range(500):
        stream.log(_packed(number))
    receiver = LogReceiver([memory], "pipe", far[0])
    far[1].wait_for("line 499")
    receiver.close()
    assert far[1].numbers == list(range(500))


def test_corrupt_lines_are_counted_and_newer_ones_read_as_far_as_known(
    memory: MemoryTransport, far: tuple[PluginHost, Lines]
) -> None:
    stream = memory.open_status("pipe", create=True)
    for value in (b"\xff", b"[]", b'{"v":1}', _packed(1).replace(b'"level":', b'"mood":"glad","level":')):
        stream.log(value)
    receiver = LogReceiver([memory], "pipe", far[0])
    far[1].wait_for("line 1")
    receiver.close()
    assert (receiver.corrupt, far[1].told) == (3, [line(1)])


def test_transports_that_keep_no_lines_are_told_of_and_those_that_fail_are_read_again(
    memory: MemoryTransport, far: tuple[PluginHost, Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_receiver, "FIRST_PAUSE_S", 0.01)
    memory.open_status("pipe", create=True).log(_packed(1))

    class Failing:
        def __init__(self) -> None:
            self.opened = 0

        def open_logs(self, pipeline: str, kept: int) -> LogReader:
            self.opened += 1
            if self.opened < 3:
                raise TransportError("no rights")
            return memory.open_logs(pipeline, kept)

    class Former: ...

    troubles: list[str] = []
    transports: list[Any] = [Failing(), Former()]
    receiver = LogReceiver(transports, "pipe", far[0], on_trouble=troubles.append)
    far[1].wait_for("line 1")
    receiver.close()
    assert receiver.left_out == 1
    assert troubles == ["log lines cannot be read: TransportError: no rights"] * 2 + [""]


def _packed(number: int) -> bytes:
    import json

    return json.dumps(line(number).to_json()).encode()


# --- a run ------------------------------------------------------------------------------------------------------------


class Talking(BlankOperator):
    """Logs by a logger that was asked for before anything ran."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.service = Service()
        self.early = self.get_logger()

    def _on_init(self) -> bool:
        self.early.info("begins with %s", "hunter2secret")
        self.get_logger().debug("a detail")
        return True

    def _on_running(self) -> bool:
        raise ValueError("hunter2secret is wrong")


class Service(BlankServicePlugin):
    def _on_service_start(self) -> bool:
        self.get_logger().warning("slow start")
        return True


class Shop(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.talker = Talking()


class Logging(Talking):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.logger = DefaultLoggerPlugin()


class LoggingShop(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.talker = Logging()


@pytest.mark.parametrize("has_logger", [False, True], ids=["no logger plugin", "a logger plugin"])
def test_lines_of_operator_plugins_and_executor_are_told_with_or_without_a_logger_plugin(
    has_logger: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PYPZ_SECRET_OF_TEST", "hunter2secret")
    host, lines = PluginHost(), Lines()
    host.register(lines)
    shop: Any = LoggingShop("shop") if has_logger else Shop("shop")
    shop.set_parameter(">>logLevel", "ERROR")
    assert OperatorExecutor(shop.talker, host=host).execute() != 0
    assert host.flush(10)
    told = {(record.level, record.context, record.text.partition("\n")[0]) for record in lines.told}
    assert ("INFO", ("shop.talker",), "begins with ***") in told
    assert ("WARNING", ("shop.talker.service",), "slow start") in told
    assert ("INFO", ("shop.talker", "StateEntry"), "(StateEntry)--[SignalServicesStart]-->(StateServiceStart)") in told
    assert ("ERROR", ("shop.talker", "StateOperationRunning"), "failed: ValueError: *** is wrong") in told
    assert not [record for record in lines.told if record.level == "DEBUG" or "hunter2" in record.text]
    assert lines.numbers == list(range(1, len(lines.told) + 1))
    assert len({record.operator for record in lines.told}) == 1
    before = len(lines.told)
    shop.talker.get_logger().error("after the end")
    assert host.flush(10)
    assert len(lines.told) == before
    assert ("ERROR" in capsys.readouterr().out) == has_logger
    host.close()


@pytest.mark.parametrize(("level", "told"), [("OFF", set()), ("DEBUG", {"DEBUG", "INFO", "WARNING", "ERROR"})])
def test_the_level_of_what_is_told_is_the_operators(level: str, told: set[str]) -> None:
    host, lines = PluginHost(), Lines()
    host.register(lines)
    shop = Shop("shop")
    shop.set_parameter(">logStreamLevel", level)
    with pytest.raises(Exception, match="hunter2secret is wrong"):
        PipelineExecutor(shop, host=host).start()
    assert host.flush(10)
    assert {record.level for record in lines.told} == told
    host.close()
