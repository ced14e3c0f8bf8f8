"""Each wheel installed alone and all side by side, in fresh environments: everything imports, every plugin loads."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from tests.packaging.conftest import DISTRIBUTIONS, Built, run

PROBE = """
import importlib.util, pkgutil, sys
from importlib.metadata import distribution
name, *modules = sys.argv[1:]
with_kit = importlib.util.find_spec("pytest") is not None
without = [package for package, need in {"pypz.testing": "pytest", "pypz.sniffer.web.": "textual_serve"}.items()
           if importlib.util.find_spec(need) is None]
for module in modules:
    if module in without:
        continue
    package = importlib.import_module(module)
    for found in pkgutil.walk_packages(package.__path__, module + "."):
        if not found.name.endswith(".__main__") and not found.name.startswith(tuple(without)):
            importlib.import_module(found.name)
for entry in distribution(name).entry_points:
    assert entry.group == "pytest11" and not with_kit or entry.load() is not None, entry
for namespace in ("pypz", "pypz.plugins", "pypz.deployers"):
    assert getattr(sys.modules.get(namespace), "__file__", None) is None, namespace
"""
"""Imports every module below the packages given and loads every entry point of the distribution given; what an extra is for
only with what that extra brings."""

PROBE_FIRST = """
import importlib, os, sys
failed = []
for name in sys.argv[1:]:
    child = os.fork()
    if child == 0:
        importlib.import_module(name)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
sys.exit(f"not to be imported first: {failed}" if failed else 0)
"""
"""Imports each module given in a process that has imported nothing of ours before."""

pytestmark = pytest.mark.slow


def make_environment(folder: Path, pins: Path, *requirements: str, base: Path | None = None) -> Path:
    """Make a virtual environment with ``requirements`` and nothing else, of this Python or ``base``; gives its Python."""
    if base is None:
        venv.create(folder, with_pip=False, symlinks=True)
    else:
        run(base, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "-q",
        "--no-compile",
        "-c",
        pins,
        *requirements,
        cwd=folder,
    )
    return python


def everything_of(built: dict[str, Built]) -> list[str]:
    """What to install for all of it; by address: pip does not apply constraints that are addresses to a name with extras."""
    extras = {"pypz": "all,testing", "pypz-sniffer": "web"}
    return [f"{name}[{extra}] @ {built[name].wheel.as_uri()}" for name, extra in extras.items()]


def probe(python: Path, built: Built, cwd: Path) -> None:
    run(python, "-I", "-W", "error", "-c", PROBE, built.dist.name, *built.dist.modules, cwd=cwd)


@pytest.mark.parametrize("name", [dist.name for dist in DISTRIBUTIONS])
def test_a_distribution_works_with_nothing_but_what_it_requires(
    built: dict[str, Built], pins: Path, tmp_path: Path, name: str
) -> None:
    python = make_environment(tmp_path / "env", pins, name)
    probe(python, built[name], tmp_path)


@pytest.fixture(scope="module")
def together(built: dict[str, Built], pins: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment that has everything, by way of the extras."""
    return make_environment(tmp_path_factory.mktemp("together"), pins, *everything_of(built))


def test_the_extra_all_brings_every_distribution_and_they_work_side_by_side(
    built: dict[str, Built], together: Path, tmp_path: Path
) -> None:
    for archives in built.values():
        probe(together, archives, tmp_path)


def test_every_module_may_be_the_first_one_imported(built: dict[str, Built], together: Path, tmp_path: Path) -> None:
    sources = sorted(source for archives in built.values() for source in archives.sources if source.endswith(".py"))
    names = [source.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for source in sources]
    run(together, "-c", PROBE_FIRST, *(name for name in names if not name.endswith("__main__")), cwd=tmp_path)


def test_a_users_own_package_may_live_in_the_namespace(together: Path, tmp_path: Path) -> None:
    package = tmp_path / "pypz" / "example"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    done = subprocess.run(
        [together, "-c", "import pypz.example, pypz.core, pypz.plugins.loggers"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_the_installed_command_lists_its_plugins_and_runs_the_demo(together: Path, tmp_path: Path) -> None:
    command = together.with_name("pypz")
    assert "avro" in run(command, "plugins", cwd=tmp_path)
    run(command, "demo", cwd=tmp_path)
