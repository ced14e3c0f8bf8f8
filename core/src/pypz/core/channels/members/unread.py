"""What nobody has read of a channel whose writers and readers have all ended: counted before it is deleted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pypz.core.channels.headers import DATA, END, INCARNATION, KIND, RUN, WRITER, Note, count_of
from pypz.core.channels.roster import Writers
from pypz.core.channels.spi import ChannelClient, ChannelInfo, Received
from pypz.core.commons.clock import PROCESS_CLOCK

COUNT_S: Final = 30.0
"""Seconds that counting may take (chosen); what was counted by then is told as "at least"."""
SILENT_S: Final = 2.0
"""Seconds without an entry after which there is none, if the transport says so, too (chosen: some answers of a broker)."""
READ_BLOCKS: Final = 64
"""Blocks asked for at once (chosen)."""


class Unread:
    """Counts the records of one group behind its committed positions, up to the end of every writer."""

    def __init__(
        self,
        client: ChannelClient,
        info: ChannelInfo,
        group: str,
        run: str,
        writers: Writers,
        retired: frozenset[str] = frozenset(),
        *,
        now: Callable[[], float] = PROCESS_CLOCK.now,
    ) -> None:
        """Go to the committed positions.

        Args:
            client: Of its own: it reads nothing else.
            info: The channel.
            group: Whose positions count.
            run: Whose ends count.
            writers: The roster's.
            retired: Those of them that have written no end, and will not.
            now: Gives the seconds by which the client's time-outs go.
        """
        self.records = 0
        self._client = client
        self._now = now
        self._info = info
        self._run = run
        self._writers = writers
        self._skip: dict[int, int] = {}
        self._missing: dict[int, set[str]] = {}
        reader = self._reader = client.reader(info, group, list(range(info.partitions)), None)
        for number in range(info.partitions):
            committed = reader.committed(number)
            note = Note.decode(committed.note, writers) if committed else Note("", "")
            if committed is None or note.incarnation not in ("", info.incarnation):
                committed, note = None, Note("", "")
            self._skip[number] = note.index
            self._missing[number] = set(writers.now) - retired - (note.ended if note.run == run else set())
            reader.seek(number, committed.position if committed else "first")

    def count(self, timeout_s: float = COUNT_S) -> bool:
        """Read on to the ends; whether all of them were found in time, else `records` is too low."""
        deadline = self._now() + timeout_s
        while any(self._missing.values()):
            left_s = deadline - self._now()
            if left_s <= 0:
                return False
            for block in self._client.read(READ_BLOCKS, left_s):
                self._take(block)
        return True

    def has_any(self) -> bool:
        """Whether there is a record, of whichever run; asks no longer than until nothing has come for a while."""
        while True:
            found = self._client.read(READ_BLOCKS, SILENT_S)
            for block in found:
                self._take(block)
            if self.records:
                return True
            if not found and not sum(self._reader.lag().values()):
                return False

    def _take(self, block: Received) -> None:
        headers = block.block.headers
        skipped = self._skip.pop(block.partition, 0)
        if headers.get(INCARNATION, self._info.incarnation) != self._info.incarnation:
            return
        if headers.get(KIND, DATA) == DATA:
            self.records += count_of(headers) - skipped
        elif headers.get(KIND) == END and headers.get(RUN) == self._run:
            self._missing[block.partition].discard(headers.get(WRITER, ""))
