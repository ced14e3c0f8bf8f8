"""Every link between pages leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, list_pages

LINK = re.compile(r"(?<!!)\[[^\]]+\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


def text_without_blocks(page: Path) -> str:
    return re.sub(r"(?ms)^ *```.*?^ *```\s*$", "", page.read_text(encoding="utf-8"))


def anchors_of(page: Path) -> set[str]:
    """Names of a page's headings, as the usual renderers make them."""
    headings = HEADING.findall(text_without_blocks(page))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", list_pages(), ids=lambda page: page.relative_to(ROOT).as_posix())
def test_every_relative_link_of_a_page_resolves(page: Path) -> None:
    broken = []
    for target in LINK.findall(text_without_blocks(page)):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        there = (page.parent / path).resolve() if path else page
        if not there.exists() or (anchor and anchor not in anchors_of(there)):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_documentation_can_be_reached_from_its_index() -> None:
    docs = ROOT / "docs"
    reached, ahead = set[Path](), [docs / "README.md"]
    while ahead:
        page = ahead.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        links = [target.partition("#")[0] for target in LINK.findall(text_without_blocks(page))]
        ahead += [(page.parent / link).resolve() for link in links if link and "://" not in link]
    assert [page for page in docs.rglob("*.md") if page not in reached] == []
