"""A pair of operators whose work a test gives, at a memory location that outlives their runs."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import Guarantee, Member
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

Step = Callable[[Any], bool | None]


class Acting(Operator):
    """An operator whose work the test gives: ``act`` is called as `_on_running`."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.found: list[bytes | None] = []

    def _on_init(self) -> bool:
        self.found.append(self.get_checkpoint())
        return True

    def _on_running(self) -> bool | None:
        return STEPS[self.get_full_name()](self)

    def _on_shutdown(self) -> bool:
        return True


class Giver(Acting):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.output_port = ChannelOutputPort()


class Taker(Acting):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()


class Pair(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.giver = Giver()
        self.taker = Taker()
        self.giver.output_port.connect(self.taker.input_port)


STEPS: dict[str, Step] = {}


class Bed:
    """A pair of operators at one memory location that outlives its runs."""

    def __init__(self) -> None:
        self.name = f"pair_{uuid.uuid4().hex[:8]}"
        self.keeper = MemoryTransport(self.name)
        self.got: list[Any] = []

    def pair(self, give: Step, take: Step | None = None) -> Pair:
        pipeline = Pair(self.name)
        pipeline.set_parameter(">>channelLocation", f"memory:{self.name}")
        STEPS[f"{self.name}.giver"] = give
        STEPS[f"{self.name}.taker"] = take or self.take
        return pipeline

    def take(self, taker: Taker) -> None:
        self.got += taker.input_port.retrieve()

    def note(self, operator: str = "giver") -> bytes | None:
        member = Member(self.name, f"{self.name}.{operator}", 0, "test")
        found = self.keeper.open_client(member, 0, Guarantee.AT_LEAST_ONCE).settle(1)
        return found.value if found else None
