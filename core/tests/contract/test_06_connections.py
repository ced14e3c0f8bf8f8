"""Section 6: what `connect` connects, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.commons.errors import PypzWarning
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.pipeline import Pipeline


class OtherInputPort(BlankInputPortPlugin):
    pass


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = BlankInputPortPlugin(schema="s")
        self.other_input = OtherInputPort()
        self.output = BlankOutputPortPlugin(schema="s")
        self.second_output = BlankOutputPortPlugin(schema="other")
        self.plugin = BlankPlugin()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.a = Worker()
        self.b = Worker()
        self.c = Worker()


def test_connections_go_both_ways_and_once() -> None:
    p = Works("p")
    p.a.input.connect(p.b.output)
    p.b.output.connect(p.a.input)
    assert p.a.input.get_connected_ports() == {p.b.output}
    assert p.b.output.get_connected_ports() == {p.a.input}


def test_many_outputs_may_go_to_many_inputs_and_in_circles() -> None:
    p = Works("p")
    for sender in (p.a, p.b):
        for receiver in (p.a, p.b, p.c):
            if sender is not receiver:
                sender.output.connect(receiver.input)
    assert p.c.input.get_connected_ports() == {p.a.output, p.b.output}
    assert p.a.output.get_connected_ports() == {p.b.input, p.c.input}


def test_the_set_of_connected_ports_is_a_copy() -> None:
    p = Works("p")
    p.a.input.connect(p.b.output)
    p.a.input.get_connected_ports().clear()
    assert p.a.input.get_connected_ports() == {p.b.output}


def test_ports_of_the_same_class_are_a_type_error() -> None:
    p = Works("p")
    with pytest.raises(TypeError, match="are both BlankInputPortPlugin"):
        p.a.input.connect(p.b.input)
    with pytest.raises(TypeError, match="only with a port"):
        p.a.input.connect(p.b.plugin)  # type: ignore[arg-type]


def test_the_class_is_looked_at_first() -> None:
    with pytest.raises(TypeError):
        BlankInputPortPlugin("x").connect(BlankInputPortPlugin("y"))


def test_two_input_ports_of_different_classes_pass() -> None:
    p = Works("p")
    p.a.other_input.connect(p.b.input)


def test_ports_need_operators_and_these_a_pipeline() -> None:
    p = Works("p")
    with pytest.raises(AttributeError, match="has no operator"):
        p.a.input.connect(BlankOutputPortPlugin("free"))
    with pytest.raises(AttributeError, match="has no pipeline"):
        p.a.input.connect(Worker("w").output)


def test_ports_of_one_operator_or_of_two_pipelines_are_attribute_errors() -> None:
    p = Works("p")
    with pytest.raises(AttributeError, match="same operator"):
        p.a.input.connect(p.a.output)
    with pytest.raises(AttributeError, match="different pipelines"):
        p.a.input.connect(Works("q").a.output)


def test_different_schemas_are_only_a_warning() -> None:
    p = Works("p")
    with pytest.warns(PypzWarning, match="different schemas"):
        p.a.input.connect(p.b.second_output)
    p.c.input.set_schema('{"a": 1}')
    p.b.output.set_schema('{ "a":1 }')
    p.c.input.connect(p.b.output)
    assert p.c.input.get_schema() == '{"a": 1}'
