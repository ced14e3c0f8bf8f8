"""What the page about channels says to be refused is refused, by name, before anything runs."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

import pytest

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor
from tests.docs.pages import ROOT

PAGE: Final = ROOT / "docs" / "channels.md"


class Sender(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.feedback = ChannelInputPort()
        self.output = ChannelOutputPort()


class Receiver(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = ChannelInputPort()
        self.output = ChannelOutputPort()


class Pair(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.sender = Sender()
        self.receiver = Receiver()
        self.receiver.input.connect(self.sender.output)


def pair() -> Pair:
    made = Pair("refused")
    made.set_parameter(">>channelLocation", "memory:refused")
    return made


def run_with(name: str, value: Any, where: Callable[[Pair], Any]) -> None:
    pipeline = pair()
    where(pipeline).set_parameter(name, value)
    PipelineExecutor(pipeline).start()


def documented() -> dict[str, list[str]]:
    """What is refused, by the first column: values of the second."""
    section = PAGE.read_text(encoding="utf-8").partition("### What this version refuses")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines() if line[:2] == "| "]
    return {row[0]: re.findall(r"`([^`]+)`", row[1]) for row in rows[1:]}


WAYS: Final[dict[str, list[Callable[[], object]]]] = {
    "operator, `deliveryGuarantee`": [lambda: run_with("deliveryGuarantee", "exactly-once", lambda p: p.receiver)],
    "input port, `errorPolicy`": [lambda: run_with("errorPolicy", "dead-letter", lambda p: p.receiver.input)],
    "input port, `assignment`": [lambda: run_with("assignment", "group", lambda p: p.receiver.input)],
    "location": [
        lambda v=v: run_with("channelLocation", v, lambda p: p.receiver.input)  # type: ignore[misc]
        for v in ("amqp://host", "amqps://host")
    ],
}


def test_the_page_and_this_test_know_the_same() -> None:
    assert set(documented()) == set(WAYS)


@pytest.mark.parametrize("what", WAYS)
def test_what_is_documented_as_refused_is_refused_by_name(what: str) -> None:
    values = documented()[what]
    for place, way in enumerate(WAYS[what]):
        with pytest.raises(NotBuiltYetError) as caught:
            way()
        assert isinstance(caught.value, ConfigurationError)
        named = re.findall(r"`(\w+)`", what)
        assert all(name in str(caught.value) for name in named if name != "PipelineExecutor")
        if len(values) > 1:
            assert values[place].rstrip(":") in str(caught.value)


def test_the_pair_itself_runs() -> None:
    pipeline = pair()
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
