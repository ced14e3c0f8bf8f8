"""Section 4: descriptions: shape, YAML and JSON, creation, update."""

from __future__ import annotations

import json
import string
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.core.commons.errors import PypzError
from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.specs.dtos import (
    InstanceDTO,
    OperatorConnection,
    OperatorInstanceDTO,
    OperatorSpecDTO,
    PipelineInstanceDTO,
    PipelineSpecDTO,
    PluginInstanceDTO,
    PluginSpecDTO,
    SpecDTO,
)
from pypz.core.specs.instance import Instance, Internals
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import Plugin


class Tuned(BlankPlugin):
    count = RequiredParameter(int, description="how many")
    names = OptionalParameter(list[str])

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.count = None


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = BlankInputPortPlugin(schema="s")
        self.output = BlankOutputPortPlugin(schema="s")
        self.tuned = Tuned()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Worker()
        self.reader = Worker()


def make_full() -> Works:
    pipeline = Works("p")
    pipeline.reader.input.connect(pipeline.writer.output)
    pipeline.writer.input.connect(pipeline.reader.output)
    pipeline.reader.depends_on(pipeline.writer)
    pipeline.reader.input.depends_on(pipeline.reader.tuned)
    pipeline.set_parameter("##x", {"a": [1, 2.5, None, True, {"s"}]})
    pipeline.reader.set_parameter("replicationFactor", 2)
    return pipeline


# --- shape ----------------------------------------------------------------------------------------------------------------


def test_the_description_has_the_documented_shape() -> None:
    document = yaml.safe_load(str(make_full()))
    assert set(document) == {"name", "parameters", "dependsOn", "spec"}
    assert set(document["spec"]) == {
        "name",
        "location",
        "expectedParameters",
        "types",
        "nestedInstanceType",
        "nestedInstances",
    }
    assert document["spec"]["name"] == f"{__name__}:Works"
    assert document["spec"]["location"] is None
    assert document["spec"]["nestedInstanceType"] == "<class 'pypz.core.specs.operator.Operator'>"
    writer, reader = document["spec"]["nestedInstances"]
    assert set(reader) == {"name", "parameters", "dependsOn", "spec", "connections"}
    assert reader["connections"] == [
        {"inputPortName": "input", "source": {"instanceName": "writer", "outputPortName": "output"}}
    ]
    assert reader["dependsOn"] == ["writer"]
    assert writer["connections"][0]["source"]["instanceName"] == "reader"
    plugin = reader["spec"]["nestedInstances"][0]
    assert set(plugin) == {"name", "parameters", "dependsOn", "spec"}
    assert plugin["dependsOn"] == ["tuned"]
    assert plugin["spec"]["nestedInstanceType"] is None


def test_the_keys_are_in_alphabetical_order_and_block_style() -> None:
    lines = str(make_full()).splitlines()
    assert [line.split(":")[0] for line in lines if line[:1].isalpha()] == ["dependsOn", "name", "parameters", "spec"]
    assert "{" not in str(make_full()).replace("{}", "")


def test_sets_become_yaml_sets() -> None:
    plugin = BlankPlugin("x")
    plugin.set_parameter("s", {"b", "a"})
    assert "!!set" in str(plugin)
    assert Instance.create_from_string(str(plugin)).get_parameter("s") == {"a", "b"}


def test_descriptions_have_their_own_classes() -> None:
    description = make_full().get_dto()
    assert type(description) is PipelineInstanceDTO
    assert type(description.spec) is PipelineSpecDTO
    operator = description.spec.nestedInstances[0]
    assert (type(operator), type(operator.spec)) == (OperatorInstanceDTO, OperatorSpecDTO)
    plugin = operator.spec.nestedInstances[0]
    assert (type(plugin), type(plugin.spec)) == (PluginInstanceDTO, PluginSpecDTO)
    assert type(operator.connections[0]) is OperatorConnection


def test_a_description_is_a_copy() -> None:
    pipeline = make_full()
    description = pipeline.get_dto()
    description.parameters["x"]["a"].append("new")
    assert pipeline.get_parameter("x") == {"a": [1, 2.5, None, True, {"s"}]}


@pytest.mark.parametrize(
    "make",
    [
        lambda: InstanceDTO(unknown=1),  # type: ignore[call-arg]
        lambda: SpecDTO(unknown=1),  # type: ignore[call-arg]
        lambda: InstanceDTO(parameters=[]),  # type: ignore[arg-type]
        lambda: InstanceDTO(parameters={1: 2}),  # type: ignore[dict-item]
        lambda: InstanceDTO(name=1),  # type: ignore[arg-type]
        lambda: InstanceDTO(dependsOn="a"),  # type: ignore[arg-type]
        lambda: InstanceDTO(dependsOn=[1]),  # type: ignore[list-item]
        lambda: InstanceDTO(spec="a:b"),
        lambda: InstanceDTO(spec={"nam": "a"}),
        lambda: SpecDTO(types={}),  # type: ignore[arg-type]
        lambda: SpecDTO(types=[1]),  # type: ignore[list-item]
        lambda: SpecDTO(expectedParameters=[]),  # type: ignore[arg-type]
        lambda: SpecDTO(nestedInstances={}),  # type: ignore[arg-type]
        lambda: SpecDTO(nestedInstances=["a"]),
        lambda: OperatorInstanceDTO(connections={}),  # type: ignore[arg-type]
        lambda: OperatorInstanceDTO(connections=[{"port": "a"}]),
        lambda: OperatorConnection(source=[]),  # type: ignore[arg-type]
    ],
)
def test_unknown_keys_and_wrong_types_are_type_errors(make: Any) -> None:
    with pytest.raises(TypeError):
        make()


def test_an_unknown_key_in_a_document_is_named() -> None:
    with pytest.raises(TypeError, match="unknown key parmeters; known are name, parameters") as caught:
        Works("p").update({"name": "p", "parmeters": {}})
    assert isinstance(caught.value, PypzError)


# --- round trip -----------------------------------------------------------------------------------------------------------


def test_yaml_gives_an_equal_pipeline() -> None:
    pipeline = make_full()
    again = Pipeline.create_from_string(str(pipeline))
    assert type(again) is Works
    assert again == pipeline
    assert str(again) == str(pipeline)
    assert again.reader.input.get_connected_ports() == {again.writer.output}
    assert again.reader.get_group_size() == 3


def test_json_gives_an_equal_pipeline() -> None:
    pipeline = make_full()
    pipeline.set_parameter("##x", [1e5, "1e5", "ä\n", True])
    again = Pipeline.create_from_string(json.dumps(pipeline.get_dto().to_dict()))
    assert again == pipeline


def test_a_description_object_gives_an_equal_pipeline() -> None:
    pipeline = make_full()
    assert Pipeline.create_from_dto(pipeline.get_dto()) == pipeline
    assert pipeline.get_dto() == Pipeline.create_from_dto(pipeline.get_dto()).get_dto()


@pytest.mark.parametrize("base", [Instance, Pipeline, Operator, Plugin])
def test_every_class_can_create_from_a_string(base: Any) -> None:
    pipeline = make_full()
    assert base.create_from_string(str(pipeline)) == pipeline
    assert type(base.create_from_string(str(pipeline.reader.tuned))) is Tuned


def test_operators_alone_are_created_without_their_connections() -> None:
    operator = Works("p").reader
    again = Operator.create_from_string(str(operator))
    assert again.get_full_name() == "reader"
    assert again.is_equivalent_to(operator)


def test_plugins_that_only_the_description_knows_are_created() -> None:
    pipeline = make_full()
    pipeline.reader.extra = Tuned("extra", context=pipeline.reader)
    pipeline.reader.extra.count = 4
    pipeline.third = Worker("third", context=pipeline)
    pipeline.third.input.connect(pipeline.writer.output)
    again = Pipeline.create_from_string(str(pipeline))
    assert again == pipeline
    assert again.reader.extra.count == 4
    assert again.third.input.get_connected_ports() == {again.writer.output}


def test_without_update_the_constructor_decides() -> None:
    pipeline = make_full()
    again = Pipeline.create_from_dto(pipeline.get_dto(), disable_auto_update=True)
    assert again == Works("p")


def test_a_pipeline_of_blank_parts_needs_no_class_of_its_own() -> None:
    text = """
    name: p
    spec:
      name: pypz.core.specs.pipeline:Pipeline
      nestedInstances:
      - name: a
        parameters: {">channelLocation": "memory:x"}
        connections: [{inputPortName: in, source: {instanceName: b, outputPortName: out}}]
        spec:
          name: pypz.core.specs.misc:BlankOperator
          nestedInstances: [{name: in, spec: {name: "pypz.core.specs.misc:BlankInputPortPlugin"}}]
      - name: b
        spec:
          name: pypz.core.specs.misc:BlankOperator
          nestedInstances: [{name: out, spec: {name: "pypz.core.specs.misc:BlankOutputPortPlugin"}}]
    """
    pipeline = Pipeline.create_from_string(text)
    assert getattr(pipeline.a, "in").get_connected_ports() == {pipeline.b.out}
    assert getattr(pipeline.a, "in").get_parameter("channelLocation") == "memory:x"


texts = st.text(st.characters(codec="utf-8"), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(texts, inner, max_size=4)
        | st.sets(st.integers() | texts, max_size=4)
    ),
    max_leaves=12,
)
names = st.text(string.ascii_letters, min_size=1, max_size=8)
settings_of = st.lists(
    st.tuples(st.sampled_from(["p", "o1", "o2", "q1"]), names, values, st.sampled_from(["", "#", ">", "##", ">#"])),
    max_size=5,
)


@settings(deadline=None)
@given(settings_of, st.integers(0, 2), st.integers(0, 2), st.booleans(), st.booleans())
def test_any_pipeline_survives_the_round_trip(
    given_settings: list[Any], first: int, second: int, is_connected: bool, has_extra: bool
) -> None:
    pipeline = Works("p")
    if has_extra:
        pipeline.reader.extra = Tuned("extra", context=pipeline.reader)
    places: dict[str, Any] = {"p": pipeline, "o1": pipeline.writer, "o2": pipeline.reader, "q1": pipeline.reader.tuned}
    for place, name, value, prefix in given_settings:
        depth = {"p": 2, "o1": 1, "o2": 1, "q1": 0}[place]
        places[place].set_parameter(prefix[:depth] + name, value)
    pipeline.writer.set_parameter("replicationFactor", first)
    pipeline.reader.set_parameter("replicationFactor", second)
    if is_connected:
        pipeline.reader.input.connect(pipeline.writer.output)
    again = Pipeline.create_from_string(str(pipeline))
    assert again == pipeline
    assert str(again) == str(pipeline)
    assert again.get_dto() == pipeline.get_dto()
    assert list(Internals(again).nested_instances) == list(Internals(pipeline).nested_instances)


# --- creation refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "description, error",
    [
        ({"name": "x"}, TypeError),
        (None, TypeError),
        (InstanceDTO(spec=SpecDTO(name="a:b")), ValueError),
        (InstanceDTO(name="x"), AttributeError),
        (InstanceDTO(name="x", spec=SpecDTO()), AttributeError),
        (InstanceDTO(name="x", spec=SpecDTO(name="pypz.core.specs.misc.BlankPlugin")), ValueError),
        (
            InstanceDTO(name="x", spec=SpecDTO(name="pypz.core.specs.misc:BlankPlugin", location="l")),
            NotImplementedError,
        ),
        (InstanceDTO(name="x", spec=SpecDTO(name="pypz_no_such_module:X")), ModuleNotFoundError),
        (InstanceDTO(name="x", spec=SpecDTO(name="pypz.core.specs.misc:NoSuch")), AttributeError),
        (InstanceDTO(name="x", spec=SpecDTO(name="collections:OrderedDict")), TypeError),
    ],
)
def test_descriptions_that_cannot_be_followed_tell_why(description: Any, error: type[Exception]) -> None:
    with pytest.raises(error) as caught:
        Instance.create_from_dto(description)
    assert isinstance(caught.value, PypzError)


@pytest.mark.parametrize("text", ["- a", "3", ""])
def test_texts_that_are_no_mapping_are_type_errors(text: str) -> None:
    with pytest.raises(TypeError, match="a description must be a mapping"):
        Pipeline.create_from_string(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{a: [", "neither YAML nor JSON at line [12], column"),
        ("name: p\nspec:\n  - a\n  b: c", "at line 4, column 3"),
        ("name: p\n\tspec: x", "at line 2, column 1: .*found "),
        ("'x", "at line 1, column 3"),
        ('{"name": "p",\n "x" 3}', "at line 2, column 6"),
        ("name: p\nx: " + "1" * 5000, "at line 2, column 4: a number of too many digits"),
        ('{"x": ' + "1" * 5000 + "}", "at line 1, column 7: a number of too many digits"),
        ("x: 2020-13-45", "at line 1, column 4: no value: month must be in 1..12"),
        ("x: !!python/object:os.system y", "at line 1, column 4: could not determine a constructor"),
        ("x: \ud800", "cannot be UTF-8"),
    ],
)
def test_broken_texts_are_value_errors_with_line_and_column(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Pipeline.create_from_string(text)
    assert isinstance(caught.value, PypzError)


def test_a_number_of_too_many_digits_is_told_when_it_is_described() -> None:
    plugin = BlankPlugin("x")
    plugin.set_parameter("big", 10**5000)
    with pytest.raises(ValueError, match="description of 'x' cannot be written as YAML"):
        str(plugin)


def test_the_error_of_a_broken_module_is_not_taken_for_an_absent_one(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pypz_broken_for_test.py").write_text("import pypz_absent_dependency\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(ModuleNotFoundError, match="pypz_absent_dependency"):
        Instance.create_from_dto(InstanceDTO(name="x", spec=SpecDTO(name="pypz_broken_for_test:X")))


# --- update ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["object", "dict", "yaml", "json"])
def test_every_form_of_a_description_updates_nested_operators(form: str) -> None:
    wanted = make_full()
    pipeline = Works("p")
    source: Any = {
        "object": wanted.get_dto(),
        "dict": wanted.get_dto().to_dict(),
        "yaml": str(wanted),
        "json": json.dumps(wanted.get_dto().to_dict(), default=list),
    }[form]
    pipeline.update(source)
    if form != "json":
        assert pipeline == wanted
    assert pipeline.reader.input.get_connected_ports() == {pipeline.writer.output}
    assert pipeline.reader.get_group_size() == 3


def test_an_update_may_be_partial_and_twice() -> None:
    pipeline = Works("p")
    for _ in range(2):
        pipeline.update(
            {
                "parameters": {">>x": 1},
                "spec": {
                    "nestedInstances": [
                        {
                            "name": "reader",
                            "dependsOn": ["writer"],
                            "spec": {"nestedInstances": [{"name": "tuned", "parameters": {"x": 2}}]},
                        }
                    ]
                },
            }
        )
    assert pipeline.writer.tuned.get_parameter("x") == 1
    assert pipeline.reader.tuned.get_parameter("x") == 2
    assert Internals(pipeline.reader).depends_on == {pipeline.writer}


@pytest.mark.parametrize(
    "source, error, words",
    [
        (1, TypeError, "expected a description"),
        ({"name": "q"}, ValueError, "of 'q', not of this instance"),
        ({"spec": {"name": "a:B"}}, AttributeError, "of class 'a:B'"),
        ({"spec": {"nestedInstances": [{"name": "nobody"}]}}, AttributeError, "'nobody' is nested here"),
        ({"spec": {"nestedInstances": [{}]}}, ValueError, "has no name"),
        ({"dependsOn": ["x"]}, AttributeError, "cannot depend on 'x'"),
        (
            {
                "spec": {
                    "nestedInstances": [
                        {
                            "name": "reader",
                            "spec": {
                                "nestedInstances": [{"name": "tuned", "spec": {"nestedInstances": [{"name": "x"}]}}]
                            },
                        }
                    ]
                }
            },
            AttributeError,
            "nests nothing",
        ),
    ],
)
def test_updates_that_do_not_fit_tell_why(source: Any, error: type[Exception], words: str) -> None:
    pipeline = Works("p")
    before = str(pipeline)
    with pytest.raises(error, match=words):
        pipeline.update({"parameters": {"##x": 1}, **source} if isinstance(source, dict) else source)
    assert str(pipeline) == before


@pytest.mark.parametrize(
    "connection, words",
    [
        (
            {"inputPortName": "x", "source": {"instanceName": "writer", "outputPortName": "output"}},
            "'x', which is no input",
        ),
        (
            {"inputPortName": "output", "source": {"instanceName": "writer", "outputPortName": "output"}},
            "no input port",
        ),
        (
            {"inputPortName": "input", "source": {"instanceName": "x", "outputPortName": "output"}},
            "'x', which is not in",
        ),
        ({"inputPortName": "input"}, "not in the pipeline"),
        (
            {"inputPortName": "input", "source": {"instanceName": "writer", "outputPortName": "x"}},
            "no output port of p.wri",
        ),
    ],
)
def test_connections_to_what_does_not_exist_are_attribute_errors(connection: Any, words: str) -> None:
    with pytest.raises(AttributeError, match=words):
        Works("p").update({"spec": {"nestedInstances": [{"name": "reader", "connections": [connection]}]}})
