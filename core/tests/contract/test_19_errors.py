"""Section 19: which builtin type an error is of, by its cause. Each is a `PypzError` as well."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.commons.parameters import ExpectedParameter, RequiredParameter
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.dtos import InstanceDTO, OperatorInstanceDTO, SpecDTO
from pypz.core.specs.instance import Instance, resolve_dependency_graph
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.operator.executor import OperatorExecutor

HOST = PluginHost(load=False)


class Worker(BlankOperator):
    needed = RequiredParameter(str)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = BlankInputPortPlugin()
        self.output = BlankOutputPortPlugin()


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.one = Worker()
        self.two = Worker()
        self.three = Worker()


def described(**spec: Any) -> Any:
    return lambda: Instance.create_from_dto(InstanceDTO(name="x", spec=SpecDTO(**spec)))


def connect(choose: Callable[[Works], tuple[Any, Any]]) -> Any:
    def attempt() -> None:
        one, other = choose(Works("p"))
        one.connect(other)

    return attempt


def circle(length: int) -> Any:
    def attempt() -> None:
        pipeline = Works("p")
        operators = [pipeline.one, pipeline.two, pipeline.three][:length]
        for one, other in zip(operators, [*operators[1:], operators[0]], strict=True):
            one.depends_on(other)
        resolve_dependency_graph(set(operators))

    return attempt


def mocked() -> Operator:
    types = ["<class 'pypz.core.specs.operator.Operator'>"]
    description = OperatorInstanceDTO(name="x", spec={"name": "no_such_module:X", "types": types})
    return Operator.create_from_dto(description, mock_nonexistent=True)  # type: ignore[no-any-return]


CAUSES: list[tuple[str, type[Exception], Any]] = [
    ("a bad name", AttributeError, lambda: BlankPlugin("1")),
    ("no name", AttributeError, lambda: BlankPlugin()),
    ("the same nested name twice", AttributeError, lambda: setattr(Works("p"), "four", Worker("one"))),
    ("a dependency on itself", AttributeError, lambda: (o := Works("p").one).depends_on(o)),
    ("a dependency elsewhere", AttributeError, lambda: Works("p").one.depends_on(Works("q").one)),
    ("a connection without operator", AttributeError, connect(lambda p: (p.one.input, BlankOutputPortPlugin("x")))),
    ("a connection without pipeline", AttributeError, connect(lambda p: (p.one.input, Worker("x").output))),
    ("a connection within an operator", AttributeError, connect(lambda p: (p.one.input, p.one.output))),
    ("a connection of two pipelines", AttributeError, connect(lambda p: (p.one.input, Works("q").two.output))),
    ("a description without spec name", AttributeError, described()),
    ("an update of another class", AttributeError, lambda: Works("p").update({"spec": {"name": "a:B"}})),
    ("a class that a module has not", AttributeError, described(name="pypz.core.specs.misc:NoSuch")),
    ("a value of a type not accepted", TypeError, lambda: BlankPlugin("x").set_parameter("y", (1,))),
    ("a described parameter's wrong type", TypeError, lambda: Worker("x").set_parameter("needed", 1)),
    ("a declared type not accepted", TypeError, lambda: ExpectedParameter(False, tuple)),
    ("an unknown key of a description", TypeError, lambda: Works("p").update({"nam": "p"})),
    ("no description at all", TypeError, lambda: Works("p").update(1)),  # type: ignore[arg-type]
    ("a dependency on no instance", TypeError, lambda: Works("p").one.depends_on("x")),  # type: ignore[arg-type]
    ("a connection of one class", TypeError, connect(lambda p: (p.one.input, p.two.input))),
    ("a name that is no text", TypeError, lambda: BlankPlugin(3)),  # type: ignore[arg-type]
    ("an update of another name", ValueError, lambda: Works("p").update({"name": "q"})),
    ("a description without name", ValueError, lambda: Instance.create_from_dto(InstanceDTO(spec=SpecDTO(name="a:b")))),
    ("a negative replication", ValueError, lambda: Works("p").one.set_parameter("replicationFactor", -1)),
    ("an unknown parameter", KeyError, lambda: BlankPlugin("x").get_parameter("y")),
    ("a required parameter missing", LookupError, lambda: OperatorExecutor(Works("p").one, host=HOST)),
    ("a mock executed", PermissionError, lambda: OperatorExecutor(mocked(), host=HOST)),
    ("a direct circle of dependencies", RecursionError, circle(2)),
    ("a longer circle of dependencies", RecursionError, circle(3)),
    ("a location of the class", NotImplementedError, described(name="a:b", location="here")),
    ("a module that is not there", ModuleNotFoundError, described(name="no_such_module:X")),
]


@pytest.mark.parametrize(
    ("error", "attempt"), [pytest.param(e, a, id=cause.replace(" ", "-")) for cause, e, a in CAUSES]
)
def test_the_cause_gives_the_type(error: type[Exception], attempt: Callable[[], Any]) -> None:
    with pytest.raises(error) as caught:
        attempt()
    assert isinstance(caught.value, PypzError)


def test_an_unknown_scheme_of_a_location_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="nowhere") as caught:
        HOST.make_transport("nowhere://x", {})
    assert isinstance(caught.value, PypzError)
