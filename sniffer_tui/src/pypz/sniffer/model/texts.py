"""Texts of others, made safe to be shown: what a member, a pod or a record says must not move the cursor or clear the screen."""

from __future__ import annotations

from typing import Final

ERROR_WIDTH: Final = 1_000
"""Characters of an error's message that are shown at most (chosen); its traceback tells all of it."""


NAME_WIDTH: Final = 250
"""Characters of a name that are shown at most (Kafka's topics have 249)."""


def name_of(text: str) -> str:
    r"""Give a name without what would move the cursor, no longer than `NAME_WIDTH`.

    >>> name_of("a\x1b[2J"), len(name_of("a" * 10_000))
    ('a·[2J', 250)
    """
    return one_line(text if len(text) <= NAME_WIDTH else f"{text[: NAME_WIDTH - 1]}…")


def one_line(text: str) -> str:
    r"""Give a text without what would move the cursor.

    >>> one_line("a\x1b[2J\nb")
    'a·[2J·b'
    """
    return text if text.isprintable() else "".join(letter if letter.isprintable() else "·" for letter in text)


def sentence(text: str) -> str:
    r"""Give a text of several lines as one, no longer than `ERROR_WIDTH`.

    >>> sentence("no value:\n  port\x1b[2J")
    'no value: port·[2J'
    """
    words = " ".join(text[: 2 * ERROR_WIDTH].split())
    return one_line(words if len(words) <= ERROR_WIDTH else words[: ERROR_WIDTH - 1] + "…")


def lines(text: str) -> str:
    r"""Give a text with its lines and tabs, and nothing else that would move the cursor.

    >>> lines("a\n\tb\x1b[2J\r\n")
    'a\n        b·[2J'
    """
    return "\n".join(one_line(line.expandtabs(8)) for line in text.splitlines())
