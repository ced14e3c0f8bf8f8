"""What the wheels and sdists of the workspace hold."""

from __future__ import annotations

import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from itertools import combinations

import pytest

from tests.packaging.conftest import DISTRIBUTIONS, Built

NAMESPACES = ("pypz", "pypz/plugins", "pypz/deployers", "pypz/operators", "pypz/utils")
NAMES = [dist.name for dist in DISTRIBUTIONS]

pytestmark = pytest.mark.slow


def files_of(archives: Built) -> set[str]:
    with zipfile.ZipFile(archives.wheel) as wheel:
        return {name for name in wheel.namelist() if not name.endswith("/") and ".dist-info/" not in name}


def metadata_of(archives: Built) -> Message:
    with zipfile.ZipFile(archives.wheel) as wheel:
        (name,) = (name for name in wheel.namelist() if name.endswith(".dist-info/METADATA"))
        return Parser().parsestr(wheel.read(name).decode())


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_leaves_the_namespaces_open(built: dict[str, Built], name: str) -> None:
    assert not files_of(built[name]) & {f"{namespace}/__init__.py" for namespace in NAMESPACES}


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_says_that_each_of_its_packages_is_typed(built: dict[str, Built], name: str) -> None:
    marks = {f"{module.replace('.', '/')}/py.typed" for module in built[name].dist.modules}
    assert marks <= files_of(built[name])


@pytest.mark.parametrize("name", NAMES)
def test_a_wheel_ships_every_source_file_and_nothing_else(built: dict[str, Built], name: str) -> None:
    assert files_of(built[name]) == built[name].sources


@pytest.mark.parametrize("name", NAMES)
def test_an_sdist_brings_readme_licence_and_sources(built: dict[str, Built], name: str) -> None:
    with tarfile.open(built[name].sdist) as sdist:
        files = {member.name.split("/", 1)[1] for member in sdist.getmembers() if member.isfile()}
    sources = {f"src/{source}" for source in built[name].sources}
    assert {"README.md", "LICENSE", "pyproject.toml", *sources} <= files


@pytest.mark.parametrize("name", NAMES)
def test_metadata_tell_licence_python_and_what_the_page_shows(built: dict[str, Built], name: str) -> None:
    metadata = metadata_of(built[name])
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["License-File"] == "LICENSE"
    assert metadata["Requires-Python"] == ">=3.11"
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata["Summary"]


@pytest.mark.parametrize("name", NAMES)
def test_our_own_distributions_are_required_by_range_never_by_one_version(built: dict[str, Built], name: str) -> None:
    required: list[str] = metadata_of(built[name]).get_all("Requires-Dist", [])
    ours = [text.split(";")[0].strip() for text in required if text.startswith("pypz")]
    assert [
        text for text in ours if not text.startswith("pypz[") and not text.endswith((">=0.11,<1", "<1,>=0.11"))
    ] == []


def test_no_file_comes_from_two_wheels(built: dict[str, Built]) -> None:
    for one, other in combinations(built.values(), 2):
        assert not files_of(one) & files_of(other), f"{one.dist.name} and {other.dist.name}"
