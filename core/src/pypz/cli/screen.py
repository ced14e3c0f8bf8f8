"""Where the command line writes: results to stdout, all else to stderr; long lines are left to the terminal.

``NO_COLOR`` is respected (by rich).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console


def stdout() -> Console:
    """Console for results."""
    from rich.console import Console

    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def stderr() -> Console:
    """Console for progress and errors."""
    from rich.console import Console

    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def as_json_text(value: Any) -> str:
    """A result as JSON for scripts; what JSON does not know (sets, bytes, dates, ...) as lists and text."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=_plain) + "\n"


def as_json_line(value: Any) -> str:
    """One of many results: JSON on one line."""
    return json.dumps(value, ensure_ascii=False, default=_plain) + "\n"


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value, key=str)
    if isinstance(value, bytes):
        return value.decode("utf-8", "backslashreplace")
    return str(value)
