"""Ports whose bare location ``HOST:PORT[,HOST:PORT...]`` means a Kafka cluster.

Any other location, such as ``memory:NAME``, is taken as it stands: the same pipeline runs without a broker.
"""

from __future__ import annotations

from typing import Any, ClassVar

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort


class KafkaChannelInputPort(ChannelInputPort):
    """Reads the records of a channel on Kafka."""

    default_scheme: ClassVar[str] = "kafka"

    def __init__(
        self, name: str | None = None, schema: Any = None, group_mode: bool = False, *args: Any, **kwargs: Any
    ) -> None:
        super().__init__(name, schema, group_mode, *args, **kwargs)


class KafkaChannelOutputPort(ChannelOutputPort):
    """Sends records to the channels of the connected input ports on Kafka."""

    default_scheme: ClassVar[str] = "kafka"

    def __init__(self, name: str | None = None, schema: Any = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, schema, *args, **kwargs)
