"""What a run needs of a transport is refused at start, by the capability's name."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from core.tests.channels.beds import Bed

from pypz.core.channels.memory.transport import CAPABILITIES, MemoryTransport
from pypz.core.commons.errors import ConfigurationError, PipelineFailedError
from pypz.executors.commons import ExecutionMode
from pypz.executors.pipeline.executor import PipelineExecutor


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    yield made
    made.keeper.close()


def lack(monkeypatch: pytest.MonkeyPatch, **capabilities: Any) -> None:
    monkeypatch.setattr(MemoryTransport, "capabilities", dataclasses.replace(CAPABILITIES, **capabilities))


@pytest.mark.parametrize(("target", "name"), [("taker", "replicationFactor"), ("taker.input_port", "partitions")])
def test_partitions(bed: Bed, monkeypatch: pytest.MonkeyPatch, target: str, name: str) -> None:
    lack(monkeypatch, partitions=False)
    pipeline = bed.pair(lambda giver: True)
    PipelineExecutor(pipeline).start()
    place: Any = pipeline
    for part in target.split("."):
        place = getattr(place, part)
    place.set_parameter(name, 2)
    with pytest.raises(
        ConfigurationError, match=rf"taker\.input_port: the transport at memory:.* lacks .*'partitions'.*{name}"
    ):
        PipelineExecutor(pipeline).start()


def test_the_size_of_notes(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, max_note=100)
    pipeline = bed.pair(lambda giver: True)
    PipelineExecutor(pipeline).start()
    pipeline.giver.set_parameter("replicationFactor", 80)
    with pytest.raises(ConfigurationError, match=r"100 bytes.*'max_note'.*81 writers"):
        PipelineExecutor(pipeline).start()


def test_raising_partitions(bed: Bed, monkeypatch: pytest.MonkeyPatch) -> None:
    lack(monkeypatch, raise_partitions=False)
    PipelineExecutor(bed.pair(lambda giver: True)).start(ExecutionMode.WithoutResourceDeletion)
    pipeline = bed.pair(lambda giver: True)
    pipeline.taker.input_port.set_parameter("partitions", 3)
    with pytest.raises(PipelineFailedError, match=r"has 1 partitions and should have 3.*'raise_partitions'"):
        PipelineExecutor(pipeline).start()
    PipelineExecutor(pipeline, fresh=True).start()
