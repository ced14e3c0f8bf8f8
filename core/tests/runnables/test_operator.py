"""The command that a pod runs: arguments, configuration, exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from pypz.core.commons.errors import ConfigurationError
from pypz.runnables.operator import find_operator, main, read_pipeline

MODULE = """
    from pypz.core.commons.parameters import RequiredParameter
    from pypz.core.specs.misc import BlankOperator
    from pypz.core.specs.pipeline import Pipeline

    class Worker(BlankOperator):
        def _on_running(self):
            print("runs", self.get_full_name(), self.get_group_index(), flush=True)
            if self.has_parameter("fails"):
                raise ValueError("broken on purpose")
            if self.has_parameter("waits"):
                return False
            return True

    class Needing(BlankOperator):
        city = RequiredParameter(str)

    class Demo(Pipeline):
        def __init__(self, name, *args, **kwargs):
            super().__init__(name, *args, **kwargs)
            self.worker = Worker()
            self.needing = Needing()
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: Any) -> Path:
    (tmp_path / "runner_project.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    sys.modules.pop("runner_project", None)
    return tmp_path


@pytest.fixture
def pipeline(project: Path) -> Any:
    import runner_project  # type: ignore[import-not-found]

    made = runner_project.Demo("demo")
    made.worker.set_parameter("replicationFactor", 2)
    return made


@pytest.fixture
def config(project: Path, pipeline: Any) -> Path:
    path = project / "config.yaml"
    path.write_text(str(pipeline))
    return path


def run(project: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pypz.runnables.operator", *arguments],
        cwd=project,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_executes_the_operator_and_exits_with_its_code(project: Path, config: Path) -> None:
    done = run(project, str(config), "worker")
    assert (done.returncode, done.stdout) == (0, "runs demo.worker 0\n")
    assert "ERROR" not in done.stderr


def test_an_index_means_a_replica(project: Path, config: Path) -> None:
    done = run(project, str(config), "worker", "Standard", "--index", "2", "--run", "r1")
    assert (done.returncode, done.stdout) == (0, "runs demo.worker_1 2\n")


def test_the_name_of_a_replica_is_taken_as_it_is(project: Path, config: Path) -> None:
    done = run(project, str(config), "worker_0", JOB_COMPLETION_INDEX="2")
    assert (done.returncode, done.stdout) == (0, "runs demo.worker_0 1\n")


def test_a_failure_exits_with_the_code_of_its_state_and_says_why(project: Path, config: Path, pipeline: Any) -> None:
    pipeline.worker.set_parameter("fails", 1)
    config.write_text(str(pipeline))
    done = run(project, str(config), "worker")
    assert done.returncode == 115
    assert "ERROR: demo.worker: ended with exit code 115 (StateOperationError): ValueError: broken on purpose" in (
        done.stderr
    )
    assert "runner_project.py, line" in done.stderr


def test_a_termination_drains_and_exits_with_130(project: Path, config: Path, pipeline: Any) -> None:
    pipeline.worker.set_parameter("waits", 1)
    config.write_text(str(pipeline))
    process = subprocess.Popen(
        [sys.executable, "-m", "pypz.runnables.operator", str(config), "worker"],
        cwd=project,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "runs demo.worker 0\n"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert process.returncode == 130


def test_a_termination_before_anything_runs_ends_at_once(project: Path) -> None:
    config = project / "pipe.yaml"
    os.mkfifo(config)
    process = subprocess.Popen([sys.executable, "-m", "pypz.runnables.operator", str(config), "worker"], cwd=project)
    with config.open("w"):  # open as soon as the process reads its configuration, before the executor's handlers stand
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 130


def test_help_helps(capsys: Any) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    for word in ("CONFIG", "OPERATOR", "--index", "--run", "ResourceDeletionOnly", "130", "example"):
        assert word in text


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "required: CONFIG, OPERATOR"),
        (["{config}"], "required: OPERATOR"),
        (["{config}", "worker", "Sometimes"], "invalid choice: 'Sometimes'"),
        (["{config}", "worker", "--index", "one"], "invalid int value: 'one'"),
    ],
)
def test_usage_errors_exit_with_1(config: Path, capsys: Any, arguments: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([argument.format(config=config) for argument in arguments])
    assert caught.value.code == 1
    assert words in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{config}", "nobody"], "demo: has no operator 'nobody', expected one of worker, needing, worker_0, worker_1"),
        (["{config}", "worker", "--index", "3"], "demo.worker: has no index 3, expected 0 to 2"),
        (["{config}", "worker_0", "--index", "1"], "has no index 1, expected 0, because the name is that of a replica"),
        (["{config}.absent", "worker"], "config.yaml.absent: cannot be read"),
        (["{config}", "needing"], "demo.needing: city"),
    ],
)
def test_what_makes_no_sense_exits_with_1_and_says_what_is_accepted(
    config: Path, capsys: Any, arguments: list[str], words: str
) -> None:
    assert main([argument.format(config=config) for argument in arguments]) == 1
    assert words in capsys.readouterr().err


def test_a_full_name_is_taken_too(pipeline: Any) -> None:
    assert find_operator(pipeline, "demo.worker", 0) is pipeline.worker


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: demo\n  spec: [", r"config\.yaml, line 2, column 7: is no YAML: "),
        ("- a\n", r"config\.yaml: holds a list, expected the YAML of a pipeline"),
        ("", r"config\.yaml: holds a NoneType"),
        ("name: demo\n", r"config\.yaml: describes no pipeline"),
    ],
)
def test_a_bad_configuration_is_told_with_its_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=words):
        read_pipeline(path)


def test_operators_whose_classes_are_not_installed_are_stood_in_for(project: Path, config: Path, capsys: Any) -> None:
    text = config.read_text()
    for name in ("Demo", "Needing"):
        text = text.replace(f"runner_project:{name}", f"absent_project:{name}")
    config.write_text(text)
    assert run(project, str(config), "worker").returncode == 0
    done = run(project, str(config), "needing")
    assert done.returncode == 1
    assert "demo.needing (absent_project:Needing)" in done.stderr


def test_skip_calls_nothing(project: Path, config: Path) -> None:
    done = run(project, str(config), "worker", "Skip")
    assert (done.returncode, done.stdout) == (0, "")
