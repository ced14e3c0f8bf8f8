"""What the example says of itself can be checked by a formula."""

from __future__ import annotations

import pytest
from fan_in_fan_out import FanInFanOut

from pypz.executors.pipeline.executor import PipelineExecutor


@pytest.mark.parametrize("replicas", [0, 1, 2, 5])
def test_each_reader_gets_every_square_once_whoever_made_it(replicas: int) -> None:
    pipeline = FanInFanOut("fan")
    pipeline.set_parameter(">>channelLocation", f"memory:fan_{replicas}")
    pipeline.squarer.set_parameter("replicationFactor", replicas)
    codes = PipelineExecutor(pipeline).start()
    assert (len(codes), set(codes.values())) == (5 + replicas, {0})
    n = 10_000
    assert pipeline.total.sum == (n - 1) * n * (2 * n - 1) // 6
    assert pipeline.largest.largest == (n - 1) ** 2
    assert sum(pipeline.total.by.values()) == n
    assert set(pipeline.total.by) <= set(range(replicas + 1))
