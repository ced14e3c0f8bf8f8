"""Writes one run's observing hooks into its status streams, so that a viewer in another process sees them.

An observer like any other: being told only keeps the latest value of each key. One thread a stream writes: what must
last (states, failures, exits, ports) as facts, figures as beats, log lines into a stream of their own. The run's own facts
(``run/``, ``finished/``, ``closed/``, ``alive/``) are the core's. `pypz.core.hooks.receiver` is the other end, for log
lines `pypz.core.hooks.log_receiver`.
"""

from __future__ import annotations

import json
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from pypz.core.channels.spi import StatusStream, keeps_logs
from pypz.core.commons.clock import growing_utc
from pypz.core.hooks.events import EVENT_VERSION, ChannelStatus, ErrorInfo, LogRecord, OperatorRef, PortRef
from pypz.core.hooks.loader import say
from pypz.core.hooks.spec import hookimpl

BEAT_INTERVAL_S: Final = 0.5
"""Seconds between two figures of one key (design: at most twice a second)."""

STILL_S: Final = 2.0
"""Seconds after which a figure that stands still becomes a fact, for viewers that came later (chosen)."""

STILL_INTERVAL_S: Final = 30.0
"""Seconds between two such facts of one key, so that what comes in bursts does not fill the facts (chosen)."""

LOG_INTERVAL_S: Final = 0.1
"""Seconds between two times of writing log lines: those of the meantime are written together (chosen)."""

LOGS_AHEAD: Final = 1_000
"""Log lines that wait to be written; of more the oldest are lost (chosen: ten seconds of one member at most)."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 5.0
"""Seconds before a fact that could not be written is tried again: doubled up to this (chosen)."""


class Relay:
    """Observer that writes what concerns one run to its status streams."""

    def __init__(self, pipeline: str, run: str, streams: Sequence[StatusStream]) -> None:
        """Start relaying; register the object with a `PluginHost`.

        Args:
            pipeline: Name of the pipeline, as in the events.
            run: Id of the run; events of others are left alone.
            streams: Where to write; they stay open when the relay is closed.
        """
        self._pipeline = pipeline
        self._run = run
        self._ways: dict[str, tuple[str, list[str], list[float]]] = {}
        self._lanes = [_Lane(stream, f"pypz-relay-{place}") for place, stream in enumerate(streams)]

    def close(self, timeout_s: float) -> bool:
        """Write what still waits, then end the threads. Idempotent.

        Returns:
            Whether everything was written in time.
        """
        deadline = time.monotonic() + timeout_s
        for lane in self._lanes:
            lane.finish()
        return all([lane.join(deadline - time.monotonic()) for lane in self._lanes])

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, old: str, new: str, at_utc: float) -> None:
        """Keep ``state/<member>``; with it stand all states of this start, since a newer value takes the place of one that
        waits.
        """
        if self._is_mine(operator):
            start, way, moments = self._ways.get(operator.name, ("", [], []))
            way, moments = ([*way, new], [*moments, at_utc]) if start == operator.start else ([new], [at_utc])
            self._ways[operator.name] = operator.start, way, moments
            values = {"operator": operator.to_json(), "old": old, "new": new, "way": way, "way_utc": moments}
            self._fact(operator, f"state/{operator.name}", values)

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        """Keep ``failed/<member>``."""
        values = {"operator": operator.to_json(), "during": during, "error": error.to_json()}
        self._fact(operator, f"failed/{operator.name}", values)

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        """Keep ``exit/<member>``."""
        self._fact(operator, f"exit/{operator.name}", {"operator": operator.to_json(), "exit_code": exit_code})

    @hookimpl
    def pypz_port_opened(self, port: PortRef) -> None:
        """Keep ``port/<member>/<port>``."""
        self._port(port, is_open=True)

    @hookimpl
    def pypz_port_closed(self, port: PortRef) -> None:
        """Keep ``port/<member>/<port>``."""
        self._port(port, is_open=False)

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        """Keep the beat ``status/<member>/<port>/<channel>``; the last one, or one that stands still, as a fact, too."""
        operator = status.port.operator
        if self._is_mine(operator):
            key, value = f"status/{operator.name}/{status.port.name}/{status.channel}", _bytes(status.to_json())
            is_last = status.state in ("closed", "failed")
            for lane in self._lanes:
                lane.beat(key, value, is_last=is_last)

    @hookimpl
    def pypz_log(self, record: LogRecord) -> None:
        """Write the line to the log stream, where the transport has one."""
        if self._is_mine(record.operator):
            value = _bytes(record.to_json())
            for lane in self._lanes:
                lane.log(value)

    def _port(self, port: PortRef, is_open: bool) -> None:
        self._fact(port.operator, f"port/{port.operator.name}/{port.name}", {"port": port.to_json(), "open": is_open})

    def _fact(self, operator: OperatorRef, key: str, values: Mapping[str, Any]) -> None:
        if self._is_mine(operator):
            value = _bytes({"at_utc": growing_utc(), **values})
            for lane in self._lanes:
                lane.fact(key, value)

    def _is_mine(self, operator: OperatorRef) -> bool:
        return operator.run == self._run and operator.pipeline == self._pipeline


@dataclass(frozen=True)
class _Work:
    """What is to be written now."""

    facts: dict[str, bytes]
    beats: dict[str, bytes]
    logs: list[bytes]


class _Lane:
    """One stream with its thread and what waits for it, the latest value of each key."""

    def __init__(self, stream: StatusStream, name: str) -> None:
        self._stream = stream
        self._came = threading.Condition()
        self._facts: dict[str, bytes] = {}
        self._beats: dict[str, bytes] = {}
        self._beaten: dict[str, float] = {}
        self._standing: dict[str, bytes] = {}
        self._kept: dict[str, float] = {}
        self._keeps_logs = stream if keeps_logs(stream) else None
        self._logs: deque[bytes] = deque(maxlen=LOGS_AHEAD)
        self._logs_at = 0.0
        self._pause_s = 0.0
        self._retry_at = 0.0
        self._is_finishing = False
        self._gave_up = False
        self._has_complained = False
        self._thread = threading.Thread(target=self._write_all, name=name, daemon=True)
        self._thread.start()

    def fact(self, key: str, value: bytes) -> None:
        with self._came:
            self._facts.pop(key, None)  # the newest goes to the end: facts are written in the order they became true
            self._facts[key] = value
            self._came.notify()

    def beat(self, key: str, value: bytes, is_last: bool = False) -> None:
        """Write a figure soon; the last one of its key, and one that stands still, as a fact, too."""
        with self._came:
            if key not in self._beats:
                self._came.notify()
            self._beats[key] = value
            self._standing[key] = value
            if is_last:
                self._facts[key] = self._standing.pop(key)

    def log(self, value: bytes) -> None:
        """Write a log line soon."""
        if self._keeps_logs is not None:
            with self._came:
                if not self._logs:
                    self._came.notify()
                self._logs.append(value)

    def finish(self) -> None:
        with self._came:
            self._is_finishing = True
            self._came.notify()

    def join(self, timeout_s: float) -> bool:
        """Whether the thread has written everything; it gives up what it has not at the time-out."""
        self._thread.join(max(0.0, timeout_s))
        with self._came:
            self._gave_up = True
            self._came.notify()
            return not self._facts and not self._thread.is_alive()

    def _write_all(self) -> None:
        while (work := self._next()) is not None:
            for line in work.logs:
                self._write_log(line)
            for key, value in work.beats.items():
                try:
                    self._stream.beat(key, value)
                except Exception as error:  # noqa: BLE001 - a lost figure harms nobody
                    self._complain(key, error)
            for key, value in work.facts.items():
                try:
                    self._stream.put(key, value)
                except Exception as error:  # noqa: BLE001 - whatever it is, it may be over at the next try
                    self._complain(key, error)
                    self._later(work.facts, key)
                    break
                self._pause_s = 0.0
                self._has_complained = False

    def _write_log(self, line: bytes) -> None:
        assert self._keeps_logs is not None
        try:
            self._keeps_logs.log(line)
        except Exception as error:  # noqa: BLE001 - a lost line harms nobody
            self._complain("log lines", error)

    def _next(self) -> _Work | None:
        """Wait for what is to be written now; None at the end."""
        with self._came:
            while not self._gave_up:
                now = time.monotonic()
                due = {key: 0.0 if self._is_finishing else self._due(key) for key in self._beats}
                beats = {key: self._beats.pop(key) for key, at in due.items() if at <= now}
                still = self._still()
                for key in [key for key, at in still.items() if at <= now]:
                    self._facts[key] = self._standing.pop(key)
                    self._kept[key] = now
                facts: dict[str, bytes] = {}
                if self._facts and now >= self._retry_at:
                    facts, self._facts = self._facts, facts
                logs = self._take_logs(now)
                if facts or beats or logs:
                    self._beaten.update(dict.fromkeys(beats, now))
                    return _Work(facts, beats, logs)
                if self._is_finishing and not self._facts:
                    break
                waits = [at - now for at in (*due.values(), *still.values())]
                waits += [self._retry_at - now] if self._facts else []
                waits += [self._logs_at - now] if self._logs else []
                self._came.wait(min(waits, default=None))
            return None

    def _take_logs(self, now: float) -> list[bytes]:
        if not self._logs or (now < self._logs_at and not self._is_finishing):
            return []
        logs = list(self._logs)
        self._logs.clear()
        self._logs_at = now + LOG_INTERVAL_S
        return logs

    def _still(self) -> dict[str, float]:
        """When figures that stand still are to become facts."""
        if self._is_finishing:
            return {}
        still = (self._standing.keys() & self._beaten.keys()) - self._beats.keys()
        never = float("-inf")
        return {key: max(self._beaten[key] + STILL_S, self._kept.get(key, never) + STILL_INTERVAL_S) for key in still}

    def _due(self, key: str) -> float:
        return self._beaten.get(key, float("-inf")) + BEAT_INTERVAL_S

    def _later(self, facts: dict[str, bytes], first: str) -> None:
        """Put back what was not written, behind nothing newer of the same key, and try after a pause."""
        with self._came:
            keys = list(facts)
            missed = {key: facts[key] for key in keys[keys.index(first) :] if key not in self._facts}
            self._facts = {**missed, **self._facts}
            self._pause_s = min(LONGEST_PAUSE_S, max(FIRST_PAUSE_S, 2 * self._pause_s))
            self._retry_at = time.monotonic() + self._pause_s

    def _complain(self, key: str, error: Exception) -> None:
        """Once a trouble: viewers elsewhere see nothing new meanwhile, the pipeline itself goes on."""
        if not self._has_complained:
            self._has_complained = True
            say(f"viewers in other processes may not see all: cannot write {key}: {type(error).__name__}: {error}")


def _bytes(values: Mapping[str, Any]) -> bytes:
    return json.dumps({"v": EVENT_VERSION, **values}, separators=(",", ":")).encode()
