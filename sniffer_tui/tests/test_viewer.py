"""The viewer as users meet it: real pipelines in this process, documents, the command line."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sniffer_tui.tests.project.sniffed_pipelines import Reader, TwoSteps, Writer

from pypz.cli.main import app
from pypz.core.commons.errors import ConfigurationError
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.sniffer.__main__ import document_of
from pypz.sniffer.model.plan import levels, plan_of, reachable_locations, unset_places
from pypz.sniffer.programs import PipelineSniffer, watching, write_pictures
from pypz.sniffer.sources.feed import check_reach
from pypz.sniffer.viewer import PipelineSnifferViewer, write_line

PROJECT = Path(__file__).parent / "project"


@pytest.fixture
def gate(tmp_path: Path) -> Iterator[Path]:
    """The writer goes on when this file is there; in the end always, so that no thread stays."""
    yield tmp_path / "gate"
    (tmp_path / "gate").touch()


@pytest.fixture
def pipeline(gate: Path) -> TwoSteps:
    made = TwoSteps("demo")
    made.set_parameter(">>channelLocation", f"memory:{uuid.uuid4()}")
    made.writer.set_parameter("gate", str(gate))
    return made


class Told(io.StringIO):
    """Stands in for standard output: opens the gate when a line with ``part`` comes."""

    def __init__(self, part: str, gate: Path) -> None:
        super().__init__()
        self._part = part
        self._gate = gate

    def write(self, text: str) -> int:
        if self._part in text:
            self._gate.touch()
        return super().write(text)


def executing(pipeline: TwoSteps) -> threading.Thread:
    thread = threading.Thread(target=PipelineExecutor(pipeline).start, daemon=True)
    thread.start()
    return thread


def test_a_run_in_this_process_is_watched_from_its_start_to_its_final_counts(
    pipeline: TwoSteps, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.reader.set_parameter("replicationFactor", 1)
    stdout = Told("writer.out: open 10 records", gate)
    monkeypatch.setattr(sys, "stdout", stdout)
    executor = executing(pipeline)
    PipelineSnifferViewer(pipeline).mainloop()
    executor.join(10)
    told = stdout.getvalue().splitlines()
    assert any("writer.out: closed 30 records" in line for line in told), told
    counts = [int(line.split("closed ")[1].split()[0]) for line in told if "reader" in line and "closed" in line]
    assert (len(counts), sum(counts)) == (2, 30)
    assert [line for line in told if "finished" in line][-1].startswith("demo: finished after 0:0")
    for thread in threading.enumerate():
        if thread.name.startswith("pypz-sniffer"):  # mainloop() does not wait long for one that asks a location
            thread.join(30)
            assert not thread.is_alive()
    assert not [report for report in PluginHost.default().reports if report.name.startswith("sniffer-")]


def test_a_run_that_began_before_the_viewer_is_seen_with_all_its_counts(
    pipeline: TwoSteps, gate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = executing(pipeline)
    seen = threading.Event()

    class Counts:
        """Knows when the reader has got the ten records, so that the viewer comes after them."""

        @hookimpl
        def pypz_channel_status(self, status: object) -> None:
            if getattr(status, "records", 0) == 10:
                seen.set()

    observer = Counts()
    PluginHost.default().register(observer, "counts")
    try:
        assert seen.wait(10)
    finally:
        PluginHost.default().unregister(observer)
    stdout = Told("10 records", gate)
    monkeypatch.setattr(sys, "stdout", stdout)
    PipelineSnifferViewer(pipeline).mainloop()
    executor.join(10)
    told = stdout.getvalue()
    assert "writer.out: closed 30 records" in told
    assert "reader.inp: closed 30 records" in told


class FailsOnce(Reader):
    """Fails at its first records, after all others have ended; does well when it is started again."""

    has_failed = threading.Event()

    def _on_running(self) -> bool | None:
        if self.inp.retrieve() and not self.has_failed.is_set():
            threading.Event().wait(1)  # the writer has ended by then
            self.has_failed.set()
            raise ValueError("once")
        return None


class OftenStarted(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.reader = FailsOnce()
        self.reader.inp.connect(self.writer.out)


@pytest.mark.parametrize("form", ["plain", "json"])
def test_lines_go_on_where_the_last_one_at_work_has_failed_and_is_started_again(
    monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    FailsOnce.has_failed.clear()
    pipeline = OftenStarted("demo")
    pipeline.set_parameter(">>channelLocation", f"memory:{uuid.uuid4()}")
    codes: list[dict[str, int]] = []
    executor = PipelineExecutor(pipeline, on_failure="continue", max_restarts=1)
    thread = threading.Thread(target=lambda: codes.append(executor.start()), daemon=True)
    thread.start()
    stdout = io.StringIO()
    monkeypatch.setattr(sys, "stdout", stdout)
    if form == "plain":
        PipelineSnifferViewer(pipeline).mainloop()
    else:
        with watching(pipeline) as model:
            write_pictures(model, write_line)
    thread.join(20)
    told = stdout.getvalue().splitlines()
    assert codes == [{"demo.reader": 0, "demo.writer": 0}]
    assert FailsOnce.has_failed.is_set()
    if form == "plain":
        assert any(line.startswith("reader: failed 115 (ValueError: once)") for line in told), told
        assert told[-1].startswith("demo: finished after "), told[-1]
    else:
        pictures = [json.loads(line) for line in told]
        assert "failed" in [picture["mood"] for picture in pictures]
        assert pictures[-1]["mood"] == "finished"


def test_memory_of_another_process_is_refused_with_the_way_out(pipeline: TwoSteps) -> None:
    locations = reachable_locations(pipeline)
    with pytest.raises(ConfigurationError, match=r"memory: lives in one process.*channelLocation.*kafka://"):
        check_reach("demo", locations, can_run_here=False)
    check_reach("demo", locations, can_run_here=True)
    check_reach("demo", [*locations, ("kafka://b:9092", {})], can_run_here=False)


def test_a_pipeline_without_locations_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigurationError, match="none of its channel ports has a channelLocation"):
        check_reach("demo", reachable_locations(TwoSteps("demo")), can_run_here=False)


def test_a_variable_that_is_not_set_is_named_with_its_place_also_where_the_class_is_not_installed(
    pipeline: TwoSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline.set_parameter(">>channelLocation", "kafka://broker:9092")
    pipeline.set_parameter(">>channelConfig", {"sasl.username": "$(env:SOMEBODY:-me)", "sasl.password": "hidden"})
    text = document(pipeline)
    for given in (text, text.replace("pypz.abstracts.channel_ports:", "ports_elsewhere:")):
        rebuilt = PipelineSnifferViewer.create_from_string(given)._pipeline
        variables = [f"PYPZ_SECRET_DEMO_{port}_CHANNELCONFIG_SASL_PASSWORD" for port in ("READER_INP", "WRITER_OUT")]
        assert reachable_locations(rebuilt) == []
        with pytest.raises(ConfigurationError, match=rf"{variables[0]} is not set; set it where.*{variables[1]}"):
            check_reach("demo", [], can_run_here=False, unset=unset_places(rebuilt))
        for variable in variables:
            monkeypatch.setenv(variable, "found")
        options = {"sasl.username": "me", "sasl.password": "found"}
        assert (unset_places(rebuilt), reachable_locations(rebuilt)) == ([], [("kafka://broker:9092", options)])
        monkeypatch.delenv(variables[0])
        assert [told.partition(":")[0] for told in unset_places(rebuilt)] == ["demo.reader.inp"]
        monkeypatch.delenv(variables[1])


def test_ports_that_cannot_be_reached_are_told_while_the_others_are_watched(pipeline: TwoSteps, tmp_path: Path) -> None:
    pipeline.reader.inp.set_parameter("channelLocation", f"local:{tmp_path}")
    pipeline.writer.out.set_parameter("channelLocation", "kafka://$(env:PYPZ_NO_SUCH):9092")
    sniffer = PipelineSniffer(pipeline)
    assert sniffer.start()
    try:
        assert sniffer.sniff()["notice"].startswith(
            "demo.writer.out: channelLocation: environment variable PYPZ_NO_SUCH is not set; set it"
        )
    finally:
        sniffer.stop()


def test_the_plan_goes_from_left_to_right_with_replicas_beside_their_principal(pipeline: TwoSteps) -> None:
    pipeline.writer.set_parameter("replicationFactor", 2)
    assert [(o.name, o.group, o.index, o.level) for o in plan_of(pipeline)] == [
        ("demo.reader", "demo.reader", 0, 1),
        ("demo.writer", "demo.writer", 0, 0),
        ("demo.writer_0", "demo.writer", 1, 0),
        ("demo.writer_1", "demo.writer", 2, 0),
    ]
    assert [(p.name, p.direction, p.peers) for o in plan_of(pipeline)[:2] for p in o.ports] == [
        ("inp", "in", ("writer.out",)),
        ("out", "out", ("reader.inp",)),
    ]


def test_cycles_have_a_left_and_a_right_too() -> None:
    assert levels({"end": [], "b": ["a", "end"], "a": ["b"], "source": ["a"], "alone": ["alone"]}) == {
        "source": 0,
        "alone": 0,
        "a": 1,
        "b": 2,
        "end": 3,
    }


def document(pipeline: TwoSteps) -> str:
    """As from a project that is not installed here."""
    return str(pipeline).replace("sniffed_pipelines:", "project_elsewhere:")


def test_a_document_is_enough_its_classes_need_not_be_installed(pipeline: TwoSteps) -> None:
    viewer = PipelineSnifferViewer.create_from_string(document(pipeline))
    assert plan_of(viewer._pipeline) == plan_of(pipeline)
    assert reachable_locations(viewer._pipeline) == reachable_locations(pipeline)
    again = PipelineSnifferViewer.create_from_dto(viewer._pipeline.get_dto())
    assert plan_of(again._pipeline) == plan_of(pipeline)


def test_a_port_whose_class_is_not_installed_still_tells_its_location(pipeline: TwoSteps) -> None:
    pipeline.set_parameter(">>channelLocation", "broker:9092")
    pipeline.set_parameter(">>channelConfig", {"client.id": "me"})
    text = document(pipeline).replace("pypz.abstracts.channel_ports:", "ports_elsewhere:")
    viewer = PipelineSnifferViewer.create_from_string(text)
    assert reachable_locations(viewer._pipeline) == [("kafka://broker:9092", {"client.id": "me"})]


def test_the_document_may_be_given_itself_or_by_its_file(pipeline: TwoSteps, tmp_path: Path) -> None:
    text = str(pipeline)
    (tmp_path / "p.yaml").write_text(text)
    assert document_of(text) == text
    assert document_of(str(tmp_path / "p.yaml")) == text
    with pytest.raises(ConfigurationError, match=r"nothing\.yaml: cannot be read: No such file.*YAML"):
        document_of(str(tmp_path / "nothing.yaml"))


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, cwd=PROJECT, timeout=60)


def test_the_module_says_how_it_is_called_and_what_is_wrong(pipeline: TwoSteps, tmp_path: Path) -> None:
    assert run("-m", "pypz.sniffer").returncode == 2
    assert "DOCUMENT" in run("-m", "pypz.sniffer", "--help").stderr
    (tmp_path / "p.yaml").write_text(document(pipeline))
    ended = run("-m", "pypz.sniffer", str(tmp_path / "p.yaml"))
    assert (ended.returncode, "memory: lives in one process" in ended.stderr) == (1, True)
    assert "Traceback" not in ended.stderr


def test_the_command_names_what_is_wrong_in_one_line() -> None:
    ended = run("-m", "pypz.cli.main", "sniff", "sniffed_pipelines:TwoSteps", "-p", ">>channelLocation=memory:x")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "memory: lives in one process" in " ".join(ended.stderr.split())
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["localhost"], ["names no pipeline", "local:DIR", "--from kubernetes"]),
        (["sniffed_pipelines"], ["names no pipeline", "meant sniffed_pipelines:TwoSteps?"]),
        (["localhost:9092/x"], ["is not a location such as", "kafka://HOST:PORT", "no module 'localhost'"]),
        (["no.such:Class"], ["there is no module 'no'"]),
        (["."], ["'.' is a folder", "write 'local:.'"]),
        (["memory:x"], ["memory:x lives in one process", "local:DIR"]),
        (["local:./nothing"], ["local:./nothing: no pipeline has run there yet", "--name NAME waits"]),
        (["local:x", "-p", ">>channelConfig={a: b}"], ["'a'"]),
        (["local:x", "-p", "channelConfig={a: b}"], ["not for all ports", "expected -p '>>channelConfig="]),
        (["local:x", "-p", ">>channelConfig={a.password: '${env:NO_SUCH}'}"], ["NO_SUCH is not set", "-p '>>channel"]),
        (["local:x", "--once", "--web"], ["--web and --once exclude each other"]),
        (["local:x", "--json", "--plain"], ["--json and --plain exclude each other"]),
        (["local:x", "--seconds", "2"], ["add --once"]),
        (["local:x", "--web-port", "2"], ["add --web"]),
    ],
)
def test_wrong_input_is_named_with_what_is_accepted(
    arguments: list[str], words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    monkeypatch.setenv("COLUMNS", "400")
    with pytest.raises(SystemExit) as ended:
        app(["sniff", *arguments], prog_name="pypz")
    told = " ".join(capsys.readouterr().err.split())
    assert (ended.value.code, [word for word in words if word not in told]) == (1, []), told


def test_errors_are_objects_where_objects_are_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(PROJECT)
    with pytest.raises(SystemExit):
        app(["sniff", "nothing.yaml", "--json"], prog_name="pypz")
    assert json.loads(capsys.readouterr().out) == {
        "errors": ["nothing.yaml: cannot be read: No such file or directory"]
    }


def test_the_command_has_a_help() -> None:
    ended = run("-m", "pypz.cli.main", "sniff", "--help")
    assert ended.returncode == 0
    for word in ("--parameter", "--name", "--plain", "--next"):
        assert word in ended.stdout
