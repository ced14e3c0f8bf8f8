"""Locations that do not answer: whoever waits is told for what, and what was last seen, and may go at once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from pypz.core.commons.errors import TransportTimeoutError
from pypz.sniffer.sources.asking import Asking, NoAnswerError

PROJECT = Path(__file__).parent / "project"
NOBODY = "127.0.0.1:1"
"""No program listens there."""


class Away:
    """A transport that answers once somebody was told why it does not."""

    def __init__(self) -> None:
        self.back = threading.Event()
        self.asked = 0

    def last_cause(self) -> str:
        return "broker:9092: Connection refused"

    def answer(self) -> str:
        self.asked += 1
        if self.asked == 1:
            raise TransportTimeoutError("no broker answers")
        assert self.back.wait(20)
        return "names"


def test_what_was_last_seen_is_told_once_and_so_is_the_answer() -> None:
    away, told = Away(), list[str]()

    def tell(text: str) -> None:
        told.append(text)
        if "Connection refused" in text:
            away.back.set()

    asking = Asking("amqp://me:hidden@host", away, tell)
    assert asking.answer(away.answer, "names") == "names"
    shown = "amqp://me:$(secret)@host"
    assert told == [
        f"{shown}: no broker answers; waits for names",
        f"{shown}: no answer yet (broker:9092: Connection refused); waits for names",
        f"{shown}: answers",
    ]
    assert not asking.is_waiting


def test_who_has_not_so_much_time_is_told_what_was_last_seen() -> None:
    away = Away()
    away.asked = 1
    with pytest.raises(NoAnswerError, match="^kafka://x:1: no answer; last seen: broker:9092: Connection refused$"):
        Asking("kafka://x:1", away, pytest.fail, at_most_s=0.0).answer(away.answer, "names")
    away.back.set()


def test_what_a_question_raises_is_raised_where_it_was_asked() -> None:
    def ask() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="^no$"):
        Asking("kafka://x:1", None, pytest.fail).answer(ask, "names")


def command(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "pypz.cli.main", "sniff", *arguments],
        cwd=PROJECT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize(
    "arguments, expected",
    [
        ([NOBODY], 130),
        ([NOBODY, "--json"], 130),
        (["sniffed_pipelines:TwoSteps", "-p", f">>channelLocation=kafka://{NOBODY}"], 0),
    ],
)
def test_a_broker_that_is_away_is_named_with_its_cause_and_ctrl_c_ends_the_wait(
    arguments: list[str], expected: int
) -> None:
    sniffing = command(*arguments)
    assert sniffing.stdout is not None
    told = ""
    with sniffing.stdout:
        for line in sniffing.stdout:
            told += json.loads(line)["notice"] if "--json" in arguments else line
            if "no answer yet" in " ".join(told.split()) and "Connection refused" in " ".join(told.split()):
                break
        sniffing.send_signal(signal.SIGINT)
        sniffing.stdout.read()
    assert f"kafka://{NOBODY}" in told
    assert sniffing.wait(30) == expected


def test_one_look_at_a_broker_that_is_away_ends_and_says_so() -> None:
    looking = command(NOBODY, "--once", "--json", "--seconds", "2")
    told = json.loads(looking.communicate(timeout=60)[0])
    assert looking.returncode == 4
    assert (told["verdict"], told["members"]) == ("unseen", [])
    assert told["notice"] == f"kafka://{NOBODY}: no answer; last seen: {NOBODY}: Connection refused"
