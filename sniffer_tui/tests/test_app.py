"""The screen, driven by Textual's Pilot: each key, sizes, and what is drawn."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from textual.color import Color
from textual.events import Key
from textual.filter import NoColor
from textual.pilot import Pilot
from textual.widgets import DataTable, Footer, Input, OptionList, Static
from textual.widgets._footer import FooterKey

from pypz.core.hooks.events import ChannelStatus, OperatorRef, PipelineRef, PortRef
from pypz.sniffer.model.frames import PlannedOperator, PlannedPort, Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.screen.app import SnifferApp
from pypz.sniffer.screen.help import HelpScreen
from pypz.sniffer.screen.panes.table import OperatorTable, TablePane
from pypz.sniffer.screen.themes import THEMES


def plan(replicas: int) -> list[PlannedOperator]:
    out, inp = PlannedPort("out", "out", ("reader.in",)), PlannedPort("in", "in", ("writer.out",))
    names = ["p.writer", *(f"p.writer_{i}" for i in range(replicas))]
    writers = [PlannedOperator(name, "p.writer", index, 0, (out,)) for index, name in enumerate(names)]
    return [*writers, PlannedOperator("p.reader", "p.reader", 0, 1, (inp,))]


def ref(name: str) -> OperatorRef:
    return OperatorRef("p", "r1", name, 0, f"start of {name}", "host", 7)


def tell_figures(model: PipelineModel, name: str, port: str, records: int, lag: int | None = None) -> None:
    at = PortRef(ref(name), port, "in" if port == "in" else "out", ("p.reader.in",))
    model.channel_status(
        ChannelStatus(
            at, "p.reader.in", "open", records, records, 10, lag_entries=lag, waits_for="writer" if lag else ""
        )
    )


def start(model: PipelineModel) -> None:
    model.pipeline_started(PipelineRef("p", "r1"))
    for member in model.frame().members:
        model.operator_state_changed(ref(member.name), "StateOperationRunning", is_here=True)


@asynccontextmanager
async def screen(
    model: PipelineModel, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[tuple[SnifferApp, Pilot[None]]]:
    app = SnifferApp(model)
    async with app.run_test(size=size) as pilot:
        await pilot.press("t")
        await pilot.pause()
        yield app, pilot


async def until(pilot: Pilot[None], is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not is_so():
            await pilot.pause()


def table_of(app: SnifferApp) -> OperatorTable:
    return app.screen_stack[0].query_one(OperatorTable)


def cells_written(app: SnifferApp) -> int:
    return app.screen_stack[0].query_one(TablePane).cells_written


def lines(app: SnifferApp) -> list[list[str]]:
    table = table_of(app)
    return [[cell.plain.strip() for cell in table.get_row_at(i)] for i in range(table.row_count)]


def text(app: SnifferApp, selector: str) -> str:
    return str(app.screen_stack[0].query_one(selector, Static).content)


def selected(app: SnifferApp) -> str:
    return lines(app)[table_of(app).cursor_row][0]


async def test_before_the_run_the_screen_says_that_it_waits() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, _):
        assert "waits for the run to start" in text(app, "#title")
        assert [line[:2] for line in lines(app)] == [
            ["1 writer", "○ waiting"],
            ["out → reader.in", "-"],
            ["2 reader", "○ waiting"],
            ["in ← writer.out", "-"],
        ]


async def test_states_records_and_lag_are_drawn_in_words() -> None:
    model = PipelineModel("p", plan(0))
    async with screen(model) as (app, pilot):
        start(model)
        tell_figures(model, "p.writer", "out", 1234)
        tell_figures(model, "p.reader", "in", 1000, lag=7)
        app._tick()
        await pilot.pause()
        assert "running" in text(app, "#title")
        assert "run r1" in text(app, "#title")
        assert lines(app)[0][:2] == ["1 writer", "● running"]
        assert lines(app)[1][:3] == ["out → reader.in", "open", "1,234"]
        assert lines(app)[3][2:] == ["1,000", "", "<=7"]


async def test_only_cells_that_changed_are_drawn_again() -> None:
    model = PipelineModel("p", plan(3))
    async with screen(model) as (app, pilot):
        start(model)
        tell_figures(model, "p.writer_1", "out", 1)
        app._tick()
        await pilot.pause()
        before = cells_written(app)
        app._tick()
        assert cells_written(app) == before
        tell_figures(model, "p.writer_1", "out", 2)
        tell_figures(model, "p.writer_1", "out", 3)
        app._tick()
        assert cells_written(app) == before + 1


async def test_f_folds_all_replicas_into_one_line_with_their_sums_and_unfolds_them() -> None:
    model = PipelineModel("p", plan(2))
    start(model)
    for name in ("p.writer", "p.writer_0", "p.writer_1"):
        tell_figures(model, name, "out", 10)
    async with screen(model) as (app, pilot):
        assert len(lines(app)) == 8
        await pilot.press("f")
        assert [line[:3] for line in lines(app)][:2] == [
            ["1 writer x3", "● running", ""],
            ["out → reader.in", "open", "30"],
        ]
        assert len(lines(app)) == 4
        await pilot.press("f")
        assert len(lines(app)) == 8


async def test_enter_folds_the_operator_under_the_cursor_and_keeps_the_cursor_there() -> None:
    model = PipelineModel("p", plan(2))
    async with screen(model) as (app, pilot):
        await pilot.press("down", "down", "enter")
        assert selected(app) == "1 writer x3"
        await pilot.press("enter")
        assert len(lines(app)) == 8
        await pilot.press("end", "enter")
        assert selected(app) == "in ← writer.out"


async def test_many_replicas_are_folded_from_the_start() -> None:
    async with screen(PipelineModel("p", plan(40))) as (app, _):
        assert lines(app)[0][0] == "1 writer x41"
        assert len(lines(app)) == 4


async def test_arrows_move_and_the_line_below_tells_more() -> None:
    model = PipelineModel("p", plan(0))
    start(model)
    tell_figures(model, "p.reader", "in", 5, lag=2)
    async with screen(model) as (app, pilot):
        assert "process 7 on host" in text(app, "#brief")
        await pilot.press("down", "down", "down")
        await pilot.pause()
        assert "p.reader.in reads channel p.reader.in" in text(app, "#brief")
        assert "waits for writer" in text(app, "#brief")
        await pilot.press("up")
        assert selected(app) == "2 reader"


async def test_a_replica_that_joins_later_gets_its_line_and_the_cursor_stays() -> None:
    model = PipelineModel("p", plan(0))
    async with screen(model) as (app, pilot):
        await pilot.press("down", "down")
        start(model)
        model.operator_state_changed(OperatorRef("p", "r1", "p.writer_0", 1, "x"), "StateEntry", is_here=True)
        app._tick()
        await pilot.pause()
        assert [line[0] for line in lines(app)][2] == "1 writer_0"
        assert selected(app) == "2 reader"


async def test_a_notice_stands_above_the_table_until_it_is_over() -> None:
    model = PipelineModel("p", plan(0))
    async with screen(model) as (app, _):
        model.set_notice("kafka://b:9092: the broker is away", is_blind=True)
        app._tick()
        assert "the broker is away" in text(app, "#notice")
        assert app.query_one("#notice").has_class("shown")
        model.set_notice("", is_blind=False)
        app._tick()
        assert not app.query_one("#notice").has_class("shown")


async def test_a_question_mark_explains_and_any_key_goes_back() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        await pilot.press("question_mark")
        assert [type(screen) is HelpScreen for screen in app.screen_stack] == [False, True]
        await pilot.press("down", "pageup")
        assert [type(screen) is HelpScreen for screen in app.screen_stack] == [False, True]
        await pilot.press("x")
        assert [type(screen) is HelpScreen for screen in app.screen_stack] == [False]
        assert app.is_running


async def test_two_keys_at_once_close_the_help_once() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        await pilot.press("question_mark")
        assert isinstance(app.screen, HelpScreen)
        for _ in range(2):
            app.screen.post_message(Key("x", "x"))
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))
        await pilot.pause()
        assert len(app.screen_stack) == 1


@pytest.mark.parametrize("key", ["q", "ctrl+c", "ctrl+q"])
@pytest.mark.parametrize("from_help", [False, True])
async def test_q_and_ctrl_c_quit_from_anywhere(key: str, from_help: bool) -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        if from_help:
            await pilot.press("question_mark")
        await pilot.press(key)
        await pilot.pause()
        assert app._exit


async def test_a_signal_from_outside_quits_too() -> None:
    before = signal.getsignal(signal.SIGTERM)
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        os.kill(os.getpid(), signal.SIGTERM)
        await pilot.pause()
        assert app._exit
    signal.signal(signal.SIGTERM, before)


async def test_the_footer_names_the_keys() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, _):
        shown = {(b.binding.key_display or b.binding.key, b.binding.description) for b in app.active_bindings.values()}
        assert {("q", "quit"), ("f", "fold"), ("?", "help")} <= shown
        assert app.query_one(Footer).display


async def test_keys_of_dialogs_that_were_closed_are_not_held() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        for _ in range(5):
            await pilot.press("question_mark", "escape")
        await pilot.pause()
        gc.unfreeze()
        gc.collect()
        held = [one for one in gc.get_objects() if isinstance(one, FooterKey)]
        assert 0 < len(held) < 2 * len(app.active_bindings)


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (80, 24), (120, 40), (300, 10)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    model = PipelineModel("p", plan(2))
    start(model)
    model.set_notice("a notice that is far too long for such a screen", is_blind=True)
    async with screen(model, size) as (app, pilot):
        await pilot.press("down", "f", "enter", "question_mark", "x")
        app._tick()
        await pilot.pause()
        assert table_of(app).row_count


async def test_on_80_columns_every_column_is_within_the_screen() -> None:
    model = PipelineModel("p", plan(0))
    async with screen(model) as (app, pilot):
        assert table_of(app).virtual_size.width <= 80
        assert [c.label.plain for c in table_of(app).ordered_columns][-1] == "lag"
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert [c.label.plain for c in table_of(app).ordered_columns][-1] == "waits for"
        assert table_of(app).virtual_size.width <= 120
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert table_of(app).virtual_size.width <= 80
        assert lines(app)[0][0] == "1 writer"


async def test_graph_and_table_stand_one_below_the_other_where_there_is_room() -> None:
    async with screen(PipelineModel("p", plan(2)), (160, 60)) as (app, pilot):
        assert {title for title in ("graph", "table", "details") if app.pane(title).display} == {
            "graph",
            "table",
            "details",
        }
        assert app.focused is table_of(app)
        graph, table = app.pane("graph").region, app.pane("table").region
        assert (graph.x, graph.bottom, graph.width) == (table.x, table.y, table.width)
        await pilot.press("g", "down")
        await pilot.pause()
        assert app.pane("graph").has_focus_within
        assert selected(app) == "1 writer_0"
        await pilot.resize_terminal(160, 40)
        await pilot.pause()
        assert not app.pane("table").display
        await pilot.press("l")
        assert not app.pane("graph").display
        await pilot.press("escape")
        assert app.pane("graph").has_focus_within


async def test_states_of_a_folded_group_are_told_shorter_where_there_is_no_room() -> None:
    model = PipelineModel("p", plan(4))
    start(model)
    model.operator_finished(ref("p.writer_1"), 0)
    async with screen(model) as (app, pilot):
        assert lines(app)[0][1] == "● 4/5 running"
        await pilot.resize_terminal(120, 40)
        await pilot.pause()
        assert lines(app)[0][1] == "● 4 running, 1 finished"


async def test_help_and_quit_are_in_sight_on_80_columns_whatever_keys_a_pane_has() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        for key in "gtdrl":
            await pilot.press(key)
            await pilot.pause()
            shown = "".join(segment.text for segment in app.screen._compositor.render_strips()[-1])
            assert "? help q quit" in shown


async def test_the_table_has_the_focus() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, _):
        assert isinstance(app.focused, DataTable)


async def test_with_no_color_colours_are_left_out_and_words_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    model = PipelineModel("p", plan(1))
    start(model)
    async with screen(model) as (app, _):
        assert [type(one) for one in app.get_line_filters()] == [NoColor]
        assert lines(app)[0][1] == "● running"
        assert os.environ["NO_COLOR"] == "1"


async def test_a_slash_searches_operators_and_ports_and_n_goes_on() -> None:
    async with screen(PipelineModel("p", plan(2)), (120, 40)) as (app, pilot):
        await pilot.press("slash", *"read")
        await pilot.pause()
        assert selected(app) == "2 reader"
        assert app.picture.selection == Selection("p.reader", "p.reader")
        await pilot.press("enter")
        assert not app.query_one("#search").has_class("shown")
        await pilot.press("slash", *"q", "escape")
        assert app.is_running
        assert selected(app) == "2 reader"
        await pilot.press("slash", *"WRITER_", "enter")
        assert selected(app) == "1 writer_0"
        for key, found in (
            ("n", "out → reader.in"),
            ("n", "1 writer_1"),
            ("N", "out → reader.in"),
            ("N", "1 writer_0"),
        ):
            await pilot.press(key)
            await pilot.pause()
            assert selected(app) == found


async def test_keys_that_come_with_the_slash_are_searched_and_not_obeyed() -> None:
    async with screen(PipelineModel("p", plan(2)), (120, 40)) as (app, pilot):
        for key in (
            "slash",
            *"read",
            "slash",
            "backspace",
            "enter",
        ):  # as they come when pasted, without a pause between them
            app.post_message(Key(key, {"slash": "/"}.get(key, key if len(key) == 1 else None)))
        await until(pilot, lambda: not app.query_one("#search").has_class("shown") and selected(app) == "2 reader")
        assert app.is_running
        assert app.query_one("#search", Input).value == "read"
        app.post_message(Key("question_mark", "?"))
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))
        app.post_message(Key("slash", "/"))
        await until(pilot, lambda: not isinstance(app.screen, HelpScreen))
        assert not app.query_one("#search").has_class("shown")


async def test_a_key_right_behind_escape_is_obeyed_after_it() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        await pilot.press("l")
        app.post_message(Key("alt+g", "g"))  # as Escape and g come at once
        await until(pilot, lambda: app.pane("graph").has_focus_within)
        await pilot.press("slash", *"rea")
        app.post_message(Key("alt+t", "t"))
        await until(pilot, lambda: app.pane("table").has_focus_within)
        assert app.query_one("#search", Input).value == "rea"
        await pilot.press("ctrl+p")
        await pilot.press("escape")
        await until(pilot, lambda: len(app.screen_stack) == 1)
        assert app.is_running


async def test_the_palette_has_all_that_the_keys_do() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        offered = [command.title for command in app.get_system_commands(app.screen)]
        assert {"Show table", "Fold or unfold replicas", "Search", "Colours: light", "Help", "Quit"} <= set(offered)
        await pilot.press("ctrl+p")
        await pilot.press(*"help")
        await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, HelpScreen))


async def test_c_changes_the_colours_and_every_text_can_be_read_in_each() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        seen = []
        for _ in THEMES:
            seen.append(app.theme)
            await pilot.press("c")
        assert seen == list(THEMES)
        assert app.theme == seen[0]
    for colours in THEMES.values():
        theme = colours.theme
        for name in (theme.foreground, theme.success, theme.warning, theme.error, theme.accent):
            assert name is not None
            assert theme.background is not None
            assert contrast(Color.parse(name), Color.parse(theme.background)) >= 4.5, (theme.name, name)


def contrast(one: Color, other: Color) -> float:
    """As WCAG 2.2 defines it."""

    def luminance(color: Color) -> float:
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in color.normalized]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


async def test_the_palette_opens_panes_and_changes_colours() -> None:
    async with screen(PipelineModel("p", plan(0))) as (app, pilot):
        for typed, is_so in (
            ("showgraph", lambda: app.pane("graph").display),
            ("colourslight", lambda: app.theme == "light"),
        ):
            await pilot.press("ctrl+p", *typed)
            await until(pilot, lambda: app.screen.query_one(OptionList).option_count == 1)
            await pilot.press("enter")
            await until(pilot, is_so)
