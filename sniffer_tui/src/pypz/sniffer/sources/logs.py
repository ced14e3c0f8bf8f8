"""Log lines of one pipeline for viewers: kept up to a bound, told once, and where they come from.

Nothing here knows a screen. Lines come by the hook ``pypz_log``: of members that run in this process at once, of others from
the log streams, which are read only while a `LogFeed` is open; or from the place that a pipeline is deployed to (`PodFeed`).
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from pypz.core.channels.spi import Transport
from pypz.core.commons.errors import PypzError
from pypz.core.hooks.events import LogRecord
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.log_receiver import LogReceiver
from pypz.core.hooks.spec import hookimpl
from pypz.sniffer.model.pipeline import plain_name
from pypz.sniffer.model.texts import name_of
from pypz.sniffer.sources.feed import MEMORY_SCHEME, Location

if TYPE_CHECKING:
    from pypz.sniffer.sources.deployment import Deployment

LINES_KEPT: Final = 5_000
"""Lines that a viewer keeps; of more the oldest go (chosen: some MB)."""

STARTS_KEPT: Final = 2_000
"""Starts of members whose lines are counted; of more the oldest are forgotten (chosen)."""

LINES_AT_MOST: Final = 2**63
"""A line with a higher number is nobody's."""

LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR")
"""From the lowest on."""

PODS_AT_ONCE: Final = 10
"""Members whose containers are followed at the same time: each takes a thread and a connection (chosen)."""

TAIL_LINES: Final = 500
"""Earlier lines of a container that are fetched (chosen)."""

LAST_MOMENT_UTC: Final = 253_370_764_800
"""Seconds since 1970 of a moment that a calendar shows in any zone: the year 9999."""

CLOSE_S: Final = 1.0
"""Seconds that closing may wait for a location that does not answer (chosen)."""

FIRST_PAUSE_S: Final = 1.0
LONGEST_PAUSE_S: Final = 10.0
"""Seconds before a container that gave nothing is asked again: doubled up to this (chosen)."""


@dataclass(frozen=True)
class LogLine:
    """One line, as a viewer shows it."""

    member: str
    """Full name, without the namespace's prefix."""
    level: str
    text: str
    context: tuple[str, ...] = ()
    at_utc: float | None = None
    """None when nobody has told."""
    run: str = ""
    start: str = ""
    number: int = 0
    """Which one of its start; 0 when it was not counted."""

    def is_from(self, level: str) -> bool:
        """Whether the line is of that level or of a higher one.

        >>> LogLine("p.o", "WARNING", "slow").is_from("INFO"), LogLine("p.o", "INFO", "done").is_from("WARNING")
        (True, False)
        """
        return _rank(self.level) >= _rank(level)


def _rank(level: str) -> int:
    return LEVELS.index(level) if level in LEVELS else LEVELS.index("INFO")


@dataclass
class _Start:
    """What is known of the lines of one start of a member."""

    seen: set[int] = field(default_factory=set)
    told: int = 0
    first: int = 0
    dropped_at_first: int = 0
    last: int = 0
    dropped_at_last: int = 0

    def is_new(self, record: LogRecord) -> bool:
        number = record.number
        if number in self.seen or (self.told and number < self.last - 2 * LINES_KEPT):
            return False
        self.seen.add(number)
        self.told += 1
        if number > self.last:
            self.last, self.dropped_at_last = number, record.dropped
        if self.told == 1 or number < self.first:
            self.first, self.dropped_at_first = number, record.dropped
        if len(self.seen) > 3 * LINES_KEPT:
            self.seen = {one for one in self.seen if one > self.last - 2 * LINES_KEPT}
        return True

    @property
    def lost(self) -> int:
        """Lines between the first and the last one that were neither told nor left out by the member."""
        return max(0, self.last - self.first + 1 - self.told - (self.dropped_at_last - self.dropped_at_first))


class LogBook:
    """The newest lines; thread-safe. Each is taken once, in whichever ways it comes.

    Args:
        pipeline: Full name of the pipeline; lines of others are left out.
        lines_kept: How many are kept.
    """

    def __init__(self, pipeline: str, lines_kept: int = LINES_KEPT) -> None:
        self.pipeline = pipeline
        self._kept = lines_kept
        self._lock = threading.Lock()
        self._lines: list[LogLine] = []
        self._starts: dict[str, _Start] = {}
        self._first = 0
        self._epoch = 0
        self._notices: dict[str, str] = {}
        self._version = 0

    @property
    def version(self) -> int:
        """Another number as soon as there is anything new."""
        return self._version

    @property
    def notice(self) -> str:
        """Why lines may be missing; empty when nothing is known of it."""
        with self._lock:
            lost = sum(start.lost for start in self._starts.values())
            told = [text for text in self._notices.values() if text]
        lines = "1 line was" if lost == 1 else f"{lost:,} lines were"
        return "; ".join([*told, *([f"{lines} lost on the way"] if lost else [])])

    def take(self, record: LogRecord) -> None:
        """Keep a line, unless it was told before."""
        operator = record.operator
        if plain_name(operator.pipeline) != self.pipeline or max(record.number, record.dropped) >= LINES_AT_MOST:
            return
        with self._lock:
            start = self._starts.pop(operator.start, None) or _Start()
            self._starts[operator.start] = start
            is_late = record.number < start.last
            if not start.is_new(record):
                return
            while len(self._starts) > STARTS_KEPT:
                del self._starts[next(iter(self._starts))]
            line = LogLine(
                plain_name(name_of(operator.name)),
                name_of(record.level),
                record.text,
                tuple(name_of(part) for part in record.context),
                record.at_utc if 0 < record.at_utc < LAST_MOMENT_UTC else None,
                name_of(operator.run),
                name_of(operator.start),
                record.number,
            )
            self._add(line, is_late=is_late)

    def add(self, lines: Iterable[LogLine]) -> None:
        """Keep lines that carry no numbers."""
        with self._lock:
            for line in lines:
                self._add(line, is_late=False)

    def set_notice(self, place: str, text: str) -> None:
        """Tell why lines of a place may be missing; "" when they may not."""
        with self._lock:
            if self._notices.get(place, "") != text:
                self._notices[place] = text
                self._version += 1

    def lines(self) -> list[LogLine]:
        """All that are kept, the oldest first."""
        with self._lock:
            return list(self._lines)

    def since(self, mark: tuple[int, int]) -> tuple[tuple[int, int], list[LogLine] | None]:
        """Lines that came since a mark.

        Args:
            mark: As given by the last call; (-1, 0) at first.

        Returns:
            The next mark, and the lines; None instead of lines when all are to be looked at anew: some came late and stand
            between others, or some went that the caller has not seen.
        """
        with self._lock:
            end = self._first + len(self._lines)
            epoch, seen = mark
            if epoch != self._epoch or seen < self._first:
                return (self._epoch, end), None
            return (self._epoch, end), self._lines[seen - self._first :]

    def _add(self, line: LogLine, *, is_late: bool) -> None:
        place = len(self._lines)
        if is_late:
            later = (i for i, one in enumerate(self._lines) if one.start == line.start and one.number > line.number)
            place = next(later, place)
            self._epoch += 1
        self._lines.insert(place, line)
        if len(self._lines) > self._kept + self._kept // 10:  # cut now and then, and not with every line
            gone = len(self._lines) - self._kept
            del self._lines[:gone]
            self._first += gone
        self._version += 1


class LogObserver:
    """Takes the hook's calls into a book."""

    def __init__(self, book: LogBook) -> None:
        self._book = book

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        """A member has logged a line."""
        self._book.take(record)


class LogFeed:
    """Feeds a book from this process and from the log streams of a pipeline's locations, while it is open.

    Args:
        book: What to feed.
        status_name: Name of the pipeline's status streams.
        locations: Where they are.
        host: Whose hooks are observed, and whose plugins make the transports; left out, the one of this process.
    """

    def __init__(
        self, book: LogBook, status_name: str, locations: Sequence[Location], host: PluginHost | None = None
    ) -> None:
        self._book = book
        self._status_name = status_name
        self._locations = list(locations)
        self._here = PluginHost.default() if host is None else host
        self._there = PluginHost(load=False)
        self._observer = LogObserver(book)
        self._transports: list[Transport] = []
        self._receiver: LogReceiver | None = None

    def start(self) -> None:
        """Observe from now on; returns at once."""
        self._here.register(self._observer, f"sniffer-logs-{id(self):x}")
        self._there.register(LogObserver(self._book), "sniffer-logs")
        for location, options in self._locations:
            try:
                self._transports.append(self._here.make_transport(location, options))
            except PypzError as error:
                self._book.set_notice(location, f"{location}: no log lines from there: {error}")
        self._receiver = LogReceiver(
            self._transports,
            self._status_name,
            self._there,
            on_trouble=lambda text: self._book.set_notice("streams", text),
        )
        if self._receiver.left_out:
            silent = "its transport does" if self._receiver.left_out == 1 else "their transports do"
            self._book.set_notice(
                "left out", f"no log lines from other processes of a location: {silent} not keep them"
            )

    def close(self) -> None:
        """Observe no more; idempotent."""
        self._here.unregister(self._observer)
        if self._receiver is not None:
            self._receiver.close(CLOSE_S)
            self._receiver = None
        transports, self._transports = self._transports, []
        for transport in transports:
            with suppress(PypzError):
                transport.close()
        self._there.close()


def can_have_lines(locations: Sequence[Location]) -> bool:
    """Whether lines may come from other processes."""
    return any(not location.startswith(MEMORY_SCHEME) for location, _ in locations)


class PodFeed:
    """Feeds a book with what the containers of members write, as their deployer gives it.

    Args:
        book: What to feed.
        deployment: Where the pipeline is deployed.
    """

    def __init__(self, book: LogBook, deployment: Deployment) -> None:
        self._book = book
        self._deployment = deployment
        self._lock = threading.Lock()
        self._following: dict[str, threading.Event] = {}

    def follow(self, members: Collection[str]) -> None:
        """Follow these members and no others; of many the first ones."""
        wanted = list(itertools.islice(members, PODS_AT_ONCE))
        more = len(members) - len(wanted)
        self._book.set_notice("more", f"{more} more members are not followed: select one" if more > 0 else "")
        with self._lock:
            for member in [member for member in self._following if member not in wanted]:
                self._following.pop(member).set()
            for member in wanted:
                if member not in self._following:
                    self._following[member] = over = threading.Event()
                    threading.Thread(
                        target=self._read, args=(member, over), name=f"pypz-sniffer-pod {member}", daemon=True
                    ).start()

    def close(self) -> None:
        """Follow nobody; a thread ends with the next line of its container. Idempotent."""
        self.follow(())

    def _read(self, member: str, over: threading.Event) -> None:
        """Follow until it is enough: a container that was started again goes on where the last one ended."""
        is_stamped = self._deployment.kind == "kubernetes"
        options: dict[str, Any] = {"tail_lines": TAIL_LINES, "timestamps": True} if is_stamped else {}
        last, pause_s = "", FIRST_PAUSE_S
        while not over.is_set():
            began = time.monotonic()
            try:
                for text in self._deployment.deployer.follow_operator_logs(member, **options):
                    if over.is_set():
                        return
                    stamp, _, rest = text.partition(" ") if is_stamped else ("", "", text)
                    if stamp > last or not is_stamped:
                        last = stamp
                        self._book.add([line_of_container(member, rest, seconds_of(stamp))])
                        pause_s = FIRST_PAUSE_S
                self._book.set_notice(member, "")
            except Exception as error:  # noqa: BLE001 - a viewer stays up, says what is wrong and tries again
                if not over.is_set():
                    self._book.set_notice(member, f"{member}: no lines of its container: {error}")
            if not is_stamped:
                return  # what it gives is all there is
            over.wait(pause_s)
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            options = {"since_seconds": int(time.monotonic() - began) + 2, "timestamps": True}


_LEVELED: Final = re.compile(r"(?:\x1b\[[0-9;]*m)?\s*(DEBUG|INFO|WARNING|ERROR)\b[\s|:]*")
_COLOURS: Final = re.compile(r"\x1b\[[0-9;]*m")


def line_of_container(member: str, text: str, at_utc: float | None = None) -> LogLine:
    """Give a line that a container wrote; its level is what it begins with, INFO when that is none.

    >>> line_of_container("p.o", "ERROR | 2026-01-01 00:00:00,000 | p.o | failed").level
    'ERROR'
    """
    plain = _COLOURS.sub("", text.rstrip("\n"))
    found = _LEVELED.match(plain)
    return LogLine(member, found[1] if found else "INFO", plain[found.end() :] if found else plain, at_utc=at_utc)


def seconds_of(stamp: str) -> float | None:
    """Give the time before a line of a container as seconds since 1970; None when it is none.

    >>> seconds_of("1970-01-01T00:00:01.500000001Z"), seconds_of("")
    (1.5, None)
    """
    try:
        whole, _, fraction = stamp.removesuffix("Z").partition(".")
        return datetime.fromisoformat(f"{whole}+00:00").timestamp() + float(f"0.{fraction[:6] or 0}")
    except ValueError:
        return None


@dataclass(frozen=True)
class LogFilter:
    """Which lines are wanted."""

    level: str = "DEBUG"
    text: str = ""
    """Part of text, member or context, in any case; "" for every line."""
    members: frozenset[str] | None = None
    """None for all."""
    run: str = ""
    """"" for every run."""

    def takes(self, line: LogLine) -> bool:
        """Whether the line is wanted."""
        if not line.is_from(self.level) or (self.run and line.run not in ("", self.run)):
            return False
        if self.members is not None and line.member not in self.members:
            return False
        wanted = self.text.casefold()
        return not wanted or any(wanted in part.casefold() for part in (line.text, line.member, *line.context))


def own_context(line: LogLine) -> tuple[str, ...]:
    """The context without the member's own name: states, ports and whatever else says more than whose line it is.

    >>> own_context(LogLine("p.o", "INFO", "x", ("p.o", "StateEntry")))
    ('StateEntry',)
    >>> own_context(LogLine("p.o", "INFO", "x", ("p.o.in", "p.o.in")))
    ('in',)
    """
    parts = (plain_name(part) for part in line.context)
    shown = [part.removeprefix(f"{line.member}.") for part in parts if part != line.member]
    return tuple(dict.fromkeys(shown))
