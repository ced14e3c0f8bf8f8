"""What becomes of records that cannot be handled, by the input port's ``errorPolicy``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from core.tests.channels.beds import STEPS, Bed, Giver, Pair, Step, Taker
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.abstracts.channel_ports import ChannelInputPort, ChannelOutputPort
from pypz.core.channels.error_policy import FAIL, ErrorPolicy, parse_error_policy
from pypz.core.channels.headers import COUNT, KIND, WRITER, Origin
from pypz.core.channels.spi import Block, Guarantee, Member
from pypz.core.codecs.json import JsonCodec
from pypz.core.commons.errors import (
    ConfigurationError,
    DecodeError,
    NotBuiltYetError,
    PipelineFailedError,
    RecordRejectedError,
)
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.pipeline.executor import PipelineExecutor


@pytest.fixture
def bed() -> Iterator[Bed]:
    made = Bed()
    yield made
    made.keeper.close()


def give(count: int) -> Step:
    def step(giver: Giver) -> bool | None:
        giver.output_port.send(list(range(count)))
        return True

    return step


def run(bed: Bed, take: Step, policy: str, *, count: int = 10, batch: int = 4, guarantee: str | None = None) -> Pair:
    pipeline = bed.pair(give(count), take)
    pipeline.taker.input_port.set_parameter("errorPolicy", policy)
    pipeline.taker.input_port.set_parameter("maxRetrieveRecords", batch)
    if guarantee:
        pipeline.taker.set_parameter("deliveryGuarantee", guarantee)
    PipelineExecutor(pipeline).start()
    return pipeline


class Trouble:
    """Takes records, and raises at some of them, always or as often as is said."""

    def __init__(self, bed: Bed, *poison: int, times: int = 1_000_000, rejects: bool = False) -> None:
        self.bed = bed
        self.left = dict.fromkeys(poison, times)
        self.rejects = rejects
        self.batches: list[list[int]] = []

    def __call__(self, taker: Taker) -> bool | None:
        found = taker.input_port.retrieve()
        if found:
            self.batches.append(found)
        for record in found:
            if self.left.get(record, 0):
                self.left[record] -= 1
                error = ValueError(f"poison {record}")
                if not self.rejects:
                    raise error
                taker.input_port.reject(record, error)
            else:
                self.bed.got.append(record)
        return None

    @property
    def handled(self) -> list[int]:
        """What was handled, each record once, in the order of the first time."""
        return list(dict.fromkeys(self.bed.got))


# --- the parameter ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        (None, FAIL),
        ("fail", FAIL),
        ("skip", ErrorPolicy(skips=True)),
        ("retry(3, 1.0)", ErrorPolicy(3, 1.0)),
        ("retry(1,0)", ErrorPolicy(1, 0.0)),
        ("retry(2, 0.5) then fail", ErrorPolicy(2, 0.5)),
        ("retry( 2 , 0.5 ) then skip", ErrorPolicy(2, 0.5, skips=True)),
    ],
)
def test_a_policy_is_read(text: str | None, policy: ErrorPolicy) -> None:
    assert parse_error_policy("p.o.port", text) == policy


@pytest.mark.parametrize("text", ["retry", "retry(0, 1)", "retry(3)", "retry(-1, 1)", "retry(1, 1) then", "Skip", "no"])
def test_a_policy_that_makes_no_sense_is_refused_at_start_by_name(bed: Bed, text: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        run(bed, bed.take, text)
    assert not isinstance(caught.value, NotBuiltYetError)
    assert f"taker.input_port: parameter 'errorPolicy' is {text!r}" in str(caught.value)
    assert "'retry(3, 1.0)'" in str(caught.value)


@pytest.mark.parametrize("text", ["dead-letter", "retry(3, 1) then dead-letter"])
def test_dead_letter_is_not_built_yet(bed: Bed, text: str) -> None:
    with pytest.raises(NotBuiltYetError, match="dead-letter"):
        run(bed, bed.take, text)


def test_a_retry_is_refused_where_a_record_must_not_be_handed_out_twice(bed: Bed) -> None:
    with pytest.raises(ConfigurationError, match=r"input_port: .*'retry\(1, 0\)'.*'at-most-once' rules out"):
        run(bed, bed.take, "retry(1, 0)", guarantee="at-most-once")


# --- an iteration that raises -------------------------------------------------------------------------------------------


def test_skip_leaves_out_the_record_that_raises_when_it_is_alone_and_no_other(bed: Bed) -> None:
    take = Trouble(bed, 2, 9)
    run(bed, take, "skip")
    assert take.batches[:6] == [[0, 1, 2, 3], [0], [1], [2], [3], [4, 5, 6, 7]]
    assert take.handled == [0, 1, 3, 4, 5, 6, 7, 8]


def test_what_is_skipped_is_committed(bed: Bed) -> None:
    take = Trouble(bed, 2)
    run(bed, take, "skip")
    STEPS[f"{bed.name}.giver"] = give(0)
    bed.got.clear()
    run(bed, bed.take, "fail", count=0)
    assert bed.got == []


def test_retry_hands_the_record_out_again_alone_and_goes_on_when_it_passes(bed: Bed) -> None:
    take = Trouble(bed, 2, times=3)
    run(bed, take, "retry(2, 0)")
    assert take.batches == [[0, 1, 2, 3], [0], [1], [2], [2], [2], [3], [4, 5, 6, 7], [8, 9]]
    assert take.handled == list(range(10))


def test_retry_fails_the_member_when_its_tries_are_over_and_the_record_comes_again_in_the_next_run(bed: Bed) -> None:
    take = Trouble(bed, 2)
    with pytest.raises(PipelineFailedError, match="poison 2"):
        run(bed, take, "retry(2, 0)")
    assert take.batches == [[0, 1, 2, 3], [0], [1], [2], [2], [2]]
    bed.got.clear()
    run(bed, bed.take, "fail", count=0)
    assert bed.got == list(range(2, 10))


def test_retry_then_skip(bed: Bed) -> None:
    take = Trouble(bed, 2)
    run(bed, take, "retry(1, 0) then skip")
    assert take.batches == [[0, 1, 2, 3], [0], [1], [2], [2], [3], [4, 5, 6, 7], [8, 9]]
    assert take.handled == [0, 1, *range(3, 10)]


def test_records_come_again_as_they_were_though_the_operator_has_changed_them(bed: Bed) -> None:
    seen: list[Any] = []

    def send(giver: Giver) -> bool | None:
        giver.output_port.send([{"n": number} for number in range(3)])
        return True

    def take(taker: Taker) -> bool | None:
        for record in taker.input_port.retrieve():
            seen.append(record.pop("n"))
            if seen[-1] == 1:
                raise ValueError("poison")
        return None

    pipeline = bed.pair(send, take)
    pipeline.taker.input_port.set_parameter("errorPolicy", "skip")
    PipelineExecutor(pipeline).start()
    assert seen == [0, 1, 0, 1, 2]


def test_the_unit_that_raised_takes_its_outputs_and_its_checkpoint_with_it(bed: Bed) -> None:
    class Middle(Taker):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.output_port = ChannelOutputPort()

    class Three(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.giver = Giver()
            self.middle = Middle()
            self.taker = Taker()
            self.middle.input_port.connect(self.giver.output_port)
            self.taker.input_port.connect(self.middle.output_port)

    notes: list[bytes | None] = []

    def pass_on(middle: Any) -> bool | None:
        notes.append(middle.get_checkpoint())
        for record in middle.input_port.retrieve():
            middle.output_port.send([record])
            middle.checkpoint(str(record).encode())
            if record == 2:
                raise ValueError("poison")
        return None

    pipeline = Three(bed.name)
    pipeline.set_parameter(">>channelLocation", f"memory:{bed.name}")
    pipeline.middle.input_port.set_parameter("errorPolicy", "skip")
    pipeline.middle.output_port.set_parameter("lingerMs", 3_600_000)
    pipeline.middle.set_parameter("commitIntervalMs", 3_600_000)
    STEPS.update({f"{bed.name}.giver": give(4), f"{bed.name}.middle": pass_on, f"{bed.name}.taker": bed.take})
    PipelineExecutor(pipeline).start()
    assert bed.got == [0, 1, 3]
    assert b"2" not in notes
    assert bed.note("middle") == b"3"


@pytest.mark.parametrize("policy", ["skip", "retry(2, 0)"])
def test_an_iteration_that_raises_without_a_record_fails_the_member(bed: Bed, policy: str) -> None:
    def take(taker: Taker) -> bool | None:
        raise ValueError("no record is to blame")

    with pytest.raises(PipelineFailedError, match="no record is to blame"):
        run(bed, take, policy)


def test_an_iteration_to_which_two_ports_handed_out_records_fails_the_member_and_says_why(
    bed: Bed, capsys: pytest.CaptureFixture[str]
) -> None:
    class Both(Taker):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.other_port = ChannelInputPort()

    class Joined(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.giver = Giver()
            self.taker = Both()
            self.taker.input_port.connect(self.giver.output_port)
            self.taker.other_port.connect(self.giver.output_port)

    def take(taker: Any) -> bool | None:
        found = [*taker.input_port.retrieve(timeout_s=30), *taker.other_port.retrieve(timeout_s=30)]
        assert not found, "poison"
        return None

    pipeline = Joined(bed.name)
    pipeline.set_parameter(">>channelLocation", f"memory:{bed.name}")
    pipeline.set_parameter(">>errorPolicy", "skip")
    STEPS.update({f"{bed.name}.giver": give(4), f"{bed.name}.taker": take})
    with pytest.raises(PipelineFailedError, match="poison"):
        PipelineExecutor(pipeline).start()
    assert "more than one port handed out records (input_port and other_port)" in capsys.readouterr().err


def test_at_most_once_skip_leaves_out_all_that_the_iteration_was_handed(bed: Bed) -> None:
    take = Trouble(bed, 2)
    run(bed, take, "skip", guarantee="at-most-once")
    assert take.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert bed.got == [0, 1, *range(4, 10)]


@settings(max_examples=40, deadline=None)
@given(
    poison=st.sets(st.integers(0, 29)),
    batch=st.integers(1, 30),
    retries=st.integers(0, 2),
    times=st.integers(1, 3),
    rejects=st.booleans(),
)
def test_whatever_is_poison_all_else_is_handled_in_order_and_poison_as_often_as_said(
    poison: set[int], batch: int, retries: int, times: int, rejects: bool
) -> None:
    bed = Bed()
    take = Trouble(bed, *poison, times=times, rejects=rejects)
    tried = dict.fromkeys(poison, 0)
    run(bed, take, f"retry({retries}, 0) then skip" if retries else "skip", count=30, batch=batch)
    bed.keeper.close()
    for records in take.batches:
        for record in poison.intersection(records):
            tried[record] += len(records) == 1
    expected = [number for number in range(30) if number not in take.handled]
    assert set(expected) <= poison
    assert take.handled == [number for number in range(30) if number in take.handled]
    assert all(count <= 1 + retries for count in tried.values())
    if times > 2 + retries and not (rejects and not retries):
        assert set(expected) == poison  # the first time in a batch, then 1 + retries times alone


# --- reject -------------------------------------------------------------------------------------------------------------


def test_a_rejected_record_is_skipped_without_repeating_the_others(bed: Bed) -> None:
    take = Trouble(bed, 2, 5, rejects=True)
    run(bed, take, "skip")
    assert take.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert bed.got == [0, 1, 3, 4, 6, 7, 8, 9]


def test_a_rejected_record_fails_the_member_by_default_with_its_cause(bed: Bed) -> None:
    with pytest.raises(
        PipelineFailedError, match=r"taker\.input_port: a record was rejected: ValueError: poison 2"
    ) as caught:
        run(bed, Trouble(bed, 2, rejects=True), "fail")
    rejected = caught.value.__cause__
    assert isinstance(rejected, RecordRejectedError)
    assert isinstance(rejected.__cause__, ValueError)


def test_a_rejected_record_is_tried_again_alone(bed: Bed) -> None:
    take = Trouble(bed, 2, times=2, rejects=True)
    run(bed, take, "retry(2, 0)")
    assert take.batches == [[0, 1, 2, 3], [0], [1], [2], [2], [3], [4, 5, 6, 7], [8, 9]]
    assert take.handled == list(range(10))


# --- blocks that cannot be decoded --------------------------------------------------------------------------------------


def give_garbage(bed: Bed, *strange: Block) -> Step:
    """Send 0 and 1, then what cannot be decoded, then 2."""

    def step(giver: Giver) -> bool | None:
        giver.output_port.send([0, 1])
        [output] = giver.output_port._session().outputs_of(giver.output_port)
        output.send_pending(wait=True)
        info = output.info
        client = bed.keeper.open_client(Member(bed.name, "stranger", 0, "s"), 0, Guarantee.AT_LEAST_ONCE)
        origin = Origin("run", "stranger", 0, info.incarnation)
        codec = giver.output_port._codec()
        for block in strange or [origin.data(b"\xff", 3, 0, codec.content_type, codec.fingerprint)]:
            client.writer(info).write(0, block)
        giver.output_port.send([2])
        return True

    return step


def run_garbage(bed: Bed, policy: str, *strange: Block) -> None:
    pipeline = bed.pair(give_garbage(bed, *strange), bed.take)
    pipeline.taker.input_port.set_parameter("errorPolicy", policy)
    PipelineExecutor(pipeline).start()


@pytest.mark.parametrize("policy", ["skip", "retry(2, 0) then skip"])
def test_a_block_that_cannot_be_decoded_is_skipped_and_counted(
    bed: Bed, policy: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_garbage(bed, policy)
    assert bed.got == [0, 1, 2]
    said = capsys.readouterr().err
    assert "3 records skipped" in said
    assert said.count("tried again") == (2 if "retry" in policy else 0)


@pytest.mark.parametrize("policy", ["fail", "retry(2, 0)"])
def test_a_block_that_cannot_be_decoded_fails_the_member(bed: Bed, policy: str) -> None:
    with pytest.raises(PipelineFailedError, match="partition 0, position 1") as caught:
        run_garbage(bed, policy)
    assert isinstance(caught.value.__cause__, DecodeError)
    assert bed.got == [0, 1]


def test_nothing_that_strangers_write_stops_a_port_that_skips(bed: Bed) -> None:
    strange = [
        Block({}, b""),
        Block({}, b"\xff\xfe"),
        Block({}, b"[" * 100_000),
        Block({KIND: "data", COUNT: "\u00b2"}, b"1"),
        Block({KIND: "data", COUNT: "9" * 5_000}, b"1"),
        Block({KIND: "end", COUNT: "-1"}, b""),
        Block({KIND: "something", WRITER: "stranger"}, b"1"),
    ]
    run_garbage(bed, "skip", *strange)
    assert bed.got == [0, 1, 2]


@pytest.mark.parametrize("decode", [lambda payload: 1 // 0, lambda payload: None], ids=["raises", "gives no list"])
def test_a_codec_that_misbehaves_is_told_as_what_cannot_be_decoded(
    bed: Bed, monkeypatch: pytest.MonkeyPatch, decode: Callable[[bytes], Any]
) -> None:
    monkeypatch.setattr(JsonCodec, "decoder", lambda codec, schema: decode)
    with pytest.raises(
        PipelineFailedError, match=r"position 0: its codec has (raised ZeroDivisionError|given NoneType)"
    ) as caught:
        run(bed, bed.take, "fail")
    assert isinstance(caught.value.__cause__, DecodeError)
