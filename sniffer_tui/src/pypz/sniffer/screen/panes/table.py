"""The table: operators from left to right, a line each, their ports below them."""

from __future__ import annotations

from typing import ClassVar, Final

from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Resize
from textual.widgets import DataTable

from pypz.sniffer.model.frames import Selection
from pypz.sniffer.screen.pane import Pane, Watched
from pypz.sniffer.screen.styles import STYLES
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.table import COLUMNS, Cell, Row, row_at, rows_of

TABLE_WIDTHS: Final = (0, 16, 9, 6, 8)
"""Least widths of the columns but the first, which takes what is left, and the last, which needs a wide screen."""

NAME_WIDTHS: Final = (16, 32, 48)
"""Columns for a name: at least, before states get more, and at most (chosen)."""

STATE_WIDTH: Final = 34
"""Columns at most for a state: as many as a group in several states takes (chosen)."""

WAITS_FROM: Final = 104
"""Columns from which on there is room to say for whom a port waits."""

WAITS_WIDTH: Final = 20
"""Columns at least to say it (chosen)."""


class OperatorTable(DataTable[Text]):
    """The table, with Home and End for its first and last line."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("home", "scroll_top", show=False),
        Binding("end", "scroll_bottom", show=False),
    ]


class TablePane(Pane):
    """Shows rows, and writes only cells that changed."""

    DEFAULT_CSS = """
    TablePane { layout: vertical; }
    OperatorTable { height: 1fr; scrollbar-size: 1 1; }
    OperatorTable:focus { background-tint: transparent; }
    OperatorTable:nocolor > .datatable--cursor { text-style: reverse; }
    OperatorTable:nocolor > .datatable--header { text-style: underline; }
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._rows: dict[str, Row] = {}
        self._shown = Selection()

    def compose(self) -> ComposeResult:
        """Build the pane."""
        yield OperatorTable(cursor_type="row")

    @property
    def table(self) -> OperatorTable:
        """The table of operators and ports."""
        return self.query_one(OperatorTable)

    def focus_first(self) -> None:
        """Give the table the focus."""
        self.table.focus()

    def show(self, picture: Picture) -> None:
        """Draw rows, and move the cursor when something was selected elsewhere."""
        self._build_columns()
        frame, why = picture.frame, picture.diagnosis.members
        self._show_rows({row.key: row for row in rows_of(frame.pipeline, frame.members, picture.is_folded, why)})
        if picture.selection != self._shown:
            self._shown = picture.selection
            found = row_at(self._rows.values(), picture.selection)
            if found is not None and found.key != self._selected_key():
                self.table.move_cursor(row=list(self._rows).index(found.key))

    def on_resize(self, event: Resize) -> None:
        """Fit the columns into the new width."""
        self._build_columns()

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """The cursor was moved: tell everybody, unless it follows what was selected elsewhere."""
        row = self._rows.get(self._selected_key())
        if row is not None and row.selection != self._shown:
            self._shown = row.selection
            self.select(row.selection)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Fold or unfold the group of the row."""
        row = self._rows.get(str(event.row_key.value))
        if row is not None:
            self.toggle_fold(row.selection.group)

    # --- drawing ---

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
        before = self._rows.get(self._selected_key())
        scroll_y = table.scroll_y
        with self.app.batch_update():
            table.clear()
            for key, row in rows.items():
                cells = self._cells(row)
                self.cells_written += len(cells)
                table.add_row(*(self._text(cell, i) for i, cell in enumerate(cells)), key=key)
            found = None if before is None else row_at(rows.values(), before.selection)
            if before is not None and found is not None:
                is_same = found.key == before.key
                table.move_cursor(row=list(rows).index(found.key), scroll=not is_same)
            table.scroll_to(y=scroll_y, animate=False)

    def _build_columns(self) -> None:
        table = self.table
        width = (self.size.width or self.app.size.width) - 2
        columns = COLUMNS if width >= WAITS_FROM else COLUMNS[:-1]
        widths = list(TABLE_WIDTHS)
        left = width - sum(widths) - 2 * len(columns)
        has_waits = len(columns) > len(widths)
        if has_waits:
            widths.append(WAITS_WIDTH)
            left -= WAITS_WIDTH
        for i, most in ((0, NAME_WIDTHS[1]), (1, STATE_WIDTH), (0, NAME_WIDTHS[2])):
            more = max(0, min(most - widths[i], left))
            widths[i] += more
            left -= more
        widths[0] = max(NAME_WIDTHS[0], widths[0])
        if has_waits:
            widths[-1] += left
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
        text = cell.text if len(cell.text) <= width else cell.short or cell.text
        text = text if len(text) <= width else f"{text[: width - 1]}…"
        style = STYLES[cell.tone] if column or text.startswith(" ") else "bold"  # operators stand out from their ports
        return Text(text, style, justify="right" if cell.is_number else "left", no_wrap=True)

    def _selected_key(self) -> str:
        table = self.table
        keys = list(self._rows)
        return keys[table.cursor_row] if 0 <= table.cursor_row < len(keys) and table.row_count == len(keys) else ""
