"""When Python looks for garbage while a screen is up: all of it only when nobody presses keys.

With a thousand members a full search takes over 0.1 s (measured with 1,000 channel ends), and by itself Python begins it in
the middle of whatever is going on, a key press for instance.
"""

from __future__ import annotations

import gc
import time
from typing import Final

NEVER: Final = 1 << 30
"""Searches of younger objects before all are searched."""

QUIET_S: Final = 2.0
"""Seconds without a key that show that nobody waits for the screen just now (chosen)."""

LATEST_S: Final = 60.0
"""Seconds after which it is done in any case (chosen)."""

INTERVAL_S: Final = 10.0
"""Seconds between two looks whether it is time (chosen)."""


class GarbageSearch:
    """Puts full searches where they do not disturb, from `begin` to `end`."""

    def __init__(self) -> None:
        self._before = gc.get_threshold()
        self._key_at = self._done_at = time.monotonic()

    def begin(self) -> None:
        """Leave full searches to `look`."""
        gc.set_threshold(self._before[0], self._before[1], NEVER)

    def note_key(self) -> None:
        """Somebody waits for the screen."""
        self._key_at = time.monotonic()

    def look(self) -> bool:
        """Search when nobody seems to wait, or when it was long ago; gives whether it did."""
        now = time.monotonic()
        if now - self._key_at < QUIET_S and now - self._done_at < LATEST_S:
            return False
        gc.collect()
        self._done_at = time.monotonic()
        return True

    def end(self) -> None:
        """Leave it to Python again."""
        gc.set_threshold(*self._before)
