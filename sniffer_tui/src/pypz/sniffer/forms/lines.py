"""Log lines for scripts and terminals without a screen: plain, or a JSON object each."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

from pypz.sniffer.forms.plain import LOOK_INTERVAL_S
from pypz.sniffer.model.pipeline import ENDED, PipelineModel
from pypz.sniffer.model.texts import lines
from pypz.sniffer.sources.logs import LogBook, LogFilter, LogLine, own_context
from pypz.sniffer.wording.table import short_name

VERSION: Final = 1
"""Of the form; names may be added without raising it."""

LAST_LINES_S: Final = 1.0
"""Seconds without another line after the end of the run, before that counts as all (chosen: relays write within 0.1 s)."""


def document_of(line: LogLine, pipeline: str) -> dict[str, Any]:
    """Give a line as JSON values.

    Returns:
        ``v``, ``pipeline``, ``run``, ``member`` (its full name), ``start`` (of the member, another after a restart), ``number``
        (which line of that start, those left out included), ``level``, ``at_utc`` (seconds since 1970 by the member's clock;
        null when not told), ``context`` (names) and ``text``.
    """
    return {
        "v": VERSION,
        "pipeline": pipeline,
        "run": line.run,
        "member": line.member,
        "start": line.start,
        "number": line.number,
        "level": line.level,
        "at_utc": line.at_utc,
        "context": list(line.context),
        "text": line.text,
    }


def words_of(line: LogLine, pipeline: str) -> str:
    """Give a line as text; its time is that of this machine's zone.

    >>> words_of(LogLine("p.o", "INFO", "done", ("p.o", "StateEntry")), "p")
    '- INFO o: StateEntry: done'
    """
    at = None if line.at_utc is None else datetime.fromtimestamp(line.at_utc, UTC).astimezone().replace(tzinfo=None)
    stamp = "-" if at is None else at.isoformat(" ", "milliseconds")
    context = "".join(f"{part}: " for part in own_context(line))
    return f"{stamp} {line.level} {short_name(line.member, pipeline)}: {context}{lines(line.text)}"


class LineWriter:
    """Writes the lines of the newest run, those first that were logged before, until it has ended.

    Args:
        model: Tells which run is the newest, and when it has ended.
        book: Where the lines come in.
        wanted: Which ones are written, of whatever run.
        write: Takes a line.
        as_json: Write objects.
    """

    def __init__(
        self, model: PipelineModel, book: LogBook, wanted: LogFilter, write: Callable[[str], None], *, as_json: bool
    ) -> None:
        self._model = model
        self._book = book
        self._wanted = wanted
        self._write = write
        self._as_json = as_json
        self._mark = (-1, 0)
        self._written: set[tuple[str, int]] = set()
        self._run = ""

    def run(self, tell: Callable[[str], None] = lambda text: None) -> None:
        """Write; returns when the run has ended.

        Args:
            tell: Told why lines may be missing.
        """
        pause, told = threading.Event(), ""
        news_at = time.monotonic()
        while True:
            frame = self._model.frame()
            if frame.run != self._run:
                self._run, self._mark = frame.run, (-1, 0)
            lines = list(self._new())
            for line in lines:
                found = (
                    json.dumps(document_of(line, frame.pipeline)) if self._as_json else words_of(line, frame.pipeline)
                )
                self._write(found)
            if (notice := self._book.notice) != told:
                told = notice
                tell(notice)
            if lines or frame.mood not in ENDED or frame.may_go_on:
                news_at = time.monotonic()
            elif time.monotonic() - news_at > LAST_LINES_S:
                return
            pause.wait(LOOK_INTERVAL_S)

    def _new(self) -> Iterator[LogLine]:
        if not self._run:
            return
        self._mark, lines = self._book.since(self._mark)
        for line in self._book.lines() if lines is None else lines:
            key = line.start, line.number
            if line.run == self._run and key not in self._written:
                self._written.add(key)
                if self._wanted.takes(line):
                    yield line
        if lines is None:  # what the book has forgotten cannot come again
            self._written &= {(line.start, line.number) for line in self._book.lines()}
