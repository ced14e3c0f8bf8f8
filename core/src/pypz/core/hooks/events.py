"""What observers are told: frozen plain values, versioned, JSON both ways; unknown fields are ignored."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, Literal, Self, cast

EVENT_VERSION = 1
"""Version of the events' JSON form; a field may be added, nothing else, without raising it."""


class Event:
    """JSON both ways, for the frozen dataclasses of this module."""

    def to_json(self) -> dict[str, Any]:
        """Give the event as plain JSON values, with its version under ``v``."""
        return {"v": EVENT_VERSION, **dataclasses.asdict(cast(Any, self))}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Self:
        """Rebuild an event; fields that this version does not know are ignored.

        Raises:
            ValueError: A field without default is missing, or one is of the wrong type.
        """
        if not isinstance(values, Mapping):
            raise ValueError(f"{cls.__name__}: expected a JSON object, got {type(values).__name__}")
        known: dict[str, Any] = {}
        for name, (nested, plain, within, required) in _fields_of(cast(Any, cls)).items():
            if name not in values:
                if required:
                    raise ValueError(f"{cls.__name__}: field {name!r} is missing in {sorted(values)}")
                continue
            value = values[name]
            if nested is not None and value is not None:
                value = nested.from_json(value)
            elif not isinstance(value, plain):
                raise ValueError(f"{cls.__name__}: field {name!r} is {value!r}, of the wrong type")
            elif within and isinstance(value, tuple | list) and not all(isinstance(one, within) for one in value):
                raise ValueError(
                    f"{cls.__name__}: field {name!r} is {value!r}, with something of the wrong type within"
                )
            known[name] = value
        return cls(**known)


@cache
def _fields_of(cls: type[Event]) -> dict[str, tuple[type[Event] | None, tuple[type, ...], tuple[type, ...], bool]]:
    """Name -> (event class nested in the field or None, types that its JSON may have, types within a list, whether required)."""
    hints = typing.get_type_hints(cls)

    def choices(hint: Any) -> tuple[Any, ...]:
        return typing.get_args(hint) if isinstance(hint, types.UnionType) else (hint,)

    def nested(hint: Any) -> type[Event] | None:
        return next((c for c in choices(hint) if isinstance(c, type) and issubclass(c, Event)), None)

    def plain(hint: Any) -> tuple[type, ...]:
        found = [typing.get_origin(choice) or choice for choice in choices(hint)]
        more = {float: (float, int), tuple: (tuple, list), Literal: (str,)}  # a newer version may know more values
        return tuple(t for choice in found for t in more.get(choice, (choice,)))

    def within(hint: Any) -> tuple[type, ...]:
        return (
            tuple(t for t in typing.get_args(hint) if isinstance(t, type)) if typing.get_origin(hint) is tuple else ()
        )

    return {
        f.name: (
            nested(hints[f.name]),
            plain(hints[f.name]),
            within(hints[f.name]),
            f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING,
        )
        for f in dataclasses.fields(cast(Any, cls))
    }


@dataclass(frozen=True)
class PipelineRef(Event):
    """One run of one pipeline."""

    name: str
    run: str


@dataclass(frozen=True)
class OperatorRef(Event):
    """One start of one member of an operator's group."""

    pipeline: str
    run: str
    name: str
    """Full name of the member: of the principal, or ``<principal>_<i>`` of a replica."""
    index: int
    """Group index; 0 is the principal."""
    start: str
    """Random token of this start: another after a restart. Figures are absolute counts per start."""
    host: str = ""
    process: int = 0


@dataclass(frozen=True)
class DeployedRef(Event):
    """One member of a deployed pipeline."""

    pipeline: str
    name: str
    """Full name of the member: of the principal, or ``<principal>_<i>`` of a replica."""
    place: str = ""
    """Where it is deployed, in words."""
    host: str = ""
    """Where it runs; empty when it does not, or when that is not known."""
    restarts: int = 0
    """How often it was started again there."""


@dataclass(frozen=True)
class PortRef(Event):
    """One port of one member's start."""

    operator: OperatorRef
    name: str
    """Simple name of the port."""
    direction: Literal["in", "out"]
    channels: tuple[str, ...] = ()
    """Channels that the port reads (one) or writes (one for each connected input port)."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))


@dataclass(frozen=True)
class ProcessStatus(Event):
    """What a process that executes members uses; absolute, so telling it twice changes nothing."""

    pipeline: str
    run: str
    host: str
    process: int
    cpu_s: float
    """Seconds of processor time since the process began, of all its threads."""
    clock_s: float
    """Seconds of a clock of that process that only grows; only differences mean anything."""
    memory_bytes: int | None = None
    """Resident memory now; None where the system does not tell."""
    threads: int = 0


PROCESS_ENDED: Final = "ProcessEnded"
"""Stands for an error's type where a process has ended without telling one."""


@dataclass(frozen=True)
class ErrorInfo(Event):
    """An exception as plain text; secrets masked."""

    type: str
    message: str
    traceback: str = ""


@dataclass(frozen=True)
class ChannelStatus(Event):
    """Figures of one port on one channel since the member started; absolute, so telling them twice changes nothing."""

    port: PortRef
    channel: str
    state: Literal["opening", "open", "ended", "closed", "failed"]
    records: int
    """Sent into, or handed out from, the channel."""
    blocks: int
    size_bytes: int
    lag_entries: int | None = None
    """Input ports: entries behind the committed position (an upper bound for records; 0 exactly when caught up)."""
    lag_records: int | None = None
    """Input ports: records that wait, where known."""
    waits_for: str = ""
    """For whom or what the port waits now, in words; empty when for nobody."""
    at_utc: float = 0.0
    """Seconds since 1970 by the member's own clock; grows with each that a process tells, also where its clock is set back."""
    partitions: tuple[int, ...] = ()
    """Output ports: all of the channel; input ports: those that this member reads, the first 32 of them."""
    positions: tuple[str, ...] = ()
    """Input ports: for each of ``partitions``, behind which position of the transport records were handed out."""
    in_hand: int | None = None
    """Input ports: records handed out whose unit is not over: the operator's code works on them."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "partitions", tuple(self.partitions))
        object.__setattr__(self, "positions", tuple(self.positions))


@dataclass(frozen=True)
class LogRecord(Event):
    """A line that a member logged; secrets masked."""

    operator: OperatorRef
    level: str
    """``ERROR``, ``WARNING``, ``INFO`` or ``DEBUG``."""
    text: str
    """May have several lines, such as those of a traceback."""
    context: tuple[str, ...] = ()
    """The logger's names, outermost first: of the operator or a plugin, of a state, of a channel."""
    at_utc: float = 0.0
    """Seconds since 1970 by the member's own clock; for display only."""
    number: int = 0
    """Which line of this start it is, from 1 on, those left out included."""
    dropped: int = 0
    """Lines of this start that were left out so far. What else is missing between two numbers was lost on the way."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "context", tuple(self.context))
