"""The pipeline that the drills run, one process a member; put on PYTHONPATH by the tests."""

from __future__ import annotations

import os
import sys
import time

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

SCHEMA = """{"type": "record", "name": "Number", "fields": [
    {"name": "value", "type": "long"},
    {"name": "lane", "type": "int"},
    {"name": "source", "type": "int"},
    {"name": "copier", "type": "int"}
]}"""
"""``source`` and ``copier`` are the processes that it passed: with the reader's own, the start of each member."""
LANES = 4


class Source(Operator):
    """Sends the numbers below ``count``, some at a time with a pause; goes on after a restart only when it keeps notes.

    Having sent one of ``gates`` it waits for a line on its standard input.
    """

    count = OptionalParameter(int)
    batch = OptionalParameter(int)
    gates = OptionalParameter(list)
    keeps_notes = OptionalParameter(bool, alt_name="keepsNotes")
    pause_ms = OptionalParameter(int, alt_name="pauseMs")

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort(schema=SCHEMA)
        self.count = 1000
        self.batch = 10
        self.gates = []
        self.keeps_notes = False
        self.pause_ms = 20
        self.sent = 0

    def _on_init(self) -> bool:
        self.sent = int(self.get_checkpoint() or b"0")
        print(f"resumed {self.sent}", flush=True)
        return True

    def _on_running(self) -> bool | None:
        values = range(self.sent, min(self.sent + self.batch, self.count))
        batch = [{"value": value, "lane": value % LANES, "source": os.getpid(), "copier": 0} for value in values]
        self.output_port.send(batch)
        self.sent += len(batch)
        if self.keeps_notes:
            self.checkpoint(str(self.sent).encode())
        print(f"sent {self.sent}", flush=True)
        if self.sent in self.gates:
            sys.stdin.readline()
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
            self.output_port.send([{**record, "copier": os.getpid()} for record in found])
            self.copied += len(found)
            print(f"copied {self.copied}", flush=True)
        return None

    def _on_shutdown(self) -> bool:
        return True


class TellingPort(ChannelInputPort):
    """Says when its member has told the run that it has ended."""

    def _on_port_close(self) -> bool:
        print("ended 1", flush=True)
        return super()._on_port_close()


class Sink(Operator):
    """Prints what it gets, a record a line: its number, source and copier. Ends by itself when it has ``enough``."""

    enough = OptionalParameter(int)

    def __init__(self, name: str | None = None, *args: object, **kwargs: object) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = TellingPort(schema=SCHEMA)
        self.enough = None
        self.got = 0

    def _on_init(self) -> bool:
        print("ready 1", flush=True)
        return True

    def _on_running(self) -> bool | None:
        found = self.input_port.retrieve()
        if found:
            sys.stdout.write("".join("got {value} {source} {copier}\n".format_map(record) for record in found))
            sys.stdout.flush()
            self.got += len(found)
        return True if self.enough is not None and self.got >= self.enough else None

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
