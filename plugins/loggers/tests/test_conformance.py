"""The default logger keeps what the kit asks of every logger."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pypz.core.commons.loggers import ContextLoggerInterface
from pypz.core.specs.misc import BlankOperator
from pypz.plugins.loggers.default import DefaultLoggerPlugin
from pypz.testing import LoggerConformance


class Talking(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.logger = DefaultLoggerPlugin()


class TestDefaultLogger(LoggerConformance):
    @pytest.fixture
    def make_logger(self) -> Callable[[], ContextLoggerInterface]:
        return lambda: Talking("operator").logger

    @pytest.fixture
    def written(self, capsys: pytest.CaptureFixture[str]) -> Callable[[], list[str]]:
        return lambda: capsys.readouterr().out.splitlines()
