"""``pypz new``: make a folder with a small project that runs and whose tests pass."""

from __future__ import annotations

import keyword
import re
import sys
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.new.templates import FILES
from pypz.cli.options import AsJson, Debug
from pypz.cli.screen import as_json_text
from pypz.core.commons.errors import ConfigurationError
from pypz.version import PROJECT_VERSION

TAKEN: Final = sys.stdlib_module_names | {"pypz", "tests", "src"}


def new(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="Is made; its last part names the project.")],
    as_json: AsJson = False,
    debug: Debug = False,
) -> None:
    """Make a small project: a pipeline of two operators, its tests, and pypz.toml with its defaults.

    pypz new orders && cd orders && pypz run

    Nothing that exists is overwritten. With --json an object: folder, files.
    The exit code is 0, or 1 when the folder is not empty, or its name cannot name a Python package.
    """
    with told_plainly(debug, as_json):
        made = make_project(folder)
        if as_json:
            sys.stdout.write(as_json_text({"folder": str(folder), "files": made}))
            return
        sys.stdout.write("".join(f"{folder / path}\n" for path in made))
        sys.stdout.write(f"\nNext: cd {folder} && pypz run\n")


def make_project(folder: Path) -> list[str]:
    """Make the project; gives the paths of its files within the folder.

    Raises:
        ConfigurationError: The folder is not empty or cannot be written, or its name cannot name a package.
    """
    name = re.sub(r"[-. ]", "_", folder.resolve().name).lower()
    if not name.isidentifier() or not name.isascii() or keyword.iskeyword(name) or name in TAKEN:
        raise ConfigurationError(
            f"{folder}: {name!r} cannot name a Python package here; expected letters, digits and _, no word of Python's "
            "own and no name that it uses already, such as 'orders'"
        )
    words = {
        "name": name,
        "dist": name.replace("_", "-"),
        "title": "".join(part.capitalize() for part in name.split("_") if part) or "Main",
        "version": ".".join(PROJECT_VERSION.split(".")[:2]),
    }
    try:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise ConfigurationError(f"{folder}: exists and is not an empty folder; name another one")
        made = []
        for path, text in FILES.items():
            target = Template(path).substitute(words)
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            (folder / target).write_text(Template(text).substitute(words), encoding="utf-8")
            made.append(target)
    except OSError as error:
        raise ConfigurationError(f"{folder}: cannot be written: {error.strerror}") from error
    return made
