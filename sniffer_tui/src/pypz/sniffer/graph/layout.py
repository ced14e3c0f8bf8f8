"""Where the boxes of a graph stand and how the lines between them run: columns from left to right, right angles only.

Plain numbers in, plain numbers out: nothing here knows what a box shows, so that a graph stays where it is while states and
counts change. The same input gives the same layout. Lines that lead back (cycles) run below all boxes.

The steps are those of layered drawing: columns by level; an order within each column by the middle of the neighbours;
heights as near to the neighbours as the order allows; then, in each gap between two columns, a track for each bundle of lines.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Final, NamedTuple

SWEEPS: Final = 6
"""Passes over all columns, there and back, for the order and again for the heights (chosen: graphs settle after few)."""

LANES_FROM: Final = 1_000_000
"""Rows from here on stand for lanes below all boxes, until it is known how far down those reach."""


class Block(NamedTuple):
    """A box to place."""

    name: str
    level: int
    """Column, from left to right; only the order of levels counts."""
    width: int
    height: int


class Link(NamedTuple):
    """A line to draw, from the right side of one box to the left side of another, at these rows of theirs."""

    source: str
    source_row: int
    target: str
    target_row: int


@dataclass(frozen=True)
class Spacing:
    """Room between boxes, in cells."""

    leaving: int = 2
    """Straight way of a line after it has left a box."""
    arriving: int = 2
    """Straight way of a line before it reaches a box."""
    between_tracks: int = 0
    between_blocks: int = 1


class Place(NamedTuple):
    """Where a box stands."""

    x: int
    y: int
    width: int
    height: int


class Stretch(NamedTuple):
    """A straight part of a bundle's lines, both ends included: ``x1 <= x2``, ``y1 <= y2``, one of them equal."""

    bundle: int
    x1: int
    y1: int
    x2: int
    y2: int


@dataclass(frozen=True)
class Layout:
    """A graph whose boxes and lines have their places."""

    width: int
    height: int
    places: Mapping[str, Place]
    stretches: Sequence[Stretch]
    paths: Mapping[Link, Sequence[tuple[int, int]]]
    """Corners of each line, from the cell right of its source's box to the cell left of its target's."""
    bundles: Mapping[Link, int]
    """Lines that share an end are drawn as one: the number of the bundle of each."""


class _Item(NamedTuple):
    """What has a height in a column: a block, or a bundle that passes through."""

    name: str
    bundle: int = -1
    column: int = -1


class _End(NamedTuple):
    """Where a bundle meets a column: an item, and the row in it."""

    item: _Item
    row: int


@dataclass
class _Gap:
    """What one bundle has in one gap between two columns."""

    left: list[_End] = field(default_factory=list)
    right: list[_End] = field(default_factory=list)
    has_lane: bool = False

    def add(self, ends: list[_End], end: _End) -> None:
        if end not in ends:
            insort(ends, end)


def layout_of(blocks: Sequence[Block], links: Iterable[Link], spacing: Spacing | None = None) -> Layout:
    """Place boxes and lines.

    Args:
        blocks: Names differ; within a column the order given is kept where lines do not ask for another.
        links: Each between two of the blocks, or from one to itself.
        spacing: Room between them.
    """
    return _Drawing(blocks, list(dict.fromkeys(links)), spacing or Spacing()).layout()


def smallest_size(blocks: Sequence[Block], spacing: Spacing) -> tuple[int, int]:
    """Give a width and a height that no layout of the boxes is below, whatever lines there are; without placing them.

    >>> smallest_size([Block("a", 0, 5, 3), Block("b", 0, 4, 3), Block("c", 1, 5, 3)], Spacing(2, 2))
    (14, 7)
    """
    widths: dict[int, int] = {}
    heights: dict[int, int] = {}
    for block in blocks:
        widths[block.level] = max(widths.get(block.level, 0), block.width)
        heights[block.level] = heights.get(block.level, -spacing.between_blocks) + block.height + spacing.between_blocks
    gaps = max(0, len(widths) - 1) * (spacing.leaving + spacing.arriving)
    return sum(widths.values()) + gaps, max(heights.values(), default=0)


class _Drawing:
    def __init__(self, blocks: Sequence[Block], links: Sequence[Link], spacing: Spacing) -> None:
        levels = sorted({block.level for block in blocks})
        self._blocks = {block.name: block for block in blocks}
        self.column = {block.name: levels.index(block.level) for block in blocks}
        self.links = links
        self._spacing = spacing
        self._count = len(levels)
        self._columns: list[list[_Item]] = [[] for _ in levels]
        for block in blocks:
            self._columns[self.column[block.name]].append(_Item(block.name))
        self.bundles = _bundles_of(links)
        self._gaps: list[dict[int, _Gap]] = [{} for _ in range(self._count + 1)]
        for link in links:
            self._thread(link)
        self._lanes = [b for b in dict.fromkeys(self.bundles.values()) if any(self._has_lane(b, g) for g in self._gaps)]
        self.y: dict[_Item, int] = {}

    def layout(self) -> Layout:
        """Do all steps."""
        self._order()
        for items in self._columns:
            self._stack(items, [0] * len(items))
        for sweep in range(SWEEPS):
            self._settle(to_right=sweep % 2 == 0)
        self._settle(to_right=True)
        tracks = [self._tracks(gap) for gap in range(self._count + 1)]
        top = min(self.y.values(), default=0)
        for item in self.y:
            self.y[item] -= top
        return self._drawn(tracks)

    # --- which bundles run where ---

    def _thread(self, link: Link) -> None:
        """Lead a line through the gaps and columns between its ends."""
        bundle = self.bundles[link]
        source, target = self.column[link.source], self.column[link.target]
        leaving, arriving = self._gap(source + 1, bundle), self._gap(target, bundle)
        leaving.add(leaving.left, _End(_Item(link.source), link.source_row))
        arriving.add(arriving.right, _End(_Item(link.target), link.target_row))
        if target <= source:
            leaving.has_lane = arriving.has_lane = True
        for column in range(source + 1, target):
            through = _End(_Item("", bundle, column), 0)
            if through.item not in self._columns[column]:
                self._columns[column].append(through.item)
            for gap, is_left in ((self._gap(column, bundle), False), (self._gap(column + 1, bundle), True)):
                gap.add(gap.left if is_left else gap.right, through)

    def _gap(self, number: int, bundle: int) -> _Gap:
        return self._gaps[number].setdefault(bundle, _Gap())

    def _has_lane(self, bundle: int, gap: Mapping[int, _Gap]) -> bool:
        return bundle in gap and gap[bundle].has_lane

    # --- order and heights ---

    def _height(self, item: _Item) -> int:
        return self._blocks[item.name].height if item.bundle < 0 else 1

    def _order(self) -> None:
        """Sort each column by where its neighbours stand, to and fro; keep what crosses least."""
        best, fewest = [list(items) for items in self._columns], self._crossings()
        for sweep in range(SWEEPS):
            to_right = sweep % 2 == 0
            numbers = range(1, self._count) if to_right else range(self._count - 2, -1, -1)
            for number in numbers:
                self._sort(number, to_right=to_right)
            crossings = self._crossings()
            if crossings < fewest:
                best, fewest = [list(items) for items in self._columns], crossings
        self._columns = best

    def _sort(self, number: int, *, to_right: bool) -> None:
        other = self._columns[number - 1 if to_right else number + 1]
        ranks = {item: i for i, item in enumerate(other)}
        wanted: dict[_Item, list[float]] = {}
        for gap in self._gaps[number if to_right else number + 1].values():
            mine, theirs = (gap.right, gap.left) if to_right else (gap.left, gap.right)
            for end in mine:
                wanted.setdefault(end.item, []).extend(
                    ranks[their.item] + (their.row + 1) / (self._height(their.item) + 2) for their in theirs
                )
        items = self._columns[number]
        middle = {item: sum(wanted[item]) / len(wanted[item]) for item in items if wanted.get(item)}
        places = [i for i, item in enumerate(items) if item in middle]
        for place, item in zip(places, sorted(middle, key=lambda item: middle[item]), strict=True):
            items[place] = item

    def _crossings(self) -> int:
        """Pairs of lines that cross in the gaps between columns, as the columns are ordered now."""
        crossings = 0
        for number in range(1, self._count):
            left, right = ({item: i for i, item in enumerate(self._columns[n])} for n in (number - 1, number))
            pairs = sorted(
                (left[a.item], a.row, right[b.item], b.row)
                for gap in self._gaps[number].values()
                for a in gap.left
                for b in gap.right
            )
            seen: list[tuple[int, int]] = []
            for _, _, *end in pairs:
                place = (end[0], end[1])
                insort(seen, place)
                crossings += len(seen) - 1 - _last_index(seen, place)
        return crossings

    def _settle(self, *, to_right: bool) -> None:
        """Move each item to the height of its neighbours on one side, as far as the order allows."""
        numbers = range(1, self._count) if to_right else range(self._count - 2, -1, -1)
        for number in numbers:
            wanted: dict[_Item, list[int]] = {}
            for gap in self._gaps[number if to_right else number + 1].values():
                mine, theirs = (gap.right, gap.left) if to_right else (gap.left, gap.right)
                for end in mine:
                    wanted.setdefault(end.item, []).extend(self._row(their) - end.row for their in theirs)
            items = self._columns[number]
            self._stack(items, [_middle(wanted[item]) if wanted.get(item) else self.y[item] for item in items])

    def _stack(self, items: Sequence[_Item], wanted: Sequence[int]) -> None:
        """Give items heights near the wanted ones, without overlap and in their order."""
        offsets = [0]
        for item, following in pairwise(items):
            offsets.append(offsets[-1] + self._height(item) + self._between(item, following))
        pools: list[list[int]] = []
        for want, offset in zip(wanted, offsets, strict=False):
            pools.append([want - offset])
            while len(pools) > 1 and _middle(pools[-2]) > _middle(pools[-1]):
                last = pools.pop()
                pools[-1] = sorted(pools[-1] + last)
        heights = [_middle(pool) for pool in pools for _ in pool]
        for item, height, offset in zip(items, heights, offsets, strict=False):
            self.y[item] = height + offset

    def _between(self, item: _Item, following: _Item) -> int:
        if item.bundle >= 0 and following.bundle >= 0:
            return 0
        return self._spacing.between_blocks if item.bundle < 0 and following.bundle < 0 else 1

    def _row(self, end: _End) -> int:
        return self.y[end.item] + end.row

    # --- tracks in the gaps ---

    def _tracks(self, number: int) -> dict[int, int]:
        """Give each bundle that changes its row in a gap a track; boxes right of it move down where lines would run together."""
        while True:
            rows = {bundle: self._rows(bundle, gap) for bundle, gap in self._gaps[number].items()}
            before = self._must_come_before(number)
            order, stuck = _sorted_by(before, sorted(rows, key=lambda b: (min(rows[b]), max(rows[b]), b)))
            if not stuck:
                return _packed(order, before, rows)
            gap = next(self._gaps[number][bundle] for bundle in stuck if self._gaps[number][bundle].right)
            self._push_down(number, gap.right[0].item)

    def _rows(self, bundle: int, gap: _Gap) -> list[int]:
        rows = [self._row(end) for end in (*gap.left, *gap.right)]
        return [*rows, LANES_FROM + self._lanes.index(bundle)] if gap.has_lane else rows

    def _must_come_before(self, number: int) -> dict[int, set[int]]:
        """For each bundle those whose track must be left of its own, since they leave at a row where it arrives."""
        leaving: dict[int, list[tuple[int, _End]]] = {}
        for bundle, gap in self._gaps[number].items():
            for end in gap.left:
                leaving.setdefault(self._row(end), []).append((bundle, end))
        before: dict[int, set[int]] = {bundle: set() for bundle in self._gaps[number]}
        for bundle, gap in self._gaps[number].items():
            for end in gap.right:
                for other, start in leaving.get(self._row(end), ()):
                    if other != bundle and end not in self._gaps[number][other].right and start not in gap.left:
                        before[bundle].add(other)
        return before

    def _push_down(self, number: int, item: _Item) -> None:
        items = self._columns[number]
        place = items.index(item)
        self.y[item] += 1
        for above, below in pairwise(items[place:]):
            self.y[below] = max(self.y[below], self.y[above] + self._height(above) + self._between(above, below))

    # --- coordinates ---

    def _drawn(self, tracks: Sequence[Mapping[int, int]]) -> Layout:
        spacing = self._spacing
        bottom = max((self.y[item] + self._height(item) for item in self.y), default=0)
        lane = {bundle: bottom + 1 + i for i, bundle in enumerate(self._lanes)}
        widths = [max(self._blocks[i.name].width for i in items if i.bundle < 0) for items in self._columns]
        lefts, track_x, x = [], [], 0
        for number in range(self._count + 1):
            gap, used = self._gaps[number], tracks[number]
            is_between = 0 < number < self._count
            first = x + (spacing.leaving if is_between or any(one.left for one in gap.values()) else 0)
            track_x.append({bundle: first + track * (1 + spacing.between_tracks) for bundle, track in used.items()})
            x = first + (max(used.values()) * (1 + spacing.between_tracks) + 1 if used else 0)
            x += spacing.arriving if is_between or any(one.right for one in gap.values()) else 0
            if number < self._count:
                lefts.append(x)
                x += widths[number]
        places = {
            name: Place(lefts[self.column[name]], self.y[_Item(name)], block.width, block.height)
            for name, block in self._blocks.items()
        }
        router = _Router(self, places, lefts, widths, track_x, lane)
        height = bottom + (1 + len(lane) if lane else 0)
        return Layout(x, height, places, router.stretches(), router.paths(), self.bundles)


class _Router:
    """Turns rows, tracks and lanes into straight lines."""

    def __init__(
        self,
        drawing: _Drawing,
        places: Mapping[str, Place],
        lefts: Sequence[int],
        widths: Sequence[int],
        track_x: Sequence[Mapping[int, int]],
        lane: Mapping[int, int],
    ) -> None:
        self._of = drawing
        self._places = places
        self._lefts = lefts
        self._widths = widths
        self._track_x = track_x
        self._lane = lane

    def stretches(self) -> list[Stretch]:
        """Give all straight parts, each once."""
        found: dict[Stretch, None] = {}
        for path, bundle in ((path, self._of.bundles[link]) for link, path in self.paths().items()):
            for (x1, y1), (x2, y2) in pairwise(path):
                found[Stretch(bundle, min(x1, x2), min(y1, y2), max(x1, x2), max(y1, y2))] = None
            if len(path) == 1:
                found[Stretch(bundle, *path[0], *path[0])] = None
        return list(found)

    def paths(self) -> dict[Link, tuple[tuple[int, int], ...]]:
        """Give the corners of each line."""
        return {link: tuple(_corners(self._path(link))) for link in self._of.links}

    def _path(self, link: Link) -> Iterable[tuple[int, int]]:
        bundle = self._of.bundles[link]
        source, target = self._places[link.source], self._places[link.target]
        y, end_y = source.y + link.source_row, target.y + link.target_row
        first, last = self._of.column[link.source] + 1, self._of.column[link.target]
        yield source.x + source.width, y
        if last < first:
            out, back = self._track_x[first][bundle], self._track_x[last][bundle]
            yield from ((out, y), (out, self._lane[bundle]), (back, self._lane[bundle]), (back, end_y))
        for number in range(first, last + 1):
            next_y = end_y if number == last else self._of.y[_Item("", bundle, number)]
            if next_y != y:
                x = self._track_x[number][bundle]
                yield x, y
                yield x, next_y
            y = next_y
        yield target.x - 1, end_y


def _corners(points: Iterable[tuple[int, int]]) -> Iterable[tuple[int, int]]:
    """Leave out points that repeat the one before, or lie on a straight line between others."""
    kept: list[tuple[int, int]] = []
    for point in points:
        if kept and kept[-1] == point:
            continue
        if len(kept) > 1 and (kept[-2][0] == kept[-1][0] == point[0] or kept[-2][1] == kept[-1][1] == point[1]):
            kept.pop()
        kept.append(point)
    return kept


def _bundles_of(links: Sequence[Link]) -> dict[Link, int]:
    """Lines that leave together are one bundle; of the others those that arrive together."""
    leaving: dict[tuple[str, int], int] = {}
    for link in links:
        leaving[link.source, link.source_row] = leaving.get((link.source, link.source_row), 0) + 1
    numbers: dict[tuple[str, str, int], int] = {}
    return {
        link: numbers.setdefault(
            ("from", link.source, link.source_row)
            if leaving[link.source, link.source_row] > 1
            else ("to", link.target, link.target_row),
            len(numbers),
        )
        for link in links
    }


def _middle(values: Sequence[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2]


def _last_index(seen: Sequence[tuple[int, int]], place: tuple[int, int]) -> int:
    return bisect_right(seen, place) - 1


def _sorted_by(before: Mapping[int, set[int]], bundles: Sequence[int]) -> tuple[list[int], list[int]]:
    """Give the bundles so that each comes after those it waits for, and those that wait for each other in a circle."""
    order: list[int] = []
    left = list(bundles)
    while left:
        waiting = set(left)
        free = [bundle for bundle in left if before[bundle].isdisjoint(waiting)]
        if not free:
            return order, left
        order.extend(free)
        left = [bundle for bundle in left if not before[bundle].isdisjoint(waiting)]
    return order, []


def _packed(order: Sequence[int], before: Mapping[int, set[int]], rows: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """Give each bundle with more than one row the leftmost track where it meets no other."""
    tracks: dict[int, int] = {}
    taken: list[list[tuple[int, int]]] = []
    for bundle in order:
        first, last = min(rows[bundle]), max(rows[bundle])
        if first == last:
            continue
        track = 1 + max((tracks[other] for other in before[bundle] if other in tracks), default=-1)
        while track < len(taken) and any(first <= end and start <= last for start, end in taken[track]):
            track += 1
        while len(taken) <= track:
            taken.append([])
        taken[track].append((first, last))
        tracks[bundle] = track
    return tracks
