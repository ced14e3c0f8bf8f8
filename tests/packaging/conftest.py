"""The workspace as data, and wheels of all its distributions, built once."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Distribution:
    """One member of the workspace."""

    folder: Path
    project: Mapping[str, Any]
    modules: tuple[str, ...]

    @property
    def name(self) -> str:
        return str(self.project["name"])

    @property
    def version(self) -> str:
        return str(self.project["version"])

    def list_sources(self) -> frozenset[str]:
        """Every file below ``src/`` but caches, as a wheel names it."""
        src = self.folder / "src"
        files = (path for path in src.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
        return frozenset(path.relative_to(src).as_posix() for path in files)


@dataclass(frozen=True)
class Built:
    """The archives of one distribution, and the files below ``src/`` that they were built from."""

    dist: Distribution
    sources: frozenset[str]
    wheel: Path
    sdist: Path


def read_workspace() -> list[Distribution]:
    """Read every member that the workspace names, sorted by name."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = []
    for member in settings["tool"]["uv"]["workspace"]["members"]:
        settings = tomllib.loads((ROOT / member / "pyproject.toml").read_text())
        modules = tuple(settings["tool"]["uv"]["build-backend"]["module-name"])
        found.append(Distribution(ROOT / member, settings["project"], modules))
    return sorted(found, key=lambda dist: dist.name)


DISTRIBUTIONS = read_workspace()


def run(*command: str | Path, cwd: Path) -> str:
    """Run ``command`` and give its output; what it printed is shown when it fails."""
    # The build backend looks for its program on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env={**os.environ, "PATH": path}, capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Built]:
    """Build the sdist of each distribution, and its wheel from that sdist."""
    house = tmp_path_factory.mktemp("house")
    made = {}
    for dist in DISTRIBUTIONS:
        sources = dist.list_sources()
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", house, dist.folder, cwd=house)
        stem = f"{dist.name.replace('-', '_')}-{dist.version}"
        made[dist.name] = Built(dist, sources, house / f"{stem}-py3-none-any.whl", house / f"{stem}.tar.gz")
    return made


@pytest.fixture(scope="session")
def pins(built: dict[str, Built], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Constraints by which pip takes the wheels just built, never ones of the same name from elsewhere."""
    file = tmp_path_factory.mktemp("pins") / "constraints.txt"
    own = "".join(f"{name} @ {archives.wheel.as_uri()}\n" for name, archives in built.items())
    file.write_text((ROOT / "constraints.txt").read_text() + own)
    return file
