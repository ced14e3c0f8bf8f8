"""Small helpers that the model and its executors share; none of them knows an instance."""

from __future__ import annotations

import copy
import os
import re
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from pypz.core.commons.errors import InstanceTypeError

_T = TypeVar("_T")

_IMMUTABLE = (str, int, float, bool, bytes, type(None))


def ensure_type(value: Any, expected: type[_T]) -> _T:
    """Give ``value`` back when it is an instance of ``expected``.

    Raises:
        InstanceTypeError: It is not; a TypeError.

    >>> ensure_type(3, int)
    3
    """
    if not isinstance(value, expected):
        raise InstanceTypeError(f"expected {expected.__qualname__}, got {type(value).__qualname__}")
    return value


def current_time_millis() -> int:
    """Milliseconds since 1970 by this machine's clock."""
    return time.time_ns() // 1_000_000


def is_type_allowed(value: Any, allowed_types: tuple[type, ...]) -> bool:
    """Tell whether ``value`` and everything in its lists, sets and dicts is of the given types.

    >>> is_type_allowed({"a": [1, 2]}, (str, int, list, dict)), is_type_allowed([(1,)], (int, list))
    (True, False)
    """
    return find_disallowed(value, allowed_types) is None


def find_disallowed(value: Any, allowed_types: tuple[type, ...], place: str = "") -> tuple[str, type] | None:
    """Give place and type of the first thing that is none of ``allowed_types``; None when all are.

    >>> find_disallowed({"a": [1, (2,)]}, (str, int, list, dict))
    ("['a'][1]", <class 'tuple'>)
    """
    if not isinstance(value, allowed_types):
        return place, type(value)
    if isinstance(value, dict):
        for key, inner in value.items():
            found = find_disallowed(key, allowed_types, f"{place} key")
            found = found or find_disallowed(inner, allowed_types, f"{place}[{key!r}]")
            if found is not None:
                return found
    elif isinstance(value, list | set):
        for index, inner in enumerate(value):
            found = find_disallowed(inner, allowed_types, f"{place}[{index}]")
            if found is not None:
                return found
    return None


def convert_to_dict(value: Any) -> Any:
    """Turn objects into dicts of their attributes, all the way down; lists, sets and plain values stay what they are."""
    if isinstance(value, dict):
        return {key: convert_to_dict(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [convert_to_dict(inner) for inner in value]
    if isinstance(value, set):
        return set(value)
    if isinstance(value, _IMMUTABLE):
        return value
    return {key: convert_to_dict(inner) for key, inner in vars(value).items() if not key.startswith("_")}


def map_strings(value: Any, change: Callable[[str], str]) -> Any:
    """Copy ``value`` with ``change`` applied to every string in it, but not to the keys of dicts.

    Subclasses of the plain types (an enumeration's members, ordered dicts) become the plain types.
    """
    if isinstance(value, str):
        return change(str.__str__(value))
    if isinstance(value, dict):
        return {key: map_strings(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [map_strings(inner, change) for inner in value]
    if isinstance(value, set):
        return {map_strings(inner, change) for inner in value}
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return int(value)
    return float(value) if isinstance(value, float) else value


class TemplateResolver:
    """Replaces ``<left>env:NAME<right>`` in texts by the environment variable NAME.

    ``<left>env:NAME:-default<right>`` gives the default, up to the first closing bracket, where the variable is not set
    or empty, as in a shell. Without default it then becomes the empty text, and so does a template that does not begin
    with ``env:``.

    >>> TemplateResolver("${", "}").resolve(["a${env:PYPZ_NO_SUCH}b", "${env:PYPZ_NO_SUCH:-here}", 1])
    ['ab', 'here', 1]
    """

    def __init__(self, left: str, right: str) -> None:
        self._pattern = re.compile(f"{re.escape(left)}(.*?){re.escape(right)}", re.DOTALL)
        self._left = left

    def resolve(self, value: Any) -> Any:
        """Give a copy of ``value`` with all templates in its strings resolved; keys of dicts stay as they are."""
        return map_strings(value, self._resolve_text)

    def has_template(self, value: Any) -> bool:
        """Tell whether any string in ``value`` holds a template."""
        return bool(self.names(value))

    def names(self, value: Any) -> list[str]:
        """Give what stands between the brackets, in order of appearance."""
        found: list[str] = []

        def note(text: str) -> str:
            found.extend(self._pattern.findall(text))
            return text

        map_strings(value, note)
        return found

    def _resolve_text(self, text: str) -> str:
        return self._pattern.sub(self._replacement, text) if self._left in text else text

    @staticmethod
    def _replacement(match: re.Match[str]) -> str:
        kind, _, name = match.group(1).partition(":")
        if kind != "env":
            return ""
        variable, _, default = name.partition(":-")
        return os.environ.get(variable) or default


class SynchronizedReference(Generic[_T]):
    """A value that threads share: each `get` of a mutable value gives a copy of its own."""

    def __init__(self, value: _T) -> None:
        self._value = value
        self._lock = threading.Lock()

    def get(self) -> _T:
        """Give the value; mutable ones as a deep copy."""
        with self._lock:
            return self._value if isinstance(self._value, _IMMUTABLE) else copy.deepcopy(self._value)

    def set(self, value: _T) -> None:
        """Put another value in place of the present one."""
        with self._lock:
            self._value = value


class InterruptableTimer:
    """A sleep that another thread can end; it waits on an event, so it costs nothing."""

    def __init__(self) -> None:
        self._interrupted = threading.Event()

    def sleep(self, seconds: float) -> bool:
        """Wait; an `interrupt` from before that nobody has slept through yet ends it at once.

        Returns:
            Whether it was interrupted.
        """
        interrupted = self._interrupted.wait(seconds)
        self._interrupted.clear()
        return interrupted

    def interrupt(self) -> None:
        """End the running sleep, or the next one when none is running."""
        self._interrupted.set()
