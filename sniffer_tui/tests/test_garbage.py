"""Searches for garbage: of everything when nobody is at the keys, of what is new between two keys; at the end all is as before."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.screen import garbage
from pypz.sniffer.screen.app import SnifferApp


class Clock:
    """Stands in for the module's ``time``."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Ring:
    """Refers to itself: only a search finds that nobody else does."""

    alive = 0

    def __init__(self) -> None:
        self.me = self
        Ring.alive += 1
        weakref.finalize(self, self._note)

    @staticmethod
    def _note() -> None:
        Ring.alive -= 1


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(garbage, "time", made)
    return made


@pytest.fixture
def search(clock: Clock) -> Iterator[garbage.GarbageSearch]:
    gc.collect()
    Ring.alive = 0
    made = garbage.GarbageSearch()
    made.begin()
    yield made
    made.end()
    gc.collect()


def test_what_was_there_is_searched_only_when_nobody_is_at_the_keys(
    clock: Clock, search: garbage.GarbageSearch
) -> None:
    ring = Ring()
    clock.now += garbage.FULL_INTERVAL_S
    search.look()
    del ring
    search.note_key()
    clock.now += garbage.QUIET_S / 2
    search.look()
    gc.collect()
    assert Ring.alive == 1, "as it was set aside it is not looked at"
    clock.now += garbage.FULL_INTERVAL_S
    search.look()
    assert Ring.alive == 0


def test_garbage_that_is_new_goes_between_two_keys(clock: Clock, search: garbage.GarbageSearch) -> None:
    search.note_key()
    held = []
    while gc.get_count()[2] < garbage.SEARCH_FROM:
        held.append(Ring())
    made = len(held)
    held.clear()
    search.look()
    assert Ring.alive == made, "the key was pressed just now"
    clock.now += 2 * garbage.DRAWN_S
    search.look()
    assert Ring.alive == 0


def test_keys_without_end_do_not_keep_garbage_for_ever(search: garbage.GarbageSearch) -> None:
    kept = [[i] for i in range(300_000)]  # so much that Python would put searches off for long, were it not set aside
    search.begin()
    most = 0
    for _ in range(400_000):
        Ring()
        most = max(most, Ring.alive)
        search.note_key()
        search.look()
    assert 0 < most < 200_000
    assert len(kept) == 300_000


async def test_the_screen_leaves_python_as_it_was() -> None:
    before = gc.get_threshold()
    app = SnifferApp(PipelineModel("p"))
    async with app.run_test() as pilot:
        await pilot.pause()
        assert gc.get_freeze_count() > 10_000
    assert (gc.get_threshold(), gc.get_freeze_count()) == (before, 0)
