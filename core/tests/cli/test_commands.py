"""Which commands there are, and how fast the help comes."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from importlib_metadata import PackageNotFoundError
from typer.testing import CliRunner

from pypz.cli import commands
from pypz.cli.main import app
from pypz.version import PROJECT_VERSION


def test_the_help_names_the_commands_and_imports_none_of_them() -> None:
    code = (
        "import sys\n"
        "from pypz.cli.main import main\n"
        "sys.argv = ['pypz', '--help']\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in sys.modules if m.startswith(('pypz.executors', 'pypz.core.specs', 'pypz.sniffer', 'textual'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "[]", done.stderr
    for name in ("demo", "run", "plugins"):
        assert name in done.stdout


def test_without_arguments_the_help_is_shown() -> None:
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    assert "Commands" in result.output


def test_the_version_is_told() -> None:
    result = CliRunner().invoke(app, ["--version"])
    assert (result.exit_code, result.output) == (0, f"pypz {PROJECT_VERSION}\n")


def test_an_unknown_command_is_told_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    result = CliRunner().invoke(app, ["plugin"])
    assert result.exit_code == 2
    assert "no command 'plugin'; meant 'plugins'?" in result.output


def test_a_command_that_is_not_installed_tells_how_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "entry_points", lambda group: [])

    def absent(name: str) -> Any:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(commands, "distribution", absent)
    result = CliRunner().invoke(app, ["sniff", "--anything", "x"])
    assert result.exit_code == 1
    assert "command 'sniff' is not installed; pip install \"pypz[sniffer]\" brings it" in result.output
    assert "sniff" not in CliRunner().invoke(app, ["--help"]).output


@pytest.fixture
def brought(tmp_path: Path) -> dict[str, str]:
    """A distribution with three commands; gives the variables that a process needs to find it."""
    info = tmp_path / "test_brought-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-brought\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[pypz.commands]\ngreet = test_brought:greet\ntools = test_brought:app\nbroken = test_brought_broken:app\n"
    )
    (tmp_path / "test_brought.py").write_text(
        "import typer\n"
        "def greet(name: str, loud: bool = False) -> None:\n"
        "    print('HELLO' if loud else 'hello', name)\n"
        "app = typer.Typer()\n"
        "@app.command()\n"
        "def saw() -> None: print('sawing')\n"
        "@app.command()\n"
        "def drill() -> None: print('drilling')\n"
    )
    (tmp_path / "test_brought_broken.py").write_text("raise RuntimeError('no licence')")
    return {**os.environ, "PYTHONPATH": str(tmp_path), "COLUMNS": "160"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--help"], 0, "Brought by test-brought."),
        (["greet", "you", "--loud"], 0, "HELLO you"),
        (["greet", "--help"], 0, "--loud"),
        (["tools", "drill"], 0, "drilling"),
        (["broken"], 1, "command 'broken' of test-brought cannot be loaded: RuntimeError: no licence"),
    ],
)
def test_commands_of_other_distributions_come_by_entry_point(
    brought: dict[str, str], arguments: list[str], code: int, words: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pypz.cli.main", *arguments], env=brought, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == code
    assert words in done.stdout + done.stderr


def test_plugins_are_shown_with_their_reason(pypz: Any, tmp_path: Path) -> None:
    info = tmp_path / "test_bad-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: test-bad\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pypz.v1]\nbad = test_bad_module\n")
    (tmp_path / "test_bad_module.py").write_text("raise RuntimeError('no licence')")
    shown = pypz("plugins", PYTHONPATH=str(tmp_path))
    assert shown.returncode == 0
    assert "RuntimeError: no licence" in shown.stdout
    assert "make_transport, make_codec" in shown.stdout
    assert pypz("plugins", "--strict", PYTHONPATH=str(tmp_path)).returncode == 1
    left_out = pypz("plugins", "--json", PYTHONPATH=str(tmp_path), PYPZ_PLUGINS_DISABLED="bad")
    report = next(report for report in json.loads(left_out.stdout) if report["name"] == "bad")
    assert (report["state"], report["dist"]) == ("disabled", "test-bad")
    misspelt = pypz("plugins", PYPZ_PLUGINS_DISABLED="nobody")
    assert "PYPZ_PLUGINS_DISABLED names 'nobody', which is not installed" in misspelt.stdout
