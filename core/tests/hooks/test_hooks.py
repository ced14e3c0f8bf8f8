"""Each hook of the specification, by its name; and the lists that must be one."""

import inspect
import re
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest

from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError, PluginError, SchemaError
from pypz.core.hooks import asking, spec
from pypz.core.hooks.events import (
    ChannelStatus,
    DeployedRef,
    ErrorInfo,
    LogRecord,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.core.hooks.host import BUILDING, OBSERVING, PluginHost
from pypz.core.hooks.loader import HOOKS
from pypz.core.hooks.spec import hookimpl

PIPELINE = PipelineRef("pipeline", "run1")
OPERATOR = OperatorRef("pipeline", "run1", "pipeline.reader", 0, "start1")
PORT = PortRef(OPERATOR, "input_port", "in", ("pipeline.reader.input_port",))


def status(records: int, channel: str = "pipeline.reader.input_port") -> ChannelStatus:
    return ChannelStatus(PORT, channel, "open", records, 1, 10)


class Answer:
    """Has whatever is asked for."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: None


class Builder:
    """Answers building hooks with what it was given."""

    PYPZ_SCHEMES = ("here",)

    def __init__(self, answer: Any) -> None:
        self.answer = answer
        self.asked: list[Any] = []

    def _give(self, *asked: Any) -> Any:
        self.asked.append(asked)
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    @hookimpl
    def pypz_make_transport(self, location: str, options: Mapping[str, str]) -> Any:
        return self._give(location, options)

    @hookimpl
    def pypz_make_codec(self, schema: Any, content_type: str) -> Any:
        return self._give(schema, content_type)

    @hookimpl
    def pypz_make_deployer(self, target: str, options: Mapping[str, str]) -> Any:
        return self._give(target, options)

    @hookimpl
    def pypz_make_logger(self, operator: Any) -> Any:
        return self._give(operator)


# --- building ---------------------------------------------------------------------------------------------------------


def test_hook_make_transport(host: PluginHost) -> None:
    first, silent, second = Answer(), Builder(None), Answer()
    host.register(Builder(second), "second")
    host.register(silent, "silent")
    host.register(Builder(first), "first")
    assert host.make_transport("here:x", {"a": "1"}) is first
    assert silent.asked == []
    host.unregister("first")
    assert host.make_transport("here:x", {"a": "1"}) is second
    assert silent.asked == [("here:x", {"a": "1"})]


def test_hook_make_codec(host: PluginHost) -> None:
    answer = Answer()
    builder = Builder(answer)
    host.register(builder)
    assert host.make_codec({"a": "schema"}, "mine") is answer
    assert builder.asked == [({"a": "schema"}, "mine")]


def test_hook_make_logger(host: PluginHost) -> None:
    assert host.make_logger(object()) is None  # type: ignore[arg-type]
    answer: Any = Answer()
    host.register(Builder(answer))
    assert host.make_logger(object()) is answer  # type: ignore[arg-type]


def test_hook_make_deployer(host: PluginHost) -> None:
    with pytest.raises(
        ConfigurationError, match=r'nothing deploys to \'kubernetes\'; pip install "pypz\[kubernetes\]" br'
    ):
        host.make_deployer("kubernetes", {})
    answer: Any = Answer()
    builder = Builder(answer)
    host.register(builder)
    assert host.make_deployer("kubernetes", {"namespace": "n"}) is answer
    assert builder.asked == [("kubernetes", {"namespace": "n"})]


def test_an_error_raised_on_purpose_passes_and_any_other_names_the_plugin(host: PluginHost) -> None:
    host.register(Builder(SchemaError("no such field")), "careful")
    with pytest.raises(SchemaError, match=r"^no such field$"):
        host.make_codec("{}")
    host.unregister("careful")
    host.register(Builder(KeyError("field")), "careless")
    with pytest.raises(PluginError, match="plugin 'careless': pypz_make_codec raised KeyError: 'field'") as caught:
        host.make_codec("{}")
    assert isinstance(caught.value.__cause__, KeyError)


@pytest.mark.parametrize("answer", [KeyError("field"), RecursionError(), SystemExit(3), "a text"])
def test_a_plugin_that_fails_is_named_and_another_one_answers(
    host: PluginHost, answer: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    host.register(Builder(Answer()), "good")
    bad = Builder(answer)
    host.register(bad, "bad")
    for _ in range(2):
        assert isinstance(host.make_transport("here:x", {}), Answer)
    assert len(bad.asked) == 2
    assert capsys.readouterr().err.count("plugin 'bad': pypz_make_transport") == 1


def test_what_one_plugin_says_of_its_own_counts_more_than_that_another_failed(
    host: PluginHost, capsys: pytest.CaptureFixture[str]
) -> None:
    host.register(Builder(SchemaError("no such field")), "careful")
    host.register(Builder(KeyError("field")), "careless")
    with pytest.raises(SchemaError, match=r"^no such field$"):
        host.make_codec("{}")
    assert "plugin 'careless': pypz_make_codec raised KeyError" in capsys.readouterr().err


def test_a_building_hook_that_does_not_answer_is_named_while_it_lasts(
    host: PluginHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    told = threading.Event()

    def say(text: str) -> None:
        said.append(text)
        told.set()

    monkeypatch.setattr(asking, "BUSY_HOOK_S", 0.05)
    monkeypatch.setattr(asking, "say", say)

    class Slow(Builder):
        @hookimpl
        def pypz_make_transport(self, location: str, options: Mapping[str, str]) -> Any:
            assert told.wait(30)

    host.register(Slow(None), "slow")
    with pytest.raises(ConfigurationError):
        host.make_transport("nobody:x", {})
    assert said[0].startswith("plugin 'slow': pypz_make_transport has not answered for 0.05 s")
    assert "PYPZ_PLUGINS_DISABLED=slow" in said[0]


def test_a_nonsense_answer_names_the_plugin(host: PluginHost) -> None:
    host.register(Builder("a text"), "odd")
    with pytest.raises(
        PluginError, match="plugin 'odd': pypz_make_transport answered with a str, which has no create_ch"
    ):
        host.make_transport("here:x", {})


@pytest.mark.parametrize(
    ("location", "error", "words"),
    [
        ("kafka://b:9092", ConfigurationError, r'no transport for kafka:; pip install "pypz\[kafka\]" brings kafka:'),
        ("amqp://u:geheim@b", NotBuiltYetError, "amqp: comes with a later version; installed here: here:"),
        ("zebra:x", ConfigurationError, "no transport for zebra:; installed here: here:"),
        ("b:9092,c:9092", ConfigurationError, "names no transport.*for Kafka write 'kafka://b:9092,c:9092'"),
        ("nowhere", ConfigurationError, "'nowhere' names no transport, as 'memory:demo' would; installed here: here:"),
        ("here:x", ConfigurationError, "here: is installed, but refuses it; meant 'here://x'[?]$"),
        ("here://x", ConfigurationError, "here: is installed, but refuses it$"),
        ("", ConfigurationError, "'': is empty text, expected such as 'memory:demo'.*a variable in .* not set"),
        (" ", ConfigurationError, "' ': is empty text"),
    ],
)
def test_an_unknown_scheme_tells_the_way_out(
    host: PluginHost, location: str, error: type[Exception], words: str
) -> None:
    host.register(Builder(None))
    with pytest.raises(error, match=words) as caught:
        host.make_transport(location, {})
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize(
    ("schema", "content_type", "words"),
    [
        ('{"type": "record"}', "", r'a schema of type str; pip install "pypz\[avro\]" brings Avro'),
        (None, "avro", r"content type 'avro'; pip install"),
        (None, "cobol", "no codec for content type 'cobol'$"),
        (object, "", "a schema of type type$"),
    ],
)
def test_an_unknown_schema_tells_the_way_out(host: PluginHost, schema: Any, content_type: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        host.make_codec(schema, content_type)


# --- observing --------------------------------------------------------------------------------------------------------


def told_by(host: PluginHost, observer: Any) -> list[tuple[object, ...]]:
    assert host.flush(10)
    return list(observer.told)


def test_hook_pipeline_started(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    host.pipeline_started(PIPELINE)
    assert told_by(host, observer) == [("pipeline_started", PIPELINE)]


def test_hook_pipeline_finished(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    host.pipeline_finished(PIPELINE, "failed")
    assert told_by(host, observer) == [("pipeline_finished", PIPELINE, "failed")]


def test_hook_operator_state_changed(host: PluginHost, observer: Any) -> None:
    class Timed:
        moments: ClassVar[list[float]] = []

        @hookimpl
        def pypz_operator_state_changed(self, at_utc: float) -> None:
            self.moments.append(at_utc)

    host.register(observer)
    host.register(Timed())
    before = time.time()
    host.operator_state_changed(OPERATOR, "StateEntry", "StateServiceStart")
    assert told_by(host, observer) == [("operator_state_changed", OPERATOR, "StateEntry", "StateServiceStart")]
    host.operator_state_changed(OPERATOR, "StateServiceStart", "StateKilled", 7.0)
    assert host.flush(10)
    assert before <= Timed.moments[0] <= time.time()
    assert Timed.moments[1:] == [7.0]


def test_hook_operator_failed(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    error = ErrorInfo("ValueError", "no")
    host.operator_failed(OPERATOR, "StateOperationInit", error)
    assert told_by(host, observer) == [("operator_failed", OPERATOR, "StateOperationInit", error)]


def test_hook_operator_finished(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    host.operator_finished(OPERATOR, 115)
    assert told_by(host, observer) == [("operator_finished", OPERATOR, 115)]


def test_hook_port_opened(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    host.port_opened(PORT)
    assert told_by(host, observer) == [("port_opened", PORT)]


def test_hook_port_closed(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    host.port_closed(PORT)
    assert told_by(host, observer) == [("port_closed", PORT)]


def test_hook_channel_status(host: PluginHost, observer: Any) -> None:
    """The latest of each port and channel is kept while an observer is at work."""
    hold, begun = threading.Event(), threading.Event()

    class Slow:
        @hookimpl
        def pypz_pipeline_started(self, pipeline: PipelineRef) -> None:
            begun.set()
            hold.wait(4)

    host.register(Slow(), "slow")
    host.register(observer)
    host.pipeline_started(PIPELINE)
    assert begun.wait(10)
    for records in range(100):
        host.channel_status(status(records))
        host.channel_status(status(records, "pipeline.other.input_port"))
    hold.set()
    told = [entry[1] for entry in told_by(host, observer) if entry[0] == "channel_status"]
    assert told == [status(99), status(99, "pipeline.other.input_port")]


def test_hook_process_status(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    used = ProcessStatus("pipeline", "run", "host", 7, cpu_s=1.5, clock_s=3.0, memory_bytes=4096, threads=5)
    host.process_status(used)
    assert told_by(host, observer) == [("process_status", used)]


def test_hook_log(host: PluginHost, observer: Any) -> None:
    line = LogRecord(OPERATOR, "INFO", "read 3 files", ("pipeline.reader",), 1.0, 1)
    assert not host.wants("pypz_log")
    assert host.log(line)
    host.register(observer)
    assert host.wants("pypz_log")
    assert host.log(line)
    assert told_by(host, observer) == [("log", line)]


def test_hook_deployment_changed(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    member = DeployedRef("pipeline", "pipeline.reader_0", "here")
    host.deployment_changed(member, "Failed", "OOMKilled")
    assert told_by(host, observer) == [("deployment_changed", member, "Failed", "OOMKilled")]


# --- plugins of a host ------------------------------------------------------------------------------------------------


def test_a_plugin_registered_by_code_is_held_against_the_contract_and_reported(host: PluginHost, observer: Any) -> None:
    assert host.register(observer, "mine") == "mine"
    report = host.reports[0]
    assert (report.name, report.state, report.hooks) == ("mine", "loaded", OBSERVING)
    with pytest.raises(PluginError, match="registered already, as 'mine'"):
        host.register(observer, "again")
    with pytest.raises(PluginError, match="this name is taken"):
        host.register(Builder(None), "mine")

    class Odd:
        def pypz_port_opened(self, port: PortRef) -> None: ...

    with pytest.raises(PluginError, match="plugin 'odd': pypz_port_opened carries no @hookimpl"):
        host.register(Odd(), "odd")
    host.unregister(observer)
    host.unregister(observer)
    assert host.reports == ()


def test_an_unregistered_observer_is_told_nothing_more(host: PluginHost, observer: Any) -> None:
    host.register(observer)
    host.port_opened(PORT)
    assert host.flush(10)
    host.unregister(observer)
    host.port_closed(PORT)
    assert told_by(host, observer) == [("port_opened", PORT)]


def test_the_installed_host_knows_the_core(observer: Any) -> None:
    host = PluginHost()
    core = next(report for report in host.reports if report.name == "core")
    assert (core.dist, core.state, core.hooks) == ("pypz", "loaded", ("pypz_make_transport", "pypz_make_codec"))
    with pytest.raises(ConfigurationError, match="write for instance 'memory:demo'"):
        host.make_transport("memory:", {})
    first = host.make_transport("memory:one", {})
    second = host.make_transport("memory://one", {})
    assert first is not second
    first.close()
    second.close()
    assert host.make_codec(None).content_type == "json"


# --- one list ---------------------------------------------------------------------------------------------------------


def test_every_hook_has_a_typed_method_of_the_same_arguments() -> None:
    for name, function in HOOKS.items():
        method = getattr(PluginHost, name.removeprefix("pypz_"))
        assert list(inspect.signature(method).parameters)[1:] == list(inspect.signature(function).parameters)
        assert inspect.signature(method).return_annotation != inspect.Signature.empty


def test_every_hook_is_specified_documented_and_tested() -> None:
    assert set(HOOKS) == {name for name in vars(spec) if name.startswith("pypz_")}
    assert tuple(HOOKS) == (*BUILDING, *OBSERVING)
    tests = {name for name in globals() if name.startswith("test_hook_")}
    assert tests == {f"test_hook_{name.removeprefix('pypz_')}" for name in HOOKS}
    for name, function in HOOKS.items():
        assert len((function.__doc__ or "").strip()) > 20, name
    page = Path(__file__).parents[3] / "docs" / "hooks.md"
    if page.exists():
        headings = set(re.findall(r"^#+ .*?(pypz_\w+)", page.read_text(), re.MULTILINE))
        assert headings == set(HOOKS)
