"""The line of keys at the bottom."""

from __future__ import annotations

from textual.widgets import Footer


class KeyLine(Footer):
    """Textual's footer, but for the keys that are no longer shown: it would hold all of them, some twenty for each dialog.

    Each key follows the footer's ``compact``, and those that are gone are dropped when that is set (seen in Textual 8.2).
    """

    async def recompose(self) -> None:
        """Show the keys of now, and drop those of before."""
        await super().recompose()
        self.mutate_reactive(Footer.compact)
