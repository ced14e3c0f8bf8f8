"""Every script of the guide, at every stage, runs as it stands: its blocks are joined by the guide's own helper.

Needs PYPZ_GUIDE, the folder with the guide and its helper; those marked ``broker`` need KAFKA_BOOTSTRAP, too. The guide
says ``localhost:9092``; where the broker listens elsewhere only that address is replaced.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

GUIDE = os.environ.get("PYPZ_GUIDE")
BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")

pytestmark = pytest.mark.skipif(not GUIDE, reason="needs PYPZ_GUIDE, the folder with the guide")
needs_broker = [pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")]

GUIDE_ADDRESS = "localhost:9092"
TIMEOUT_S = 120
RECORDS = 30


class Project:
    """The guide's project at one stage, in a folder of its own."""

    def __init__(self, folder: Path, stage: str, location: str = BOOTSTRAP, sleep: str = "0.02") -> None:
        self.folder = folder
        command = [sys.executable, f"{GUIDE}/guide_project.py", str(folder), "--stage", stage, "--sleep", sleep]
        subprocess.run(command, check=True)
        if not (location.endswith(":9092") and location.startswith(("localhost", "127.0.0.1"))):
            for script in self.scripts():
                script.write_text(script.read_text().replace(GUIDE_ADDRESS, location))

    def scripts(self) -> list[Path]:
        return sorted((self.folder / "pypz/example").glob("*.py"))

    def start(self, script: str, **environment: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, str(self.folder / f"pypz/example/{script}.py")],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.folder), "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **environment},
        )

    def run(self, script: str) -> tuple[int, str]:
        process = self.start(script)
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
        finally:
            process.kill()
        return process.returncode, output


def texts(output: str, verb: str) -> list[str]:
    """The texts of the records in the order of the lines that tell of them."""
    return re.findall(rf"{verb} record: +\{{'text': '([^']*)'\}}", output)


def hello(count: int = RECORDS) -> list[str]:
    return [f"HelloWorld_{number}" for number in range(count)]


@pytest.mark.parametrize("stage", ["print", "logger", "image", "parameters"])
def test_every_file_of_the_guide_compiles_unchanged(tmp_path: Path, stage: str) -> None:
    project = Project(tmp_path, stage, location=GUIDE_ADDRESS)
    assert len(project.scripts()) >= 4
    for script in project.scripts():
        compile(script.read_text(), str(script), "exec")


def test_without_a_location_all_missing_parameters_are_listed_at_once(tmp_path: Path) -> None:
    code, output = Project(tmp_path, "print").run("execute_missing")
    assert code == 1
    assert "pipeline.reader.input_port" in output
    assert "pipeline.writer.output_port" in output
    assert output.count("channelLocation") >= 2


@pytest.mark.parametrize(
    "location", [pytest.param(BOOTSTRAP, marks=needs_broker, id="kafka"), "memory:guide", "local:channels"]
)
def test_thirty_records_are_sent_and_thirty_received_in_order(tmp_path: Path, location: str) -> None:
    code, output = Project(tmp_path, "print", location).run("execute")
    assert code == 0, output
    assert texts(output, "Generated") == hello()
    assert texts(output, "Received") == hello()


@pytest.mark.parametrize(
    "location", [pytest.param(BOOTSTRAP, marks=needs_broker, id="kafka"), "memory:guide", "local:channels"]
)
def test_the_logger_prints_debug_lines_once_the_level_is_set(tmp_path: Path, location: str) -> None:
    project = Project(tmp_path, "logger", location)
    code, output = project.run("execute")
    assert code == 0, output
    assert texts(output, "Generated") == hello()
    assert texts(output, "Received") == hello()
    received = [line for line in output.splitlines() if "Received record" in line]
    assert all(line.startswith("DEBUG") and "pipeline.reader" in line for line in received)
    execute = project.folder / "pypz/example/execute.py"
    execute.write_text(re.sub(r".*logLevel.*\n", "", execute.read_text()))
    code, output = project.run("execute")
    assert (code, texts(output, "Received")) == (0, [])
    assert texts(output, "Generated") == hello()


@pytest.mark.parametrize(
    "location", [pytest.param(BOOTSTRAP, marks=needs_broker, id="kafka"), "memory:guide", "local:channels"]
)
def test_record_count_and_message_are_obeyed(tmp_path: Path, location: str) -> None:
    project = Project(tmp_path, "parameters", location)
    code, output = project.run("execute")
    assert code == 0, output
    assert texts(output, "Received") == [f"Other message_{number}" for number in range(30)]
    execute = project.folder / "pypz/example/execute.py"
    execute.write_text(execute.read_text().replace('"recordCount", 30', '"recordCount", 12'))
    code, output = project.run("execute")
    assert code == 0, output
    assert texts(output, "Received") == [f"Other message_{number}" for number in range(12)]


def test_the_required_parameter_of_the_writer_is_missed_by_name(tmp_path: Path) -> None:
    project = Project(tmp_path, "parameters", "memory:guide")
    execute = project.folder / "pypz/example/execute.py"
    execute.write_text(re.sub(r".*recordCount.*\n", "", execute.read_text()))
    code, output = project.run("execute")
    assert code == 1
    assert "recordCount" in output
    assert "pipeline.writer" in output


@pytest.mark.parametrize(
    "location", [pytest.param(BOOTSTRAP, marks=needs_broker, id="kafka"), "memory:guide", "local:channels"]
)
def test_with_replicas_each_record_comes_once_over_all_readers(tmp_path: Path, location: str) -> None:
    project = Project(tmp_path, "logger", location)
    execute = project.folder / "pypz/example/execute.py"
    factors = "".join(f'    pipeline.{name}.set_parameter("replicationFactor", 3)\n' for name in ("reader", "writer"))
    execute.write_text(execute.read_text().replace("    executor = ", f"{factors}\n    executor = ", 1))
    code, output = project.run("execute")
    assert code == 0, output
    assert sorted(texts(output, "Received")) == sorted(hello() * 4)
    readers = set(re.findall(r"(pipeline\.reader\w*).*Received record", output))
    assert len(readers) == 4


@pytest.fixture
def slow_project(tmp_path: Path) -> Project:
    return Project(tmp_path, "print", BOOTSTRAP, sleep="0.3")


class Watched:
    """Reads a process's output, so that a test can wait for a line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line)
                self._changed.notify_all()

    def wait_for(self, text: str) -> None:
        with self._changed:
            found = self._changed.wait_for(lambda: any(text in line for line in self.lines), TIMEOUT_S)
        assert found, f"no {text!r} in {''.join(self.lines)}"

    def end(self) -> str:
        self.process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return "".join(self.lines)


@pytest.mark.broker
@pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")
def test_a_second_start_is_refused_while_the_first_goes_on(slow_project: Project) -> None:
    first = Watched(slow_project.start("execute"))
    first.wait_for("Received record:  {'text': 'HelloWorld_2'}")
    code, output = slow_project.run("execute")
    assert code != 0
    assert re.search(r"runs already: run \w+, started on host '.+' by process \d+", output), output
    assert str(first.process.pid) in output
    assert texts(first.end(), "Received") == hello()
    assert first.process.returncode == 0


@pytest.mark.broker
@pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")
def test_ctrl_c_drains_commits_and_the_next_start_loses_nothing(slow_project: Project) -> None:
    first = Watched(slow_project.start("execute"))
    first.wait_for("Received record:  {'text': 'HelloWorld_5'}")
    first.process.send_signal(signal.SIGINT)
    output = first.end()
    assert "Traceback" not in output, output
    sent, received = texts(output, "Generated"), texts(output, "Received")
    assert len(sent) < RECORDS
    again = Project(slow_project.folder, "print", BOOTSTRAP)
    code, output = again.run("execute")
    assert code == 0, output
    assert texts(output, "Received") == sent[len(received) :] + hello()


@pytest.mark.broker
@pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")
def test_a_start_after_a_killed_run_goes_on_where_that_one_stopped(slow_project: Project) -> None:
    first = Watched(slow_project.start("execute"))
    first.wait_for("Received record:  {'text': 'HelloWorld_9'}")
    first.process.kill()
    before = texts(first.end(), "Received")
    again = Project(slow_project.folder, "print", BOOTSTRAP)
    code, output = again.run("execute")
    assert code == 0, output
    received = texts(output, "Received")
    assert received[-RECORDS:] == hello()
    left = received[:-RECORDS]  # of the killed run: at most what one commit interval holds comes again
    assert left == hello()[len(before) - len([text for text in left if text in before]) :][: len(left)]
    assert len([text for text in left if text in before]) <= 3
