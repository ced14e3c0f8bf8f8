"""A sniffer that is killed leaves the terminal as it was: with a real terminal and a real kill."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import termios
from collections.abc import Iterator

import pytest

from pypz.sniffer.screen.guard import RESET

PROGRAM = """
import sys, tty
from pypz.sniffer.screen.guard import guarded_terminal
with guarded_terminal():
    tty.setraw(2)
    sys.stderr.write("drawn")
    sys.stderr.flush()
    sys.stdin.read(1)
sys.stderr.write("left")
"""


@pytest.fixture
def terminal() -> Iterator[tuple[int, int]]:
    """A terminal: the end that its user has, and the end that programs have."""
    ends = pty.openpty()
    yield ends
    for end in ends:
        os.close(end)


def read_until(end: int, part: bytes) -> bytes:
    seen = b""
    while part not in seen:
        seen += os.read(end, 1024)
    return seen


@pytest.fixture
def program(terminal: tuple[int, int]) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdin=terminal[1], stdout=terminal[1], stderr=terminal[1]
    ) as one:
        yield one
        one.kill()


def test_after_a_kill_the_terminal_is_as_it_was(terminal: tuple[int, int], program: subprocess.Popen[bytes]) -> None:
    user, programs = terminal
    before = termios.tcgetattr(programs)
    read_until(user, b"drawn")
    assert termios.tcgetattr(programs) != before
    os.kill(program.pid, signal.SIGKILL)
    read_until(user, RESET.encode())
    assert termios.tcgetattr(programs) == before


def test_one_that_ends_itself_is_left_alone(terminal: tuple[int, int], program: subprocess.Popen[bytes]) -> None:
    user, _ = terminal
    read_until(user, b"drawn")
    os.write(user, b"x")
    seen = read_until(user, b"left")
    assert program.wait(10) == 0
    assert b"1049" not in seen
