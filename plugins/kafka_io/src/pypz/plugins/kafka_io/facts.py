"""What stands in a status stream, by its entries in order: the last value put, or the first one proposed."""

from __future__ import annotations

import uuid
from typing import Final

from pypz.core.channels.spi import StatusEntry

PROPOSAL: Final = "pypz-proposal"
"""Header of an entry whose key is ``<key>#<16 hexadecimal digits>``: a compacted topic keeps one entry a key, so that each
proposer needs one of its own."""
_SUFFIX: Final = 17


def proposal_key(key: str) -> str:
    """A key of one proposer for a fact."""
    return f"{key}#{uuid.uuid4().hex[:16]}"


class Facts:
    """Folds entries into standing facts; the same for every reader, and before and after compaction."""

    def __init__(self) -> None:
        self.standing: dict[str, StatusEntry] = {}
        self._source: dict[str, str] = {}
        self._proposals: dict[str, set[str]] = {}

    def apply(self, key: str, value: bytes | None, position: int, *, is_proposal: bool) -> StatusEntry | None:
        """Take the next entry; gives what changed by it, if anything did."""
        if not is_proposal:
            return self._put(key, key, value, position)
        plain = key[:-_SUFFIX]
        known = self._proposals.setdefault(plain, set())
        if value is None:
            known.discard(key)
            return self._put(plain, key, None, position) if self._source.get(plain) == key else None
        known.add(key)
        return None if plain in self.standing else self._put(plain, key, value, position)

    def _put(self, key: str, source: str, value: bytes | None, position: int) -> StatusEntry | None:
        entry = StatusEntry("fact", key, value, position)
        if value is None:
            self._source.pop(key, None)
            return entry if self.standing.pop(key, None) is not None else None
        self.standing[key] = entry
        self._source[key] = source
        return entry

    def proposals(self, key: str) -> set[str]:
        """Keys of all proposals for a fact that are still kept."""
        return set(self._proposals.get(key, ()))
