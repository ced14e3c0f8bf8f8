"""Records: what is in the channel of the selected port, decoded, the latest first, and then what comes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from rich.cells import cell_len
from rich.text import Text
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Hide, Resize
from textual.timer import Timer
from textual.widget import Widget
from textual.widgets import Input, Static

from pypz.cli.peeking import Condition, Seen, codec_of_port
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.runs.whole import namespace_of, operators_of, status_name
from pypz.core.codecs.json import SCHEMA_TEXT
from pypz.core.codecs.spi import Codec
from pypz.core.hooks.host import PluginHost
from pypz.sniffer.model.frames import PortView
from pypz.sniffer.model.texts import lines
from pypz.sniffer.screen.pane import Pane, Watched
from pypz.sniffer.screen.styles import STYLES
from pypz.sniffer.sources.records import Records, Tail
from pypz.sniffer.wording.description import indented
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.sheet import joined, json_of, numeric_columns, read_where, table_of

LOOK_S: Final = 0.2
"""Seconds between two looks at what was read: five frames a second (design)."""

RANGES: Final = 4
"""Partitions whose positions are told (chosen)."""

WIDEST: Final = 28
"""Columns that one field takes at most, where there are several (chosen)."""


class Sheet(Widget, can_focus=True):
    """The records as lines; it only gives the keys a place."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move_page(-1)", show=False),
        Binding("pagedown", "move_page(1)", show=False),
        Binding("home", "move_first", show=False),
        Binding("end", "follow", "follow"),
        Binding("space", "hold", "hold"),
        Binding("enter", "whole", "whole"),
        Binding("b", "begin", "first"),
        Binding("s", "schema", "schema"),
        Binding("w", "ask('where')", "where"),
        Binding("c", "ask('columns')", "columns"),
    ]

    DEFAULT_CSS = """
    Sheet { height: 1fr; }
    """

    def __init__(self, pane: RecordsPane) -> None:
        super().__init__()
        self.pane = pane
        self.lines: Text = Text()

    def render(self) -> Text:
        """Give the lines."""
        return self.lines

    def on_resize(self, event: Resize) -> None:
        """Fit as many lines as there is room for now."""
        self.pane.fit()

    def draw(self, lines: Text) -> None:
        """Show other lines, when they are other ones."""
        if lines != self.lines:
            self.lines = lines
            self.refresh()

    def action_move(self, step: int) -> None:
        """Go to the record above or below."""
        self.pane.move(step)

    def action_move_page(self, step: int) -> None:
        """Go a page up or down."""
        self.pane.move(step * max(1, self.size.height - 2))

    def action_move_first(self) -> None:
        """Go to the first record that is kept."""
        self.pane.move(-(10**9))

    def action_follow(self) -> None:
        """Go to the last record, and along with what comes."""
        self.pane.follow()

    def action_hold(self) -> None:
        """Stay where we are, or go along again."""
        self.pane.hold()

    def action_begin(self) -> None:
        """Go to the first record of the channel, or back to the latest ones."""
        self.pane.toggle_begin()

    def action_whole(self) -> None:
        """Show the whole record, or no more."""
        self.pane.toggle_whole()

    def action_schema(self) -> None:
        """Show the schema of the records, or no more."""
        self.pane.toggle_schema()

    def action_ask(self, what: str) -> None:
        """Ask for a condition, or for columns."""
        self.pane.ask(what)


class RecordsPane(Pane):
    """Reads while it is seen, and only the channel that was selected when it was opened."""

    DEFAULT_CSS = """
    RecordsPane { layout: vertical; }
    RecordsPane #channel { height: 1; padding: 0 1; text-wrap: nowrap; text-overflow: ellipsis; }
    RecordsPane #range { height: 1; padding: 0 1; }
    RecordsPane #whole { height: auto; max-height: 50%; padding: 0 1; border-top: solid $panel; display: none; }
    RecordsPane #whole.shown { display: block; }
    RecordsPane Input { height: 1; border: none; padding: 0 1; display: none; }
    RecordsPane Input:focus { border: none; }
    RecordsPane Input.shown { display: block; }
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._records: Records | None = None
        self._wanted = ""
        self._from_first = False
        self._below = ""
        """What is shown below the records: one of them (``record``), their ``schema``, or nothing."""
        self._tail = Tail()
        self._rows: list[tuple[int, Seen]] = []
        """Number and record of those that meet the conditions."""
        self._at: int | None = None
        """Number of the record under the cursor; None: the last one, whatever comes."""
        self._conditions: list[Condition] = []
        self._text = ""
        self._columns: list[str] = []
        self._timer: Timer | None = None

    def compose(self) -> ComposeResult:
        """Build the pane."""
        yield Static(id="channel", markup=False)
        yield Static(id="range", markup=False)
        yield Sheet(self)
        yield Static(id="whole", markup=False)
        yield Input(id="where", placeholder="only where, as in: price>3, city=rome; or a text that the record holds")
        yield Input(id="columns", placeholder="only these fields, as in: city, station.id; empty for all")

    def on_mount(self) -> None:
        """Look for what was read."""
        self._timer = self.set_interval(LOOK_S, self._look)

    def on_unmount(self) -> None:
        """Read no more."""
        self._close()

    def on_hide(self, event: Hide) -> None:
        """Read no more while nobody looks."""
        self._close()

    def focus_first(self) -> None:
        """Give the records the focus."""
        self.query_one(Sheet).focus()

    def show(self, picture: Picture) -> None:
        """Open the channel of what is selected, when it is another one."""
        channel = self._channel_of(picture)
        if channel and (channel != self._wanted or self._records is None):
            self._from_first = False
            self._open(channel)
        elif not channel:
            self.query_one(Sheet).draw(Text("what is selected has no channel; select a port", STYLES["dim"]))

    def search(self, text: str, step: int, picture: Picture) -> bool:
        """Go to the next record that holds a text."""
        numbers = [number for number, seen in self._rows if text.casefold() in json_of(seen.record).casefold()]
        if not numbers:
            return False
        here = self._cursor()
        if step >= 0:
            found = next((number for number in numbers if number >= here + step), numbers[0])
        else:
            found = next((number for number in reversed(numbers) if number < here), numbers[-1])
        self._at = found
        self._draw()
        return True

    # --- keys ---

    def move(self, step: int) -> None:
        """Move the cursor by so many records; at the last one it goes along with what comes."""
        numbers = [number for number, _ in self._rows]
        if not numbers:
            return
        here = next((i for i, number in enumerate(numbers) if number >= self._cursor()), len(numbers) - 1)
        place = max(0, min(len(numbers) - 1, here + step))
        is_last = place == len(numbers) - 1 and step > 0
        self._at = None if is_last and not self._from_first else numbers[place]
        if is_last and self._from_first and self._records is not None:
            self._records.more()
        self._draw()

    def follow(self) -> None:
        """Go along with what comes."""
        if self._from_first:
            self.toggle_begin()
        self._at = None
        self._draw()

    def toggle_begin(self) -> None:
        """Read the channel from its first record on, as far as the user goes, or the latest ones again."""
        if self._records is not None:
            self._from_first = not self._from_first
            self._open(self._wanted)

    def hold(self) -> None:
        """Stay where we are, or go along again."""
        self._at = self._cursor() if self._at is None and self._rows else None
        self._draw()

    def toggle_whole(self) -> None:
        """Show all of the record under the cursor, or no more."""
        self._show_below("record")

    def toggle_schema(self) -> None:
        """Show the schema that the records were written by, or no more."""
        self._show_below("schema")

    def _show_below(self, what: str) -> None:
        self._below = "" if self._below == what else what
        self.query_one("#whole").set_class(bool(self._below), "shown")
        self._draw()

    def ask(self, what: str) -> None:
        """Ask for a condition (``where``), or for ``columns``."""
        line = self.query_one(f"#{what}", Input)
        line.add_class("shown")
        line.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take a condition, or columns."""
        event.stop()
        if event.input.id == "where":
            self._conditions, self._text = read_where(event.value)
        else:
            self._columns = [part.strip() for part in event.value.split(",") if part.strip()]
        event.input.remove_class("shown")
        self.focus_first()
        self._choose()

    # --- reading ---

    def _open(self, channel: str) -> None:
        self._close()
        self._wanted, self._tail, self._rows, self._at = channel, Tail(), [], 0 if self._from_first else None
        pipeline = self.watched.pipeline
        prefix = "" if pipeline is None else namespace_of(pipeline)
        status = self.watched.model.pipeline if pipeline is None else status_name(pipeline)
        self._records = Records(
            f"{prefix}{channel}",
            status,
            self.watched.locations,
            self._own_codec(channel),
            from_first=self._from_first,
        )
        self._records.start()
        self._draw()

    def _close(self) -> None:
        if self._records is not None:
            self._records.close()
            self._records = None

    def _channel_of(self, picture: Picture) -> str:
        """The channel of the selected port; of a whole operator that of its first port, those that it reads before others."""
        ports: Sequence[PortView] = picture.selected_ports
        if not picture.selection.port:
            every = [port for member in picture.selected_members[:1] for port in member.ports]
            ports = sorted(every, key=lambda port: port.direction)
        for port in ports:
            if port.channel:
                return port.channel
            if port.direction == "in":
                return f"{picture.selection.group}.{port.name}"
            if port.peers:
                return f"{picture.frame.pipeline}.{port.peers[0]}"
        return ""

    def _own_codec(self, channel: str) -> Codec | None:
        if self.watched.pipeline is None:
            return None
        ports: list[ChannelPort] = [
            port
            for operator in operators_of(self.watched.pipeline)
            for port in channel_ports_of(operator)
            if port.direction == "in" and channel in port.channel_names()
        ]
        return codec_of_port(PluginHost.default(), ports[0]) if ports else None

    def _look(self) -> None:
        if self._records is not None and self._records.version != self._tail.version:
            self._tail = self._records.tail()
            self._choose()

    # --- drawing ---

    def _choose(self) -> None:
        """Keep of what was read what the user wants to see."""
        self._rows = [
            (number, seen)
            for number, seen in enumerate(self._tail.records, self._tail.first)
            if all(condition.holds(seen.record) for condition in self._conditions)
            and (not self._text or self._text in json_of(seen.record).casefold())
        ]
        self._draw()

    def _cursor(self) -> int:
        if self._at is not None:
            return self._at
        return self._rows[-1][0] if self._rows else 0

    def fit(self) -> None:
        """Draw as many records as there is room for."""
        self._draw()

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self.query_one("#channel", Static).update(self._heading())
        self.query_one("#range", Static).update(self._range())
        sheet = self.query_one(Sheet)
        sheet.draw(self._sheet(max(1, sheet.size.height), max(20, sheet.size.width)))
        whole = self.query_one("#whole", Static)
        if self._below:
            whole.update(self._whole() if self._below == "record" else self._schema())

    def _heading(self) -> Text:
        tail = self._tail
        text = Text(no_wrap=True, overflow="ellipsis").append(self._wanted, "bold")
        if not tail.is_caught_up and not tail.notice:
            passed = f", passed over {tail.passed:,}" if tail.passed else ""
            text.append(f"  reads what is there{passed}", STYLES["warn"])
        elif self._from_first:
            text.append(f"  from the first, at {self._cursor():,}", STYLES["warn"])
        elif self._at is None:
            text.append("  follows", STYLES["good"])
        else:
            text.append(f"  held at {self._at:,}", STYLES["warn"])
        older = f", {tail.passed + tail.first:,} older ones" if tail.passed + tail.first else ""
        text.append(f"  {len(self._rows):,} of {len(tail.records):,} kept{older}", STYLES["dim"])
        where = [f"{one.field}{one.operator}{one.value}" for one in self._conditions] or [self._text]
        if where != [""]:
            text.append(f"  where {', '.join(where)}")
        if tail.notice:
            text.append(f"  {tail.notice}", STYLES["warn"])
        return text

    def _range(self) -> Text:
        """What of the channel is shown."""
        tail, text = self._tail, Text(no_wrap=True, overflow="ellipsis", style=STYLES["dim"])
        parts = [
            f"partition {partition}: {first}" + (f" to {last}" if last != first else "")
            for partition, (first, last) in sorted(tail.ranges.items())
        ]
        more = [f"{len(parts) - RANGES} more partitions"] if len(parts) > RANGES else []
        if self._from_first:
            text.append("down: the next ones, b: the latest ones  ")
        elif tail.before:
            text.append(f"{tail.before:,} older block{'s' * (tail.before > 1)} not read, b: from the first  ")
        return text.append("; ".join([*parts[:RANGES], *more]) or "nothing read yet")

    def _sheet(self, height: int, width: int) -> Text:
        numbers = [number for number, _ in self._rows]
        here = next((i for i, number in enumerate(numbers) if number >= self._cursor()), len(numbers) - 1)
        room = height - 1
        first = max(0, min(here - room // 2, len(numbers) - room)) if self._at is not None else max(0, here - room + 1)
        shown = self._rows[first : first + room]
        names, cells = table_of([seen for _, seen in shown], self._columns)
        widths = [
            min(WIDEST if len(names) > 2 else width, max(cell_len(row[i]) for row in [names, *cells]))
            for i in range(len(names))
        ]
        numbers_at = numeric_columns(cells)
        text = Text(no_wrap=True, overflow="ellipsis", end="")
        text.append(joined(names, widths, numbers_at)[:width], "bold" if shown else STYLES["dim"])
        for (number, _), row in zip(shown, cells, strict=True):
            is_here = number == numbers[here]
            line = f"{'>' if is_here else ' '}{joined(row, widths, numbers_at)[1:]}"[:width]
            text.append("\n").append(line, "reverse" if is_here and self._at is not None else "")
        return text

    def _schema(self) -> Text:
        schema = self._tail.schema
        if not schema:
            return Text("no schema of these records is known here", STYLES["dim"])
        if schema == SCHEMA_TEXT:
            return Text("written as JSON, without a schema", STYLES["dim"])
        return Text("as the writer has stored it", STYLES["dim"]).append(f"\n{lines(indented(schema))}", "")

    def _whole(self) -> Text:
        seen = next((seen for number, seen in self._rows if number >= self._cursor()), None)
        if seen is None:
            return Text("no record", STYLES["dim"])
        place = f"partition {seen.partition}, position {seen.position}, index {seen.index}, by {seen.writer}, run {seen.run}"
        return Text().append(place, STYLES["dim"]).append(f"\n{json_of(seen.record, indent=2)}")
