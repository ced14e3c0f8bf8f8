"""Log lines of a member on their way to observers: masked, cut, counted, at most so many a second."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.core.commons.errors import ConfigurationError, LoggingRecursionError
from pypz.core.commons.loggers import ContextLogger, DefaultContextLogger
from pypz.core.hooks import lines
from pypz.core.hooks.events import LogRecord, OperatorRef
from pypz.core.hooks.lines import KEPT_FREE, LINES_A_SECOND, LONGEST_TEXT, MemberLog, lowest_level
from pypz.core.specs._fan_out import FanOutLogger
from pypz.core.specs.misc import BlankOperator

MEMBER = OperatorRef("pipe", "run1", "pipe.reader", 0, "start1")


class Listener:
    """Takes what it is told."""

    def __init__(self) -> None:
        self.told: list[LogRecord] = []
        self.is_wanted = True
        self.is_full = False

    def wants(self, hook: str) -> bool:
        return self.is_wanted and hook == "pypz_log"

    def log(self, record: LogRecord) -> bool:
        if not self.is_full:
            self.told.append(record)
        return not self.is_full

    @property
    def texts(self) -> list[str]:
        return [record.text for record in self.told]


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def listener() -> Listener:
    return Listener()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def make(listener: Listener, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., MemberLog]]:
    made: list[MemberLog] = []
    monkeypatch.setattr(lines, "SECOND_S", 1.0)

    def make(masked: Callable[[str], str] = lambda text: text, lowest: int = logging.INFO) -> MemberLog:
        made.append(MemberLog(listener, MEMBER, masked, lowest, clock, lambda: 5.0))
        return made[-1]

    yield make
    for one in made:
        one.close()


def logger_of(tap: MemberLog | None, *loggers: Any) -> ContextLogger:
    return ContextLogger(FanOutLogger(loggers, lambda: tap), "pipe.reader")


def test_a_line_carries_whose_it_is_its_level_its_context_and_its_values(
    make: Callable[..., MemberLog], listener: Listener
) -> None:
    member = ContextLogger(FanOutLogger((), make), "pipe.reader", "port")
    member.warning("read %s of %d", "a.txt", 7, records=3)
    assert listener.told == [
        LogRecord(MEMBER, "WARNING", "read a.txt of 7 records=3", ("pipe.reader", "port"), 5.0, 1, 0)
    ]
    assert LogRecord.from_json(listener.told[0].to_json()) == listener.told[0]


def test_levels_below_the_lowest_are_not_told(make: Callable[..., MemberLog], listener: Listener) -> None:
    member = logger_of(make())
    member.debug("detail")
    member.info("information")
    assert listener.texts == ["information"]
    logger_of(make(lowest=logging.DEBUG)).debug("detail")
    assert [(record.level, record.text) for record in listener.told[1:]] == [("DEBUG", "detail")]


def test_nothing_is_made_of_a_line_that_nobody_observes(make: Callable[..., MemberLog], listener: Listener) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("not to be shown")

    listener.is_wanted = False
    logger_of(make()).info("%s", Costly())
    assert listener.told == []


def test_a_flood_is_cut_and_told_of_and_leaves_room_for_warnings(
    make: Callable[..., MemberLog], listener: Listener, clock: Clock
) -> None:
    tap = make()
    member = logger_of(tap)
    for number in range(1000):
        member.info(f"line {number}")
    for number in range(50):
        member.error(f"error {number}")
    information = LINES_A_SECOND - KEPT_FREE
    assert listener.texts == [f"line {n}" for n in range(information)] + [f"error {n}" for n in range(KEPT_FREE)]
    clock.now += 1.0
    member.info("later")
    dropped = 1050 - LINES_A_SECOND
    told, later = listener.told[LINES_A_SECOND:]
    assert told.text == f"{dropped} lines were left out here: too many in a second"
    assert (told.level, told.number, told.dropped) == ("WARNING", 1051, dropped)
    assert (later.text, later.number, later.dropped) == ("later", 1052, dropped)


def test_what_was_left_out_is_told_though_no_line_follows(
    make: Callable[..., MemberLog], listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lines, "SECOND_S", 0.05)
    tap = make()  # its clock stands still: only the timer can tell
    for number in range(LINES_A_SECOND):
        logger_of(tap).info("line %d", number)
    deadline = threading.Event()
    for _ in range(1000):
        if len(listener.told) > LINES_A_SECOND - KEPT_FREE:
            break
        deadline.wait(0.01)
    assert listener.told[-1].text == f"{KEPT_FREE} lines were left out here: too many in a second"
    logger_of(tap).info("one more")
    tap.close()
    assert listener.told[-1].text == "1 line was left out here: too many in a second"
    logger_of(tap).error("after the end")
    assert listener.told[-1].level == "WARNING"
    assert not [
        thread for thread in threading.enumerate() if thread.name == "pypz-log pipe.reader" and thread.is_alive()
    ]


def test_lines_that_observers_have_no_room_for_are_counted(make: Callable[..., MemberLog], listener: Listener) -> None:
    tap = make()
    listener.is_full = True
    logger_of(tap).info("lost")
    listener.is_full = False
    logger_of(tap).info("told")
    assert [(r.text, r.number, r.dropped) for r in listener.told] == [("told", 2, 1)]
    tap.close()
    assert listener.texts[-1] == "1 line was left out here: too many in a second"


def test_secrets_are_masked_and_long_texts_cut(make: Callable[..., MemberLog], listener: Listener) -> None:
    member = logger_of(make(masked=lambda text: text.replace("hunter2", "***")))
    member.info("login with %s", "hunter2")
    member.info("x" * (LONGEST_TEXT - 3) + "hunter2")
    assert listener.texts[0] == "login with ***"
    assert "hunter" not in listener.texts[1]
    member.info("y" * (LONGEST_TEXT + 5))
    assert listener.texts[2] == "y" * LONGEST_TEXT + "... (5 more characters)"
    ContextLogger(member, "user hunter2", "z" * (LONGEST_TEXT + 1)).info("in")
    assert listener.told[3].context == ("user ***", "z" * LONGEST_TEXT + "... (1 more characters)")


def test_what_cannot_be_shown_harms_nobody(make: Callable[..., MemberLog], listener: Listener) -> None:
    class Odd:
        def __str__(self) -> str:
            raise RuntimeError("no words")

    member = logger_of(make())
    member.info("%d of %d", "three")
    member.info("%s", Odd())
    member.info(None)
    assert listener.texts == ["%d of %d ('three',)", "'%s' (cannot be shown: RuntimeError)", ""]


def test_an_error_brings_its_traceback(make: Callable[..., MemberLog], listener: Listener) -> None:
    member = logger_of(make())
    try:
        raise KeyError("colour")
    except KeyError as error:
        member.error("failed", exc_info=True)
        member.error("failed", exc_info=error)
    for text in listener.texts:
        assert text.startswith("failed\nTraceback (most recent call last):")
        assert text.endswith("KeyError: 'colour'")


def test_a_logger_that_logs_again_is_refused_and_its_line_told_once(
    make: Callable[..., MemberLog], listener: Listener
) -> None:
    class Again(DefaultContextLogger):
        def _info(self, event: Any = None, context_stack: Any = None, *args: Any, **kwargs: Any) -> Any:
            member.info("again")

    member = logger_of(make(), Again("again"))
    with pytest.raises(LoggingRecursionError):
        member.info("once")
    assert listener.texts == ["once"]


def test_lines_of_many_threads_have_growing_numbers(make: Callable[..., MemberLog], listener: Listener) -> None:
    tap = make()
    threads = [
        threading.Thread(target=lambda n=n: [logger_of(tap).info(f"{n} {i}") for i in range(50)]) for n in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    tap.close()
    numbers = [record.number for record in listener.told]
    assert numbers == sorted(set(numbers))
    assert (len(numbers) - 1) + listener.told[-1].dropped == 400
    assert numbers[-1] == 401


@pytest.mark.parametrize(
    ("given", "level"),
    [(None, logging.INFO), ("DEBUG", logging.DEBUG), ("ERROR", logging.ERROR), ("OFF", logging.CRITICAL + 1)],
)
def test_the_lowest_level_is_a_parameter(given: str | None, level: int) -> None:
    operator = BlankOperator("reader")
    assert lowest_level(operator) == logging.INFO
    operator.set_parameter("logStreamLevel", given)
    assert lowest_level(operator) == level


def test_a_level_that_does_not_exist_is_refused() -> None:
    operator = BlankOperator("reader")
    operator.set_parameter("logStreamLevel", "LOUD")
    with pytest.raises(ConfigurationError, match=r"reader: parameter 'logStreamLevel' is 'LOUD', expected ERROR, WARN"):
        lowest_level(operator)
