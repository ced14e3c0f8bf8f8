"""Members killed with -9, one process each, over a real broker and a local file: nothing is lost, nobody ends too early."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from chaos_drills import Drill

BOOTSTRAP = os.environ.get("KAFKA_BOOTSTRAP", "")

KAFKA = pytest.param(
    "kafka",
    marks=[pytest.mark.broker, pytest.mark.skipif(not BOOTSTRAP, reason="needs KAFKA_BOOTSTRAP")],
)

COUNT = 1000


@pytest.fixture(params=[KAFKA, "local"])
def location(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"kafka://{BOOTSTRAP}" if request.param == "kafka" else f"local:{tmp_path / 'channels'}"


@pytest.fixture
def drill(tmp_path: Path, location: str, request: pytest.FixtureRequest) -> Iterator[Drill]:
    """A drill; indirect parameters are (operator, parameter, value), other than the defaults."""
    made = Drill(tmp_path, location, getattr(request, "param", ()))
    yield made
    made.close()


def test_three_processes_pass_on_every_record_in_order_and_end(drill: Drill) -> None:
    sink, copier, source = drill.start_line()
    assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], sink.lines[-5:]
    assert sink.numbers("got") == list(range(COUNT))


def test_a_killed_writer_never_counts_as_finished_and_its_restart_ends_the_run(drill: Drill) -> None:
    sink, copier, source = drill.start_line()
    copier.wait_for("copied", 300)
    source.kill()
    sent = source.numbers("sent")[-1]
    assert 0.2 * COUNT <= sent <= 0.8 * COUNT, "the kill did not land in the middle"
    with pytest.raises(subprocess.TimeoutExpired):
        copier.process.wait(3)
    assert sink.process.poll() is None
    again = drill.start("source")
    assert [member.end() for member in (again, copier, sink)] == [0, 0, 0], sink.lines[-5:]
    counts = Counter(sink.numbers("got"))
    assert set(counts) == set(range(COUNT))  # without a member note a source begins anew: doubled, never lost


@pytest.mark.parametrize("drill", [[("source", "keepsNotes", True)]], indirect=True, ids=["notes"])
def test_a_killed_source_goes_on_by_its_note(drill: Drill) -> None:
    sink, copier, source = drill.start_line()
    for at in (300, 550, 750):
        source.wait_for("sent", at)
        source.kill()
        killed = source
        source = drill.start("source")
        source.wait_for("resumed", 1)
        print(
            f"killed the source at {max(killed.numbers('sent'))} of {COUNT} records; resumed at {source.numbers('resumed')[0]}"
        )
    assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], source.lines[-5:]
    numbers = sink.numbers("got")
    counts = Counter(numbers)
    assert set(counts) == set(range(COUNT)), "records were lost"
    assert list(dict.fromkeys(numbers)) == list(range(COUNT)), "the order was lost"
    doubled = sum(count - 1 for count in counts.values())
    print(f"killed the source 3 times; lost 0, doubled {doubled}")
    assert doubled <= 3 * 200  # as below, a kill


@pytest.mark.parametrize(
    "drill", [[("copier", "deliveryGuarantee", "at-most-once")]], indirect=True, ids=["at-most-once"]
)
def test_a_copier_at_most_once_that_is_killed_doubles_nothing(drill: Drill) -> None:
    sink, copier, source = drill.start_line()
    copier.wait_for("copied", 500)
    copier.kill()
    again = drill.start("copier")
    assert [member.end() for member in (source, again, sink)] == [0, 0, 0], again.lines[-5:]
    numbers = sink.numbers("got")
    assert numbers == sorted(set(numbers)), "a record came twice, or the order was lost"
    print(
        f"killed the copier at {max(copier.numbers('copied'))} of {COUNT} records; lost {COUNT - len(numbers)}, doubled 0"
    )
    assert COUNT - len(numbers) <= 200


@pytest.mark.parametrize("victim", ["copier", "sink"])
def test_a_killed_reader_goes_on_where_it_stopped(drill: Drill, victim: str) -> None:
    sink, copier, source = drill.start_line()
    verb, killed = ("copied", copier) if victim == "copier" else ("got", sink)
    killed.wait_for(verb, 500)  # past the burst with which a writer's first connection begins
    killed.kill()
    done = max(killed.numbers(verb))
    assert 0.2 * COUNT <= done <= 0.8 * COUNT, "the kill did not land in the middle"
    again = drill.start(victim)
    members = (source, again, sink) if victim == "copier" else (source, copier, again)
    assert [member.end() for member in members] == [0, 0, 0], again.lines[-5:]
    numbers = sink.numbers("got") if victim == "copier" else [*killed.numbers("got"), *again.numbers("got")]
    counts = Counter(numbers)
    assert set(counts) == set(range(COUNT)), "records were lost"
    doubled = sum(count - 1 for count in counts.values())
    print(f"killed the {victim} at {done} of {COUNT} records; lost 0, doubled {doubled}")
    assert doubled <= 200  # of 500 a second: one commit interval of 100 ms holds 50; room for a busy machine


def test_a_member_that_has_ended_does_nothing_when_it_is_started_again(drill: Drill) -> None:
    sink, copier, source = drill.start_line()
    assert source.end() == 0
    again = drill.start("source")
    assert again.end() == 0
    assert again.numbers("sent") == []
    assert [copier.end(), sink.end()] == [0, 0]
    assert sink.numbers("got") == list(range(COUNT))


@pytest.mark.parametrize(
    "drill", [[("source", "gates", [600]), ("sink", "enough", 300)]], indirect=True, ids=["early sink"]
)
def test_who_is_killed_between_its_end_and_the_deletion_of_its_channel_deletes_it_when_it_is_started_again(
    drill: Drill,
) -> None:
    sink, copier, source = drill.start_line()
    sink.wait_for("ended", 1)
    source.wait_for("sent", 600)
    sink.kill()
    assert drill.channels() == {"copier.input_port", "sink.input_port"}

    source.let_go_on()
    assert [source.end(), copier.end()] == [0, 0]
    assert drill.channels() == {"sink.input_port"}, "nobody else deletes it"

    again = drill.start("sink")
    assert again.end() == 0
    assert "unread records" in "\n".join(again.lines)
    assert again.numbers("ready") == again.numbers("got") == []
    assert drill.channels() == set()
    assert drill.start("sink").end() == 0


@pytest.mark.parametrize(
    "drill", [[("source", "gates", [600]), ("sink", "enough", 300)]], indirect=True, ids=["early sink"]
)
def test_who_takes_up_the_deletion_of_its_channel_waits_for_the_writers(drill: Drill) -> None:
    sink, copier, source = drill.start_line()
    sink.wait_for("ended", 1)
    source.wait_for("sent", 600)
    sink.kill()
    again = drill.start("sink")
    source.let_go_on()
    assert [source.end(), copier.end(), again.end()] == [0, 0, 0]
    assert drill.channels() == set()
