"""The rule for names of instances, and names that are nearly right."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from pypz.core.commons.errors import InstanceError, InstanceTypeError

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_-]*")


def check_name(owner: type, name: Any) -> str:
    """Give the name back when it is a legal one.

    Raises:
        InstanceError: None, or characters that are not accepted; an AttributeError.
        InstanceTypeError: No text; a TypeError.
    """
    if name is None:
        raise InstanceError(
            f"{owner.__qualname__}: a name is needed, such as {owner.__name__}('my_name'); only inside methods of another "
            "instance it is taken from the attribute"
        )
    if not isinstance(name, str):
        raise InstanceTypeError(f"{owner.__qualname__}: the name must be a text, got {type(name).__qualname__}")
    if _NAME.fullmatch(name) is None:
        raise InstanceError(
            f"{owner.__qualname__}: '{name}' is no legal name; expected letters, digits, '_' and '-', "
            "beginning with a letter or '_'"
        )
    return name


def nearest_name(name: str, known: Iterable[str]) -> str | None:
    """Give the known name that ``name`` is probably a slip of: one or two letters away, or other in case; None for none.

    >>> nearest_name("channelLocaton", ["channelLocation", "channelConfig"]), nearest_name("count", ["counts_of_all"])
    ('channelLocation', None)
    """
    import difflib

    folded = {entry.casefold().replace("_", ""): entry for entry in known}
    wanted = name.casefold().replace("_", "")
    near = difflib.get_close_matches(wanted, [entry for entry in folded if abs(len(entry) - len(wanted)) <= 2], 1, 0.85)
    return folded[near[0]] if near else None
