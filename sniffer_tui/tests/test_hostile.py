"""Entries of whoever may write to a status stream: what cannot be read is left out, and no text moves the cursor."""

from __future__ import annotations

import asyncio
import json
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from textual.widgets import Static

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import StatusStream
from pypz.core.channels.status import pack
from pypz.core.hooks.events import LogRecord, OperatorRef
from pypz.core.hooks.host import PluginHost
from pypz.sniffer.forms.documents import document_of
from pypz.sniffer.forms.lines import document_of as line_document
from pypz.sniffer.forms.lines import words_of
from pypz.sniffer.forms.plain import PlainViewer
from pypz.sniffer.graph.cards import Flows, joints_of
from pypz.sniffer.model.frames import Mood, Selection
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.screen.app import SnifferApp
from pypz.sniffer.screen.header import brief_of, title_of
from pypz.sniffer.sources.feed import Feed
from pypz.sniffer.sources.logs import LogBook
from pypz.sniffer.wording.details import details_of
from pypz.sniffer.wording.picture import Picture
from pypz.sniffer.wording.reasons import diagnose
from pypz.sniffer.wording.table import rows_of

EVIL = "\x1b[2J[bold red]x[/] \x9b31m\x07\r\n\t" + "N" * 10_000
"""Clears the screen, is markup, rings, and does not end."""

GOOD = {"pipeline": "p", "run": "r1", "name": "p.good", "index": 0, "start": "s1", "host": "here", "process": 7}


def reference(name: str, **more: Any) -> dict[str, Any]:
    return {**GOOD, "name": name, **more}


def figures(operator: dict[str, Any], port: str, channel: str, **more: Any) -> bytes:
    ref = {"operator": operator, "name": port, "direction": "in", "channels": [channel]}
    return pack(port=ref, channel=channel, **{"state": "open", "records": 7, "blocks": 1, "size_bytes": 9, **more})


def tell_of_hostile(stream: StatusStream) -> None:
    """A run with a good member and one whose every text is hostile."""
    run = f"r1{EVIL}"
    stream.put(f"run/{run}", pack(run=run, pipeline="p", groups={"p.good": 1, f"p.{EVIL}": 2}, started_utc=1e18))
    for operator in (reference("p.good", run=run), reference(f"p.{EVIL}", run=run, start=EVIL, host=EVIL)):
        name = operator["name"]
        way: dict[str, list[Any]] = {
            "way": ["StateEntry", EVIL if name != "p.good" else "StateOperationRunning"],
            "way_utc": [1e17, -1e17],
        }
        stream.put(f"state/{name}", pack(operator=operator, new=way["way"][1], at_utc=5.0, **way))
        port = EVIL if name != "p.good" else "in"
        more = {"waits_for": EVIL, "partitions": [0], "positions": [EVIL], "at_utc": 1e18, "lag_records": 3}
        stream.put(
            f"status/{name}", figures(operator, port, f"p.{port}", state=EVIL if port == EVIL else "open", **more)
        )
    error = {"type": EVIL, "message": EVIL, "traceback": f"Traceback\n{EVIL}"}
    stream.put("failed/evil", pack(operator=operator, during=EVIL, error=error, at_utc=5.0))


CORRUPT: list[tuple[str, bytes]] = [
    ("state/p.good", b"\xff\xfe"),
    ("state/p.good", b"[1, 2]"),
    ("state/p.good", pack(operator=GOOD, new=5)),
    ("state/p.good", pack(operator=None, new="StateKilled")),
    ("state/p.good", pack(operator={**GOOD, "index": "first"}, new="StateKilled")),
    ("state/p.good", pack(operator=GOOD, new="StateKilled", way=["StateKilled"], way_utc=[float("nan")])),
    ("exit/p.good", pack(operator=GOOD, exit_code=10**400)),
    ("status/p.good", figures(GOOD, "in", "p.in", records=10**30)),
    ("status/p.good", figures(GOOD, "in", "p.in", records="many")),
    ("status/p.good", figures(GOOD, "in", "p.in", at_utc=float("inf"))),
    ("status/p.good", figures(GOOD, "in", "p.in", positions=[5])),
    ("status/p.good", figures(GOOD, "in", "p.in", partitions=["0"])),
    ("port/p.good", pack(port={"operator": GOOD, "name": "in", "direction": "in", "channels": [{}]}, open=True)),
    ("closed/p.good", pack(run="r1", statuses=[{"port": {}}])),
    ("alive/1", pack(run="r1", members=["p.good"])),
    ("roster/r1/1", pack(run="r1", groups={"p.good": 10**9})),
    ("roster/r1/2", pack(run="r1", groups={"p.good": -1})),
    ("run/r2", pack(run="r2", pipeline="p", groups={"p.good": 10**9})),
]


@contextmanager
def seen(name: str) -> Iterator[PipelineModel]:
    model = PipelineModel("p")
    host = PluginHost()
    feed = Feed(model, "p", [(f"memory:{name}", {})], host)
    feed.start()
    try:
        yield model
    finally:
        feed.close()
        host.close()


def until(model: PipelineModel, look: Callable[[], bool]) -> None:
    deadline, pause = time.monotonic() + 20, threading.Event()
    while not look():
        assert time.monotonic() < deadline, model.frame()
        pause.wait(0.02)


@pytest.fixture
def hostile() -> Iterator[PipelineModel]:
    name = str(uuid.uuid4())
    transport = MemoryTransport(name, {})
    tell_of_hostile(transport.open_status("p", create=True))
    with seen(name) as model:
        until(model, lambda: {Mood.RUNNING, Mood.FAILED} <= {m.mood for m in model.frame().members})
        until(model, lambda: sum(p.records is not None for m in model.frame().members for p in m.ports) == 2)
        yield model
    transport.close()


def strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, one in value.items():
            yield from (key, *strings(one))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from strings(one)


IN_FULL = " " * 8 + "N" * 10_000
"""A line of the traceback, which is told in full: all of it is printable."""


def is_harmless(text: str) -> bool:
    return text.isprintable() and len(text) < 4_000


def test_no_text_of_a_member_moves_the_cursor_wherever_it_is_shown(hostile: PipelineModel) -> None:
    frame = hostile.frame()
    assert len(frame.members) == 3  # the second one of the hostile group has not started
    evil = next(m for m in frame.members if m.mood is Mood.FAILED)
    picture = Picture(frame, diagnose(frame), Selection(evil.group, evil.name))
    shown = {"title": [title_of(picture).plain], "brief": brief_of(picture).plain.split("\n")}
    rows = rows_of("p", frame.members, why=picture.diagnosis.members)
    rows += rows_of("p", frame.members, is_folded=lambda group, size: True)
    shown["table"] = [text for row in rows for text in (*(cell.text for cell in row.cells), *row.detail)]
    assert len({row.key for row in rows}) == len({row.selection for row in rows})
    shown["details"] = []
    for member in frame.members:
        for port in ("", *(p.name for p in member.ports)):
            one = Picture(frame, picture.diagnosis, Selection(member.group, member.name, port))
            shown["details"] += [text for line in details_of(one, hostile, None) for text in (line.label, line.text)]
    told: list[str] = []
    viewer = PlainViewer(hostile, told.append)
    viewer._tell(frame)
    shown["plain"] = told
    shown["json"] = list(strings(document_of(frame)))
    for where, texts in shown.items():
        assert texts, where
        assert [text for text in texts if not is_harmless(text.removeprefix(IN_FULL))] == [], where
        assert any("[bold red]x[/]" in text for text in texts), where
    flows = Flows(picture)
    assert all(is_harmless(word) for joint in joints_of(picture) for word in joint)
    assert flows.of(evil.group, evil.ports[0].name).records == 7


def test_log_lines_of_a_hostile_member_are_harmless_too() -> None:
    book = LogBook("p")
    operator = OperatorRef("p", f"r1{EVIL}", f"p.{EVIL}", 0, EVIL)
    book.take(LogRecord(operator, EVIL, EVIL, (EVIL,), 1e300, 1))
    book.take(LogRecord(operator, "INFO", "too many", (), 5.0, 10**400))
    [line] = book.lines()
    assert line.at_utc is None
    document = line_document(line, "p")
    assert [text for key, text in document.items() if key != "text" and not all(map(is_harmless, strings(text)))] == []
    assert json.dumps(document).isprintable()
    words = words_of(line, "p").split("\n")
    assert all(word.isprintable() for word in words)
    assert "[bold red]x[/]" in words[0]


@pytest.mark.parametrize("size", [(80, 24), (200, 50)])
def test_the_screen_stands_it(hostile: PipelineModel, size: tuple[int, int]) -> None:
    async def look() -> None:
        app = SnifferApp(hostile)
        async with app.run_test(size=size) as pilot:
            for key in ("t", "down", "down", "d", "down", "g", "f", "right", "plus", "l", "r", "t"):
                await pilot.press(key)
                await pilot.pause()
            title = str(app.query_one("#title", Static).content)
            assert "[bold red]x[/]" in title
            assert title.isprintable()

    asyncio.run(look())


def test_corrupt_entries_are_counted_and_the_good_ones_around_them_are_shown() -> None:
    name = str(uuid.uuid4())
    transport = MemoryTransport(name, {})
    stream = transport.open_status("p", create=True)
    stream.put("run/r1", pack(run="r1", pipeline="p", groups={"p.good": 1}, started_utc=5.0))
    with seen(name) as model:
        stream.put("state/p.good", pack(operator=GOOD, new="StateOperationRunning", at_utc=5.0))
        until(model, lambda: [m.mood for m in model.frame().members] == [Mood.RUNNING])
        for key, value in CORRUPT:
            stream.put(key, value)
        stream.put("status/p.good", figures(GOOD, "in", "p.in", records=8, hue="blue"))
        until(model, lambda: model.frame().notice.startswith(f"{len(CORRUPT)} entries"))
        until(model, lambda: [p.records for m in model.frame().members for p in m.ports] == [8])
        [good] = model.frame().members
        assert (model.frame().run, good.mood, good.exit_code) == ("r1", Mood.RUNNING, None)
    transport.close()
