"""The pages of the documentation, cut into blocks, and how a block is run.

A comment directly above a block says what is special about it; several words are separated by semicolons:

    <!-- file: execute.py; run -->     saved under this name for the blocks below, and run
    <!-- file: writer.py -->           saved, and imported
    <!-- uses: other.md -->            the files of another page are there, too
    <!-- continues -->                 run behind the Python block above it, in one program
    <!-- raises: LookupError -->       ends with this error
    <!-- needs: broker -->             run where KAFKA_BOOTSTRAP names a broker; localhost:9092 stands for it
    <!-- prints -->                    a text block: what the block above has printed, `...` for anything

A Python block without comment is a program of its own. In a console block each line that begins with ``$ `` is run and
must print what stands below it.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
TIMEOUT_S: Final = 120.0
"""Seconds that one block may run (chosen)."""
DOCUMENTED_BROKER: Final = "localhost:9092"

_FENCE: Final = re.compile(r"^( *)```(\w*)\s*$")
_COMMENT: Final = re.compile(r"^\s*<!--\s*(.*?)\s*-->\s*$")


@dataclass(frozen=True)
class Block:
    """One fenced block."""

    page: Path
    line: int
    """Line of its first line of content, from 1."""
    language: str
    text: str
    words: dict[str, str] = field(default_factory=dict)
    """What the comment above it says: word -> what follows its colon."""

    @property
    def place(self) -> str:
        """Where it stands, as editors take it."""
        return f"{self.page.relative_to(ROOT).as_posix()}:{self.line}"

    @property
    def is_module(self) -> bool:
        """Whether it is a file for others, and no program."""
        return "file" in self.words and "run" not in self.words


def list_pages() -> list[Path]:
    """All pages: the README of the project and of its parts, `docs/` and the examples."""
    found = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")]
    found += [*ROOT.glob("benchmarks/*.md"), *ROOT.glob("changelog.d/*.md")]
    found += [
        member
        for folder in ("core", "plugins/*", "deployers/*", "sniffer_tui")
        for member in ROOT.glob(f"{folder}/*.md")
    ]
    return sorted(found)


def read_blocks(page: Path) -> list[Block]:
    """Cut the fenced blocks out of a page."""
    blocks: list[Block] = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number, said = 0, ""
    while number < len(lines):
        fence = _FENCE.match(lines[number])
        if fence is None:
            comment = _COMMENT.match(lines[number])
            said = comment[1] if comment else said if not lines[number].strip() else ""
            number += 1
            continue
        indent, language = fence[1], fence[2]
        first = number + 1
        end = next(i for i in range(first, len(lines)) if lines[i].strip() == "```")
        text = "".join(f"{line.removeprefix(indent)}\n" for line in lines[first:end])
        blocks.append(Block(page, first + 1, language, text, _words_of(said)))
        number, said = end + 1, ""
    return blocks


def _words_of(said: str) -> dict[str, str]:
    words = {}
    for part in said.split(";"):
        word, _, rest = part.partition(":")
        if word.strip():
            words[word.strip()] = rest.strip()
    return words


def save_files(blocks: list[Block], upto: Block, folder: Path) -> None:
    """Save what the page calls a file, from its beginning to this block; an example's page has its whole project."""
    if "uses" in upto.words:
        others = read_blocks(upto.page.parent / upto.words["uses"])
        save_files(others, others[-1], folder)
    if "examples" in upto.page.parts:
        project = upto.page.parent
        for path in [*project.glob("pyproject.toml"), *project.rglob("*.py"), *project.glob("data/*")]:
            target = folder / path.relative_to(project)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    for block in blocks:
        if block.page == upto.page and block.line <= upto.line and "file" in block.words:
            target = folder / block.words["file"]
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(adapted(block.text), encoding="utf-8")


def program_of(blocks: list[Block], block: Block) -> str:
    """The program of a Python block: with the blocks that it continues."""
    chain = [block]
    while "continues" in chain[0].words:
        before = [b for b in blocks if b.line < chain[0].line and b.language == "python"]
        chain.insert(0, before[-1])
    return "\n".join(adapted(b.text) for b in chain)


def adapted(text: str) -> str:
    """Put the test's broker in place of the documented one."""
    return text.replace(DOCUMENTED_BROKER, os.environ.get("KAFKA_BOOTSTRAP") or DOCUMENTED_BROKER)


def environment(folder: Path) -> dict[str, str]:
    """What a reader's shell would have, with the environment of these tests active."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": os.pathsep.join([str(folder), str(folder / "src")]),
        "PYTHONWARNINGS": "error",
        "COLUMNS": "120",
        "NO_COLOR": "1",
        "PYTHONUNBUFFERED": "1",
        "PYTEST_ADDOPTS": "-p no:asyncio -p no:cacheprovider",  # a reader has no plugins of this workspace's tests
    }


def run_program(program: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a program as a script of its own, in ``folder``."""
    script = folder / "block.py"
    script.write_text(program, encoding="utf-8")
    return run_command([sys.executable, str(script)], folder)


def run_command(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``; a text goes through the shell, with the test's broker in it."""
    return subprocess.run(
        adapted(command) if isinstance(command, str) else command,
        shell=isinstance(command, str),
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def is_shown_by(expected: str, printed: str) -> bool:
    """Whether a text on a page shows what was printed: `...` stands for anything, blanks at line ends for nothing.

    >>> is_shown_by("a ... c", "a b c"), is_shown_by("a", "b")
    (True, False)
    """

    def plain(text: str) -> str:
        return "\n".join(line.rstrip() for line in text.strip().splitlines())

    pattern = ".*".join(re.escape(part) for part in plain(expected).split("..."))
    return re.fullmatch(pattern, plain(printed), re.DOTALL) is not None
