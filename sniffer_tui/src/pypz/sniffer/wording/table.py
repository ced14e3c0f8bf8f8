"""A frame as rows of short texts: what stands in which line and column, for a screen or a test to show.

Every state is told by a word and a symbol; tones only repeat it for those who see colours.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final, Literal

from pypz.sniffer.model.frames import LagView, MemberView, Mood, PortView, Selection
from pypz.sniffer.model.pipeline import ENDED, plain_name

Tone = Literal["", "good", "warn", "bad", "dim"]

SYMBOLS: Final[dict[Mood, str]] = {
    Mood.WAITING: "○",
    Mood.STARTING: "◔",
    Mood.RUNNING: "●",
    Mood.STOPPING: "◕",
    Mood.FINISHED: "✓",
    Mood.INTERRUPTED: "■",
    Mood.FAILED: "✗",
    Mood.LOST: "?",
}

TONES: Final[dict[Mood, Tone]] = {
    Mood.WAITING: "dim",
    Mood.STARTING: "warn",
    Mood.RUNNING: "good",
    Mood.STOPPING: "warn",
    Mood.FINISHED: "good",
    Mood.INTERRUPTED: "warn",
    Mood.FAILED: "bad",
    Mood.LOST: "bad",
}

WORST_FIRST: Final = (
    Mood.FAILED,
    Mood.LOST,
    Mood.INTERRUPTED,
    Mood.STARTING,
    Mood.WAITING,
    Mood.STOPPING,
    Mood.RUNNING,
    Mood.FINISHED,
)

STATE_WORDS: Final[dict[str, str]] = {
    "": "starting",
    "StateEntry": "starting",
    "StateServiceStart": "service start",
    "StateResourceCreation": "creating",
    "StateOperationInit": "initialising",
    "StateOperationRunning": "running",
    "StateOperationShutdown": "stopping",
    "StateResourceDeletion": "deleting",
    "StateServiceShutdown": "service stop",
    "StateKilled": "ending",
}

PORT_TONES: Final[dict[str, Tone]] = {
    "": "dim",
    "opening": "warn",
    "open": "good",
    "ended": "good",
    "closed": "dim",
    "failed": "bad",
}

FOLD_ABOVE: Final = 4
"""Groups with more members than this are folded until the user unfolds them (chosen: the rest fits a small screen)."""


@dataclass(frozen=True)
class Cell:
    """One cell: a text, a tone, and whether it is a number."""

    text: str = ""
    tone: Tone = ""
    is_number: bool = False
    short: str = ""
    """What is said where there is no room for the text; empty where it is cut."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    selection: Selection
    """What the line shows."""
    name: Cell
    state: Cell
    records: Cell = Cell()
    rate: Cell = Cell()
    lag: Cell = Cell()
    waits_for: Cell = Cell()
    detail: tuple[str, ...] = ()
    """What is told below the table while the row is selected."""

    @property
    def key(self) -> str:
        """The same in every frame for the same thing."""
        at = self.selection
        return "\n".join((at.group, at.member, at.port, at.channel))  # no name has several lines

    @property
    def cells(self) -> tuple[Cell, ...]:
        """In the order of the columns."""
        return (self.name, self.state, self.records, self.rate, self.lag, self.waits_for)


COLUMNS: Final = ("operator, port", "state", "records", "per s", "lag", "waits for")


def rows_of(
    pipeline: str,
    members: Iterable[MemberView],
    is_folded: Callable[[str, int], bool] = lambda group, size: size > FOLD_ABOVE,
    why: Mapping[str, str] | None = None,
) -> list[Row]:
    """Give the lines of members, a line for each operator with its ports below.

    Args:
        pipeline: Its full name, which names are shown without.
        members: What to show, from left to right.
        is_folded: Whether the members of a group (its principal's full name, its size) stand in one line.
        why: What each member does or waits for, by full name; told in the details.
    """
    groups: dict[str, list[MemberView]] = {}
    for member in members:
        groups.setdefault(member.group, []).append(member)
    rows: list[Row] = []
    for group, mine in groups.items():
        if len(mine) > 1 and is_folded(group, len(mine)):
            rows.extend(_folded_rows(pipeline, group, mine))
        else:
            for member in mine:
                rows.extend(_member_rows(pipeline, member, (why or {}).get(member.name, "")))
    return rows


def row_at(rows: Iterable[Row], selection: Selection) -> Row | None:
    """Give the row of a selection; the next best one while there is none (its group was folded, its channel became known)."""
    near = [row for row in rows if row.selection.group == selection.group]
    wanted = (
        lambda at: at == selection,
        lambda at: (at.member, at.port) == (selection.member, selection.port),
        lambda at: bool(selection.port) and at.port == selection.port,
    )
    found = (row for is_wanted in wanted for row in near if is_wanted(row.selection))
    return next(found, near[0] if near else None)


def short_name(name: str, pipeline: str) -> str:
    """Give a full name without the pipeline's.

    >>> short_name("demo.writer", "demo"), short_name("other.writer", "demo")
    ('writer', 'other.writer')
    """
    return name.removeprefix(f"{pipeline}.")


def waits_words(waits_for: str, pipeline: str) -> str:
    """Give for whom a port waits in the names that the table shows.

    >>> waits_words("demo.writer/0/out, ns..demo.writer/2/out", "demo")
    'writer.out, writer_1.out'
    """

    def plain(found: re.Match[str]) -> str:
        index = int(found["index"])
        operator = short_name(plain_name(found["operator"]), pipeline)
        return f"{operator}{f'_{index - 1}' if index else ''}.{found['port']}"

    return _END.sub(plain, waits_for)


_END: Final = re.compile(r"(?P<operator>[\w.-]+)/(?P<index>\d+)/(?P<port>[\w-]+)")
"""How the core names a writing end: full name of the principal, group index, port."""


def elapsed_words(seconds: float) -> str:
    """Give a time as a clock shows it.

    >>> elapsed_words(7.9), elapsed_words(3725)
    ('0:07', '1:02:05')
    """
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    return f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"


def count_words(count: int) -> str:
    """Give a count that fits nine places.

    >>> count_words(1234567), count_words(1234567890)
    ('1,234,567', '1,234.6M')
    """
    return f"{count:,}" if count < 10_000_000 else f"{count / 1e6:,.1f}M"


def at_least(ports: Iterable[PortView]) -> str:
    """Give what stands before a count of these ports: nothing, or that it may be more."""
    return ">=" if any(port.is_at_least for port in ports) else ""


def rate_words(rate: float | None) -> str:
    """Give records a second in at most six places; empty when not known.

    >>> rate_words(None), rate_words(0.0), rate_words(0.24), rate_words(41.4), rate_words(125_400.0)
    ('', '0', '0.2', '41', '125k')
    """
    if rate is None:
        return ""
    if rate >= 10_000:
        return f"{rate / 1000:,.0f}k"
    return "0" if rate == 0 else f"{rate:.1f}" if rate < 10 else f"{rate:,.0f}"


def size_words(size_bytes: int) -> str:
    """Give a size in the unit that suits it.

    >>> size_words(512), size_words(2_500_000)
    ('512 B', '2.5 MB')
    """
    size = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000 or unit == "GB":
            break
        size /= 1000
    return f"{size:.0f} B" if unit == "B" else f"{size:,.1f} {unit}"


def member_words(member: MemberView) -> str:
    """Give how a member is doing, such as ``failed 115`` or ``lost 12 s``."""
    if member.mood is Mood.STARTING or member.mood is Mood.STOPPING:
        return STATE_WORDS.get(member.state, member.state)
    if member.mood is Mood.FAILED and member.exit_code is not None:
        return f"failed {member.exit_code}"
    if member.mood is Mood.LOST:
        return f"lost {elapsed_words(member.silent_s)}"
    return str(member.mood.value)


def _member_rows(pipeline: str, member: MemberView, why: str) -> Iterator[Row]:
    yield Row(
        selection=Selection(member.group, member.name),
        name=Cell(f"{member.level + 1} {short_name(member.name, pipeline)}"),
        state=Cell(f"{SYMBOLS[member.mood]} {member_words(member)}", TONES[member.mood]),
        detail=tuple(_member_detail(member, why)),
    )
    for port in member.ports:
        yield _port_row(Selection(member.group, member.name, port.name, port.channel), [port], pipeline)


def _member_detail(member: MemberView, why: str) -> Iterator[str]:
    yield f"{member.name}: {member_words(member)}" + (
        f" ({member.state})" if member.state and member.mood not in ENDED else ""
    )
    if why and not member.error:
        yield f"{member.name.rpartition('.')[2]} {why}"
    if member.error:
        yield f"{member.error} (in {member.during})"
    if member.start:
        restarts = f", restarted {member.restarts} x" if member.restarts else ""
        yield f"process {member.process} on {member.host or 'an unknown host'}, start {member.start}{restarts}"
    else:
        yield "not started yet in this run"


def _folded_rows(pipeline: str, group: str, members: list[MemberView]) -> Iterator[Row]:
    moods = Counter(member.mood for member in members)
    worst = min(moods, key=WORST_FIRST.index)
    words = ", ".join(f"{moods[mood]} {mood.value}" for mood in WORST_FIRST if mood in moods)
    failed = next((m for m in members if m.error), None)
    yield Row(
        selection=Selection(group),
        name=Cell(f"{members[0].level + 1} {short_name(group, pipeline)} x{len(members)}"),
        state=Cell(
            f"{SYMBOLS[worst]} {worst.value if len(moods) == 1 else words}",
            TONES[worst],
            short=f"{SYMBOLS[worst]} {moods[worst]}/{len(members)} {worst.value}",
        ),
        detail=(
            f"{group} and {len(members) - 1} replicas: {words}",
            f"{failed.name}: {failed.error}" if failed else "enter unfolds this group, f all groups",
        ),
    )
    ports: dict[tuple[str, str], list[PortView]] = {}
    told = {(port.name, port.channel) for member in members for port in member.ports if port.channel}
    for member in members:
        for port in member.ports:
            channel = port.channel or next((c for name, c in sorted(told) if name == port.name), "")
            ports.setdefault((port.name, channel), []).append(port)
    for (name, channel), same in ports.items():
        yield _port_row(Selection(group, port=name, channel=channel), same, pipeline)


def _port_row(selection: Selection, ports: list[PortView], pipeline: str) -> Row:
    """The line of a port, or of the same port of several members together."""
    first = max(ports, key=lambda port: bool(port.channel))
    arrow = "→" if first.direction == "out" else "←"
    peers = ", ".join(first.peers) or first.channel
    state = _port_state(ports)
    told = [port for port in ports if port.records is not None]
    lag = reduce(LagView.__add__, (port.lag for port in ports), LagView())
    rates = [port.rate for port in ports if port.rate is not None]
    waits = waits_words(", ".join(dict.fromkeys(port.waits_for for port in ports if port.waits_for)), pipeline)
    return Row(
        selection=selection,
        name=Cell(f"    {first.name} {arrow} {peers}".rstrip()),
        state=state,
        records=Cell(at_least(told) + count_words(sum(p.records or 0 for p in told)) if told else "", is_number=True),
        rate=Cell(rate_words(sum(rates)) if rates else "", is_number=True),
        lag=Cell(lag.words, "warn" if lag.words not in ("", "0") else "", is_number=True),
        waits_for=Cell(waits, "dim"),
        detail=tuple(_port_detail(first, ports, lag, waits)),
    )


def _port_state(ports: Sequence[PortView]) -> Cell:
    states = Counter(port.state for port in ports)
    known = list(PORT_TONES)  # a newer version may know more
    worst = "failed" if "failed" in states else min(states, key=lambda s: known.index(s) if s in known else len(known))
    if len(states) == 1:
        return Cell(worst or "-", PORT_TONES.get(worst, ""))
    words = ", ".join(f"{count} {state or 'waiting'}" for state, count in states.items())
    return Cell(words, PORT_TONES.get(worst, ""), short=f"{states[worst]}/{len(ports)} {worst or 'waiting'}")


def _port_detail(port: PortView, ports: list[PortView], lag: LagView, waits: str) -> Iterator[str]:
    verb = "writes" if port.direction == "out" else "reads"
    yield f"{port.member}.{port.name} {verb} {f'channel {port.channel}' if port.channel else 'a channel that is not known yet'}"
    blocks, size_bytes = sum(p.blocks for p in ports), sum(p.size_bytes for p in ports)
    waiting = f", {lag.words} waiting" if lag.words else ""
    yield f"{blocks:,} blocks, {size_words(size_bytes)}{waiting}"
    if waits:
        yield f"waits for {waits}"
