"""What the keys and words of the screen mean."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Key
from textual.screen import ModalScreen
from textual.widgets import Static

from pypz.sniffer.model.frames import Mood
from pypz.sniffer.wording.table import SYMBOLS

WORDS: Final = f"""\
Number before a name: place in the pipeline, from left to right
records  sent or taken by the newest start of the operator
per s    records a second over the last five seconds
lag      records that wait to be read and committed;
         <=n: n at most, the exact number is not known
lost     no sign of life for some five seconds, yet not finished

{"  ".join(f"{SYMBOLS[mood]} {mood.value}" for mood in list(Mood)[:4])}
{"  ".join(f"{SYMBOLS[mood]} {mood.value}" for mood in list(Mood)[4:])}
"""

SCROLLING: Final = frozenset({"up", "down", "pageup", "pagedown", "home", "end"})


class HelpScreen(ModalScreen[None]):
    """Explains keys and words until a key is pressed.

    Args:
        keys: Each key and what it does.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("q", "app.quit", show=False)]
    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 90%; max-width: 84; height: auto; max-height: 100%; border: round $primary; padding: 0 1;
        scrollbar-size: 1 1;
    }
    """

    def __init__(self, keys: Iterable[tuple[str, str]]) -> None:
        super().__init__()
        self._keys = list(keys)

    def compose(self) -> ComposeResult:
        """Build the screen."""
        keys = "\n".join(f"{key:<9}{meaning}" for key, meaning in self._keys)
        with VerticalScroll():
            yield Static(f"What the operators of a pipeline and their ports do\n\n{keys}\n\n{WORDS}", markup=False)

    def on_key(self, event: Key) -> None:
        """Close at any key but those that scroll."""
        if event.key not in SCROLLING and self.is_current:  # of two keys that come at once the second finds it closed
            self.dismiss()
