"""Log lines on a real broker: their topic is made by the first line, bounded, and goes with the status."""

from __future__ import annotations

import threading
import time

import pytest
from confluent_kafka.admin import ConfigResource, ResourceType  # type: ignore[attr-defined]

from pypz.core.channels.spi import KeepsLogs, OpensLogs
from pypz.core.commons.errors import TransportTimeoutError
from pypz.plugins.kafka_io.logs import LOGS_AHEAD, LogTopic
from pypz.plugins.kafka_io.topics import Topics
from pypz.plugins.kafka_io.transport import KafkaTransport


@pytest.mark.broker
def test_the_topic_is_made_by_the_first_line_bounded_and_deleted_with_the_status(
    transport: KafkaTransport, name: str
) -> None:
    stream = transport.open_status(name, create=True)
    assert isinstance(stream, KeepsLogs)
    assert isinstance(transport, OpensLogs)
    topic = f"{name}.logs"
    assert transport.describe_channel(topic) is None
    reader = transport.open_logs(name, 10)
    assert transport.describe_channel(topic) is None, "a viewer makes nothing"
    stream.log(b"a line")
    deadline = time.monotonic() + 20
    found: list[bytes] = []
    while not found:
        assert time.monotonic() < deadline
        found = reader.read(1.0)
    assert found == [b"a line"]
    resource = ConfigResource(ResourceType.TOPIC, topic)
    settings = transport._topics._admin.describe_configs([resource])[resource].result(20)
    assert (settings["retention.ms"].value, settings["retention.bytes"].value) == ("3600000", str(64 * 1024 * 1024))
    stream.close()
    transport.delete_status(name, 30)
    assert transport.describe_channel(topic) is None


class Administration:
    """Makes topics when it may."""

    def __init__(self) -> None:
        self.asked = 0
        self.may = threading.Event()
        self.is_away = False

    def create(self, *arguments: object) -> None:
        self.asked += 1
        assert self.may.wait(20)
        if self.is_away:
            raise TransportTimeoutError("no broker answers")


def test_lines_wait_for_their_topic_up_to_a_bound_and_nobody_waits_with_them() -> None:
    topics, sent = Administration(), list[bytes]()
    topic = LogTopic(_as_topics(topics), "p.logs", sent.append)
    for number in range(LOGS_AHEAD + 5):
        topic.write(b"%d" % number)
    assert sent == []
    topics.may.set()
    topic.settle()
    topic.write(b"later")
    assert sent == [*(b"%d" % number for number in range(5, LOGS_AHEAD + 5)), b"later"]
    assert topics.asked == 1


def test_a_topic_that_cannot_be_made_is_told_and_tried_again_later(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    topics, sent = Administration(), list[bytes]()
    topics.is_away = True
    topics.may.set()
    topic = LogTopic(_as_topics(topics), "p.logs", sent.append)
    topic.write(b"1")
    topic.settle()
    topic.write(b"2")
    assert topics.asked == 1, "not with every line"
    assert "log lines are lost, their topic cannot be made: no broker answers" in caplog.text
    topics.is_away = False
    topic._make_at = 0.0
    topic.write(b"3")
    topic.settle()
    topic.write(b"4")
    assert (topics.asked, sent) == (2, [b"1", b"2", b"3", b"4"])


def _as_topics(one: Administration) -> Topics:
    return one  # type: ignore[return-value]
