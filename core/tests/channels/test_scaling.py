"""Rescaling a group while its run goes on: nothing lost, nothing doubled, everybody ends."""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.tests.channels.scaled_line import Bench, Line, Member
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.core.channels.headers import Note
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.roster import Roster, roster_key
from pypz.core.channels.runs.retiring import places_of
from pypz.core.channels.runs.run import PipelineRun
from pypz.core.channels.runs.scaling import Scaling
from pypz.core.channels.status import pack
from pypz.core.commons.errors import ConfigurationError, RunConflictError
from pypz.core.hooks.host import PluginHost


@pytest.fixture
def benches() -> Iterator[Callable[..., Bench]]:
    made: list[Bench] = []

    def make(*args: Any, **kwargs: Any) -> Bench:
        made.append(Bench(*args, **kwargs))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@settings(max_examples=5, deadline=None)
@given(sizes=st.lists(st.integers(1, 5), min_size=2, max_size=3))
def test_nothing_is_lost_or_doubled_however_often_a_group_is_rescaled(sizes: list[int]) -> None:
    bench = Bench(total=60 * len(sizes))
    try:
        board = bench.board
        bench.start_rest(sizes[0])
        bench.start_workers(sizes[0])
        for place, size in enumerate(sizes[1:], 1):
            board.allow(60 * place)
            board.await_that(lambda place=place: len(board.handled) >= 60 * place - 50)  # type: ignore[misc]
            bench.scale(size, between=bench.stop_workers)
            bench.start_workers(size)
        board.allow(board.total)
        bench.end()
        assert Counter(one["n"] for one in board.got) == Counter(range(board.total))
        places: dict[str, list[int]] = {}
        for one in board.got:
            places.setdefault(one["start"], []).append(one["place"])
        for found in places.values():
            assert found == sorted(found)
    finally:
        bench.close()


def test_what_would_move_is_told_before_and_positions_stand_after(benches: Callable[..., Bench]) -> None:
    bench = benches(total=100)
    bench.start_rest(1)
    bench.start_workers(1)
    bench.board.allow(50)
    bench.board.await_that(lambda: len(bench.board.got) == 50)
    scaled = bench.scale(2, between=bench.stop_workers)
    channel = f"{bench.name}.worker.input"
    assert [(move.partition, move.before, move.after) for move in scaled.plan.moves] == [
        (0, f"{bench.name}.worker", f"{bench.name}.worker"),
        (1, "", f"{bench.name}.worker_0"),
    ]
    assert (scaled.plan.added, scaled.plan.removed) == ((f"{bench.name}.worker_0",), ())
    assert (scaled.generation, list(scaled.positions)) == (1, [(channel, 0)])
    bench.board.allow(100)
    bench.start_workers(2)
    bench.end()
    assert len(bench.board.got) == 100


def test_a_group_that_is_alive_is_not_handed_over(benches: Callable[..., Bench]) -> None:
    bench = benches(total=10)
    bench.start_rest(1)
    bench.start_workers(1)
    bench.board.allow(5)
    bench.board.await_that(lambda: len(bench.board.got) == 5)
    with pytest.raises(
        RunConflictError, match=r"\.worker is alive in run \w+, started on host .*though it was to be stopped"
    ):
        bench.scale(2)
    bench.board.allow(10)
    bench.end()


def test_what_a_partition_of_keys_would_lose_is_refused(benches: Callable[..., Bench]) -> None:
    bench = benches(total=10, partitionBy="n")
    bench.start_rest(1)
    bench.start_workers(1)
    bench.board.allow(5)
    bench.board.await_that(lambda: len(bench.board.got) == 5)
    words = r"worker\.input: 2 members are asked for, and its channel has 1 partition.*partitionBy 'n'.*keys would move"
    with pytest.raises(ConfigurationError, match=words):
        bench.scale(2)
    bench.board.allow(10)
    bench.end()


def test_a_group_of_which_one_has_ended_is_not_rescaled(benches: Callable[..., Bench]) -> None:
    bench = benches(total=10)
    bench.start_rest(1)
    bench.start_workers(1)
    bench.board.allow(10)
    bench.end()
    with pytest.raises(ConfigurationError, match=r"run \w+ has ended: there is nothing left to rescale"):
        bench.scale(2)


def test_a_run_that_has_not_begun_is_not_rescaled(benches: Callable[..., Bench]) -> None:
    with pytest.raises(ConfigurationError, match="has not begun at memory:"):
        benches().scale(2)


def test_a_member_that_was_taken_away_does_nothing_when_started_again(benches: Callable[..., Bench]) -> None:
    bench = benches(total=20)
    bench.start_rest(2)
    bench.start_workers(2)
    bench.board.allow(10)
    bench.board.await_that(lambda: len(bench.board.got) == 10)
    bench.scale(1, between=bench.stop_workers)
    whole = bench.pipeline(2)
    late = Member(whole.worker_0, bench.run)
    assert late.end() == 0
    bench.board.allow(20)
    bench.start_workers(1)
    bench.end()
    assert Counter(one["n"] for one in bench.board.got) == Counter(range(20))


@given(
    generations=st.lists(st.integers(0, 12), min_size=1, max_size=6),
    data=st.data(),
)
def test_a_note_of_any_generation_tells_who_has_ended_since_it_was_added(
    generations: list[int], data: st.DataObject
) -> None:
    roster = Roster(
        {"p.w": generations[0]}, [(10 * place, {"p.w": size}) for place, size in enumerate(generations[1:], 1)]
    )
    newest = roster.writers([("p.w", "out")])
    written = data.draw(st.integers(0, len(generations) - 1))
    then = Roster(
        {"p.w": generations[0]},
        [(10 * place, {"p.w": size}) for place, size in enumerate(generations[1 : written + 1], 1)],
    ).writers([("p.w", "out")])
    ended = frozenset(data.draw(st.sets(st.sampled_from(then.now)))) if then.now else frozenset()
    read = Note.decode(Note("r", "i", 3, ended).encode(then), newest)
    stays = [min(generations[written:]) > int(writer.split("/")[1]) for writer in sorted(ended)]
    assert sorted(read.ended) == [writer for writer, stay in zip(sorted(ended), stays, strict=True) if stay]


def test_an_end_whose_writer_is_not_known_yet_is_kept_until_it_is() -> None:
    old = Roster({"p.w": 1}).writers([("p.w", "out")])
    new = Roster({"p.w": 1}, [(7, {"p.w": 3})]).writers([("p.w", "out")])
    text = Note("r", "i", 0, frozenset(), {"p.w/1/out": 9, "p.w/2/out": 5}).encode(old)
    assert Note.decode(text, old).early == {"p.w/1/out": 9, "p.w/2/out": 5}
    assert Note.decode(text, new) == Note("r", "i", 0, frozenset({"p.w/1/out"}))


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_what_was_broken_off_behind_the_first_of_two_locations_is_made_up_for(size: int) -> None:
    bench = Bench(total=100)
    other = f"{bench.name}-out"
    keeper = MemoryTransport(other)
    make = bench.pipeline

    def over_two(size: int) -> Line:
        made = make(size)
        for port in (made.worker.output, made.sink.input):
            port.set_parameter("channelLocation", f"memory:{other}")
        return made

    bench.pipeline = over_two  # type: ignore[method-assign]
    try:
        bench.start_rest(1)
        bench.start_workers(1)
        bench.board.allow(50)
        bench.board.await_that(lambda: len(bench.board.got) == 50)
        bench.stop_workers()
        whole = bench.pipeline(3)
        with places_of(PluginHost.default(), whole) as places:
            first = [place for place in places if place.location == bench.location]
            broken_off = Scaling(first, whole.worker, bench.run, 3)
            broken_off.carry_out(broken_off.plan())
        bench.scale(size)
        with places_of(PluginHost.default(), whole) as places:
            name = whole.worker.get_full_name()
            assert [place.roster(bench.run).size_of(name) for place in places] == [size, size]
        bench.start_workers(size)
        bench.board.allow(100)
        bench.end()
        assert Counter(one["n"] for one in bench.board.got) == Counter(range(100))
    finally:
        bench.close()
        keeper.close()


def test_a_group_has_the_size_that_is_told_where_it_takes_part() -> None:
    name, run_id = f"line_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex[:12]
    whole = Line(name)
    whole.set_parameter(">>channelLocation", f"memory:{name}")
    for port in (whole.worker.output, whole.sink.input):
        port.set_parameter("channelLocation", f"memory:{name}-out")
    source, worker, sink = (f"{name}.{one}" for one in ("source", "worker", "sink"))
    run = PipelineRun.join(whole.worker, PluginHost.default(), run_id=run_id)
    try:
        hub = run.hub(f"memory:{name}")
        hub.put(roster_key(run_id, 1), pack(groups={source: 3, worker: 1, sink: 1}))
        other = run.hub(f"memory:{name}-out")
        for generation, size in enumerate((2, 4), 1):
            other.put(roster_key(run_id, generation), pack(groups={source: 1, worker: 1, sink: size}))
        hub.refresh()
        other.refresh()
        assert [run.size_of(one) for one in (source, worker, sink)] == [3, 1, 4]
    finally:
        run.close()
