"""Reads a pipeline's status streams and makes the hook calls again that its processes made: the relay's other end.

Only the newest run is told. Viewers register their observers with a host of their own (``PluginHost(load=False)``), so
that no plugin of this process takes part in a pipeline that runs elsewhere.
"""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Protocol, TypeVar

from pypz.core.channels.roster import roster_key
from pypz.core.channels.spi import StatusEntry, StatusStream, keeps_beats
from pypz.core.hooks.events import ChannelStatus, ErrorInfo, Event, OperatorRef, PipelineRef, PortRef, ProcessStatus

WAIT_S: Final = 10.0
"""Seconds of one wait for changes; `close` ends it early."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 10.0
"""Seconds before a stream that failed is read again: doubled up to this (chosen)."""


LARGEST: Final = 2.0**63
"""No count, time or size is larger: what says so is no news of a member."""

GROUP_MOST: Final = 10_000
"""Members of a group at most (chosen: more are no roster that anybody has written)."""

T = TypeVar("T", bound=Event)

LAST: Final = float("inf")
"""Moment of the last figures of a member: a beat that comes late changes nothing more."""


@dataclass(frozen=True)
class RunInfo:
    """What a run's opening entry says, and its roster."""

    run: str
    pipeline: str
    groups: Mapping[str, int]
    """Size of each group by full name of the principal, in the newest generation of the roster."""
    dto: str = ""
    """The pipeline's DTO as YAML, secrets masked."""
    supersedes: str | None = None
    host: str = ""
    process: int = 0
    started_utc: float = 0.0
    """Seconds since 1970 by the starter's clock."""
    generation: int = 0
    """Of the roster: the newest at any location; each counts its own."""
    largest: Mapping[str, int] = field(default_factory=dict)
    """Members that each group has had at most in this run: who is beyond its size now was told off."""
    was_open: bool = False
    """Whether it had been opened when the receiver came: found by the first look."""
    had_ended: bool = False
    """Whether it had finished when the receiver came: the first look found its end, too."""


@dataclass
class _Known:
    """A run as far as its entries told."""

    info: RunInfo
    first: Mapping[str, int]
    """Sizes of groups in the opening entry."""
    places: dict[int, int] = field(default_factory=dict)
    """By stream: when its opening entry came, counted. Not its position: that starts anew with a stream made anew."""

    taken_back: set[int] = field(default_factory=set)
    """Streams where the opening entry does not stand any more."""

    @property
    def stands(self) -> bool:
        """Whether its opening entry stands in any stream."""
        return bool(self.places.keys() - self.taken_back)

    def is_newer_than(self, other: _Known) -> bool:
        shared = self.places.keys() & other.places.keys()
        if shared:
            return any(self.places[place] > other.places[place] for place in shared)
        return self.info.started_utc > other.info.started_utc


class Told(Protocol):
    """Whom a receiver tells; a `PluginHost` is one. What each call means is said by the hook of its name."""

    def pipeline_started(self, pipeline: PipelineRef) -> None: ...

    def pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None: ...

    def operator_state_changed(
        self, operator: OperatorRef, old: str, new: str, at_utc: float | None = None
    ) -> None: ...

    def operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None: ...

    def operator_finished(self, operator: OperatorRef, exit_code: int) -> None: ...

    def port_opened(self, port: PortRef) -> None: ...

    def port_closed(self, port: PortRef) -> None: ...

    def channel_status(self, status: ChannelStatus) -> None: ...

    def process_status(self, status: ProcessStatus) -> None: ...


class Receiver:
    """Follows status streams, one thread each, and tells a host's observers what happens in the newest run."""

    def __init__(
        self,
        streams: Sequence[StatusStream],
        host: Told,
        *,
        on_new_run: Callable[[RunInfo], None] | None = None,
        on_rescaled: Callable[[RunInfo], None] | None = None,
        on_alive: Callable[[str, str, float], None] | None = None,
        on_trouble: Callable[[str], None] | None = None,
        from_kept: bool = False,
    ) -> None:
        """Start reading.

        Args:
            streams: Streams of one pipeline, one a location, opened with ``create=False`` for this receiver alone; they
                stay open when it is closed.
            host: Its observers are told.
            on_new_run: Called with each run that becomes the newest, before any of it is told; forget the one before.
            on_rescaled: Called when groups of the newest run have another size.
            on_alive: Called with (member's full name, its start, moment of ``time.monotonic``) at each sign of life.
            on_trouble: Called with a line of text when a stream cannot be read, and with "" when it can again.
            from_kept: Tell the last figures from before this receiver came, too, where streams keep them (`KeepsBeats`).

        The callbacks come from the receiver's threads, one at a time, and must be quick.
        """
        self._host = host
        self._on_new_run = on_new_run
        self._on_rescaled = on_rescaled
        self._on_alive = on_alive
        self._from_kept = from_kept
        self._on_trouble = on_trouble
        self._streams = list(streams)
        self._lock = threading.RLock()
        self._closing = threading.Event()
        self._runs: dict[str, _Known] = {}
        self._count = itertools.count()
        self._current: _Known | None = None
        self._finished = ""
        self._facts: list[dict[str, StatusEntry]] = [{} for _ in self._streams]
        self._generations: list[dict[str, Mapping[str, int]]] = [{} for _ in self._streams]
        """By stream: the sizes of all groups in later generations of rosters, by the fact's key."""
        self._newest: dict[str, tuple[str, float]] = {}
        self._gone: set[tuple[str, str]] = set()
        self._ways: dict[str, tuple[str, list[str]]] = {}
        self._corrupt = 0
        self._threads = [
            threading.Thread(target=self._follow, args=(place,), name=f"pypz-receiver-{place}", daemon=True)
            for place in range(len(self._streams))
        ]
        for thread in self._threads:
            thread.start()

    @property
    def corrupt(self) -> int:
        """Entries that could not be read and were left out."""
        return self._corrupt

    @property
    def run(self) -> RunInfo | None:
        """The newest run; None as long as there is none."""
        current = self._current
        return current.info if current else None

    def close(self, timeout_s: float = 5.0) -> None:
        """End the threads; streams and host stay. Idempotent."""
        self._closing.set()
        for stream in self._streams:
            stream.wake()
        deadline = time.monotonic() + timeout_s
        for thread in self._threads:
            if thread is not threading.current_thread():
                thread.join(max(0.0, deadline - time.monotonic()))

    # --- threads ------------------------------------------------------------------------------------------------------

    def _follow(self, place: int) -> None:
        pause_s = 0.0
        while not self._closing.is_set():
            try:
                self._take(place, self._streams[place].facts().values(), is_all=True)
                self._take_kept(place)
                if pause_s:
                    pause_s = 0.0
                    self._tell_trouble("")
                while not self._closing.is_set():
                    self._take(place, self._streams[place].changes(WAIT_S))
            except Exception as error:  # noqa: BLE001 - a viewer stays up, says what is wrong and tries again
                if self._closing.is_set():
                    return
                self._tell_trouble(f"status cannot be read: {type(error).__name__}: {error}")
                pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * pause_s))
                self._closing.wait(pause_s)

    def _tell_trouble(self, text: str) -> None:
        if self._on_trouble is not None:
            with self._lock:
                self._on_trouble(text)

    def _take_kept(self, place: int) -> None:
        """The last figures of members that nobody hears of any more lie in old beats alone: no sign of life."""
        stream = self._streams[place]
        if self._from_kept and keeps_beats(stream):
            self._take(place, [entry for entry in stream.kept_beats() if entry.key.startswith("status/")])

    def _take(self, place: int, entries: Iterable[StatusEntry], is_all: bool = False) -> None:
        with self._lock:
            if is_all:
                self._facts[place].clear()
                self._generations[place].clear()
                entries = sorted(entries, key=lambda entry: entry.position)
            told = list(entries)
            for entry in told:
                if entry.kind == "fact":
                    if entry.value is None:
                        self._facts[place].pop(entry.key, None)
                    else:
                        self._facts[place][entry.key] = entry
            rescaled = [self._note_generation(place, entry) for entry in told if entry.key.startswith("roster/")]
            if any([self._open(place, entry) for entry in told if entry.key.startswith("run/")]):
                told = self._start_afresh([entry for entry in told if entry.kind == "beat"], is_first_look=is_all)
            elif any(rescaled):
                self._rescale()
            for entry in told:
                self._tell_safely(entry)

    def _open(self, place: int, entry: StatusEntry) -> bool:
        """Note a run's opening entry, or that it was taken back; whether another run is the newest now."""
        if entry.value is None:
            return self._take_back(place, entry.key.removeprefix("run/"))
        values = self._read(entry)
        if values is None:
            return False
        try:
            info = _run_info(values)
        except (KeyError, TypeError, ValueError):
            self._corrupt += 1
            return False
        known = self._runs.setdefault(info.run, _Known(info, info.groups))
        known.places.setdefault(place, next(self._count))
        known.taken_back.discard(place)
        if known is self._current:
            return False
        if self._current is not None and not known.is_newer_than(self._current):
            return False
        self._current = known
        return True

    def _take_back(self, place: int, run: str) -> bool:
        """Of two runs opened side by side one is taken back: the other one is the newest then. An only one stays."""
        known = self._runs.get(run)
        if known is None:
            return False
        known.taken_back.add(place)
        rest = [one for one in self._runs.values() if one.stands and not self._has_ended(one.info.run)]
        if known is not self._current or known.stands or self._has_ended(run) or not rest:
            return False
        newest = rest[0]
        for other in rest[1:]:
            newest = other if other.is_newer_than(newest) else newest
        self._current = newest
        return True

    def _has_ended(self, run: str) -> bool:
        return any(f"finished/{run}" in known for known in self._facts)

    def _start_afresh(self, beats: list[StatusEntry], *, is_first_look: bool) -> list[StatusEntry]:
        """Another run is the newest; gives all that is known of it, its end last."""
        assert self._current is not None
        info = self._current.info = self._with_roster(self._current)
        info = replace(info, was_open=is_first_look)
        if is_first_look and self._has_ended(info.run):
            info = replace(info, had_ended=True)
        self._finished = ""
        self._newest.clear()
        self._gone.clear()
        self._ways.clear()
        if self._on_new_run is not None:
            self._on_new_run(info)
        self._host.pipeline_started(PipelineRef(info.pipeline, info.run))
        facts = [sorted(known.values(), key=lambda entry: entry.position) for known in self._facts]
        told = [*itertools.chain.from_iterable(facts), *beats]
        return sorted(told, key=lambda entry: entry.key.startswith("finished/"))

    # --- roster -------------------------------------------------------------------------------------------------------

    def _note_generation(self, place: int, entry: StatusEntry) -> bool:
        """Note a later generation of any run's roster; whether there is something new in it."""
        if entry.value is None:
            return self._generations[place].pop(entry.key, None) is not None
        values = self._read(entry)
        if values is None:
            return False
        try:
            self._generations[place][entry.key] = _sizes(values["groups"])
        except (KeyError, TypeError, ValueError):
            self._corrupt += 1
            return False
        return True

    def _rescale(self) -> None:
        """Tell when the groups of the newest run are of another size now."""
        current = self._current
        if current is None:
            return
        before, current.info = current.info, self._with_roster(current)
        if current.info != before and self._on_rescaled is not None:
            self._on_rescaled(current.info)

    def _with_roster(self, known: _Known) -> RunInfo:
        """What is known of a run, with the sizes of groups as they are now."""
        run, first = known.info.run, known.first
        ways: dict[str, list[int]] = {name: [size] for name, size in first.items()}
        newest = 0
        for generations in self._generations:
            later = [_generation_of(key, run) for key in generations]
            numbers = sorted(number for number in later if number is not None)
            newest = max([newest, *numbers])
            for name, size in first.items():
                way = [size]
                for number in numbers:
                    now = generations[roster_key(run, number)].get(name, way[-1])
                    way += [now] if now != way[-1] else []
                if len(way) > len(ways[name]):  # rescaled at the locations of its ports alone
                    ways[name] = way
        return replace(
            known.info,
            groups={name: way[-1] for name, way in ways.items()},
            largest={name: max(way) for name, way in ways.items()},
            generation=newest,
        )

    # --- entries ------------------------------------------------------------------------------------------------------

    def _read(self, entry: StatusEntry) -> dict[str, Any] | None:
        if entry.value is None:
            return None
        try:
            values = json.loads(entry.value)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            self._corrupt += 1
            return None
        return values

    def _tell_safely(self, entry: StatusEntry) -> None:
        topic = entry.key.partition("/")[0]
        tell = _TOPICS.get(topic)
        if tell is None or self._current is None:
            return
        values = self._read(entry)
        if values is None:
            return
        try:
            tell(self, values)
        except (KeyError, TypeError, ValueError, AttributeError):
            self._corrupt += 1

    def _member(self, values: Mapping[str, Any], key: str) -> OperatorRef | None:
        """The member an entry is about; None when the entry is of another run, or older than one told before."""
        operator = _counted(OperatorRef.from_json(values["operator"]))
        return (
            operator if self._is_news(operator, f"{key}/{operator.name}", _number(values.get("at_utc", 0.0))) else None
        )

    def _is_news(self, operator: OperatorRef, key: str, at_utc: float) -> bool:
        """Several streams tell the same, and one may lag: of a member's start, nothing older than what was told."""
        if self._current is None or operator.run != self._current.info.run:
            return False
        start, told_utc = self._newest.get(key, ("", 0.0))
        if start == operator.start and (told_utc == LAST or (len(self._streams) > 1 and at_utc <= told_utc)):
            return False
        if start and start != operator.start:
            if (key, operator.start) in self._gone:
                return False
            self._gone.add((key, start))
        self._newest[key] = (operator.start, at_utc)
        return True

    def _tell_state(self, values: Mapping[str, Any]) -> None:
        old, new = _text(values.get("old", "")), _text(values["new"])
        way = [_text(state) for state in values.get("way", [new])]
        moments = [_number(moment) for moment in values.get("way_utc", ())]
        if len(moments) != len(way):  # of an earlier version
            moments = [*[0.0] * (len(way) - 1), _number(values.get("at_utc", 0.0))]
        if (operator := self._member(values, "state")) is None:
            return
        start, told = self._ways.get(operator.name, ("", []))
        told = told if start == operator.start and way[: len(told)] == told else []
        if len(way) == 1 or told == way:  # of an earlier version, or read anew
            told = way[:-1]
        self._ways[operator.name] = operator.start, way
        before = [old if len(way) == 1 else "", *way]
        for place in range(len(told), len(way)):
            self._host.operator_state_changed(operator, before[place], way[place], moments[place])

    def _tell_failed(self, values: Mapping[str, Any]) -> None:
        during, error = _text(values.get("during", "")), ErrorInfo.from_json(values["error"])
        if (operator := self._member(values, "failed")) is not None:
            self._host.operator_failed(operator, during, error)

    def _tell_exit(self, values: Mapping[str, Any]) -> None:
        exit_code = int(_number(values["exit_code"]))
        if (operator := self._member(values, "exit")) is not None:
            self._host.operator_finished(operator, exit_code)

    def _tell_port(self, values: Mapping[str, Any]) -> None:
        port = _counted(PortRef.from_json(values["port"]))
        key = f"port/{port.operator.name}/{port.name}"
        if self._is_news(port.operator, key, _number(values.get("at_utc", 0.0))):
            (self._host.port_opened if values["open"] else self._host.port_closed)(port)

    def _tell_status(self, values: Mapping[str, Any]) -> None:
        status = _counted(ChannelStatus.from_json(values))
        operator = status.port.operator
        if self._is_news(operator, f"status/{operator.name}/{status.port.name}/{status.channel}", status.at_utc):
            self._host.channel_status(status)

    def _tell_closed(self, values: Mapping[str, Any]) -> None:
        """A member's last figures: told even when a beat of the same moment came before."""
        for one in values.get("statuses", ()):
            status = _counted(ChannelStatus.from_json(one))
            operator = status.port.operator
            if self._current is not None and operator.run == self._current.info.run:
                key = f"status/{operator.name}/{status.port.name}/{status.channel}"
                if (key, operator.start) not in self._gone:
                    self._newest[key] = (operator.start, LAST)
                    self._host.channel_status(status)

    def _tell_finished(self, values: Mapping[str, Any]) -> None:
        run, outcome = _text(values["run"]), _text(values["outcome"])
        if self._current is not None and run == self._current.info.run and self._finished != run:
            self._finished = run
            self._host.pipeline_finished(PipelineRef(self._current.info.pipeline, run), outcome)

    def _tell_alive(self, values: Mapping[str, Any]) -> None:
        if self._current is None or values["run"] != self._current.info.run:
            return
        now = time.monotonic()
        for name, start in dict(values["members"]).items():
            if self._on_alive is not None:
                self._on_alive(_text(name), _text(start), now)
        if values.get("usage") is not None:
            self._host.process_status(_counted(ProcessStatus.from_json(values["usage"])))


_TOPICS: Final[Mapping[str, Callable[[Receiver, Mapping[str, Any]], None]]] = {
    "state": Receiver._tell_state,
    "failed": Receiver._tell_failed,
    "exit": Receiver._tell_exit,
    "port": Receiver._tell_port,
    "status": Receiver._tell_status,
    "closed": Receiver._tell_closed,
    "finished": Receiver._tell_finished,
    "alive": Receiver._tell_alive,
}


def _run_info(values: Mapping[str, Any]) -> RunInfo:
    supersedes = values.get("supersedes")
    return RunInfo(
        run=_text(values["run"]),
        pipeline=_text(values["pipeline"]),
        groups=_sizes(values.get("groups") or {}),
        dto=_text(values.get("dto", "")),
        supersedes=None if supersedes is None else _text(supersedes),
        host=_text(values.get("host", "")),
        process=int(_number(values.get("process", 0))),
        started_utc=float(_number(values.get("started_utc", 0.0))),
    )


def _sizes(groups: Any) -> dict[str, int]:
    sizes = {_text(name): int(_number(size)) for name, size in dict(groups).items()}
    if not all(0 <= size <= GROUP_MOST for size in sizes.values()):
        raise ValueError(f"expected sizes from 0 to {GROUP_MOST:,}")
    return sizes


def _generation_of(key: str, run: str) -> int | None:
    """Number of the generation that a fact's key names, of this run.

    >>> _generation_of("roster/ab/2", "ab"), _generation_of("roster/cd/2", "ab"), _generation_of("roster/ab/x", "ab")
    (2, None, None)
    """
    number = key.removeprefix(f"roster/{run}/")
    return int(number) if number.isascii() and number.isdecimal() and key == roster_key(run, int(number)) else None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"expected text, got {value!r}")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"expected a number, got {value!r}")
    if not -LARGEST < value < LARGEST:
        raise ValueError("expected a number that can be counted to")
    return value


def _counted(event: T) -> T:
    """Give an event whose numbers can be counted to, and shown."""
    for value in vars(event).values():
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, Event):
                _counted(one)
            elif isinstance(one, int | float):
                _number(one)
    return event
