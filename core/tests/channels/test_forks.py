"""Ports in a forked child of the process that has opened them."""

from __future__ import annotations

import subprocess
import sys

FORKING = """
import os
from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.errors import TransportError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor


class Source(BlankOperator):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelOutputPort()

    def _on_running(self):
        self.numbers.send([1])
        return True


class Sink(BlankOperator):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort()
        self.squares = ChannelOutputPort()

    def _on_running(self):
        found = self.numbers.retrieve()
        if not found:
            return None
        child = os.fork()
        if not child:
            for call in (
                lambda: self.squares.send([1]),
                lambda: self.numbers.retrieve(60),
                self.numbers.commit_current_read_offset,
            ):
                try:
                    call()
                except TransportError as error:
                    print(error, flush=True)
                else:
                    print("carried out", flush=True)
            os._exit(0)
        os.waitpid(child, 0)
        self.squares.send([number * number + 1 for number in found])
        return True


class Last(BlankOperator):
    def __init__(self, name=None, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.squares = ChannelInputPort()

    def _on_running(self):
        found = self.squares.retrieve()
        if found:
            print(found, flush=True)
        return None if self.squares.can_retrieve() else True


class Line(Pipeline):
    def __init__(self, name, *args, **kwargs):
        super().__init__(name, *args, **kwargs)
        self.source, self.sink, self.last = Source(), Sink(), Last()
        self.sink.numbers.connect(self.source.numbers)
        self.last.squares.connect(self.sink.squares)


pipeline = Line("line")
pipeline.set_parameter(">>channelLocation", "memory:forks")
assert set(PipelineExecutor(pipeline).start().values()) == {0}
"""


def test_a_forked_child_is_refused_at_the_first_call_and_the_parent_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING], capture_output=True, text=True, timeout=60, check=False
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 4, done
    assert all(line.startswith("line.sink: was opened by process ") for line in lines[:3])
    assert all("cannot be used after fork" in line and "'spawn'" in line for line in lines[:3])
    assert lines[3] == "[2]"
    assert done.returncode == 0
