"""The graph as characters: boxes with their rows, lines with their figures, and marks that move where records flow.

A line of the drawing is made when it is asked for, so that only what is in sight costs anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from pypz.sniffer.graph.cards import Flows, Row, Shape, rows_of, title_of
from pypz.sniffer.graph.layout import Layout, Link, Place, layout_of
from pypz.sniffer.model.frames import Selection
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.table import Tone, rate_words

MARK: Final = "•"
MARK_DISTANCE: Final = 9
"""Cells from one mark to the next on a line where records flow (chosen)."""

ARROW: Final = "▶"

LEFT, RIGHT, UP, DOWN = 1, 2, 4, 8

GLYPHS: Final = {
    LEFT: "─",
    RIGHT: "─",
    LEFT | RIGHT: "─",
    UP: "│",
    DOWN: "│",
    UP | DOWN: "│",
    LEFT | DOWN: "╮",
    RIGHT | DOWN: "╭",
    LEFT | UP: "╯",
    RIGHT | UP: "╰",
    LEFT | RIGHT | DOWN: "┬",
    LEFT | RIGHT | UP: "┴",
    UP | DOWN | RIGHT: "├",
    UP | DOWN | LEFT: "┤",
    LEFT | RIGHT | UP | DOWN: "┼",
}


class Look(NamedTuple):
    """How a piece of text looks; each look only repeats what words and symbols say."""

    tone: Tone = ""
    is_bold: bool = False
    is_reverse: bool = False


class Piece(NamedTuple):
    """A text at a place of a line."""

    x: int
    text: str
    look: Look


class Change(NamedTuple):
    """Cells to draw again."""

    x: int
    y: int
    width: int


class Drawing:
    """One graph at one scale; takes pictures, gives lines.

    Args:
        picture: The first picture.
        shape: Its boxes and lines.
        layout: Where they stand.
    """

    def __init__(self, picture: Picture, shape: Shape, layout: Layout) -> None:
        self.shape = shape
        self.layout = layout
        self._picture = picture
        self._flows = Flows(picture)
        self._rows: dict[str, list[Row]] = {}
        self._titles: dict[str, tuple[str, Tone]] = {}
        self._boxes_at = _by_row(layout.places)
        self._cells = _lines(layout)
        self._steps = {link: list(_cells_of(path)) for link, path in layout.paths.items()}
        self._phase = 0
        self._flowing: list[Link] = []
        self._labels: dict[int, list[Piece]] = {}
        self._tones: dict[int, Tone] = {}
        self.take(picture)

    # --- pictures ---

    def take(self, picture: Picture) -> list[Change]:
        """Show another picture with the same boxes; gives what is different."""
        before_rows, before_titles, before_labels = self._rows, self._titles, self._labels
        before_tones, before = self._tones, self._picture.selection
        self._picture, self._flows = picture, Flows(picture)
        shape, places = self.shape, self.layout.places
        self._rows = {group: rows_of(picture, shape, group, at.width, self._flows) for group, at in places.items()}
        self._titles = {group: title_of(picture, shape.scale, group) for group in places}
        rates = {link: sum(self._flows.rate(joint) for joint in joints) for link, joints in self.shape.links.items()}
        flowed, self._flowing = self._flowing, [link for link, rate in rates.items() if rate > 0]
        self._tones = self._tones_of_lines(rates)
        self._labels = self._all_labels()
        changes: list[Change] = []
        for group, place in self.layout.places.items():
            is_reframed = self._titles[group] != before_titles.get(group) or (
                (before.group == group) != (picture.selection.group == group)
            )
            if is_reframed:
                changes += [Change(place.x, place.y + i, place.width) for i in range(place.height)]
            else:
                top = 1 if self.shape.scale.has_border else 0
                changes += [
                    Change(place.x, place.y + top + i, place.width)
                    for i, (old, new) in enumerate(zip(before_rows[group], self._rows[group], strict=True))
                    if old != new
                ]
        changes += _different_labels(before_labels, self._labels)
        changes += [Change(x, y, 1) for link in {*flowed} ^ {*self._flowing} for x, y in self._marks(link)]
        changed = {bundle for bundle, tone in self._tones.items() if tone != before_tones.get(bundle)}
        if changed:
            changes += [
                Change(one.x1, y, one.x2 - one.x1 + 1)
                for one in self.layout.stretches
                if one.bundle in changed
                for y in range(one.y1, one.y2 + 1)
            ]
        return changes

    @property
    def is_flowing(self) -> bool:
        """Whether there is anything to move."""
        return bool(self._flowing)

    def move(self) -> list[Change]:
        """Move the marks by a cell; gives what is different."""
        before = {cell for link in self._flowing for cell in self._marks(link)}
        self._phase += 1
        after = {cell for link in self._flowing for cell in self._marks(link)}
        return [Change(x, y, 1) for x, y in before ^ after]

    # --- what is where ---

    def at(self, x: int, y: int) -> Selection | None:
        """Give what stands at a place: a member, a port, a group; None between the boxes."""
        for group in self._boxes_at.get(y, ()):
            place = self.layout.places[group]
            if place.x <= x < place.x + place.width:
                row = y - place.y - (1 if self.shape.scale.has_border else 0)
                rows = self._rows[group]
                return rows[row].selection if 0 <= row < len(rows) else Selection(group)
        return None

    def place_of(self, selection: Selection) -> Place | None:
        """Give where a selection stands: a row of a box, or all of it."""
        place = self.layout.places.get(selection.group)
        if place is None:
            return None
        for i, row in enumerate(self._rows[selection.group]):
            if row.is_selected and row.selection != Selection(selection.group):
                top = 1 if self.shape.scale.has_border else 0
                return Place(place.x, place.y + top + i, place.width, 1)
        return place

    def stops(self, group: str) -> list[tuple[int, Selection]]:
        """Give what can be selected in a box, each with the row of the drawing where it stands."""
        place, found = self.layout.places[group], dict[Selection, int]()
        top = 1 if self.shape.scale.has_border else 0
        for i, row in enumerate(self._rows[group]):
            found.setdefault(row.selection, place.y + top + i)
        return [(y, selection) for selection, y in found.items()]

    # --- lines ---

    def line(self, y: int) -> list[Piece]:
        """Give the pieces of a line, from left to right, none upon another."""
        cells: dict[int, tuple[str, Look]] = {}
        for x, (glyph, bundle) in self._cells.get(y, {}).items():
            tone = self._tones.get(bundle, "dim")
            cells[x] = (glyph, Look(tone, is_bold=tone not in ("", "dim")))
        for link in self._flowing:
            for x, mark_y in self._marks(link):
                if mark_y == y and cells.get(x, ("",))[0] != ARROW:
                    cells[x] = (MARK, Look("good", is_bold=True))
        for piece in self._labels.get(y, ()):
            for i, character in enumerate(piece.text):
                cells[piece.x + i] = (character, piece.look)
        pieces = list(_merged(cells))
        for group in self._boxes_at.get(y, ()):
            pieces.extend(self._box_line(group, y))
        return sorted(pieces)

    def _marks(self, link: Link) -> Iterator[tuple[int, int]]:
        steps = self._steps[link][:-1]  # the last cell is the arrow's
        distance = max(1, min(MARK_DISTANCE, len(steps)))  # one mark at least is in sight
        return (steps[i] for i in range(self._phase % distance, len(steps), distance))

    def _box_line(self, group: str, y: int) -> Iterator[Piece]:
        place = self.layout.places[group]
        title, tone = self._titles[group]
        is_chosen = self._picture.selection.group == group
        if not self.shape.scale.has_border:
            row = self._rows[group][y - place.y]
            indent = "  " if y > place.y else ""
            text = _fitted(f"{indent}{row.left}", row.right, place.width)
            yield Piece(place.x, text, Look(row.tone, is_chosen and y == place.y, row.is_selected))
            return
        frame = Look(tone, is_bold=is_chosen)
        left, across, right, down = "┏━┓┃" if is_chosen else "╭─╮│"
        if y == place.y:
            head = f"{left}{across} {title[: place.width - 6]} "
            yield Piece(place.x, f"{head}{across * (place.width - 1 - len(head))}{right}", frame)
        elif y == place.y + place.height - 1:
            left, right = ("┗", "┛") if is_chosen else ("╰", "╯")
            yield Piece(place.x, f"{left}{across * (place.width - 2)}{right}", frame)
        else:
            row = self._rows[group][y - place.y - 1]
            text = f" {_fitted(row.left, row.right, place.width - 4)} "
            yield Piece(place.x, down, frame)
            yield Piece(place.x + 1, text, Look(row.tone, is_reverse=row.is_selected))
            yield Piece(place.x + place.width - 1, down, frame)

    # --- lines between boxes ---

    def _tones_of_lines(self, rates: Mapping[Link, float]) -> dict[int, Tone]:
        tones: dict[int, Tone] = {}
        for link, joints in self.shape.links.items():
            bundle = self.layout.bundles[link]
            waits = any((flow := self._flows.of(j.target, j.target_port)).lag.records and not flow.rate for j in joints)
            tone: Tone = "warn" if waits else "" if rates[link] > 0 else "dim"
            if tones.get(bundle) != "warn" and (tone != "dim" or bundle not in tones):
                tones[bundle] = tone
        return tones

    def _all_labels(self) -> dict[int, list[Piece]]:
        """Rates where lines leave, lags where they arrive."""
        labels: dict[int, list[Piece]] = {}
        if not self.shape.scale.has_labels:
            return labels
        spacing = self.shape.scale.spacing
        for link, (joint, *_) in self.shape.links.items():
            source, target = self.layout.places[link.source], self.layout.places[link.target]
            out, into = self._flows.of(joint.source, joint.source_port), self._flows.of(joint.target, joint.target_port)
            if out.rate is not None:
                text = f" {rate_words(out.rate)}/s "[: spacing.leaving - 1]
                y = source.y + link.source_row
                labels.setdefault(y, []).append(
                    Piece(source.x + source.width + 1, text, Look("" if out.rate else "dim"))
                )
            if into.lag.words:
                text = _lag_label(into.lag.words, spacing.arriving - 2)
                y = target.y + link.target_row
                look = Look("dim" if into.lag.words == "0" else "warn")
                labels.setdefault(y, []).append(Piece(target.x - 2 - len(text), text, look))
        return {y: sorted(set(pieces)) for y, pieces in labels.items()}


def drawing_of(picture: Picture, shape: Shape) -> Drawing:
    """Place the boxes of a shape, and draw them."""
    return Drawing(picture, shape, layout_of(shape.blocks, shape.links, shape.scale.spacing))


def _lag_label(words: str, room: int) -> str:
    """Say how much waits in so much room; what does not fit is rounded, never cut.

    >>> _lag_label("1,080", 10), _lag_label(">=1,920", 10), _lag_label("<=1,234,567", 10)
    (' lag 1,080', ' >=1,920 ', ' <=1,235k ')
    """
    number = words.lstrip("<>=")
    count = int(number.replace(",", "")) if number[:1].isdigit() else 0
    rounded = f"{words[: len(words) - len(number)]}{rate_words(float(count))}"
    labels = (f" lag {words} ", f" lag {words}", f" {words} ", f" {words}", f" {rounded} ", f" {rounded}")
    return next((label for label in labels if len(label) <= room), labels[-1][:room])


def _fitted(left: str, right: str, width: int) -> str:
    """Put a text to the left and another to the right; what does not fit is cut from the left one."""
    right = right[:width]
    room = width - len(right) - (1 if right else 0)
    left = left if len(left) <= room else f"{left[: max(0, room - 1)]}…"[: max(0, room)]
    return f"{left}{' ' * (width - len(left) - len(right))}{right}"


def _by_row(places: Mapping[str, Place]) -> dict[int, list[str]]:
    found: dict[int, list[str]] = {}
    for group, place in places.items():
        for y in range(place.y, place.y + place.height):
            found.setdefault(y, []).append(group)
    return found


def _cells_of(path: Sequence[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Give all cells of a line in the order in which records pass them."""
    yield path[0]
    for (x1, y1), (x2, y2) in pairwise(path):
        step_x, step_y = (x2 > x1) - (x2 < x1), (y2 > y1) - (y2 < y1)
        x, y = x1, y1
        while (x, y) != (x2, y2):
            x, y = x + step_x, y + step_y
            yield x, y


def _lines(layout: Layout) -> dict[int, dict[int, tuple[str, int]]]:
    """Give the character of each cell of all lines, row by row, and the bundle whose tone it has."""
    arms: dict[tuple[int, int], dict[int, int]] = {}
    for one in layout.stretches:
        is_level = one.y1 == one.y2
        towards, back = (RIGHT, LEFT) if is_level else (DOWN, UP)
        cells = [(x, y) for x in range(one.x1, one.x2 + 1) for y in range(one.y1, one.y2 + 1)]
        for i, cell in enumerate(cells):
            mask = (towards if i < len(cells) - 1 else 0) | (back if i else 0)
            mine = arms.setdefault(cell, {})
            mine[one.bundle] = mine.get(one.bundle, 0) | mask
    ends = set()
    for link, path in layout.paths.items():
        arms[path[0]][layout.bundles[link]] |= LEFT
        arms[path[-1]][layout.bundles[link]] |= RIGHT
        ends.add(path[-1])
    found: dict[int, dict[int, tuple[str, int]]] = {}
    for (x, y), masks in arms.items():
        glyph, bundle = _glyph(masks)
        found.setdefault(y, {})[x] = (ARROW if (x, y) in ends else glyph, bundle)
    return found


def _glyph(masks: Mapping[int, int]) -> tuple[str, int]:
    """Give the character for the arms of all bundles in a cell: where two only cross, the upright one lies on top."""
    upright = [bundle for bundle, mask in masks.items() if mask == UP | DOWN]
    level = [bundle for bundle, mask in masks.items() if mask == LEFT | RIGHT]
    if upright and level and len(upright) + len(level) == len(masks):
        return "│", upright[0]
    union = 0
    for mask in masks.values():
        union |= mask
    return GLYPHS[union], next(iter(masks))


def _merged(cells: Mapping[int, tuple[str, Look]]) -> Iterator[Piece]:
    """Put neighbouring cells of one look together."""
    start, text, look = 0, "", Look()
    for x in sorted(cells):
        character, its = cells[x]
        if text and its == look and x == start + len(text):
            text += character
            continue
        if text:
            yield Piece(start, text, look)
        start, text, look = x, character, its
    if text:
        yield Piece(start, text, look)


def _different_labels(before: Mapping[int, Iterable[Piece]], after: Mapping[int, Iterable[Piece]]) -> Iterator[Change]:
    for y in {*before, *after}:
        for piece in set(before.get(y, ())) ^ set(after.get(y, ())):
            yield Change(piece.x, y, len(piece.text))
