"""What is selected, told in full: lines of text with tones, for a screen or a test to show."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Final

from pypz.sniffer.model.frames import LagView, MemberDetails, MemberView, Mood, PortView, StartView
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.wording.description import Description
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.table import (
    STATE_WORDS,
    SYMBOLS,
    TONES,
    WORST_FIRST,
    Tone,
    at_least,
    count_words,
    elapsed_words,
    member_words,
    rate_words,
    short_name,
    size_words,
    waits_words,
)

BARS: Final = "▁▂▃▄▅▆▇█"
LABEL: Final = 11
"""Columns that the labels take."""

BELOW: Final = " "
"""A label for what stands below the text of the line before."""

STARTS_SHOWN: Final = 3
"""Starts of a member whose time lines are shown, the newest (chosen)."""


@dataclass(frozen=True)
class Line:
    """One line: a label that stands in a column of its own, and a text."""

    label: str
    text: str = ""
    tone: Tone = ""
    is_heading: bool = False


def details_of(picture: Picture, model: PipelineModel, description: Description | None) -> list[Line]:
    """Tell all that is known of what is selected.

    Args:
        picture: What is shown, and what of it is selected.
        model: Asked for what no frame holds.
        description: Asked for parameters and schemas; None where the pipeline is not at hand.
    """
    members = picture.selected_members
    if not members:
        return [Line("", "nothing is selected")]
    if picture.selection.port:
        return list(_of_port(picture, members, model, description))
    return list(
        _of_member(picture, members[0], model, description)
        if len(members) == 1
        else _of_group(picture, members, model, description)
    )


# --- operators ---


def _of_member(
    picture: Picture, member: MemberView, model: PipelineModel, description: Description | None
) -> Iterator[Line]:
    details = model.details(member.name)
    since = f" since {clock_words(member.since_utc)}" if member.since_utc else ""
    yield Line(short_name(member.name, picture.frame.pipeline), is_heading=True)
    yield Line("state", f"{SYMBOLS[member.mood]} {member_words(member)}{since}", TONES[member.mood])
    yield Line("why", picture.diagnosis.members.get(member.name, ""))
    if member.start:
        restarts = f", started again {member.restarts} x" if member.restarts else ""
        yield Line("process", f"{member.process} on {member.host or 'an unknown host'}{restarts}")
    if details.load is not None or details.memory_bytes is not None:
        yield Line("uses", _uses(details))
    if member.deployed is not None:
        yield from _deployed(member)
    if member.error:
        yield Line("error", f"{member.error} (in {STATE_WORDS.get(member.during, member.during)})", "bad")
        yield from (Line("", line, "dim") for line in details.traceback.rstrip().splitlines())
    yield from _ports(picture, member, details)
    yield from _time_lines(details.starts)
    yield from _parameters(description, member.group, "", details.dto)


def _of_group(
    picture: Picture, members: Sequence[MemberView], model: PipelineModel, description: Description | None
) -> Iterator[Line]:
    group, pipeline = members[0].group, picture.frame.pipeline
    moods = Counter(member.mood for member in members)
    yield Line(f"{short_name(group, pipeline)} and {len(members) - 1} replicas", is_heading=True)
    yield Line("states", ", ".join(f"{moods[mood]} {mood.value}" for mood in WORST_FIRST if mood in moods))
    for member in sorted(members, key=lambda one: (WORST_FIRST.index(one.mood), one.index)):
        why = picture.diagnosis.members.get(member.name, "")
        yield Line(f"{SYMBOLS[member.mood]} {member.index}", f"{member_words(member)}: {why}", TONES[member.mood])
    yield from _parameters(description, group, "", model.details(group).dto)


def _uses(details: MemberDetails) -> str:
    load = "" if details.load is None else f"{100 * details.load:.0f} % of a core {sparkline(details.loads)}".rstrip()
    memory = "" if details.memory_bytes is None else size_words(details.memory_bytes)
    return ", ".join(part for part in (load, memory, f"{details.threads} threads") if part)


def _deployed(member: MemberView) -> Iterator[Line]:
    deployed = member.deployed
    assert deployed is not None
    more = [deployed.place, f"on {deployed.host}" if deployed.host else ""]
    more.append(f"started again {deployed.restarts} x" if deployed.restarts else "")
    yield Line("deployed", ", ".join([deployed.state, *(part for part in more if part)]))
    if deployed.reason:
        yield Line(BELOW, deployed.reason, "warn")


def _ports(picture: Picture, member: MemberView, details: MemberDetails) -> Iterator[Line]:
    if member.ports:
        yield Line("ports", is_heading=True)
    for port in member.ports:
        arrow = "→" if port.direction == "out" else "←"
        told = f"{at_least([port])}{count_words(port.records)} records" if port.records is not None else ""
        rate = f"{rate_words(port.rate)}/s" if port.rate is not None else ""
        lag = f"{port.lag.words} wait" if port.lag.words else ""
        line = sparkline(details.rates.get((port.name, port.channel), ()))
        yield Line(port.name, f"{arrow} {', '.join(port.peers) or port.channel}  {port.state or '-'}")
        figures = "  ".join(part for part in (told, rate, line, lag) if part)
        if figures:
            yield Line(BELOW, figures)


def _time_lines(starts: Sequence[StartView]) -> Iterator[Line]:
    for start in starts[-STARTS_SHOWN:]:
        is_newest = start is starts[-1]
        yield Line("time line" if is_newest else "before", f"process {start.process} on {start.host}", is_heading=True)
        before = 0.0
        for state, moment in start.states:
            took = f"  +{moment - before:.1f} s" if before and moment >= before else ""
            yield Line(clock_words(moment), f"{STATE_WORDS.get(state, state)}{took}")
            before = moment or before
        if start.exit_code is not None:
            yield Line(BELOW, f"ended with exit code {start.exit_code}", "good" if start.exit_code == 0 else "bad")


# --- ports ---


def _of_port(
    picture: Picture, members: Sequence[MemberView], model: PipelineModel, description: Description | None
) -> Iterator[Line]:
    ports = picture.selected_ports
    if not ports:
        return
    pipeline, first = picture.frame.pipeline, max(ports, key=lambda port: bool(port.channel))
    arrow = "→" if first.direction == "out" else "←"
    owner = short_name(members[0].name if len(members) == 1 else members[0].group, pipeline)
    yield Line(f"{owner}.{first.name} {arrow} {', '.join(first.peers)}", is_heading=True)
    yield Line("channel", first.channel or "not known yet")
    states = Counter(port.state or "-" for port in ports)
    yield Line("state", ", ".join(f"{state}" if len(ports) == 1 else f"{n} {state}" for state, n in states.items()))
    details = {member.name: model.details(member.name) for member in members}
    yield from _figures(ports, details, members)
    waits = dict.fromkeys(waits_words(port.waits_for, pipeline) for port in ports if port.waits_for)
    if waits:
        yield Line("waits for", ", ".join(waits))
    yield from _partitions(ports, pipeline)
    if description is not None and (schema := description.schema(members[0].group, first.name)):
        yield Line("schema", is_heading=True)
        yield from (Line("", line, "dim") for line in schema.splitlines())
    yield from _parameters(description, members[0].group, first.name, details[members[0].name].dto)


def _figures(
    ports: Sequence[PortView], details: Mapping[str, MemberDetails], members: Sequence[MemberView]
) -> Iterator[Line]:
    told = [port for port in ports if port.records is not None]
    if not told:
        yield Line("records", "no figures yet", "dim")
        return
    records, blocks = sum(port.records or 0 for port in told), sum(port.blocks for port in told)
    size = size_words(sum(port.size_bytes for port in told))
    yield Line("records", f"{at_least(told)}{records:,} in {blocks:,} blocks, {size}")
    for port in told:
        if port.is_at_least:
            when = f"told last at {clock_words(port.told_utc)} by its clock" if port.told_utc else "told once"
            yield Line("", f"{port.member.rpartition('.')[2]}: at least; {when}", "warn")
    rates = [port.rate for port in told if port.rate is not None]
    history = _summed(details[port.member].rates.get((port.name, port.channel), ()) for port in ports)
    if rates or any(history):
        now = f"{rate_words(sum(rates))} a second  " if rates else ""
        most = f"  at most {rate_words(max(history))}" if any(history) else ""
        yield Line("rate", f"{now}{sparkline(history)}{most}")
    if ports[0].direction == "in":
        lag = reduce(LagView.__add__, (port.lag for port in ports), LagView())
        age_s = max(port.age_s for port in told)
        is_over = all(member.mood in (Mood.FINISHED, Mood.FAILED, Mood.INTERRUPTED) for member in members)
        age = "when it ended" if is_over else f"{elapsed_words(age_s)} ago" if age_s >= 1 else "now"
        tone: Tone = "warn" if lag.words not in ("", "0") else ""
        yield Line("lag", f"{lag.words or 'not known'}  (as of {age})", tone)


def _partitions(ports: Iterable[PortView], pipeline: str) -> Iterator[Line]:
    known = [port for port in ports if port.partitions]
    for port in known:
        who = f"{short_name(port.member, pipeline)}: " if len(known) > 1 else ""
        if port.positions:
            where = ", ".join(
                f"{number} read to {position}" if position else f"{number} at its first"
                for number, position in zip(port.partitions, port.positions, strict=False)
            )
        else:
            where = f"{len(port.partitions)}: {', '.join(str(number) for number in port.partitions)}"
        yield Line("partitions", f"{who}{where}")


def _parameters(description: Description | None, group: str, port: str, dto: str) -> Iterator[Line]:
    found = [] if description is None else description.parameters(group, port, dto)
    if found:
        yield Line("parameters", is_heading=True)
    for one in found:
        is_default = one.origin.startswith("default")
        yield Line("", f"{one.name} = {one.value}  ({one.origin})", "dim" if is_default else "")


# --- words ---


def sparkline(values: Sequence[float], width: int = 30) -> str:
    """Draw the newest values as bars, the highest of them as the highest bar; a value of 0 is the lowest.

    >>> sparkline([0, 1, 2, 4]), sparkline([0, 0]), sparkline([])
    ('▁▃▅█', '▁▁', '')
    """
    shown = values[-width:]
    highest = max(shown, default=0.0)
    if not highest:
        return BARS[0] * len(shown)
    return "".join(BARS[min(len(BARS) - 1, round(value / highest * (len(BARS) - 1)))] for value in shown)


def clock_words(moment_utc: float) -> str:
    """Give a moment as a clock at this place shows it; "-" where it is not known."""
    try:
        return time.strftime("%H:%M:%S", time.localtime(moment_utc)) if moment_utc else "-"
    except (OverflowError, ValueError, OSError):  # of no calendar
        return "-"


def _summed(histories: Iterable[Sequence[float]]) -> list[float]:
    """Add histories that end at the same moment.

    >>> _summed([[1.0, 2.0], [5.0]])
    [1.0, 7.0]
    """
    kept = [history for history in histories if history]
    longest = max((len(history) for history in kept), default=0)
    return [
        sum(history[place - longest] for history in kept if len(history) >= longest - place) for place in range(longest)
    ]
