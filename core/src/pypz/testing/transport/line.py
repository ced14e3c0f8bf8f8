"""A small pipeline that a test leads by the hand: two sources that do as they are told, one sink that keeps what it gets."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from typing import Any, Literal

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline

Command = list[Any] | Literal["end", "fail", "go on"]


class LedSource(BlankOperator):
    """Sends what it is told to; ends or fails when it is told to."""

    first = OptionalParameter(int, alt_name="first", description="So many numbers are sent before the first command")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = 0
        self.port = ChannelOutputPort()
        self.commands: SimpleQueue[Command] = SimpleQueue()
        self.starts = 0

    def _on_init(self) -> bool:
        self.starts += 1
        if self.first:
            self.commands.put(list(range(self.first)))
        return True

    def _on_running(self) -> bool:
        command = self.commands.get()
        if isinstance(command, list):
            self.port.send(command)
        elif command == "fail":
            raise RuntimeError("told to fail")
        return command == "end"

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        self.commands.put("go on")


class LedSink(BlankOperator):
    """Keeps what it gets, and sends it on where that is connected; while ``holds`` is set it takes nothing."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.port = ChannelInputPort()
        self.got: list[Any] = []
        self.changed = threading.Condition()
        self.holds = False

    def _on_running(self) -> bool | None:
        if self.holds:
            return False
        found = self.port.retrieve()
        self._hand_on(found)
        with self.changed:
            self.got += found
            self.changed.notify_all()
        return None

    def _hand_on(self, records: list[Any]) -> None:
        pass


class LedCopier(LedSink):
    """A sink that sends on what it gets."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output = ChannelOutputPort()

    def _hand_on(self, records: list[Any]) -> None:
        self.output.send(records)


class LedLine(Pipeline):
    """``first`` and ``second`` write into the channel of ``sink``."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = LedSource()
        self.second = LedSource()
        self.sink = LedSink()
        self.sink.port.connect(self.first.port)
        self.sink.port.connect(self.second.port)


class LedChain(Pipeline):
    """``first`` writes to ``copier``, which writes to ``sink``."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = LedSource()
        self.copier = LedCopier()
        self.sink = LedSink()
        self.copier.port.connect(self.first.port)
        self.sink.port.connect(self.copier.output)
