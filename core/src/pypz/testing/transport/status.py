"""Promises 20 to 22: the status stream."""

from __future__ import annotations

import time

from pypz.core.channels.spi import StatusEntry, StatusStream
from pypz.testing.promises import Worker, promise, side_by_side
from pypz.testing.transport.base import TransportFixtures
from pypz.testing.transport.bench import ADMIN_S, Bench

STARTS = 5
PROPOSERS = 20
BEATS = 1000


def changes_until(stream: StatusStream, key: str, patience_s: float) -> list[StatusEntry]:
    """Follow a stream until an entry of this key has come."""
    worker = Worker("follows")
    found: list[StatusEntry] = []
    deadline = time.monotonic() + patience_s
    while not any(entry.key == key for entry in found):
        assert time.monotonic() < deadline, f"no entry {key!r} came; there were {len(found)} others"
        found += worker.call(lambda: stream.changes(1.0), "StatusStream.changes", patience_s)
    worker.close()
    return found


class StatusPromises(TransportFixtures):
    """Facts, beats and epochs."""

    @promise(20)
    def test_20_join_gives_simultaneous_starts_of_one_member_different_growing_epochs(self, bench: Bench) -> None:
        """An epoch is the position of the member's own entry, and all see that of the last start."""
        streams = [bench.status(bench.open_transport()) for _ in range(STARTS)]
        member = bench.member()
        at_once = side_by_side([lambda one=one: one.join(bench.member(), b"{}") for one in streams], bench.patience_s)  # type: ignore[misc]
        assert len(set(at_once)) == STARTS, f"epochs of starts at one moment: {at_once}"
        later = [one.join(member, b'{"start":"last"}') for one in streams]
        assert later == sorted(set(later))
        assert later[0] > max(at_once)
        entry = bench.status().facts()[f"joined/{member.key}"]
        assert (entry.position, entry.value) == (later[-1], b'{"start":"last"}')

    @promise(21)
    def test_21_put_first_has_one_winner_among_twenty(self, bench: Bench) -> None:
        """Who comes later learns the same."""
        streams = [bench.status() for _ in range(PROPOSERS)]
        won = side_by_side(
            [lambda n=n, one=one: one.put_first("run/1", b"%d" % n) for n, one in enumerate(streams)],  # type: ignore[misc]
            bench.patience_s,
        )
        late = bench.status(bench.open_transport())
        assert {late.put_first("run/1", b"late"), late.facts()["run/1"].value, *won} == {won[0]}

    @promise(22)
    def test_22_facts_outlive_a_thousand_beats_and_a_restart(self, bench: Bench) -> None:
        """The last value of a key stays, one that was removed is gone, and a follower sees the changes in order."""
        bench.open_transport()  # memory: lives as long as somebody has it
        transport = bench.open_transport()
        stream, follower = bench.status(transport), bench.status()
        dict(follower.facts())
        stream.put("kept", b"1")
        stream.put("kept", b"2")
        stream.put("removed", b"1")
        stream.put("removed", None)
        for number in range(BEATS):
            stream.beat("figures", b"%d" % number)
        stream.put("last", b"3")
        seen = [(entry.key, entry.value) for entry in changes_until(follower, "last", bench.patience_s)]
        facts = [entry for entry in seen if entry[0] != "figures"]
        beats = [int(value or b"") for key, value in seen if key == "figures"]
        assert facts == [("kept", b"1"), ("kept", b"2"), ("removed", b"1"), ("removed", None), ("last", b"3")]
        assert beats == sorted(beats)
        transport.close()
        again = bench.status(bench.open_transport(), create=False).facts()
        assert {key: entry.value for key, entry in again.items()} == {"kept": b"2", "last": b"3"}
        assert bench.pipeline in bench.transport.pipelines()
        bench.transport.delete_status(bench.pipeline, ADMIN_S)
        assert bench.pipeline not in bench.transport.pipelines()
        assert dict(bench.status(bench.open_transport(), create=False).facts()) == {}
