"""When and how a member commits: all outputs of all transports first, only then positions, one transport after another."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Final

from pypz.core.channels.ends.client_loop import ClientLoop
from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.members.checkpoints import Checkpoints
from pypz.core.channels.members.membership import Membership, PortEnds
from pypz.core.channels.members.standing import Standing
from pypz.core.channels.spi import Committed, MemberNote, Unit
from pypz.core.commons.errors import RetriableError, TransportTimeoutError

COMMIT_TIMEOUT_S: Final = 10.0
"""Seconds that one flush or commit in the background may take before it is tried again (chosen)."""
LAST_COMMIT_S: Final = 120.0
"""Seconds for which a commit that the operator waits for is tried again (chosen: sendTimeoutMs' default)."""
AGAIN_S: Final = 3600.0
"""Seconds after which all that stands committed is committed again (semantics: every hour)."""
TROUBLE_S: Final = 1.0
"""Seconds until a commit that failed is tried again (chosen)."""
BUSY_S: Final = 0.02
"""Seconds until a due commit is tried again that would have had to wait (chosen)."""
TROUBLE_INTERVAL_S: Final = 30.0
"""Seconds between two warnings that nothing can be committed (house rule)."""


class Commits:
    """What is due for commit, since when, and committing it. At most one unit is in commit."""

    def __init__(
        self,
        membership: Membership,
        checkpoints: Checkpoints,
        standing: Standing,
        interval_s: float,
    ) -> None:
        """Take part in a session.

        Args:
            membership: Whose positions.
            checkpoints: Its note.
            standing: What it has committed.
            interval_s: Seconds from the first unit that is due to its commit.
        """
        self._membership = membership
        self._checkpoints = checkpoints
        checkpoints.commit_at_once = self._commit_note
        self._standing = standing
        self._interval_s = interval_s
        self._now = membership.clock.now
        self._again_at = self._now() + AGAIN_S
        self._due: dict[tuple[str, int], Committed] = {}
        self._marks: dict[str, tuple[int, int]] = {}
        self._at: float | None = None
        self._committing = threading.Lock()
        self._trouble_told = float("-inf")
        self.trouble = ""
        """Why the last commit did not go through; empty when it did."""

    def close_unit(self) -> None:
        """Note all that was handed out as due for commit."""
        m = self._membership
        with m.changed:
            moved = self._checkpoints.close_unit()
            for end in m.inputs():
                end.has_records()  # passes over ends that are next
                mark = end.mark()
                if mark.committed:
                    moved = True
                    self._due.update(mark.committed)
                    self._marks[end.info.name] = mark.consumed, mark.records
            if moved and self._at is None:
                self._at = self._now() + self._interval_s
                first = next(iter(m.loops.values()), None)
                if first is not None:
                    first.wake()

    def commit_rest(self) -> None:
        """Flush and commit all that is due, from the operator's thread, within the deadlines of sends.

        Raises:
            TransportError: It cannot be committed.
        """
        deadline = time.monotonic() + LAST_COMMIT_S
        while True:
            try:
                if self.try_commit(wait=True):
                    return
            except (RetriableError, TransportTimeoutError) as error:
                if time.monotonic() > deadline or self._membership.is_stopped():
                    raise
                self.tell_trouble(error)

    def commit_due(self, loop: ClientLoop) -> float | None:
        """On a client's thread: commit when due (the first client's does); gives the seconds until the next."""
        m = self._membership
        if next(iter(m.loops.values()), None) is not loop:
            return None
        now = self._now()
        if now >= self._again_at:
            self._take_standing(now)
        if self._at is not None and now >= self._at and m.outcome is None and not m.is_fenced:
            try:
                if not self.try_commit(wait=False):
                    self._at = now + BUSY_S
            except (RetriableError, TransportTimeoutError) as error:
                self._at = self._now() + TROUBLE_S
                self.tell_trouble(error)
        return None if self._at is None else max(0.0, self._at - self._now())

    def _take_standing(self, now: float) -> None:
        """Make all that stands due again, as it stands; not while something later is in commit."""
        if not self._committing.acquire(blocking=False):
            return
        try:
            self._again_at = now + AGAIN_S
            with self._membership.changed:
                self._due = {**self._standing.positions(), **self._due}
                if self._checkpoints.take_standing() or self._due:
                    self._at = now
        finally:
            self._committing.release()

    def try_commit(self, *, wait: bool) -> bool:
        """Flush every output of every transport, only then commit positions; False when it had to wait and may not."""
        if not self._committing.acquire(blocking=wait):
            return False  # a client's thread must not wait here: whoever commits may be waiting for that thread
        try:
            return self._commit(wait)
        finally:
            self._committing.release()

    def commit_handed_out(self, ends: PortEnds, end: InputEnd) -> None:
        """At most once: commit what an input port is about to hand out, before it does.

        Raises:
            TransportError: It cannot be committed; then nothing must be handed out.
        """
        m = self._membership
        with self._committing:
            with m.changed:
                mark = end.mark()
                due = {**{key: value for key, value in self._due.items() if key[0] == end.info.name}, **mark.committed}
                self._due = {key: value for key, value in self._due.items() if key[0] != end.info.name}
                self._marks[end.info.name] = mark.consumed, mark.records
            self._commit_at_once(m.loops[ends.address], Unit(due))
            self._committed(due, {end.info.name: (mark.consumed, mark.records)})

    def _commit_note(self, note: MemberNote) -> None:
        """At most once: commit the member's note before it sends what the note tells of.

        Raises:
            TransportError: It cannot be committed; then nothing must be sent.
        """
        loop = self._membership.home_loop
        assert loop is not None, "asked for before"
        with self._committing:
            self._commit_at_once(loop, Unit({}, note))

    # --- below: with `_committing` held ---

    def _commit_at_once(self, loop: ClientLoop, unit: Unit) -> None:
        m = self._membership
        deadline = time.monotonic() + LAST_COMMIT_S
        while True:
            m.raise_failure()
            try:
                _commit_on(loop, unit)
                return
            except (RetriableError, TransportTimeoutError) as error:
                if time.monotonic() > deadline or m.is_stopped():
                    raise
                self.tell_trouble(error)

    def _commit(self, wait: bool) -> bool:
        m = self._membership
        if m.is_fenced:
            m.raise_failure()
        with m.changed:
            due, self._due = self._due, {}
            marks = dict(self._marks)
            note = self._checkpoints.take_due()
        try:
            for output in m.outputs():
                if not output.send_pending(wait):
                    self._put_back(due, note)
                    return False
            loops = m.loops_in_order()
            for loop in loops:
                loop.client.flush(COMMIT_TIMEOUT_S)
            for loop in loops:
                positions = {key: value for key, value in due.items() if key[0] in loop.inputs}
                own_note = note if loop is m.home_loop else None
                if positions or own_note is not None:
                    _commit_on(loop, Unit(positions, own_note))
        except BaseException:
            self._put_back(due, note)
            raise
        self._committed(due, marks)
        return True

    def _committed(self, due: Mapping[tuple[str, int], Committed], marks: Mapping[str, tuple[int, int]]) -> None:
        self._standing.committed(due)
        self.trouble = ""
        m = self._membership
        with m.changed:
            is_more = bool(self._due) or self._checkpoints.is_due
            self._at = self._now() + self._interval_s if is_more else None
            for end in m.inputs():
                if end.info.name in marks:
                    end.committed_entries, end.committed_records = marks[end.info.name]

    def tell_trouble(self, error: Exception) -> None:
        """Say that a commit failed for now, but not too often."""
        self.trouble = str(error)
        now = self._now()
        if now - self._trouble_told >= TROUBLE_INTERVAL_S:
            self._trouble_told = now
            self._membership.tell(f"cannot commit yet, tries on: {error}")

    def _put_back(self, due: dict[tuple[str, int], Committed], note: MemberNote | None) -> None:
        with self._membership.changed:
            self._due = {**due, **self._due}
            self._checkpoints.put_back(note)


def _commit_on(loop: ClientLoop, unit: Unit) -> None:
    loop.call(lambda: loop.client.commit(unit, COMMIT_TIMEOUT_S))
