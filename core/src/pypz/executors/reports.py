"""Lines on stderr for whoever started an execution: they come also where no logger is."""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pypz.core.commons.errors import PypzError
from pypz.core.commons.secrets import PREFIX, secrets_of

SHORTEST_SECRET: Final = 3
"""Characters; shorter ones are not masked, because they would hit every other word (chosen)."""


def say(text: str) -> None:
    """Write one line to stderr; never fails."""
    with contextlib.suppress(OSError, ValueError, AttributeError):  # closed or broken stderr
        sys.stderr.write(f"{text}\n")
        sys.stderr.flush()


def first_line(error: BaseException) -> str:
    """Give type and message of an error on one line.

    >>> first_line(KeyError("colour"))
    "KeyError: 'colour'"
    >>> first_line(ValueError())
    'ValueError'
    """
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def cause(error: BaseException) -> str:
    """Give an error on one line, with the place where it was raised unless its text says enough."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, PypzError) or not frames:
        return first_line(error)
    return f"{first_line(error)} ({Path(frames[-1].filename).name}, line {frames[-1].lineno})"


class Masker:
    """Replaces secret values in texts, such as an error of a client that repeats its password.

    Also as they stand in the `repr` of a value, in JSON and in a URL, where some characters are written otherwise.

    >>> Masker(["hunter2"])("login as me:hunter2 refused")
    'login as me:*** refused'
    """

    def __init__(self, secrets: Iterable[str]) -> None:
        long_enough = {secret for secret in secrets if len(secret) >= SHORTEST_SECRET}
        found = sorted({form for secret in long_enough for form in _forms_of(secret)}, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, found))) if found else None

    @classmethod
    def of(cls, instance: Any) -> Masker:
        """Mask the secrets of an instance, of all nested in it, and those that the environment supplies."""
        supplied = [value for name, value in os.environ.items() if name.startswith(PREFIX)]
        return cls([*secrets_of(instance).values(), *supplied])

    def __call__(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub("***", text)


def _forms_of(secret: str) -> set[str]:
    """A secret as it may stand in a text, quotes around it left out."""
    quoted = repr(secret)[1:-1]
    return {
        secret,
        quoted,
        quoted.replace("\\'", "'"),  # as in the repr of a longer text, which may choose the other quotes
        quoted.replace("'", "\\'") if "\\'" not in quoted else quoted,
        ascii(secret)[1:-1],
        repr(secret.encode(errors="replace"))[2:-1],
        json.dumps(secret)[1:-1],
        json.dumps(secret, ensure_ascii=False)[1:-1],
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
    }
