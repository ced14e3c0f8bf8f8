"""The pipeline of ``pypz demo``: which numbers are prime?

    source --numbers--> worker (three members share the work) --findings--> sink

It runs by itself, too: ``pypz run pypz.cli.demo.pipeline:PrimePipeline``.
"""

from __future__ import annotations

import json
from typing import Any

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline

NUMBER = json.dumps({"type": "record", "name": "Number", "fields": [{"name": "value", "type": "long"}]})
FINDING = json.dumps(
    {
        "type": "record",
        "name": "Finding",
        "fields": [
            {"name": "value", "type": "long"},
            {"name": "is_prime", "type": "boolean"},
            {"name": "worker", "type": "int"},
        ],
    }
)

SENT_AT_ONCE = 1_000


def is_prime(number: int) -> bool:
    """Try all odd divisors up to the square root: slow on purpose, so that the workers have something to do.

    >>> [number for number in range(20) if is_prime(number)]
    [2, 3, 5, 7, 11, 13, 17, 19]
    """
    if number % 2 == 0 or number < 3:
        return number == 2
    divisor = 3
    while divisor * divisor <= number:
        if number % divisor == 0:
            return False
        divisor += 2
    return True


class _DemoOperator(Operator):
    """What the three have in common: nothing to prepare, nothing to clean up."""

    def _on_init(self) -> bool:
        return True

    def _on_shutdown(self) -> bool:
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        pass

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass


class Source(_DemoOperator):
    """Sends the numbers from ``first`` on, ``count`` of them.

    Parameters: ``first`` (1,000,000,000), ``count`` (40,000).
    """

    first = OptionalParameter(int, description="First number to test")
    count = OptionalParameter(int, description="How many numbers to test")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = 1_000_000_000
        self.count = 40_000
        self.numbers = ChannelOutputPort(schema=NUMBER)
        self.sent = 0

    def _on_running(self) -> bool | None:
        begin = self.first + self.sent
        end = min(begin + SENT_AT_ONCE, self.first + self.count)
        self.numbers.send([{"value": value} for value in range(begin, end)])
        self.sent = end - self.first
        return self.sent >= self.count


class Worker(_DemoOperator):
    """Says of each number whether it is prime."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.numbers = ChannelInputPort(schema=NUMBER)
        self.findings = ChannelOutputPort(schema=FINDING)

    def _on_running(self) -> bool | None:
        member = self.get_group_index()
        values = [record["value"] for record in self.numbers.retrieve()]
        self.findings.send([{"value": value, "is_prime": is_prime(value), "worker": member} for value in values])
        return None  # goes on as long as the source may still send


class Sink(_DemoOperator):
    """Collects what the workers found."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.findings = ChannelInputPort(schema=FINDING)
        self.tested: list[int] = []
        self.primes: list[int] = []
        self.by_worker: dict[int, int] = {}

    def _on_running(self) -> bool | None:
        for finding in self.findings.retrieve():
            self.tested.append(finding["value"])
            self.by_worker[finding["worker"]] = self.by_worker.get(finding["worker"], 0) + 1
            if finding["is_prime"]:
                self.primes.append(finding["value"])
        return None

    def _on_shutdown(self) -> bool:
        self.get_logger().info(f"{len(self.primes):,} of {len(self.tested):,} numbers are prime")
        return True


class PrimePipeline(Pipeline):
    """Source, three workers and sink, over channels in memory."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.source = Source()
        self.worker = Worker()
        self.sink = Sink()
        self.worker.numbers.connect(self.source.numbers)
        self.sink.findings.connect(self.worker.findings)
        self.worker.set_parameter("replicationFactor", 2)
        self.set_parameter(">>channelLocation", "memory:demo")
