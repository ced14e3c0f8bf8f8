"""A shop's pipeline in the middle of its work: one that reads slowly, one that has failed, replicas, records and log lines."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any, Final

from sniffer_tui.tests.graphs import Clock
from sniffer_tui.tests.project.sniffed_pipelines import Quiet

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.cli.peeking import Seen
from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.hooks.events import (
    ChannelStatus,
    ErrorInfo,
    LogRecord,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.core.specs.pipeline import Pipeline
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import plan_of
from pypz.sniffer.sources.records import Tail

NOON: Final = 1_790_000_000.0

ORDER: Final = json.dumps(
    {
        "type": "record",
        "name": "Order",
        "fields": [
            {"name": "id", "type": "long"},
            {"name": "customer", "type": "string"},
            {"name": "city", "type": "string"},
            {"name": "total", "type": "double"},
        ],
    }
)

CUSTOMERS: Final = ("Amelie Dubois", "José Ruiz", "Ingrid Holm", "Kwame Mensah", "Yuki Sato")
CITIES: Final = ("Lyon", "Sevilla", "Bergen", "Kumasi", "Ōsaka")

TRACEBACK: Final = """\
Traceback (most recent call last):
  File "shop/invoices.py", line 41, in _on_running
    self.sheet.append(invoice_of(order))
  File "shop/invoices.py", line 17, in invoice_of
    return Invoice(order["id"], price=Decimal(order["total"]))
decimal.InvalidOperation: [<class 'decimal.ConversionSyntax'>]
"""


class Step(Quiet):
    def _on_running(self) -> bool:
        return True


class Orders(Step):
    folder = RequiredParameter(str, description="where orders are found")
    pause_s = OptionalParameter(float, alt_name="pauseS")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.folder = "/data/orders"
        self.pause_s = 0.5
        self.orders = ChannelOutputPort(schema=ORDER)


class Prices(Step):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.orders = ChannelInputPort(schema=ORDER)
        self.priced = ChannelOutputPort(schema=ORDER)


class Taker(Step):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.priced = ChannelInputPort(schema=ORDER)


class Shop(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.orders = Orders()
        self.prices = Prices()
        self.invoices = Taker()
        self.archive = Taker()
        self.prices.orders.connect(self.orders.orders)
        self.invoices.priced.connect(self.prices.priced)
        self.archive.priced.connect(self.prices.priced)


def shop() -> Shop:
    """The pipeline, as a user would set it."""
    made = Shop("shop")
    made.set_parameter(">>channelLocation", "kafka://broker:9092")
    made.prices.set_parameter("replicationFactor", 2)
    return made


def ref(name: str, index: int = 0) -> OperatorRef:
    return OperatorRef("shop", "1f0c7a", f"shop.{name}", index, f"start of {name}", "host-a", 4711)


def _figures(name: str, port: str, direction: Any, channel: str, records: int, lag: int | None = None) -> ChannelStatus:
    index = int(name[-1]) + 1 if name[-1].isdigit() else 0
    at = PortRef(ref(name, index), port, direction, (channel,))
    told = ChannelStatus(at, channel, "open", records, records // 50, 84 * records, lag_records=lag, lag_entries=lag)
    return replace(told, partitions=(index,), positions=(f"{records}",)) if direction == "in" else told


def _tell(model: PipelineModel, second: int) -> None:
    """What the members tell in that second of the run."""
    sent = 240 * second
    for channel in ("shop.invoices.priced", "shop.archive.priced"):
        for i, name in enumerate(("prices", "prices_0", "prices_1")):
            model.channel_status(_figures(name, "priced", "out", channel, (sent - 90 * i) // 3))
    model.channel_status(_figures("orders", "orders", "out", "shop.prices.orders", sent))
    for i, name in enumerate(("prices", "prices_0", "prices_1")):
        taken = (sent - 90 * i) // 3
        model.channel_status(_figures(name, "orders", "in", "shop.prices.orders", taken, 30 * i * second))
    model.channel_status(_figures("archive", "priced", "in", "shop.archive.priced", sent - 10, 10))
    model.channel_status(_figures("invoices", "priced", "in", "shop.invoices.priced", 960, max(0, sent - 960)))
    used = ProcessStatus(
        "shop", "1f0c7a", "host-a", 4711, 0.31 * second + second % 3 / 20, float(second), 81_000_000, 14
    )
    model.process_status(used)
    for name in ("orders", "prices", "prices_0", "prices_1", "archive"):
        model.member_alive(f"shop.{name}", f"start of {name}", NOON + second)


def model_of(pipeline: Shop) -> PipelineModel:
    """A model that has heard of twelve seconds; in the fifth one the invoices failed."""
    clock = Clock()
    model = PipelineModel("shop", plan_of(pipeline), clock=clock)
    model.pipeline_started(PipelineRef("shop", "1f0c7a"))
    states = ("StateEntry", "StateResourceCreation", "StateOperationInit", "StateOperationRunning")
    for index, name in (
        (0, "orders"),
        (0, "prices"),
        (1, "prices_0"),
        (2, "prices_1"),
        (0, "invoices"),
        (0, "archive"),
    ):
        for i, state in enumerate(states):
            model.operator_state_changed(ref(name, index), state, NOON + i / 4)
    for second in range(1, 13):
        clock.now += 1
        _tell(model, second)
        if second == 5:
            error = ErrorInfo("InvalidOperation", "[<class 'decimal.ConversionSyntax'>]", TRACEBACK)
            model.operator_failed(ref("invoices"), "StateOperationRunning", error)
            model.operator_finished(ref("invoices"), 115)
    return model


def tail() -> Tail:
    """The latest orders."""
    records = [
        Seen(
            "shop.prices.orders",
            number % 3,
            f"{1200 + number // 6}",
            number % 50,
            "orders/0/orders",
            "1f0c7a",
            {
                "id": 58_000 + number,
                "customer": CUSTOMERS[number % 5],
                "city": CITIES[(number * 3) % 5],
                "total": round(9.9 + 17.35 * (number % 11), 2),
            },
        )
        for number in range(300)
    ]
    ranges = dict.fromkeys(range(3), ("1200", "1249"))
    return Tail(records, passed=2580, before=1192, ranges=ranges, is_caught_up=True, version=1)


def log_lines() -> list[LogRecord]:
    """Lines of half a minute, of every level, some long."""
    told = [
        ("orders", "INFO", "watches /data/orders"),
        ("prices", "DEBUG", "price list of 2026-11-01 has 18,204 entries"),
        ("orders", "INFO", "read 240 orders of batch-0001.json in 0.31 s"),
        ("prices_0", "INFO", "took over partitions 1"),
        ("prices_1", "WARNING", "price of article 80-1144 is older than 30 days; the last one known is used; see stale-prices.csv"),
        ("archive", "INFO", "wrote 230 records into part-00001.parquet"),
    ]  # fmt: skip
    told *= 14
    told += [
        ("invoices", "ERROR", TRACEBACK.rstrip()),
        ("orders", "INFO", "read 240 orders of batch-0015.json in 0.28 s"),
    ]
    numbers: Counter[str] = Counter()
    lines = []
    for i, (name, level, text) in enumerate(told):
        numbers[name] += 1
        lines.append(LogRecord(ref(name), level, text, (f"shop.{name}",), NOON + i / 3, numbers[name]))
    return lines
