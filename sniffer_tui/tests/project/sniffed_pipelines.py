"""Pipelines for the tests: a writer whose end the test decides, and readers."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

NUMBER = json.dumps({"type": "record", "name": "Number", "fields": [{"name": "value", "type": "long"}]})


class Quiet(Operator):
    def _on_init(self) -> bool:
        return True

    def _on_shutdown(self) -> bool:
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        pass

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass


class Writer(Quiet):
    """Sends ten records, waits until the file ``gate`` is there (if one is named), sends the rest of ``count``, with pauses."""

    gate = OptionalParameter(str)
    count = OptionalParameter(int)
    pause_ms = OptionalParameter(int)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.gate = ""
        self.count = 30
        self.pause_ms = 0
        self.out = ChannelOutputPort(schema=NUMBER)
        self.sent = 0

    def _on_running(self) -> bool:
        if self.sent == 10 and self.gate and not Path(self.gate).exists():
            threading.Event().wait(0.05)
            return False
        self.out.send([{"value": self.sent}])
        self.sent += 1
        if self.pause_ms:
            threading.Event().wait(self.pause_ms / 1000)
        return self.sent == self.count


class Reader(Quiet):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.inp = ChannelInputPort(schema=NUMBER)

    def _on_running(self) -> bool | None:
        self.inp.retrieve()
        return None


class TwoSteps(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.reader = Reader()
        self.writer = Writer()
        self.reader.inp.connect(self.writer.out)


class Renamed(Pipeline):
    """The same with another name for the reader."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.sink = Reader()
        self.writer = Writer()
        self.sink.inp.connect(self.writer.out)
