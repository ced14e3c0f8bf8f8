"""For each promise of the logger kit a logger that breaks it: one that keeps lines in a list, but for one fault."""

from __future__ import annotations

import traceback
from typing import Any

import pytest
from core.tests.testing.twins import twin_classes

from pypz.core.commons.loggers import ContextLoggerInterface
from pypz.testing import LoggerConformance

LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


class Keeping(ContextLoggerInterface):
    """Breaks nothing."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.least = "INFO"

    def set_log_level(self, log_level: Any) -> None:
        self.least = log_level

    def keep(self, level: str, event: str | None, context: list[str], **kwargs: Any) -> None:
        if LEVELS.index(level) < LEVELS.index(self.least):
            return
        self.lines.append(" | ".join([level, *context, str(event)]))
        if kwargs.get("exc_info"):
            self.lines += traceback.format_exc().splitlines()

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.keep("ERROR", event, context_stack or [], **kwargs)

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.keep("WARNING", event, context_stack or [], **kwargs)

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        self.keep("INFO", event, context_stack or [], **kwargs)

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.keep("DEBUG", event, context_stack or [], **kwargs)


class SaysInfoForAll(Keeping):
    def keep(self, level: str, event: str | None, context: list[str], **kwargs: Any) -> None:
        super().keep("INFO" if self.least == "DEBUG" else level, event, context, **kwargs)


class TurnsTheContextRound(Keeping):
    def keep(self, level: str, event: str | None, context: list[str], **kwargs: Any) -> None:
        super().keep(level, event, context[::-1], **kwargs)


class HasOneLevelForEver(Keeping):
    def set_log_level(self, log_level: Any) -> None:
        if self.least == "INFO":
            self.least = log_level


class FillsPlaceholders(Keeping):
    def keep(self, level: str, event: str | None, context: list[str], **kwargs: Any) -> None:
        super().keep(level, (event or "").replace("%s", "").replace("{x}", ""), context, **kwargs)


class LeavesOutTracebacks(Keeping):
    def keep(self, level: str, event: str | None, context: list[str], **kwargs: Any) -> None:
        super().keep(level, event, context)


class DropsWhenBusy(Keeping):
    count = 0

    def keep(self, level: str, event: str | None, context: list[str], **kwargs: Any) -> None:
        self.count += 1
        if self.count % 100:
            super().keep(level, event, context, **kwargs)


FAULTY: dict[int, type[Keeping]] = {
    1: SaysInfoForAll,
    2: TurnsTheContextRound,
    3: HasOneLevelForEver,
    4: FillsPlaceholders,
    5: LeavesOutTracebacks,
    6: DropsWhenBusy,
}


def fixtures_of(fault: Any) -> dict[str, Any]:
    @pytest.fixture
    def made(self: Any) -> list[Any]:
        return []

    @pytest.fixture
    def make_logger(self: Any, made: list[Any]) -> Any:
        def make() -> Any:
            made.append(fault())
            return made[-1]

        return make

    @pytest.fixture
    def written(self: Any, made: list[Any]) -> Any:
        return lambda: [line for logger in made for line in logger.lines]

    return {fixture.__name__: fixture for fixture in (made, make_logger, written)}


globals().update(twin_classes(LoggerConformance, FAULTY, fixtures_of))
globals()["TestTwin00"] = type("TestTwin00", (LoggerConformance,), fixtures_of(Keeping))
