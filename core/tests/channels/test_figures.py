"""Figures are a service to those who look: what cannot be told of them fails nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from core.tests.channels.beds import Bed, Giver

from pypz.core.channels.memory.transport import _Reader as MemoryReader
from pypz.core.commons.errors import TransportError
from pypz.core.hooks.events import ChannelStatus
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.executors.commons import ExecutionMode
from pypz.executors.pipeline.executor import PipelineExecutor


class Watcher:
    def __init__(self) -> None:
        self.lags: list[tuple[int | None, int | None]] = []

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        if status.port.direction == "in":
            self.lags.append((status.lag_entries, status.lag_records))


def test_figures_that_are_told_later_are_newer_also_where_the_clock_is_set_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Viewers take the newest of figures with equal counts: lag would stand still for an hour."""
    bed = Bed()
    ahead_s = [0.0]
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + ahead_s[0])
    told: list[tuple[float, int | None, int]] = []
    has_told = threading.Event()

    class Moments:
        @hookimpl
        def pypz_channel_status(self, status: ChannelStatus) -> None:
            if status.port.direction == "in":
                told.append((status.at_utc, status.lag_records, status.records))
                has_told.set()

    def give(giver: Giver) -> bool:
        giver.output_port.send(list(range(10)))
        return True

    def take(taker: Any) -> None:
        bed.take(taker)
        if len(bed.got) == 10:
            assert has_told.wait(20)
            ahead_s[0] = -3_600.0

    host = PluginHost()
    host.register(Moments(), "moments")
    assert set(PipelineExecutor(bed.pair(give, take), host=host).start().values()) == {0}
    assert host.flush(20)
    assert ahead_s[0] < 0
    assert told[-1][1:] == (0, 10)
    assert [moment for moment, *_ in told] == sorted({moment for moment, *_ in told})
    assert len(told) > 1
    bed.keeper.close()
    host.close()


@pytest.mark.parametrize("error", [TransportError("offsets: no answer"), ValueError("its author's mistake")])
def test_a_transport_that_cannot_tell_its_lag_fails_nobody_and_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: Any, error: Exception
) -> None:
    bed = Bed()

    def give(giver: Giver) -> bool:
        giver.output_port.send(list(range(10)))
        return True

    def lag(reader: MemoryReader) -> Mapping[int, int]:
        raise error

    def interrupted(giver: Giver) -> bool:
        executor.interrupt()
        return give(giver)

    host = PluginHost()
    watcher = Watcher()
    host.register(watcher)
    monkeypatch.setattr(MemoryReader, "lag", lag)
    executor = PipelineExecutor(bed.pair(interrupted, lambda taker: None), host=host)
    executor.start(ExecutionMode.WithoutResourceDeletion)  # leaves records for the next run, which says how many
    codes = PipelineExecutor(bed.pair(give), host=host).start()
    assert set(codes.values()) == {0}
    assert set(bed.got) == set(range(10))
    assert host.flush(20)
    assert set(watcher.lags) == {(None, None)}
    told = [line for line in capsys.readouterr().err.splitlines() if "cannot be told" in line]
    assert len(told) <= 2  # once a run
    assert str(error) in told[0]
    bed.keeper.close()
    host.close()
