"""The graph on the screen: what is drawn, keys, mouse, and that only changed cells are drawn again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sniffer_tui.tests.graphs import Clock, chain, fill, group, many, several, told
from textual.pilot import Pilot

from pypz.core.hooks.events import ChannelStatus, OperatorRef, PipelineRef, PortRef
from pypz.sniffer.graph.cards import SCALES, Flows, joints_of, shape_of
from pypz.sniffer.graph.drawing import ARROW, MARK, Drawing, drawing_of
from pypz.sniffer.model.frames import PlannedOperator, PlannedPort, Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.screen.app import PANES, SnifferApp
from pypz.sniffer.screen.panes.graph import GraphView
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.reasons import diagnose

BOXES, WIDE_CARDS = (
    next(i for i, scale in enumerate(SCALES) if scale.name == name) for name in ("boxes", "wide cards")
)


def picture_of(model: PipelineModel, **folded: bool) -> Picture:
    frame = model.frame()
    return Picture(frame, diagnose(frame), Selection("p.source"), {f"p.{name}": fold for name, fold in folded.items()})


def drawn(model: PipelineModel, scale: int, **folded: bool) -> Drawing:
    picture = picture_of(model, **folded)
    return drawing_of(picture, shape_of(picture, SCALES[scale]))


def text(drawing: Drawing) -> list[str]:
    lines = []
    for y in range(drawing.layout.height):
        line = ""
        for piece in drawing.line(y):
            assert len(line) <= piece.x
            line = f"{line:<{piece.x}}{piece.text}"
        assert len(line) <= drawing.layout.width
        lines.append(line)
    return lines


@asynccontextmanager
async def screen(
    model: PipelineModel, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[tuple[SnifferApp, Pilot[None], GraphView]]:
    app = SnifferApp(model)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot, app.query_one(GraphView)


@pytest.mark.parametrize("scale", range(len(SCALES)))
@pytest.mark.parametrize("fold", [True, False])
def test_every_scale_names_every_group_and_its_state(scale: int, fold: bool) -> None:
    lines = "\n".join(text(drawn(told(several()), scale, source=fold, split=fold, audit=fold)))
    for level, word in ((1, "source x3"), (2, "split x2"), (3, "join"), (4, "store"), (4, "audit x10")):
        assert (f"{level} {word}" if SCALES[scale].has_rates else word) in lines
    assert ("source_1" in lines) == (not fold)
    assert "●" in lines
    assert "○" in lines


def test_boxes_say_rate_and_lag_of_each_port() -> None:
    lines = text(drawn(told(several()), BOXES))
    assert any("letters" in line and "3,702/s" in line for line in lines)
    assert any("all" in line and "lag 6,318" in line for line in lines)


def test_cards_say_why_and_the_lines_have_rate_and_lag() -> None:
    lines = text(drawn(told(several()), WIDE_CARDS))
    assert any("audit_3 has not started in this run" in line for line in lines)
    assert any("11,106 rec" in line and " 3,702/s " in line for line in lines)
    assert any(" lag 6,318 " in line and "27,000 rec" in line for line in lines)


def test_marks_are_there_only_where_records_flow_and_move_towards_the_reader() -> None:
    clock = Clock()
    model = PipelineModel("p", pair(), clock=clock)
    fill(model, 1)
    drawing = drawn(model, BOXES)
    assert not drawing.is_flowing
    assert MARK not in "".join(text(drawing))
    clock.now += 1
    fill(model, 2)
    drawing.take(flowing := picture_of(model))
    assert drawing_of(flowing, drawing.shape).is_flowing
    (row,) = (line for line in text(drawing) if MARK in line)
    changes = drawing.move()
    (moved,) = (line for line in text(drawing) if MARK in line)
    assert [i + 1 for i, c in enumerate(row) if c == MARK][:1] == [i for i, c in enumerate(moved) if c == MARK][:1]
    assert {change.x for change in changes} >= {i for i, (a, b) in enumerate(zip(row, moved, strict=True)) if a != b}


def pair() -> list[PlannedOperator]:
    out, inp = PlannedPort("out", "out", ("sink.inp",)), PlannedPort("inp", "in", ("source.out",))
    return [PlannedOperator("p.source", "p.source", 0, 0, (out,)), PlannedOperator("p.sink", "p.sink", 0, 1, (inp,))]


def test_boxes_stay_where_they_are_while_counts_and_states_change() -> None:
    clock = Clock()
    model = PipelineModel("p", several(), clock=clock)
    places = [drawn(model, scale).layout for scale in range(len(SCALES))]
    fill(model, 1)
    clock.now += 60
    fill(model, 999_999)
    assert [drawn(model, scale).layout for scale in range(len(SCALES))] == places


@pytest.mark.parametrize("scale", range(len(SCALES)))
def test_what_is_said_to_be_different_is_all_that_is(scale: int) -> None:
    clock = Clock()
    model = PipelineModel("p", several(), clock=clock)
    drawing = drawn(model, scale)
    for count, seconds in ((1, 1), (2, 1), (2, 60), (700, 1), (700, 60)):  # flows, stops, flows, stops
        before = [f"{line:<{drawing.layout.width}}" for line in text(drawing)]
        fill(model, count)
        clock.now += seconds
        changes = drawing.take(picture_of(model))
        changes += drawing.move()
        after = [f"{line:<{drawing.layout.width}}" for line in text(drawing)]
        told_of = {(x, change.y) for change in changes for x in range(change.x, change.x + change.width)}
        changed = {(x, y) for y, line in enumerate(before) for x, c in enumerate(line) if c != after[y][x]}
        assert changed <= told_of


def test_a_port_that_feeds_two_tells_each_rate() -> None:
    picture = picture_of(told(several()))
    flows = Flows(picture)
    rates = {joint.target: flows.rate(joint) for joint in joints_of(picture) if joint.source == "p.source"}
    assert rates == {"p.split": 3702.0, "p.audit": 3702.0}


async def test_the_graph_is_what_is_seen_first_and_has_the_focus() -> None:
    async with screen(told(several())) as (app, _, view):
        assert app.focused is view
        assert view.drawing is not None
        assert view.drawing.layout.width + 2 <= 120


async def test_an_unchanged_picture_draws_nothing() -> None:
    model = told(several(), flows=False)
    async with screen(model) as (app, pilot, _):
        before = app.cells_written
        app._redraw(app.picture)
        await pilot.pause()
        assert app.cells_written == before
        fill(model, 4)
        app._tick()
        assert 0 < app.cells_written - before < 24 * 24


async def test_arrows_go_from_row_to_row_and_from_box_to_box() -> None:
    async with screen(told(several())) as (app, pilot, _):
        steps = [
            ("down", Selection("p.source", "p.source_0")),
            ("up", Selection("p.source", "p.source")),
            ("right", Selection("p.split", "p.split")),
            ("right", Selection("p.join", "p.join")),
            ("left", Selection("p.split", "p.split")),
            ("left", Selection("p.source", "p.source")),
            ("left", Selection("p.source", "p.source")),
            ("up", Selection("p.source", "p.source")),
        ]
        for key, wanted in steps:
            await pilot.press(key)
            assert app.picture.selection == wanted, key
        await pilot.press("down", "down", "down")
        assert app.picture.selection.port == "letters"
        await pilot.press("down")
        assert app.picture.selection == Selection("p.clock", "p.clock")


async def test_enter_folds_and_f_folds_all() -> None:
    async with screen(told(several())) as (app, pilot, view):
        await pilot.press("enter")
        assert app.picture.selection == Selection("p.source")
        assert app.picture.is_folded("p.source", 3)
        await pilot.press("f")
        assert app.picture.is_folded("p.split", 2)
        await pilot.press("f")
        assert not app.picture.is_folded("p.audit", 10)
        assert view.drawing is not None
        assert "audit_8" in "\n".join(text(view.drawing))


async def test_z_tells_more_or_less_and_0_fits_again() -> None:
    async with screen(told(several()), (80, 24)) as (_, pilot, view):
        assert view.drawing is not None
        fitting = view.drawing.shape.scale
        seen = []
        for key in ("z", "z", "Z", "minus", "plus", "0"):
            await pilot.press(key)
            seen.append(SCALES.index(view.drawing.shape.scale))
        first = SCALES.index(fitting)
        assert seen == [first + 1, first + 2, first + 1, first, first + 1, first]


async def test_t_and_g_go_from_the_graph_to_the_table_and_back() -> None:
    async with screen(told(many()), (80, 24)) as (app, pilot, view):
        for key, is_graph in (("t", False), ("g", True)):
            await pilot.press(key)
            await pilot.pause()
            assert app.pane("graph").display is is_graph
            assert app.pane("table").display is not is_graph
        assert app.focused is view


async def test_capital_hjkl_and_shift_with_arrows_pan_and_the_selection_is_brought_back_into_sight() -> None:
    async with screen(told(many()), (80, 24)) as (app, pilot, view):
        await pilot.press("L", "shift+right", "J")
        await pilot.pause()
        assert (view.scroll_offset.x, view.scroll_offset.y) == (16, min(4, view.max_scroll_y))
        await pilot.press("H", "K")
        await pilot.pause()
        assert (view.scroll_offset.x, view.scroll_offset.y) == (8, 0)
        await pilot.press("shift+left", "shift+down")
        await pilot.pause()
        assert (view.scroll_offset.x, view.scroll_offset.y) == (0, min(4, view.max_scroll_y))
        await pilot.press("shift+up", "L")
        await pilot.pause()
        assert (view.scroll_offset.x, view.scroll_offset.y) == (8, 0)
        await pilot.press("slash", *"op99", "enter")
        await pilot.pause()
        assert app.picture.selection == Selection("p.op99")
        assert view.drawing is not None
        place = view.drawing.place_of(app.picture.selection)
        assert place is not None
        left, top = view._origin()
        assert left <= place.x
        assert place.x + place.width <= left + view.size.width
        assert top <= place.y < top + view.size.height


async def test_keys_of_panes_reach_them_from_the_graph() -> None:
    for entry in PANES:
        async with screen(told(several())) as (app, pilot, _):
            await pilot.press(entry.key)
            await pilot.pause()
            assert app.pane(entry.title).display


async def test_a_click_selects_and_a_double_click_folds() -> None:
    async with screen(told(several())) as (app, pilot, view):
        assert view.drawing is not None
        left, top = view._origin()
        place = view.drawing.layout.places["p.join"]
        await pilot.click(view, offset=(place.x + 3 - left, place.y + 2 - top))
        await pilot.pause()
        assert app.picture.selection == Selection("p.join", "p.join", "vowels", "p.join.vowels")
        place = view.drawing.layout.places["p.source"]
        await pilot.click(view, offset=(place.x + 3 - left, place.y + 1 - top), times=2)
        await pilot.pause()
        assert app.picture.selection == Selection("p.source")
        await pilot.click(view, offset=(0, 0))
        assert app.picture.selection == Selection("p.source")


async def test_the_mouse_drags_the_graph_along() -> None:
    async with screen(told(many()), (80, 24)) as (app, pilot, view):
        before = app.picture.selection
        await pilot.mouse_down(view, offset=(40, 10))
        await pilot.hover(view, offset=(30, 8))
        await pilot.mouse_up(view, offset=(30, 8))
        await pilot.pause()
        assert (view.scroll_offset.x, view.scroll_offset.y) == (10, 2)
        assert app.picture.selection == before


@pytest.mark.parametrize("size", [(20, 5), (1, 1), (80, 24), (300, 80)])
async def test_any_size_is_drawn(size: tuple[int, int]) -> None:
    async with screen(told(several()), size) as (app, pilot, view):
        await pilot.press("down", "right", "z", "enter", "L", "J", "slash", "a", "escape")
        await pilot.resize_terminal(20, 5)
        await pilot.pause()
        await pilot.resize_terminal(*size)
        app._tick()
        await pilot.pause()
        assert view.drawing is not None


async def test_a_hundred_operators_with_ten_replicas_each_are_laid_out_once_and_drawn_where_they_are_in_sight() -> None:
    model = told(many())
    async with screen(model, (80, 24)) as (app, pilot, view):
        drawing = view.drawing
        assert drawing is not None
        assert len(drawing.layout.places) == 100
        before = app.cells_written
        fill(model, 9)
        app._tick()
        await pilot.pause()
        assert view.drawing is drawing
        assert app.cells_written - before <= 80 * 24
        await pilot.press("f")
        await pilot.pause()
        assert view.drawing.layout.height >= 100


async def test_a_picture_that_took_long_is_followed_by_a_rest() -> None:
    model = told(many())
    async with screen(model, (80, 24)) as (app, _, _):
        app._rests_until = 0.0
        fill(model, 9)
        drawn_before = app.frames_drawn
        app._tick_unless_resting()
        assert app.frames_drawn == drawn_before + 1
        assert app._rests_until > 0.0
        app._rests_until = float("inf")
        fill(model, 10)
        app._tick_unless_resting()
        assert app.frames_drawn == drawn_before + 1


def test_marks_are_wiped_where_records_stop_to_flow_into_a_reader_that_is_stuck() -> None:
    clock = Clock()
    model = PipelineModel("p", pair(), clock=clock)

    def tell(sent: int) -> None:
        for name, port, direction, records in (("source", "out", "out", sent), ("sink", "inp", "in", 1)):
            ref = OperatorRef("p", "r1", f"p.{name}", 0, f"start of {name}", "host", 7)
            at = PortRef(ref, port, "out" if direction == "out" else "in", ("p.sink.inp",))
            lag = 5 if direction == "in" else None
            model.channel_status(ChannelStatus(at, "p.sink.inp", "open", records, 1, 1, lag_records=lag), is_here=True)

    model.pipeline_started(PipelineRef("p", "r1"))
    tell(1)
    clock.now += 1
    tell(2)
    drawing = drawn(model, BOXES)
    (row,) = (line for line in text(drawing) if MARK in line)
    clock.now += 60
    tell(2)
    changes = drawing.take(picture_of(model))
    assert MARK not in "".join(text(drawing))
    assert row.index(MARK) in {change.x for change in changes if change.width == 1}


FIVE = ("generators", "multiplier", "calculator", "aggregates", "collectors")


def seen_of(view: GraphView) -> list[str]:
    return [view.render_line(y).text for y in range(view.size.height)]


@pytest.mark.parametrize(
    ("names", "size"), [(FIVE, (80, 24)), (FIVE, (120, 40)), ((*FIVE, "statistics", "publishers"), (120, 40))]
)
async def test_a_chain_is_in_sight_as_a_whole_with_each_name_and_state(
    names: tuple[str, ...], size: tuple[int, int]
) -> None:
    async with screen(told(chain(*names)), size) as (_, _, view):
        assert (view.max_scroll_x, view.max_scroll_y) == (0, 0)
        (line,) = (line for line in seen_of(view) if line.strip())
        places = [line.index(f"● {name}") for name in names]
        assert places == sorted(places)
        assert line.count(ARROW) == len(names) - 1


async def test_a_chain_of_five_groups_with_names_of_any_length_fits_80_columns_with_signs_where_they_are_cut() -> None:
    names = [f"{name}_of_everything_there_is" for name in FIVE]
    async with screen(told(chain(*names, size=3)), (80, 24)) as (_, pilot, view):
        assert (view.max_scroll_x, view.max_scroll_y) == (0, 0)
        seen = "\n".join(seen_of(view))
        for name in names:
            for word in (f"● {name[:8]}… x3", f"● {name[:9]}…", f"● {name[:7]}…_0", f"● {name[:7]}…_1"):
                assert word in seen
        for _ in SCALES[1:]:  # at all others names are whole
            await pilot.press("z")
            assert view.drawing is not None
            drawn_ = "\n".join(text(view.drawing))
            for name in names:
                assert f"{name} x3" in drawn_


async def test_a_graph_that_is_too_high_tells_as_much_as_its_width_allows() -> None:
    plan = [operator for i in range(40) for operator in group(f"rather_a_long_name_{i}", 0)]
    async with screen(told(plan), (80, 24)) as (_, _, view):
        assert view.drawing is not None
        assert view.drawing.shape.scale.name == "lines"
        assert view.max_scroll_x == 0
        assert view.max_scroll_y > 0


def test_each_column_is_as_wide_as_its_own_names() -> None:
    long = "rather_a_long_name_for_an_operator_of_any_pipeline"
    for scale in SCALES:
        picture = picture_of(told(chain("a", long, "b")))
        widths = [block.width for block in shape_of(picture, scale).blocks]
        assert widths[0] == widths[2] < widths[1]
        if not scale.has_border and not scale.name_room:
            assert widths[1] - widths[0] == len(long) - len("a")
        elif scale.has_border:
            assert widths[0] == scale.width
