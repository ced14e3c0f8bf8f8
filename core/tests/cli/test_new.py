"""A new project runs as it is, and its tests pass."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from pypz.cli.main import app


def test_a_new_project_runs_is_planned_and_passes_its_tests(pypz: Any, project: Path) -> None:
    made = pypz("new", "my-orders")
    assert (made.returncode, made.stderr) == (0, "")
    folder = project / "my-orders"
    environment = {**os.environ, "COLUMNS": "80", "PYTHONWARNINGS": "error"}

    def call(*command: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=120
        )

    done = call("pypz.cli.main", "run", "--no-log", "-p", ">count=4")
    assert (done.returncode, done.stdout) == (0, "total: 10\n"), done.stderr
    planned = call("pypz.cli.main", "plan", "--json")
    assert json.loads(planned.stdout)["warnings"] == []
    assert planned.returncode == 0
    tested = call("pytest", "-q", "-p", "no:cacheprovider", "-p", "no:asyncio")
    assert "1 passed" in tested.stdout, tested.stdout + tested.stderr


def test_what_exists_is_not_touched(project: Path) -> None:
    result = CliRunner().invoke(app, ["new", "."])
    assert result.exit_code == 1
    assert ".: exists and is not an empty folder" in result.stderr
    assert [path.name for path in project.iterdir()] == ["shop.py"]


@pytest.mark.parametrize("name", ["class", "json", "1st", "pypz", "größe", "a b!"])
def test_a_name_that_python_cannot_take_is_refused(project: Path, name: str) -> None:
    result = CliRunner().invoke(app, ["new", name])
    assert result.exit_code == 1
    assert "cannot name a Python package here" in result.stderr
    assert not (project / name).exists()


def test_json_names_the_files(project: Path) -> None:
    made = json.loads(CliRunner().invoke(app, ["new", "deep/orders", "--json"]).stdout)
    assert made["folder"] == "deep/orders"
    assert all((project / "deep" / "orders" / path).is_file() for path in made["files"])
