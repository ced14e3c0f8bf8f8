"""Status streams on a real broker (numbers are the promises of semantics 3)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest

from pypz.core.channels.spi import StatusEntry, StatusStream
from pypz.core.commons.errors import ChannelGoneError, TransportError, TransportTimeoutError
from pypz.plugins.kafka_io import pulling, status
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.status import KafkaStatusStream
from pypz.plugins.kafka_io.topics import Topics
from pypz.plugins.kafka_io.transport import KafkaTransport

pytestmark = pytest.mark.broker


@pytest.fixture
def stream(transport: KafkaTransport, name: str) -> Iterator[StatusStream]:
    made = transport.open_status(name, create=True)
    yield made
    made.close()


def values(stream: StatusStream) -> dict[str, bytes | None]:
    return {key: entry.value for key, entry in stream.facts().items()}


def gather(stream: StatusStream, enough: Callable[[list[StatusEntry]], bool]) -> list[StatusEntry]:
    """Take changes until there are enough, or fail."""
    found: list[StatusEntry] = []
    deadline = time.monotonic() + 20
    while not enough(found):
        assert time.monotonic() < deadline, found
        found += stream.changes(1)
    return found


def test_facts_are_put_replaced_removed_and_proposed_anew(
    stream: StatusStream, transport: KafkaTransport, name: str
) -> None:
    stream.put("a", b"1")
    stream.put("a", b"2")
    assert stream.put_first("b", b"1") == b"1"
    stream.put("b", b"2")
    assert stream.put_first("b", b"3") == b"2"
    assert values(stream) == {"a": b"2", "b": b"2"}
    stream.put("a", None)
    stream.put("b", None)
    assert values(stream) == {}
    assert stream.put_first("b", b"4") == b"4"
    assert values(transport.open_status(name, create=False)) == {"b": b"4"}


def test_changes_gives_each_entry_once_and_those_told_by_facts_not_again(stream: StatusStream) -> None:
    stream.put("a", b"1")
    assert values(stream) == {"a": b"1"}
    stream.put("b", b"2")
    stream.beat("c", b"3")
    found = gather(stream, lambda found: len(found) >= 2)
    assert {(entry.kind, entry.key, entry.value) for entry in found} == {("fact", "b", b"2"), ("beat", "c", b"3")}
    assert stream.changes(0.2) == []


def test_wake_and_close_end_a_waiting_changes(stream: StatusStream) -> None:
    for end in (stream.wake, stream.close):
        thread = threading.Thread(target=stream.changes, args=(600,))
        thread.start()
        end()
        thread.join(10)
        assert not thread.is_alive()


def test_a_viewer_creates_nothing_finds_the_stream_once_it_is_made_and_also_made_anew(
    transport: KafkaTransport, name: str
) -> None:
    """23."""
    viewer = transport.open_status(name, create=False)
    assert viewer.facts() == {}
    assert transport.pipelines().count(name) == 0
    with pytest.raises(TransportError):
        viewer.put_first("a", b"viewer")
    for value in (b"first", b"second"):
        member = transport.open_status(name, create=True)
        member.put("a", value)
        found = gather(viewer, lambda found, value=value: any(entry.value == value for entry in found))  # type: ignore[misc]
        assert found[-1].key == "a"
        member.close()
        transport.delete_status(name, 30)
    gather(viewer, lambda found: any(entry.value is None for entry in found))
    assert viewer.facts() == {}


def test_a_member_is_told_that_its_stream_was_deleted(
    transport: KafkaTransport, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulling, "SILENT_S", 0.5)
    stream = transport.open_status(name, create=True)
    transport.delete_status(name, 30)
    with pytest.raises(ChannelGoneError, match=f"'{name}.facts' cannot be read any more: it was deleted"):
        stream.changes(30)


def test_pipelines_are_told_until_their_status_is_deleted(transport: KafkaTransport, name: str) -> None:
    transport.open_status(name, create=True).close()
    assert name in transport.pipelines()
    transport.delete_status(name, 30)
    assert name not in transport.pipelines()
    transport.delete_status(name, 30)


def test_many_threads_put_at_once_and_all_is_there(stream: StatusStream) -> None:
    def put_some(number: int) -> None:
        for place in range(20):
            stream.put(f"{number}/{place}", b"x")

    threads = [threading.Thread(target=put_some, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(values(stream)) == 160


def test_ten_openers_at_once_share_one_stream(location: str, transport: KafkaTransport, name: str) -> None:
    others = [KafkaTransport(location) for _ in range(10)]
    found: list[StatusStream] = []
    threads = [
        threading.Thread(target=lambda one=one: found.append(one.open_status(name, create=True))) for one in others
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 10
    found[0].put("a", b"1")
    assert all(values(one) == {"a": b"1"} for one in found)
    for one in others:
        one.close()


def test_without_a_broker_opening_tells_deadline_and_cause(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """46."""
    monkeypatch.setattr(status, "OPEN_S", 1.0)
    config = Config("kafka://127.0.0.1:1", {})
    with pytest.raises(TransportTimeoutError, match=r"127\.0\.0\.1:1: Connection refused"):
        KafkaStatusStream(config, Topics(config), name, create=True)
