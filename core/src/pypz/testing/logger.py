"""The kit for loggers: what every logger promises, one test each."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pypz.core.commons.loggers import ContextLogger, ContextLoggerInterface
from pypz.testing.promises import promise, side_by_side

LEVELS = ("error", "warning", "info", "debug")
PATIENCE_S = 60.0


class LoggerConformance:
    """What every logger promises. Give the fixtures; leave the tests alone.

    - ``make_logger``: a function that makes the logger, whose level is what it is unless told otherwise;
    - ``written``: a function that gives all lines written by now, since it was called last.
    """

    @pytest.fixture
    def logger(self, make_logger: Callable[[], ContextLoggerInterface]) -> ContextLogger:
        """The logger under test, in the context of an operator, with every level let through."""
        made = make_logger()
        made.set_log_level("DEBUG")
        return ContextLogger(made, "pipeline.operator", "inner")

    @promise(1)
    def test_01_each_event_is_written_once_with_its_level(
        self, logger: ContextLogger, written: Callable[[], list[str]]
    ) -> None:
        """The level's name in capital letters, and the text."""
        for level in LEVELS:
            getattr(logger, level)(f"event of {level}")
        lines = written()
        for level in LEVELS:
            found = [line for line in lines if f"event of {level}" in line]
            assert len(found) == 1
            assert level.upper() in found[0]

    @promise(2)
    def test_02_the_context_stands_before_the_event_from_the_outermost_in(
        self, logger: ContextLogger, written: Callable[[], list[str]]
    ) -> None:
        """Whose event it is: operator, then what is within it."""
        logger.warning("the event")
        (line,) = (line for line in written() if "the event" in line)
        places = [line.find(part) for part in ("pipeline.operator", "inner", "the event")]
        assert -1 not in places
        assert places == sorted(places)

    @promise(3)
    def test_03_events_below_the_level_are_left_out(
        self, make_logger: Callable[[], ContextLoggerInterface], written: Callable[[], list[str]]
    ) -> None:
        """And the level may be changed at any time."""
        made = make_logger()
        logger = ContextLogger(made, "context")
        made.set_log_level("WARNING")
        for level in LEVELS:
            getattr(logger, level)(f"first {level}")
        made.set_log_level("DEBUG")
        logger.debug("second debug")
        text = "\n".join(written())
        found = [word for word in (*(f"first {level}" for level in LEVELS), "second debug") if word in text]
        assert found == ["first error", "first warning", "second debug"]

    @promise(4)
    def test_04_an_event_is_written_as_it_is(self, logger: ContextLogger, written: Callable[[], list[str]]) -> None:
        """Per cent signs and braces are no placeholders; no event at all is no error."""
        logger.info("100 % of {x} and %s in Größe")
        logger.info(None)
        assert any("100 % of {x} and %s in Größe" in line for line in written())

    @promise(5)
    def test_05_an_exception_is_written_with_its_traceback(
        self, logger: ContextLogger, written: Callable[[], list[str]]
    ) -> None:
        """Asked for by ``exc_info``, as by Python's own loggers."""
        try:
            raise KeyError("the cause")
        except KeyError:
            getattr(logger, LEVELS[0])("it failed", exc_info=True)
        text = "\n".join(written())
        assert "it failed" in text
        assert "Traceback" in text
        assert "KeyError: 'the cause'" in text

    @promise(6)
    def test_06_lines_of_many_threads_are_whole_and_none_is_lost(
        self, logger: ContextLogger, written: Callable[[], list[str]]
    ) -> None:
        """Every operator has threads of its own."""

        def log(turn: int) -> None:
            for number in range(50):
                event = f"<thread {turn} event {number}>"
                logger.info(event)

        side_by_side([lambda turn=turn: log(turn) for turn in range(8)], PATIENCE_S)  # type: ignore[misc]
        lines = [line for line in written() if "<thread" in line]
        assert all(line.count("<thread") == 1 and ">" in line for line in lines)
        for turn in range(8):
            found = [line.partition(f"<thread {turn} event ")[2].partition(">")[0] for line in lines]
            assert [int(number) for number in found if number] == list(range(50))
