"""What a running pipeline tells its observers, kept as the rows of a table. Knows no screen."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from pypz.core.hooks.events import PROCESS_ENDED, ChannelStatus, ErrorInfo, OperatorRef, PipelineRef
from pypz.core.hooks.spec import hookimpl

RATE_WINDOW_S: Final = 2.0
"""Seconds over which a rate is taken (chosen: four statuses)."""

STATES: Final = {
    "StateEntry": "starting",
    "StateServiceStart": "starting services",
    "StateResourceCreation": "making channels",
    "StateOperationInit": "opening",
    "StateOperationRunning": "running",
    "StateOperationShutdown": "closing",
    "StateResourceDeletion": "deleting channels",
    "StateServiceShutdown": "stopping services",
    "StateKilled": "ended",
}


@dataclass(frozen=True)
class Row:
    """One member as it is shown."""

    name: str
    state: str
    records_in: int | None = None
    """None: it has no input port."""
    records_out: int | None = None
    rate: float = 0.0
    """Records a second, read or, without input port, sent."""
    lag: int | None = None
    note: str = ""
    """For whom it waits, or why it failed."""
    exit_code: int | None = None

    @property
    def is_well(self) -> bool:
        """Whether nothing is known to be wrong."""
        return not self.state.startswith("failed")


@dataclass
class _Member:
    start: str
    state: str = ""
    failure: str = ""
    exit_code: int | None = None
    statuses: dict[tuple[str, str], ChannelStatus] = field(default_factory=dict)
    samples: deque[tuple[float, int]] = field(default_factory=deque)


class Progress:
    """Observer of one process's pipelines. Thread-safe.

    Args:
        members: Full names of the members to show from the start, in this order.
        on_news: Called with a line of text when a member starts to run or ends well or interrupted, and when the run
            does; on the observers' thread. Of one that has failed its executor tells.
    """

    def __init__(self, members: Iterable[str] = (), on_news: Callable[[str], None] | None = None) -> None:
        self._on_news = on_news or (lambda text: None)
        self._lock = threading.Lock()
        self._members = {name: _Member("") for name in members}
        self.run = ""
        self.outcome = ""

    @hookimpl
    def pypz_pipeline_started(self, pipeline: PipelineRef) -> None:
        """Keep the run's id."""
        self.run = pipeline.run
        self._on_news(f"{pipeline.name}: run {pipeline.run} has started")

    @hookimpl
    def pypz_pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        """Keep the outcome."""
        self.outcome = outcome
        if outcome != "failed":
            ended = {"interrupted": "been interrupted"}.get(outcome, outcome)
            self._on_news(f"{pipeline.name}: run {pipeline.run} has {ended}")

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str) -> None:
        """Keep the state."""
        with self._lock:
            member = self._member(operator)
            member.state = STATES.get(new, new)
        if new == "StateOperationRunning":
            self._on_news(f"{operator.name}: running")

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        """Keep the first failure."""
        with self._lock:
            member = self._member(operator)
            told = error.message if error.type == PROCESS_ENDED else f"{error.type}: {error.message}"
            member.failure = member.failure or told

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        """Keep the exit code."""
        with self._lock:
            self._member(operator).exit_code = exit_code
        row = next(row for row in self.rows() if row.name == operator.name)
        if row.is_well:
            self._on_news(f"{row.name}: {in_words(replace(row, note=''))}")

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        """Keep the figures."""
        with self._lock:
            member = self._member(status.port.operator)
            member.statuses[status.port.name, status.channel] = status
            now = time.monotonic()
            member.samples.append((now, _counted(member)))
            while len(member.samples) > 2 and member.samples[1][0] < now - RATE_WINDOW_S:
                member.samples.popleft()

    def rows(self) -> list[Row]:
        """All members; those not known before in the order in which they were first heard of."""
        with self._lock:
            return [_row(name, member) for name, member in self._members.items()]

    def _member(self, operator: OperatorRef) -> _Member:
        member = self._members.get(operator.name)
        if member is None or member.start != operator.start:
            member = self._members[operator.name] = _Member(operator.start)
        return member


def in_words(row: Row) -> str:
    """One member's state and figures as text.

    >>> in_words(Row("pipeline.reader", "running", records_in=30, rate=12.4, lag=0))
    'running, 30 records in, 12/s, lag 0'
    """
    parts = [row.state]
    if row.records_in is not None:
        parts.append(f"{row.records_in:,} records in")
    if row.records_out is not None:
        parts.append(f"{row.records_out:,} records out")
    if row.exit_code is None:
        parts.append(f"{row.rate:,.0f}/s")
        if row.lag is not None:
            parts.append(f"lag {row.lag:,}")
    if row.note:
        parts.append(row.note)
    return ", ".join(parts)


def _row(name: str, member: _Member) -> Row:
    waits = [status.waits_for for status in member.statuses.values() if status.waits_for]
    state = member.state
    if member.failure or member.exit_code not in (None, 0, 130):
        state = "failed" if member.exit_code is None else f"failed ({member.exit_code})"
    elif member.exit_code == 130:
        state = "interrupted"
    elif member.exit_code == 0:
        state = "ended"
    lags = [
        status.lag_entries if status.lag_records is None else status.lag_records
        for status in member.statuses.values()
        if status.port.direction == "in"
    ]
    known = [lag for lag in lags if lag is not None]
    return Row(
        name=name,
        state=state,
        records_in=_count(member, "in"),
        records_out=_count(member, "out"),
        rate=_rate(member) if member.exit_code is None else 0.0,
        lag=sum(known) if known else None,
        note=member.failure or (f"waits for {waits[0]}" if waits and member.exit_code is None else ""),
        exit_code=member.exit_code,
    )


def _count(member: _Member, direction: str) -> int | None:
    """Records over all ports; what a port sends into several channels counts once."""
    by_port: dict[str, int] = {}
    for (port, _), status in member.statuses.items():
        if status.port.direction == direction:
            by_port[port] = max(by_port.get(port, 0), status.records)
    return sum(by_port.values()) if by_port else None


def _counted(member: _Member) -> int:
    records_in = _count(member, "in")
    return records_in if records_in is not None else _count(member, "out") or 0


def _rate(member: _Member) -> float:
    """Records a second over the last statuses; it falls to 0 when none comes any more."""
    if len(member.samples) < 2:
        return 0.0
    (first_at, first), (last_at, last) = member.samples[0], member.samples[-1]
    quiet_s = max(0.0, time.monotonic() - last_at - RATE_WINDOW_S)
    return (last - first) / (last_at - first_at + quiet_s) if last_at > first_at else 0.0
