"""What an operator may rely on: the member note, at-most-once, and commits over several transports."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from core.tests.channels.beds import STEPS, Acting, Bed, Giver, Pair, Step, Taker

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.members.checkpoints import CHECKPOINT_BYTES
from pypz.core.channels.memory.transport import _Client as MemoryClient
from pypz.core.channels.spi import MemberNote, Unit
from pypz.core.commons.errors import CheckpointError, ConfigurationError, NotBuiltYetError, PipelineFailedError
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    yield made
    made.keeper.close()


def give_by_notes(stops_at: int, fails: bool = True) -> Step:
    """Send the numbers below 30, ten an iteration, from the checkpoint on; fail at ``stops_at``."""

    def give(giver: Giver) -> bool | None:
        first = int(giver.get_checkpoint() or b"0")
        giver.output_port.send(list(range(first, first + 10)))
        giver.checkpoint(str(first + 10).encode())
        if first == stops_at:
            raise ValueError("broken")
        return first + 10 >= 30

    return give


# --- the member note ----------------------------------------------------------------------------------------------------


def test_a_source_resumes_by_its_checkpoint_in_the_next_run(bed: Bed) -> None:
    failing = bed.pair(give_by_notes(stops_at=10))
    failing.giver.output_port.set_parameter("lingerMs", 60_000)  # what was sent already when it fails is not forgotten
    with pytest.raises(PipelineFailedError):
        PipelineExecutor(failing).start()
    assert bed.note() == b"10"  # that of the iteration that failed was forgotten with what it sent
    again = bed.pair(give_by_notes(stops_at=-1))
    PipelineExecutor(again).start()
    assert again.giver.found == [b"10"]
    assert bed.got == list(range(30))


def test_a_checkpoint_is_committed_after_the_interval_without_a_further_iteration(bed: Bed) -> None:
    committed = threading.Event()
    client_commit = MemoryClient.commit

    def commit(client: MemoryClient, unit: Unit, timeout_s: float) -> None:
        client_commit(client, unit, timeout_s)
        if unit.member_note is not None:
            committed.set()

    iterations = []

    def give(giver: Giver) -> bool | None:
        iterations.append(1)
        if len(iterations) == 1:
            giver.checkpoint(b"first")
            return False
        assert committed.wait(30), "only a further iteration would have committed it"
        return True

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryClient, "commit", commit)
        PipelineExecutor(bed.pair(give)).start()
    assert bed.note() == b"first"


def test_the_last_checkpoint_of_an_iteration_counts_and_an_empty_one_forgets(bed: Bed) -> None:
    seen = []

    def give(giver: Giver) -> bool | None:
        for value in (b"1", b"2"):
            giver.checkpoint(value)
            seen.append(giver.get_checkpoint())
        return True

    PipelineExecutor(bed.pair(give)).start()
    assert seen == [b"1", b"2"]
    assert bed.note() == b"2"

    def forget(giver: Giver) -> bool | None:
        giver.checkpoint(b"")
        assert giver.get_checkpoint() is None
        return True

    PipelineExecutor(bed.pair(forget)).start()
    assert bed.note() is None


def test_a_fresh_run_finds_no_checkpoint(bed: Bed) -> None:
    PipelineExecutor(bed.pair(give_by_notes(stops_at=-1))).start()
    assert bed.note() == b"30"
    fresh = bed.pair(give_by_notes(stops_at=-1))
    PipelineExecutor(fresh, fresh=True).start()
    assert fresh.giver.found == [None]
    assert bed.got == [*range(30), *range(30)]


@pytest.mark.parametrize(
    ("value", "words"),
    [("text", "str, expected bytes"), (b"x" * (CHECKPOINT_BYTES + 1), "2,049 bytes, at most 2,048")],
)
def test_a_checkpoint_that_cannot_be_stored_is_refused_by_name(bed: Bed, value: Any, words: str) -> None:
    def give(giver: Giver) -> bool | None:
        with pytest.raises(CheckpointError, match=rf"{bed.name}\.giver: checkpoint was given {words}"):
            giver.checkpoint(value)
        return True

    PipelineExecutor(bed.pair(give)).start()
    assert bed.note() is None


def test_checkpoints_exist_only_while_an_executor_executes_the_operator(bed: Bed) -> None:
    pipeline = bed.pair(lambda giver: True)
    for call in (pipeline.giver.get_checkpoint, lambda: pipeline.giver.checkpoint(b"x")):
        with pytest.raises(CheckpointError, match="from _on_init to _on_shutdown"):
            call()
    PipelineExecutor(pipeline).start()
    with pytest.raises(CheckpointError, match="from _on_init to _on_shutdown"):
        pipeline.giver.get_checkpoint()


# --- at most once -------------------------------------------------------------------------------------------------------


def give_ten(giver: Giver) -> bool | None:
    giver.output_port.send(list(range(10)))
    return True


def test_at_most_once_never_hands_out_again_what_a_failed_iteration_had(bed: Bed) -> None:
    def take(taker: Taker) -> bool | None:
        found = taker.input_port.retrieve()
        bed.got += found
        if len(bed.got) == 4:
            raise ValueError("broken")
        return None

    def pair(take: Step) -> Pair:
        pipeline = bed.pair(give_ten, take)
        pipeline.taker.set_parameter("deliveryGuarantee", "at-most-once")
        pipeline.taker.set_parameter("commitIntervalMs", 3_600_000)
        pipeline.taker.input_port.set_parameter("maxRetrieveRecords", 2)
        return pipeline

    with pytest.raises(PipelineFailedError):
        PipelineExecutor(pair(take)).start()
    assert bed.got == [0, 1, 2, 3]
    again = pair(bed.take)
    again.giver.output_port.set_parameter("lingerMs", 0)
    STEPS[f"{bed.name}.giver"] = lambda giver: True
    PipelineExecutor(again).start()
    assert bed.got == list(range(10))  # the rest once, and nothing twice, in the middle of a block


def test_at_most_once_commits_before_it_hands_out(bed: Bed) -> None:
    committed: list[Mapping[tuple[str, int], Any]] = []
    client_commit = MemoryClient.commit

    def commit(client: MemoryClient, unit: Unit, timeout_s: float) -> None:
        client_commit(client, unit, timeout_s)
        committed.append(unit.positions)

    def take(taker: Taker) -> bool | None:
        before = len(committed)
        found = taker.input_port.retrieve()
        assert not found or len(committed) == before + 1
        bed.got += found
        return None

    pipeline = bed.pair(give_ten, take)
    pipeline.taker.set_parameter("deliveryGuarantee", "at-most-once")
    pipeline.taker.set_parameter("commitIntervalMs", 3_600_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryClient, "commit", commit)
        PipelineExecutor(pipeline).start()
    assert bed.got == list(range(10))


def test_at_most_once_hands_out_nothing_that_could_not_be_committed(bed: Bed) -> None:
    def refuse(client: MemoryClient, unit: Unit, timeout_s: float) -> None:
        raise ConfigurationError("no rights")

    pipeline = bed.pair(give_ten)
    pipeline.taker.set_parameter("deliveryGuarantee", "at-most-once")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryClient, "commit", refuse)
        with pytest.raises(PipelineFailedError, match="no rights"):
            PipelineExecutor(pipeline).start()
    assert bed.got == []


def test_at_most_once_a_checkpoint_is_stored_before_it_returns(bed: Bed) -> None:
    """A source that is killed right after it has sent has its note already: nothing of it is sent twice."""
    seen: list[bytes | None] = []

    def give(giver: Giver) -> bool | None:
        first = int(giver.get_checkpoint() or b"0")
        giver.checkpoint(str(first + 10).encode())
        seen.append(bed.note())
        giver.output_port.send(list(range(first, first + 10)))
        return first + 10 >= 30

    pipeline = bed.pair(give)
    pipeline.giver.set_parameter("deliveryGuarantee", "at-most-once")
    pipeline.giver.set_parameter("commitIntervalMs", 3_600_000)
    PipelineExecutor(pipeline).start()
    assert seen == [b"10", b"20", b"30"]
    assert bed.got == list(range(30))


def test_at_most_once_an_iteration_that_fails_after_its_checkpoint_is_not_repeated(bed: Bed) -> None:
    def give(giver: Giver) -> bool | None:
        first = int(giver.get_checkpoint() or b"0")
        giver.checkpoint(str(first + 10).encode())
        giver.output_port.send(list(range(first, first + 10)))
        if first == 10 and len(giver.found) == 1 and giver.found[0] is None:
            raise ValueError("broken")
        return first + 10 >= 30

    def start() -> None:
        pipeline = bed.pair(give)
        pipeline.giver.set_parameter("deliveryGuarantee", "at-most-once")
        PipelineExecutor(pipeline).start()

    with pytest.raises(PipelineFailedError):
        start()
    start()
    assert len(bed.got) == len(set(bed.got))
    assert set(range(10)) | set(range(20, 30)) <= set(bed.got)


def test_at_most_once_a_checkpoint_behind_a_send_is_refused(bed: Bed) -> None:
    pipeline = bed.pair(give_by_notes(stops_at=-1))
    pipeline.giver.set_parameter("deliveryGuarantee", "at-most-once")
    with pytest.raises(PipelineFailedError, match=r"checkpoint came after a send.*call it before send\(\)"):
        PipelineExecutor(pipeline).start()


def test_at_most_once_a_checkpoint_behind_a_commit_of_what_was_sent_is_stored(bed: Bed) -> None:
    def give(giver: Giver) -> bool:
        giver.output_port.send([1])
        giver.output_port._session().commit_now()
        giver.checkpoint(b"sent")
        return True

    pipeline = bed.pair(give)
    pipeline.giver.set_parameter("deliveryGuarantee", "at-most-once")
    PipelineExecutor(pipeline).start()
    assert (bed.got, bed.note()) == ([1], b"sent")


@pytest.mark.parametrize(("value", "error"), [("exactly-once", NotBuiltYetError), ("twice", ConfigurationError)])
def test_other_guarantees_are_refused_at_start_by_name(bed: Bed, value: str, error: type[Exception]) -> None:
    pipeline = bed.pair(give_ten)
    pipeline.taker.set_parameter("deliveryGuarantee", value)
    with pytest.raises(
        error, match=rf"taker: parameter 'deliveryGuarantee' is '{value}'.*'at-least-once' or 'at-most-once'"
    ):
        PipelineExecutor(pipeline).start()


# --- several transports -------------------------------------------------------------------------------------------------


class Bridge(Acting):
    """Reads at one location and writes at two."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input_port = ChannelInputPort()
        self.left = ChannelOutputPort()
        self.right = ChannelOutputPort()


class Fork(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.giver = Giver()
        self.bridge = Bridge()
        self.one = Taker()
        self.two = Taker()
        self.bridge.input_port.connect(self.giver.output_port)
        self.one.input_port.connect(self.bridge.left)
        self.two.input_port.connect(self.bridge.right)


def test_every_output_of_every_transport_is_flushed_before_positions_are_committed_anywhere() -> None:
    name = f"fork_{uuid.uuid4().hex[:8]}"
    pipeline = Fork(name)
    places = {f"{name}-{place}": place for place in "abc"}
    for place, ports in (
        ("a", [pipeline.giver.output_port, pipeline.bridge.input_port]),
        ("b", [pipeline.bridge.left, pipeline.one.input_port]),
        ("c", [pipeline.bridge.right, pipeline.two.input_port]),
    ):
        for port in ports:
            port.set_parameter("channelLocation", f"memory:{name}-{place}")
    events: list[str] = []
    flush, commit = MemoryClient.flush, MemoryClient.commit

    def is_bridge(client: MemoryClient) -> bool:
        return client._member is not None and client._member.operator == f"{name}.bridge"

    def flush_noted(client: MemoryClient, timeout_s: float) -> None:
        flush(client, timeout_s)
        if is_bridge(client):
            events.append(f"flush {places[client._store.name]}")

    def commit_noted(client: MemoryClient, unit: Unit, timeout_s: float) -> None:
        commit(client, unit, timeout_s)
        if is_bridge(client):
            events.append(f"commit {places[client._store.name]} {unit.member_note}")

    STEPS[f"{name}.giver"] = give_ten
    got: dict[str, list[int]] = {"one": [], "two": []}
    for taker, found in got.items():
        STEPS[f"{name}.{taker}"] = lambda operator, found=found: found.extend(operator.input_port.retrieve())  # type: ignore[misc]

    def bridge(operator: Bridge) -> None:
        found = operator.input_port.retrieve()
        operator.left.send(found)
        operator.right.send(found)
        operator.checkpoint(b"n")

    STEPS[f"{name}.bridge"] = bridge
    pipeline.bridge.set_parameter("commitIntervalMs", 3_600_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MemoryClient, "flush", flush_noted)
        patch.setattr(MemoryClient, "commit", commit_noted)
        PipelineExecutor(pipeline).start()
    assert sorted(events[:3]) == ["flush a", "flush b", "flush c"]
    assert events[3:] == [f"commit a {MemberNote(b'n')}"]
    assert got == {"one": list(range(10)), "two": list(range(10))}
