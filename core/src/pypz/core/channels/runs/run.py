"""Runs: one start of a whole pipeline, its roster, and the members that join it."""

from __future__ import annotations

import os
import threading
import time
import uuid
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from pypz.core.channels import pool
from pypz.core.channels.members.session import MemberSession, own_host
from pypz.core.channels.port import ChannelPort, channel_ports_of
from pypz.core.channels.roster import Roster, Writers
from pypz.core.channels.runs.capabilities import check_capabilities
from pypz.core.channels.runs.connections import Connections
from pypz.core.channels.runs.leftovers import Leftovers
from pypz.core.channels.runs.standing_runs import forget_old_runs, open_runs_in, refuse_alive, refuse_earlier
from pypz.core.channels.runs.usage import ProcessUsage
from pypz.core.channels.runs.whole import (
    address_of_port,
    addresses_of,
    check_values,
    namespace_of,
    operators_of,
    status_name,
    whole_of,
)
from pypz.core.channels.spi import Member, StatusStream, Transport
from pypz.core.channels.status import StatusHub, pack, unpack, with_prefix
from pypz.core.commons.clock import PROCESS_CLOCK, Clock
from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.commons.secrets import conceal
from pypz.core.hooks.events import OperatorRef, PipelineRef
from pypz.core.hooks.loader import say
from pypz.core.hooks.relay import Relay

if TYPE_CHECKING:
    from pypz.core.hooks.host import PluginHost
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline

TELL_SILENCE_S: Final = 3.0
"""Seconds after which a location that does not answer is named (chosen); it is waited for within its own deadline."""

RELAY_CLOSE_S: Final = 5.0
"""Seconds that the relay may take for its last facts (chosen)."""

OBSERVERS_S: Final = 5.0
"""Seconds that observers may take for the last news (chosen: as long as one may be busy with an event)."""

SKIPPED_VARIABLE: Final = "PYPZ_SKIPPED"
"""Environment variable with the full names, separated by commas, of operators that a starter of lone members leaves out
(mode Skip): they are not in the roster, nobody waits for them."""

JOINING_MODES: Final = ("Standard", "WithoutResourceDeletion")
"""Modes in which a member joins; in the others it only makes or deletes channels."""


def _check_across_processes(pipeline: str, location: str, transport: Transport) -> None:
    if not transport.capabilities.across_processes:
        shown = conceal({"channelLocation": location})["channelLocation"]
        raise ConfigurationError(
            f"{pipeline}: channelLocation {shown!r} does not reach into other processes, and the operators are to run in "
            f"processes of their own; use 'local:DIR' on this host, Kafka ('kafka://HOST:9092'), or isolation='thread'"
        )


class PipelineRun:
    """One run as seen by this process; shared by the members that run in it."""

    def __init__(
        self,
        whole: Pipeline | Operator,
        host: PluginHost,
        *,
        member: Operator | None = None,
        clock: Clock = PROCESS_CLOCK,
    ) -> None:
        self.id = uuid.uuid4().hex[:12]
        self.host = host
        self.clock = clock
        """By which it goes."""
        self._whole = whole
        self._connections = Connections([port for op in operators_of(whole) for port in channel_ports_of(op)])
        self._member = member
        self._is_lone = member is not None
        self._prefix = namespace_of(whole)
        self._ref = PipelineRef(whole.get_full_name(), self.id)
        skipped = os.environ.get(SKIPPED_VARIABLE, "").split(",")
        self._groups = {
            self.prefixed(op.get_full_name()): 0 if op.get_full_name() in skipped else int(op.get_group_size())
            for op in operators_of(whole)
        }
        self._rosters: dict[str, Roster] = {}
        """By location; newer generations than the opening entry's."""
        self._here: dict[str, list[str]] = {}
        self._hubs: dict[str, StatusHub] = {}
        self._transports: dict[pool.Address, Transport] = {}
        self._sessions: list[MemberSession] = []
        self._is_relaying = True
        self._relay: Relay | None = None
        self._token = uuid.uuid4().hex[:12]
        self._lock = threading.Lock()
        self._is_open = False
        self._is_closed = False

    # --- making one ---

    @classmethod
    def start(
        cls,
        pipeline: Pipeline,
        host: PluginHost,
        *,
        fresh: bool = False,
        in_processes: bool = False,
        clock: Clock = PROCESS_CLOCK,
    ) -> PipelineRun:
        """Begin a new run of the whole pipeline.

        Args:
            pipeline: The whole.
            host: Whose plugins make transports and are told.
            fresh: Delete what earlier runs left in the channels first.
            in_processes: Its members run in processes of their own, which relay what observers are told.
            clock: By which it goes.

        Raises:
            RunConflictError: Another run of this name is alive at one of its locations.
            TransportError: A location cannot be reached; tells the last cause.
            ConfigurationError: A location does not reach into other processes, where members are to run in such.
        """
        run = cls(pipeline, host, clock=clock)
        run._is_relaying = not in_processes
        try:
            run._connect()
            superseded = {at: refuse_alive(hub, run._ref.name, run.id) for at, hub in run._hubs.items()}
            if fresh:
                left = Leftovers(run._whole, run.prefixed, run._transports, run._hubs)
                left.delete_channels()
                left.delete_notes(run.size_of)
            for location, hub in run._hubs.items():
                run._open_at(location, hub, superseded[location])
            for location, hub in run._hubs.items():
                refuse_earlier(hub, run._ref.name, run.id, superseded[location], run._hubs.values())
                forget_old_runs(hub, run.id)
            run._begin()
        except BaseException:
            run.close()
            raise
        return run

    @classmethod
    def join(cls, operator: Operator, host: PluginHost, *, run_id: str | None = None, new: bool = False) -> PipelineRun:
        """Take part in a run as one member: in ``run_id``, else in the open one (thus going on with it), else in a new one.

        Args:
            operator: The member; not a Replica proxy.
            host: Whose plugins make transports and are told.
            run_id: The run's id as the starter of the whole has made it (``PYPZ_RUN``).
            new: Propose a new run although one may be open.

        Raises:
            RunConflictError: The run is new, and another one is alive.
            TransportError: A location cannot be reached; tells the last cause.
        """
        run = cls(whole_of(operator), host, member=operator)
        try:
            run._connect()
            if run_id is not None:
                run._take_id(run_id)
            elif not new:
                run._take_id(run._find_open() or run.id)
            for location, hub in run._hubs.items():
                superseded = None
                if not hub.value(f"run/{run.id}"):
                    superseded = refuse_alive(hub, run._ref.name, run.id)
                run._open_at(location, hub, superseded)
            if run_id is None and not new:
                run._agree()
            run._begin()
        except BaseException:
            run.close()
            raise
        return run

    def _connect(self) -> None:
        """Open all transports and their status streams, side by side."""
        check_values(self._whole)
        self._connections.check()
        self._connections.check_schemas(self.host)
        addresses = self._addresses()
        for address in addresses:
            self._transports[address] = pool.acquire(self.host, address)
            if not self._is_relaying:
                _check_across_processes(self._ref.name, address[0], self._transports[address])
        self._check_clock()
        self._check_capabilities()
        firsts: dict[str, pool.Address] = {}
        for address in addresses:
            firsts.setdefault(address[0], address)
        errors: list[BaseException] = []

        def open_hub(location: str, address: pool.Address) -> None:
            try:
                stream = self._transports[address].open_status(status_name(self._whole), create=True)
                with self._lock:
                    if self._is_closed:  # the starter was interrupted meanwhile, and waits for nobody
                        stream.close()
                        return
                    hub = self._hubs[location] = StatusHub(stream, location, self.clock)
                hub.open()
            except BaseException as error:  # noqa: BLE001  # raised again below, in the caller's thread
                errors.append(pool.placed(location, error))

        threads = [
            threading.Thread(target=open_hub, args=item, name=f"pypz-open {item[0]}", daemon=True)
            for item in firsts.items()
        ]
        for thread in threads:
            thread.start()
        for (location, _), thread in zip(firsts.items(), threads, strict=True):
            thread.join(TELL_SILENCE_S)
            if thread.is_alive():
                shown = conceal({"channelLocation": location})["channelLocation"]
                say(f"{self._ref.name}: waits for an answer from {shown} (channelLocation)")
                thread.join()
        if errors:
            raise errors[0]
        for operator in operators_of(self._whole):
            for location in dict.fromkeys(address[0] for address in self._addresses_of(operator)):
                self._here.setdefault(location, []).append(self.prefixed(operator.get_full_name()))

    def _check_clock(self) -> None:
        """Refuse transports that go by another time: a fake clock would stand still while they wait."""
        for (location, _), transport in self._transports.items():
            if self.clock is not PROCESS_CLOCK and getattr(transport, "clock", PROCESS_CLOCK) is not self.clock:
                shown = conceal({"channelLocation": location})["channelLocation"]
                raise ConfigurationError(
                    f"{self._ref.name}: channels at {shown!r} do not go by the clock given, which is not the process's own; "
                    "only 'memory:' made with it does, as run_pipeline of pypz.testing makes it"
                )

    def _check_capabilities(self) -> None:
        for operator in operators_of(self._whole):
            for port in channel_ports_of(operator):
                address = self._address_of(port)
                if port.direction == "in" and address in self._transports:
                    location = conceal({"channelLocation": address[0]})["channelLocation"]
                    place = f"{port.owner_name()}.{port.get_simple_name()}: the transport at {location}"
                    check_capabilities(
                        place, self._transports[address].capabilities, port.partition_count(), self.writers_of(port).now
                    )

    def _addresses(self) -> list[pool.Address]:
        """What this process connects to: all that the whole uses; a lone member only what its own ports use, where it
        has any, since it may not know the secrets of others.
        """
        own = addresses_of(self._member) if self._member is not None else []
        everywhere = [address for operator in operators_of(self._whole) for address in self._addresses_of(operator)]
        return own or list(dict.fromkeys(everywhere))

    def _addresses_of(self, operator: Operator) -> list[pool.Address]:
        return addresses_of(operator, is_run_here=not self._is_lone)

    def _address_of(self, port: ChannelPort) -> pool.Address | None:
        return address_of_port(port, is_run_here=not self._is_lone)

    def _take_id(self, run_id: str) -> None:
        self.id = run_id
        self._ref = PipelineRef(self._ref.name, run_id)

    def _find_open(self) -> str | None:
        for hub in self._hubs.values():
            for run in self.open_runs(hub):
                return run
        return None

    def _agree(self) -> None:
        """Of two runs proposed side by side by lone members the first in stream order wins."""
        for hub in self._hubs.values():
            hub.refresh()
            winner = next(iter(self.open_runs(hub)), self.id)
            if winner != self.id:
                for other in self._hubs.values():
                    other.put(f"run/{self.id}", None)
                self._take_id(winner)
                self._groups = {k: int(v) for k, v in hub.value(f"run/{winner}").get("groups", self._groups).items()}
                return

    def open_runs(self, hub: StatusHub) -> list[str]:
        """Ids of the runs that are neither finished nor superseded, in stream order."""
        return open_runs_in(hub.facts())

    def is_superseded(self, hub: StatusHub) -> bool:
        """Whether another run says that it takes this one's place."""
        return any(value.get("supersedes") == self.id for value in with_prefix(hub.facts(), "run/").values())

    def _open_at(self, location: str, hub: StatusHub, supersedes: str | None) -> None:
        """Write the opening entry unless another member did; take over the roster that stands."""
        host, process = own_host()
        mine = pack(
            run=self.id,
            pipeline=self._ref.name,
            generation=0,
            groups=self._groups,
            here=self._here.get(location, []),
            supersedes=supersedes,
            dto=str(self._whole),
            host=host,
            process=process,
            started_utc=time.time(),
        )
        standing = unpack(hub.put_first(f"run/{self.id}", mine))
        groups = standing.get("groups")
        if isinstance(groups, dict):
            self._groups = {str(name): int(size) for name, size in groups.items()}

    def _begin(self) -> None:
        """From here on this process beats for the run and relays what its members do."""
        self._is_open = True
        for location, hub in self._hubs.items():
            hub.listen(partial(self._look_for_generations, location, hub))
            self._read_roster(location, hub)
        usage = ProcessUsage(self._ref, self.host.process_status)
        for hub in self._hubs.values():
            if self.clock is PROCESS_CLOCK:  # by another one nobody else could see
                hub.keep_alive(self._token, lambda: self._alive(usage))
        if self._hubs:
            self._relay = Relay(self._ref.name, self.id, [hub.stream for hub in self._hubs.values()])
            if self._is_relaying:
                self.host.register(self._relay, f"relay {self.id} {self._token}")
        if not self._is_lone:
            self.host.pipeline_started(self._ref)

    def _look_for_generations(self, location: str, hub: StatusHub, keys: frozenset[str]) -> None:
        if any(key.startswith(f"roster/{self.id}/") for key in keys):
            self._read_roster(location, hub)

    def _read_roster(self, location: str, hub: StatusHub) -> None:
        self._rosters[location] = Roster.read(hub.facts(), self.id, self._groups)

    def _alive(self, usage: ProcessUsage) -> bytes | None:
        if not self._is_open:
            return None
        with self._lock:
            members = {session.ref.name: session.ref.start for session in self._sessions}
        return pack(run=self.id, members=members, usage=usage.latest().to_json())

    # --- members ---

    def enter(self, operator: Operator, mode: Any) -> MemberSession:
        """Make the session of one member and bind its channel ports.

        Args:
            operator: The member; not a Replica proxy.
            mode: The ExecutionMode.
        """
        principal = operator.get_group_principal() or operator
        start = uuid.uuid4().hex[:12]
        host, process = own_host()
        index = operator.get_group_index() or 0
        ref = OperatorRef(self._ref.name, self.id, operator.get_full_name(), index, start, host, process)
        member = Member(status_name(self._whole), self.prefixed(principal.get_full_name()), index, start)
        mode_name = getattr(mode, "value", mode)
        session = MemberSession(
            self,
            operator,
            ref,
            member,
            channel_ports_of(operator),
            is_joining=mode_name in JOINING_MODES,
            deletes_only=mode_name == "ResourceDeletionOnly",
        )
        with self._lock:
            self._sessions.append(session)
        try:
            session.join()
        except BaseException:
            session.close()
            raise
        return session

    def left(self, session: MemberSession) -> None:
        """A member's session was closed; the last member of all ends the run, where nobody started the whole."""
        with self._lock:
            if session not in self._sessions:
                return
            self._sessions.remove(session)
        if not self._is_lone or session.outcome != "completed" or session.fenced:
            return
        for hub in self._hubs.values():
            try:
                hub.refresh()
                here = hub.value(f"run/{self.id}").get("here", [])
                members = [f"{name}/{index}" for name in here for index in range(self.size_of(name))]
                living = [v for v in with_prefix(hub.facts(), "channel/").values() if v.get("run") == self.id]
                if not self.not_closed(hub, members) and not living:
                    hub.put(f"finished/{self.id}", pack(run=self.id, outcome="finished"))
            except PypzError as error:  # the member's own end stands; the next start finds the run without beats
                session.tell(f"could not say that the run has finished: {error}")

    def interrupt(self) -> None:
        """End all waits of all sessions."""
        with self._lock:
            sessions = list(self._sessions)
        for session in sessions:
            session.interrupt()

    @property
    def is_lone(self) -> bool:
        """Whether a single member takes part here: the run belongs to others, too, and it does not end it by itself."""
        return self._is_lone

    def finish(self, outcome: Literal["finished", "failed", "interrupted"]) -> None:
        """The whole has ended: written to each location, told to observers."""
        self.host.pipeline_finished(self._ref, outcome)
        for hub in self._hubs.values():
            hub.put(f"finished/{self.id}", pack(run=self.id, outcome=outcome))

    def close(self) -> None:
        """Let go of all transports; idempotent."""
        self._is_open = False
        with self._lock:
            self._is_closed = True
        self.host.flush(OBSERVERS_S)
        if self._relay is not None:
            if self._is_relaying:
                self.host.unregister(self._relay)
            self._relay.close(RELAY_CLOSE_S)
            self._relay = None
        for hub in self._hubs.values():
            hub.close()
        self._hubs.clear()
        for address in self._transports:
            pool.release(self.host, address)
        self._transports.clear()

    # --- what sessions ask ---

    @property
    def relay(self) -> Relay | None:
        """What writes to the run's status streams; where members run in processes of their own, it is told of nothing by itself."""
        return self._relay

    def open_viewers(self) -> list[StatusStream]:
        """Open one more status stream at each location, for somebody who only looks and closes them."""
        locations = {address[0]: transport for address, transport in reversed(self._transports.items())}
        name = status_name(self._whole)
        return [transport.open_status(name, create=False) for transport in locations.values()]

    def prefixed(self, name: str) -> str:
        """A name as transports see it."""
        return self._prefix + name

    def hub(self, location: str) -> StatusHub:
        """The status hub of a location."""
        return self._hubs[location]

    def transport(self, address: pool.Address) -> Transport:
        """The transport of an address."""
        return self._transports[address]

    def size_of(self, operator: str) -> int:
        """Members of an operator's group, by the newest generation of the roster."""
        rosters = self._rosters.values()  # where it takes no part, nobody was told that it was rescaled
        return max(rosters, key=lambda found: found.changes_of(operator), default=Roster(self._groups)).size_of(
            operator
        )

    def is_in_cycle(self, port: ChannelPort) -> bool:
        """Whether what the owner of an input port sends may come back to that port."""
        return self._connections.is_in_cycle(port)

    def key_of(self, port: ChannelPort) -> str | None:
        """The field by which writers of an input port pick partitions; None when none does."""
        return self._connections.key_of(port)

    def writing_members(self, port: ChannelPort) -> list[str]:
        """Keys of the members that write to an input port, sorted."""
        return sorted({writer.rsplit("/", 1)[0] for writer in self.writers_of(port).now})

    def writers_of(self, port: ChannelPort) -> Writers:
        """Writers that an input port expects: ``<operator>/<index>/<port>``."""
        address = self._address_of(port)
        roster = self._rosters.get(address[0]) if address is not None else None
        outputs = [(self.prefixed(owner), name) for owner, name in port.connected_ports()]
        return (roster or Roster(self._groups)).writers(outputs)

    def members_at(self, port: ChannelPort) -> list[str]:
        """Keys of all members that read or write the channel of an input port."""
        reader = self.prefixed(port.owner_name())
        return [f"{reader}/{index}" for index in range(self.size_of(reader))] + self.writing_members(port)

    def not_closed(self, hub: StatusHub, members: Iterable[str]) -> set[str]:
        """Those members that have not said in this run that they have ended, and of whom nobody else has said so."""
        return {
            member
            for member in members
            if hub.value(f"closed/{member}").get("run") != self.id and self.retired_from(hub, member) is None
        }

    def retired_from(self, hub: StatusHub, member: str) -> list[str] | None:
        """Names of the channels that hold the end of a member which will not come back (``pypz retire``); None: no such.

        A channel that is not among them was made later: it holds nothing of that member.
        """
        fact = hub.value(f"retired/{member}")
        return list(fact.get("channels") or ()) if fact.get("run") == self.id else None

    def retired_writers(self, hub: StatusHub, channel: str, writers: Iterable[str]) -> frozenset[str]:
        """Those writers of a channel that had retired before it was made."""
        gone = ((writer, self.retired_from(hub, writer.rsplit("/", 1)[0])) for writer in writers)
        return frozenset(writer for writer, channels in gone if channels is not None and channel not in channels)
