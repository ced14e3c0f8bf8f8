"""What the sniffer shows at one moment: frozen plain values, made by `PipelineModel.frame`.

Nothing here knows a screen; words stand beside every colour and symbol that a screen may choose.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal


class Mood(Enum):
    """How a thing is doing, in one word that a reader without colours understands."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    FINISHED = "finished"
    INTERRUPTED = "interrupted"
    FAILED = "failed"
    LOST = "lost"


@dataclass(frozen=True)
class PlannedPort:
    """A channel port as the pipeline was modelled."""

    name: str
    direction: Literal["in", "out"]
    peers: tuple[str, ...] = ()
    """Connected ports as ``operator.port``, of the principals, without the pipeline's name."""


@dataclass(frozen=True)
class PlannedOperator:
    """A member of a group as the pipeline was modelled."""

    name: str
    """Full name, as in `OperatorRef.name`."""
    group: str
    """Full name of the principal."""
    index: int
    level: int
    """Place from left to right: 0 for operators that no other one feeds."""
    ports: tuple[PlannedPort, ...] = ()


@dataclass(frozen=True)
class LagView:
    """How much waits for an input port; both None when nobody told."""

    records: int | None = None
    entries: int | None = None
    is_old: bool = False
    """Its member has given no sign of life for a while, or has not ended well: more may wait by now."""
    is_in_blocks: bool = False
    """An entry holds several records, so that entries are no bound for them."""

    @property
    def words(self) -> str:
        """The records that wait when they are known, else an upper bound; "0" only when nothing waits.

        >>> LagView(records=12, entries=3).words, LagView(entries=3).words, LagView(records=0, entries=3).words
        ('12', '<=3', '<=3')
        >>> LagView(records=0, entries=0).words, LagView(records=0).words, LagView().words
        ('0', '0', '')
        >>> LagView(records=12, is_old=True).words, LagView(0, 0, is_old=True).words
        ('>=12', '?')
        >>> LagView(entries=3, is_in_blocks=True).words
        '>=3'
        """
        if self.is_old:
            return f">={self.records:,}" if self.records else "?"
        if self.records or (self.records == 0 and not self.entries):
            return f"{self.records:,}"
        if self.entries and self.is_in_blocks:
            return f">={self.entries:,}"
        return "" if self.entries is None else f"<={self.entries:,}" if self.entries else "0"

    def __add__(self, other: LagView) -> LagView:
        """The lag of two ports together; records stay known only where both know them."""
        mine, theirs = self._told, other._told
        if not mine or not theirs:
            return self if mine else other
        records = None if self.records is None or other.records is None else self.records + other.records
        entries = (self.entries or 0) + (other.entries or 0)
        return LagView(records, entries, self.is_old or other.is_old, self.is_in_blocks or other.is_in_blocks)

    @property
    def _told(self) -> bool:
        return self.records is not None or self.entries is not None or self.is_old


@dataclass(frozen=True)
class PortView:
    """One port of one member on one channel."""

    member: str
    name: str
    direction: Literal["in", "out"]
    channel: str = ""
    """Full name of the channel; empty until somebody told it."""
    peers: tuple[str, ...] = ()
    """What is at the other end, as ``operator.port``."""
    state: str = ""
    """``opening``, ``open``, ``ended``, ``closed``, ``failed``; empty when nothing is known yet."""
    records: int | None = None
    is_at_least: bool = False
    """Its member is lost, or ended without telling its last figures: ``records``, ``blocks`` and ``size_bytes`` may be more."""
    told_utc: float = 0.0
    """When these figures were told, by the member's own clock, to be read only; 0 when not known."""
    blocks: int = 0
    size_bytes: int = 0
    rate: float | None = None
    """Records a second over the last seconds; None when that cannot be told."""
    lag: LagView = LagView()
    held_s: float = 0.0
    """For how long records have waited while none was taken, as far as it was seen."""
    pace_s: float | None = None
    """How long it may take over what it has in hand, by what it was seen to take before; None until then."""
    in_hand: int | None = None
    """Records that it was given and works on; None when nobody told."""
    waits_for: str = ""
    age_s: float = 0.0
    """How old these figures are: they are told when they change, and each sign of life of the member vouches for them."""
    partitions: tuple[int, ...] = ()
    positions: tuple[str, ...] = ()
    """Input ports: for each of ``partitions``, behind which position records were handed out."""


@dataclass(frozen=True)
class DeployedView:
    """How the place that a member was deployed to sees it."""

    state: str
    """Name of a ``DeploymentState``, such as ``Running``."""
    reason: str = ""
    """Why, in words; empty when there is nothing to say."""
    place: str = ""
    host: str = ""
    restarts: int = 0


@dataclass(frozen=True)
class MemberView:
    """One member of a group, in its newest start."""

    name: str
    group: str
    index: int
    level: int
    mood: Mood = Mood.WAITING
    state: str = ""
    """Name of the executor's state, such as ``StateOperationRunning``."""
    exit_code: int | None = None
    error: str = ""
    during: str = ""
    host: str = ""
    process: int = 0
    start: str = ""
    restarts: int = 0
    """Earlier starts of this member that were seen in this run."""
    silent_s: float = 0.0
    """Seconds since its last sign of life; 0 when it runs in this process."""
    ports: tuple[PortView, ...] = ()
    since_utc: float = 0.0
    """When it entered its state, by its own clock; 0 when nobody told."""
    deployed: DeployedView | None = None
    """None where nobody told that it is deployed."""


@dataclass(frozen=True)
class Frame:
    """Everything that is shown, at one moment."""

    pipeline: str
    run: str = ""
    """Id of the newest run; empty while none was seen."""
    mood: Mood = Mood.WAITING
    had_ended: bool = False
    """It had ended before this viewer saw it."""
    may_go_on: bool = False
    """All members have ended, some not well, and nobody has said that the run is over: they may be started again."""
    elapsed_s: float = 0.0
    """Since the run began, as far as that is known (else since it was first seen), until now or its end."""
    members: tuple[MemberView, ...] = ()
    notice: str = ""
    """What hinders the view (a broker that is away), in words; empty when nothing does."""


@dataclass(frozen=True)
class StartView:
    """One start of a member, from its first state on."""

    start: str
    host: str
    process: int
    states: tuple[tuple[str, float], ...]
    """Each state with the moment in which it was entered, by the member's clock; 0 where nobody told."""
    exit_code: int | None = None


@dataclass(frozen=True)
class MemberDetails:
    """What is told of one member while a user looks at it: too much for every frame."""

    starts: tuple[StartView, ...] = ()
    """All that were seen in this run, the newest last."""
    traceback: str = ""
    """Of its last error; secrets masked by the member."""
    load: float | None = None
    """Part of one core that its process takes, with all members in it; None when not known."""
    loads: tuple[float, ...] = ()
    """The same over the last minutes, the newest last."""
    memory_bytes: int | None = None
    threads: int = 0
    rates: Mapping[tuple[str, str], tuple[float, ...]] = field(default_factory=dict)
    """Records a second over the last minutes, the newest last, by port and channel."""
    dto: str = ""
    """The pipeline as it runs, as YAML; "" when nobody told."""


@dataclass(frozen=True)
class Selection:
    """What the user has chosen to look at: a group, a member, or a port of either; nothing before the first frame."""

    group: str = ""
    """Full name of the group's principal, also of an operator without replicas; empty when nothing is selected."""
    member: str = ""
    """Full name of the member; empty for all members of the group together."""
    port: str = ""
    """Name of the port; empty for the operator itself."""
    channel: str = ""
    """Full name of the port's channel, as far as it is known."""
