"""Values that are refused: one at a time where something is to run, all at once where somebody only asks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

from pypz.core.commons.errors import PypzError

_collected: ContextVar[list[PypzError] | None] = ContextVar("pypz_faults", default=None)


def refuse(error: PypzError) -> None:
    """Raise the error; inside `collecting` note it and go on."""
    found = _collected.get()
    if found is None:
        raise error
    found.append(error)


@contextlib.contextmanager
def collecting() -> Iterator[list[PypzError]]:
    """Give a list that gets all that is refused in the block, also what is raised, which ends the block."""
    found: list[PypzError] = []
    token = _collected.set(found)
    try:
        yield found
    except PypzError as error:
        found.append(error)
    finally:
        _collected.reset(token)
