"""Pipelines for the tests of the graph, and news of them."""

from __future__ import annotations

import random
from collections.abc import Sequence

from pypz.core.hooks.events import ChannelStatus, OperatorRef, PipelineRef, PortRef
from pypz.sniffer.model.frames import PlannedOperator, PlannedPort
from pypz.sniffer.model.pipeline import PipelineModel


class Clock:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def inp(name: str, *peers: str) -> PlannedPort:
    return PlannedPort(name, "in", peers)


def out(name: str, *peers: str) -> PlannedPort:
    return PlannedPort(name, "out", peers)


def group(name: str, level: int, *ports: PlannedPort, size: int = 1) -> list[PlannedOperator]:
    names = [f"p.{name}", *(f"p.{name}_{i}" for i in range(size - 1))]
    return [PlannedOperator(full, f"p.{name}", index, level, ports) for index, full in enumerate(names)]


def several() -> list[PlannedOperator]:
    """Four levels, a port that feeds two, three that feed one, replicas, and a cycle."""
    return [
        *group("source", 0, out("letters", "split.letters", "audit.all"), size=3),
        *group("clock", 0, out("ticks", "join.ticks")),
        *group(
            "split",
            1,
            inp("letters", "source.letters", "join.retry"),
            out("vowels", "join.vowels"),
            out("rest", "join.rest"),
            size=2,
        ),
        *group(
            "join",
            2,
            inp("vowels", "split.vowels"),
            inp("rest", "split.rest"),
            inp("ticks", "clock.ticks"),
            out("sums", "store.sums"),
            out("retry", "split.letters"),
        ),
        *group("store", 3, inp("sums", "join.sums")),
        *group("audit", 3, inp("all", "source.letters"), size=10),
    ]


def chain(*names: str, size: int = 1) -> list[PlannedOperator]:
    """Groups of so many members, each fed by the one before it."""
    return [
        operator
        for i, name in enumerate(names)
        for operator in group(
            name,
            i,
            *(inp("inp", f"{other}.out") for other in names[:i][-1:]),
            *(out("out", f"{other}.inp") for other in names[i + 1 :][:1]),
            size=size,
        )
    ]


def many() -> list[PlannedOperator]:
    """A hundred operators of ten members each, in ten levels, each fed by two of the level before it."""
    dice = random.Random(3)
    names = [f"op{i:02}" for i in range(100)]
    sources = {
        name: dice.sample(names[i // 10 * 10 - 10 : i // 10 * 10], 2) if i >= 10 else [] for i, name in enumerate(names)
    }
    return [
        operator
        for i, name in enumerate(names)
        for operator in group(
            name,
            i // 10,
            inp("inp", *(f"{source}.out" for source in sources[name])),
            out("out", *(f"{other}.inp" for other in names if name in sources[other])),
            size=10,
        )
    ]


def fill(model: PipelineModel, times: int) -> None:
    """All run but ``audit_3``; each port has sent or taken a thousand records and more, that many times."""
    model.pipeline_started(PipelineRef("p", "r1"))
    for member in model.frame().members:
        if member.name == "p.audit_3":
            continue
        ref = OperatorRef("p", "r1", member.name, member.index, f"start of {member.name}", "host", 7)
        model.operator_state_changed(ref, "StateOperationRunning", is_here=True)
        for port in member.ports:
            channels = (
                [f"p.{peer}" for peer in port.peers] if port.direction == "out" else [f"{member.group}.{port.name}"]
            )
            for channel in channels:
                is_in = port.direction == "in"
                waiting = (234 * times if port.name == "all" else 0) if is_in else None
                at = PortRef(ref, port.name, port.direction, tuple(channels))
                records, blocks, size_bytes = (1000 if is_in else 1234) * times, 10 * times, 90_000 * times
                status = ChannelStatus(
                    at, channel, "open", records, blocks, size_bytes, lag_records=waiting, lag_entries=waiting and 2
                )
                model.channel_status(status, is_here=True)


def told(plan: Sequence[PlannedOperator], *, flows: bool = True) -> PipelineModel:
    """A model that has heard of all members, in the first second or over three."""
    clock = Clock()
    model = PipelineModel("p", plan, clock=clock)
    for times in (1, 2, 3) if flows else (3,):
        fill(model, times)
        clock.now += 1.0 if times < 3 else 0.0
    return model
