"""How Python looks for garbage while a screen is up: among what is new at any time, among all only when nobody presses keys.

With a thousand members a full search takes over 0.1 s (measured with 1,000 channel ends), and by itself Python begins it in
the middle of whatever is going on, a key press for instance. What has been searched once is therefore set aside (frozen):
Python's own searches look at what came later, which is little, so that garbage of dialogs goes soon and quickly.
"""

from __future__ import annotations

import gc
import time
from typing import Final

QUIET_S: Final = 2.0
"""Seconds without a key that show that nobody waits for the screen just now (chosen)."""

INTERVAL_S: Final = 10.0
"""Seconds between two looks whether it is time (chosen)."""


class GarbageSearch:
    """Puts full searches where they do not disturb, from `begin` to `end`."""

    def __init__(self) -> None:
        self._key_at = time.monotonic()

    def begin(self) -> None:
        """Set aside all that there is."""
        _set_aside()

    def note_key(self) -> None:
        """Somebody waits for the screen."""
        self._key_at = time.monotonic()

    def look(self) -> bool:
        """Search everything when nobody seems to wait, and set aside what is left; gives whether it did."""
        if time.monotonic() - self._key_at < QUIET_S:
            return False
        gc.unfreeze()
        gc.collect()
        _set_aside()
        return True

    def end(self) -> None:
        """Leave it to Python again."""
        gc.unfreeze()


def _set_aside() -> None:
    gc.freeze()
    gc.collect()  # of nothing, so that Python knows how little is left: it searches when a quarter has come to that
