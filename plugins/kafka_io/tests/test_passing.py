"""Answers that pass: a partition that was just made has them for a moment, and no member ends for that."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException

from pypz.core.commons.errors import TransportError
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.topics import Topics


class Admin:
    """Answers the first questions about offsets with an error, and each one after with 7."""

    def __init__(self, *errors: int) -> None:
        self.errors = list(errors)
        self.asked = 0

    def list_offsets(self, asked: dict[Any, Any], request_timeout: float) -> dict[Any, Future[Any]]:
        self.asked += 1
        error = KafkaException(KafkaError(self.errors.pop(0))) if self.errors else None
        found: dict[Any, Future[Any]] = {}
        for place in asked:
            answer: Future[Any] = Future()
            found[place] = answer
            if error is None:
                answer.set_result(SimpleNamespace(offset=7))
            else:
                answer.set_exception(error)
        return found

    def poll(self, timeout: float) -> int:
        return 0


def topics_of(admin: Any) -> Topics:
    made = Topics(Config("kafka://broker:9092", {}))
    made._client = admin
    return made


@pytest.mark.parametrize(
    "error",
    [
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
    ],
)
def test_offsets_of_a_partition_whose_leader_is_new_are_asked_for_again(error: int) -> None:
    admin = Admin(error, error)
    assert topics_of(admin).offsets([("topic", 0)], "latest") == {("topic", 0): 7}
    assert admin.asked == 3


def test_what_does_not_pass_is_told_at_once() -> None:
    admin = Admin(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(TransportError, match="offsets of topic 'topic' cannot be read"):
        topics_of(admin).offsets([("topic", 0)], "latest")
    assert admin.asked == 1
