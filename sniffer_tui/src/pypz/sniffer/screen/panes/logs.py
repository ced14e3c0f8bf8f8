"""Logs: what members log, of those selected or of all, by level and text, followed."""

from __future__ import annotations

import threading
import time
from typing import ClassVar, Final

from rich.cells import cell_len, set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Hide, Resize, Show
from textual.geometry import Size
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Static

from pypz.core.channels.runs.whole import status_name
from pypz.sniffer.model.frames import Selection
from pypz.sniffer.screen.pane import Pane, Watched
from pypz.sniffer.sources.logs import LEVELS, LogBook, LogFeed, LogFilter, LogLine, PodFeed, own_context
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.table import short_name

LOOK_INTERVAL_S: Final = 0.2
"""Lines are drawn at most five times a second (design)."""

ROWS_KEPT: Final = 20_000
"""Rows on the screen's side: a line with a traceback has many (chosen)."""

LEVEL_STYLES: Final = {
    "ERROR": Style(color="red", bold=True),
    "WARNING": Style(color="yellow"),
    "DEBUG": Style(dim=True),
}
DIM: Final = Style(dim=True)
FOUND: Final = Style(reverse=True)


class LinesView(ScrollView, can_focus=True):
    """Rows of text; only those that are to be seen are drawn, and only when there are others."""

    DEFAULT_CSS = """
    LinesView { height: 1fr; padding: 0 0 0 1; scrollbar-size: 0 1; }
    """

    def __init__(self) -> None:
        super().__init__()
        self._rows: list[Strip] = []
        self.is_following = True
        self.rows_drawn = 0
        """Rows drawn so far."""

    @property
    def rows(self) -> list[str]:
        """All rows, as text."""
        return [row.text.rstrip() for row in self._rows]

    def set_rows(self, rows: list[Strip]) -> None:
        """Show these instead of all others."""
        self._rows = rows[-ROWS_KEPT:]
        self._fit()
        self.refresh()

    def add_rows(self, rows: list[Strip]) -> None:
        """Show these below."""
        if rows:
            gone = max(0, len(self._rows) + len(rows) - ROWS_KEPT)
            self._rows = [*self._rows[gone:], *rows]
            self._fit()
            if gone and not self.is_following:
                self.scroll_to(y=max(0, self.scroll_offset.y - gone), animate=False)
            self.refresh()

    def _fit(self) -> None:
        width = max((row.cell_length for row in self._rows), default=0)
        self.virtual_size = Size(width, len(self._rows))
        if self.is_following:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)

    def on_resize(self, event: Resize) -> None:
        """Stay at the last row."""
        if self.is_following:
            self.scroll_end(animate=False, force=True, immediate=True, x_axis=False)

    def render_line(self, y: int) -> Strip:
        """Draw a row."""
        self.rows_drawn += 1
        left, top = self.scroll_offset
        width = self.scrollable_content_region.width
        if not 0 <= top + y < len(self._rows):
            return Strip.blank(width, self.rich_style)
        row = self._rows[top + y]
        shown = row.crop_extend(left, left + width, None)
        if row.cell_length > left + width:
            shown = Strip([*shown.crop(0, width - 1), Segment("…", DIM)])
        return shown.apply_style(self.rich_style)

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow as long as the last row is to be seen; that there are fewer rows now is no scrolling."""
        super().watch_scroll_y(old_value, new_value)
        if new_value >= self.max_scroll_y:
            self.is_following = True
        elif new_value < old_value:
            self.is_following = False


class LogsPane(Pane):
    """Fetches lines while it is shown, and draws those that pass its filter."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("v", "level", "level"),
        Binding("a", "all", "all/selected"),
        Binding("left_square_bracket", "member(-1)", "operator before", show=False),
        Binding("right_square_bracket", "member(1)", "next operator", show=False),
        Binding("space", "follow", "follow"),
        Binding("w", "wrap", "wrap"),
        Binding("c", "clear", "clear"),
        Binding("s", "source", "source", show=False),
    ]

    DEFAULT_CSS = """
    LogsPane { layout: vertical; }
    LogsPane #what { height: 1; padding: 0 1; text-style: bold; text-wrap: nowrap; text-overflow: ellipsis; }
    LogsPane #missing { height: auto; max-height: 2; padding: 0 1; color: $warning; display: none; }
    LogsPane #missing.shown { display: block; }
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._streams = LogBook(watched.model.pipeline)
        self._containers = LogBook(watched.model.pipeline)
        self._feed: LogFeed | None = None
        self._pods: PodFeed | None = None
        self._is_of_containers = False
        self._is_of_all = True
        self._level = LEVELS[0]
        self._text = ""
        self._is_wrapped = False
        self._picture: Picture | None = None
        self._filter = LogFilter()
        self._mark = (-1, 0)
        self._count = 0
        self._name_width = 0
        self._is_fetching = False

    def compose(self) -> ComposeResult:
        """Build the pane."""
        yield Static(id="what", markup=False)
        yield Static(id="missing", markup=False)
        yield LinesView()

    @property
    def view(self) -> LinesView:
        """The rows."""
        return self.query_one(LinesView)

    @property
    def filter(self) -> LogFilter:
        """Which lines are shown."""
        return self._filter

    def focus_first(self) -> None:
        """Give the rows the focus, so that they scroll."""
        self.view.focus()

    # --- fetching -----------------------------------------------------------------------------------------------------

    def on_mount(self) -> None:
        """Look for new lines from now on."""
        self.set_interval(LOOK_INTERVAL_S, self._look)

    def on_show(self, event: Show) -> None:
        """Fetch lines."""
        self._is_fetching = True
        self._fetch()

    def on_hide(self, event: Hide) -> None:
        """Fetch none while nobody looks."""
        self._stop()

    def on_unmount(self) -> None:
        """Fetch no more."""
        self._stop()

    def _fetch(self) -> None:
        if self._is_of_containers:
            if self._pods is None and self.watched.deployment is not None:
                self._pods = PodFeed(self._containers, self.watched.deployment)
            self._follow_containers()
        elif self._feed is None and self.watched.pipeline is not None:
            self._feed = LogFeed(self._streams, status_name(self.watched.pipeline), self.watched.locations)
            self._feed.start()

    def _stop(self) -> None:
        self._is_fetching = False
        feed, self._feed = self._feed, None
        pods, self._pods = self._pods, None
        for closing in (feed, pods):
            if closing is not None:  # who closes may wait for a broker, the screen does not
                threading.Thread(target=closing.close, name="pypz-sniffer-logs-close", daemon=True).start()

    def _follow_containers(self) -> None:
        if self._pods is not None and self._picture is not None:
            members = [member.name for member in self._picture.frame.members]
            wanted = [name for name in members if self._filter.members is None or name in self._filter.members]
            self._pods.follow(wanted)

    @property
    def _book(self) -> LogBook:
        return self._containers if self._is_of_containers else self._streams

    # --- drawing ------------------------------------------------------------------------------------------------------

    def show(self, picture: Picture) -> None:
        """Take over what is selected, and draw lines if it changes which ones are shown."""
        self._picture = picture
        names = [short_name(member.name, picture.frame.pipeline) for member in picture.frame.members]
        width = min(24, max((cell_len(name) for name in names), default=0))
        if width != self._name_width:
            self._name_width = width
            self._mark = (-1, 0)
        self._use_filter()
        self._look()

    def _use_filter(self) -> None:
        picture = self._picture
        if picture is None:
            return
        members = None if self._is_of_all else frozenset(member.name for member in picture.selected_members)
        wanted = LogFilter(self._level, self._text, members, "" if self._is_of_containers else picture.frame.run)
        if wanted != self._filter:
            self._filter = wanted
            self._mark = (-1, 0)
            if self._is_fetching and self._is_of_containers:
                self._follow_containers()

    def _look(self) -> None:
        """Draw what has come."""
        if not self.display or not self.is_mounted:
            return
        mark, lines = self._book.since(self._mark)
        if lines is None:
            taken = [line for line in self._book.lines() if self._filter.takes(line)]
            self._count = len(taken)
            self.view.set_rows([row for line in taken for row in self._rows_of(line)])
        elif lines:
            taken = [line for line in lines if self._filter.takes(line)]
            self._count += len(taken)
            self.view.add_rows([row for line in taken for row in self._rows_of(line)])
        self._mark = mark
        self._tell()

    def _tell(self) -> None:
        what, missing = self._what(), self._book.notice
        line = self.query_one("#what", Static)
        if line.content != what:
            line.update(what)
        notice = self.query_one("#missing", Static)
        if notice.content != missing:
            notice.update(missing)
            notice.set_class(bool(missing), "shown")

    def _what(self) -> str:
        """Say in words which lines are shown."""
        picture = self._picture
        if picture is None or (not self._is_of_containers and self.watched.pipeline is None):
            return "no log lines: it is not known where they are"
        if self._is_of_all:
            whose = "all operators"
        else:
            names = [short_name(member.name, picture.frame.pipeline) for member in picture.selected_members]
            whose = (
                names[0] if len(names) == 1 else f"{picture.selection.group.rpartition('.')[2]}, {len(names)} members"
            )
        level = {"DEBUG": "all levels", "ERROR": "errors"}.get(self._level, f"{self._level} and above")
        parts = ["1 line" if self._count == 1 else f"{self._count:,} lines", whose, level]
        if self._text:
            parts.append(f"with '{self._text}'")
        parts.append("following" if self.view.is_following else "not following (space, End)")
        if self._is_of_containers:
            parts.append("of containers")
        return " · ".join(parts)

    def _rows_of(self, line: LogLine) -> list[Strip]:
        """One row for each line of the text, more of them where it is wrapped."""
        stamp = "        " if line.at_utc is None else time.strftime("%H:%M:%S", time.localtime(line.at_utc))
        name = set_cell_size(short_name(line.member, self.watched.model.pipeline), self._name_width)
        style = LEVEL_STYLES.get(line.level, Style())
        head = [
            Segment(f"{stamp} ", DIM),
            Segment(f"{line.level:<7} ", style),
            Segment(f"{name} ", Style(bold=True)),
        ]
        context = " ".join(own_context(line))
        width = sum(cell_len(segment.text) for segment in head)
        rows: list[Strip] = []
        for number, raw in enumerate(line.text.expandtabs(4).split("\n")):
            text = "".join(
                char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in raw.removesuffix("\r")
            )
            shown = Text(f"{context}: {text}" if context and not number else text, style)
            if context and not number:
                shown.stylize(DIM, 0, len(context) + 1)
            if self._text:
                shown.highlight_words([self._text], FOUND, case_sensitive=False)
            for part in self._parts_of(shown, self.view.size.width - width):
                before = head if not rows else [Segment(" " * width)]
                rows.append(Strip([*before, *part.render(self.app.console, end="")]))
        return rows

    def _parts_of(self, text: Text, width: int) -> list[Text]:
        if not self._is_wrapped or width < 10 or cell_len(text.plain) <= width:
            return [text]
        return list(text.wrap(self.app.console, width))

    def on_resize(self, event: Resize) -> None:
        """Wrap anew."""
        if self._is_wrapped:
            self._mark = (-1, 0)

    # --- keys ---------------------------------------------------------------------------------------------------------

    def search(self, text: str, step: int, picture: Picture) -> bool:
        """Show only lines that hold the text, their member's name or their context included; `n` and `N` scroll by a page."""
        if step:
            (self.view.action_page_down if step > 0 else self.view.action_page_up)()
            return self._count > 0
        self._text = text
        self._show_anew()
        return self._count > 0

    def action_level(self) -> None:
        """Show lines of the next higher level only; after errors, all again."""
        self._level = LEVELS[(LEVELS.index(self._level) + 1) % len(LEVELS)]
        if self._level == "INFO" and not any(line.level == "DEBUG" for line in self._book.lines()):
            self._level = "WARNING"
        self._show_anew()

    def action_all(self) -> None:
        """Show lines of what is selected only, or of all."""
        self._is_of_all = not self._is_of_all
        self._show_anew()

    def action_member(self, step: int) -> None:
        """Show lines of the operator before or of the next one."""
        if self._picture is not None and (groups := list(self._picture.groups)):
            here = groups.index(self._picture.selection.group) if self._picture.selection.group in groups else -step
            self._is_of_all = False
            self.select(Selection(groups[(here + step) % len(groups)]))
            self._show_anew()

    def action_follow(self) -> None:
        """Stay at the newest line, or where it is now."""
        self.view.is_following = not self.view.is_following
        if self.view.is_following:
            self.view.scroll_end(animate=False)
        self._tell()

    def action_wrap(self) -> None:
        """Wrap rows that are too long, or cut them."""
        self._is_wrapped = not self._is_wrapped
        self._mark = (-1, 0)
        self._look()

    def action_clear(self) -> None:
        """Show lines of every level and text."""
        self._level, self._text = LEVELS[0], ""
        self._show_anew()

    def action_source(self) -> None:
        """Show what containers write instead of the log stream, or the stream again, where the pipeline is deployed."""
        if self.watched.deployment is None:
            self.app.bell()
            return
        self._is_of_containers = not self._is_of_containers
        self._mark = (-1, 0)
        self._fetch()
        self._show_anew()

    def _show_anew(self) -> None:
        self._use_filter()
        self._look()
