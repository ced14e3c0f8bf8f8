"""Section 2: parameters of instances: described ones, any others, cascades."""

from __future__ import annotations

import warnings
from typing import Any, List, Optional, Union  # noqa: UP035

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pypz.core.commons.errors import PypzError, PypzWarning
from pypz.core.commons.parameters import (
    ExpectedParameter,
    OptionalParameter,
    RequiredParameter,
    allowed_param_types,
    retrieve_parameters,
)
from pypz.core.specs.instance import Internals
from pypz.core.specs.misc import BlankOperator, BlankPlugin
from pypz.core.specs.pipeline import Pipeline

OPTIONAL = Optional[str]  # noqa: UP045
UNION = Union[str, int]  # noqa: UP007
LIST = List[str]  # noqa: UP006


class Tuned(BlankPlugin):
    count = RequiredParameter(int, alt_name="recordCount", description="how many")
    prefix = OptionalParameter(str)
    names = OptionalParameter(list[str])
    table = OptionalParameter(dict)
    is_on = OptionalParameter(bool, alt_name="isOn")
    ratio = OptionalParameter(float)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.count = None
        self.prefix = "HelloWorld"


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.p1 = Tuned()
        self.p2 = BlankPlugin()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.o1 = Worker()
        self.o2 = Worker()


@pytest.mark.parametrize("value", [3, -1, 0.5, None])
def test_a_whole_number_is_taken_for_a_float(value: float | None) -> None:
    tuned = Tuned("tuned")
    tuned.set_parameter("ratio", value)
    assert (tuned.get_parameter("ratio"), tuned.ratio) == (value, value)


@pytest.mark.parametrize("value", ["3", True])
def test_text_and_bool_are_not_taken_for_a_float(value: Any) -> None:
    with pytest.raises(TypeError, match="'ratio'.*float"):
        Tuned("tuned").set_parameter("ratio", value)


# --- any parameter --------------------------------------------------------------------------------------------------------


def test_any_instance_accepts_any_parameter() -> None:
    for instance in (Works("p"), Works("p").o1, Works("p").o1.p2):
        instance.set_parameters({"a": 1, "b": {"c": [1.5, None, {"x"}]}})
        assert instance.get_parameter("a") == 1
        assert instance.get_parameter("b") == {"c": [1.5, None, {"x"}]}
        assert instance.has_parameter("b")
        assert not instance.has_parameter("c")


def test_an_unknown_parameter_is_a_key_error_that_lists_the_known() -> None:
    with pytest.raises(KeyError, match=r"o\.p: there is no parameter 'x'; there are: .*recordCount"):
        Tuned("p", context=Worker("o")).get_parameter("x")


@pytest.mark.parametrize("value", [(1,), b"x", object(), [1, (2,)], {"a": {"b": b""}}, {(1,): 2}, len])
def test_tuples_bytes_and_objects_are_type_errors_at_any_depth(value: Any) -> None:
    with pytest.raises(TypeError, match="accepted are str, int, float, bool, set, list, dict and None") as caught:
        BlankPlugin("p").set_parameter("x", value)
    assert isinstance(caught.value, PypzError)


def test_a_refused_value_is_not_shown() -> None:
    with pytest.raises(TypeError) as caught:
        BlankPlugin("p").set_parameter("channelConfig", {"sasl.password": ("geheim",)})
    assert "geheim" not in str(caught.value)


def test_bools_pass_as_ints() -> None:
    plugin = Tuned("p")
    plugin.set_parameter("recordCount", True)
    plugin.set_parameter("isOn", False)
    assert plugin.count is True
    assert plugin.is_on is False


def test_a_name_must_be_a_text_and_not_empty() -> None:
    with pytest.raises(TypeError, match="must be a text"):
        BlankPlugin("p").set_parameter(1, 1)  # type: ignore[arg-type]
    for name in ("", "##", ">"):
        with pytest.raises(ValueError, match="names no parameter"):
            BlankPlugin("p").set_parameter(name, 1)


def test_a_stored_container_is_not_the_callers() -> None:
    value = {"labels": ["a"]}
    plugin = BlankPlugin("p")
    plugin.set_parameter("x", value)
    value["labels"].append("b")
    assert plugin.get_parameter("x") == {"labels": ["a"]}


# --- described parameters -------------------------------------------------------------------------------------------------


def test_attribute_and_store_are_one() -> None:
    plugin = Tuned("p")
    assert plugin.get_parameter("prefix") == "HelloWorld"
    plugin.set_parameter("recordCount", 3)
    assert plugin.count == 3
    plugin.count = 4
    assert plugin.get_parameter("recordCount") == 4
    assert not plugin.has_parameter("count")


def test_a_parameter_never_set_reads_as_none_and_is_absent() -> None:
    plugin: Any = Tuned("p")
    assert plugin.names is None
    assert not plugin.has_parameter("names")


@pytest.mark.parametrize(
    "name, value",
    [("recordCount", "3"), ("recordCount", 1.0), ("prefix", 1), ("names", "abc"), ("table", []), ("isOn", 1)],
)
def test_a_wrong_type_is_a_type_error(name: str, value: Any) -> None:
    plugin = Tuned("p")
    with pytest.raises(TypeError, match=f"p: parameter '{name}' is of type"):
        plugin.set_parameter(name, value)


def test_element_types_are_checked() -> None:
    plugin = Tuned("p")
    plugin.set_parameter("names", ["a", None])
    with pytest.raises(TypeError, match=r"'names'\[1\] is of type int, expected str \(declared as list\[str\]\)"):
        plugin.set_parameter("names", ["a", 1])


def test_none_is_always_allowed() -> None:
    plugin = Tuned("p")
    for name in ("recordCount", "prefix", "names", "table", "isOn", "ratio"):
        plugin.set_parameter(name, None)


@pytest.mark.parametrize("kind", [None, OPTIONAL, UNION, LIST, str | None, Any, tuple, bytes, object])
def test_other_declared_types_are_type_errors(kind: Any) -> None:
    with pytest.raises(TypeError, match="cannot be declared as"):
        OptionalParameter(kind)
    with pytest.raises(TypeError, match="cannot be declared as"):
        RequiredParameter(kind)


@pytest.mark.parametrize(
    "kind", [*allowed_param_types[:-1], bool, list[str], dict[str, list[int]], list[dict[str, Any]]]
)
def test_plain_types_and_generics_of_them_may_be_declared(kind: Any) -> None:
    assert ExpectedParameter(True, kind).parameter_type == kind


def test_a_private_descriptor_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="'__x' is private"):

        class Private(BlankPlugin):
            __x = OptionalParameter(str)


def test_the_same_name_twice_over_the_bases_is_an_attribute_error() -> None:
    class Again(Tuned):
        other = OptionalParameter(int, alt_name="recordCount")

    with pytest.raises(AttributeError, match="'recordCount' is described twice"):
        Again("p")


def test_described_parameters_are_found_over_the_bases() -> None:
    class More(Tuned):
        more = OptionalParameter(int)

    assert list(retrieve_parameters(More, RequiredParameter)) == ["recordCount"]
    assert set(retrieve_parameters(More("p"), ExpectedParameter)) == {
        "more",
        "recordCount",
        "prefix",
        "names",
        "table",
        "isOn",
        "ratio",
    }


def test_updates_are_told_on_the_first_set_and_on_changes() -> None:
    told: list[Any] = []

    class Told(BlankPlugin):
        x = OptionalParameter(int, on_update=lambda instance, value: told.append((instance.get_full_name(), value)))

        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.x = None

    plugin = Told("p")
    for value in (1, 1, True, 2):
        plugin.set_parameter("x", value)
    plugin.x = 2
    plugin.x = 3
    assert told == [("p", None), ("p", 1), ("p", True), ("p", 2), ("p", 3)]


def test_an_update_that_raises_takes_the_value_back() -> None:
    def refuse(instance: Any, value: int) -> None:
        if value < 0:
            raise ValueError("negative")

    class Careful(BlankPlugin):
        x = OptionalParameter(int, on_update=refuse)

    plugin = Careful("p")
    with pytest.raises(ValueError, match="negative"):
        plugin.set_parameter("x", -1)
    assert not plugin.has_parameter("x")
    plugin.x = 1
    with pytest.raises(ValueError, match="negative"):
        plugin.x = -1
    assert plugin.x == 1


def test_expected_parameters_tell_type_need_description_and_value() -> None:
    expected = Tuned("p").get_expected_parameters()
    assert expected["recordCount"] == {
        "type": "int",
        "required": True,
        "description": "how many",
        "currentValue": None,
    }
    assert expected["names"]["type"] == "list[str]"
    assert expected["prefix"]["currentValue"] == "HelloWorld"


def test_missing_required_parameters_are_told_at_any_depth() -> None:
    pipeline = Works("p")
    assert pipeline.get_missing_required_parameters() == {"p.o1.p1": {"recordCount"}, "p.o2.p1": {"recordCount"}}
    pipeline.o1.p1.count = 1
    pipeline.o2.set_parameter("replicationFactor", 2)
    assert pipeline.get_missing_required_parameters() == {"p.o2.p1": {"recordCount"}}


def test_an_initial_value_counts_as_set() -> None:
    class Preset(BlankPlugin):
        x = RequiredParameter(int)
        y = RequiredParameter(int)

        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.x = 1

    assert Preset("p").get_missing_required_parameters() == {"p": {"y"}}


def test_reserved_parameters_of_operators_and_pipelines_have_defaults() -> None:
    pipeline = Works("p")
    names = ("operatorImageName", "replicationFactor", "deliveryGuarantee", "commitIntervalMs", "drainTimeoutMs")
    assert [pipeline.o1.get_parameter(name) for name in names] == [None, 0, "at-least-once", 100, 10_000]
    assert pipeline.get_parameter("channelNamespace") is None


# --- cascades -------------------------------------------------------------------------------------------------------------

TABLE = [
    ("x", True, False, False),
    (">x", False, True, False),
    ("#x", True, True, False),
    (">>x", False, False, True),
    ("##x", True, True, True),
    ("###x", True, True, True),
    (">#x", False, True, True),
    ("#>x", True, False, True),
]


@pytest.mark.parametrize("name, pipeline_has, operators_have, plugins_have", TABLE)
def test_a_cascade_reaches_the_levels_of_the_table(
    name: str, pipeline_has: bool, operators_have: bool, plugins_have: bool
) -> None:
    pipeline = Works("p")
    pipeline.set_parameter(name, 1)
    assert pipeline.has_parameter("x") is pipeline_has
    for operator in (pipeline.o1, pipeline.o2):
        assert operator.has_parameter("x") is operators_have
        for plugin in (operator.p1, operator.p2):
            assert plugin.has_parameter("x") is plugins_have


@pytest.mark.parametrize("name", [">>>x", ">>>>x"])
def test_a_cascade_that_reaches_nothing_warns(name: str) -> None:
    pipeline = Works("p")
    with pytest.warns(PypzWarning, match="reached no instance"):
        pipeline.set_parameter(name, 1)
    assert "x" not in str(pipeline).replace("expectedParameters", "").split("spec")[0].split("parameters")[1]


def test_a_cascade_to_a_kind_of_instance_that_does_not_exist_warns() -> None:
    class Bare(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.only = BlankOperator()

    with pytest.warns(PypzWarning, match="'>>x' reached no instance"):
        Bare("p").set_parameter(">>x", 1)
    with pytest.warns(PypzWarning, match="'>x' reached no instance"):
        BlankPlugin("x").set_parameter(">x", 1)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        (">>recordCont", "recordCount"),
        (">>recordcount", "recordCount"),
        ("##record_count", "recordCount"),
        (">replicationFactr", "replicationFactor"),
    ],
)
def test_a_name_that_no_class_describes_but_nearly_does_warns_and_is_set(given: str, meant: str) -> None:
    pipeline = Works("p")
    with pytest.warns(PypzWarning, match=f"p: no class describes the parameter '{given.lstrip('#>')}'.*'{meant}'"):
        pipeline.set_parameter(given, 1)
    owner = pipeline.o1.p1 if meant == "recordCount" else pipeline.o1
    assert owner.get_parameter(given.lstrip("#>")) == 1


@pytest.mark.parametrize("given", ["recordCount", "counts", "recordCountOfAll", "x", "prefix2x3"])
def test_names_that_are_described_or_near_to_none_do_not_warn(given: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Works("p").set_parameter(f">>{given}", 1)


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(TypeError, match="parameter 'x' contains itself"):
        BlankPlugin("p").set_parameter("x", loop)


def test_prefix_characters_later_in_a_name_are_plain() -> None:
    pipeline = Works("p")
    pipeline.set_parameter("x>", 1)
    pipeline.set_parameter(">y#", 2)
    assert pipeline.get_parameter("x>") == 1
    assert pipeline.o1.get_parameter("y#") == 2
    pipeline.set_parameter("#z>", 3)
    assert pipeline.get_parameter("z") == 3


def test_cascades_are_not_remembered() -> None:
    pipeline = Works("p")
    pipeline.set_parameter("##x", 1)
    pipeline.o1.p3 = BlankPlugin("p3", context=pipeline.o1)
    assert not pipeline.o1.p3.has_parameter("x")


def test_the_later_call_wins_whatever_its_level() -> None:
    pipeline = Works("p")
    pipeline.o1.p1.set_parameter("x", "near")
    pipeline.set_parameter(">>x", "far")
    assert pipeline.o1.p1.get_parameter("x") == "far"
    pipeline.o1.set_parameter(">x", "nearer")
    assert pipeline.o1.p1.get_parameter("x") == "nearer"
    assert pipeline.o2.p1.get_parameter("x") == "far"


def test_a_cascade_gives_each_instance_a_copy() -> None:
    pipeline = Works("p")
    pipeline.set_parameter("##x", {"a": [1]})
    pipeline.o1.get_parameter("x")["a"].append(2)
    assert pipeline.get_parameter("x") == pipeline.o1.p1.get_parameter("x") == {"a": [1]}


def test_the_replication_factor_cascades_while_replicas_are_added() -> None:
    pipeline = Works("p")
    pipeline.set_parameter(">replicationFactor", 2)
    assert list(Internals(pipeline).nested_instances) == ["o1", "o2", "o1_0", "o1_1", "o2_0", "o2_1"]
    pipeline.set_parameter(">replicationFactor", 0)
    assert list(Internals(pipeline).nested_instances) == ["o1", "o2"]


@settings(deadline=None)
@given(st.text("#>", max_size=5))
def test_a_cascade_follows_its_characters_level_by_level(prefix: str) -> None:
    pipeline = Works("p")
    levels: list[list[Any]] = [
        [pipeline],
        [pipeline.o1, pipeline.o2],
        [pipeline.o1.p1, pipeline.o1.p2, pipeline.o2.p1, pipeline.o2.p2],
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PypzWarning)
        pipeline.set_parameter(f"{prefix}x", 1)
    for depth, instances in enumerate(levels):
        # '#' stores here; what is left without prefix is stored where the characters end
        expected = depth == len(prefix) or prefix[depth : depth + 1] == "#"
        assert [instance.has_parameter("x") for instance in instances] == [expected] * len(instances)
