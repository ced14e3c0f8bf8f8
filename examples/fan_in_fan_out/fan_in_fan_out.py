"""Two sources into one group of workers, and the workers' results to two readers.

    even --+                                   +--> total      adds all squares
           +--numbers--> squarer (3) --squares-+
    odd ---+                                   +--> largest    keeps the largest square

The members of the squarer share the numbers; total and largest each get every square.
"""

from __future__ import annotations

from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline

SENT_AT_ONCE = 100


class Numbers(BlankOperator):
    """Sends ``count`` numbers: ``first``, ``first`` + 2, and so on."""

    count = OptionalParameter(int, description="How many numbers are sent")
    first = OptionalParameter(int, description="The first one")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelOutputPort()
        self.count = 5_000
        self.first = 0
        self.sent = 0

    def _on_running(self) -> bool:
        last = min(self.sent + SENT_AT_ONCE, self.count)
        self.numbers.send([{"number": self.first + 2 * place} for place in range(self.sent, last)])
        self.sent = last
        return self.sent == self.count


class Squarer(BlankOperator):
    """Squares numbers."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort()
        self.squares = ChannelOutputPort()
        self.set_parameter("replicationFactor", 2)  # two more members

    def _on_running(self) -> None:
        self.squares.send(
            [{"square": record["number"] ** 2, "by": self.get_group_index()} for record in self.numbers.retrieve()]
        )


class Total(BlankOperator):
    """Adds all squares, and counts whose they are."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.squares = ChannelInputPort()
        self.sum = 0
        self.by: dict[int, int] = {}

    def _on_running(self) -> None:
        for record in self.squares.retrieve():
            self.sum += record["square"]
            self.by[record["by"]] = self.by.get(record["by"], 0) + 1

    def _on_shutdown(self) -> bool:
        shares = ", ".join(f"{count} by member {member}" for member, count in sorted(self.by.items()))
        print(f"sum of {sum(self.by.values())} squares: {self.sum} ({shares})")
        return True


class Largest(BlankOperator):
    """Keeps the largest square."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.squares = ChannelInputPort()
        self.largest = -1

    def _on_running(self) -> None:
        self.largest = max([self.largest, *(record["square"] for record in self.squares.retrieve())])

    def _on_shutdown(self) -> bool:
        print(f"largest square: {self.largest}")
        return True


class FanInFanOut(Pipeline):
    """The five, connected."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.even, self.odd = Numbers(), Numbers()
        self.odd.set_parameter("first", 1)
        self.squarer = Squarer()
        self.total, self.largest = Total(), Largest()
        self.squarer.numbers.connect(self.even.numbers)
        self.squarer.numbers.connect(self.odd.numbers)
        self.total.squares.connect(self.squarer.squares)
        self.largest.squares.connect(self.squarer.squares)
