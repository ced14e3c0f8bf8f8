"""The cycle ends, and what has gone round it is what a plain loop finds."""

from __future__ import annotations

import pytest
from collatz import Collatz, step

from pypz.executors.pipeline.executor import PipelineExecutor


def steps_of(number: int) -> int:
    count = 0
    while number != 1:
        number, count = step(number), count + 1
    return count


@pytest.mark.parametrize("replicas", [0, 2])
def test_every_number_arrives_after_as_many_steps_as_a_plain_loop_needs(replicas: int) -> None:
    pipeline = Collatz("collatz")
    pipeline.set_parameter(">>channelLocation", f"memory:collatz_{replicas}")
    pipeline.numbers.set_parameter("upTo", 500)
    pipeline.stepper.set_parameter("replicationFactor", replicas)
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    assert pipeline.report.steps == {number: steps_of(number) for number in range(1, 501)}
