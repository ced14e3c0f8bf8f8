"""Rescaling a static group while its run goes on: what would move, and moving it once all its members have stopped.

Who stops and starts the members (a deployer) calls `Scaling.plan` before, `Scaling.carry_out` in between. The other members
of the run go on: readers learn from the new generation of the roster whose ends they wait for, writers from the fact ``channel``
of partitions that were added.
"""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pypz.core.channels.headers import group_of
from pypz.core.channels.members.channel_life import ADMIN_TIMEOUT_S
from pypz.core.channels.members.session import own_host
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.roster import Roster, roster_key
from pypz.core.channels.runs.connections import Connections
from pypz.core.channels.runs.retiring import Place
from pypz.core.channels.runs.whole import address_of_port, namespace_of, operators_of, whole_of
from pypz.core.channels.spi import ChannelClient, ChannelInfo, ChannelSpec, Committed, Guarantee, Member, Transport
from pypz.core.channels.status import pack, with_prefix
from pypz.core.commons.errors import ConfigurationError, PositionGoneError, RunConflictError, TransportError
from pypz.core.commons.parameters import given_value

if TYPE_CHECKING:
    from pypz.core.specs.operator import Operator

LOOK_S: Final = 2.0
"""Seconds that counting what waits may take (chosen): a figure for people."""
UNDER_WAY_S: Final = 0.5
"""Seconds that a beat may be under way (chosen)."""
READ_BLOCKS: Final = 64
"""Blocks asked for at once (chosen)."""


@dataclass(frozen=True)
class Move:
    """A partition of a channel, and who reads it."""

    channel: str
    partition: int
    before: str
    """Full name of the member that read it; empty for a partition that is added."""
    after: str
    """Full name of the member that will; empty: each member reads it by itself, as before."""
    waiting: int
    """Entries behind the committed position, as far as they could be counted in a moment."""


@dataclass(frozen=True)
class ScalingPlan:
    """What rescaling a group would change."""

    operator: str
    """Full name of the principal."""
    run: str
    before: int
    """Members."""
    after: int
    moves: tuple[Move, ...]
    removed: tuple[str, ...]
    """Full names of the members that will not come back."""
    added: tuple[str, ...]

    @property
    def is_needed(self) -> bool:
        """Whether anything would change."""
        return self.before != self.after


@dataclass(frozen=True)
class Scaled:
    """What was seen when a group was rescaled."""

    plan: ScalingPlan
    generation: int
    """Of the roster, from now on."""
    positions: Mapping[tuple[str, int], str]
    """By channel and partition: the position that stood when all members had stopped, and that the next ones go on from."""


class Scaling:
    """One rescaling of one operator in one run."""

    def __init__(self, places: Sequence[Place], operator: Operator, run: str, size: int) -> None:
        """Prepare.

        Args:
            places: The locations of the operator's ports, and no others.
            operator: The principal as it is to be: its group has ``size`` members.
            run: Id of the run.
            size: Members from now on.
        """
        self._places = places
        self._operator = operator
        self._run = run
        self._size = size
        self._prefix = namespace_of(whole_of(operator))
        self._name = operator.get_full_name()
        self._key = self._prefix + self._name
        self._ports = channel_ports_of(operator)
        self._inputs = [port for port in self._ports if port.direction == "in"]

    # --- before ---

    def plan(self) -> ScalingPlan:
        """Find out what would change.

        Raises:
            ConfigurationError: The group cannot be rescaled so; says why, and what can be done.
            TransportError: A location cannot be asked.
        """
        self._refresh()
        if self._size < 1:
            raise ConfigurationError(
                f"{self._name}: {self._size} members are asked for, expected 1 or more; `pypz destroy {self._name}` removes it"
            )
        if not self._inputs:
            raise ConfigurationError(
                f"{self._name} has no channel input port: there are no partitions that its members could share anew, each sends "
                "by itself; destroy the pipeline and deploy it with another replicationFactor"
            )
        before = self._standing()
        moves = [move for port in self._inputs for move in self._moves_of(port, before)]
        names = [self._member_name(index) for index in range(max(before, self._size))]
        removed, added = tuple(names[self._size : before]), tuple(names[before : self._size])
        return ScalingPlan(self._name, self._run, before, self._size, tuple(moves), removed, added)

    def _standing(self) -> int:
        """Members that the group has now; refuses a run that is not open, and a group of which somebody has ended."""
        sizes = set()
        for place in self._places:
            entry = place.value(f"run/{self._run}")
            if not entry:
                raise ConfigurationError(
                    f"{self._name}: run {self._run} has not begun at {place.shown}: its first member joins there; wait until the "
                    "pipeline runs, or destroy it and deploy it with another replicationFactor"
                )
            if self._run not in place.open_runs():
                raise ConfigurationError(f"{self._name}: run {self._run} has ended: there is nothing left to rescale")
            sizes.add(self._roster(place).size_of(self._key))
        before = max(sizes)
        if before == 0:
            raise ConfigurationError(f"{self._name} takes no part in run {self._run} (mode Skip)")
        for index in range(before):
            self._refuse_ended(index)
        return before

    def _refuse_ended(self, index: int) -> None:
        key = f"{self._key}/{index}"
        for place in self._places:
            for kind, what in (("closed", "has ended"), ("retired", "was retired")):
                if place.value(f"{kind}/{key}").get("run") == self._run:
                    raise ConfigurationError(
                        f"{self._member_name(index)} {what} in run {self._run}: its end stands, so its group cannot be "
                        "rescaled any more in this run"
                    )

    def _moves_of(self, port: ChannelPort, before: int) -> list[Move]:
        _, info = self._channel_of(port)
        if info is None:
            raise ConfigurationError(
                f"{self._name}.{port.get_simple_name()}: its channel has not been made yet in run {self._run}; wait "
                "until the operator runs"
            )
        wanted = self._wanted(port, info)
        waiting = self._waiting(port, info, before)
        if _has_all(port):
            return [
                Move(
                    info.name,
                    number,
                    "",
                    "",
                    sum(waiting.get((group, number), 0) for group in self._groups(port, before)),
                )
                for number in range(info.partitions)
            ]
        (group,) = self._groups(port, before)
        return [
            Move(
                info.name,
                number,
                self._member_name(number % before) if number < info.partitions else "",
                self._member_name(number % self._size),
                waiting.get((group, number), 0),
            )
            for number in range(wanted)
        ]

    def _wanted(self, port: ChannelPort, info: ChannelInfo) -> int:
        """Partitions from now on: never fewer, and as many as members, where that is allowed."""
        if _has_all(port) or info.partitions >= self._size:
            return info.partitions
        where = f"{self._name}.{port.get_simple_name()}"
        text = (
            f"{where}: {self._size} members are asked for, and its channel has {info.partitions} partition(s) to share"
        )
        given = given_value(port, "partitions")
        if given:
            raise ConfigurationError(
                f"{text}; its parameter 'partitions' ({given}) rules out more: leave it out, or deploy with a larger one"
            )
        whole = whole_of(self._operator)
        key = Connections([one for op in operators_of(whole) for one in channel_ports_of(op)]).key_of(port)
        if key is not None:
            raise ConfigurationError(
                f"{text}; none can be added while its writers send by key (partitionBy {key!r}), since keys would move; deploy "
                "with a larger parameter 'partitions' to have room"
            )
        place, _ = self._channel_of(port)
        if not place.transport.capabilities.raise_partitions:
            raise ConfigurationError(f"{text}; the transport at {place.shown} lacks the capability 'raise_partitions'")
        return self._size

    def _waiting(self, port: ChannelPort, info: ChannelInfo, size: int) -> dict[tuple[str, int], int]:
        """Entries behind what stands committed, by group and partition."""
        found: dict[tuple[str, int], int] = {}
        for group in self._groups(port, size):
            with self._client(port, 0, 0) as client:
                reader = client.reader(info, group, list(range(info.partitions)), None)
                for number in range(info.partitions):
                    committed = reader.committed(number)
                    reader.seek(number, committed.position if committed else "first")
                deadline = time.monotonic() + LOOK_S
                read = dict.fromkeys(range(info.partitions), 0)
                with contextlib.suppress(
                    PositionGoneError
                ):  # members commit meanwhile, and some transports drop what is read
                    while blocks := client.read(READ_BLOCKS, max(0.0, deadline - time.monotonic())):
                        for block in blocks:
                            read[block.partition] += 1
                lag = reader.lag()
                found.update({(group, number): count + lag.get(number, 0) for number, count in read.items()})
        return found

    def generation(self) -> int:
        """The newest generation of the roster."""
        return max(self._roster(place).generation for place in self._places)

    # --- in between ---

    def carry_out(self, plan: ScalingPlan) -> Scaled:
        """Settle what the stopped members left, write the new generation, add partitions, retire who does not come back.

        Raises:
            RunConflictError: A member is alive after all, or somebody else rescales at this moment.
            ConfigurationError: A member has ended before it could be stopped. Nothing was changed.
            TransportError: A position is not what it was; nothing was changed.
        """
        self._refuse_alive(plan)
        self._refresh()
        if self._standing() != plan.before:
            raise RunConflictError(f"{self._name}: somebody else has rescaled it meanwhile")
        self._settle(plan.before)
        positions = self._positions(plan.before)
        for port in self._inputs:
            self._refuse_lost(port, positions)
        for place in self._places:
            if self._roster(place).size_of(self._key) != self._size:
                self._write_generation(place)
        self._refresh()
        for port in self._inputs:
            self._add_partitions(port)
        self._retire()
        self._refuse_moved(positions, self._positions(plan.before))
        return Scaled(
            plan, self.generation(), {(name, number): c.position for (_, name, number), c in positions.items()}
        )

    def _refuse_alive(self, plan: ScalingPlan) -> None:
        members = {self._member_name(index) for index in range(plan.before)}
        for place in self._places:
            for _ in place.beats(UNDER_WAY_S):
                pass  # sent before they stopped
            for run, alive in place.beats():
                if run == self._run and members.intersection(alive):
                    name = min(members.intersection(alive))
                    raise RunConflictError(f"{name} is alive in {place.told_of(run)}, though it was to be stopped")

    def _settle(self, size: int) -> None:
        """Take the place of every old member, so that what is left of one stops, and finish what it left open."""
        host, process = own_host()
        for index in range(size):
            for place in self._places:
                for transport in place.transports.values():
                    member = Member(place.pipeline, self._key, index, uuid.uuid4().hex[:12])
                    value = pack(run=self._run, start=member.start, host=host, process=process)
                    client = transport.open_client(member, place.stream.join(member, value), Guarantee.AT_LEAST_ONCE)
                    try:
                        client.settle(ADMIN_TIMEOUT_S)
                    finally:
                        client.close(ADMIN_TIMEOUT_S)

    def _positions(self, size: int) -> dict[tuple[str, str, int], Committed]:
        """What stands committed, by group, channel and partition."""
        found: dict[tuple[str, str, int], Committed] = {}
        for port in self._inputs:
            _, info = self._channel_of(port)
            assert info is not None, "it was planned for"
            for group in self._groups(port, size):
                with self._client(port, 0, 0) as client:
                    reader = client.reader(info, group, list(range(info.partitions)), None)
                    committed = {number: reader.committed(number) for number in range(info.partitions)}
                    found.update(
                        {(group, info.name, number): one for number, one in committed.items() if one is not None}
                    )
        return found

    def _refuse_lost(self, port: ChannelPort, positions: Mapping[tuple[str, str, int], Committed]) -> None:
        """Refuse when a position is missing where members have said that they committed one."""
        place, info = self._channel_of(port)
        assert info is not None, "it was planned for"
        for index, value in with_prefix(place.facts, f"read/{info.name}/").items():
            if value.get("incarnation") != info.incarnation:
                continue
            group = group_of(self._key, int(index), _has_all(port))
            lost = [number for number in value.get("partitions", ()) if (group, info.name, number) not in positions]
            if lost:
                raise TransportError(
                    f"channel {info.name!r}, partition {lost[0]}: what group {group!r} had committed is gone; nothing was changed"
                )

    def _refuse_moved(
        self,
        before: Mapping[tuple[str, str, int], Committed],
        after: Mapping[tuple[str, str, int], Committed],
    ) -> None:
        moved = [key for key, committed in before.items() if after.get(key) != committed]
        if moved:
            group, channel, number = moved[0]
            raise TransportError(
                f"channel {channel!r}, partition {number}: the position of group {group!r} has moved from "
                f"{before[moved[0]].position} while no member ran; is something else using this group?"
            )

    def _write_generation(self, place: Place) -> None:
        """Write the place's next one: each counts its own, for others may have rescaled at one of them only."""
        generation = self._roster(place).generation + 1
        for index in range(self._roster(place).size_of(self._key), self._size):
            if place.value(f"retired/{self._key}/{index}"):  # by an earlier rescaling; it comes back
                place.stream.put(f"retired/{self._key}/{index}", None)
        token = uuid.uuid4().hex[:12]
        groups = {**self._roster(place).groups, self._key: self._size}
        value = pack(run=self._run, generation=generation, groups=groups, token=token, at_utc=time.time())
        if place.stream.put_first(roster_key(self._run, generation), value) != value:
            raise RunConflictError(
                f"{self._name}: somebody else rescales this pipeline at {place.shown} at this moment"
            )

    def _add_partitions(self, port: ChannelPort) -> None:
        place, info = self._channel_of(port)
        assert info is not None, "it was planned for"
        wanted = self._wanted(port, info)
        groups = tuple(sorted(self._groups(port, self._size)))
        made = self._transport(port).create_channel(ChannelSpec(info.name, wanted, {}, groups), ADMIN_TIMEOUT_S)
        if wanted > info.partitions:
            fact = {key: value for key, value in place.value(f"channel/{info.name}").items() if key != "v"}
            place.stream.put(f"channel/{info.name}", pack(**{**fact, "partitions": made.partitions}))

    def _retire(self) -> None:
        """Say of those that were taken away that they will not come back; started again, they do nothing.

        No end is written for them: the new generation does not expect one.
        """
        for place in self._places:
            for index in range(self._size, self._roster(place).largest(self._key)):
                if place.value(f"retired/{self._key}/{index}").get("run") != self._run:
                    place.stream.put(f"retired/{self._key}/{index}", pack(run=self._run, channels=[]))

    # --- below ---

    def _refresh(self) -> None:
        for place in self._places:
            place.facts = place.stream.facts()

    def _roster(self, place: Place) -> Roster:
        return place.roster(self._run)

    def _member_name(self, index: int) -> str:
        return self._name + (f"_{index - 1}" if index else "")

    def _groups(self, port: ChannelPort, size: int) -> list[str]:
        has_all = _has_all(port)
        return [group_of(self._key, index, has_all) for index in range(size if has_all else 1)]

    def _channel_of(self, port: ChannelPort) -> tuple[Place, ChannelInfo | None]:
        """Where the channel of an input port is, and what it is in this run; None when this run has not made it yet."""
        address = address_of_port(port)
        place = next(place for place in self._places if address is not None and place.location == address[0])
        name = self._prefix + port.channel_names()[0]
        info = self._transport(port).describe_channel(name)
        fact = place.value(f"channel/{name}")
        is_ours = fact.get("run") == self._run and info is not None and info.incarnation == fact.get("incarnation")
        return place, info if is_ours else None

    def _transport(self, port: ChannelPort) -> Transport:
        address = address_of_port(port)
        return next(t for place in self._places for known, t in place.transports.items() if known == address)

    @contextlib.contextmanager
    def _client(self, port: ChannelPort, index: int, epoch: int) -> Iterator[ChannelClient]:
        """A client that only looks: of no epoch, so that it takes nobody's place."""
        member = Member(self._places[0].pipeline, self._key, index, uuid.uuid4().hex[:12])
        client = self._transport(port).open_client(member, epoch, Guarantee.AT_LEAST_ONCE)
        try:
            yield client
        finally:
            client.close(5.0)


def _has_all(port: ChannelPort) -> bool:
    return bool(getattr(port, "is_in_group_mode", lambda: False)())
