"""The pipeline that the drills run, one process a member; put on PYTHONPATH by the tests."""

from __future__ import annotations

import sys
import time

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

SCHEMA = '{"type": "record", "name": "Number", "fields": [{"name": "value", "type": "long"}]}'


class Source(Operator):
    """Sends the numbers below ``count``, ten at a time with a pause; goes on after a restart only when it keeps notes."""

    count = OptionalParameter(int)
    keeps_notes = OptionalParameter(bool, alt_name="keepsNotes")
    pause_ms = OptionalParameter(int, alt_name="pauseMs")

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort(schema=SCHEMA)
        self.count = 1000
        self.keeps_notes = False
        self.pause_ms = 20
        self.sent = 0

    def _on_init(self) -> bool:
        self.sent = int(self.get_checkpoint() or b"0")
        print(f"resumed {self.sent}", flush=True)
        return True

    def _on_running(self) -> bool | None:
        batch = [{"value": value} for value in range(self.sent, min(self.sent + 10, self.count))]
        self.output_port.send(batch)
        self.sent += len(batch)
        if self.keeps_notes:
            self.checkpoint(str(self.sent).encode())
        print(f"sent {self.sent}", flush=True)
        time.sleep(self.pause_ms / 1000)
        return self.sent >= self.count

    def _on_shutdown(self) -> bool:
        return True


class Copier(Operator):
    """Sends on what it gets."""

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort(schema=SCHEMA)
        self.output_port = ChannelOutputPort(schema=SCHEMA)
        self.copied = 0

    def _on_init(self) -> bool:
        print("ready 1", flush=True)
        return True

    def _on_running(self) -> bool | None:
        found = self.input_port.retrieve()
        if found:
            self.output_port.send(found)
            self.copied += len(found)
            print(f"copied {self.copied}", flush=True)
        return None

    def _on_shutdown(self) -> bool:
        return True


class Sink(Operator):
    """Prints what it gets, a number a line."""

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort(schema=SCHEMA)

    def _on_init(self) -> bool:
        print("ready 1", flush=True)
        return True

    def _on_running(self) -> bool | None:
        found = self.input_port.retrieve()
        if found:
            sys.stdout.write("".join(f"got {record['value']}\n" for record in found))
            sys.stdout.flush()
        return None

    def _on_shutdown(self) -> bool:
        return True


class ChaosLine(Pipeline):
    """Source to copier to sink."""

    def __init__(self, name: str, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.copier = Copier()
        self.sink = Sink()
        self.source.output_port.connect(self.copier.input_port)
        self.copier.output_port.connect(self.sink.input_port)
