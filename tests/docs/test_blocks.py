"""Every Python block and every console block of the documentation does what the page says."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.docs.pages import (
    Block,
    is_shown_by,
    list_pages,
    program_of,
    read_blocks,
    run_command,
    run_program,
    save_files,
)

BLOCKS = {page: read_blocks(page) for page in list_pages()}
NEEDS = {"broker": ("KAFKA_BOOTSTRAP",), "cluster": ("KUBECONFIG", "KAFKA_PODS_BOOTSTRAP")}


def cases(*languages: str) -> list[ParameterSet]:
    found: list[ParameterSet] = []
    for blocks in BLOCKS.values():
        for block in blocks:
            if block.language in languages:
                marks = [getattr(pytest.mark, block.words["needs"])] if "needs" in block.words else []
                found.append(pytest.param(block, id=block.place, marks=marks))
    return found


def skip_unless_met(block: Block) -> None:
    for name in NEEDS.get(block.words.get("needs", ""), ()):
        if not os.environ.get(name):
            pytest.skip(f"{name} is not set")


@pytest.fixture(autouse=True)
def alone_on_the_broker(request: pytest.FixtureRequest) -> Iterator[None]:
    """Pages name their pipelines, and two pipelines of one name refuse each other: other test sessions wait."""
    if request.node.get_closest_marker("broker") is None:
        yield
        return
    with (Path(tempfile.gettempdir()) / "pypz-docs-broker.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def shown_output_of(block: Block) -> Block | None:
    """The text block that shows what this one prints."""
    below = [b for b in BLOCKS[block.page] if b.line > block.line][:1]
    return below[0] if below and "prints" in below[0].words else None


def check_end(block: Block, ended: subprocess.CompletedProcess[str]) -> None:
    output = f"--- stdout\n{ended.stdout}--- stderr\n{ended.stderr}"
    error = block.words.get("raises")
    if error:
        assert ended.returncode != 0, f"{block.place} raised nothing\n{output}"
        last = [line for line in ended.stderr.splitlines() if line and not line[0].isspace()]
        assert any(error in line.partition(":")[0] for line in last), f"{block.place} raised no {error}\n{output}"
    else:
        assert ended.returncode == 0, f"{block.place} ended with {ended.returncode}\n{output}"
    shown = shown_output_of(block)
    if shown is not None:
        printed = ended.stderr if error else ended.stdout
        assert is_shown_by(shown.text, printed), f"{shown.place} does not show what was printed\n{output}"


@pytest.mark.parametrize("block", cases("python"))
def test_a_python_block_runs(block: Block, tmp_path: Path) -> None:
    skip_unless_met(block)
    blocks = BLOCKS[block.page]
    save_files(blocks, block, tmp_path)
    if block.is_module:
        ended = run_program(f"import runpy\nrunpy.run_path({block.words['file']!r})", tmp_path)
    elif "file" in block.words:
        ended = run_command([sys.executable, block.words["file"]], tmp_path)
    else:
        ended = run_program(program_of(blocks, block), tmp_path)
    check_end(block, ended)


@pytest.mark.parametrize("block", cases("console"))
def test_a_console_block_shows_what_its_commands_print(block: Block, tmp_path: Path) -> None:
    skip_unless_met(block)
    save_files(BLOCKS[block.page], block, tmp_path)
    for session in f"\n{block.text}".split("\n$ ")[1:]:
        command, _, shown = session.partition("\n")
        printed = run_command(f"{{ {command}; }} 2>&1", tmp_path).stdout  # both in one, as on a terminal
        assert is_shown_by(shown, printed), f"{block.place}: `{command}` printed something else:\n{printed}"


def test_every_block_says_its_language_and_only_words_that_are_known() -> None:
    known = {"file", "run", "uses", "continues", "raises", "needs", "prints"}
    for blocks in BLOCKS.values():
        for block in blocks:
            assert block.language, f"{block.place}: write the language behind the fence, or `text`"
            assert set(block.words) <= known, block.place
            assert block.words.get("needs", "broker") in NEEDS, block.place
