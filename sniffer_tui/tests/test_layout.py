"""Boxes and lines of a graph: properties that hold for every graph."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.sniffer.graph.layout import Block, Layout, Link, Spacing, layout_of, smallest_size


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Block], list[Link]]:
    blocks = [
        Block(f"b{i}", draw(st.integers(0, 4)), draw(st.integers(3, 12)), draw(st.integers(1, 6)))
        for i in range(draw(st.integers(1, 12)))
    ]
    ends = st.sampled_from(blocks)
    links = []
    for _ in range(draw(st.integers(0, 20))):
        source, target = draw(ends), draw(ends)
        rows = draw(st.integers(0, source.height - 1)), draw(st.integers(0, target.height - 1))
        links.append(Link(source.name, rows[0], target.name, rows[1]))
    return blocks, links


def large(count: int) -> tuple[list[Block], list[Link]]:
    """As many operators in twelve levels, each fed by two of the level before it."""
    dice = random.Random(7)
    blocks = [Block(f"b{i}", i % 12, 20, 6) for i in range(count)]
    links = [
        Link(source.name, 3, target.name, 2)
        for target in blocks
        for source in dice.sample([b for b in blocks if b.level == target.level - 1] or blocks, 2)
    ]
    return blocks, links


def check(blocks: list[Block], links: list[Link], found: Layout) -> None:
    occupied: dict[tuple[int, int], str] = {}
    for block in blocks:
        place = found.places[block.name]
        assert (place.width, place.height) == (block.width, block.height)
        assert place.x >= 0
        assert place.x + place.width <= found.width
        assert place.y >= 0
        assert place.y + place.height <= found.height
        for x in range(place.x, place.x + place.width):
            for y in range(place.y, place.y + place.height):
                assert occupied.setdefault((x, y), block.name) == block.name
    along: dict[tuple[int, int, bool], set[Link]] = {}
    for link in links:
        path = found.paths[link]
        source, target = found.places[link.source], found.places[link.target]
        assert path[0] == (source.x + source.width, source.y + link.source_row)
        assert path[-1] == (target.x - 1, target.y + link.target_row)
        for (x1, y1), (x2, y2) in pairwise(path):
            assert (x1 == x2) != (y1 == y2)
            for x in range(min(x1, x2), max(x1, x2) + 1):
                for y in range(min(y1, y2), max(y1, y2) + 1):
                    assert (x, y) not in occupied
                    assert 0 <= x < found.width
                    assert 0 <= y < found.height
                    along.setdefault((x, y, y1 == y2), set()).add(link)
    for together in along.values():  # lines run on each other only where they belong together
        for one in together:
            assert any(
                one is other or _share_an_end(one, other) or len(together) == 1 for other in together - {one} or {one}
            )


def _share_an_end(one: Link, other: Link) -> bool:
    return one[:2] == other[:2] or one[2:] == other[2:]


@settings(max_examples=300, deadline=None)
@given(graphs(), st.integers(0, 2), st.integers(1, 8))
def test_no_boxes_overlap_and_every_line_joins_its_ends_and_runs_through_no_box(
    graph: tuple[list[Block], list[Link]], between: int, stub: int
) -> None:
    blocks, links = graph
    links = list(dict.fromkeys(links))
    spacing = Spacing(stub, stub, between, 1)
    found = layout_of(blocks, links, spacing)
    check(blocks, links, found)
    width, height = smallest_size(blocks, spacing)
    assert width <= found.width
    assert height <= found.height
    assert layout_of(list(blocks), list(links), spacing) == found


def test_a_hundred_operators_are_placed() -> None:
    blocks, links = large(100)
    check(blocks, links, layout_of(blocks, links))


def test_nothing_is_placed_nowhere() -> None:
    assert (layout_of([], []).width, layout_of([], []).height) == (0, 0)


def test_a_chain_is_a_straight_line() -> None:
    blocks = [Block(name, level, 5, 3) for level, name in enumerate("abc")]
    found = layout_of(blocks, [Link("a", 1, "b", 1), Link("b", 1, "c", 1)])
    assert {place.y for place in found.places.values()} == {0}
    assert all(len(path) == 2 for path in found.paths.values())
    assert found.height == 3


def test_what_leads_back_runs_below_all_boxes() -> None:
    blocks = [Block("a", 0, 5, 3), Block("b", 1, 5, 3), Block("tall", 1, 5, 9)]
    links = [Link("a", 1, "b", 1), Link("b", 1, "a", 1), Link("tall", 0, "tall", 1)]
    found = layout_of(blocks, links)
    bottom = max(place.y + place.height for place in found.places.values())
    assert max(y for _, y in found.paths[links[0]]) < bottom
    for link in links[1:]:
        assert max(y for _, y in found.paths[link]) >= bottom


def test_neighbours_stand_in_the_order_that_crosses_least() -> None:
    blocks = [Block("a", 0, 5, 3), Block("b", 0, 5, 3), Block("x", 1, 5, 3), Block("y", 1, 5, 3)]
    found = layout_of(blocks, [Link("a", 1, "y", 1), Link("b", 1, "x", 1)])
    assert found.places["y"].y < found.places["x"].y
    assert all(len(path) == 2 for path in found.paths.values())


@pytest.mark.parametrize("step", range(3))
def test_a_box_that_grows_leaves_the_columns_where_they_are(step: int) -> None:
    blocks = [Block("a", 0, 5, 3 + step), Block("b", 1, 5, 3)]
    found = layout_of(blocks, [Link("a", 1, "b", 1)])
    assert [found.places[name].x for name in "ab"] == [0, 9]
