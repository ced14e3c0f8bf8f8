"""Section 17: lines of the default logger, and who hears what an operator logs."""

from __future__ import annotations

import logging
import re
import sys
from typing import Any

import pytest

from pypz.core.commons.loggers import ContextLogger, ContextLoggerInterface, DefaultContextLogger
from pypz.core.specs.misc import BlankOperator, BlankPlugin
from pypz.core.specs.plugin import LoggerPlugin

RESET = "\x1b[0m"


def pretend_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Called in the test itself: pytest puts its stdout in place only after the fixtures."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)


def test_a_line_has_level_time_name_context_and_message(capsys: pytest.CaptureFixture[str]) -> None:
    logger = DefaultContextLogger("p.o.logger")
    ContextLogger(logger, "p.o", "p.o.port").info("Generated %s of %d", "record", 30)
    out, err = capsys.readouterr()
    assert err == ""
    assert re.fullmatch(
        r"INFO \| \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3} \| p\.o\.logger \| p\.o \| p\.o\.port \| Generated record of 30\n",
        out,
    )


def test_a_logger_without_name_and_context_writes_neither(capsys: pytest.CaptureFixture[str]) -> None:
    DefaultContextLogger()._warning("100 %")
    assert re.fullmatch(r"WARNING \| [^|]* \| 100 %\n", capsys.readouterr().out)


def test_info_is_the_first_level_and_can_be_set(capsys: pytest.CaptureFixture[str]) -> None:
    logger = ContextLogger(DefaultContextLogger("x"))
    logger.debug("hidden")
    logger.set_log_level("DEBUG")
    logger.debug("shown")
    logger.set_log_level(logging.ERROR)
    logger.warning("hidden")
    logger.error("failed")
    assert [line.split(" | ")[-1] for line in capsys.readouterr().out.splitlines()] == ["shown", "failed"]


@pytest.mark.parametrize("level, error", [(None, TypeError), (1.5, TypeError), ("LOUD", ValueError)])
def test_a_level_that_is_none_is_refused(level: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="log level"):
        DefaultContextLogger("x").set_log_level(level)


@pytest.mark.parametrize(
    "level, color", [("error", "\x1b[31m"), ("warning", "\x1b[33m"), ("info", "\x1b[37m"), ("debug", "\x1b[36m")]
)
def test_on_a_terminal_the_whole_line_has_the_colour_of_its_level(
    level: str, color: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pretend_terminal(monkeypatch)
    logger = ContextLogger(DefaultContextLogger("x"))
    logger.set_log_level("DEBUG")
    getattr(logger, level)("text")
    out = capsys.readouterr().out
    assert out.startswith(f"{color}{level.upper()} | ")
    assert out.endswith(f" | text{RESET}\n")


def test_no_color_is_respected(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    pretend_terminal(monkeypatch)
    monkeypatch.setenv("NO_COLOR", "1")
    DefaultContextLogger("x")._error("text")
    assert "\x1b" not in capsys.readouterr().out


def test_elsewhere_than_on_a_terminal_there_is_no_colour(capsys: pytest.CaptureFixture[str]) -> None:
    DefaultContextLogger("x")._error("text")
    assert "\x1b" not in capsys.readouterr().out


def test_the_formatter_alone_always_colours() -> None:
    record = logging.LogRecord("x", logging.ERROR, "", 0, "text", None, None)
    formatter = DefaultContextLogger.ColoredFormatter("%(message)s")
    assert formatter.format(record) == f"{formatter.RED}text{RESET}"


def test_an_exception_is_shown_and_other_arguments_are_added(capsys: pytest.CaptureFixture[str]) -> None:
    logger = ContextLogger(DefaultContextLogger("x"))
    try:
        raise ValueError("why")
    except ValueError:
        logger.error("failed %s", "here", port="in", exc_info=True)  # noqa: G201 - no logger of logging
    out = capsys.readouterr().out
    assert "failed here port=in\n" in out
    assert "ValueError: why" in out


def test_loggers_of_one_name_do_not_share_a_level(capsys: pytest.CaptureFixture[str]) -> None:
    one, other = DefaultContextLogger("x"), DefaultContextLogger("x")
    one.set_log_level("ERROR")
    other._info("shown")
    assert "shown" in capsys.readouterr().out


def test_a_context_logger_hands_everything_on() -> None:
    taken: list[Any] = []

    class Taking(ContextLoggerInterface):
        def _error(self, *args: Any, **kwargs: Any) -> Any:
            taken.append(("error", args, kwargs))
            return "answer"

        _warning = _info = _debug = _error

    logger = ContextLogger(Taking(), "a", "b")
    assert logger.info("event %s", 1, key=2) == "answer"
    assert taken == [("error", ("event %s", ["a", "b"], 1), {"key": 2})]
    logger.set_log_level("DEBUG")


# --- loggers of operators and plugins --------------------------------------------------------------------------------------


class Recorder(LoggerPlugin):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.lines: list[tuple[str, str | None, list[str] | None]] = []
        self.calls_back = False

    def note(self, level: str, event: str | None, context_stack: list[str] | None) -> None:
        self.lines.append((level, event, context_stack))
        if self.calls_back:
            self.get_context().get_logger().info("again")

    def _error(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.note("error", event, context_stack)

    def _warning(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.note("warning", event, context_stack)

    def _info(self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any) -> Any:
        self.note("info", event, context_stack)

    def _debug(
        self, event: str | None = None, context_stack: list[str] | None = None, *args: Any, **kwargs: Any
    ) -> Any:
        self.note("debug", event, context_stack)

    def speak(self) -> None:
        self.get_logger().info("from a logger")


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.plugin = BlankPlugin()


class Logging(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = Recorder()
        self.second = Recorder()
        self.plugin = BlankPlugin()


def test_an_event_goes_to_all_logger_plugins_with_its_context() -> None:
    operator = Logging("o")
    operator.get_logger().error("e")
    operator.get_logger().warning("w")
    operator.plugin.get_logger().info("i")
    operator.plugin.get_logger().debug("d")
    expected = [
        ("error", "e", ["o"]),
        ("warning", "w", ["o"]),
        ("info", "i", ["o.plugin"]),
        ("debug", "d", ["o.plugin"]),
    ]
    assert operator.first.lines == operator.second.lines == expected


def test_an_operator_without_logger_plugin_is_silent(capfd: pytest.CaptureFixture[str]) -> None:
    operator = Worker("o")
    operator.get_logger().error("e")
    operator.plugin.get_logger().error("e")
    assert capfd.readouterr() == ("", "")


def test_a_logger_given_by_the_executor_is_used_without_logger_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    operator = Worker("o")
    operator._pypz_own_logger = DefaultContextLogger("given")
    operator.plugin.get_logger().info("hello")
    assert capsys.readouterr().out.endswith(" | given | o.plugin | hello\n")


def test_a_plugin_without_operator_logs_to_stdout_from_debug_on(capsys: pytest.CaptureFixture[str]) -> None:
    BlankPlugin("x").get_logger().debug("hello")
    line = capsys.readouterr().out
    assert line.startswith("DEBUG | ")
    assert line.endswith(" | x | hello\n")


def test_logging_from_a_logger_plugin_is_a_recursion_error() -> None:
    operator = Logging("o")
    operator.first.calls_back = True
    with pytest.raises(RecursionError):
        operator.get_logger().info("x")
    operator.first.calls_back = False
    operator.get_logger().info("y")
    assert operator.second.lines == [("info", "y", ["o"])]
    with pytest.raises(RecursionError):
        operator.first.speak()


def test_the_context_stack_is_a_copy() -> None:
    logger = Logging("o").get_logger()
    logger.get_context_stack().append("x")
    assert logger.get_context_stack() == ["o"]


def test_arguments_that_do_not_fit_are_shown_and_raise_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    DefaultContextLogger("lines")._info("%d rows", ["ctx"], "many", table="a")
    assert capsys.readouterr().out.endswith("| lines | ctx | %d rows ('many',) table=a\n")
