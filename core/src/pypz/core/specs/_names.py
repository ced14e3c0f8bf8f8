"""The rule for names of instances."""

from __future__ import annotations

import re
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
