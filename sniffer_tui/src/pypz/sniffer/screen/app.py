"""The sniffer's screen: a header, panes, a footer; redrawn at most five times a second, and only where they changed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import App, ComposeResult, SystemCommand
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.events import Event, InputEvent, Key, Resize
from textual.screen import Screen
from textual.widgets import Input, Static

from pypz.sniffer.model.frames import Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.screen import garbage
from pypz.sniffer.screen.footer import KeyLine
from pypz.sniffer.screen.header import brief_of, title_of
from pypz.sniffer.screen.help import HelpScreen
from pypz.sniffer.screen.pane import Pane, Place, Watched
from pypz.sniffer.screen.themes import THEMES
from pypz.sniffer.sources.feed import Location
from pypz.sniffer.wording.picture import Picture, settled
from pypz.sniffer.wording.reasons import diagnose

if TYPE_CHECKING:
    from pypz.core.specs.pipeline import Pipeline
    from pypz.sniffer.sources.deployment import Deployment

FRAME_INTERVAL_S: Final = 0.2
"""At most five frames a second (design)."""

REST: Final = 16
"""A picture that took processor time is followed by that many times as long without one (chosen: a sixteenth of a core)."""

BRIEF_FROM: Final = 12
"""Lines from which on there is room to tell more of what is selected."""

PALETTE_FROM: Final = {"main": 100, "side": 100, "full": 140}
"""Columns from which on there is room for the key of the command palette beside the others, by where the open pane stands."""

SIDE_FROM: Final = 140
"""Columns from which on there is room for a pane beside another."""

BELOW_FROM: Final = 44
"""Lines from which on there is room for a pane below another, where there is room for one beside it, too."""


def apart(key: Key) -> Sequence[Key]:
    """Give the keys that were pressed: a letter right behind Escape comes as one with Alt, which nothing here is bound to.

    >>> [one.key for one in apart(Key("alt+shift+n", "N"))], [one.key for one in apart(Key("n", "n"))]
    (['escape', 'N'], ['n'])
    """
    if not key.key.startswith("alt+") or not key.character:
        return (key,)
    return (Key("escape", "\x1b"), Key(key.character, key.character))


@dataclass(frozen=True)
class PaneEntry:
    """A pane that the screen has: its key, its title in a word or two, its class, and where it stands."""

    key: str
    title: str
    pane: str
    """``module:Class`` in `pypz.sniffer.screen.panes`: what is never shown is never imported."""
    place: Place = "main"

    def make(self, watched: Watched) -> Pane:
        """Make the pane."""
        module, _, name = self.pane.partition(":")
        made: type[Pane] = getattr(import_module(f"pypz.sniffer.screen.panes.{module}"), name)
        return made(watched)


PANES: Final[Sequence[PaneEntry]] = (
    PaneEntry("g", "graph", "graph:GraphPane"),
    PaneEntry("t", "table", "table:TablePane"),
    PaneEntry("d", "details", "details:DetailsPane", "side"),
    PaneEntry("r", "records", "records:RecordsPane", "full"),
    PaneEntry("l", "logs", "logs:LogsPane", "full"),
)
"""All panes; the first one is shown at the start."""

MORE_KEYS: Final = (
    ("arrows", "move; also Page Up, Page Down, Home, End"),
    ("enter", "fold or unfold the replicas of this operator"),
    ("H J K L", "move the graph; also Shift and arrows, mouse"),
    ("z Z 0", "tell more or less in each box; as much as fits"),
    ("tab", "the next pane, where several are shown"),
    ("esc", "back to the operators"),
)


class SnifferApp(App[None]):
    """Shows a model until the user quits.

    Args:
        model: What to show.
        pipeline: The watched pipeline, for panes that ask it.
        locations: Where its channels are, for panes that ask them.
        deployment: Where it is deployed, for panes that ask there.
    """

    TITLE = "pypz sniffer"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "quit", show=False, priority=True),
        Binding("question_mark", "help", "help", key_display="?"),  # first in the footer: it must not be cut off
        Binding("q", "quit", "quit"),
        *(Binding(pane.key, f"open('{pane.title}')", pane.title) for pane in PANES),
        Binding("slash", "search", "search", key_display="/", priority=True),  # what is typed behind it is searched
        Binding("f", "fold_all", "fold"),
        Binding("n", "search_next(1)", "next found", show=False),
        Binding("N", "search_next(-1)", "found before", show=False),
        Binding("c", "colours", "colours", show=False),
        Binding("escape", "back", "back", show=False, priority=True),  # the next key already goes to what is shown then
    ]
    CSS = """
    #title { height: 1; padding: 0 1; background: $panel; color: $foreground; }
    #title, #brief { text-wrap: nowrap; text-overflow: ellipsis; }
    #notice { height: auto; max-height: 3; padding: 0 1; color: $warning; display: none; }
    #notice.shown { display: block; }
    .small #notice { max-height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    .narrow FooterKey.-command-palette { display: none; }
    #panes { height: 1fr; }
    #mains { width: 3fr; height: 1fr; }
    #sides { width: 2fr; height: 1fr; }
    .several #sides { max-width: 96; }
    .several Pane {
        border: round $panel; border-title-color: $foreground; border-title-background: $background; height: 1fr;
    }
    .several Pane:focus-within { border: heavy $accent; border-title-style: bold; }
    .several TablePane { height: 2fr; }
    .several GraphPane { height: 3fr; }
    #brief { height: 4; padding: 0 1; border-top: solid $panel; display: none; }
    #brief.shown { display: block; }
    #search { height: 1; border: none; padding: 0 1; display: none; }
    #search:focus { border: none; }
    #search.shown { display: block; }
    """

    def __init__(
        self,
        model: PipelineModel,
        pipeline: Pipeline | None = None,
        locations: Sequence[Location] = (),
        deployment: Deployment | None = None,
    ) -> None:
        has_no_color = "NO_COLOR" in os.environ
        super().__init__(ansi_color=True if has_no_color else None)  # so that Textual leaves colours out, not greys in
        for colours in THEMES.values():
            self.register_theme(colours.theme)
        if has_no_color:
            self.theme = "ansi-dark"
            os.environ["NO_COLOR"] = "1"  # Textual has taken it away from whatever this process starts
        else:
            self.use_colours(next(iter(THEMES)))
        self._model = model
        self._watched = Watched(model, pipeline, locations, deployment)
        self._shown: tuple[int, int] = (-1, -1)
        self._picture = self._picture_of(Picture(model.frame(), diagnose(model.frame())))
        self._panes: dict[str, Pane] = {}
        self._active = PANES[0]
        self._main = PANES[0]
        self._arranging = asyncio.Lock()
        self._rests_until = 0.0
        self._searched = ""
        self._garbage = garbage.GarbageSearch()
        self._screen_size = self.size
        self.frames_drawn = 0
        """Pictures drawn so far, at most five a second."""

    def compose(self) -> ComposeResult:
        """Build the screen."""
        yield Static(id="title", markup=False)
        yield Static(id="notice", markup=False)
        with Horizontal(id="panes"):
            yield Vertical(id="mains")
            yield Vertical(id="sides")
        yield Static(id="brief", markup=False)
        yield Input(
            id="search", placeholder="search: enter goes there, then n and N; esc leaves", select_on_focus=False
        )
        yield KeyLine(compact=True)

    async def on_mount(self) -> None:
        """Draw the first frame and go on."""
        self._handle_signals()
        self._screen_size = self.size
        await self._open(PANES[0])
        self.set_interval(FRAME_INTERVAL_S, self._tick_unless_resting)
        self._garbage.begin()
        self.set_interval(garbage.LOOK_INTERVAL_S, self._garbage.look)

    def on_unmount(self) -> None:
        """Leave the process as it was."""
        self._garbage.end()

    async def on_event(self, event: Event) -> None:
        """Note that somebody is at the keys."""
        if isinstance(event, InputEvent):
            self._garbage.note_key()
        for one in apart(event) if isinstance(event, Key) else (event,):
            await super().on_event(one)

    @property
    def picture(self) -> Picture:
        """What is shown now."""
        return self._picture

    @property
    def cells_written(self) -> int:
        """Cells drawn so far by all panes."""
        return sum(pane.cells_written for pane in self._panes.values())

    def pane(self, title: str) -> Pane:
        """Give an open pane by its title.

        Raises:
            KeyError: It was never opened.
        """
        return self._panes[title]

    def use_colours(self, name: str) -> None:
        """Draw in the colours of a theme, until the screen closes."""
        if not self.no_color:
            theme, named = THEMES[name]
            self.ansi_theme_dark = self.ansi_theme_light = named
            self.theme = theme.name

    # --- asked by panes ---

    def select(self, selection: Selection) -> None:
        """Select something else, for all panes."""
        self._redraw(replace(self._picture, selection=selection))

    def toggle_fold(self, group: str) -> None:
        """Fold or unfold the replicas of a group."""
        size = len(self._picture.groups.get(group, ()))
        if size > 1:
            self._fold({group: not self._picture.is_folded(group, size)})

    # --- keys ---

    async def action_open(self, title: str) -> None:
        """Show a pane, by its title."""
        await self._open(next(entry for entry in PANES if entry.title == title))

    async def action_back(self) -> None:
        """End the search, or go back to the operators."""
        is_search = self.focused is self._search_line
        self._base.set_focus(None)  # at once: the next key is not for a line any more
        if is_search:
            self._end_search()
        else:
            await self._open(self._main)

    def action_fold_all(self) -> None:
        """Fold all groups, or unfold them when none is left to fold."""
        sizes = {group: len(members) for group, members in self._picture.groups.items() if len(members) > 1}
        fold = any(not self._picture.is_folded(group, size) for group, size in sizes.items())
        self._fold(dict.fromkeys(sizes, fold))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Leave a slash to lines that are typed in, and it and Escape to screens above."""
        if action in ("search", "back"):
            return self.screen is self._base and not (action == "search" and isinstance(self.focused, Input))
        return super().check_action(action, parameters)

    def action_search(self) -> None:
        """Ask what to search in the pane that is open; the next key already goes to the line."""
        line = self._search_line
        line.value = ""
        line.add_class("shown")
        self._base.set_focus(line)

    def action_search_next(self, step: int) -> None:
        """Go to the next one of what was searched last, or to the one before."""
        pane = self._active_pane
        if self._searched and pane is not None and not pane.search(self._searched, step, self._picture):
            self.bell()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Go along while the user types."""
        if event.input is self._search_line and event.value:
            self._searched = event.value
            if self._active_pane is not None:
                self._active_pane.search(event.value, 0, self._picture)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Leave the search at what was found."""
        if event.input is self._search_line:
            self._end_search()

    def action_colours(self) -> None:
        """Draw in the colours of the next theme."""
        names = list(THEMES)
        if self.theme in names:
            self.use_colours(names[(names.index(self.theme) + 1) % len(names)])

    def action_help(self) -> None:
        """Explain keys and words."""
        self.push_screen(HelpScreen(self._keys()))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Give what the command palette offers: all that has a key, too."""
        for entry in PANES:
            yield SystemCommand(f"Show {entry.title}", f"Key {entry.key}", lambda entry=entry: self._open(entry))
        yield SystemCommand("Fold or unfold replicas", "Of all operators: key f", self.action_fold_all)
        yield SystemCommand("Search", "In the pane that is open: key /", self.action_search)
        for name in () if self.no_color else THEMES:
            yield SystemCommand(f"Colours: {name}", "Key c: the next ones", partial(self.use_colours, name))
        yield SystemCommand("Help", "Keys and words: key ?", self.action_help)
        yield SystemCommand("Quit", "The pipeline goes on: key q", self.action_quit)

    async def on_resize(self, event: Resize) -> None:
        """Show as many panes as fit the new size."""
        self._screen_size = event.size  # ours is still the old one
        await self._arrange()
        self._redraw(self._picture)

    # --- panes ---

    async def _open(self, entry: PaneEntry) -> None:
        self._active = entry
        if entry.place == "main":
            self._main = entry
        await self._arrange()
        self._redraw(self._picture)
        self._panes[entry.title].focus_first()

    async def _arrange(self) -> None:
        """Make the panes that are to be seen, and show no others."""
        async with self._arranging:  # keys and sizes come by different tasks
            shown = self._entries_shown()
            for entry in shown:
                if entry.title not in self._panes:
                    pane = entry.make(self._watched)
                    pane.border_title = entry.title
                    await self._base.query_one("#sides" if entry.place == "side" else "#mains").mount(pane)
                    self._panes[entry.title] = pane
            titles = {entry.title for entry in shown}
            for title, pane in self._panes.items():
                pane.display = title in titles
            self._make_room(shown)

    def _make_room(self, shown: Sequence[PaneEntry]) -> None:
        """Divide the screen between the panes that are shown."""
        has_side = any(entry.place == "side" for entry in shown)
        has_main = any(entry.place != "side" for entry in shown)
        self._base.query_one("#mains").display = has_main
        self._base.query_one("#sides").display = has_side
        width, height = self._screen_size
        self._base.set_class(len(shown) > 1, "several")
        self.set_class(height < BRIEF_FROM, "small")
        self.set_class(width < PALETTE_FROM[self._active.place], "narrow")
        has_brief = height >= BRIEF_FROM and not has_side and self._active.place == "main"
        self._base.query_one("#brief").set_class(has_brief, "shown")

    def _entries_shown(self) -> list[PaneEntry]:
        width, height = self._screen_size
        if self._active.place == "full" or width < SIDE_FROM:
            return [self._active]
        sides = [entry for entry in PANES if entry.place == "side"]
        mains = [entry for entry in PANES if entry.place == "main"] if height >= BELOW_FROM else [self._main]
        return [*mains, self._active if self._active in sides else sides[0]] if sides else mains

    @property
    def _active_pane(self) -> Pane | None:
        """The pane that was opened last; None while it is being made."""
        return self._panes.get(self._active.title)

    def _visible(self) -> Iterator[Pane]:
        return (pane for pane in self._panes.values() if pane.display)

    # --- drawing ---

    def _tick_unless_resting(self) -> None:
        """Draw a picture, but large ones less often, so that they cost no more of a core than small ones."""
        began_s = time.monotonic()
        if began_s >= self._rests_until:
            spent_s = time.thread_time()
            self._tick()
            self._rests_until = began_s + REST * (time.thread_time() - spent_s)

    def _tick(self) -> None:
        if self.is_running and (self._model.version, int(time.monotonic())) != self._shown:
            self._shown = (self._model.version, int(time.monotonic()))
            frame = self._model.frame()
            self._redraw(replace(self._picture, frame=frame, diagnosis=diagnose(frame)))

    def _redraw(self, picture: Picture) -> None:
        self.frames_drawn += 1
        self._picture = picture = self._picture_of(picture)
        self._set_text("#title", title_of(picture))
        self._base.query_one("#notice", Static).set_class(bool(picture.frame.notice), "shown")
        self._set_text("#notice", Text(picture.frame.notice))
        self._set_text("#brief", brief_of(picture))
        for pane in self._visible():
            pane.show(picture)

    def _picture_of(self, picture: Picture) -> Picture:
        return replace(picture, selection=settled(picture))

    def _fold(self, folded: dict[str, bool]) -> None:
        self._redraw(replace(self._picture, folded={**self._picture.folded, **folded}))

    def _set_text(self, selector: str, text: Text) -> None:
        widget = self._base.query_one(selector, Static)
        if widget.content != text:
            widget.update(text)

    @property
    def _base(self) -> Screen[object]:
        """The screen with the panes, whatever lies above it."""
        return self.screen_stack[0]

    # --- search ---

    @property
    def _search_line(self) -> Input:
        return self._base.query_one("#search", Input)

    def _end_search(self) -> None:
        self._search_line.remove_class("shown")
        if self._active_pane is not None:
            self._active_pane.focus_first()

    def _keys(self) -> Iterator[tuple[str, str]]:
        yield from MORE_KEYS
        for entry in PANES:
            yield entry.key, f"show the {entry.title}"
        yield "f", "fold or unfold the replicas of all operators"
        yield "/ n N", "search; the next one, the one before"
        yield "c", "other colours: dark, light, high contrast, none"
        yield "^p", "all commands"
        yield "?", "this help; any key closes it"
        yield "q", "quit, as Ctrl-C does; the pipeline goes on"

    # --- end ---

    def _handle_signals(self) -> None:
        """Let SIGINT and SIGTERM leave the terminal as it was."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                with contextlib.suppress(NotImplementedError, ValueError):
                    asyncio.get_running_loop().add_signal_handler(number, self.exit)
