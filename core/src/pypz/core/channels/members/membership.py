"""What the parts of one member's session share: who it is, the ends of its ports, its clients, and whether it goes on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from pypz.core.channels import pool
from pypz.core.channels.ends.client_loop import ClientLoop
from pypz.core.channels.ends.reader import InputEnd
from pypz.core.channels.ends.writer import OutputEnd
from pypz.core.channels.port import ChannelPort
from pypz.core.channels.spi import Guarantee, Member, Transport
from pypz.core.channels.status import StatusHub
from pypz.core.codecs.spi import Codec
from pypz.core.commons.forks import Home
from pypz.core.commons.parameters import given_value
from pypz.core.hooks.events import ChannelStatus, OperatorRef, PortRef
from pypz.core.hooks.loader import say
from pypz.core.specs.instance import Internals
from pypz.core.specs.plugin import LoggerPlugin

if TYPE_CHECKING:
    from pypz.core.channels.runs.run import PipelineRun
    from pypz.core.specs.operator import Operator

Outcome = Literal["completed", "interrupted", "failed"]


class PortEnds:
    """The ends of one port."""

    def __init__(self, port: ChannelPort, ref: PortRef, address: pool.Address) -> None:
        self.port = port
        self.ref = ref
        self.address = address
        self.input: InputEnd | None = None
        self.outputs: dict[str, OutputEnd] = {}
        self.codec: Codec | None = None
        self.state: Literal["opening", "open", "ended", "closed", "failed"] = "opening"
        self.told: dict[str, ChannelStatus] = {}
        self.told_at: dict[str, float] = {}


class Membership:
    """One start of one member. ``changed`` is the condition that all its waits use, and the lock of what its ends hold."""

    def __init__(
        self, run: PipelineRun, operator: Operator, ref: OperatorRef, member: Member, ports: Sequence[ChannelPort]
    ) -> None:
        self.run = run
        self.host = run.host
        self.clock = run.clock
        self.operator = operator
        self.ref = ref
        self.member = member
        self.changed = self.clock.condition()
        self.ends: dict[ChannelPort, PortEnds] = {port: self._ends_for(port) for port in ports}
        self.loops: dict[pool.Address, ClientLoop] = {}
        self.epochs: dict[str, int] = {}
        self.outcome: Outcome | None = None
        self.failure: Exception | None = None
        self.guarantee = Guarantee(given_value(operator, "deliveryGuarantee") or Guarantee.AT_LEAST_ONCE.value)
        self.is_interrupted = False
        self.is_fenced = False
        self.is_closed = False
        self._opened_in = Home()
        self._has_logger = operator._pypz_own_logger is not None or any(
            isinstance(plugin, LoggerPlugin) for plugin in Internals(operator).nested_instances.values()
        )

    def _ends_for(self, port: ChannelPort) -> PortEnds:
        location, options = port.transport_location(), port.transport_options()
        assert location is not None, "required parameters were checked"
        channels = tuple(self.run.prefixed(channel) for channel in port.channel_names())
        ref = PortRef(self.ref, str(port.get_simple_name()), port.direction, channels)
        return PortEnds(port, ref, pool.address_of(location, options))

    # --- going on ---

    def tell(self, text: str) -> None:
        """Warn in the operator's name: in its log, and on stderr where it has none."""
        logger = self.operator.get_logger()
        logger.warning(text)
        if not self._has_logger:
            say(f"{self.ref.name}: {text}")

    def fail(self, error: Exception) -> None:
        """Make the member fail with ``error`` at its next call; ends its waits."""
        with self.changed:
            if self.failure is None:
                self.failure = error
            self.changed.notify_all()
        for hub in self.hubs():
            hub.poke()

    def raise_failure(self) -> None:
        """Raise what failed in the background, or that this is a forked child, where nothing of the member goes on."""
        self._opened_in.check(self.ref.name)
        if self.failure is not None:
            raise self.failure

    def is_stopped(self) -> bool:
        """Whether no wait should go on."""
        return self.is_interrupted or self.failure is not None

    # --- what it has ---

    @property
    def home(self) -> pool.Address | None:
        """Where the member note is kept: the transport of the first port, the same over all starts; None without ports."""
        return next((ends.address for ends in self.ends.values()), None)

    @property
    def home_loop(self) -> ClientLoop | None:
        """The client that keeps the member note; None when it is not open."""
        return None if self.home is None else self.loops.get(self.home)

    def loops_in_order(self) -> list[ClientLoop]:
        """All clients, the one that keeps the member note first."""
        return [loop for _, loop in sorted(self.loops.items(), key=lambda item: item[0] != self.home)]

    def inputs(self) -> list[InputEnd]:
        """All reading ends that are open."""
        return [ends.input for ends in self.ends.values() if ends.input is not None]

    def outputs(self) -> list[OutputEnd]:
        """All writing ends that are open."""
        return [output for ends in self.ends.values() for output in ends.outputs.values()]

    def transport(self, ends: PortEnds) -> Transport:
        """The transport of a port."""
        return self.run.transport(ends.address)

    def hub(self, ends: PortEnds) -> StatusHub:
        """The status hub of a port's location."""
        return self.run.hub(ends.address[0])

    def hubs(self) -> list[StatusHub]:
        """The status hubs of all locations used; none once the member is closed."""
        if self.is_closed:
            return []
        return [self.run.hub(location) for location in dict.fromkeys(ends.address[0] for ends in self.ends.values())]

    def location_of(self, hub: StatusHub) -> str:
        """The location whose hub this is."""
        return next(ends.address[0] for ends in self.ends.values() if self.hub(ends) is hub)
