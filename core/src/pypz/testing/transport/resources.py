"""Promises 46 to 48: outages, idleness, and what is left behind."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

import pytest

from pypz.core.commons.errors import TransportError
from pypz.testing.promises import promise
from pypz.testing.transport.base import TransportFixtures, needs_fixture
from pypz.testing.transport.bench import Bench, block_of, texts_of
from pypz.testing.transport.reading import write

IDLE_CLIENTS: Final = 10
IDLE_SHARE: Final = 0.01
"""Part of one core that ten idle clients may use (semantics of channels)."""
IDLE_WINDOW_S: Final = 1.0
IDLE_WINDOWS: Final = 8
"""The best window counts: what begins or ends a connection falls into one of them."""


class ResourcePromises(TransportFixtures):
    """What a transport costs, and what becomes of it when its ground gives way."""

    @promise(46)
    def test_46_an_outage_raises_with_its_cause_and_the_next_unit_works_after_repair(
        self, bench: Bench, outage: Callable[[], AbstractContextManager[None]] | None
    ) -> None:
        """Broker gone, disk full: what was flushed before is still there, once, and what is written then comes behind it."""
        needs_fixture(outage, "outage", 46)
        assert outage is not None
        info = bench.channel()
        write(bench, info, ["before"])
        lasting = bench.client("writer", index=1)
        writer = lasting.writer(info)
        with outage():
            with pytest.raises(TransportError, match=r"\w+ \w+"):
                for number in range(100):
                    writer.write(0, block_of(f"lost {number}", 100_000))
                    lasting.flush()
        write(bench, info, ["after"])
        reading = bench.client()
        reading.reader(info)
        found: list[str] = []
        while "after" not in found:
            found += texts_of(reading.read(1))
        assert [found.count("before"), found.count("after")] == [1, 1]
        assert found.index("before") < found.index("after")

    @promise(47)
    def test_47_ten_idle_clients_use_under_one_percent_of_a_core(self, bench: Bench) -> None:
        """Readers that wait for a first block; measured as processor time of this process."""
        info = bench.channel()
        clients = [bench.client(index=number) for number in range(IDLE_CLIENTS)]
        for client in clients:
            client.reader(info, group=f"group {client}")
        waiting = [client.begin_read() for client in clients]
        shares = []
        for _ in range(IDLE_WINDOWS):
            began, used = time.monotonic(), time.process_time()
            threading.Event().wait(IDLE_WINDOW_S)
            shares.append((time.process_time() - used) / (time.monotonic() - began))
            if shares[-1] < IDLE_SHARE:
                break
        for client in clients:
            client.wake()
        assert [future.result(bench.patience_s) for future in waiting] == [[]] * IDLE_CLIENTS
        assert min(shares) < IDLE_SHARE, f"parts of a core that {IDLE_CLIENTS} idle clients used: {shares}"

    @promise(48)
    def test_48_a_thousand_open_close_cycles_leave_no_thread_descriptor_or_channel(
        self, bench: Bench, open_close_cycles: int
    ) -> None:
        """Counted after as many cycles as the fixture ``open_close_cycles`` says; the first ones may set things up."""
        if not Path("/proc/self/task").exists():
            pytest.skip("promise 48 counts threads and descriptors by /proc")
        info = bench.channel()
        stream = bench.status()

        def cycle() -> None:
            transport = bench.open_transport()
            client = bench.client(transport=transport)
            client.writer(info)
            client.reader(info)
            client.read_once()
            bench.forget(client)
            bench.forget_transport(transport)

        for _ in range(2):
            cycle()
        before = open_things()
        for _ in range(open_close_cycles):
            cycle()
        deadline = time.monotonic() + bench.patience_s
        while (after := open_things()) > before and time.monotonic() < deadline:
            threading.Event().wait(0.05)
        assert after <= before, f"threads and descriptors: {before} before, {after} after {open_close_cycles} cycles"
        assert bench.transport.describe_channel(info.name) == info
        assert list(stream.facts()) == [f"joined/{bench.member().key}"]


def open_things() -> int:
    """Threads and descriptors of this process."""
    return len(os.listdir("/proc/self/task")) + len(os.listdir("/proc/self/fd"))
