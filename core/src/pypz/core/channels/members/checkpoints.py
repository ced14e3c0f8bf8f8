"""The member note: what an operator stores of its own with each unit, and gets back when it starts again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pypz.core.channels.members.membership import Membership
from pypz.core.channels.spi import Guarantee, MemberNote
from pypz.core.commons.errors import CheckpointError

CHECKPOINT_BYTES: Final = 2048
"""Largest note (semantics: member note); in base64 it fits into what Kafka stores beside a position."""


class Checkpoints:
    """One member's note on its way: set by the running iteration, due once that has returned, then committed."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._standing = b""
        """Of an earlier start, or of the last unit that was closed."""
        self._open: bytes | None = None
        self._due: MemberNote | None = None
        self.commit_at_once: Callable[[MemberNote], None]
        """Stores a note before it returns; set by whoever commits."""

    # --- the operator ---

    def checkpoint(self, value: bytes) -> None:
        """Take the note of the unit that is going on.

        Raises:
            CheckpointError: It cannot be stored.
        """
        m = self._membership
        place = f"{m.ref.name}: checkpoint"
        if not isinstance(value, bytes):
            raise CheckpointError(
                f"{place} was given {type(value).__name__}, expected bytes; encode it, as json.dumps().encode()"
            )
        if len(value) > CHECKPOINT_BYTES:
            raise CheckpointError(
                f"{place} was given {len(value):,} bytes, at most {CHECKPOINT_BYTES:,} are stored; keep the rest elsewhere and "
                "store where that is"
            )
        if m.home_loop is None:
            raise CheckpointError(
                f"{place}: the operator has no open channel port, where its note would be kept; give it one"
            )
        if m.guarantee is Guarantee.AT_MOST_ONCE:
            self._store_at_once(place, value)
        else:
            self._open = value

    def _store_at_once(self, place: str, value: bytes) -> None:
        """At most once: the note is stored before anything is sent that would be sent again without it."""
        if any(output.has_unfinished() for output in self._membership.outputs()):
            raise CheckpointError(
                f"{place} came after a send of the same iteration, which may be on its way already; the deliveryGuarantee "
                "'at-most-once' needs the checkpoint first: call it before send()"
            )
        self.commit_at_once(MemberNote(value))
        self._standing = value

    def get_checkpoint(self) -> bytes | None:
        """What the operator would find after a restart, if nothing more came; None for nothing."""
        return (self._standing if self._open is None else self._open) or None

    # --- the session ---

    def found(self, note: MemberNote) -> None:
        """An earlier start has left this note."""
        self._standing = note.value

    @property
    def is_open(self) -> bool:
        """Whether the unit that is going on has a note."""
        return self._open is not None

    @property
    def is_due(self) -> bool:
        """Whether a note waits for its commit."""
        return self._due is not None

    def close_unit(self) -> bool:
        """The iteration has returned; tells whether it left a note. With the lock held, as all below."""
        if self._open is None:
            return False
        self._standing, self._open = self._open, None
        self._due = MemberNote(self._standing)
        return True

    def discard(self) -> None:
        """Forget the note of the unit that is going on."""
        self._open = None

    def take_due(self) -> MemberNote | None:
        """Give what is to be committed now."""
        due, self._due = self._due, None
        return due

    def take_standing(self) -> bool:
        """Make the note that stands due again; tells whether there is one."""
        if self._due is None and self._standing:
            self._due = MemberNote(self._standing)
        return self._due is not None

    def put_back(self, note: MemberNote | None) -> None:
        """The commit failed: the note is due again, unless a later one is."""
        if self._due is None:
            self._due = note
