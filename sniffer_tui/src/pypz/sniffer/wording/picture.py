"""What a pane of the screen is given to show: one frame, what is to be said of it, what is selected, what is folded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from pypz.sniffer.model.frames import Frame, MemberView, PortView, Selection
from pypz.sniffer.wording.reasons import Diagnosis
from pypz.sniffer.wording.table import FOLD_ABOVE


@dataclass(frozen=True)
class Picture:
    """Everything that the panes show at one moment; a new one is made at most five times a second."""

    frame: Frame
    diagnosis: Diagnosis
    selection: Selection = field(default_factory=Selection)
    folded: Mapping[str, bool] = field(default_factory=dict)
    """What the user has folded or unfolded, by group; the others follow their size."""

    def is_folded(self, group: str, size: int) -> bool:
        """Whether the members of a group (full name of its principal) are shown as one."""
        return self.folded.get(group, size > FOLD_ABOVE)

    @cached_property
    def groups(self) -> Mapping[str, tuple[MemberView, ...]]:
        """The members of each group, the principal first, by the principal's full name; from left to right."""
        found: dict[str, list[MemberView]] = {}
        for member in self.frame.members:
            found.setdefault(member.group, []).append(member)
        return {group: tuple(members) for group, members in found.items()}

    @property
    def selected_members(self) -> tuple[MemberView, ...]:
        """The selected member, or all members of the selected group; none when nothing is selected."""
        members = self.groups.get(self.selection.group, ())
        return tuple(member for member in members if self.selection.member in ("", member.name))

    @property
    def selected_ports(self) -> tuple[PortView, ...]:
        """The selected port of each selected member; none when an operator is selected."""
        return tuple(
            port
            for member in self.selected_members
            for port in member.ports
            if port.name == self.selection.port and self.selection.channel in ("", port.channel)
        )


def settled(picture: Picture) -> Selection:
    """Give what is selected now: folded away, unfolded or gone, the next best thing is."""
    selection, groups = picture.selection, picture.groups
    group = selection.group if selection.group in groups else next(iter(groups), "")
    members = groups.get(group, ())
    if not members:
        return Selection()
    if group != selection.group:
        selection = Selection(group)
    if len(members) > 1 and picture.is_folded(group, len(members)):
        chosen, member = members[0], ""
    else:
        chosen = next((member for member in members if member.name == selection.member), members[0])
        member = chosen.name
    channels = [port.channel for one in (chosen, *members) for port in one.ports if port.name == selection.port]
    if selection.port and not channels:
        return Selection(group, member)
    known = selection.channel in channels or not channels
    return Selection(group, member, selection.port, selection.channel if known else channels[0])
