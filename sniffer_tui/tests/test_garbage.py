"""Full searches for garbage: when nobody is at the keys, and as before once the screen is left."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from pypz.sniffer.model import PipelineModel
from pypz.sniffer.screen import garbage
from pypz.sniffer.screen.app import SnifferApp


class Clock:
    """Stands in for the module's ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(garbage, "time", made)
    return made


@pytest.fixture
def full_searches() -> Iterator[list[int]]:
    found: list[int] = []

    def note(phase: str, info: dict[str, int]) -> None:
        if phase == "start" and info["generation"] == 2:
            found.append(info["generation"])

    gc.callbacks.append(note)
    yield found
    gc.callbacks.remove(note)


def test_a_full_search_waits_until_nobody_is_at_the_keys(clock: Clock, full_searches: list[int]) -> None:
    search = garbage.GarbageSearch()
    search.begin()
    try:
        search.note_key()
        clock.now += garbage.QUIET_S / 2
        assert not search.look()
        held = [[i] for i in range(300_000)]  # as much as lets Python search by itself
        assert (full_searches, len(held)) == ([], 300_000)
        clock.now += garbage.QUIET_S
        assert search.look()
        assert full_searches == [2]
    finally:
        search.end()


def test_keys_without_end_do_not_keep_it_off_for_ever(clock: Clock) -> None:
    search = garbage.GarbageSearch()
    for _ in range(int(garbage.LATEST_S)):
        search.note_key()
        assert not search.look()
        clock.now += 1
    search.note_key()
    assert search.look()


async def test_the_screen_leaves_python_as_it_was() -> None:
    before = gc.get_threshold()
    app = SnifferApp(PipelineModel("p"))
    async with app.run_test() as pilot:
        await pilot.pause()
        assert gc.get_threshold()[2] == garbage.NEVER
    assert gc.get_threshold() == before
