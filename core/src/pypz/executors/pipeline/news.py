"""What members in processes of their own do, told to the observers of the process that started them: exactly once.

Their relays write it to the pipeline's status streams, a receiver reads it there. What a process could not tell any more,
because it was killed, or has no location to tell it at, is told in its place.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Final

from pypz.core.hooks.events import (
    PROCESS_ENDED,
    ChannelStatus,
    ErrorInfo,
    LogRecord,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.relay import Relay
from pypz.executors.commons import ENDED_WELL

FIRST_LOOK_S: Final = 5.0
"""Seconds to wait until the receiver has found the run (chosen); observers may miss first states when it is late."""

LAST_NEWS_S: Final = 5.0
"""Seconds to wait for what members have told last (chosen: as long as a relay may take to write it)."""


@dataclass
class _Known:
    """The latest start of a member as far as it was told."""

    ref: OperatorRef
    state: str = ""
    has_failed: bool = False
    has_ended: bool = False


class News:
    """Takes what a `Receiver` reads, and hands it on to a host. Thread-safe."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self.relay: Relay | None = None
        """Told, too, what processes could not tell any more: viewers elsewhere read the streams."""
        self._changed = threading.Condition(threading.RLock())
        self._has_begun = False
        self._known: dict[str, _Known] = {}
        self._told: set[Hashable] = set()
        self._over: set[tuple[str, int]] = set()

    # --- whoever started the processes --------------------------------------------------------------------------------

    def wait_for_run(self) -> bool:
        """Wait until the receiver has found the run, so that nothing is missed; whether it has."""
        with self._changed:
            return self._changed.wait_for(lambda: self._has_begun, FIRST_LOOK_S)

    def wait_for_end(self, name: str, process: int, is_expected: bool) -> None:
        """Wait until the end of a member that has told it was read here.

        Args:
            name: Full name of the member.
            process: Id of its process, which has ended.
            is_expected: Whether it must have told something, if nothing was heard of it so far.
        """

        def has_come() -> bool:
            known = self._of_process(name, process)
            return known.has_ended if known else not is_expected

        with self._changed:
            self._changed.wait_for(has_come, LAST_NEWS_S)

    def tell_end(self, ref: OperatorRef, exit_code: int, reason: str) -> None:
        """Tell the end of a member's process, as far as it did not do so itself.

        Args:
            ref: Stands for the member if nothing was heard of its process.
            exit_code: Of the process.
            reason: Why it did not end well.
        """
        with self._changed:
            known = self._of_process(ref.name, ref.process) or _Known(ref)
            self._known[ref.name] = known
            self._over.add((ref.name, ref.process))
            if exit_code not in ENDED_WELL and not known.has_failed:
                error = ErrorInfo(PROCESS_ENDED, reason)
                self._host.operator_failed(known.ref, known.state, error)
                if self.relay is not None:
                    self.relay.pypz_operator_failed(known.ref, known.state, error)
            if not known.has_ended:
                self._host.operator_finished(known.ref, exit_code)
                if self.relay is not None:
                    self.relay.pypz_operator_finished(known.ref, exit_code)
            known.has_failed = known.has_ended = True

    def _of_process(self, name: str, process: int) -> _Known | None:
        known = self._known.get(name)
        return known if known is not None and known.ref.process == process else None

    # --- the receiver -------------------------------------------------------------------------------------------------

    def pipeline_started(self, pipeline: PipelineRef) -> None:
        """The receiver has found a run; observers here know of it from the process that began it."""
        with self._changed:
            self._has_begun = True
            self._changed.notify_all()

    def pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        """Told by the process that began the run."""

    def operator_state_changed(self, operator: OperatorRef, old: str, new: str, at_utc: float | None = None) -> None:
        def note(known: _Known) -> None:
            known.state = new
            self._host.operator_state_changed(operator, old, new, at_utc)

        self._take(operator, ("state", operator.start, new), note)

    def operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        def note(known: _Known) -> None:
            if (operator.name, operator.process) not in self._over:
                known.has_failed = True
                self._host.operator_failed(operator, during, error)

        self._take(operator, ("failed", operator.start, during, error.message), note)

    def operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        def note(known: _Known) -> None:
            if (operator.name, operator.process) not in self._over:
                known.has_ended = True
                self._host.operator_finished(operator, exit_code)

        self._take(operator, ("exit", operator.start), note)

    def port_opened(self, port: PortRef) -> None:
        self._take(port.operator, ("open", port), lambda known: self._host.port_opened(port))

    def port_closed(self, port: PortRef) -> None:
        self._take(port.operator, ("closed", port), lambda known: self._host.port_closed(port))

    def channel_status(self, status: ChannelStatus) -> None:
        self._take(status.port.operator, None, lambda known: self._host.channel_status(status))

    def log(self, record: LogRecord) -> None:
        """A member has logged a line; lost while too many wait."""
        self._host.log(record)

    def process_status(self, status: ProcessStatus) -> None:
        self._host.process_status(status)

    def _take(self, operator: OperatorRef, key: Hashable | None, note: Callable[[_Known], None]) -> None:
        """Hand on what was not told before; a stream that is read anew after trouble repeats itself."""
        with self._changed:
            if key is not None:
                if key in self._told:
                    return
                self._told.add(key)
            known = self._known.get(operator.name)
            if known is None or known.ref.start != operator.start:
                known = self._known[operator.name] = _Known(operator)
            note(known)
            self._changed.notify_all()
