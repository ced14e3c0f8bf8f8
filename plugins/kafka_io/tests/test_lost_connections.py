"""The administration's questions and a broker that dies over them: they are asked again."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest
from secured import TESTBED, TIMEOUT_S, Secured

from pypz.core.channels.spi import ChannelSpec
from pypz.plugins.kafka_io.transport import KafkaTransport

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not TESTBED, reason="needs PYPZ_TESTBED to kill a broker"),
]


def test_a_channel_is_described_made_and_deleted_although_the_broker_is_killed_over_the_question(
    secured: Secured,
) -> None:
    transports = [KafkaTransport(secured.at("plain")) for _ in range(3)]
    try:
        kept, gone = (transports[0].create_channel(ChannelSpec(f"lost.{name}", 1), TIMEOUT_S) for name in ("a", "b"))
        for transport in transports:  # each has a connection to ask by
            assert transport.describe_channel(kept.name) == kept
        asked: list[Future[Any]] = []
        with ThreadPoolExecutor(3) as pool:
            secured.broker.freeze()
            try:
                asked.append(pool.submit(transports[0]._topics.describe, [kept.name], TIMEOUT_S))
                asked.append(pool.submit(transports[1].create_channel, ChannelSpec("lost.c", 2), TIMEOUT_S))
                asked.append(pool.submit(transports[2].delete_channel, gone, TIMEOUT_S))
            finally:
                secured.broker.kill()  # what is frozen dies, too
                secured.broker.start_again()
            described, made, _ = [answer.result(TIMEOUT_S) for answer in asked]
        assert described[kept.name].incarnation == kept.incarnation
        assert (made.name, made.partitions) == ("lost.c", 2)
        assert transports[0].describe_channel(gone.name) is None
        for info in (kept, made):
            transports[0].delete_channel(info, TIMEOUT_S)
    finally:
        for transport in transports:
            transport.close()
