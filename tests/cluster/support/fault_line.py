"""The pipeline of the fault drills; mounted into its pods. Members tell a ledger on the host what they do, and obey it."""

from __future__ import annotations

import json
import os
import socket
import time
from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

SCHEMA = """{"type": "record", "name": "Number", "fields": [{"name": "value", "type": "long"}]}"""


class Reporting(Operator):
    """Tells the ledger one thing after the other, and waits for each answer."""

    ledger = RequiredParameter(str)

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.ledger = None
        self.line: Any = None

    def tell(self, what: str, value: Any = None) -> str:
        if self.line is None:
            host, _, port = str(self.ledger).rpartition(":")
            self.line = socket.create_connection((host, int(port))).makefile("rw")
        self.line.write(json.dumps([self.get_simple_name(), what, value]) + "\n")
        self.line.flush()
        return str(self.line.readline().strip())

    def _on_init(self) -> bool:
        if self.tell("init", os.uname().nodename) == "raise":
            raise RuntimeError("the drill wants it so")
        return True

    def _on_shutdown(self) -> bool:
        self.tell("shutdown")
        return True


class Source(Reporting):
    """Sends the numbers below ``count``, at a pace; goes on after a restart by its note. Having sent some it asks."""

    count = OptionalParameter(int)
    batch = OptionalParameter(int)
    pause_ms = OptionalParameter(int, alt_name="pauseMs")

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort(schema=SCHEMA)
        self.count = 100_000
        self.batch = 100
        self.pause_ms = 10
        self.sent = 0

    def _on_init(self) -> bool:
        self.sent = int(self.get_checkpoint() or b"0")
        return super()._on_init()

    def _on_running(self) -> bool | None:
        values = range(self.sent, min(self.sent + self.batch, self.count))
        self.output_port.send([{"value": value} for value in values])
        self.sent += len(values)
        self.checkpoint(str(self.sent).encode())
        if self.sent % 1000 == 0:
            self.tell("sent", self.sent)
        time.sleep(self.pause_ms / 1000)
        return self.sent >= self.count


class Copier(Reporting):
    """Sends on what it gets."""

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort(schema=SCHEMA)
        self.output_port = ChannelOutputPort(schema=SCHEMA)

    def _on_running(self) -> bool | None:
        found = self.input_port.retrieve()
        if found:
            self.output_port.send(found)
        return None


class Sink(Reporting):
    """Tells the ledger each number before it counts as read."""

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort(schema=SCHEMA)

    def _on_running(self) -> bool | None:
        found = self.input_port.retrieve()
        if found and self.tell("got", [record["value"] for record in found]) == "eat":
            eaten = []
            while True:
                eaten.append(os.urandom(1024) * 10_000)
        return None


class FaultLine(Pipeline):
    """Source to copier to sink."""

    def __init__(self, name: str, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.copier = Copier()
        self.sink = Sink()
        self.source.output_port.connect(self.copier.input_port)
        self.copier.output_port.connect(self.sink.input_port)
