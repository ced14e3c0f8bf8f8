"""Channels that may grow past a transport's bound, where a writer that waits would wait for ever."""

from __future__ import annotations

from pypz.core.channels.spi import ChannelInfo
from pypz.core.hooks.loader import say


class Growth:
    """Lets the writers of an unbounded channel pass its bound, and says so once."""

    def __init__(self, info: ChannelInfo, place: str, bound_bytes: int | None) -> None:
        """Take the channel.

        Args:
            info: As the core has given it to `ChannelClient.writer`.
            place: The location, as users write it; without secrets.
            bound_bytes: Bytes that a channel holds before writers wait; None: as many as come.
        """
        self._info = info
        self._place = place
        self._bound_bytes = bound_bytes
        self._has_told = False

    def may_pass(self) -> bool:
        """Whether a block is taken although the channel is full."""
        if not self._info.is_unbounded:
            return False
        if not self._has_told:
            self._has_told = True
            say(
                f"{self._place}: channel {self._info.name!r} holds more than its bound of {self._bound_bytes} bytes and grows "
                "on: its reader waits for all its writers (sequentialModeEnabled), or is in a cycle with them"
            )
        return True
