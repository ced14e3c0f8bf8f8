"""A member's note: beside a position on the pipeline's topic of facts, committed in a group of the member's own."""

from __future__ import annotations

import base64
import binascii
from typing import Final

from pypz.core.channels.spi import Committed, Member, MemberNote
from pypz.core.commons.errors import ChannelGoneError, RetriableError
from pypz.plugins.kafka_io.status import FACTS
from pypz.plugins.kafka_io.topics import Topics

PARTITION: Final = 0
"""The topic of facts has this one."""


class MemberNotes:
    """Reads and writes the note of one member; the text beside the position is the note in base64."""

    def __init__(self, topics: Topics, member: Member, epoch: int) -> None:
        self._topics = topics
        self._topic = member.pipeline + FACTS
        self._group = f"{member.operator}.{member.index}"
        self._epoch = epoch

    def read(self, timeout_s: float) -> MemberNote | None:
        """Give what stands; None for nothing, and for what is no note."""
        try:
            place = self._topic, PARTITION
            found = self._topics.group(self._group).committed([place], timeout_s).get(place)
        except ChannelGoneError:
            return None
        try:
            value = base64.b64decode(found.note, validate=True) if found else b""
        except (binascii.Error, ValueError):
            return None
        return MemberNote(value) if value else None

    def write(self, note: MemberNote, timeout_s: float) -> None:
        """Store it; the position says which start did, by its epoch.

        Raises:
            RetriableError: Nobody answers, or not now.
            TransportError: It cannot be stored.
        """
        committed = Committed(str(self._epoch), base64.b64encode(note.value).decode("ascii"))
        try:
            self._topics.group(self._group).commit({(self._topic, PARTITION): committed}, timeout_s)
        except RetriableError as error:
            raise RetriableError(f"the member's note: {error}") from error
