"""Section 1, and beyond it: operators and plugins in lists, dicts and tuples are named and nested."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.specs.instance import Internals
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.pipeline import Pipeline


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.inputs = [BlankInputPortPlugin() for _ in range(2)]
        self.output = BlankOutputPortPlugin()


class Works(Pipeline):
    """Builds what the test gives it."""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.listed = [Worker() for _ in range(2)]
        self.keyed = {"rome": Worker(), 7: Worker("seven")}
        self.paired = (Worker(), "no instance")
        self.deep: list[Any] = [[Worker()], {"a": [Worker()]}]
        self.grown: list[Any] = []
        for _ in range(2):
            self.grown.append(Worker())
        self.listed[0].output.connect(self.listed[1].inputs[1])


NAMES = "listed_0 listed_1 keyed_rome seven paired_0 deep_0_0 deep_1_a_0 grown_0 grown_1".split()


def names(instance: Any) -> list[str]:
    return list(Internals(instance).nested_instances)


def test_elements_are_nested_under_attribute_and_index_or_key() -> None:
    pipeline = Works("p")
    assert names(pipeline) == NAMES
    assert pipeline.listed[1].inputs[0].get_full_name() == "p.listed_1.inputs_0"
    assert pipeline.deep_1_a_0 is pipeline.deep[1]["a"][0]
    assert pipeline.paired[1] == "no instance"


def test_what_is_put_into_a_list_later_is_nested_when_the_constructor_has_run() -> None:
    pipeline = Works("p")
    assert [worker.get_full_name() for worker in pipeline.grown] == ["p.grown_0", "p.grown_1"]


def test_the_list_stays_the_same_object() -> None:
    made: list[list[Any]] = []

    class Sharing(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            workers = [Worker(), Worker()]
            self.workers = workers
            made.append(workers)
            workers[0].output.connect(workers[1].inputs[0])

    pipeline = Sharing("p")
    assert made[0] is pipeline.workers
    assert pipeline.workers[1].inputs[0].get_connected_ports() == {pipeline.workers[0].output}


def test_they_are_set_described_rebuilt_and_replicated_like_others() -> None:
    pipeline = Works("p")
    pipeline.set_parameter(">>x", 1)
    pipeline.listed[1].set_parameter("replicationFactor", 1)
    again = Pipeline.create_from_string(str(pipeline))
    assert again == pipeline
    assert again.listed[1].inputs[1].get_parameter("x") == 1
    copied = again.listed[1].get_replica(0).materialize()
    assert copied.inputs[1].get_full_name() == "p.listed_1_0.inputs_1"
    assert copied.inputs[1].get_connected_ports() == {again.listed[0].output}


def test_a_list_of_what_is_nested_already_changes_nothing() -> None:
    pipeline = Works("p")
    pipeline.chosen = [pipeline.listed[0], Works("q").listed[0]]
    assert names(pipeline) == NAMES


def test_lists_of_other_things_stay_as_they_are() -> None:
    class Holding(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.loop: list[Any] = [1, {"a": (2, "b")}]
            self.loop.append(self.loop)
            self.other = (3, [4])

    operator = Holding("o")
    assert operator.loop[:2] == [1, {"a": (2, "b")}]
    assert operator.loop[2] is operator.loop
    assert (operator.other, names(operator)) == ((3, [4]), [])


class Twice(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.worker_0 = Worker()
        self.worker = [Worker()]


class Unnamed(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.worker = {(1, 2): Worker()}


class Illegal(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.worker = {"a b": Worker()}


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (Twice, "an instance 'worker_0' is nested here already"),
        (Unnamed, r"'worker' has the key \(1, 2\), which makes no name.*Worker\('my_name'\)"),
        (Illegal, "'worker_a b' is no legal name"),
    ],
)
def test_names_that_collide_or_cannot_be_are_attribute_errors(pipeline: Any, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        pipeline("p")


def test_a_list_of_plugins_that_belong_to_nobody_is_registered_like_an_attribute() -> None:
    operator = BlankOperator("o")
    operator.more = [BlankPlugin("one"), BlankPlugin("two")]
    assert names(operator) == ["one", "two"]
    assert operator.more[0].get_context() is None
