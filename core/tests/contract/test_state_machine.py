"""Cascades, descriptions, updates, replicas and mocks in any order, held against a model of plain dicts.

The model knows levels, not classes: what a prefix reaches, what a description keeps, what an update changes.
"""

from __future__ import annotations

import json
import warnings
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from pypz.core.commons.errors import PypzWarning
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.dtos import PipelineInstanceDTO
from pypz.core.specs.instance import Internals
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.pipeline import Pipeline

HERE = __name__
ELSEWHERE = "pypz_not_here.pipeline"

PARAMETERS = ("x", "y", "names")
OPERATORS = ("a", "b", "extra")
MEMBERS = ("a", "b")
PLUGINS = ("input", "output", "tuned")


class Tuned(BlankPlugin):
    names = OptionalParameter(list[str])


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = BlankInputPortPlugin()
        self.output = BlankOutputPortPlugin()
        self.tuned = Tuned()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.a = Worker()
        self.b = Worker()


@dataclass
class Model:
    """An instance: what was set on it, and what is nested in it."""

    values: dict[str, Any] = field(default_factory=dict)
    nested: dict[str, Model] = field(default_factory=dict)
    replicas: int = 0
    depends_on: set[str] = field(default_factory=set)
    sources: set[tuple[str, str]] = field(default_factory=set)
    """Of an operator's input port: operator and port at the other end."""

    def set(self, name: str, value: Any) -> int:
        """Set by prefix; give how many instances were reached."""
        here, rest = name[0], name[1:]
        if here not in "#>":
            self.values[name] = value
            return 1
        reached = sum(inner.set(rest, value) for inner in self.nested.values())
        if here == "#":
            self.values[name.strip("#>")] = value
            reached += 1
        return reached


def worker_model() -> Model:
    return Model(nested={plugin: Model() for plugin in PLUGINS})


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8).filter(
    lambda text: "${" not in text and "$(" not in text and text.encode(errors="ignore").decode() == text
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc$", max_size=3), inner, max_size=3),
    max_leaves=5,
) | st.sets(st.integers() | st.text("abc", max_size=3), max_size=3)
prefixes = st.text("#>", max_size=4)
operators = st.sampled_from(OPERATORS)


def value_for(name: str, data: st.DataObject) -> Any:
    """Draw a value; for the described parameter one that fits wherever it is described."""
    return data.draw(st.none() | st.lists(st.text("abc", max_size=3), max_size=3) if name == "names" else values)


class PipelineMachine(RuleBasedStateMachine):
    """A pipeline and its model, changed alike."""

    @initialize()
    def make(self) -> None:
        self.pipeline: Any = Works("p")
        self.model = Model(nested={name: worker_model() for name in MEMBERS})

    # --- changes --------------------------------------------------------------------------------------------------------

    @rule(name=st.sampled_from(PARAMETERS), prefix=prefixes, data=st.data())
    def set_on_the_pipeline(self, name: str, prefix: str, data: st.DataObject) -> None:
        self.set(self.pipeline, self.model, prefix + name, value_for(name, data))

    @rule(operator=operators, name=st.sampled_from(PARAMETERS), prefix=prefixes, data=st.data())
    def set_on_an_operator(self, operator: str, name: str, prefix: str, data: st.DataObject) -> None:
        if operator in self.model.nested:
            self.set(self.operator(operator), self.model.nested[operator], prefix + name, value_for(name, data))

    @rule(
        operator=operators, plugin=st.sampled_from((*PLUGINS, "more")), name=st.sampled_from(PARAMETERS), data=st.data()
    )
    def set_on_a_plugin(self, operator: str, plugin: str, name: str, data: st.DataObject) -> None:
        model = self.model.nested.get(operator, Model()).nested.get(plugin)
        if model is not None:
            self.set(getattr(self.operator(operator), plugin), model, name, value_for(name, data))

    @rule(operator=operators, count=st.integers(0, 3), by_replica=st.booleans())
    def replicate(self, operator: str, count: int, by_replica: bool) -> None:
        if operator in self.model.nested:
            original = self.operator(operator)
            target = original.get_replicas()[0] if by_replica and original.get_replicas() else original
            target.set_parameter("replicationFactor", count)
            self.model.nested[operator].replicas = count

    @rule(count=st.integers(0, 2))
    def replicate_all(self, count: int) -> None:
        self.pipeline.set_parameter(">replicationFactor", count)
        for model in self.model.nested.values():
            model.replicas = count

    @rule(reader=operators, writer=operators, from_writer=st.booleans())
    def connect(self, reader: str, writer: str, from_writer: bool) -> None:
        if reader != writer and {reader, writer} <= self.model.nested.keys():
            ends = [self.operator(reader).input, self.operator(writer).output]
            one, other = reversed(ends) if from_writer else ends
            one.connect(other)
            self.model.nested[reader].sources.add((writer, "output"))

    @rule(one=operators, other=operators)
    def depend(self, one: str, other: str) -> None:
        if one < other and {one, other} <= self.model.nested.keys():
            self.operator(one).depends_on(self.operator(other))
            self.model.nested[one].depends_on.add(other)

    @rule()
    def add_an_operator_that_the_code_does_not_make(self) -> None:
        if "extra" not in self.model.nested:
            self.pipeline.extra = Worker("extra", context=self.pipeline)
            self.model.nested["extra"] = worker_model()

    @rule(operator=operators)
    def add_a_plugin_that_the_code_does_not_make(self, operator: str) -> None:
        model = self.model.nested.get(operator)
        if model is not None and "more" not in model.nested:
            owner = self.operator(operator)
            owner.more = Tuned("more", context=owner)
            model.nested["more"] = Model()

    @rule(operator=st.sampled_from(MEMBERS), prefix=prefixes, text=st.booleans(), data=st.data())
    def update(self, operator: str, prefix: str, text: bool, data: st.DataObject) -> None:
        far, near, nearest = (value_for(name, data) for name in ("x", "y", "names"))
        document = {
            "name": "p",
            "parameters": {f"{prefix}x": far},
            "spec": {
                "nestedInstances": [
                    {
                        "name": operator,
                        "parameters": {"x": near, "replicationFactor": 1},
                        "spec": {"nestedInstances": [{"name": "tuned", "parameters": {"names": nearest}}]},
                    }
                ]
            },
        }
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", PypzWarning)
            self.pipeline.update(str(Plain(document)) if text else document)
        self.model.set(f"{prefix}x", far)
        changed = self.model.nested[operator]
        changed.set("x", near)
        changed.replicas = 1
        changed.nested["tuned"].set("names", nearest)

    @rule(
        source=st.sampled_from(
            [
                {"name": "q"},
                {"spec": {"name": "a:B"}},
                {"spec": {"nestedInstances": [{"name": "nobody"}]}},
                {"spec": {"nestedInstances": [{"name": "a", "dependsOn": ["nobody"]}]}},
                {"nam": "p"},
            ]
        )
    )
    def an_update_that_does_not_fit_changes_nothing(self, source: dict[str, Any]) -> None:
        with pytest.raises((ValueError, AttributeError, TypeError)):
            self.pipeline.update({"parameters": {"##x": "changed"}, **source})

    @rule(operator=operators)
    def a_negative_factor_changes_nothing(self, operator: str) -> None:
        if operator in self.model.nested:
            with pytest.raises(ValueError, match="expected 0 or more"):
                self.operator(operator).set_parameter("replicationFactor", -1)

    # --- ways through a description -------------------------------------------------------------------------------------

    @rule(form=st.sampled_from(["yaml", "dto", "dict"]))
    def go_through_a_description(self, form: str) -> None:
        before = self.pipeline
        if form == "yaml":
            self.pipeline = Pipeline.create_from_string(str(before))
        elif form == "dto":
            self.pipeline = Pipeline.create_from_dto(before.get_dto())
        else:
            document = before.get_dto().to_dict()
            self.pipeline = Pipeline.create_from_dto(PipelineInstanceDTO(**document))
        assert type(self.pipeline) is Works
        assert self.pipeline == before
        assert str(self.pipeline) == str(before)

    @rule()
    def go_through_json(self) -> None:
        try:
            text = json.dumps(self.pipeline.get_dto().to_dict())
        except TypeError:  # JSON has no sets
            return
        again = Pipeline.create_from_string(text)
        assert again == self.pipeline
        self.pipeline = again

    @rule()
    def go_through_mocks(self) -> None:
        text = str(self.pipeline).replace(HERE, ELSEWHERE)
        mock = Pipeline.create_from_string(text, mock_nonexistent=True)
        assert type(mock).mocked
        assert all(type(self.operator(name, mock)).mocked for name in self.model.nested)
        self.check(mock)
        assert str(mock) == text
        self.pipeline = Pipeline.create_from_string(str(mock).replace(ELSEWHERE, HERE))

    @precondition(lambda self: self.is_as_the_code_makes_it())
    @rule()
    def go_through_an_update(self) -> None:
        fresh = Works("p")
        fresh.update(self.pipeline.get_dto())
        assert fresh == self.pipeline
        self.pipeline = fresh

    @rule(operator=operators, index=st.integers(0, 2))
    def materialize(self, operator: str, index: int) -> None:
        model = self.model.nested.get(operator)
        if model is None or index >= model.replicas:
            return
        copied = self.operator(operator).get_replica(index).materialize()
        assert copied.get_full_name() == f"p.{operator}_{index}"
        assert (copied.get_group_index(), copied.get_group_size()) == (index + 1, model.replicas + 1)
        assert set(Internals(copied).nested_instances) == set(model.nested)
        assert copied.is_equivalent_to(self.operator(operator))
        for name, plugin in Internals(copied).nested_instances.items():
            assert plugin.get_context() is copied
            assert plugin.get_group_principal() is getattr(self.operator(operator), name)

    # --- the same? ------------------------------------------------------------------------------------------------------

    @invariant()
    def the_pipeline_is_as_the_model_says(self) -> None:
        self.check(self.pipeline)

    def check(self, pipeline: Any) -> None:
        names = set(self.model.nested)
        names |= {f"{name}_{index}" for name, model in self.model.nested.items() for index in range(model.replicas)}
        assert set(Internals(pipeline).nested_instances) == names
        check_values(pipeline, self.model)
        for name, model in self.model.nested.items():
            operator = self.operator(name, pipeline)
            check_values(operator, model)
            assert operator.get_replication_factor() == len(operator.get_replicas()) == model.replicas
            assert {other.get_simple_name() for other in Internals(operator).depends_on} == model.depends_on
            ends = operator.input.get_connected_ports()
            assert {(port.get_context().get_simple_name(), port.get_simple_name()) for port in ends} == model.sources
            assert all(operator.input in port.get_connected_ports() for port in ends)
            assert set(Internals(operator).nested_instances) == set(model.nested)
            for plugin, plugin_model in model.nested.items():
                check_values(getattr(operator, plugin), plugin_model)
                assert getattr(operator, plugin).get_full_name() == f"p.{name}.{plugin}"

    def operator(self, name: str, pipeline: Any = None) -> Any:
        return getattr(self.pipeline if pipeline is None else pipeline, name)

    def is_as_the_code_makes_it(self) -> bool:
        return set(self.model.nested) == set(MEMBERS) and all(
            set(model.nested) == set(PLUGINS) for model in self.model.nested.values()
        )

    def set(self, instance: Any, model: Model, name: str, value: Any) -> None:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", PypzWarning)
            instance.set_parameter(name, value)
        reached = model.set(name, value)
        assert [str(warning.message) for warning in caught if "reached no instance" in str(warning.message)] == (
            [] if reached else [str(caught[0].message)]
        )


class Plain:
    """A document as YAML text."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document

    def __str__(self) -> str:
        from pypz.core.specs._documents import to_yaml

        return to_yaml(self.document)


def check_values(instance: Any, model: Model) -> None:
    found = {name: instance.get_parameter(name) for name in PARAMETERS if instance.has_parameter(name)}
    assert found == model.values


TestPipelineMachine = PipelineMachine.TestCase
TestPipelineMachine.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
