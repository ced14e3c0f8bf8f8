"""What is said about a pipeline from outside its runs: a member will not come back; nothing of it is needed any more.

Nothing here makes a status stream or a channel: what is not there is no part of the answer.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pypz.core.channels import pool
from pypz.core.channels.headers import Origin
from pypz.core.channels.members.channel_life import ADMIN_TIMEOUT_S, ALIVE_WAIT_S
from pypz.core.channels.members.session import own_host
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.roster import Roster
from pypz.core.channels.runs.standing_runs import open_runs_in
from pypz.core.channels.runs.whole import address_of_port, locations_of, namespace_of, status_name, whole_of
from pypz.core.channels.spi import ChannelInfo, Guarantee, Member, StatusEntry, StatusStream, Transport
from pypz.core.channels.status import pack, unpack, with_prefix
from pypz.core.commons.errors import ConfigurationError, RunConflictError, TransportError
from pypz.core.commons.secrets import conceal

if TYPE_CHECKING:
    from pypz.core.hooks.host import PluginHost
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline

FLUSH_S: Final = 30.0
"""Seconds that the ends of a retired member may take to be stored (chosen)."""


@dataclass
class Place:
    """A location of a pipeline, looked at from outside."""

    location: str
    pipeline: str
    """Name of the pipeline's status streams, with its namespace."""
    transports: dict[pool.Address, Transport]
    stream: StatusStream
    facts: Mapping[str, StatusEntry]

    @property
    def transport(self) -> Transport:
        """Any transport of the location."""
        return next(iter(self.transports.values()))

    @property
    def shown(self) -> str:
        """The location without password."""
        return str(conceal({"channelLocation": self.location})["channelLocation"])

    def open_runs(self) -> list[str]:
        """Ids of the runs that are neither finished nor superseded."""
        return open_runs_in(self.facts)

    def value(self, key: str) -> dict[str, object]:
        """One fact; {} when there is none."""
        entry = self.facts.get(key)
        return unpack(entry.value) if entry else {}

    def beats(self, timeout_s: float = ALIVE_WAIT_S) -> Iterator[tuple[str, list[str]]]:
        """Listen for signs of life: the run, and full names of members of it, process by process."""
        deadline = time.monotonic() + timeout_s
        while (left := deadline - time.monotonic()) > 0:
            for entry in self.stream.changes(left):
                if entry.kind == "beat" and entry.key.startswith("alive/"):
                    value = unpack(entry.value)
                    yield str(value.get("run")), list(value.get("members") or ())

    def living_run(self) -> str | None:
        """Id of an open run that shows a sign of life; waits for one when a run is open."""
        if not self.open_runs():
            return None
        return next((run for run, _ in self.beats() if run in self.open_runs()), None)

    def roster(self, run: str) -> Roster:
        """How many members each group of a run has, generation by generation."""
        groups = self.value(f"run/{run}").get("groups")
        first = {str(name): int(size) for name, size in groups.items()} if isinstance(groups, dict) else {}
        return Roster.read(self.facts, run, first)

    def told_of(self, run: str) -> str:
        """A run, and who has started it, in words."""
        entry = self.value(f"run/{run}")
        return f"run {run}, started on host {entry.get('host')!r} by process {entry.get('process')}"


@contextlib.contextmanager
def places_of(host: PluginHost, whole: Pipeline | Operator) -> Iterator[list[Place]]:
    """Look at all locations of a pipeline, as long as the block runs."""
    with places_at(host, status_name(whole), locations_of(whole)) as found:
        yield found


@contextlib.contextmanager
def places_at(
    host: PluginHost, pipeline: str, locations: Sequence[tuple[str, Mapping[str, str]]]
) -> Iterator[list[Place]]:
    """Look at these locations, given with their options, for a pipeline named as its status streams are."""
    with contextlib.ExitStack() as opened:
        found: dict[str, Place] = {}
        for location, options in locations:
            address = pool.address_of(location, options)
            transport = pool.acquire(host, address)
            opened.callback(pool.release, host, address)
            if location not in found:
                try:
                    stream = transport.open_status(pipeline, create=False)
                    opened.callback(stream.close)
                    found[location] = Place(location, pipeline, {}, stream, stream.facts())
                except TransportError as error:
                    raise pool.placed(location, error) from error
            found[location].transports[address] = transport
        yield list(found.values())


# --- a member -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Retired:
    """What was done for one member."""

    member: str
    run: str
    shown: str
    """The location, without password."""
    channels: tuple[str, ...]
    """Channels in which its end was written."""
    is_last: bool
    """Whether the run has finished by this."""


def retire_member(places: Sequence[Place], operator: Operator, index: int) -> list[Retired]:
    """Say of a member of the open run that it will not come back: for its readers, and for the run, it has ended.

    Args:
        places: The locations of its pipeline.
        operator: The principal of its group.
        index: Group index; 0 is the principal.

    Returns:
        What was done, for each location where the run is open.

    Raises:
        ConfigurationError: No run is open, or the member is none of it, or it has ended by itself.
        RunConflictError: The member is alive.
    """
    known = [(place, run) for place in places for run in place.open_runs()]
    if not known:
        where = ", ".join(place.shown for place in places) or "no location"
        is_near = any(not place.transport.capabilities.across_processes for place in places)
        hint = " (what lives in one process is seen there only)" if is_near else ""
        name = whole_of(operator).get_full_name()
        raise ConfigurationError(f"no run of {name} is open at {where}: nobody waits for it{hint}")
    tasks = [_Retirement(place, run, operator, index) for place, run in known]
    for task in tasks:
        task.check()
    return [task.carry_out() for task in tasks]


class _Retirement:
    """One member of one run at one location."""

    def __init__(self, place: Place, run: str, operator: Operator, index: int) -> None:
        self._place = place
        self._run = run
        self._operator = operator
        self._prefix = namespace_of(whole_of(operator))
        self._name = operator.get_full_name() + (f"_{index - 1}" if index else "")
        self._member = Member(place.pipeline, self._prefix + operator.get_full_name(), index, uuid.uuid4().hex[:12])
        self._living: set[str] = set()

    def check(self) -> None:
        """Refuse a member that is unknown, alive, or has ended."""
        place, key = self._place, self._member.key
        if self._member.index >= place.roster(self._run).groups.get(self._member.operator, 0):
            raise ConfigurationError(f"{self._name} is no member of {place.told_of(self._run)}: nobody waits for it")
        if place.value(f"closed/{key}").get("run") == self._run:
            raise ConfigurationError(f"{self._name} has ended by itself in run {self._run}: nobody waits for it")
        for run, members in place.beats():
            if run == self._run:
                self._living.update(members)
            if self._name in self._living:
                raise RunConflictError(f"{self._name} is alive in {place.told_of(run)}; stop it first")

    def carry_out(self) -> Retired:
        """Fence the member, write its ends behind all that it has sent, then say that it has retired.

        A channel that is made afterwards holds nothing of it, so that its reader may take the entry for the end.
        """
        host, process = own_host()
        joined = pack(run=self._run, start=self._member.start, host=host, process=process)
        epoch = self._place.stream.join(self._member, joined)
        key = f"retired/{self._member.key}"
        marked: list[str] = []
        is_told = False
        while (new := [item for item in self._channels() if item[1].name not in marked]) or not is_told:
            for port, info in new:
                self._write_ends(port, info, epoch)
                marked.append(info.name)
            self._place.stream.put(key, pack(run=self._run, channels=marked))
            is_told = True
        return Retired(self._name, self._run, self._place.shown, tuple(marked), self._finish())

    def _channels(self) -> list[tuple[ChannelPort, ChannelInfo]]:
        """The channels of this run that exist and that the member's ports write to."""
        self._place.facts = self._place.stream.facts()
        found = []
        for port in channel_ports_of(self._operator):
            address = address_of_port(port)
            if port.direction != "out" or address is None or address[0] != self._place.location:
                continue
            for name in port.channel_names():
                fact = self._place.value(f"channel/{self._prefix}{name}")
                info = self._place.transport.describe_channel(self._prefix + name)
                if fact.get("run") == self._run and info and info.incarnation == fact.get("incarnation"):
                    found.append((port, info))
        return found

    def _write_ends(self, port: ChannelPort, info: ChannelInfo, epoch: int) -> None:
        address = address_of_port(port)
        assert address is not None, "its channel was found"
        client = self._place.transports[address].open_client(self._member, epoch, Guarantee.AT_LEAST_ONCE)
        try:
            client.settle(ADMIN_TIMEOUT_S)
            writer = client.writer(info)
            origin = Origin(self._run, f"{self._member.key}/{port.get_simple_name()}", epoch, info.incarnation)
            count = writer.partition_count()
            for partition in range(count):
                writer.write(partition, origin.end(0, count))
            client.flush(FLUSH_S)
        finally:
            client.close(FLUSH_S)

    def _finish(self) -> bool:
        """Where this was the last member that anybody waited for, and nobody lives to say so, the run has finished."""
        if self._living:
            return False
        self._place.facts = self._place.stream.facts()
        here = self._place.value(f"run/{self._run}").get("here")
        assert isinstance(here, list)
        groups = self._place.roster(self._run).groups
        for member in (f"{name}/{index}" for name in here for index in range(groups.get(name, 0))):
            ends = (self._place.value(kind + member).get("run") for kind in ("closed/", "retired/"))
            if self._run not in ends:
                return False
        self._place.stream.put(f"finished/{self._run}", pack(run=self._run, outcome="failed"))
        return True


# --- everything ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Left:
    """What a pipeline has left at one location."""

    place: Place
    channels: tuple[ChannelInfo, ...]
    has_status: bool

    def remove(self) -> None:
        """Delete the channels with what groups have committed in them, then the status streams.

        Raises:
            TransportError: Something could not be deleted; what is left is found by the next try.
        """
        for info in self.channels:
            self.place.transport.delete_channel(info, ADMIN_TIMEOUT_S)
        if self.has_status:
            self.place.transport.delete_status(self.place.pipeline, ADMIN_TIMEOUT_S)


def find_left(place: Place, expected: Sequence[str] = ()) -> Left:
    """Find what a pipeline has left at a location.

    Args:
        place: The location.
        expected: Names of channels, with namespace, to look for beside those that the status stream knows.
    """
    names = dict.fromkeys([*with_prefix(place.facts, "channel/"), *expected])
    infos = [info for name in names if (info := place.transport.describe_channel(name)) is not None]
    return Left(place, tuple(infos), place.pipeline in place.transport.pipelines())
