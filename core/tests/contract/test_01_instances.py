"""Section 1: names, placeholders, nesting, dependencies, equality, internals."""

from __future__ import annotations

import copy
import re
from typing import Any, Generic, TypeVar

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.specs.instance import (
    Instance,
    InterceptedInstance,
    Internals,
    RegisteredInterface,
    load_class_by_name,
    remove_super_classes,
    resolve_dependency_graph,
)
from pypz.core.specs.misc import (
    BlankInputPortPlugin,
    BlankInstance,
    BlankOperator,
    BlankOutputPortPlugin,
    BlankPlugin,
    BlankServicePlugin,
)
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import (
    ExtendedPlugin,
    InputPortPlugin,
    Plugin,
    PortPlugin,
    ResourceHandlerPlugin,
)

T = TypeVar("T")


class Worker(BlankOperator):
    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = BlankPlugin()
        self.second = BlankPlugin()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.one = Worker()
        self.two = Worker()


class Everything(InputPortPlugin, ResourceHandlerPlugin, ExtendedPlugin):
    def can_retrieve(self) -> bool:
        return False

    def retrieve(self) -> Any:
        return None

    def commit_current_read_offset(self) -> None: ...

    def _on_port_open(self) -> bool:
        return True

    def _on_port_close(self) -> bool:
        return True

    def _on_resource_creation(self) -> bool:
        return True

    def _on_resource_deletion(self) -> bool:
        return True

    def _pre_execution(self) -> None: ...

    def _post_execution(self) -> None: ...


@pytest.mark.parametrize("name", ["a", "_", "aB", "a-b_9", "__x", "A0-"])
def test_letters_digits_underscores_and_hyphens_make_a_name(name: str) -> None:
    assert BlankOperator(name).get_simple_name() == name


@pytest.mark.parametrize("name", ["", "1a", "-a", "a.b", "a b", "ä", "a\n", "a/b"])
def test_other_names_are_attribute_errors(name: str) -> None:
    with pytest.raises(AttributeError, match="no legal name"):
        BlankOperator(name)


def test_a_name_is_needed_at_the_top() -> None:
    with pytest.raises(AttributeError, match="a name is needed"):
        BlankOperator()


@pytest.mark.parametrize("name", [1, b"x", ["a"]])
def test_a_name_that_is_no_text_is_a_type_error(name: Any) -> None:
    with pytest.raises(TypeError, match="must be a text"):
        BlankOperator(name)


def test_errors_of_names_are_pypz_errors_too() -> None:
    with pytest.raises(PypzError):
        BlankOperator("1")


def test_names_are_taken_from_attributes_and_full_names_from_contexts() -> None:
    pipeline = Works("p")
    assert pipeline.one.get_simple_name() == "one"
    assert pipeline.one.first.get_full_name() == "p.one.first"
    assert pipeline.one.first.get_context() is pipeline.one
    assert pipeline.get_context() is None


def test_a_given_name_wins_over_the_attribute() -> None:
    class Named(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.attribute = Worker("given")

    pipeline = Named("p")
    assert pipeline.attribute.get_full_name() == "p.given"
    assert list(Internals(pipeline).nested_instances) == ["given"]
    assert pipeline.given is pipeline.attribute


def test_setattr_in_a_loop_names_each_operator() -> None:
    class Looped(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            for i in range(3):
                setattr(self, f"x{i}", Worker())

    pipeline = Looped("p")
    assert list(Internals(pipeline).nested_instances) == ["x0", "x1", "x2"]
    assert pipeline.x2.first.get_full_name() == "p.x2.first"


def test_local_variables_stay_placeholders() -> None:
    seen: list[Any] = []

    class Holding(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            local = Worker("given")
            seen.extend([local, Worker()])

    pipeline = Holding("p")
    assert [type(element) for element in seen] == [InterceptedInstance] * 2
    assert (seen[0].name, seen[0].context_class) == ("given", Worker)
    with pytest.raises(AttributeError, match="only a placeholder"):
        seen[0].set_parameter("x", 1)
    assert Internals(pipeline).nested_instances == {}


def test_generic_operators_are_named_by_attribute_too() -> None:
    class Typed(BlankOperator, Generic[T]):
        pass

    class Types(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.a = Typed[int]()
            self.b = Typed[str]("given")

    pipeline = Types("p")
    assert [pipeline.a.get_full_name(), pipeline.b.get_full_name()] == ["p.a", "p.given"]
    assert type(pipeline.a) is Typed


def test_a_placeholder_assigned_later_is_built_once() -> None:
    class Late(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            worker = Worker()
            self.a = worker
            self.b = worker

    pipeline = Late("p")
    assert pipeline.a is pipeline.b
    assert list(Internals(pipeline).nested_instances) == ["a"]


def test_a_context_makes_a_real_object_at_once() -> None:
    class Direct(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            free = Worker("free", context=None)
            bound = Worker("bound", context=self)
            self.names = [free.get_full_name(), bound.get_full_name()]

    assert Direct("p").names == ["free", "p.bound"]


def test_what_is_not_of_the_nested_type_gets_no_context() -> None:
    class Odd(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.plugin = BlankPlugin()

    pipeline = Odd("p")
    assert pipeline.plugin.get_full_name() == "plugin"
    assert pipeline.plugin.get_context() is None
    assert Internals(pipeline).nested_instances == {}


def test_arguments_of_placeholders_reach_the_constructor() -> None:
    class Counting(BlankOperator):
        def __init__(self, name: str | None = None, count: int = 0, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, None, *args, **kwargs)
            self.count = count

    class Counts(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.a = Counting(None, 3)
            self.b = Counting(count=4)

    pipeline = Counts("p")
    assert (pipeline.a.count, pipeline.b.count) == (3, 4)


def test_a_second_instance_of_the_same_name_is_an_attribute_error() -> None:
    class Twice(Pipeline):
        def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.a = Worker()
            self.b = Worker("a")

    with pytest.raises(AttributeError, match="'a' is nested here already"):
        Twice("p")


def test_assigning_after_construction_registers_but_gives_no_context() -> None:
    pipeline = Works("p")
    pipeline.later = Worker("later")
    assert list(Internals(pipeline).nested_instances) == ["one", "two", "later"]
    assert pipeline.later.get_context() is None
    assert pipeline.later.get_full_name() == "later"


def test_an_instance_that_belongs_elsewhere_is_a_plain_attribute() -> None:
    pipeline = Works("p")
    pipeline.one.friend = pipeline.two.first
    assert list(Internals(pipeline.one).nested_instances) == ["first", "second"]


def test_the_own_context_is_not_registered() -> None:
    class Box(BlankInstance[Any]):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, Instance, *args, **kwargs)

    outer = Box("outer")
    inner = Box("inner", context=outer)
    inner.parent = outer
    assert Internals(inner).nested_instances == {}


def test_assigning_an_instance_before_the_constructor_of_the_base_says_so() -> None:
    class Early(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            self.count = 1
            self.plugin = BlankPlugin()
            super().__init__(name, *args, **kwargs)

    with pytest.raises(AttributeError, match=r"call that first"):
        Early("x")


def test_interrupt_and_error_methods_need_not_be_written() -> None:
    class Short(Operator):
        def _on_init(self) -> bool:
            return True

        def _on_running(self) -> bool | None:
            return True

        def _on_shutdown(self) -> bool:
            return True

    short = Short("s")
    short._on_interrupt(2)
    short._on_error(None, ValueError())


def test_an_operator_without_its_abstract_methods_cannot_be_made() -> None:
    class Lacking(Operator):
        pass

    with pytest.raises(TypeError, match="abstract"):
        Lacking("x")  # type: ignore[abstract]


# --- dependencies -------------------------------------------------------------------------------------------------------


def test_instances_of_one_context_may_depend_on_each_other() -> None:
    worker = Works("p").one
    worker.second.depends_on(worker.first)
    assert Internals(worker.second).depends_on == {worker.first}


def test_the_classes_of_dependencies_may_differ() -> None:
    class Mixed(BlankOperator):
        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            super().__init__(name, *args, **kwargs)
            self.port = BlankInputPortPlugin()
            self.service = BlankServicePlugin()

    mixed = Mixed("x")
    mixed.port.depends_on(mixed.service)
    assert mixed.get_dto().spec.nestedInstances[0].dependsOn == ["service"]


def test_dependencies_across_contexts_and_at_the_top_are_attribute_errors() -> None:
    pipeline = Works("p")
    with pytest.raises(AttributeError, match="same instance"):
        pipeline.one.first.depends_on(pipeline.two.first)
    with pytest.raises(AttributeError, match="same instance"):
        BlankOperator("a").depends_on(BlankOperator("b"))


def test_depending_on_itself_is_an_attribute_error() -> None:
    pipeline = Works("p")
    with pytest.raises(AttributeError, match="itself"):
        pipeline.one.depends_on(pipeline.one)


def test_depending_on_no_instance_is_a_type_error() -> None:
    pipeline = Works("p")
    with pytest.raises(TypeError, match="only on an instance"):
        pipeline.one.depends_on("two")  # type: ignore[arg-type]


def test_a_direct_back_edge_is_a_recursion_error() -> None:
    pipeline = Works("p")
    pipeline.one.depends_on(pipeline.two)
    with pytest.raises(RecursionError, match="depends already"):
        pipeline.two.depends_on(pipeline.one)


def make_chain(*names: str) -> tuple[Operator, dict[str, Plugin]]:
    operator = BlankOperator("o")
    for name in names:
        setattr(operator, name, BlankPlugin(name, context=operator))
    return operator, Internals(operator).nested_instances


def test_the_graph_is_a_list_of_levels() -> None:
    _, p = make_chain("a", "b", "c", "d")
    p["b"].depends_on(p["a"])
    p["c"].depends_on(p["a"])
    p["d"].depends_on(p["b"])
    p["d"].depends_on(p["c"])
    assert resolve_dependency_graph(set(p.values())) == [{p["a"]}, {p["b"], p["c"]}, {p["d"]}]


def test_the_graph_ignores_dependencies_outside_the_given() -> None:
    _, p = make_chain("a", "b")
    p["b"].depends_on(p["a"])
    assert resolve_dependency_graph({p["b"]}) == [{p["b"]}]
    assert resolve_dependency_graph(set()) == []


def test_a_longer_cycle_is_found_by_the_graph() -> None:
    _, p = make_chain("a", "b", "c")
    p["a"].depends_on(p["b"])
    p["b"].depends_on(p["c"])
    p["c"].depends_on(p["a"])
    with pytest.raises(RecursionError, match=r"in a circle: o\.a, o\.b, o\.c"):
        resolve_dependency_graph(set(p.values()))


# --- equality -----------------------------------------------------------------------------------------------------------


def test_equal_means_same_class_full_name_and_content() -> None:
    assert Works("p") == Works("p")
    assert Works("p") != Works("q")
    assert Worker("x") != BlankOperator("x")
    assert Works("p") != "p"
    assert hash(Works("p")) == hash(Works("p"))


@pytest.mark.parametrize("change", ["parameter", "nested parameter", "dependency", "nested"])
def test_each_part_of_the_content_counts(change: str) -> None:
    one, other = Works("p"), Works("p")
    if change == "parameter":
        other.set_parameter("x", 1)
    elif change == "nested parameter":
        other.two.first.set_parameter("x", 1)
    elif change == "dependency":
        other.one.depends_on(other.two)
    else:
        other.one.third = BlankPlugin("third", context=other.one)
    assert one != other
    assert not one.is_equivalent_to(other)


def test_equivalent_ignores_the_name_of_the_top_only() -> None:
    assert Works("p").is_equivalent_to(Works("q"))
    assert Worker("x").is_equivalent_to(Works("p").one)
    assert not Worker("x").is_equivalent_to(BlankOperator("x"))


def test_the_hash_is_that_of_full_name_and_class() -> None:
    assert hash(Works("p").one) == hash(Works("p").one)
    assert len({Works("p").one, Works("p").one, Works("q").one, BlankPlugin("p")}) == 3


def test_a_deep_copy_is_the_same_object_unless_mapped() -> None:
    one, other = Works("p"), Works("q")
    assert copy.deepcopy(one) is one
    assert copy.deepcopy([one], {id(one): other}) == [other]


def test_str_is_yaml_and_repr_is_short() -> None:
    pipeline = Works("p")
    assert "name: p\n" in str(pipeline)
    assert repr(pipeline.one) == "<Worker 'p.one'>"


def test_an_unknown_attribute_names_instance_and_attribute() -> None:
    with pytest.raises(AttributeError, match=r"'p\.one' has no attribute 'frist'"):
        Works("p").one.frist


# --- internals ----------------------------------------------------------------------------------------------------------


def test_internals_show_what_the_classes_list() -> None:
    pipeline = Works("p")
    internals = Internals(pipeline.one)
    assert internals.spec_name == f"{__name__}:Worker"
    assert internals.nested_instance_type is Plugin
    assert internals.reference is pipeline.one
    assert internals.parameters["replicationFactor"] == 0
    assert set(internals.expected_parameters) >= {"operatorImageName", "replicationFactor"}
    internals.on_interrupt(15)
    internals.on_error(None, ValueError())


def test_internals_refuse_everything_else() -> None:
    with pytest.raises(AttributeError, match="no internal 'get_nested_instances'; accessible are"):
        Internals(Works("p")).get_nested_instances


def test_internals_grow_over_the_base_classes() -> None:
    plugin = Everything("x")
    assert Internals(plugin).pre_execution() is None
    assert Internals(plugin).spec_classes >= {Plugin, PortPlugin, InputPortPlugin}
    with pytest.raises(AttributeError):
        Internals(BlankPlugin("y")).pre_execution


def test_internals_work_on_replicas() -> None:
    pipeline = Works("p")
    pipeline.one.set_parameter("replicationFactor", 1)
    assert Internals(pipeline.one.get_replica(0)).nested_instances is Internals(pipeline.one).nested_instances


def test_spec_classes_are_those_that_list_the_mark_directly() -> None:
    class Marked(BlankPlugin, RegisteredInterface):
        pass

    class Unmarked(Marked):
        pass

    assert Internals(Unmarked("x")).spec_classes == {Marked, Plugin, Instance}
    assert Marked("x").get_dto().spec.types == [str(Marked)]


def test_types_leave_out_superclasses() -> None:
    assert Everything("x").get_dto().spec.types == [
        "<class 'pypz.core.specs.plugin.ExtendedPlugin'>",
        "<class 'pypz.core.specs.plugin.InputPortPlugin'>",
        "<class 'pypz.core.specs.plugin.ResourceHandlerPlugin'>",
    ]


# --- classes by name ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["pypz.core.specs.plugin.Plugin", "<class 'pypz.core.specs.plugin.Plugin'>"])
def test_classes_are_loaded_by_name(text: str) -> None:
    assert load_class_by_name(text) is Plugin


def test_nested_classes_are_loaded_by_name() -> None:
    assert load_class_by_name("pypz.core.specs.operator.Operator.Replica") is Operator.Replica


@pytest.mark.parametrize(
    "text, error",
    [
        ("Plugin", ValueError),
        ("pypz.core.specs.plugin.Nothing", AttributeError),
        ("pypz.core.nothing.Plugin", AttributeError),
        ("no_such_module_here.Plugin", ModuleNotFoundError),
        ("pypz.core.specs.instance.resolve_dependency_graph", TypeError),
    ],
)
def test_classes_that_cannot_be_loaded_tell_why(text: str, error: type[Exception]) -> None:
    with pytest.raises(error, match=re.escape(text)) as caught:
        load_class_by_name(text)
    assert isinstance(caught.value, PypzError)


def test_superclasses_are_removed() -> None:
    assert remove_super_classes({Plugin, PortPlugin, InputPortPlugin, Operator}) == {InputPortPlugin, Operator}
    assert remove_super_classes(set()) == set()


# --- blank helpers --------------------------------------------------------------------------------------------------------


def test_blank_instances_do_nothing() -> None:
    port = BlankInputPortPlugin("in", schema="s")
    assert (port.can_retrieve(), port.retrieve(), port._on_port_open(), port._on_port_close()) == (
        False,
        None,
        True,
        True,
    )
    port.commit_current_read_offset()
    assert BlankOutputPortPlugin("out").send([1]) is None
    operator = BlankOperator("o", 3)
    assert (operator._on_init(), operator._on_running(), operator._on_shutdown()) == (True, True, True)
    assert operator.get_replication_factor() == 0


def test_a_described_parameter_may_be_set_before_the_base_constructor() -> None:
    class Early(BlankOperator):
        x = OptionalParameter(int)
        y = RequiredParameter(int)

        def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
            self.x = 1
            super().__init__(name, *args, **kwargs)

    assert Early("e").get_parameter("x") == 1
