"""What a part of the sniffer's screen is: the base of all panes, and what they may ask of the screen.

To add a pane, write a subclass of `Pane` in `pypz.sniffer.screen.panes` and add a line to `PANES` in `pypz.sniffer.screen.app`;
key, footer hint, help and command palette follow from that line.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol, cast

from textual.widget import Widget

from pypz.sniffer.model.frames import Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.sources.feed import Location
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.table import short_name

if TYPE_CHECKING:
    from pypz.core.specs.pipeline import Pipeline
    from pypz.sniffer.sources.deployment import Deployment

Place = Literal["main", "side", "full"]
"""Where a pane stands: ``main`` on the left, one below another where there is room (else one at a time); ``side`` beside
them where there is room (else alone); ``full`` alone."""


@dataclass(frozen=True)
class Watched:
    """What is watched, for panes that ask more of it than the pictures tell (records, parameters, logs)."""

    model: PipelineModel
    pipeline: Pipeline | None = None
    """The pipeline as the user gave it, or as it was rebuilt; None where only the model is known. It is only read."""
    locations: Sequence[Location] = ()
    """Where its channels and status streams are."""
    deployment: Deployment | None = None
    """Where it is deployed; None when that is not known."""


class Desk(Protocol):
    """What a pane may ask of the screen around it."""

    def select(self, selection: Selection) -> None:
        """Select something else, for all panes."""

    def toggle_fold(self, group: str) -> None:
        """Fold or unfold the replicas of a group."""


class Pane(Widget):
    """A part of the screen.

    A pane is made when it is first shown, and gets every new `Picture` by `show` while it is visible: on each change of what
    is known, at most five times a second, once a second while nothing changes, and at once when the user selects, folds or
    opens it. While it is hidden it gets none and should do nothing. Everything happens in the screen's thread: whatever
    takes longer than a few milliseconds belongs into a worker (``run_worker(..., thread=True)``).

    It changes the selection by `select`, folds by `toggle_fold`; both come back as a new picture. Keys of its own are its
    ``BINDINGS``; they count while it, or a widget in it, has the focus. `focus_first` says which widget gets it.
    """

    def __init__(self, watched: Watched) -> None:
        super().__init__()
        self.watched = watched
        self.cells_written = 0
        """Cells of a table or graph drawn so far: unchanged ones are not drawn again."""

    def show(self, picture: Picture) -> None:
        """Draw a picture; touch only what is different from the last one."""
        raise NotImplementedError

    def focus_first(self) -> None:
        """Take the focus, as the pane was opened by its key."""
        self.focus()

    def search(self, text: str, step: int, picture: Picture) -> bool:
        """Go to what the user searches; gives whether there is anything.

        Unless a pane searches in something of its own (lines, records), it goes to operators and ports by their name.

        Args:
            text: Any case, never empty.
            step: 0 while the user types (stay, if what is selected fits), 1 for the next one, -1 for the one before.
            picture: What is shown.
        """
        found = [one for one in searchable(picture) if text.casefold() in name_of(one, picture).casefold()]
        if not found:
            return False
        every = list(searchable(picture))
        here = next((i for i, one in enumerate(every) if one == picture.selection), 0)
        places = [every.index(one) for one in found]
        if step >= 0:
            target = next((place for place in places if place >= here + step), places[0])
        else:
            target = next((place for place in reversed(places) if place < here), places[-1])
        self.select(every[target])
        return True

    def select(self, selection: Selection) -> None:
        """Select something else, for all panes."""
        cast(Desk, self.app).select(selection)

    def toggle_fold(self, group: str) -> None:
        """Fold or unfold the replicas of a group, for all panes."""
        cast(Desk, self.app).toggle_fold(group)


def searchable(picture: Picture) -> Iterable[Selection]:
    """Give all that can be selected now, from left to right: groups that are folded, members of the others, and their ports."""
    for group, members in picture.groups.items():
        shown = members[:1] if len(members) > 1 and picture.is_folded(group, len(members)) else members
        for member in shown:
            name = member.name if shown is members else ""
            yield Selection(group, name)
            for port in member.ports:
                yield Selection(group, name, port.name, port.channel)


def name_of(selection: Selection, picture: Picture) -> str:
    """Give the name by which something is searched, without the pipeline's."""
    name = short_name(selection.member or selection.group, picture.frame.pipeline)
    return f"{name}.{selection.port}" if selection.port else name
