"""The sniffer's screen: operators and ports, redrawn at most five times a second, and only where they changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from typing import ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.events import Key, Resize
from textual.screen import ModalScreen
from textual.widgets import DataTable, Footer, Static

from pypz.sniffer.frames import Frame, Mood
from pypz.sniffer.model import PipelineModel
from pypz.sniffer.reasons import Diagnosis, Verdict, diagnose
from pypz.sniffer.table import COLUMNS, FOLD_ABOVE, SYMBOLS, TONES, Cell, Row, elapsed_words, rows_of

FRAME_INTERVAL_S: Final = 0.2
"""At most five frames a second (design)."""

TABLE_WIDTHS: Final = (0, 16, 9, 6, 8)
"""Widths of the columns but the first, which takes what is left, and the last, which needs a wide screen."""

NAME_WIDTH: Final = range(16, 49)

WAITS_FROM: Final = 104
"""Columns from which on there is room to say for whom a port waits."""

DETAIL_FROM: Final = 12
"""Lines from which on there is room for details of the selected row."""

STYLES: Final = {"": "", "good": "green", "warn": "yellow", "bad": "bold red", "dim": "dim"}

_STYLE_OF: Final = {Verdict.FAILED: "bold red", Verdict.STUCK: "bold red"}

HELP: Final = f"""\
What the operators of a pipeline and their ports do

arrows, Page Up, Page Down, Home, End: move
f       fold or unfold the replicas of all operators
enter   fold or unfold the replicas of this operator
?       this help; any key closes it
q       quit, as Ctrl-C does; the pipeline goes on

Number before a name: place in the pipeline, from left to right
records  sent or taken by the newest start of the operator
per s    records a second over the last five seconds
lag      records that wait to be read and committed;
         <=n: n at most, the exact number is not known
lost     no sign of life for five seconds, yet not finished

{"  ".join(f"{SYMBOLS[mood]} {mood.value}" for mood in list(Mood)[:4])}
{"  ".join(f"{SYMBOLS[mood]} {mood.value}" for mood in list(Mood)[4:])}
"""


SCROLLING: Final = frozenset({"up", "down", "pageup", "pagedown", "home", "end"})


class HelpScreen(ModalScreen[None]):
    """Explains keys and words until a key is pressed."""

    DEFAULT_CSS = """
    HelpScreen { align: center middle; }
    HelpScreen VerticalScroll {
        width: 90%; max-width: 84; height: auto; max-height: 100%; border: round $primary; padding: 0 1;
    }
    """

    def compose(self) -> ComposeResult:
        """Build the screen."""
        with VerticalScroll():
            yield Static(HELP, markup=False)

    def on_key(self, event: Key) -> None:
        """Close at any key but those that scroll."""
        if event.key not in SCROLLING:
            self.dismiss()


class OperatorTable(DataTable[Text]):
    """The table, with Home and End for its first and last line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]


class SnifferApp(App[None]):
    """Shows a model until the user quits."""

    TITLE = "pypz sniffer"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,ctrl+c,ctrl+q", "quit", "quit", key_display="q", priority=True),
        Binding("f", "fold_all", "fold replicas"),
        Binding("question_mark", "help", "help", key_display="?"),
    ]
    CSS = """
    #title { height: 1; padding: 0 1; background: $panel; }
    #notice { height: auto; max-height: 3; padding: 0 1; color: $warning; display: none; }
    #notice.shown { display: block; }
    .small #notice { max-height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    OperatorTable { height: 1fr; }
    OperatorTable:nocolor > .datatable--cursor { text-style: reverse; }
    OperatorTable:nocolor > .datatable--header { text-style: underline; }
    #detail { height: 4; padding: 0 1; border-top: solid $panel; display: none; }
    #detail.shown { display: block; }
    """

    def __init__(self, model: PipelineModel) -> None:
        has_no_color = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if has_no_color else None)  # so that Textual leaves colours out, not greys in
        if has_no_color:
            self.theme = "ansi-dark"
            os.environ["NO_COLOR"] = "1"  # Textual has taken it away from whatever this process starts
        self._model = model
        self._folded: dict[str, bool] = {}
        self._rows: dict[str, Row] = {}
        self._shown: tuple[int, int] = (-1, -1)
        self._screen_size = self.size
        self.cells_written = 0
        """Cells drawn so far: unchanged ones are not drawn again."""

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Static(id="title", markup=False)
        yield Static(id="notice", markup=False)
        yield OperatorTable(cursor_type="row")
        yield Static(id="detail", markup=False)
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Draw the first frame and go on."""
        self._handle_signals()
        self._screen_size = self.size
        self.set_class(self.size.height < DETAIL_FROM, "small")
        self._build_columns()
        self._refresh_frame()
        self.set_interval(FRAME_INTERVAL_S, self._tick)
        self.table.focus()

    @property
    def table(self) -> OperatorTable:
        """The table of operators and ports."""
        return self.screen_stack[0].query_one(OperatorTable)

    # --- keys ---

    def action_fold_all(self) -> None:
        """Fold all groups, or unfold them when none is left to fold."""
        groups = self._groups()
        fold = any(not self._is_folded(group, size) for group, size in groups.items())
        self._folded.update(dict.fromkeys(groups, fold))
        self._refresh_frame()

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Fold or unfold the group of the row."""
        row = self._rows.get(str(event.row_key.value))
        groups = self._groups()
        if row is not None and row.group in groups:
            self._folded[row.group] = not self._is_folded(row.group, groups[row.group])
            self._refresh_frame()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Tell more of the row."""
        self._show_detail()

    def action_help(self) -> None:
        """Explain keys and words."""
        self.push_screen(HelpScreen())

    def on_resize(self, event: Resize) -> None:
        """Fit the columns into the new width."""
        self._screen_size = event.size  # ours is still the old one
        self.set_class(event.size.height < DETAIL_FROM, "small")
        self._build_columns()
        self._refresh_frame()

    # --- drawing ---

    def _tick(self) -> None:
        if (self._model.version, int(time.monotonic())) != self._shown:
            self._refresh_frame()

    def _refresh_frame(self) -> None:
        self._shown = (self._model.version, int(time.monotonic()))
        frame = self._model.frame()
        found = diagnose(frame)
        self._show_title(frame, found)
        self._show_rows({row.key: row for row in rows_of(frame, self._is_folded, found.members)})
        self._show_detail()

    def _show_title(self, frame: Frame, found: Diagnosis) -> None:
        title = Text(overflow="ellipsis", no_wrap=True)
        title.append(frame.pipeline, "bold")
        if frame.run:
            title.append(f"  {SYMBOLS[frame.mood]} {frame.mood.value}", STYLES[TONES[frame.mood]])
            if frame.elapsed_s or not frame.had_ended:
                title.append(f"  {elapsed_words(frame.elapsed_s)}")
            title.append(f"  run {frame.run}")
            title.append(f"  {found.why}", _STYLE_OF.get(found.verdict, ""))
        else:
            title.append("  waits for the run to start", STYLES["warn"])
        self._set_text("#title", title)
        self.screen_stack[0].query_one("#notice", Static).set_class(bool(frame.notice), "shown")
        self._set_text("#notice", Text(frame.notice))

    def _set_text(self, selector: str, text: Text) -> None:
        widget = self.screen_stack[0].query_one(selector, Static)
        if widget.content != text:
            widget.update(text)

    def _show_rows(self, rows: dict[str, Row]) -> None:
        if list(rows) == list(self._rows) and self.table.row_count == len(rows):
            for key, row in rows.items():
                for i, (old, new) in enumerate(zip(self._cells(self._rows[key]), self._cells(row), strict=True)):
                    if old != new:
                        self.cells_written += 1
                        self.table.update_cell(key, COLUMNS[i], self._text(new, i))
        else:
            self._rebuild(rows)
        self._rows = rows

    def _rebuild(self, rows: dict[str, Row]) -> None:
        """Rows came or went: draw all of them, the cursor staying where it was."""
        table = self.table
        selected = self._selected_key()
        scroll_y = table.scroll_y
        with self.batch_update():
            table.clear()
            for key, row in rows.items():
                cells = self._cells(row)
                self.cells_written += len(cells)
                table.add_row(*(self._text(cell, i) for i, cell in enumerate(cells)), key=key)
            if selected in rows:
                table.move_cursor(row=list(rows).index(selected), scroll=False)
            elif selected in self._rows:
                group = self._rows[selected].group
                place = next((i for i, row in enumerate(rows.values()) if row.group == group), 0)
                table.move_cursor(row=place)
            table.scroll_to(y=scroll_y, animate=False)

    def _build_columns(self) -> None:
        table = self.table
        width = self._screen_size.width - 2
        columns = COLUMNS if width >= WAITS_FROM else COLUMNS[:-1]
        widths = list(TABLE_WIDTHS)
        left = width - sum(widths) - 2 * len(columns)
        widths[0] = max(NAME_WIDTH[0], min(NAME_WIDTH[-1], left))
        if len(columns) > len(widths):
            widths[0] = min(40, left - 20)
            widths.append(left - widths[0])
        if [(c.label.plain, c.width) for c in table.ordered_columns] == list(zip(columns, widths, strict=True)):
            return
        selected = self._selected_key()
        table.clear(columns=True)
        for i, (column, wide) in enumerate(zip(columns, widths, strict=True)):
            table.add_column(Text(column, justify="right" if 2 <= i <= 4 else "left"), key=column, width=wide)
        rows, self._rows = self._rows, {}
        if rows:
            self._show_rows(rows)
            if selected in rows:
                table.move_cursor(row=list(rows).index(selected))

    def _cells(self, row: Row) -> tuple[Cell, ...]:
        return row.cells[: len(self.table.ordered_columns)]

    def _text(self, cell: Cell, column: int) -> Text:
        width = self.table.ordered_columns[column].width
        text = cell.text if len(cell.text) <= width else f"{cell.text[: width - 1]}…"
        return Text(text, STYLES[cell.tone], justify="right" if cell.is_number else "left", no_wrap=True)

    def _show_detail(self) -> None:
        detail = self.screen_stack[0].query_one("#detail", Static)
        row = self._rows.get(self._selected_key())
        detail.set_class(row is not None and self._screen_size.height >= DETAIL_FROM, "shown")
        self._set_text("#detail", Text("\n".join(row.detail if row else ()), no_wrap=True, overflow="ellipsis"))

    def _selected_key(self) -> str:
        table = self.table
        keys = list(self._rows)
        return keys[table.cursor_row] if 0 <= table.cursor_row < len(keys) and table.row_count == len(keys) else ""

    # --- folding ---

    def _is_folded(self, group: str, size: int) -> bool:
        return self._folded.get(group, size > FOLD_ABOVE)

    def _groups(self) -> dict[str, int]:
        """Groups with replicas, and their sizes."""
        sizes: dict[str, int] = {}
        for member in self._model.frame().members:
            sizes[member.group] = sizes.get(member.group, 0) + 1
        return {group: size for group, size in sizes.items() if size > 1}

    # --- end ---

    def _handle_signals(self) -> None:
        """Let SIGINT and SIGTERM leave the terminal as it was."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError, ValueError):
                    asyncio.get_running_loop().add_signal_handler(number, self.exit)
