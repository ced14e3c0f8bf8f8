"""Shows a pipeline's progress while it runs: a table on a terminal, plain lines elsewhere; always on stderr."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Literal

from pypz.cli.progress import Progress, Row, in_words
from pypz.cli.screen import stderr
from pypz.core.channels.runs.whole import operators_of
from pypz.core.hooks.host import PluginHost

if TYPE_CHECKING:
    from rich.table import Table

    from pypz.core.specs.pipeline import Pipeline

LINES_EVERY_S: Final = 10.0
"""Seconds between two rounds of plain lines, of members that have news (chosen)."""

FRAMES_A_SECOND: Final = 4
LONGEST_CELL: Final = 28
LONGEST_NOTE: Final = 60
"""Characters of a cell that a narrow terminal leaves whole, and of the note at most (chosen, for 80 columns)."""

LAST_NEWS_S: Final = 2.0
"""Seconds that the last news may take to be shown (chosen)."""


@contextlib.contextmanager
def shown(host: PluginHost, pipeline: Pipeline) -> Iterator[Progress]:
    """Show what the host tells of a pipeline, as long as the block runs."""
    with _table(host, pipeline) if stderr().is_terminal else _lines(host, pipeline) as progress:
        yield progress


@contextlib.contextmanager
def _observing(host: PluginHost, progress: Progress) -> Iterator[None]:
    host.register(progress, "progress")
    try:
        yield
    finally:
        host.flush(LAST_NEWS_S)
        host.unregister("progress")


@contextlib.contextmanager
def _lines(host: PluginHost, pipeline: Pipeline) -> Iterator[Progress]:
    def say(text: str) -> None:
        sys.stderr.write(f"pypz: {text}\n")
        sys.stderr.flush()

    progress = Progress(_members_of(pipeline), on_news=say)
    is_over = threading.Event()

    def tell_figures() -> None:
        told: dict[str, str] = {}
        while not is_over.wait(LINES_EVERY_S):
            for row in progress.rows():
                if row.exit_code is None and row.state and told.get(row.name) != in_words(row):
                    told[row.name] = in_words(row)
                    say(f"{row.name}: {told[row.name]}")

    thread = threading.Thread(target=tell_figures, name="pypz-progress", daemon=True)
    thread.start()
    try:
        with _observing(host, progress):
            yield progress
    finally:
        is_over.set()
        thread.join()


@contextlib.contextmanager
def _table(host: PluginHost, pipeline: Pipeline) -> Iterator[Progress]:
    from rich.live import Live

    progress = Progress(_members_of(pipeline))
    begun = time.monotonic()
    live = Live(
        console=stderr(),
        get_renderable=lambda: table_of(
            progress.rows(), f"{pipeline.get_full_name()}, {time.monotonic() - begun:.0f} s"
        ),
        refresh_per_second=FRAMES_A_SECOND,
        redirect_stdout=sys.stdout.isatty(),  # what is piped elsewhere must get there
    )
    with live, _observing(host, progress):
        yield progress


def table_of(rows: list[Row], title: str) -> Table:
    """The rows as a table."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    shown = [
        (row.name, row.state, _number(row.records_in), _number(row.records_out), _rate(row), _number(row.lag))
        for row in rows
    ]
    headings = ("operator", "state", "in", "out", "records/s", "lag")
    for place, heading in enumerate(headings):
        # Only the note shrinks on a narrow terminal, and a very long name.
        width = max([len(heading), *(len(cells[place]) for cells in shown)])
        justify: Literal["left", "right"] = "left" if place < 2 else "right"
        table.add_column(heading, justify=justify, no_wrap=True, min_width=min(width, LONGEST_CELL))
    table.add_column("", overflow="ellipsis", no_wrap=True, max_width=LONGEST_NOTE)
    for row, cells in zip(rows, shown, strict=True):
        style = "red" if not row.is_well else {"running": "green", "ended": "dim"}.get(row.state, "yellow")
        table.add_row(*cells, row.note, style=style)
    return table


def _rate(row: Row) -> str:
    return f"{row.rate:,.0f}" if row.state == "running" else ""


def _members_of(pipeline: Pipeline) -> list[str]:
    """Full names of all members, replicas behind their principal."""
    names = []
    for operator in operators_of(pipeline):
        names += [operator.get_full_name(), *(replica.get_full_name() for replica in operator.get_replicas())]
    return names


def _number(value: int | None) -> str:
    return "" if value is None else f"{value:,}"
