"""The other Pythons that the project promises, each where this machine has it: everything imports, the model keeps its contract."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.packaging.conftest import ROOT, Built, run
from tests.packaging.test_install import everything_of, make_environment, probe

PROMISED: Final = ("3.11", "3.12", "3.13", "3.14")
"""As README.md says; the one that runs this is tested by all the rest."""

QUICK: Final = (
    "core/tests/contract",
    "core/tests/commons",
    "core/tests/codecs",
    "core/tests/specs",
    "examples/hello_world",
    "plugins/local_io/tests/test_local.py",
)
"""What tells most of a Python in a few seconds."""
LEFT_OUT: Final = ("--deselect=core/tests/contract/test_state_machine.py",)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not os.environ.get("PYPZ_PYTHONS"), reason="PYPZ_PYTHONS is not set: other Pythons are tried then"
    ),
]


def find_python(version: str) -> Path | None:
    """A Python of that version, on the path or where pyenv keeps them; None: there is none."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    found = [shutil.which(f"python{version}"), *sorted(pyenv.glob(f"versions/{version}.*/bin/python{version}"))]
    return next((Path(one) for one in found if one is not None and tell_version(one) == version), None)


def tell_version(python: str | Path) -> str:
    """What it says itself; empty when it cannot be run, as pyenv's stand-ins of versions that are not chosen."""
    code = "import sys, venv; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=60).stdout.strip()


@pytest.mark.parametrize("version", [one for one in PROMISED if one != f"{sys.version_info[0]}.{sys.version_info[1]}"])
def test_every_python_that_is_promised_works(built: dict[str, Built], pins: Path, tmp_path: Path, version: str) -> None:
    base = find_python(version)
    if base is None:
        pytest.skip(f"needs Python {version} on this machine")
    tools = ("hypothesis", "pytest-asyncio", "pytest-timeout")
    python = make_environment(tmp_path / "env", pins, *everything_of(built), *tools, base=base)
    for archives in built.values():
        probe(python, archives, tmp_path)
    run(python.with_name("pypz"), "demo", cwd=tmp_path)
    told = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-m", "not slow", *LEFT_OUT, *QUICK, cwd=ROOT)
    assert "passed" in told.splitlines()[-1]
