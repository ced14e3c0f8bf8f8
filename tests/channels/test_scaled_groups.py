"""Rescaling a group on transports beyond memory: partitions are added under a running writer, and taken over."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from core.tests.channels.scaled_line import Bench

from pypz.core.channels.runs.retiring import find_left, places_of
from pypz.core.hooks.host import PluginHost

EACH = 400
"""Records before each change."""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["local", pytest.param("kafka", marks=pytest.mark.broker)])
def test_a_group_grows_and_shrinks_under_a_running_writer_and_reader(kind: str, tmp_path: Path) -> None:
    servers = os.environ.get("KAFKA_BOOTSTRAP", "")
    if kind == "kafka" and not servers:
        pytest.skip("needs KAFKA_BOOTSTRAP")
    location = f"kafka://{servers}" if kind == "kafka" else f"local:{tmp_path / 'channels'}"
    bench = Bench(4 * EACH, location, framing="record")  # each goes to the next partition
    board = bench.board

    def await_records(count: int) -> None:
        board.allow(count)
        board.await_that(lambda: len(board.got) >= count)

    try:
        bench.start_rest(1)
        bench.start_workers(1)
        await_records(EACH)
        for turn, size in enumerate((3, 2, 4), 2):
            before = len(bench.workers)
            codes: list[int] = []
            assert bench.scale(size, between=lambda: codes.extend(bench.stop_workers())).generation == turn - 1  # noqa: B023
            assert codes == [130] * before
            bench.start_workers(size)
            await_records(turn * EACH)
        bench.end()
        assert Counter(one["n"] for one in board.got) == Counter(range(board.total))
        last = {one["by"] for one in board.got if one["n"] >= 3 * EACH}
        assert last == {"worker", "worker_0", "worker_1", "worker_2"}
    finally:
        whole = bench.pipeline(1)
        bench.close()
        with places_of(PluginHost.default(), whole) as places:
            for place in places:
                find_left(place).remove()
