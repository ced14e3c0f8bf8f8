"""Why is it stuck: one sentence for each member, one for the pipeline; and the same as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from pypz.sniffer.forms.documents import document_of, line_of
from pypz.sniffer.model.frames import Frame, LagView, MemberView, Mood, PortView
from pypz.sniffer.wording.reasons import Verdict, diagnose, is_in_doubt

OUT = PortView("p.writer", "out", "out", "p.reader.in", ("reader.in",), "open", 10, rate=0.0)
IN = PortView("p.reader", "in", "in", "p.reader.in", ("writer.out",), "open", 10, rate=0.0, waits_for="p.writer/0/out")
WRITER = MemberView("p.writer", "p.writer", 0, 0, Mood.RUNNING, "StateOperationRunning", ports=(OUT,))
READER = MemberView("p.reader", "p.reader", 0, 1, Mood.RUNNING, "StateOperationRunning", ports=(IN,))


def frame(*members: MemberView, mood: Mood = Mood.RUNNING) -> Frame:
    return Frame("p", "run1", mood, members=members)


@pytest.mark.parametrize(
    ("writer", "reader", "verdict", "why", "of_reader"),
    [
        ({}, {}, Verdict.HEALTHY, "waits for records", "waits for records of writer"),
        (
            {"ports": (replace(OUT, rate=30.0),)},
            {"ports": (replace(IN, rate=20.0, lag=LagView(5, 1)),)},
            Verdict.HEALTHY,
            "20 records/s are read",
            "reads 20 records/s",
        ),
        (
            {"mood": Mood.LOST, "silent_s": 12.0},
            {},
            Verdict.STUCK,
            "writer is lost: no sign of life for 0:12; killed, frozen, or cut off",
            "waits for records of writer, which is lost",
        ),
        (
            {},
            {"ports": (replace(IN, lag=LagView(7, 1), held_s=10.0),)},
            Verdict.STUCK,
            "reader leaves 7 records of in waiting: it is busy in its own code, or cannot commit",
            "leaves 7 records of in waiting: it is busy in its own code, or cannot commit",
        ),
        (
            {},
            {"ports": (replace(IN, lag=LagView(7, 1), held_s=9.9),)},
            Verdict.HEALTHY,
            "reader has taken none for 0:09; 7 records of in wait to be read or committed",
            "has taken none for 0:09; 7 records of in wait to be read or committed",
        ),
        (
            {},
            {"ports": (replace(IN, lag=LagView(7, 1), held_s=59.0, pace_s=20.0),)},
            Verdict.HEALTHY,
            "reader has taken none for 0:59; 7 records of in wait to be read or committed",
            "has taken none for 0:59; 7 records of in wait to be read or committed",
        ),
        (
            {},
            {"ports": (replace(IN, lag=LagView(7, 1), held_s=60.0, pace_s=20.0),)},
            Verdict.STUCK,
            "reader leaves 7 records of in waiting: it is busy in its own code, or cannot commit",
            "leaves 7 records of in waiting: it is busy in its own code, or cannot commit",
        ),
        (
            {},
            {"ports": (replace(IN, lag=LagView(20, 1), held_s=299.0, in_hand=20),)},
            Verdict.HEALTHY,
            "reader works on 20 records of in for 4:59",
            "works on 20 records of in for 4:59",
        ),
        (
            {"mood": Mood.WAITING, "state": "", "ports": ()},
            {},
            Verdict.HEALTHY,
            "writer has not started in this run",
            "waits for records of writer, which has not started",
        ),
        (
            {"mood": Mood.WAITING, "state": "", "ports": ()},
            {"mood": Mood.STARTING, "state": "StateOperationInit", "ports": (replace(IN, state=""),)},
            Verdict.HEALTHY,
            "writer has not started in this run",
            "waits for writer, which has not started",
        ),
        (
            {"mood": Mood.FAILED, "exit_code": 115, "error": "ValueError: no", "during": "StateOperationRunning"},
            {},
            Verdict.FAILED,
            "writer has failed with exit code 115: ValueError: no (in StateOperationRunning)",
            "waits for records of writer, which has failed",
        ),
        (
            {"mood": Mood.FINISHED},
            {"mood": Mood.STOPPING, "state": "StateResourceDeletion"},
            Verdict.HEALTHY,
            "waits for records",
            "waits until all others have ended, to delete its channels",
        ),
    ],
)
def test_what_is_seen_is_said_in_one_sentence(
    writer: dict[str, object], reader: dict[str, object], verdict: Verdict, why: str, of_reader: str
) -> None:
    found = diagnose(frame(replace(WRITER, **writer), replace(READER, **reader)))  # type: ignore[arg-type]
    assert (found.verdict, found.why, found.members["p.reader"]) == (verdict, why, of_reader)


def test_a_silent_member_is_in_doubt_until_it_counts_as_lost() -> None:
    assert not is_in_doubt(frame(replace(WRITER, silent_s=1.0), READER))
    assert is_in_doubt(frame(replace(WRITER, silent_s=2.5), READER))
    assert not is_in_doubt(frame(replace(WRITER, silent_s=5.0, mood=Mood.LOST), READER))
    assert not is_in_doubt(frame(replace(WRITER, silent_s=60.0, mood=Mood.FINISHED), READER))


def test_a_slow_reader_is_in_doubt_until_it_takes_some_or_counts_as_stuck() -> None:
    def of_reader(**more: object) -> Frame:
        return frame(WRITER, replace(READER, ports=(replace(IN, **more),)))  # type: ignore[arg-type]

    held = {"lag": LagView(7, 1), "held_s": 4.0}
    assert is_in_doubt(of_reader(**held))
    assert not is_in_doubt(of_reader(**{**held, "rate": 1.0}))
    assert not is_in_doubt(of_reader(**{**held, "held_s": 11.0}))
    assert not is_in_doubt(of_reader(**held, in_hand=7))
    assert is_in_doubt(of_reader(**held, in_hand=7, pace_s=1.0))
    assert not is_in_doubt(of_reader())


def test_the_end_and_the_absence_of_a_run_are_verdicts_too() -> None:
    assert diagnose(Frame("p")).verdict is Verdict.UNSEEN
    assert diagnose(frame(mood=Mood.FINISHED)).verdict is Verdict.FINISHED
    interrupted = diagnose(frame(replace(WRITER, mood=Mood.INTERRUPTED), mood=Mood.INTERRUPTED))
    assert (interrupted.verdict, interrupted.why) == (Verdict.FAILED, "writer was interrupted")


def test_a_picture_is_one_line_of_json_with_everything_that_is_shown() -> None:
    picture = frame(WRITER, replace(READER, ports=(replace(IN, lag=LagView(7, 1), held_s=10.0),)))
    assert json.loads(line_of(picture)) == document_of(picture)
    assert "\n" not in line_of(picture)
    found = document_of(picture)
    assert (found["v"], found["verdict"], found["members"][1]["ports"][0]["lag_records"]) == (1, "stuck", 7)
