"""What a changed pipeline does to groups, channels and records: one description (DTO) against another, as plain values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import yaml

_REFERENCE: Final = re.compile(r"\$\(env:PYPZ_SECRET_[^)]*\)")


@dataclass(frozen=True)
class Channel:
    """A channel as its reader describes it."""

    name: str
    location: str
    partitions: int
    writers: frozenset[str]
    """Full names of the output ports."""
    keyed_by: frozenset[str]
    """Those of them that pick the partition by a key."""
    reader: str
    """Full name of the operator that reads it."""
    is_fixed: bool
    """Whether scaling may not raise its number of partitions."""
    has_options: bool
    """Whether its location takes more than its address to be reached."""


@dataclass(frozen=True)
class Shape:
    """What data depends on."""

    status: str
    """What the pipeline's status streams are called."""
    sizes: Mapping[str, int]
    """Members of each group by the principal's full name."""
    channels: Mapping[str, Channel]


def touched(deployed: str, wanted: str) -> list[str]:
    """Tell what a change from one DTO to the other does to data, a sentence each; empty when it does nothing to it."""
    old, new = shape_of(deployed), shape_of(wanted)
    return [*_groups(old, new), *_channels(old, new)]


def resized(deployed: str, wanted: str) -> dict[str, int]:
    """Tell the operators that get another number of members, where that is all that a change from one DTO to the other does
    and each may be scaled within its run.

    Returns:
        Members from now on by the operator's full name; empty where something else changes, or one cannot be scaled.
    """
    if _without_sizes(deployed) != _without_sizes(wanted):
        return {}
    old, new = shape_of(deployed), shape_of(wanted)
    found = {name: size for name, size in new.sizes.items() if old.sizes[name] != size}
    for name, size in found.items():
        read = [channel for channel in old.channels.values() if channel.reader == name]
        # Without input there is nothing to share; chosen or keyed partitions are not raised.
        if not read or any(channel.is_fixed and channel.partitions < size for channel in read):
            return {}
    return found


def _without_sizes(config: str) -> Any:
    pipeline: Mapping[str, Any] = yaml.load(config, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    for operator in _nested(pipeline):
        for values in (operator.get("parameters"), (operator.get("spec") or {}).get("expectedParameters")):
            (values or {}).pop("replicationFactor", None)
    return pipeline


def _groups(old: Shape, new: Shape) -> Iterator[str]:
    for operator, size in old.sizes.items():
        if operator not in new.sizes:
            yield f"{operator} vanishes: {_of(size, 'member')} would not start again"
        elif new.sizes[operator] != size:
            yield (
                f"{operator}: {_of(new.sizes[operator], 'member')} instead of {size}; the partitions of its channels are "
                "shared out anew, each read on from where it was committed"
            )
    for operator in new.sizes.keys() - old.sizes.keys():
        yield f"{operator} is new: {_of(new.sizes[operator], 'member')}"


def _channels(old: Shape, new: Shape) -> Iterator[str]:
    for name, was in old.channels.items():
        now = new.channels.get(name)
        if now is None:
            yield f"channel {name} at {was.location}: nobody reads it any more; it stays with what it holds"
            continue
        if now.location != was.location:
            yield f"channel {name} moves from {was.location} to {now.location}; what the old one holds stays there, unread"
        elif now.partitions > was.partitions:
            keys = f"; records of a key go to another partition (partitionBy of {_list(now.keyed_by)})"
            yield (
                f"channel {name}: raised from {_of(was.partitions, 'partition')} to {now.partitions}; what it holds is kept"
                + (keys if now.keyed_by else "")
            )
        elif now.partitions < was.partitions:
            yield (
                f"channel {name}: {_of(now.partitions, 'partition')} would do, it keeps its {was.partitions} and what "
                "they hold"
            )
        for writer in sorted(was.writers - now.writers):
            yield f"channel {name}: {writer} writes to it no more; what it has written stays"
        for writer in sorted(now.writers - was.writers):
            yield f"channel {name}: {writer} writes to it, too"
    for name in new.channels.keys() - old.channels.keys():
        yield f"channel {name} at {new.channels[name].location} is new"


def shape_of(config: str) -> Shape:
    """Read it from a DTO."""
    pipeline: Mapping[str, Any] = yaml.load(config, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    namespace = (pipeline.get("parameters") or {}).get("channelNamespace")
    prefix = f"{namespace}.." if namespace else ""
    operators = list(_nested(pipeline))
    whole = str(pipeline["name"])
    return Shape(
        f"{prefix}{whole}",
        {f"{whole}.{o['name']}": _size(o) for o in operators},
        {c.name: c for o in operators for c in _read_by(o, whole, prefix, operators)},
    )


def _read_by(
    operator: Mapping[str, Any], pipeline: str, prefix: str, operators: Iterable[Mapping[str, Any]]
) -> Iterator[Channel]:
    for port in _nested(operator):
        parameters = port.get("parameters") or {}
        is_input = any("InputPortPlugin" in str(kind) for kind in (port.get("spec") or {}).get("types") or [])
        if not is_input or not parameters.get("channelLocation"):
            continue
        sources = [
            (c["source"]["instanceName"], c["source"]["outputPortName"])
            for c in operator.get("connections") or []
            if c.get("inputPortName") == port["name"]
        ]
        outputs = {
            f"{pipeline}.{o['name']}.{p['name']}": (p.get("parameters") or {}).get("partitionBy")
            for o in operators
            for p in _nested(o)
            if (o["name"], p["name"]) in sources
        }
        yield Channel(
            f"{prefix}{pipeline}.{operator['name']}.{port['name']}",
            _REFERENCE.sub("********", str(parameters["channelLocation"])),
            int(parameters.get("partitions") or _size(operator)),
            frozenset(outputs),
            frozenset(name for name, key in outputs.items() if key),
            f"{pipeline}.{operator['name']}",
            bool(parameters.get("partitions")) or any(outputs.values()),
            bool(parameters.get("channelConfig")),
        )


def _nested(instance: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return list((instance.get("spec") or {}).get("nestedInstances") or [])


def _size(operator: Mapping[str, Any]) -> int:
    return 1 + int((operator.get("parameters") or {}).get("replicationFactor") or 0)


def _of(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _list(names: Iterable[str]) -> str:
    return ", ".join(sorted(names))
