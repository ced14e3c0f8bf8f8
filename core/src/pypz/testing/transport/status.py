"""Promises 20 to 22 and 51 to 54: the status stream, the log lines beside it, and what late viewers get of beats."""

from __future__ import annotations

import time

import pytest

from pypz.core.channels.spi import (
    KeepsBeats,
    KeepsLogs,
    LogReader,
    StatusEntry,
    StatusStream,
    keeps_beats,
    keeps_logs,
    opens_logs,
)
from pypz.testing.promises import Worker, promise, result_of, side_by_side
from pypz.testing.transport.base import TransportFixtures
from pypz.testing.transport.bench import ADMIN_S, Bench

STARTS = 5
PROPOSERS = 20
BEATS = 1000
OTHERS = 1500
LINES = 50
FLOOD = 20_000
LINE_BYTES = 200


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


def lines_until(reader: LogReader, last: bytes, patience_s: float) -> list[bytes]:
    """Follow log lines until a certain one has come."""
    worker = Worker("follows lines")
    found: list[bytes] = []
    deadline = time.monotonic() + patience_s
    while last not in found:
        assert time.monotonic() < deadline, f"line {last!r} did not come; there were {len(found)} others"
        found += worker.call(lambda: reader.read(1.0), "LogReader.read", patience_s)
    worker.close()
    return found


def log_writer(stream: StatusStream, number: int) -> KeepsLogs:
    """The stream, if it keeps log lines; else the test is skipped."""
    if not keeps_logs(stream):
        pytest.skip(f"promise {number} is tested where status streams keep log lines (KeepsLogs)")
    return stream


def log_reader(bench: Bench, kept: int, number: int) -> LogReader:
    """Follow the pipeline's log lines by a transport of its own."""
    transport = bench.open_transport()
    if not opens_logs(transport):
        pytest.skip(f"promise {number} is tested where transports give out log lines (OpensLogs)")
    return transport.open_logs(bench.pipeline, kept)


def kept_by(stream: StatusStream, number: int) -> KeepsBeats:
    """The stream, if it keeps beats for viewers that come late; else the test is skipped."""
    if not keeps_beats(stream):
        pytest.skip(f"promise {number} is tested where status streams keep beats (KeepsBeats)")
    return stream


class StatusPromises(TransportFixtures):
    """Facts, beats, epochs and log lines."""

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

    @promise(51)
    def test_51_log_lines_come_in_order_to_early_and_late_viewers_and_are_neither_facts_nor_beats(
        self, bench: Bench
    ) -> None:
        """A viewer gets the latest of those that were there, then all others; `wake` ends its wait."""
        stream = bench.status()
        writer = log_writer(stream, 51)
        early = log_reader(bench, LINES, 51)
        lines = [b"line %d" % number for number in range(LINES)]
        for line in lines:
            writer.log(line)
        assert lines_until(early, lines[-1], bench.patience_s) == lines
        late = log_reader(bench, 10, 51)
        assert lines_until(late, lines[-1], bench.patience_s) == lines[-10:]
        writer.log(b"one more")
        assert [lines_until(reader, b"one more", bench.patience_s) for reader in (early, late)] == [[b"one more"]] * 2
        worker = Worker("waits for lines")
        waiting = worker.submit(lambda: late.read(bench.patience_s * 2))
        late.wake()
        assert result_of(waiting, "LogReader.read after wake", bench.patience_s) == []
        worker.close()
        stream.put("last", b"1")
        told = changes_until(stream, "last", bench.patience_s)
        assert {entry.key for entry in told} | set(stream.facts()) == {"last"}
        for reader in (early, late):
            reader.close()

    @promise(52)
    def test_52_log_never_waits_and_a_flood_leaves_the_newest_lines_only(self, bench: Bench) -> None:
        """Lines may be lost, the order stays; what is kept has a bound, or is lost on the way."""
        stream = bench.status()
        writer = log_writer(stream, 52)
        worker = Worker("logs")

        def flood() -> None:
            for number in range(FLOOD):
                writer.log(b"%d" % number + b" " * LINE_BYTES)

        worker.call(flood, f"{FLOOD} times StatusStream.log", bench.patience_s)
        worker.close()
        last = b"%d" % FLOOD
        reader = log_reader(bench, FLOOD, 52)
        deadline = time.monotonic() + bench.patience_s
        found: list[bytes] = []
        while last not in found:  # what is written while too much waits may be lost: it is written again
            assert time.monotonic() < deadline, f"no line comes any more behind {len(found)} of {FLOOD}"
            writer.log(last)
            found += reader.read(0.2)
        numbers = [int(line) for line in found if line != last]
        assert numbers == sorted(set(numbers))
        assert len(numbers) < FLOOD, "lines are kept or ahead without bound"
        reader.close()

    @promise(53)
    def test_53_log_lines_go_with_the_status_and_a_viewer_makes_none(self, bench: Bench) -> None:
        """Who follows lines of a stream that is not there waits, finds them once it is made, and again when made anew."""
        reader = log_reader(bench, LINES, 53)
        worker = Worker("waits for a stream")
        assert worker.call(lambda: reader.read(0.1), "LogReader.read", bench.patience_s) == []
        assert bench.pipeline not in bench.transport.pipelines()
        for line in (b"first", b"second"):
            made = bench.status(bench.open_transport())
            log_writer(made, 53).log(line)
            assert lines_until(reader, line, bench.patience_s) == [line]
            made.close()
            bench.transport.delete_status(bench.pipeline, ADMIN_S)
        late = log_reader(bench, LINES, 53)
        assert worker.call(lambda: late.read(0.1), "LogReader.read", bench.patience_s) == []
        worker.close()
        for one in (reader, late):
            one.close()

    @promise(54)
    def test_54_a_late_viewer_gets_the_last_beat_of_a_key_behind_many_others(self, bench: Bench) -> None:
        """What a member that was killed told last: each key once, in order, and nothing is made by asking."""
        absent = kept_by(bench.status(bench.open_transport(), create=False), 54)
        assert absent.kept_beats() == []
        assert bench.pipeline not in bench.transport.pipelines()
        stream, follower = bench.status(), bench.status()
        for value in (b"first", b"last"):
            stream.beat("killed", value)
            assert changes_until(follower, "killed", bench.patience_s)[-1].value == value
        for turn in range(OTHERS):
            stream.beat("other", b"%d" % turn)
            if turn % 100 == 99:
                stream.put("mark", b"%d" % turn)  # beats are lost where too many of them wait
                stream.beat("turn", b"%d" % turn)
                changes_until(follower, "turn", bench.patience_s)
        kept = kept_by(bench.status(bench.open_transport(), create=False), 54).kept_beats()
        assert [(entry.kind, entry.key) for entry in kept] == [("beat", key) for key in ("killed", "other", "turn")]
        assert kept[0].value == b"last"
        assert kept[1].value == b"%d" % (OTHERS - 1)
