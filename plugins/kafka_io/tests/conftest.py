"""A real broker for the tests: names of one's own, and everything made under them is deleted again."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator

import pytest
from secured import Secured

from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Guarantee, Member
from pypz.plugins.kafka_io.client import KafkaClient
from pypz.plugins.kafka_io.transport import KafkaTransport

Bed = tuple[KafkaTransport, str]


@pytest.fixture
def location() -> str:
    """Address of the broker; skips without one."""
    servers = os.environ.get("KAFKA_BOOTSTRAP", "")
    if not servers:
        pytest.skip("needs KAFKA_BOOTSTRAP")
    return f"kafka://{servers}"


@pytest.fixture
def name() -> str:
    """Name of a pipeline of this test alone."""
    return f"test-{uuid.uuid4().hex[:10]}"


@pytest.fixture
def transport(location: str, name: str) -> Iterator[KafkaTransport]:
    """A transport; deletes what begins with ``name`` in the end."""
    made = KafkaTransport(location)
    yield made
    made.close()
    cleaner = KafkaTransport(location)
    for topic in cleaner._topics.names():
        if topic.startswith(name):
            cleaner._topics.delete(topic, None, 30)
    cleaner.close()


@pytest.fixture
def channel(transport: KafkaTransport, name: str) -> ChannelInfo:
    """A channel of two partitions."""
    return transport.create_channel(ChannelSpec(f"{name}.reader.port", 2), 30)


@pytest.fixture
def open_client(transport: KafkaTransport, name: str) -> Callable[[], KafkaClient]:
    """Opens clients of a member."""

    def open_one() -> KafkaClient:
        client = transport.open_client(Member(name, f"{name}.reader", 0, "start"), 1, Guarantee.AT_LEAST_ONCE)
        assert isinstance(client, KafkaClient)
        return client

    return open_one


@pytest.fixture
def block() -> Callable[[str], Block]:
    """Makes blocks of a text."""
    return lambda text: Block({"k": text}, text.encode())


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker of our own with TLS and SASL, for all tests that need one."""
    made = Secured(tmp_path_factory.mktemp("secured"))
    yield made
    made.close()
