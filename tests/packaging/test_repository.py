"""What the repository may not hold, and lists that must say the same."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.packaging.conftest import DISTRIBUTIONS, ROOT

NAMESPACES = ("pypz", "plugins", "deployers", "operators", "utils")
# Put together here, so that this file holds none of them.
ADDRESSES = [
    ".".join(parts)
    for parts in (
        ("pypi", "org"),
        ("pythonhosted", "org"),
        ("registry", "npmjs", "org"),
        ("static", "crates", "io"),
        ("proxy", "golang", "org"),
        ("repo1", "maven", "org"),
    )
] + ["-".join(("index", "url")), "-".join(("extra", "index"))]
HOMES = re.compile("/" + r"(?:home|Users)/[a-z][\w.-]*/")
"""A folder of one person's machine."""


@pytest.fixture(scope="module")
def tracked() -> list[Path]:
    """The files that git knows."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("git: these files are no checkout")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def text_of(file: Path) -> str:
    return file.read_bytes().decode(errors="replace")


def test_no_lock_file_is_tracked(tracked: list[Path]) -> None:
    assert [file for file in tracked if file.name == "uv.lock"] == []


def test_no_file_names_the_address_of_a_registry(tracked: list[Path]) -> None:
    found = [(file.relative_to(ROOT), name) for file in tracked for name in ADDRESSES if name in text_of(file)]
    assert found == []


def test_no_file_names_a_path_of_this_machine(tracked: list[Path]) -> None:
    here = [f"{folder}/" for folder in (ROOT, Path.home()) if len(folder.parts) > 2]
    found = [
        (file.relative_to(ROOT), HOMES.findall(text))
        for file in tracked
        for text in [text_of(file)]
        if HOMES.search(text) or any(folder in text for folder in here)
    ]
    assert found == []


def test_no_namespace_is_closed_by_an_init_module(tracked: list[Path]) -> None:
    inits = [file.parent for file in tracked if file.name == "__init__.py" and "src" in file.parts]
    assert [folder for folder in inits if folder.name in NAMESPACES and folder.parent.name in ("src", "pypz")] == []


def test_no_tests_folder_is_a_package(tracked: list[Path]) -> None:
    assert [file for file in tracked if file.name == "__init__.py" and file.parent.name == "tests"] == []


def test_the_requirements_bring_every_distribution_of_the_workspace() -> None:
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    brought = [line.partition("[")[0] for line in lines if line.startswith("-e")]  # some with an extra
    assert sorted(brought) == sorted(f"-e ./{dist.folder.relative_to(ROOT)}" for dist in DISTRIBUTIONS)


def test_every_distribution_has_the_same_version_and_the_licence_of_the_project() -> None:
    assert len({dist.version for dist in DISTRIBUTIONS}) == 1
    licence = (ROOT / "LICENSE").read_text()
    assert [dist.name for dist in DISTRIBUTIONS if (dist.folder / "LICENSE").read_text() != licence] == []


def test_an_extra_brings_each_distribution_and_all_brings_every_one() -> None:
    (core,) = (dist for dist in DISTRIBUTIONS if dist.name == "pypz")
    extras = dict(core.project["optional-dependencies"])
    everything = [re.sub(r"\[.*\]", "", requirement) for requirement in extras.pop("all")]  # with extras of theirs
    assert [requirement.split(">=")[0] for requirement in extras.pop("testing")] == ["hypothesis", "pytest"]
    assert sorted(everything) == sorted(requirement for extra in extras.values() for requirement in extra)
    assert {requirement.split(">=")[0] for requirement in everything} == {d.name for d in DISTRIBUTIONS} - {"pypz"}
    assert all(extra == [f"pypz-{name}>=0.11,<1"] for name, extra in extras.items())


def test_every_tool_setting_knows_every_distribution() -> None:
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]
    sources = {f"{dist.folder.relative_to(ROOT)}/src" for dist in DISTRIBUTIONS}
    modules = {module for dist in DISTRIBUTIONS for module in dist.modules}
    assert set(tools["ruff"]["src"]) == sources
    assert set(tools["mypy"]["mypy_path"]) >= sources
    assert set(tools["importlinter"]["root_packages"]) == modules
    assert {f"{dist.folder.relative_to(ROOT)}/tests" for dist in DISTRIBUTIONS} <= set(
        tools["pytest"]["ini_options"]["testpaths"]
    )


def test_constraints_are_plain_versions_each_once() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line)] == []
    names = [line.split("==")[0].lower().replace("_", "-") for line in lines]
    assert len(names) == len(set(names))


def test_the_readme_has_exactly_two_commands_to_set_up() -> None:
    start = "python3 -m venv .venv && .venv/bin/python -m pip install -q -r "
    lines = [line.strip() for line in (ROOT / "README.md").read_text().splitlines()]
    assert [line for line in lines if line.startswith("python3 -m venv")] == [
        f"{start}requirements.txt && .venv/bin/pypz demo",
        f"{start}requirements-dev.txt && .venv/bin/python -m pytest",
    ]
