"""Figures of a member's ports for observers: told when they changed, at most twice a second each."""

from __future__ import annotations

from typing import Final

from pypz.core.channels import pool
from pypz.core.channels.ends.client_loop import ClientLoop
from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.members.membership import Membership, PortEnds
from pypz.core.commons.clock import growing_utc
from pypz.core.commons.errors import ChannelGoneError
from pypz.core.hooks.events import ChannelStatus

STATUS_INTERVAL_S: Final = 0.5
"""Seconds between two figures of a port (design 2: twice a second at most)."""

PARTITIONS_TOLD: Final = 32
"""Partitions that a port tells at most, so that its figures stay small (chosen)."""


class Figures:
    """Tells the figures of all ports of one member."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._quiet: set[pool.Address] = set()
        """Clients whose threads sleep because none of their figures is due."""
        self._without_lag: set[str] = set()
        """Channels of which it was said that their lag cannot be told."""

    def stir(self) -> None:
        """Records move: have sleeping clients' threads tell the figures again."""
        while self._quiet:
            loop = self._membership.loops.get(self._quiet.pop())
            if loop is not None:
                loop.wake()

    def tell_all(self) -> None:
        """Tell what changed of all ports, at once."""
        for ends in self._membership.ends.values():
            self._tell(ends, at_once=True)

    def tell_due(self, address: pool.Address, loop: ClientLoop) -> float | None:
        """On a client's thread: tell what is due of its ports; gives the seconds until the next, None: when something happens."""
        m = self._membership
        self._quiet.add(address)
        moments = [self._tell(ends) for ends in list(m.ends.values()) if m.loops.get(ends.address) is loop]
        due = min((moment for moment in moments if moment is not None), default=None)
        if due is not None:
            self._quiet.discard(address)
        return None if due is None else max(0.0, due - m.clock.now())

    def _tell(self, ends: PortEnds, at_once: bool = False) -> float | None:
        """Tell the figures of a port that changed; gives the moment when it may tell again, None: when something happens."""
        next_due: float | None = None
        for status in self._of(ends):
            told = ends.told.get(status.channel)
            if told is not None and _same(told, status):
                continue
            moment = ends.told_at.get(status.channel, float("-inf")) + STATUS_INTERVAL_S
            now = self._membership.clock.now()
            if now < moment and not at_once and told is not None and told.state == status.state:
                next_due = moment if next_due is None else min(moment, next_due)
                continue
            ends.told[status.channel] = status
            ends.told_at[status.channel] = now
            self._membership.host.channel_status(status)
            next_due = now + STATUS_INTERVAL_S
        return next_due

    def _of(self, ends: PortEnds) -> list[ChannelStatus]:
        if ends.input is not None:
            return [self._of_input(ends, ends.input)]
        return [
            ChannelStatus(
                ends.ref,
                name,
                ends.state,
                out.records,
                out.blocks,
                out.size_bytes,
                at_utc=growing_utc(),
                partitions=tuple(range(out.info.partitions)[:PARTITIONS_TOLD]),
            )
            for name, out in ends.outputs.items()
        ]

    def _of_input(self, ends: PortEnds, end: InputEnd) -> ChannelStatus:
        m = self._membership
        entries, records = self._lag(ends, end)
        with m.changed:
            waits_for = "" if end.has_records() else end.waiting_for()
            in_hand = max(0, end.records - end.marked_records)
            places = {number: end.places[number].position for number in sorted(end.places)[:PARTITIONS_TOLD]}
        return ChannelStatus(
            ends.ref,
            end.info.name,
            ends.state,
            end.records,
            end.blocks,
            end.size_bytes,
            entries,
            records,
            waits_for,
            growing_utc(),
            tuple(places),
            tuple(places.values()),
            in_hand,
        )

    def _lag(self, ends: PortEnds, end: InputEnd) -> tuple[int | None, int | None]:
        """Entries and records that wait; the last ones told once the member has ended and its channel may be gone."""
        m = self._membership
        loop = m.loops.get(ends.address)
        if loop is None:
            return None, None
        try:
            return loop.call(lambda: (end.lag_entries(), end.lag_records()))
        except ChannelGoneError:
            if m.outcome is None:
                raise
            told = ends.told.get(end.info.name)
            return (told.lag_entries, told.lag_records) if told is not None else (None, None)
        except Exception as error:  # noqa: BLE001  # a figure less harms nobody
            if end.info.name not in self._without_lag:
                self._without_lag.add(end.info.name)
                m.tell(
                    f"channel {end.info.name!r}: how much of it waits cannot be told: {type(error).__name__}: {error}"
                )
            return None, None


def _same(one: ChannelStatus, other: ChannelStatus) -> bool:
    return _what_counts(one) == _what_counts(other)


def _what_counts(of: ChannelStatus) -> tuple[object, ...]:
    return of.state, of.records, of.blocks, of.lag_entries, of.lag_records, of.waits_for, of.in_hand
