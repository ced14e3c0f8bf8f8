"""What the boxes of the graph say: a box for each group of members, with a row for its state, its members and its ports.

Which rows a box has depends on the pipeline, on what is folded and on the scale alone; what they say, on the moment.
"""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Final, Literal, NamedTuple

from pypz.sniffer.graph.layout import Block, Link, Spacing
from pypz.sniffer.model.frames import LagView, MemberView, PortView, Selection
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.table import (
    SYMBOLS,
    TONES,
    WORST_FIRST,
    Tone,
    count_words,
    member_words,
    rate_words,
    short_name,
    size_words,
)

Kind = Literal["title", "state", "why", "member", "in", "out"]


@dataclass(frozen=True)
class Scale:
    """How much a box tells, and how much room there is around it."""

    name: str
    width: int
    """Of a box, in cells, where its name needs no more; 0 for one line as wide as the longest name of its column."""
    why_rows: int = 0
    spacing: Spacing = field(default_factory=Spacing)
    has_labels: bool = False
    """Whether rate and lag stand at the lines; else they stand in the boxes."""
    has_rates: bool = True
    """Whether a box of one line tells more than a name and the symbol of a state."""
    name_room: int = 0
    """Cells for a name, beyond which it is cut; 0 for as many as it needs."""

    @property
    def has_border(self) -> bool:
        """Whether a box is more than a line."""
        return self.width > 0


NARROWEST: Final = Spacing(leaving=1, arriving=1, between_blocks=0)
"""A line and its arrow."""

SCALES: Final[Sequence[Scale]] = (
    Scale("short names", 0, spacing=NARROWEST, has_rates=False, name_room=12),
    Scale("names", 0, spacing=NARROWEST, has_rates=False),
    Scale("lines", 0, spacing=Spacing(leaving=2, arriving=3, between_blocks=0)),
    Scale("boxes", 24, spacing=Spacing(leaving=2, arriving=2)),
    Scale("wide boxes", 32, spacing=Spacing(leaving=3, arriving=3)),
    Scale("cards", 27, 2, Spacing(leaving=10, arriving=12), has_labels=True),
    Scale("wide cards", 46, 2, Spacing(leaving=12, arriving=14, between_tracks=1), has_labels=True),
)
"""From far to near (chosen: at the first one a chain of five fits 80 columns whatever its names are, at "wide boxes" two do)."""

RATE_ROOM: Final = 8
"""Cells for a rate, and the space before it, in a box of one line."""


class Part(NamedTuple):
    """A row of a box: what kind it is, and which member or port it tells of."""

    kind: Kind
    name: str = ""
    line: int = 0


class Row(NamedTuple):
    """What a row of a box says."""

    left: str
    right: str
    tone: Tone
    selection: Selection
    is_selected: bool = False


class Flow(NamedTuple):
    """Figures of a port, of all members of its group together."""

    records: int | None = None
    rate: float | None = None
    size_bytes: int = 0
    lag: LagView = LagView()
    states: tuple[str, ...] = ()
    is_at_least: bool = False
    """Records and bytes may be more: a member was cut off."""


class Joint(NamedTuple):
    """A channel as it joins two groups: ports at both ends."""

    source: str
    source_port: str
    target: str
    target_port: str


@dataclass(frozen=True)
class Shape:
    """All boxes and lines, whatever they say at the moment."""

    scale: Scale
    parts: Mapping[str, tuple[Part, ...]]
    """Rows of each box, by the full name of the group's principal."""
    blocks: tuple[Block, ...]
    """All of a column are of one width."""
    links: Mapping[Link, tuple[Joint, ...]]
    """Channels of each line: several where a box has one row for all its ports."""


def shape_of(picture: Picture, scale: Scale) -> Shape:
    """Say which boxes with which rows there are, and which lines."""
    groups = picture.groups
    parts = {group: tuple(_parts(picture, group, members, scale)) for group, members in groups.items()}
    widths: dict[int, int] = {}
    for group, members in groups.items():
        level = members[0].level
        widths[level] = max(widths.get(level, 0), _width(picture, group, parts[group], scale))
    border = 2 if scale.has_border else 0
    blocks = tuple(
        Block(group, members[0].level, widths[members[0].level], len(parts[group]) + border)
        for group, members in groups.items()
    )
    links: dict[Link, tuple[Joint, ...]] = {}
    for joint in joints_of(picture):
        link = Link(
            joint.source,
            _row_at(parts[joint.source], Part("out", joint.source_port), scale),
            joint.target,
            _row_at(parts[joint.target], Part("in", joint.target_port), scale),
        )
        links[link] = (*links.get(link, ()), joint)
    return Shape(scale, parts, blocks, links)


def _width(picture: Picture, group: str, parts: Sequence[Part], scale: Scale) -> int:
    """Give the cells that a box needs for its names."""
    title = _title(picture, group, scale)
    if scale.has_border:
        return max(scale.width, len(title) + 6)
    if scale.has_rates:
        return 2 + len(title) + RATE_ROOM
    members = [len(_member_name(picture, group, part.name, scale)) + 4 for part in parts if part.kind == "member"]
    return max([2 + len(title), *members])


def _parts(picture: Picture, group: str, members: Sequence[MemberView], scale: Scale) -> list[Part]:
    is_one = len(members) == 1 or picture.is_folded(group, len(members))
    shown = [] if is_one else [Part("member", member.name) for member in members]
    if not scale.has_border:
        return [Part("title"), *shown]
    ports = dict.fromkeys(Part(port.direction, port.name) for member in members for port in member.ports)
    why = [Part("why", line=i) for i in range(scale.why_rows)]
    return [Part("state"), *why, *shown, *sorted(ports, key=lambda part: part.kind == "out")]


def _row_at(parts: Sequence[Part], part: Part, scale: Scale) -> int:
    return 1 + parts.index(part) if scale.has_border else 0


def joints_of(picture: Picture) -> list[Joint]:
    """Give the connections of ports, seen from either side, between ports that are there, in a fixed order."""
    pipeline = picture.frame.pipeline
    ports: dict[tuple[str, str, str], set[str]] = {}
    for group, members in picture.groups.items():
        for member in members:
            for port in member.ports:
                ports.setdefault((group, port.name, port.direction), set()).update(port.peers)
    found: set[Joint] = set()
    for (group, name, direction), peers in ports.items():
        for peer in peers:
            operator, _, far = peer.partition(".")
            other = f"{pipeline}.{operator}"
            if (other, far, "in" if direction == "out" else "out") in ports:
                found.add(Joint(group, name, other, far) if direction == "out" else Joint(other, far, group, name))
    return sorted(found)


# --- what the rows say ---


class Flows:
    """Figures of all ports of a picture, added up for each group."""

    def __init__(self, picture: Picture) -> None:
        ports: dict[tuple[str, str], list[PortView]] = {}
        for group, members in picture.groups.items():
            for member in members:
                for port in member.ports:
                    ports.setdefault((group, port.name), []).append(port)
        self._ports = ports
        self._flows: dict[tuple[str, str], Flow] = {}

    def of(self, group: str, port: str) -> Flow:
        """Give the figures of a port."""
        key = (group, port)
        if key not in self._flows:
            self._flows[key] = _sum(self._ports.get(key, []))
        return self._flows[key]

    def rate(self, joint: Joint) -> float:
        """Give the records a second that are sent into a channel."""
        channel = f"{joint.target}.{joint.target_port}"
        ports = self._ports.get((joint.source, joint.source_port), [])
        return sum(port.rate or 0.0 for port in ports if port.channel in ("", channel))


def _sum(ports: Sequence[PortView]) -> Flow:
    """Add up the members; a port that feeds several channels sends each record once, into all of them."""
    once: dict[str, PortView] = {}
    for port in ports:
        other = once.setdefault(port.member, port)
        if (port.records or 0) > (other.records or 0):
            once[port.member] = port
    told = [port.records for port in once.values() if port.records is not None]
    rates = [port.rate for port in once.values() if port.rate is not None]
    return Flow(
        records=sum(told) if told else None,
        is_at_least=any(port.is_at_least for port in once.values()),
        rate=sum(rates) if rates else None,
        size_bytes=sum(port.size_bytes for port in once.values()),
        lag=reduce(LagView.__add__, (port.lag for port in ports), LagView()),
        states=tuple(port.state for port in ports),
    )


def rows_of(picture: Picture, shape: Shape, group: str, width: int, flows: Flows) -> list[Row]:
    """Say what the rows of a box, as wide as it is, say now."""
    members = picture.groups[group]
    return [_row(picture, shape.scale, width - 4, group, members, part, flows) for part in shape.parts[group]]


def title_of(picture: Picture, scale: Scale, group: str) -> tuple[str, Tone]:
    """Give the head of a box, and the tone of its worst member."""
    return _title(picture, group, scale), TONES[_worst(picture.groups[group]).mood]


def _title(picture: Picture, group: str, scale: Scale) -> str:
    members = picture.groups[group]
    size = f" x{len(members)}" if len(members) > 1 else ""
    name = short_name(group, picture.frame.pipeline)
    if not scale.has_rates:  # which level it is in, the column tells
        return cut(name, size, scale.name_room)
    return f"{members[0].level + 1} {name}{size}"


def _member_name(picture: Picture, group: str, member: str, scale: Scale) -> str:
    name, stem = (short_name(full, picture.frame.pipeline) for full in (member, group))
    end = name[len(stem) :] if name.startswith(stem) else ""
    return cut(name[: len(name) - len(end)], end, max(0, scale.name_room - 2))  # they are set in by two


def cut(name: str, end: str, room: int) -> str:
    """Put an end to a name; where there is no room for both (0 is any room), the last letters give way to a sign.

    >>> cut("generator", " x3", 12), cut("generators", " x3", 12), cut("generators", "_10", 12)
    ('generator x3', 'generato… x3', 'generato…_10')
    """
    room = max(1, room - len(end)) if room else len(name)
    return f"{name if len(name) <= room else f'{name[: room - 1]}…'}{end}"


def _worst(members: Sequence[MemberView]) -> MemberView:
    return min(members, key=lambda member: WORST_FIRST.index(member.mood))


def _row(
    picture: Picture, scale: Scale, width: int, group: str, members: Sequence[MemberView], part: Part, flows: Flows
) -> Row:
    worst = _worst(members)
    whole = Selection(group)
    chosen = picture.selection
    is_one = len(members) == 1 or picture.is_folded(group, len(members))
    is_here = is_one and chosen.group == group and not chosen.port
    if part.kind == "title":
        rate = _rate_of(members) if scale.has_rates else 0.0
        left = f"{SYMBOLS[worst.mood]} {_title(picture, group, scale)}"
        return Row(left, f"{rate_words(rate)}/s" if rate else "", TONES[worst.mood], whole, is_here)
    if part.kind == "state":
        return Row(f"{SYMBOLS[worst.mood]} {_state_words(members, width)}", "", TONES[worst.mood], whole, is_here)
    if part.kind == "why":
        lines = textwrap.wrap(_why(picture, members), width, max_lines=scale.why_rows, placeholder="…")
        return Row(lines[part.line] if part.line < len(lines) else "", "", "dim", whole)
    if part.kind == "member":
        member = next(member for member in members if member.name == part.name)
        rate = _rate_of([member])
        right = f"{rate_words(rate)}/s" if rate else member_words(member)
        left = f"{SYMBOLS[member.mood]} {_member_name(picture, group, member.name, scale)}"
        room = width if scale.has_border else width + 2  # which member it is goes before: the symbol tells how it does
        right = right if scale.has_rates and len(left) + 1 + len(right) <= room else ""
        selection = Selection(group, member.name)
        return Row(left, right, TONES[member.mood], selection, chosen == selection)
    flow = flows.of(group, part.name)
    tone: Tone = "bad" if "failed" in flow.states else "warn" if flow.lag.records else ""
    room = width - 1 - len(part.name)
    right = _totals(flow, room) if scale.has_labels else _figures(flow, room)
    is_chosen = chosen.group == group and chosen.port == part.name
    return Row(part.name, right, tone, Selection(group, port=part.name), is_chosen)


def _state_words(members: Sequence[MemberView], width: int) -> str:
    if len(members) == 1:
        return member_words(members[0])
    moods = Counter(member.mood for member in members)
    worst = min(moods, key=WORST_FIRST.index)
    if len(moods) == 1:
        return worst.value
    words = ", ".join(f"{moods[mood]} {mood.value}" for mood in WORST_FIRST if mood in moods)
    return words if len(words) + 2 <= width else f"{moods[worst]} {worst.value} of {len(members)}"


def _why(picture: Picture, members: Sequence[MemberView]) -> str:
    worst = _worst(members)
    told = picture.diagnosis.members.get(worst.name, "")
    return f"{short_name(worst.name, picture.frame.pipeline)} {told}" if len(members) > 1 else told


def _rate_of(members: Sequence[MemberView]) -> float:
    """Records a second that a member takes, or where it takes none, sends."""
    rates: dict[tuple[str, str, str], float] = {}
    for member in members:
        for port in member.ports:
            key = (port.direction, port.member, port.name)
            rates[key] = max(rates.get(key, 0.0), port.rate or 0.0)
    taken, sent = (sum(rate for key, rate in rates.items() if key[0] == direction) for direction in ("in", "out"))
    return taken or sent


def _totals(flow: Flow, room: int) -> str:
    if flow.records is None:
        return ""
    records = f"{'>=' if flow.is_at_least else ''}{count_words(flow.records)} rec"
    both = f"{records} {size_words(flow.size_bytes)}"
    return both if len(both) <= room else records


def _figures(flow: Flow, room: int) -> str:
    """Rate and lag if there is room for both, else the lag if anything waits, else the rate."""
    rate = "" if flow.rate is None else f"{rate_words(flow.rate)}/s"
    lag = f"lag {flow.lag.words}" if flow.lag.words not in ("", "0") else ""
    both = " ".join(word for word in (rate, lag) if word)
    return (both if len(both) <= room else lag or rate) or (flow.states[0] if flow.states else "")
