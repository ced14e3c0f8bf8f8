"""How Python looks for garbage while a screen is up: among all when nobody presses keys, among what is new between two keys.

With a thousand members a full search takes over 0.1 s (measured with 1,000 channel ends), and by itself Python begins it in
the middle of whatever is going on, a key press for instance. What has been searched once is therefore set aside (frozen):
later searches look at what came since, which is little, so that garbage of dialogs goes soon and quickly.
"""

from __future__ import annotations

import gc
import time
from typing import Final

QUIET_S: Final = 2.0
"""Seconds without a key that show that nobody waits for the screen just now (chosen)."""

FULL_INTERVAL_S: Final = 10.0
"""Seconds between two searches of everything (chosen)."""

DRAWN_S: Final = 0.15
"""Seconds behind a key after which what it asked for is drawn (chosen: half as much again as the goal for that)."""

LOOK_INTERVAL_S: Final = 0.25
"""Seconds between two looks whether it is time (chosen)."""

SEARCH_FROM: Final = 5
"""Searches of younger objects since the last one of all that is new, from which on there is one (chosen: half of Python's)."""

PYTHONS_OWN: Final = 40
"""The same, from which on Python does it by itself, should keys come without end (chosen)."""


class GarbageSearch:
    """Puts searches where they do not disturb, from `begin` to `end`."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._key_at = self._full_at = time.monotonic()

    def begin(self) -> None:
        """Set aside all that there is."""
        gc.set_threshold(*self._before[:2], PYTHONS_OWN)
        _set_aside()

    def note_key(self) -> None:
        """Somebody waits for the screen."""
        self._key_at = time.monotonic()

    def look(self) -> None:
        """Search when nobody seems to wait."""
        now = time.monotonic()
        if now - self._key_at >= QUIET_S and now - self._full_at >= FULL_INTERVAL_S:
            gc.unfreeze()
            gc.collect()
            _set_aside()
            self._full_at = time.monotonic()
        elif now - self._key_at >= DRAWN_S and gc.get_count()[2] >= SEARCH_FROM:
            gc.collect()

    def end(self) -> None:
        """Leave it to Python again."""
        gc.set_threshold(*self._before)
        gc.unfreeze()


def _set_aside() -> None:
    gc.freeze()
    gc.collect()  # of nothing, so that Python knows how little is left: it searches when a quarter has come to that
