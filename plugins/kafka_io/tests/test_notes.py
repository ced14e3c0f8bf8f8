"""The member note on Kafka: a position on the topic of facts in a group of the member's own."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pypz.core.channels.members.checkpoints import CHECKPOINT_BYTES
from pypz.core.channels.spi import Guarantee, Member, MemberNote, StatusStream, Unit
from pypz.plugins.kafka_io.transport import KafkaTransport

pytestmark = pytest.mark.broker


@pytest.fixture
def status(transport: KafkaTransport, name: str) -> Iterator[StatusStream]:
    stream = transport.open_status(name, create=True)
    yield stream
    stream.close()


def settle(transport: KafkaTransport, name: str, index: int = 0, note: MemberNote | None = None) -> MemberNote | None:
    """Start a member, give what it finds, and commit ``note``."""
    client = transport.open_client(Member(name, f"{name}.source", index, "start"), 7, Guarantee.AT_LEAST_ONCE)
    found = client.settle(30)
    if note is not None:
        client.commit(Unit({}, note), 30)
    client.close(5)
    return found


def test_a_note_of_the_largest_size_comes_back_to_each_later_start_of_its_member_alone(
    transport: KafkaTransport, status: StatusStream, name: str
) -> None:
    value = os.urandom(CHECKPOINT_BYTES)
    assert settle(transport, name, note=MemberNote(value)) is None
    assert settle(transport, name) == MemberNote(value)
    assert settle(transport, name, note=MemberNote(b"later")) == MemberNote(value)
    assert settle(transport, name, note=MemberNote(b"")) == MemberNote(b"later")
    assert settle(transport, name) is None
    assert settle(transport, name, index=1) is None


def test_a_note_goes_with_the_status_streams(transport: KafkaTransport, status: StatusStream, name: str) -> None:
    settle(transport, name, note=MemberNote(b"x"))
    status.close()
    transport.delete_status(name, 30)
    transport.open_status(name, create=True).close()
    assert settle(transport, name) is None


def test_without_status_streams_there_is_no_note(transport: KafkaTransport, name: str) -> None:
    assert settle(transport, name) is None
