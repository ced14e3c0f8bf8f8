"""What has been told about one run, merged so that order and repetition do not matter.

Within one start of a member everything only grows: its state goes forward, its counts rise, an end stays an end. So the
same news twice, late, or by two ways (two locations, here and over the relay) give the same picture.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final, Literal

from pypz.core.hooks.events import ChannelStatus, ErrorInfo, OperatorRef, PortRef, ProcessStatus

STATE_ORDER: Final = (
    "",
    "StateEntry",
    "StateServiceStart",
    "StateResourceCreation",
    "StateOperationInit",
    "StateOperationRunning",
    "StateOperationShutdown",
    "StateResourceDeletion",
    "StateServiceShutdown",
    "StateKilled",
)
"""States of the executor in the only order in which a start passes through them."""

PORT_ORDER: Final = ("", "opening", "open", "ended", "closed", "failed")
"""States of a port; what went wrong stays in sight."""

RATE_WINDOW_S: Final = 5.0
"""Seconds over which a rate is taken (chosen: ten statuses)."""

STEP_S: Final = 2.0
STEPS: Final = 60
"""How rates of the past are kept: as many steps of so many seconds, two minutes (chosen: they fill a line)."""

JUST_SEEN_S: Final = 3.0
"""A run that began longer ago, and whose end is seen within that time of its first sight, had ended before the viewer
came (a status stream that is new is found within 2 s)."""

SHORTEST_RATE_S: Final = 0.5
"""A rate over less than the time between two statuses would only be noise."""


def further(order: tuple[str, ...], one: str, other: str) -> str:
    """Give the later of two states; one that ``order`` does not know counts as later than all.

    >>> further(STATE_ORDER, "StateKilled", "StateEntry"), further(PORT_ORDER, "", "opening")
    ('StateKilled', 'opening')
    """

    def place(state: str) -> tuple[int, str]:
        return (order.index(state), "") if state in order else (len(order), state)

    return max(one, other, key=place)


class History:
    """A count over the last minutes, in steps of `STEP_S`; of bounded size."""

    def __init__(self) -> None:
        self._counts: deque[tuple[int, float]] = deque(maxlen=STEPS + 1)

    def add(self, now: float, count: float) -> None:
        """Note how high the count stands."""
        step = int(now // STEP_S)
        if self._counts and self._counts[-1][0] >= step:
            self._counts[-1] = self._counts[-1][0], count
        else:
            self._counts.append((step, count))

    def rates(self, now: float) -> list[float]:
        """Growth a second in each step from the first one seen, or `STEPS` ago, until the last whole one; oldest first.

        >>> history = History()
        >>> for moment, count in (0, 10), (2, 14), (6, 20): history.add(moment, count)
        >>> history.rates(9)
        [2.0, 0.0, 3.0]
        """
        last = int(now // STEP_S) - 1
        counts = dict(self._counts)
        if not counts:
            return []
        first = max(min(counts), last - STEPS)
        before = next((count for step, count in reversed(self._counts) if step <= first), self._counts[0][1])
        found: list[float] = []
        for step in range(first + 1, last + 1):
            count = counts.get(step, before)
            found.append(max(0.0, count - before) / STEP_S)
            before = count
        return found


@dataclass
class Process:
    """What a process uses."""

    latest: ProcessStatus
    load: float | None = None
    """Part of one core that it took lately; None until two measurements are known."""
    history: History = field(default_factory=History)

    def take(self, status: ProcessStatus, now: float) -> None:
        """Keep what is newer, by the clock of the process itself."""
        passed_s = status.clock_s - self.latest.clock_s
        if passed_s > 0:
            self.load = max(0.0, status.cpu_s - self.latest.cpu_s) / passed_s
            self.latest = status
        self.history.add(now, status.cpu_s)


@dataclass
class Figures:
    """The figures of a port on one channel."""

    state: str = ""
    latest: ChannelStatus | None = None
    told_at: float = 0.0
    """When the latest ones came, by the viewer's clock."""
    history: History = field(default_factory=History)
    longest_s: float | None = None
    """The longest time that it took over what it had in hand; None until it was seen to be done with something."""
    longest_of_one_s: float = 0.0
    """The same for each record that it had in hand."""
    _held_since: float | None = None
    _records_at: deque[tuple[float, int]] = field(default_factory=deque)

    @property
    def records(self) -> int | None:
        """Records so far; None when nobody told."""
        return None if self.latest is None else self.latest.records

    def take(self, status: ChannelStatus, now: float) -> None:
        """Keep what is newer: counts only rise; the sender's clock decides between equal counts alone."""
        self.state = further(PORT_ORDER, self.state, status.state)
        if self.latest is None or _order(status) > _order(self.latest):
            self._hold(status, now)
            self.latest, self.told_at = status, now
            self.history.add(now, status.records)
            if not self._records_at or self._records_at[-1][1] != status.records:
                self._records_at.append((now, status.records))

    def held_s(self, now: float) -> float:
        """For how long records have waited while none was taken; 0 when none waits."""
        return 0.0 if self._held_since is None else now - self._held_since

    @property
    def pace_s(self) -> float | None:
        """How long it may take over what it has in hand, by what was seen before; None until anything was."""
        in_hand = 0 if self.latest is None else self.latest.in_hand or 0
        return None if self.longest_s is None else max(self.longest_s, self.longest_of_one_s * in_hand)

    def _hold(self, status: ChannelStatus, now: float) -> None:
        """Note since when records wait: a reader that works on a batch for long is slow, and no news that it is stuck."""
        before = self.latest
        has_taken = before is not None and status.records > before.records
        is_done = has_taken or (self._held_since is not None and status.lag_records == 0)
        if before is not None and before.records and is_done and now > self.told_at:  # else both were told together
            took_s = self.held_s(now)
            self.longest_s = max(self.longest_s or 0.0, took_s)
            self.longest_of_one_s = max(self.longest_of_one_s, took_s / max(1, before.in_hand or 0))
        if has_taken or not status.lag_records:
            self._held_since = None
        if status.lag_records and self._held_since is None:
            self._held_since = now

    def rate(self, now: float) -> float | None:
        """Records a second over the last `RATE_WINDOW_S` by the viewer's own clock; None when too little was seen."""
        samples = self._records_at
        since = now - RATE_WINDOW_S
        while len(samples) > 1 and samples[1][0] <= since:
            samples.popleft()
        if not samples:
            return None
        seconds = min(RATE_WINDOW_S, now - samples[0][0])
        return (samples[-1][1] - samples[0][1]) / seconds if seconds >= SHORTEST_RATE_S else None


def _order(status: ChannelStatus) -> tuple[int, int, int, float, int, int, str, int]:
    """Sorts the figures of one start of one port by age, whatever order they arrive in."""
    return (
        status.records,
        status.blocks,
        status.size_bytes,
        status.at_utc,
        -1 if status.lag_records is None else status.lag_records,
        -1 if status.lag_entries is None else status.lag_entries,
        status.waits_for,
        -1 if status.in_hand is None else status.in_hand,
    )


@dataclass
class Port:
    """A port of one start."""

    direction: Literal["in", "out"]
    state: str = ""
    channels: dict[str, Figures] = field(default_factory=dict)

    def take(self, port: PortRef, state: str) -> None:
        """Keep its channels and how far it is."""
        self.state = further(PORT_ORDER, self.state, state)
        for channel in port.channels:
            self.channels.setdefault(channel, Figures())


@dataclass
class Start:
    """One start of one member."""

    ref: OperatorRef
    state: str = ""
    entered: dict[str, float] = field(default_factory=dict)
    """When each state was entered, in seconds since 1970 by the member's clock; 0 where nobody told."""
    exit_code: int | None = None
    error: ErrorInfo | None = None
    during: str = ""
    ports: dict[str, Port] = field(default_factory=dict)
    is_here: bool = False
    """Told by this very process: it cannot be lost without us."""
    heard_at: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is to be expected of this start."""
        return self.exit_code is not None

    def enter(self, state: str, at_utc: float = 0.0) -> None:
        """Go on to ``state``; news of an earlier one come too late to change anything but the time line."""
        self.state = further(STATE_ORDER, self.state, state)
        if not self.entered.get(state):
            self.entered[state] = at_utc

    @property
    def time_line(self) -> list[tuple[str, float]]:
        """States in the order in which a start passes through them, with the moment of each."""
        return sorted(self.entered.items(), key=lambda item: _state_place(item[0]))

    def port(self, port: PortRef) -> Port:
        """The port of that name, made when it is new."""
        return self.ports.setdefault(port.name, Port(port.direction))

    def take_exit(self, exit_code: int) -> None:
        """Keep its exit code; should two be told, the failure is the one that matters."""
        self.exit_code = exit_code if self.exit_code is None else max(self.exit_code, exit_code)

    def take_error(self, during: str, error: ErrorInfo) -> None:
        """Keep the error of the earliest state: what came later came of it."""
        place, kept = _state_place(during), _state_place(self.during)
        if self.error is None or (place, error.message) < (kept, self.error.message):
            self.during, self.error = during, error


def _state_place(state: str) -> int:
    return STATE_ORDER.index(state) if state in STATE_ORDER else len(STATE_ORDER)


@dataclass
class Member:
    """One member over all its starts in one run; the newest that told a fact is the one that counts."""

    name: str
    index: int
    starts: dict[str, Start] = field(default_factory=dict)
    sure: list[str] = field(default_factory=list)
    """Tokens of the starts that told facts, in the order of their first one."""

    def start(self, ref: OperatorRef, is_fact: bool) -> Start:
        """The start that ``ref`` means, made when it is new.

        Figures alone do not make a start the newest: they travel apart from the facts, and those of an earlier start
        may come late.
        """
        if is_fact and ref.start not in self.sure:
            self.sure.append(ref.start)
        return self.starts.setdefault(ref.start, Start(ref))

    @property
    def current(self) -> Start | None:
        """The newest start; None when nothing was told."""
        if self.sure:
            return self.starts[self.sure[-1]]
        return next(reversed(self.starts.values()), None)


@dataclass
class Run:
    """One run of the pipeline."""

    id: str
    seen_at: float
    seen_utc: float
    members: dict[str, Member] = field(default_factory=dict)
    groups: dict[str, int] = field(default_factory=dict)
    """Size of each group by name of the principal, as it is now; empty when nobody told."""
    largest: dict[str, int] = field(default_factory=dict)
    """The same, at most so far: who is beyond the size was told off."""
    started_utc: float = 0.0
    """By the starter's clock, to be read only; 0 when nobody told."""
    processes: dict[tuple[str, int], Process] = field(default_factory=dict)
    """By host and process id."""
    dto: str = ""
    """The pipeline as it runs, as YAML; "" when nobody told."""
    was_open: bool = True
    """Whether it had been opened before the viewer came; else the viewer's own clock tells how long it runs."""
    outcome: str = ""
    ended_at: float | None = None
    had_ended: bool = False
    """Whether the first look at its status found its end, too."""

    def take_sizes(self, groups: dict[str, int], largest: dict[str, int]) -> None:
        """Keep how many members each group has, and has had at most."""
        self.groups, self.largest = groups, largest

    def was_long_over(self, end: float) -> bool:
        """Whether it had ended before the viewer came, if its end was seen at this moment of the viewer's clock."""
        return self.had_ended or (
            end - self.seen_at < JUST_SEEN_S and 0 < self.started_utc < self.seen_utc - JUST_SEEN_S
        )

    def elapsed_s(self, now: float) -> float:
        """Since the start, as far as its moment is known, until a moment of the viewer's clock."""
        ahead_s = max(0.0, self.seen_utc - self.started_utc) if self.started_utc and self.was_open else 0.0
        return now - self.seen_at + ahead_s

    @property
    def length_s(self) -> float:
        """From its start to the last figures, by the clocks of those who ran it; 0 when not known."""
        return max(0.0, self.last_utc - self.started_utc) if self.started_utc else 0.0

    @property
    def last_heard_at(self) -> float:
        """When the last news came, by the viewer's clock."""
        starts = [member.current for member in self.members.values()]
        return max((start.heard_at for start in starts if start is not None), default=self.seen_at)

    @property
    def last_utc(self) -> float:
        """When the last figures were told, by their member's clock."""
        starts = [member.current for member in self.members.values()]
        ports = [port for start in starts if start is not None for port in start.ports.values()]
        told = [figures.latest for port in ports for figures in port.channels.values()]
        return max((status.at_utc for status in told if status is not None), default=0.0)

    def start(self, ref: OperatorRef, is_fact: bool) -> Start:
        """The start that ``ref`` means, of the member of its name."""
        return self.members.setdefault(ref.name, Member(ref.name, ref.index)).start(ref, is_fact)
