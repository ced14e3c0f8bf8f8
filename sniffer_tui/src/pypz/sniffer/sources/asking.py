"""Questions to a location that may not answer: asked beside, so that whoever waits is told what was last seen, and may go."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from pypz.core.channels.spi import tells_cause
from pypz.core.commons.errors import TransportTimeoutError
from pypz.core.commons.secrets import conceal

PATIENCE_S: Final = 1.0
"""Seconds that a location may take to answer before that is told, and between two looks at what was last seen (chosen)."""

T = TypeVar("T")


class NoAnswerError(TransportTimeoutError):
    """A location has not answered in the time that whoever asked has given it."""


class Asking:
    """Questions to one transport.

    Args:
        location: Its address.
        transport: What is asked; may tell a cause (`TellsCause`).
        tell: Told, in a line, of every answer that takes long, when what was last seen changes, and of the answer.
        at_most_s: Seconds for all questions together; None: as long as it takes.
    """

    def __init__(
        self, location: str, transport: object, tell: Callable[[str], None], at_most_s: float | None = None
    ) -> None:
        self._shown = shown(location)
        self._transport = transport
        self._tell = tell
        self._deadline = None if at_most_s is None else time.monotonic() + at_most_s
        self._told = ""
        self.is_waiting = False
        """Whether a question has no answer yet, also when nobody waits for it any more."""

    def answer(self, question: Callable[[], T], for_what: str, may_take_s: float = 0.0) -> T:
        """Ask, and wait for the answer; what a location that is away refuses for that reason is asked again.

        Args:
            question: Called in a thread of its own.
            for_what: What its answer tells, in words.
            may_take_s: Seconds that it takes where nothing is wrong.

        Raises:
            NoAnswerError: None within the seconds given; tells the last thing seen.
        """
        while True:
            try:
                found = self._asked(question, for_what, may_take_s)
            except NoAnswerError:
                raise
            except TransportTimeoutError as error:
                self._check(str(error))
                self._say(f"{self._shown}: {str(error).removeprefix(f'{self._shown}: ')}; waits for {for_what}")
                continue
            if self._told:
                self._say(f"{self._shown}: answers")
                self._told = ""
            return found

    def _asked(self, question: Callable[[], T], for_what: str, may_take_s: float) -> T:
        has_ended = threading.Event()
        found: list[T] = []
        failed: list[BaseException] = []

        def ask() -> None:
            try:
                found.append(question())
            except BaseException as error:  # noqa: BLE001 - raised again below, in the waiting thread
                failed.append(error)
            has_ended.set()

        self.is_waiting = True
        threading.Thread(target=ask, name="pypz-sniffer-asks", daemon=True).start()
        has_ended.wait(may_take_s)
        while not has_ended.wait(self._patience_s()):
            cause = cause_of(self._transport)
            self._check(cause)
            self._say(f"{self._shown}: no answer yet{f' ({cause})' if cause else ''}; waits for {for_what}")
        self.is_waiting = False
        if failed:
            raise failed[0]
        return found[0]

    def _patience_s(self) -> float:
        left = PATIENCE_S if self._deadline is None else self._deadline - time.monotonic()
        return max(0.0, min(PATIENCE_S, left))

    def _check(self, last_seen: str) -> None:
        if self._deadline is not None and time.monotonic() >= self._deadline:
            told = f"; last seen: {last_seen}" if last_seen else ""
            raise NoAnswerError(f"{self._shown}: no answer{told}")

    def _say(self, text: str) -> None:
        if text != self._told:
            self._told = text
            self._tell(text)


def cause_of(transport: object) -> str:
    """What a transport last saw go wrong; empty where it saw nothing, or cannot tell."""
    return transport.last_cause() if tells_cause(transport) else ""


def shown(location: str) -> str:
    """A location without its password."""
    return str(conceal({"channelLocation": location})["channelLocation"])
