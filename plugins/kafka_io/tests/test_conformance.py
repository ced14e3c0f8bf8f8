"""The Kafka transport keeps what the kit asks of every transport, on a real broker."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from pypz.core.channels.spi import ChannelInfo
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.topics import Topics
from pypz.testing import TransportConformance
from pypz.testing.transport.base import ForgetRead

pytestmark = pytest.mark.broker


class TestKafka(TransportConformance):
    @pytest.fixture
    def tight_options(self) -> Mapping[str, str]:
        return {"queue.buffering.max.messages": "3"}

    @pytest.fixture
    def open_close_cycles(self) -> int:
        return 20

    @pytest.fixture
    def forget_read(self, location: str) -> ForgetRead:
        from confluent_kafka import TopicPartition

        def delete_before(info: ChannelInfo, partition: int, position: str) -> None:
            admin = Topics(Config(location, {}))._admin
            cut = admin.delete_records([TopicPartition(info.name, partition, int(position))])
            for future in cut.values():
                future.result(10)

        return delete_before
