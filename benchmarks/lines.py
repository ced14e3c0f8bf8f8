"""The pipeline that the benchmarks run: a writer of small Avro records and a reader that counts them."""

from __future__ import annotations

import threading

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

SCHEMA = '{"type": "record", "name": "Line", "fields": [{"name": "text", "type": "string"}]}'


class Writer(Operator):
    """Sends ``count`` records, ``step`` at a time; with a gate it first waits until that is open."""

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort(schema=SCHEMA)
        self.count = 30
        self.step = 1
        self.sent = 0

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        step = min(self.step, self.count - self.sent)
        self.output_port.send([{"text": f"HelloWorld_{self.sent + place}"} for place in range(step)])
        self.sent += step
        return self.sent >= self.count

    def _on_shutdown(self) -> bool:
        return True


class Reader(Operator):
    """Counts what it gets."""

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort(schema=SCHEMA)
        self.count = 0

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        self.count += len(self.input_port.retrieve())
        return None

    def _on_shutdown(self) -> bool:
        return True


class Lines(Pipeline):
    """Writer to reader."""

    def __init__(self, name: str, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Writer()
        self.reader = Reader()
        self.reader.input_port.connect(self.writer.output_port)


class Silent(Writer):
    """Sends nothing until it is told to end."""

    may_end = threading.Event()

    def _on_running(self) -> bool | None:
        Silent.may_end.wait()
        return True


class Idle(Pipeline):
    """One silent writer and nine readers that wait for it: ten idle operators."""

    def __init__(self, name: str, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Silent()
        for number in range(9):
            reader = Reader()
            setattr(self, f"reader_{number}", reader)
            getattr(self, f"reader_{number}").input_port.connect(self.writer.output_port)
