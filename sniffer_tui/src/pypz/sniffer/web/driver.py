"""The terminal's place is taken by a browser window: what is drawn goes to whoever has started this process."""

from __future__ import annotations

from textual.drivers.web_driver import WebDriver


class WindowDriver(WebDriver):
    """Textual's driver for browsers; ends the screen when the server is no more."""

    def run_input_thread(self) -> None:
        """Read until there is nobody left who could write."""
        super().run_input_thread()
        self._loop.call_soon_threadsafe(self._app.exit)
