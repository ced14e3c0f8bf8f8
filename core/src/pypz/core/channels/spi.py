"""What a transport brings so that pypz can carry channels over it: the SPI for port authors.

An author writes blocking code against the transport's own client. Batching, encoding, prefetching, ends, runs, status,
metrics and wake-ups are the core's. The law behind these signatures is told in ``docs/channels.md``.

Threads: `ChannelClient.read`, `commit`, `seek`, `pause`, `resume`, `committed`, `lag`, `close` are called on the one
thread that the core keeps for a client, `open_client`, `settle`, `writer` and `reader` before that thread starts (or on it).
`wake` comes from any thread. `BlockWriter.write` is called by one thread at a time, whichever; `flush` by any.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal, Protocol, TypeGuard, runtime_checkable


class Guarantee(Enum):
    """What a member promises for its records (operator parameter ``deliveryGuarantee``)."""

    AT_LEAST_ONCE = "at-least-once"
    AT_MOST_ONCE = "at-most-once"
    EXACTLY_ONCE = "exactly-once"


@dataclass(frozen=True)
class Capabilities:
    """What a transport can do. Asking for what it cannot is refused at start, by the field's name."""

    durable: Literal["no", "process", "machine"]
    """What survives: nothing, a killed process, a machine without power."""
    across_processes: bool
    across_hosts: bool
    partitions: bool
    raise_partitions: bool
    transactions: bool
    fencing: bool
    group_assignment: bool
    seek: bool
    keeps_read: bool
    last_value: bool
    inline: bool
    """Reads and writes cost next to nothing, in this process."""
    max_block: int
    """Largest block in bytes, headers left out, of channels that tell no limit of their own."""
    max_note: int
    """Largest note in bytes."""


@dataclass(frozen=True)
class Member:
    """One start of one member of an operator's group."""

    pipeline: str
    """Name of the pipeline, with the ``channelNamespace`` prefix where one is set."""
    operator: str
    """Full name of the principal operator, with the same prefix."""
    index: int
    """Group index; 0 is the principal."""
    start: str
    """Random token of this start."""

    @property
    def key(self) -> str:
        """Name of the member in status keys: the same over all its starts."""
        return f"{self.operator}/{self.index}"


@dataclass(frozen=True)
class ChannelSpec:
    """A channel to be made."""

    name: str
    partitions: int
    options: Mapping[str, str] = field(default_factory=dict)
    """The port's ``topicConfig``: passed on as they are."""
    groups: Sequence[str] = ()
    """Groups that will read it: a transport that drops what was read keeps a block until all of these have committed it."""


@dataclass(frozen=True)
class ChannelInfo:
    """A channel that exists."""

    name: str
    partitions: int
    incarnation: str
    """The transport's id of this making of the channel: another after delete and create."""
    max_block: int | None = None
    """Largest block in bytes that this channel takes; None: the transport's."""
    is_unbounded: bool = False
    """Set by the core for writers: a bound on what waits in the channel would stop the run for ever (its reader waits for
    all writers, or is in a cycle with them). A transport that has one lets it grow; `pypz.core.channels.bounds` says so."""


Position = str
"""Where a reader stands: opaque to all but the transport. The index in the block is the core's and stands in the note."""


@dataclass(frozen=True)
class Block:
    """The unit of transport: records of one writer for one partition, or a control block.

    A transport keeps headers and payload together, unchanged and unread.
    """

    headers: Mapping[str, str]
    payload: bytes


@dataclass(frozen=True)
class Committed:
    """What stands committed for one partition."""

    position: Position
    note: str


@dataclass(frozen=True)
class Received:
    """One block as read."""

    channel: str
    partition: int
    block: Block
    position: Position
    """Of the block itself: seeking there reads it again."""
    next_position: Position
    """Behind the block: seeking there reads the one after."""


@dataclass(frozen=True)
class Lag:
    """How much waits behind a committed position."""

    entries: int
    """The transport's count, ends and control entries included: an upper bound, 0 exactly when caught up."""
    records: int | None = None
    """Records that wait, where the core knows."""


@dataclass(frozen=True)
class MemberNote:
    """What the operator itself stored with its last unit, unread by the transport."""

    value: bytes
    """At most 2 KiB; empty takes the place of what stood there, and is given back as None."""


@dataclass(frozen=True)
class Unit:
    """What one commit makes final."""

    positions: Mapping[tuple[str, int], Committed]
    """By (channel, partition): position and note, stored together or not at all."""
    member_note: MemberNote | None = None
    """Stored with the positions, or, where that is impossible, before them; None leaves what stands there."""


@dataclass(frozen=True)
class StatusEntry:
    """One entry of a status stream."""

    kind: Literal["fact", "beat"]
    key: str
    value: bytes | None
    """None: the fact was removed."""
    position: int
    """Grows within a stream's incarnation and kind; the position of a ``joined`` fact is that member's epoch."""


class StatusStream(Protocol):
    """Facts (last value per key kept) and beats (may be lost) of one pipeline at one location.

    Thread-safe but for `facts` and `changes`, which one thread at a time calls.
    """

    def join(self, member: Member, value: bytes) -> int:
        """Write the fact ``joined/<member.key>``; give its epoch: unique and growing, also for two at once."""
        ...

    def put(self, key: str, value: bytes | None) -> None:
        """Write a fact; durable on return. None removes it.

        Raises:
            TransportError: It could not be written within the transport's own deadline; tells the last cause.
        """
        ...

    def put_first(self, key: str, value: bytes) -> bytes:
        """Write a fact unless it exists; give the value that stands, whoever wrote it."""
        ...

    def beat(self, key: str, value: bytes) -> None:
        """Write a figure; may be lost, never waits, never raises for an absent broker."""
        ...

    def facts(self) -> Mapping[str, StatusEntry]:
        """All facts by key, complete up to the moment of the call."""
        ...

    def changes(self, timeout_s: float) -> list[StatusEntry]:
        """Entries not yet given out since `facts` was called (or the stream was opened), in order per kind; waits for the first."""
        ...

    def wake(self) -> None:
        """End a waiting `changes`, or the next one when none waits, from any thread."""
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


class LogReader(Protocol):
    """Gives out the log lines of one pipeline at one location; one thread at a time calls `read`."""

    def read(self, timeout_s: float) -> list[bytes]:
        """Lines not yet given out, each writer's in its order; waits for the first. [] at the time-out and when woken.

        Lines that were dropped before they were read are passed over. A stream that is absent, also for a while, is waited
        for: lines are found within 2 s of its making.

        Raises:
            TransportError: Reading is impossible for good (no rights). A broker that is away is waited for.
        """
        ...

    def wake(self) -> None:
        """End a waiting `read`, or the next one when none waits, from any thread."""
        ...

    def close(self) -> None:
        """Let go of everything; idempotent."""
        ...


@runtime_checkable
class KeepsLogs(Protocol):
    """What a `StatusStream` may bring besides: a third stream, of log lines, apart from facts and beats. Its `Transport` is
    `OpensLogs` then. Without both no log lines come from other processes, and viewers say so.
    """

    def log(self, value: bytes) -> None:
        """Write a log line; may be lost, never waits, never raises for an absent broker.

        The stream of lines is made by the first one, bounded by age or size or both, and removed with the status stream.
        """
        ...


@runtime_checkable
class KeepsBeats(Protocol):
    """What a `StatusStream` may bring besides: what viewers that come late need to see the figures of members that were killed."""

    def kept_beats(self) -> list[StatusEntry]:
        """Beats from before the stream was opened, the last of each key at most, as far as they are kept; in order.

        Called by the thread that calls `facts` and `changes`. May give some that `changes` gives, too; never waits long.
        """
        ...


class BlockWriter(Protocol):
    """One writer of one channel."""

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        """Append; ordered per partition. Full: waits (``wait``) or returns False, nothing written.

        Raises:
            BlockTooLargeError: Before anything is sent.
            TransportError: An earlier write failed for good.
            WokenError: The client was woken while this waited; nothing was written.
        """
        ...

    def partition_count(self) -> int:
        """Partitions known now; may grow."""
        ...


class BlockReader(Protocol):
    """One reader of some partitions of a channel. Blocks come out of `ChannelClient.read` (or, for viewers, `read`)."""

    def committed(self, partition: int) -> Committed | None:
        """What stands committed; None when nothing ever was.

        Raises:
            PositionGoneError: The log no longer holds it.
        """
        ...

    def seek(self, partition: int, position: Position | Literal["first", "end"]) -> None:
        """Read on from there. A reader reads nothing of a partition before it was told where to start."""
        ...

    def pause(self, partitions: Sequence[int]) -> None:
        """Give out nothing more of these partitions until `resume`; the connection lives on."""
        ...

    def resume(self, partitions: Sequence[int]) -> None:
        """Undo `pause`."""
        ...

    def lag(self) -> Mapping[int, int]:
        """Entries between where this reader has read to and the end, by partition; may be a little old, never waits."""
        ...

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """For readers made by `Transport.observe` only: as `ChannelClient.read`."""
        ...


@runtime_checkable
class ReadsBack(Protocol):
    """What a reader of `Transport.observe` may bring besides: viewers begin near the end of a channel that holds much.

    Without it they read the channel from its first block on.
    """

    def seek_back(self, blocks: int) -> Mapping[int, int]:
        """Read on, in each partition, from at most so many entries before its end.

        Returns:
            How many entries lie before that, by partition; 0 where reading begins at the first one.
        """
        ...


@runtime_checkable
class AssignmentListener(Protocol):
    """Told on the client's thread, within `ChannelClient.read`, when the transport assigns partitions."""

    def assigned(self, partitions: Sequence[int]) -> None: ...

    def revoking(self, partitions: Sequence[int], deadline: float) -> None: ...

    def lost(self, partitions: Sequence[int]) -> None: ...


class ChannelClient(Protocol):
    """All ends of one member at one location."""

    def settle(self, timeout_s: float) -> MemberNote | None:
        """Fence older starts of this member and finish what they left open; before any `reader`.

        Returns:
            The member note that stands committed, by any start of this member; None when there is none.
        """
        ...

    def writer(self, channel: ChannelInfo) -> BlockWriter: ...

    def reader(
        self,
        channel: ChannelInfo,
        group: str,
        partitions: Sequence[int] | None,
        on_change: AssignmentListener | None = None,
    ) -> BlockReader:
        """Open a reader of these partitions; None: the transport assigns them within ``group``."""
        ...

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        """Give blocks of any of this client's readers: the first at once when it is there, not at the time-out.

        Returns [] at the time-out and when woken.

        Raises:
            TransportError: Reading is impossible for good (channel deleted, no rights). A broker that is away is waited for.
        """
        ...

    def flush(self, timeout_s: float) -> None:
        """Return when everything written is durable and readable by others; else raise the first failure."""
        ...

    def commit(self, unit: Unit, timeout_s: float) -> None:
        """Store positions and notes atomically.

        Raises:
            FencedError, IndefiniteCommitError, RetriableError, TransportError
        """
        ...

    def abort(self) -> None:
        """Blocks since the last commit never become visible; does nothing without transactions."""
        ...

    def wake(self) -> None:
        """End a waiting `read` or `write` within 100 ms, from any thread; when none waits, the next one that would: never lost."""
        ...

    def close(self, timeout_s: float) -> None:
        """Let go of everything: no commit, no flush; idempotent."""
        ...


@runtime_checkable
class TellsCause(Protocol):
    """What a `ChannelClient` may bring besides: asked for when `send` has waited too long, and for notices of waiting.

    A `Transport` may bring it, too: viewers ask for it while an answer of the transport's takes long.
    """

    def last_cause(self) -> str:
        """What it last saw go wrong, such as ``broker:9092: Connection refused``; empty when nothing did lately.

        Called from any thread; never waits. Holds no secret.
        """
        ...


@runtime_checkable
class OpensLogs(Protocol):
    """What a `Transport` may bring besides, where its status streams are `KeepsLogs`."""

    def open_logs(self, pipeline: str, kept: int) -> LogReader:
        """Follow a pipeline's log lines, beginning with at most so many of those that are there; never makes the stream."""
        ...


class Transport(Protocol):
    """What carries channels at one location; one per (location, options) and process; thread-safe."""

    @property
    def capabilities(self) -> Capabilities: ...

    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        """Make the channel, or give the existing one (same incarnation) with partitions raised to ``spec.partitions``.

        Raises:
            ChannelMismatchError: It exists and cannot be made to fit, or a name collides.
            TransportTimeoutError: Tells the last cause.
        """
        ...

    def describe_channel(self, name: str) -> ChannelInfo | None:
        """Tell what is known of the channel; None when it does not exist. Never creates it."""
        ...

    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        """Delete that incarnation only, with its committed positions; absent = done. Returns when it is gone."""
        ...

    def open_status(self, pipeline: str, create: bool) -> StatusStream:
        """Open a pipeline's status stream. Viewers pass ``create=False``: absent = no facts, and `changes` finds it once made."""
        ...

    def pipelines(self) -> list[str]:
        """Names of the pipelines that have status streams here."""
        ...

    def delete_status(self, pipeline: str, timeout_s: float) -> None: ...

    def observe(self, channel: ChannelInfo) -> BlockReader:
        """A reader that joins nothing and commits nothing: for viewers. All its partitions start at "end"."""
        ...

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> ChannelClient: ...

    def close(self) -> None: ...


# What may be brought besides is looked for by its method: `isinstance` does not see, from Python 3.12 on, what a wrapper hands on.


def keeps_logs(stream: object) -> TypeGuard[KeepsLogs]:
    """Whether a status stream is `KeepsLogs`, by itself or as a wrapper of one that is."""
    return callable(getattr(stream, "log", None))


def keeps_beats(stream: object) -> TypeGuard[KeepsBeats]:
    """Whether a status stream is `KeepsBeats`, by itself or as a wrapper of one that is."""
    return callable(getattr(stream, "kept_beats", None))


def opens_logs(transport: object) -> TypeGuard[OpensLogs]:
    """Whether a transport is `OpensLogs`, by itself or as a wrapper of one that is."""
    return callable(getattr(transport, "open_logs", None))


def tells_cause(client: object) -> TypeGuard[TellsCause]:
    """Whether a client is `TellsCause`, by itself or as a wrapper of one that is."""
    return callable(getattr(client, "last_cause", None))
