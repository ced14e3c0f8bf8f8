"""Members of a deployed pipeline as a table."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from pypz.deployers.base import DeploymentState, MemberStatus

if TYPE_CHECKING:
    from rich.table import Table

_STYLES: Final = {
    DeploymentState.Running: "green",
    DeploymentState.Completed: "dim",
    DeploymentState.Failed: "red",
    DeploymentState.Unhealthy: "red",
    DeploymentState.Open: "yellow",
}
LONGEST_NAME: Final = 40
"""Characters of a name that take no room from the other columns, however narrow the terminal (chosen, for 80)."""
SECONDS_OF: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


def table_of(members: Sequence[MemberStatus], title: str) -> Table:
    """A line for each member; columns that would be empty are left out."""
    from rich import box
    from rich.table import Table

    table = Table(title=title, title_justify="left", box=box.SIMPLE, pad_edge=False)
    columns = [
        ("member", [member.name for member in members]),
        ("state", [member.state.name for member in members]),
        ("restarts", [str(member.restarts or "") for member in members]),
        ("age", ["" if m.since_utc is None else age_in_words(time.time() - m.since_utc) for m in members]),
        ("host", [member.host for member in members]),
        ("reason", [member.reason for member in members]),
    ]
    columns = [(heading, cells) for heading, cells in columns if any(cells) or heading in ("member", "state")]
    for heading, cells in columns:
        if heading == "reason" or (heading == "member" and max(map(len, cells), default=0) > LONGEST_NAME):
            table.add_column(heading, overflow="fold")
        else:
            table.add_column(heading, no_wrap=True, justify="right" if heading in ("restarts", "age") else "left")
    for place, member in enumerate(members):
        table.add_row(*(cells[place] for _, cells in columns), style=_STYLES.get(member.state, ""))
    return table


def age_in_words(seconds: float) -> str:
    """The two largest parts of a time.

    >>> age_in_words(4), age_in_words(3_700), age_in_words(200_000)
    ('4s', '1h1m', '2d7h')
    """
    rest, found = max(0, int(seconds)), []
    for unit, length in SECONDS_OF:
        if rest >= length:
            found.append(f"{rest // length}{unit}")
            rest %= length
    return "".join(found[:2]) or "0s"
