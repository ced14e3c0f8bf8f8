"""For each promise of the transport kit a transport that breaks it: memory, but for one fault."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from core.tests.testing.proxies import ClientProxy, ReaderProxy, StatusProxy, TransportProxy, WriterProxy
from core.tests.testing.retaining import BreakableWriter, RetainingClient, RetainingTransport

from pypz.core.channels.headers import END, KIND, RUN, WRITER
from pypz.core.channels.spi import Block, ChannelInfo, ChannelSpec, Committed, Member, Received, Unit
from pypz.core.commons.errors import BlockTooLargeError, TransportError


def breaks(
    number: int,
    *,
    writer: type[WriterProxy] = WriterProxy,
    reader: type[ReaderProxy] = ReaderProxy,
    client: type[ClientProxy] = ClientProxy,
    status: type[StatusProxy] = StatusProxy,
    transport: type[TransportProxy] = TransportProxy,
) -> None:
    """Enter the faulty transport of a promise."""
    made = type(f"{client.__name__}{number}", (client,), {"writer_class": writer, "reader_class": reader})
    FAULTY[number] = type(f"Faulty{number}", (transport,), {"client_class": made, "status_class": status})


FAULTY: dict[int, type[TransportProxy]] = {}


# --- writing ---


class SwapsPairs(WriterProxy):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.held: dict[int, Block] = {}

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        earlier = self.held.pop(partition, None)
        if earlier is None:
            self.held[partition] = block
            return True
        return all([self.inner.write(partition, one, wait) for one in (block, earlier)])


class SwallowsFailures(WriterProxy):
    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        try:
            return super().write(partition, block, wait)
        except TransportError:
            return True


class DropsWhenFull(WriterProxy):
    """Once it was full it drops what it should wait with, whether there is room again by then or not."""

    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.was_full = False

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        if wait and self.was_full:
            return True
        wrote = bool(self.inner.write(partition, block, wait))
        self.was_full = not wrote
        return wrote


class SendsHalfOfTooLarge(WriterProxy):
    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        try:
            return super().write(partition, block, wait)
        except BlockTooLargeError:
            super().write(partition, replace(block, payload=block.payload[:1000]), wait)
            raise


class KeepsUntilClosed(WriterProxy):
    def __init__(self, inner: Any) -> None:
        super().__init__(inner)
        self.held: list[tuple[int, Block]] = []

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        self.held.append((partition, block))
        return True


class FlushesAtClose(ClientProxy):
    def close(self, timeout_s: float) -> None:
        for writer in self.writers:
            for partition, block in writer.held:
                writer.inner.write(partition, block)
        super().close(timeout_s)


breaks(1, writer=SwapsPairs)
breaks(2, writer=SwallowsFailures)
breaks(3, writer=DropsWhenFull)
breaks(4, writer=SendsHalfOfTooLarge)
breaks(5, writer=KeepsUntilClosed, client=FlushesAtClose)


# --- reading ---


class CollectsUntilTheTimeOut(ClientProxy):
    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        deadline = time.monotonic() + timeout_s
        found: list[Received] = []
        while len(found) < max_blocks and (left := deadline - time.monotonic()) > 0:
            some = super().read(max_blocks - len(found), left)
            if not some:
                break
            found += some
        return found


class ForgetsEarlyWakes(ClientProxy):
    is_reading = False

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        self.is_reading = True
        try:
            return super().read(max_blocks, timeout_s)
        finally:
            self.is_reading = False

    def wake(self) -> None:
        if self.is_reading:
            super().wake()


class ClosesBehindItsRead(ClientProxy):
    def __init__(self, inner: Any, member: Member, epoch: int) -> None:
        super().__init__(inner, member, epoch)
        self.busy = threading.Lock()

    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        with self.busy:
            return super().read(max_blocks, timeout_s)

    def close(self, timeout_s: float) -> None:
        with self.busy:
            super().close(timeout_s)


class SkipsOne(ReaderProxy):
    def seek(self, partition: int, position: str) -> None:
        self.inner.seek(partition, str(int(position) + 1) if position.isdigit() else position)


class CommitsWhereItHasReadTo(ClientProxy):
    def commit(self, unit: Unit, timeout_s: float) -> None:
        ends = {
            (info, number): Committed(str(reader.inner.positions[number]), committed.note)
            for (info, number), committed in unit.positions.items()
            for reader in self.readers
        }
        super().commit(Unit(ends), timeout_s)


class NotesLagBehind(ClientProxy):
    def __init__(self, inner: Any, member: Member, epoch: int) -> None:
        super().__init__(inner, member, epoch)
        self.notes: dict[tuple[str, int], str] = {}

    def commit(self, unit: Unit, timeout_s: float) -> None:
        late = {key: Committed(one.position, self.notes.get(key, "")) for key, one in unit.positions.items()}
        super().commit(Unit(late), timeout_s)
        self.notes.update({key: one.note for key, one in unit.positions.items()})


class CutsNotes(ClientProxy):
    def commit(self, unit: Unit, timeout_s: float) -> None:
        cut = {key: Committed(one.position, one.note[:255]) for key, one in unit.positions.items()}
        super().commit(Unit(cut), timeout_s)


class CommitsWhatItReads(ClientProxy):
    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        found = super().read(max_blocks, timeout_s)
        for received in found:
            position = Committed(received.next_position, "")
            super().commit(Unit({(received.channel, received.partition): position}), timeout_s)
        return found


class KnowsOneGroup(ClientProxy):
    def reader(self, channel: ChannelInfo, group: str, partitions: Sequence[int] | None, on_change: Any = None) -> Any:
        return super().reader(channel, "the only one", partitions, on_change)


breaks(6, client=CollectsUntilTheTimeOut)
breaks(7, client=ForgetsEarlyWakes)
breaks(8, client=ClosesBehindItsRead)
breaks(9, reader=SkipsOne)
breaks(10, client=CommitsWhereItHasReadTo)
breaks(11, client=NotesLagBehind)
breaks(12, client=CutsNotes)
breaks(13, client=CommitsWhatItReads)
breaks(40, client=KnowsOneGroup)


# --- status ---


class CountsForItself(StatusProxy):
    def join(self, member: Member, value: bytes) -> int:
        self.inner.join(member, value)
        self.count = getattr(self, "count", 0) + 1
        return self.count


class BelievesItWon(StatusProxy):
    def put_first(self, key: str, value: bytes) -> bytes:
        self.inner.put_first(key, value)
        return value


class ForgetsFactsBehindBeats(StatusProxy):
    beats = 0

    def beat(self, key: str, value: bytes) -> None:
        self.inner.beat(key, value)
        self.beats += 1
        if self.beats == 1000:
            with self.inner._store.lock:
                self.inner._store.status[self.inner._pipeline].facts.pop("kept", None)


class LogsBeats(StatusProxy):
    def log(self, value: bytes) -> None:
        self.inner.beat("log", value)
        self.inner.log(value)


class KeepsEveryLine(StatusProxy):
    def log(self, value: bytes) -> None:
        with self.inner._writing() as status:
            status.logs = deque(status.logs)
        self.inner.log(value)


class KeepsLinesForGood(StatusProxy):
    def log(self, value: bytes) -> None:
        self.kept.setdefault("lines", []).append(value)
        self.inner.log(value)


class GivesThemToTheNext(TransportProxy):
    def open_logs(self, pipeline: str, kept: int) -> Any:
        reader = self.inner.open_logs(pipeline, kept)
        with self.inner._store.lock:
            if pipeline not in self.inner._store.status and "lines" in self.kept:
                return OldLines(reader, self.kept["lines"])
        return reader


class OldLines(ReaderProxy):
    def __init__(self, inner: Any, lines: list[bytes]) -> None:
        super().__init__(inner)
        self.lines = list(lines)

    def read(self, *arguments: Any) -> Any:
        old, self.lines = self.lines, []
        return old or self.inner.read(*arguments)


class KeepsTheLatestBeatsOnly(StatusProxy):
    def kept_beats(self) -> Any:
        return self.inner.kept_beats()[-2:]


breaks(20, status=CountsForItself)
breaks(21, status=BelievesItWon)
breaks(22, status=ForgetsFactsBehindBeats)
breaks(51, status=LogsBeats)
breaks(52, status=KeepsEveryLine)
breaks(53, status=KeepsLinesForGood, transport=GivesThemToTheNext)
breaks(54, status=KeepsTheLatestBeatsOnly)


# --- channels ---


class ViewersMakeStreams(TransportProxy):
    def open_status(self, pipeline: str, create: bool) -> Any:
        return super().open_status(pipeline, True)


class DescribesIntoBeing(TransportProxy):
    def describe_channel(self, name: str) -> Any:
        found = self.inner.describe_channel(name)
        if found is None:
            self.inner.create_channel(ChannelSpec(name, 1), 1)
        return found


class MakesItAnew(TransportProxy):
    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        found = self.inner.describe_channel(spec.name)
        if found is not None:
            self.inner.delete_channel(found, timeout_s)
        return self.inner.create_channel(spec, timeout_s)  # type: ignore[no-any-return]


class OnlyEmpties(TransportProxy):
    """Deletes nothing, but the blocks: positions and the incarnation stay."""

    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        channel = self.inner._store.channels[info.name]
        for partition in channel.partitions:
            partition.blocks.clear()


class MovesWhenRaised(TransportProxy):
    """Puts each block where a new count of partitions would have put it."""

    def create_channel(self, spec: ChannelSpec, timeout_s: float) -> ChannelInfo:
        before = self.inner.describe_channel(spec.name)
        info = self.inner.create_channel(spec, timeout_s)
        if before is not None and info.partitions > before.partitions:
            partitions = self.inner._store.channels[spec.name].partitions
            partitions[-1].blocks, partitions[1].blocks = partitions[1].blocks, partitions[-1].blocks
        return info  # type: ignore[no-any-return]


class DeletesByName(TransportProxy):
    def delete_channel(self, info: ChannelInfo, timeout_s: float) -> None:
        found = self.inner.describe_channel(info.name)
        if found is not None:
            self.inner.delete_channel(found, timeout_s)


breaks(23, transport=ViewersMakeStreams)
breaks(24, transport=DescribesIntoBeing)
breaks(25, transport=MakesItAnew)
breaks(26, transport=OnlyEmpties)
breaks(27, transport=MovesWhenRaised)
breaks(28, transport=DeletesByName)


# --- resources ---


class NeverRecovers(BreakableWriter):
    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        if self.kept.get("is_out"):
            self.kept["was_out"] = True
        if self.kept.get("was_out"):
            raise TransportError("the disk is full")
        return super().write(partition, block, wait)


class AsksAgainAndAgain(ClientProxy):
    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        self.is_woken = False
        deadline = time.monotonic() + timeout_s
        while not (found := super().read(max_blocks, 0.0)) and time.monotonic() < deadline and not self.is_woken:
            pass
        return found

    def wake(self) -> None:
        self.is_woken = True
        super().wake()


class LeavesDescriptors(ClientProxy):
    def __init__(self, inner: Any, member: Member, epoch: int) -> None:
        super().__init__(inner, member, epoch)
        os.open(os.devnull, os.O_RDONLY)


class FencesNobody(RetainingClient):
    def settle(self, timeout_s: float) -> Any:
        return self.inner.settle(timeout_s)


class CommitsOneLater(ClientProxy):
    def commit(self, unit: Unit, timeout_s: float) -> None:
        late = self.kept.get("unit")
        self.kept["unit"] = unit
        super().commit(late or unit, timeout_s)


breaks(31, transport=RetainingTransport, client=FencesNobody)
breaks(33, client=CommitsOneLater)
breaks(41, transport=RetainingTransport)
breaks(46, transport=RetainingTransport, client=RetainingClient, writer=NeverRecovers)
breaks(47, client=AsksAgainAndAgain)
breaks(48, client=LeavesDescriptors)


# --- with the core ---


class DropsNotes(ClientProxy):
    def commit(self, unit: Unit, timeout_s: float) -> None:
        super().commit(Unit({key: Committed(one.position, "") for key, one in unit.positions.items()}), timeout_s)


class EndsForTheOther(WriterProxy):
    """Mixes headers of its writers up: a second end is said to be the other source's."""

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        writer = block.headers.get(WRITER, "")
        if block.headers.get(KIND) == END and ".first/" in writer:
            ends = self.kept["ends"] = self.kept.get("ends", 0) + 1
            if ends == 2:
                headers = {**block.headers, WRITER: writer.replace(".first/", ".second/")}
                block = replace(block, headers=headers)
        return super().write(partition, block, wait)


class WithWriters(ClientProxy):
    def writer(self, channel: ChannelInfo) -> Any:
        made = super().writer(channel)
        made.kept = self.kept
        return made


class StampsTheRunOfTheReader(ClientProxy):
    def read(self, max_blocks: int, timeout_s: float) -> list[Received]:
        run = self.kept.get("run", "")
        return [
            replace(found, block=replace(found.block, headers={**found.block.headers, RUN: run}))
            for found in super().read(max_blocks, timeout_s)
        ]


class TellsTheRun(StatusProxy):
    def put_first(self, key: str, value: bytes) -> bytes:
        if key.startswith("run/"):
            self.kept["run"] = key.removeprefix("run/")
        return bytes(self.inner.put_first(key, value))


class RemembersItsLastBlock(WriterProxy):
    last: Block | None = None

    def write(self, partition: int, block: Block, wait: bool = True) -> bool:
        self.last = block
        return super().write(partition, block, wait)


class EndsWhenClosed(ClientProxy):
    def close(self, timeout_s: float) -> None:
        for writer in self.writers:
            if writer.last is not None:
                writer.inner.write(0, Block({**writer.last.headers, KIND: END}, b'{"partitions": 1}'))
        super().close(timeout_s)


class CountsOneTooMany(ReaderProxy):
    def lag(self) -> dict[int, int]:
        return {number: count + 1 for number, count in self.inner.lag().items()}


class AssignsEverything(ClientProxy):
    def reader(self, channel: ChannelInfo, group: str, partitions: Sequence[int] | None, on_change: Any = None) -> Any:
        return super().reader(channel, group, range(channel.partitions), on_change)


class LosesSchemas(StatusProxy):
    lost = "schema/"

    def put(self, key: str, value: bytes | None) -> None:
        if not key.startswith(self.lost):
            self.inner.put(key, value)


class LosesClosed(LosesSchemas):
    lost = "closed/"


class KeepsItsBound(ClientProxy):
    def writer(self, channel: ChannelInfo) -> Any:
        return super().writer(replace(channel, is_unbounded=False))


breaks(14, client=DropsNotes)
breaks(15, writer=EndsForTheOther, client=WithWriters)
breaks(16, client=StampsTheRunOfTheReader, status=TellsTheRun)
breaks(17, writer=RemembersItsLastBlock, client=EndsWhenClosed)
breaks(18, writer=RemembersItsLastBlock, client=EndsWhenClosed)
breaks(19, status=LosesClosed)
breaks(36, client=CommitsWhatItReads)
breaks(42, reader=CountsOneTooMany)
breaks(43, client=AssignsEverything)
breaks(45, status=LosesSchemas)
breaks(49, client=KeepsItsBound)
breaks(50, status=LosesClosed)
