"""Details: all that is known of the operator or the port that is selected."""

from __future__ import annotations

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.widgets import Static

from pypz.sniffer.description import Description
from pypz.sniffer.details import LABEL, Line, details_of
from pypz.sniffer.frames import Selection
from pypz.sniffer.picture import Picture
from pypz.sniffer.screen.pane import Pane, Watched
from pypz.sniffer.screen.styles import STYLES
from pypz.sniffer.texts import one_line


class DetailsPane(Pane):
    """Shows lines, and writes them only when they changed."""

    DEFAULT_CSS = """
    DetailsPane { layout: vertical; }
    DetailsPane VerticalScroll { height: 1fr; padding: 0 1; }
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._description = None if watched.pipeline is None else Description(watched.pipeline)
        self._shown: list[Line] = []
        self._selection = Selection()

    def compose(self) -> ComposeResult:
        """Build the pane."""
        with VerticalScroll():
            yield Static(id="details", markup=False)

    def focus_first(self) -> None:
        """Give the lines the focus, so that they scroll."""
        self.query_one(VerticalScroll).focus()

    def show(self, picture: Picture) -> None:
        """Draw the lines; another selection is shown from its first line on."""
        lines = details_of(picture, self.watched.model, self._description)
        if lines != self._shown:
            self._shown = lines
            self.query_one("#details", Static).update(Text("\n").join(_text(line) for line in lines))
        if picture.selection != self._selection:
            self._selection = picture.selection
            self.query_one(VerticalScroll).scroll_home(animate=False)


def _text(line: Line) -> Text:
    told = one_line(line.text)
    if line.is_heading:
        text = Text(one_line(line.label), "bold")
        return text.append(f"  {told}", STYLES["dim"]) if told else text
    label = f"{one_line(line.label):<{LABEL - 1}} " if line.label else "  "
    return Text().append(label, STYLES["dim"]).append(told, STYLES[line.tone])
