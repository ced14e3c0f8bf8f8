"""Lists of the documentation are complete: changes, decisions, benchmarks."""

from __future__ import annotations

import re

from tests.docs.pages import ROOT

KINDS = ("added", "changed", "removed", "fixed")


def test_every_change_is_one_line_in_a_file_of_a_known_kind() -> None:
    files = [file for file in (ROOT / "changelog.d").iterdir() if file.name != "README.md"]
    assert files
    for file in files:
        assert re.fullmatch(rf"[a-z0-9-]+\.({'|'.join(KINDS)})\.md", file.name), file.name
        lines = file.read_text(encoding="utf-8").splitlines()
        assert len(lines) == 1, file.name
        assert lines[0].endswith("."), file.name


def test_every_decision_has_a_line_in_their_list() -> None:
    folder = ROOT / "docs" / "decisions"
    listed = re.findall(r"\]\((\d{4}-[\w-]+\.md)\) \| (.+?) \|", (folder / "README.md").read_text(encoding="utf-8"))
    titles = {file.name: file.read_text(encoding="utf-8").partition("\n")[0] for file in folder.glob("[0-9]*.md")}
    assert {name: f"# {name[:4]}: {title}" for name, title in listed} == titles


def test_every_benchmark_stands_on_the_page_about_performance() -> None:
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    programs = {file.name for file in (ROOT / "benchmarks").glob("*.py") if "print_machine()" in file.read_text()}
    assert programs - {"machine.py"} <= set(re.findall(r"`(\w+\.py)`", page))
