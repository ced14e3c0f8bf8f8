"""Records that an operator cannot handle: found by handing out again one at a time, then tried again or skipped.

What was wrong with an iteration that raised is not known, only what it was handed. So its unit is discarded, the port goes
back to where the iteration began, and hands out one record an iteration until the one that raises is alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.error_policy import ErrorPolicy
from pypz.core.channels.members.membership import Membership, PortEnds
from pypz.core.channels.spi import Guarantee
from pypz.core.commons.errors import DecodeError, PortClosedError, RecordRejectedError, TransportError

TELL_INTERVAL_S: Final = 30.0
"""Seconds between two warnings of skipped records of one port (house rule)."""


@dataclass
class _Isolation:
    """Some records that are handed out one at a time."""

    ends: PortEnds
    left: int
    """Records that were handed to the iteration that raised, and are not done yet."""
    tries: int = 0
    """Times that the next one has failed alone."""


@dataclass
class _Skipped:
    """What a port has left out."""

    records: int = 0
    told: int = 0
    told_at: float = float("-inf")


class Redelivery:
    """One member's trouble with records. Used by the operator's thread alone."""

    def __init__(self, membership: Membership, discard_unit: Callable[[], None]) -> None:
        """Take part in a session.

        Args:
            membership: Whose records.
            discard_unit: Forgets what the running iteration has sent and noted so far.
        """
        self._membership = membership
        self._discard_unit = discard_unit
        self._handed: dict[int, tuple[PortEnds, int]] = {}
        self._isolation: _Isolation | None = None
        self._skipped: dict[str, _Skipped] = {}
        self._final: BaseException | None = None

    # --- retrieving ---

    def at_most(self, ends: PortEnds, at_most: int) -> int:
        """Records that a port may hand out now."""
        if self._isolation is None:
            return at_most
        if self._isolation.ends is not ends or id(ends) in self._handed:
            return 0
        return 1

    def handed_out(self, ends: PortEnds, count: int) -> None:
        """A port has handed out records in the iteration that runs."""
        before = self._handed.get(id(ends), (ends, 0))[1]
        self._handed[id(ends)] = ends, before + count

    def cannot_decode(self, ends: PortEnds, end: InputEnd, error: DecodeError, tries: int) -> None:
        """A port's next block cannot be decoded: wait before it is tried again, or leave it out.

        Raises:
            DecodeError: The member is to fail.
        """
        if tries < end.policy.retries:
            self._back_off(ends, end.policy, tries, str(error))
        elif end.policy.skips:
            self._skip(ends, end.skip_block(), error)
        else:
            self._final = error
            raise error

    def reject(self, ends: PortEnds, end: InputEnd, error: BaseException | str) -> None:
        """The operator says that it cannot handle a record that it was handed.

        Raises:
            RecordRejectedError: The member is to fail, or its unit to be discarded so that the record comes again.
        """
        if end.policy.skips and not end.policy.retries:
            self._skip(ends, 1, error)
            return
        rejected = RecordRejectedError(f"{self._place(ends)}: a record was rejected: {_words(error)}")
        if end.policy.is_fail:
            self._final = rejected
        raise rejected from (error if isinstance(error, BaseException) else None)

    # --- iterations ---

    def unit_closed(self) -> None:
        """What was handed out is done."""
        isolation = self._isolation
        if isolation is not None and id(isolation.ends) in self._handed:
            isolation.tries = 0
            isolation.left -= 1
            if not isolation.left:
                self._isolation = None
        self._handed.clear()

    def iteration_failed(self, error: Exception) -> bool:
        """`_on_running` has raised; tells whether the operator goes on, its unit discarded."""
        handed, self._handed = list(self._handed.values()), {}
        if not handed or self._is_beyond_records(error):
            return False
        if len(handed) > 1:
            self._refuse_two([ends for ends, _ in handed])
            return False
        [(ends, count)] = handed
        end = ends.input
        if end is None or end.policy.is_fail:
            return False
        if self._membership.guarantee is Guarantee.AT_MOST_ONCE:
            self._discard_unit()
            self._skip(ends, count, error)
            return True
        return self._go_back(ends, end, count, error)

    def _is_beyond_records(self, error: Exception) -> bool:
        """Whether no record is to blame: the transport is in trouble, or a port has given up already."""
        m = self._membership
        return m.is_stopped() or error is self._final or isinstance(error, (TransportError, PortClosedError))

    def _go_back(self, ends: PortEnds, end: InputEnd, count: int, error: Exception) -> bool:
        isolation = self._isolation or _Isolation(ends, count)
        if count == 1 and isolation.tries >= end.policy.retries:
            if not end.policy.skips:
                return False
            self._discard_unit()
            self._skip(ends, 1, error)
            self._isolation = isolation
            self.handed_out(ends, 1)
            return True
        self._discard_unit()
        with self._membership.changed:
            end.rewind()
        if ends.state == "ended":
            ends.state = "open"
        self._isolation = isolation
        if count == 1:
            self._back_off(ends, end.policy, isolation.tries, _words(error))
            isolation.tries += 1
        return True

    # --- telling ---

    def port_closed(self, ends: PortEnds) -> None:
        """Say how many records a port has skipped in all, unless the last warning did."""
        skipped = self._skipped.get(ends.ref.name)
        if skipped is not None and skipped.records > skipped.told:
            self._membership.tell(f"{self._place(ends)}: {skipped.records} records were skipped in all (errorPolicy)")

    def _skip(self, ends: PortEnds, count: int, error: BaseException | str) -> None:
        skipped = self._skipped.setdefault(ends.ref.name, _Skipped())
        skipped.records += count
        now = self._membership.clock.now()
        if now - skipped.told_at >= TELL_INTERVAL_S:
            skipped.told_at, skipped.told = now, skipped.records
            self._membership.tell(
                f"{self._place(ends)}: {count} records skipped (errorPolicy), {skipped.records} so far: {_words(error)}"
            )

    def _back_off(self, ends: PortEnds, policy: ErrorPolicy, tries: int, why: str) -> None:
        m = self._membership
        m.tell(
            f"{self._place(ends)}: a record cannot be handled, tried again in {policy.backoff_s:g} s "
            f"({tries + 1} of {policy.retries}, errorPolicy): {why}"
        )
        with m.changed:
            m.changed.wait_for(m.is_stopped, policy.backoff_s)

    def _refuse_two(self, ports: list[PortEnds]) -> None:
        if any(ends.input is not None and not ends.input.policy.is_fail for ends in ports):
            names = " and ".join(sorted(ends.ref.name for ends in ports))
            self._membership.tell(
                f"{self._membership.ref.name}: errorPolicy is not applied to an iteration in which more than one port handed "
                f"out records ({names}): which of them to blame is not known; retrieve from one port an iteration"
            )

    def _place(self, ends: PortEnds) -> str:
        return f"{self._membership.ref.name}.{ends.ref.name}"


def _words(error: BaseException | str) -> str:
    return error if isinstance(error, str) else f"{type(error).__name__}: {error}"
