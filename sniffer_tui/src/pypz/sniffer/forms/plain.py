"""The sniffer without a screen: a line for each change, for pipes, logs and tests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Final

from pypz.sniffer.model.frames import Frame, MemberView, Mood, PortView
from pypz.sniffer.model.pipeline import ENDED, PipelineModel
from pypz.sniffer.wording.reasons import trouble_of_pod
from pypz.sniffer.wording.table import (
    at_least,
    count_words,
    elapsed_words,
    member_words,
    rate_words,
    short_name,
    waits_words,
)

LOOK_INTERVAL_S: Final = 0.2
"""As often as the screen is drawn."""

LAST_NEWS_S: Final = 3.0
"""Seconds that the members' last news may come after the end of the run (chosen; exits follow it at once)."""

FIGURES_INTERVAL_S: Final = 1.0
"""Figures of a port at most that often; the last ones always."""


class PlainViewer:
    """Writes what changed, until the run has ended.

    Args:
        model: What to tell of.
        write: Takes a line without its end.
        waits_for_next: A run that had ended before is not told of; the next one is waited for.
    """

    def __init__(self, model: PipelineModel, write: Callable[[str], None], *, waits_for_next: bool = False) -> None:
        self._model = model
        self._write = write
        self._waits_for_next = waits_for_next
        self._stop = threading.Event()
        self._told: dict[str, str] = {}
        self._figures_at: dict[str, float] = {}
        self._run = ""
        self._ended_at = 0.0

    def run(self) -> None:
        """Tell of changes; returns when the run has ended, or `stop` was called."""
        while not self._stop.is_set():
            frame = self._model.frame()
            if self._waits_for_next and frame.had_ended:
                self._tell_notice(frame)
                self._line("", f"{frame.pipeline}: run {frame.run} had ended before; waits for the next one")
            else:
                self._tell(frame)
                if frame.mood in ENDED and not frame.may_go_on and self._has_all(frame):
                    ended = f"{frame.pipeline}: {frame.mood.value} after {elapsed_words(frame.elapsed_s)}"
                    self._line("", ended)
                    return
            self._stop.wait(LOOK_INTERVAL_S)

    def stop(self) -> None:
        """End `run`, from any thread."""
        self._stop.set()

    def _tell(self, frame: Frame) -> None:
        if frame.run != self._run:
            self._run = frame.run
            self._told.clear()
            self._ended_at = 0.0
        self._tell_notice(frame)
        if frame.run:
            self._line("run", f"{frame.pipeline}: run {frame.run}")
        else:
            self._line("", f"{frame.pipeline}: waits for the run to start")
        for member in frame.members:
            self._tell_member(frame.pipeline, member, all_figures=frame.mood in ENDED)

    def _tell_notice(self, frame: Frame) -> None:
        if self._told.get("notice") and not frame.notice:
            self._write(f"{frame.pipeline}: nothing hinders the view any more")
        self._line("notice", frame.notice)

    def _has_all(self, frame: Frame) -> bool:
        """Whether every member that started has told its end, or has had the time to."""
        self._ended_at = self._ended_at or time.monotonic()
        at_work = {Mood.STARTING, Mood.RUNNING, Mood.STOPPING}
        is_over = all(member.mood not in at_work for member in frame.members)
        return is_over or time.monotonic() - self._ended_at > LAST_NEWS_S

    def _tell_member(self, pipeline: str, member: MemberView, *, all_figures: bool) -> None:
        name = short_name(member.name, pipeline)
        if member.mood is not Mood.WAITING:
            words = Mood.LOST.value if member.mood is Mood.LOST else member_words(member)
            cause = f" ({member.error})" if member.error else ""
            again = f", restarted {member.restarts} x" if member.restarts else ""
            self._line(member.name, f"{name}: {words}{again}{cause}")
        trouble = trouble_of_pod(member)
        self._line(f"{member.name} pod", trouble and f"{name}: its pod {trouble}")
        for port in member.ports:
            key = f"{member.name} {port.name} {port.channel}"
            now = time.monotonic()
            is_due = all_figures or now - self._figures_at.get(key, 0.0) >= FIGURES_INTERVAL_S
            if port.records is not None and is_due:
                counts = f"{port.state} {at_least([port])}{port.records}"
                if self._told.get(f"{key} counts") != counts:
                    self._told[f"{key} counts"] = counts
                    self._figures_at[key] = now
                    several = sum(one.name == port.name for one in member.ports) > 1
                    to = f" {port.channel.removeprefix(f'{pipeline}.')}" if several else ""
                    self._write(f"{name}.{port.name}{to}: {', '.join(_figures(port, pipeline))}")

    def _line(self, key: str, text: str) -> None:
        if text and self._told.get(key) != text:
            self._write(text)
        self._told[key] = text


def _figures(port: PortView, pipeline: str) -> Iterator[str]:
    yield f"{port.state or '-'} {at_least([port])}{count_words(port.records or 0)} records"
    if port.rate is not None:
        yield f"{rate_words(port.rate)}/s"
    if port.lag.words:
        yield f"lag {port.lag.words}"
    if port.waits_for:
        yield f"waits for {waits_words(port.waits_for, pipeline)}"
