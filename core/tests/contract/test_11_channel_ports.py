"""Section 11: the ports that carry records: parameters, names, what is sent and retrieved.

What becomes of records when members fail, of groups, waits and ends is promised in docs/channels.md and tested beside the
channels, in ``core/tests/channels`` and by the kit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.abstracts import channel_ports
from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.errors import RecordError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import ExtendedPlugin, InputPortPlugin, OutputPortPlugin, ResourceHandlerPlugin
from pypz.executors.operator.executor import OperatorExecutor
from pypz.executors.pipeline.executor import PipelineExecutor

SEEN: dict[str, Any] = {}
WRITE: list[Callable[[ChannelOutputPort], None]] = []
READ: list[Callable[[ChannelInputPort], None]] = []


class Writer(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()

    def _on_running(self) -> bool:
        WRITE[0](self.output_port)
        return True


class Reader(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()

    def _on_running(self) -> None:
        records = self.input_port.retrieve()
        assert type(records) is list
        SEEN.setdefault(self.get_simple_name(), []).extend(records)
        if READ:
            READ[0](self.input_port)


class Demo(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.first = Reader()
        self.second = Reader()
        self.first.input_port.connect(self.writer.output_port)
        self.writer.output_port.connect(self.second.input_port)


@pytest.fixture
def pipeline(request: pytest.FixtureRequest) -> Demo:
    made = Demo("demo")
    made.set_parameter(">>channelLocation", f"memory:{request.node.name}")
    return made


@pytest.fixture
def run(pipeline: Demo) -> Iterator[Callable[[], dict[str, int]]]:
    host = PluginHost()
    yield lambda: PipelineExecutor(pipeline, host=host).start()
    host.close()
    for kept in (SEEN, WRITE, READ):
        kept.clear()


def test_input_ports_have_their_parameters_types_and_defaults() -> None:
    port = ChannelInputPort("x")
    described = port.get_expected_parameters()
    wanted: dict[str, tuple[str, bool, Any]] = {
        "channelLocation": ("str", True, None),
        "channelConfig": ("dict", False, {}),
        "sequentialModeEnabled": ("bool", False, False),
        "portOpenTimeoutMs": ("int", False, 0),
        "syncConnectionsOpen": ("bool", False, False),
    }
    for name, (kind, is_required, default) in wanted.items():
        found = described[name]
        assert (found["type"], found["required"], found["currentValue"]) == (kind, is_required, default), name
    assert port.get_missing_required_parameters() == {"x": {"channelLocation"}}


def test_output_ports_have_their_parameters_types_and_defaults() -> None:
    described = ChannelOutputPort("x").get_expected_parameters()
    assert (described["channelLocation"]["required"], described["channelLocation"]["currentValue"]) == (True, None)
    assert (described["channelConfig"]["type"], described["channelConfig"]["currentValue"]) == ("dict", {})
    assert (described["portOpenTimeoutMs"]["type"], described["portOpenTimeoutMs"]["currentValue"]) == ("int", 0)


def test_the_names_of_parameters_can_be_imported() -> None:
    names = {name: value for name, value in vars(channel_ports).items() if name.startswith("ParamKey")}
    assert sorted(names.values()) == [
        "channelConfig",
        "channelLocation",
        "portOpenTimeoutMs",
        "sequentialModeEnabled",
        "syncConnectionsOpen",
    ]


def test_channel_ports_are_ports_resource_handlers_and_extended_plugins() -> None:
    for port, kind in ((ChannelInputPort("x"), InputPortPlugin), (ChannelOutputPort("x"), OutputPortPlugin)):
        assert isinstance(port, kind)
        assert isinstance(port, ResourceHandlerPlugin)
        assert isinstance(port, ExtendedPlugin)


def test_schema_and_group_mode_are_what_the_constructor_was_told() -> None:
    port = ChannelInputPort("x", "schema", True)
    assert (port.get_schema(), port.is_in_group_mode()) == ("schema", True)
    assert ChannelOutputPort("x", "schema").get_schema() == "schema"


@pytest.mark.parametrize(
    ("port", "keyword"), [(ChannelInputPort, "channel_reader_type"), (ChannelOutputPort, "channel_writer_type")]
)
def test_a_channel_class_is_a_type_error_that_names_what_takes_its_place(port: Any, keyword: str) -> None:
    with pytest.raises(TypeError, match=f"{keyword}=.*Transport.*migration"):
        port("x", **{keyword: object})
    assert port("x", **{keyword: None}).get_simple_name() == "x"


def test_a_channel_is_named_after_the_input_port_of_the_groups_principal() -> None:
    pipeline = Demo("demo")
    pipeline.first.set_parameter("replicationFactor", 1)
    copied = pipeline.first.get_replica(0).materialize()
    assert pipeline.first.input_port.channel_names() == copied.input_port.channel_names() == ("demo.first.input_port",)
    assert pipeline.writer.output_port.channel_names() == ("demo.first.input_port", "demo.second.input_port")


def test_send_writes_a_list_to_every_connected_input_port(run: Callable[[], dict[str, int]]) -> None:
    WRITE.append(lambda port: port.send([{"n": n} for n in range(3)]))
    assert set(run().values()) == {0}
    assert SEEN == {"first": [{"n": 0}, {"n": 1}, {"n": 2}], "second": [{"n": 0}, {"n": 1}, {"n": 2}]}


def test_what_is_no_list_is_a_type_error_of_send(run: Callable[[], dict[str, int]]) -> None:
    def write(port: ChannelOutputPort) -> None:
        for data in ({"n": 1}, ({"n": 1},), None):
            with pytest.raises(TypeError, match="expected a list of records"):
                port.send(data)

    WRITE.append(write)
    assert set(run().values()) == {0}
    assert SEEN == {"first": [], "second": []}


@pytest.mark.parametrize("framing", ["batch", "record"])
def test_a_record_that_is_refused_is_named_by_its_place_in_the_users_list(
    pipeline: Demo, run: Callable[[], dict[str, int]], framing: str
) -> None:
    def write(port: ChannelOutputPort) -> None:
        with pytest.raises(ValueError, match=r"^demo\.writer\.output_port: record 2500: .*JSON") as caught:
            port.send([*({"n": n} for n in range(2500)), {"n": object()}, {"n": 0}])
        assert isinstance(caught.value, RecordError)

    WRITE.append(write)
    pipeline.set_parameter(">>framing", framing)
    assert set(run().values()) == {0}
    assert SEEN == {"first": [], "second": []}


def test_what_was_retrieved_can_be_committed_at_any_time(run: Callable[[], dict[str, int]]) -> None:
    WRITE.append(lambda port: port.send([{"n": 1}]))
    READ.append(lambda port: port.commit_current_read_offset())
    assert set(run().values()) == {0}
    assert SEEN["first"] == [{"n": 1}]


@pytest.mark.parametrize("call", ["retrieve", "can_retrieve", "commit_current_read_offset"])
def test_a_port_that_is_not_open_is_a_permission_error(call: str) -> None:
    with pytest.raises(PermissionError, match="the port is not open"):
        getattr(Demo("demo").first.input_port, call)()
    with pytest.raises(PermissionError, match="the port is not open"):
        Demo("demo").writer.output_port.send([{"n": 1}])


def test_an_input_port_waits_for_a_writer_no_longer_than_it_is_told(pipeline: Demo) -> None:
    pipeline.first.set_parameter(">portOpenTimeoutMs", 1)
    errors: list[Exception] = []
    object.__setattr__(pipeline.first, "_on_error", lambda source, exception: errors.append(exception))
    host = PluginHost()
    assert OperatorExecutor(pipeline.first, host=host).execute() == 114
    host.close()
    assert isinstance(errors[0], TimeoutError)


def test_an_input_port_without_connection_does_not_wait() -> None:
    class Alone(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.reader = Reader()

    pipeline = Alone("alone")
    pipeline.set_parameter(">>channelLocation", "memory:alone")
    host = PluginHost()
    assert PipelineExecutor(pipeline, host=host).start() == {"alone.reader": 0}
    host.close()
