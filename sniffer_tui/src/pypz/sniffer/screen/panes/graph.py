"""The graph: boxes from left to right, lines between them, at the scale that fits or that the user chose."""

from __future__ import annotations

from typing import ClassVar, Final, cast

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.scroll_view import ScrollView
from textual.strip import Strip

from pypz.sniffer.graph.cards import SCALES, Scale, joints_of, shape_of
from pypz.sniffer.graph.drawing import Change, Drawing, Look, drawing_of
from pypz.sniffer.graph.layout import smallest_size
from pypz.sniffer.model.frames import Selection
from pypz.sniffer.screen.pane import Pane, Watched
from pypz.sniffer.screen.styles import STYLES
from pypz.sniffer.wording.picture import Picture

MOVE_INTERVAL_S: Final = 0.4
"""Seconds between two steps of the marks that show where records flow (chosen: seen, and cheap)."""

PAN: Final = {"left": (-8, 0), "right": (8, 0), "up": (0, -4), "down": (0, 4)}
"""Cells by which a key moves the view (chosen)."""


class GraphView(ScrollView, can_focus=True):
    """Draws the lines that are in sight; tells the pane of clicks."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "step('up')", "operator above", show=False),
        Binding("down", "step('down')", "operator below", show=False),
        Binding("left", "step('left')", "operator to the left", show=False),
        Binding("right", "step('right')", "operator to the right", show=False),
        Binding("H,shift+left", "pan('left')", show=False),
        Binding("L,shift+right", "pan('right')", show=False),
        Binding("K,shift+up", "pan('up')", show=False),
        Binding("J,shift+down", "pan('down')", show=False),
        Binding("enter", "fold", "fold", show=False),
        Binding("z,plus", "zoom(1)", "zoom", key_display="z"),
        Binding("Z,minus", "zoom(-1)", "zoom out", show=False),
        Binding("0", "fit", "fit", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.drawing: Drawing | None = None
        self._held: tuple[int, int] | None = None
        self._has_panned = False

    # --- drawing ---

    def put(self, drawing: Drawing) -> None:
        """Show another drawing."""
        self.drawing = drawing
        self.virtual_size = Size(drawing.layout.width + 2, drawing.layout.height)
        self.refresh()

    def redraw(self, changes: list[Change]) -> None:
        """Draw cells again, those of them that are in sight."""
        left, top = self._origin()
        sight = self.size.region
        for change in changes:
            region = Region(change.x - left, change.y - top, change.width, 1).intersection(sight)
            if region:
                cast(GraphPane, self.parent).cells_written += region.area
                self.refresh(region)

    def render_line(self, y: int) -> Strip:
        """Give a line of what is in sight."""
        left, top = self._origin()
        base = self.rich_style
        width = self.size.width
        segments, at = [], left
        for piece in () if self.drawing is None else self.drawing.line(y + top):
            if piece.x > at:
                segments.append(Segment(" " * (piece.x - at), base))
            text = piece.text[max(0, at - piece.x) :]
            if text:
                segments.append(Segment(text, base + _style_of(piece.look)))
                at = max(at, piece.x) + len(text)
        return Strip(segments).adjust_cell_length(width, base).crop(0, width)

    def _origin(self) -> tuple[int, int]:
        """Place of the drawing that is in the left upper corner: small drawings stand in the middle."""
        scroll = self.scroll_offset
        if self.drawing is None:
            return (0, 0)
        width, height = self.drawing.layout.width + 2, self.drawing.layout.height
        left = scroll.x if width > self.size.width else -((self.size.width - width) // 2)
        top = scroll.y if height > self.size.height else -((self.size.height - height) // 2)
        return left - 1, top

    def bring_into_sight(self, selection: Selection, *, to_middle: bool = False) -> None:
        """Scroll as far as needed to see what is selected."""
        place = None if self.drawing is None else self.drawing.place_of(selection)
        if place is not None:
            region = Region(place.x, place.y, place.width + 2, place.height)
            if to_middle:
                x = region.x - (self.size.width - region.width) // 2
                self.scroll_to(x, region.y - (self.size.height - region.height) // 2, animate=False)
            else:
                self.scroll_to_region(region, animate=False)

    # --- mouse ---

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to select or to pan."""
        self._held, self._has_panned = (event.screen_x, event.screen_y), False
        self.capture_mouse()

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Pan along with the mouse."""
        if self._held is not None:
            x, y = self._held
            self._held = (event.screen_x, event.screen_y)
            if self._held != (x, y):
                self._has_panned = True
                scroll = self.scroll_offset
                self.scroll_to(scroll.x + x - event.screen_x, scroll.y + y - event.screen_y, animate=False)

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """End to pan."""
        self._held = None
        self.release_mouse()

    def on_click(self, event: events.Click) -> None:
        """Select what was clicked; twice folds or unfolds it."""
        left, top = self._origin()
        found = None if self.drawing is None else self.drawing.at(event.x + left, event.y + top)
        if found is not None and not self._has_panned:
            pane = cast(GraphPane, self.parent)
            pane.select(found)
            if event.chain == 2:
                pane.toggle_fold(found.group)

    # --- keys ---

    def action_pan(self, way: str) -> None:
        """Move the view."""
        x, y = PAN[way]
        self.scroll_to(self.scroll_offset.x + x, self.scroll_offset.y + y, animate=False)

    def action_step(self, way: str) -> None:
        """Select what stands next in a direction."""
        cast(GraphPane, self.parent).step(way)

    def action_fold(self) -> None:
        """Fold or unfold the replicas of what is selected."""
        cast(GraphPane, self.parent).fold()

    def action_zoom(self, by: int) -> None:
        """Tell more or less in each box, around what is selected."""
        cast(GraphPane, self.parent).zoom(by)

    def action_fit(self) -> None:
        """Go back to the scale that fits."""
        cast(GraphPane, self.parent).fit()


class GraphPane(Pane):
    """Shows the graph of a picture; lays it out anew only when boxes come, go or fold."""

    DEFAULT_CSS = """
    GraphView { height: 1fr; scrollbar-size: 1 1; }
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__(watched)
        self._picture: Picture | None = None
        self._scale: int | None = None
        self._laid_out: object = None

    def compose(self) -> ComposeResult:
        """Build the pane."""
        yield GraphView()

    def on_mount(self) -> None:
        """Move the marks from now on."""
        self.set_interval(MOVE_INTERVAL_S, self._move)

    @property
    def view(self) -> GraphView:
        """What is drawn."""
        return self.query_one(GraphView)

    def focus_first(self) -> None:
        """Give the drawing the focus."""
        self.view.focus()

    def show(self, picture: Picture) -> None:
        """Draw a picture."""
        before, self._picture = self._picture, picture
        key = (_structure(picture), self._scale, self.size if self._scale is None else None)
        view = self.view
        if key != self._laid_out or view.drawing is None:
            self._laid_out = key
            view.put(self._fitting(picture))
            view.call_after_refresh(view.bring_into_sight, picture.selection)
        else:
            view.redraw(view.drawing.take(picture))
            if before is None or picture.selection != before.selection:
                view.bring_into_sight(picture.selection)

    def on_resize(self, event: events.Resize) -> None:
        """Choose the scale for the new size."""
        if self._picture is not None:
            self.show(self._picture)

    def step(self, way: str) -> None:
        """Select what stands next in a direction: rows of a box up and down, boxes to the left and right."""
        drawing, picture = self.view.drawing, self._picture
        if drawing is None or picture is None or picture.selection.group not in drawing.layout.places:
            return
        places = drawing.layout.places
        here = places[picture.selection.group]
        row = drawing.place_of(picture.selection) or here
        if way in ("up", "down"):
            column = sorted(
                (stop for group, place in places.items() if place.x == here.x for stop in drawing.stops(group)),
                key=lambda stop: stop[0],
            )
            stops = [selection for y, selection in column if (y < row.y if way == "up" else y > row.y)]
            if row == here and way == "down":  # a whole box: its own first row is the one it stands for
                mine = drawing.stops(picture.selection.group)[0][0]
                stops = [selection for y, selection in column if y > mine]
            if stops:
                self.select(stops[-1 if way == "up" else 0])
            return
        columns = sorted({place.x for place in places.values()})
        number = columns.index(here.x) + (1 if way == "right" else -1)
        if 0 <= number < len(columns):
            groups = [group for group, place in places.items() if place.x == columns[number]]
            near = min(groups, key=lambda group: abs(places[group].y - here.y))
            self.select(drawing.stops(near)[0][1])

    def fold(self) -> None:
        """Fold or unfold the replicas of what is selected."""
        if self._picture is not None:
            self.toggle_fold(self._picture.selection.group)

    def zoom(self, by: int) -> None:
        """Tell more or less in each box; after the nearest scale comes the farthest."""
        drawing = self.view.drawing
        if drawing is not None and self._picture is not None:
            self._scale = (SCALES.index(drawing.shape.scale) + by) % len(SCALES)
            self.show(self._picture)
            self.view.bring_into_sight(self._picture.selection, to_middle=True)

    def fit(self) -> None:
        """Go back to the scale that fits."""
        self._scale = None
        if self._picture is not None:
            self.show(self._picture)

    def _fitting(self, picture: Picture) -> Drawing:
        """Draw at the scale that the user chose, else at the nearest one where all is in sight.

        Boxes of one line are as high at each scale: where there are too many of them, the width decides.
        """
        if self._scale is not None:
            return drawing_of(picture, shape_of(picture, SCALES[self._scale]))
        for scale in reversed(SCALES[1:]):
            shape = shape_of(picture, scale)
            if self._has_room(*smallest_size(shape.blocks, scale.spacing), scale):
                drawing = drawing_of(picture, shape)
                if self._has_room(drawing.layout.width, drawing.layout.height, scale):
                    return drawing
        return drawing_of(picture, shape_of(picture, SCALES[0]))

    def _has_room(self, width: int, height: int, scale: Scale) -> bool:
        is_too_high = height > self.size.height
        bar = 1 if is_too_high else 0
        return width + 2 + bar <= self.size.width and not (is_too_high and scale.has_border)

    def _move(self) -> None:
        drawing = self.view.drawing if self.app.is_running and self.display else None
        if drawing is not None and drawing.is_flowing and self.app.animation_level != "none":
            self.view.redraw(drawing.move())


def _structure(picture: Picture) -> object:
    """Give what decides where boxes and lines stand."""
    boxes = tuple(
        (
            group,
            members[0].level,
            len(members) > 1 and picture.is_folded(group, len(members)),
            tuple((member.name, tuple(dict.fromkeys(port.name for port in member.ports))) for member in members),
        )
        for group, members in picture.groups.items()
    )
    return boxes, joints_of(picture)


def _style_of(look: Look) -> Style:
    return Style.parse(STYLES[look.tone]) + Style(bold=look.is_bold or None, reverse=look.is_reverse or None)
