"""Section 7: operators, replicas, pipelines."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.specs.instance import Instance, Internals
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline


class Tuned(BlankPlugin):
    level = OptionalParameter(str)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.level = "INFO"
        self.seen: list[str] = []


class Worker(BlankOperator):
    count = RequiredParameter(int, alt_name="recordCount")

    def __init__(self, name: str | None = None, start: int = 0, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, None, *args, **kwargs)
        self.input = BlankInputPortPlugin(schema="s", group_mode=True)
        self.output = BlankOutputPortPlugin(schema="s")
        self.tuned = Tuned()
        self.position = start
        self.history: list[int] = []
        self.count = None

    def step(self) -> int:
        self.position += 1
        return self.position


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Worker(None, 5)
        self.reader = Worker()
        self.reader.input.connect(self.writer.output)


def replicated(count: int) -> Works:
    pipeline = Works("p")
    pipeline.reader.set_parameter("replicationFactor", count)
    return pipeline


def test_replicas_are_attributes_and_nested_instances_of_the_pipeline() -> None:
    pipeline = replicated(2)
    assert list(Internals(pipeline).nested_instances) == ["writer", "reader", "reader_0", "reader_1"]
    assert pipeline.reader_0 is pipeline.reader.get_replica(0)
    assert pipeline.reader.get_replicas() == (pipeline.reader_0, pipeline.reader_1)
    assert pipeline.reader.get_replication_factor() == 2


def test_lowering_removes_the_last_ones() -> None:
    pipeline = replicated(3)
    pipeline.reader.set_parameter("replicationFactor", 1)
    assert list(Internals(pipeline).nested_instances) == ["writer", "reader", "reader_0"]
    with pytest.raises(AttributeError):
        pipeline.reader_1
    with pytest.raises(AttributeError, match="there is no replica 1, but 1 in all"):
        pipeline.reader.get_replica(1)
    pipeline.reader.set_parameter("replicationFactor", None)
    assert pipeline.reader.get_replicas() == ()


def test_a_negative_factor_is_a_value_error_and_changes_nothing() -> None:
    pipeline = replicated(1)
    with pytest.raises(ValueError, match="replicationFactor is -1, expected 0 or more"):
        pipeline.reader.set_parameter("replicationFactor", -1)
    assert pipeline.reader.get_replication_factor() == 1
    assert pipeline.reader.get_group_size() == 2


def test_a_replica_whose_name_is_taken_is_refused_before_anything_changes() -> None:
    pipeline = Works("p")
    pipeline.reader_1 = Worker("reader_1", context=pipeline)
    with pytest.raises(AttributeError, match="need the names reader_1"):
        pipeline.reader.set_parameter("replicationFactor", 2)
    assert pipeline.reader.get_replication_factor() == 0
    assert list(Internals(pipeline).nested_instances) == ["writer", "reader", "reader_1"]


def test_the_members_know_their_group() -> None:
    pipeline = replicated(2)
    principal, first, second = pipeline.reader, *pipeline.reader.get_replicas()
    for member, index in ((principal, 0), (first, 1), (second, 2)):
        assert member.get_group_size() == 3
        assert member.get_group_index() == index
        assert member.get_group_name() == "p.reader"
        assert member.get_group_principal() is principal
        assert member.is_principal() is (index == 0)
    assert pipeline.writer.get_group_size() == 1
    assert pipeline.writer.get_group_name() is None


def test_a_replica_has_names_of_its_own() -> None:
    replica = replicated(2).reader_1
    assert replica.get_simple_name() == "reader_1"
    assert replica.get_full_name() == "p.reader_1"
    assert replica.get_dto().name == "reader_1"
    assert "name: reader_1" in str(replica)
    assert repr(replica) == "<Worker 'p.reader_1', replica>"


def test_a_replica_passes_for_an_operator() -> None:
    replica = replicated(1).reader_0
    assert isinstance(replica, Worker)
    assert isinstance(replica, Operator)
    assert isinstance(replica, Instance)
    assert isinstance(replica, Operator.Replica)
    assert not isinstance(replica.get_original(), Operator.Replica)


def test_everything_else_of_a_replica_is_the_originals() -> None:
    pipeline = replicated(1)
    original, replica = pipeline.reader, pipeline.reader_0
    assert replica.get_original() is original
    replica.set_parameter("recordCount", 7)
    assert original.count == 7
    assert replica.count == 7
    replica.position = 3
    assert replica.step() == original.position == 4
    assert replica.tuned is original.tuned
    assert replica.tuned.get_full_name() == "p.reader.tuned"
    assert replica.get_context() is pipeline
    assert "step" in dir(replica)
    del replica.position
    assert not hasattr(original, "position")


def test_setting_the_factor_on_a_replica_sets_the_originals_and_on_a_real_copy_nothing() -> None:
    pipeline = replicated(1)
    copied = pipeline.reader_0.materialize()
    copied.set_parameter("replicationFactor", 5)
    assert pipeline.reader.get_group_size() == copied.get_group_size() == 2
    assert len(Internals(pipeline).nested_instances) == 3


def test_replicas_are_equal_only_to_themselves() -> None:
    pipeline = replicated(2)
    assert pipeline.reader_0 == Operator.Replica(pipeline.reader, 0)
    assert pipeline.reader_0 != pipeline.reader_1
    assert pipeline.reader_0 != pipeline.reader
    assert pipeline.reader != pipeline.reader_0
    assert len({pipeline.reader, *pipeline.reader.get_replicas(), Operator.Replica(pipeline.reader, 0)}) == 3


def test_replicas_do_not_count_as_content() -> None:
    one, other = replicated(2), replicated(2)
    assert one == other
    assert [nested.name for nested in one.get_dto().spec.nestedInstances] == ["writer", "reader"]


# --- real copies ----------------------------------------------------------------------------------------------------------


def test_a_replica_becomes_a_real_operator() -> None:
    pipeline = replicated(2)
    copied = pipeline.reader_1.materialize()
    assert type(copied) is Worker
    assert copied.get_full_name() == "p.reader_1"
    assert copied.tuned.get_full_name() == "p.reader_1.tuned"
    assert copied.get_context() is pipeline
    assert (copied.get_group_index(), copied.get_group_size(), copied.get_group_name()) == (2, 3, "p.reader")
    assert copied.get_group_principal() is pipeline.reader
    assert not copied.is_principal()
    assert copied.get_replicas() == pipeline.reader.get_replicas()
    assert len(Internals(pipeline).nested_instances) == 4


def test_a_copy_has_state_and_parameters_of_its_own() -> None:
    pipeline = replicated(1)
    original = pipeline.reader
    original.history.append(1)
    original.position = 9
    original.count = 4
    original.tuned.level = "DEBUG"
    original.tuned.seen.append("x")
    original.set_parameter(">any", {"a": [1]})
    copied = pipeline.reader_0.materialize()
    assert (copied.history, copied.position, copied.count) == ([1], 9, 4)
    assert (copied.tuned.level, copied.tuned.seen) == ("DEBUG", ["x"])
    copied.history.append(2)
    copied.tuned.seen.append("y")
    copied.tuned.get_parameter("any")["a"].append(2)
    copied.set_parameter("recordCount", 5)
    assert (original.history, original.tuned.seen, original.count) == ([1], ["x"], 4)
    assert original.tuned.get_parameter("any") == {"a": [1]}


def test_the_constructors_own_arguments_are_given_to_the_copy() -> None:
    pipeline = Works("p")
    pipeline.writer.set_parameter("replicationFactor", 1)
    assert pipeline.writer_0.materialize().position == 5


def test_schemas_group_mode_and_connections_are_copied() -> None:
    pipeline = replicated(1)
    pipeline.reader.input.set_schema("t")
    copied = pipeline.reader_0.materialize()
    assert copied.input.get_schema() == "t"
    assert copied.input.is_in_group_mode()
    assert copied.input.get_connected_ports() == {pipeline.writer.output}
    assert pipeline.writer.output.get_connected_ports() == {pipeline.reader.input}


def test_references_to_the_operator_and_its_plugins_lead_to_the_copies() -> None:
    pipeline = replicated(1)
    original = pipeline.reader
    original.table = {"me": original, "plugin": original.tuned, "peer": pipeline.writer, "do": original.step}
    original.tuned.boss = original
    copied = pipeline.reader_0.materialize()
    assert copied.table["me"] is copied
    assert copied.table["plugin"] is copied.tuned
    assert copied.table["peer"] is pipeline.writer
    assert copied.table["do"]() == copied.position
    assert copied.tuned.boss is copied


def test_dependencies_are_copied() -> None:
    pipeline = replicated(1)
    pipeline.reader.input.depends_on(pipeline.reader.tuned)
    pipeline.reader.depends_on(pipeline.writer)
    copied = pipeline.reader_0.materialize()
    assert Internals(copied.input).depends_on == {copied.tuned}
    assert Internals(copied).depends_on == {pipeline.writer}


def test_plugins_that_the_constructor_does_not_make_are_made_again() -> None:
    pipeline = replicated(1)
    pipeline.reader.extra = Tuned("given", context=pipeline.reader)
    pipeline.reader.extra.level = "ERROR"
    copied = pipeline.reader_0.materialize()
    assert copied.extra.get_full_name() == "p.reader_0.given"
    assert copied.extra is not pipeline.reader.extra
    assert copied.extra.level == "ERROR"


def test_what_cannot_be_copied_is_what_the_copys_constructor_made() -> None:
    class Locked(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.lock = threading.Lock()

    class Locks(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.a = Locked()

    pipeline = Locks("p")
    pipeline.a.set_parameter("replicationFactor", 1)
    assert pipeline.a_0.materialize().lock is not pipeline.a.lock
    pipeline.a.late = threading.Lock()
    with pytest.raises(AttributeError, match="'late' .* cannot be copied to the replica"):
        pipeline.a_0.materialize()


def test_what_belongs_to_an_execution_is_not_copied_described_or_compared() -> None:
    pipeline = replicated(1)
    before = str(pipeline)
    pipeline.reader._pypz_executor = object()
    assert pipeline.reader_0.materialize()._pypz_executor is None
    assert str(pipeline) == before
    assert pipeline == replicated(1)


def test_updates_are_told_to_the_copys_plugins() -> None:
    told: list[tuple[str, Any]] = []

    class Telling(BlankPlugin):
        x = OptionalParameter(int, on_update=lambda self, value: told.append((self.get_full_name(), value)))

    class Teller(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.t = Telling()

    class Tellers(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.a = Teller()

    pipeline = Tellers("p")
    pipeline.a.t.x = 1
    pipeline.a.set_parameter("replicationFactor", 1)
    pipeline.a_0.materialize()
    assert told == [("p.a.t", 1), ("p.a_0.t", 1)]


def test_a_factor_without_pipeline_makes_a_group_that_is_nested_nowhere() -> None:
    operator = BlankOperator("o")
    operator.set_parameter("replicationFactor", 2)
    assert operator.get_group_size() == 3
    assert operator.get_replica(1).get_full_name() == "o_1"


def test_a_pipeline_does_nothing_when_interrupted_or_failed() -> None:
    pipeline = Works("p")
    pipeline._on_interrupt(15)
    pipeline._on_error(None, ValueError())
    pipeline.reader.depends_on(pipeline.writer)
    assert pipeline.get_dto().spec.nestedInstances[1].dependsOn == ["writer"]


def test_the_image_name_is_a_parameter() -> None:
    operator = BlankOperator("o")
    assert operator.get_operator_image_name() is None
    operator.set_parameter("operatorImageName", "image")
    assert operator.get_operator_image_name() == "image"
