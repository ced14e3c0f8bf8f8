"""Operators that a starter leaves out are in no roster, so nobody waits for them."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.runs.run import SKIPPED_VARIABLE
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor


class Source(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()


class Sink(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()

    def _on_running(self) -> bool | None:
        assert self.input_port.retrieve() == []
        return None


class Letters(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.sink = Sink()
        self.sink.input_port.connect(self.source.output_port)


def test_a_reader_ends_at_once_when_its_only_writer_is_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(SKIPPED_VARIABLE, "skipped.source")
    pipeline = Letters("skipped")
    pipeline.set_parameter(">>channelLocation", "memory:skipped")
    assert OperatorExecutor(pipeline.sink).execute() == 0
