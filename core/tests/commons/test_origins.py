"""Every parameter tells who set it."""

from typing import Any

import pytest

from pypz.core.commons.origins import origin_of, setting_from
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.misc import BlankOperator, BlankPlugin
from pypz.core.specs.pipeline import Pipeline


class Port(BlankPlugin):
    where = OptionalParameter(str)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.where = "here"


def refuse(instance: Any, value: Any) -> None:
    if value == 13:
        raise ValueError("unlucky")


class Work(BlankOperator):
    count = OptionalParameter(int, on_update=refuse)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.count = 1
        self.port = Port()


class Line(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.first = Work()
        self.second = Work()
        self.second.set_parameter("count", 2)


@pytest.fixture
def line() -> Line:
    return Line("line")


def test_what_a_constructor_assigns_is_the_default_of_the_class(line: Line) -> None:
    assert str(origin_of(line.first, "count")) == "default of the class"
    assert str(origin_of(line.first.port, "where")) == "default of the class"


def test_what_others_set_in_a_constructor_or_later_is_set_in_code(line: Line) -> None:
    line.first.count = 3
    assert [str(origin_of(work, "count")) for work in (line.first, line.second)] == ["code", "code"]


def test_a_cascade_tells_its_level(line: Line) -> None:
    line.set_parameter(">>where", "there")
    line.second.set_parameter(">where", "elsewhere")
    assert str(origin_of(line.first.port, "where")) == "code, cascade from line"
    assert str(origin_of(line.second.port, "where")) == "code, cascade from line.second"


def test_a_cascade_is_no_cascade_where_it_begins(line: Line) -> None:
    line.set_parameter("##x", 1)
    assert [str(origin_of(i, "x")) for i in (line, line.first)] == ["code", "code, cascade from line"]


def test_a_source_that_is_named_is_told_and_ends_with_its_block(line: Line) -> None:
    with setting_from("line.yaml"):
        line.set_parameter(">count", 4)
    line.second.count = 5
    assert str(origin_of(line.first, "count")) == "line.yaml, cascade from line"
    assert str(origin_of(line.second, "count")) == "code"


def test_a_value_that_is_refused_keeps_the_origin_of_the_one_that_stays(line: Line) -> None:
    with setting_from("bad.yaml"), pytest.raises(ValueError, match="unlucky"):
        line.second.set_parameter("count", 13)
    assert (line.second.count, str(origin_of(line.second, "count"))) == (2, "code")


def test_resolving_for_execution_is_no_new_origin(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLACE", "deep")
    with setting_from("line.yaml"):
        line.first.port.set_parameter("where", "$(env:PLACE)")
    line.first.port._pypz_resolve_references()
    assert (line.first.port.where, str(origin_of(line.first.port, "where"))) == ("deep", "line.yaml")


def test_origins_are_no_part_of_description_and_equality(line: Line) -> None:
    other = Line("line")
    with setting_from("line.yaml"):
        other.first.set_parameter("count", 1)
    assert (other == line, str(other)) == (True, str(line))
