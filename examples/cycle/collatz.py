"""A cycle: numbers go round until they have arrived at 1.

    numbers --fresh--> stepper --stepped--> judge --arrived--> report
                          ^                   |
                          +-------again-------+

The rule is Collatz's: halve an even number, triple an odd one and add 1. A cycle ends when one of its members says so: the
judge, once all numbers have arrived. The stepper then ends by itself, for no record can come to it any more.
"""

from __future__ import annotations

from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.pipeline import Pipeline

STEPS_A_ROUND = 10


def step(number: int) -> int:
    """Collatz's rule.

    >>> step(6), step(3)
    (3, 10)
    """
    return 3 * number + 1 if number % 2 else number // 2


class Numbers(BlankOperator):
    """Sends the numbers from 1 to ``upTo``."""

    up_to = OptionalParameter(int, alt_name="upTo", description="The last number")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.fresh = ChannelOutputPort()
        self.up_to = 2_000

    def _on_running(self) -> bool:
        numbers = range(1, self.up_to + 1)
        self.fresh.send([{"start": n, "number": n, "steps": 0, "of": self.up_to} for n in numbers])
        return True


class Stepper(BlankOperator):
    """Carries each number on, but not beyond 1."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.fresh, self.again = ChannelInputPort(), ChannelInputPort()
        self.stepped = ChannelOutputPort()

    def _on_running(self) -> None:
        records = self.fresh.retrieve() + self.again.retrieve()
        for record in records:
            for _ in range(STEPS_A_ROUND):
                if record["number"] != 1:
                    record["number"] = step(record["number"])
                    record["steps"] += 1
        self.stepped.send(records)


class Judge(BlankOperator):
    """Sends back what has not arrived; ends when everything has."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.stepped = ChannelInputPort()
        self.again, self.arrived = ChannelOutputPort(), ChannelOutputPort()
        self.starts: set[int] = set()  # a set: what a crash repeats counts once

    def _on_running(self) -> bool:
        records = self.stepped.retrieve()
        self.again.send([record for record in records if record["number"] != 1])
        arrived = [record for record in records if record["number"] == 1]
        self.arrived.send(arrived)
        self.starts.update(record["start"] for record in arrived)
        return bool(arrived) and len(self.starts) == arrived[0]["of"]


class Report(BlankOperator):
    """Tells which number took the most steps."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.arrived = ChannelInputPort()
        self.steps: dict[int, int] = {}

    def _on_running(self) -> None:
        self.steps.update({record["start"]: record["steps"] for record in self.arrived.retrieve()})

    def _on_shutdown(self) -> bool:
        longest = max(self.steps, key=lambda start: (self.steps[start], -start), default=0)
        print(
            f"{len(self.steps)} numbers arrived after {sum(self.steps.values())} steps; "
            f"{longest} took the most: {self.steps.get(longest, 0)}"
        )
        return True


class Collatz(Pipeline):
    """The four, connected in a cycle."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers, self.stepper, self.judge, self.report = Numbers(), Stepper(), Judge(), Report()
        self.stepper.fresh.connect(self.numbers.fresh)
        self.judge.stepped.connect(self.stepper.stepped)
        self.stepper.again.connect(self.judge.again)
        self.report.arrived.connect(self.judge.arrived)
