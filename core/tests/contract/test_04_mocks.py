"""Section 4: stand-ins for classes that are not installed."""

from __future__ import annotations

from typing import Any

import pytest

from pypz.core.commons.parameters import OptionalParameter, RequiredParameter
from pypz.core.specs.dtos import (
    InstanceDTO,
    OperatorConnection,
    OperatorConnectionSource,
    PipelineInstanceDTO,
    PluginInstanceDTO,
    SpecDTO,
)
from pypz.core.specs.instance import Instance
from pypz.core.specs.misc import BlankInputPortPlugin, BlankOperator, BlankOutputPortPlugin, BlankPlugin
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.core.specs.plugin import ExtendedPlugin, InputPortPlugin, ResourceHandlerPlugin


class Tuned(BlankPlugin):
    count = RequiredParameter(int, description="how many")
    names = OptionalParameter(list[str])
    table = OptionalParameter(dict[str, list[int]])


class Worker(BlankOperator):
    size = OptionalParameter(int)

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.input = BlankInputPortPlugin(schema="s")
        self.output = BlankOutputPortPlugin(schema="s")
        self.tuned = Tuned()
        self.tuned.count = 3


class Works(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.writer = Worker()
        self.reader = Worker()
        self.reader.input.connect(self.writer.output)
        self.reader.set_parameter("replicationFactor", 1)


def foreign() -> PipelineInstanceDTO:
    """A description whose own classes are not installed here."""
    text = str(Works("p")).replace(__name__, "pypz_not_here.pipeline")
    found = Pipeline.create_from_string(text, mock_nonexistent=True).get_dto()
    assert isinstance(found, PipelineInstanceDTO)
    return found


def test_mocks_stand_in_for_a_whole_pipeline(capsys: pytest.CaptureFixture[str]) -> None:
    text = str(Works("p")).replace(__name__, "pypz_not_here.pipeline")
    pipeline = Pipeline.create_from_string(text, mock_nonexistent=True)
    assert pipeline.mocked
    assert pipeline.reader.mocked
    assert isinstance(pipeline.reader, Operator)
    assert pipeline.reader.input.get_connected_ports() == {pipeline.writer.output}
    assert pipeline.reader.get_group_size() == 2
    assert pipeline.reader.tuned.get_parameter("count") == 3
    captured = capsys.readouterr()
    assert "no class 'pypz_not_here.pipeline:Worker' is installed here, a mock takes its place" in captured.err
    assert captured.out == ""


def test_mocks_are_described_as_what_they_stand_for() -> None:
    text = str(Works("p")).replace(__name__, "pypz_not_here.pipeline")
    pipeline = Pipeline.create_from_string(text, mock_nonexistent=True)
    assert str(pipeline) == text
    assert Pipeline.create_from_string(text, mock_nonexistent=True) == pipeline
    assert pipeline.reader.tuned.get_expected_parameters()["count"]["description"] == "how many"


def test_replicas_of_mocks_become_real_copies() -> None:
    pipeline = Pipeline.create_from_dto(foreign(), mock_nonexistent=True)
    copied = pipeline.reader_0.materialize()
    assert copied.tuned.get_full_name() == "p.reader_0.tuned"
    assert copied.input.get_connected_ports() == {pipeline.writer.output}


def test_classes_that_are_here_are_not_mocked() -> None:
    pipeline = Pipeline.create_from_string(str(Works("p")), mock_nonexistent=True)
    assert type(pipeline) is Works
    assert not hasattr(pipeline.reader, "mocked")


def test_without_mocks_the_absent_module_is_named() -> None:
    with pytest.raises(ModuleNotFoundError, match="no module 'pypz_not_here' here"):
        Pipeline.create_from_dto(foreign())


def test_parts_that_only_the_description_knows_may_always_be_mocks() -> None:
    description = Works("p").get_dto()
    nested = description.spec.nestedInstances[0].spec.nestedInstances
    nested.append(
        PluginInstanceDTO(
            name="other",
            parameters={"x": 1},
            spec={"name": "pypz_not_here:Other", "types": ["<class 'pypz.core.specs.plugin.ServicePlugin'>"]},
        )
    )
    pipeline = Pipeline.create_from_dto(description)
    assert type(pipeline) is Works
    assert pipeline.writer.other.mocked
    assert pipeline.writer.other.get_parameter("x") == 1


def test_replicas_have_plugins_that_only_the_description_knows_too() -> None:
    description = Works("p").get_dto()
    writer = description.spec.nestedInstances[0]
    writer.parameters["replicationFactor"] = 1
    writer.spec.nestedInstances.append(
        PluginInstanceDTO(
            name="other",
            parameters={"x": 1},
            spec={"name": "pypz_not_here:Other", "types": ["<class 'pypz.core.specs.plugin.OutputPortPlugin'>"]},
        )
    )
    description.spec.nestedInstances[1].connections.append(
        OperatorConnection("input", OperatorConnectionSource("writer", "other"))
    )
    pipeline = Pipeline.create_from_dto(description)
    assert pipeline.reader.input.get_connected_ports() == {pipeline.writer.output, pipeline.writer.other}
    copied = pipeline.writer_0.materialize()
    assert copied.other.get_full_name() == "p.writer_0.other"
    assert copied.other is not pipeline.writer.other
    assert copied.other.get_parameter("x") == 1
    assert copied.other.get_connected_ports() == {pipeline.reader.input}


def test_a_mock_has_all_types_and_stubs_of_their_methods() -> None:
    types = [str(t) for t in (InputPortPlugin, ResourceHandlerPlugin, ExtendedPlugin)]
    mock = Instance.create_from_dto(
        InstanceDTO(name="x", spec=SpecDTO(name="pypz_not_here:Port", types=types)), mock_nonexistent=True
    )
    assert isinstance(mock, InputPortPlugin)
    assert isinstance(mock, ResourceHandlerPlugin)
    assert mock._on_resource_creation() is None
    assert mock.retrieve() is None
    assert mock.get_dto().spec.types == sorted(types)
    assert type(mock).__qualname__ == "Port"


def test_types_that_are_not_installed_either_are_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    description = Works("p").get_dto()
    operator = description.spec.nestedInstances[0]
    operator.spec.name = "pypz_not_here:Own"
    operator.spec.types = ["<class 'pypz_not_here.OwnOperator'>"]
    operator.spec.expectedParameters["kind"] = {"type": "<class 'str'>", "required": False}
    description.spec.name = "pypz_not_here:Pipeline"
    pipeline = Pipeline.create_from_dto(description, mock_nonexistent=True)
    assert isinstance(pipeline.writer, Operator)
    assert pipeline.writer.get_expected_parameters()["kind"]["type"] == "str"
    assert pipeline.reader.input.get_connected_ports() == {pipeline.writer.output}
    assert "type <class 'pypz_not_here.OwnOperator'> is not installed here and left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "types, error, words",
    [
        (None, AttributeError, "its spec has no types"),
        ([], AttributeError, "its spec has no types"),
        (["<class 'collections.OrderedDict'>"], TypeError, "is no class of instances"),
    ],
)
def test_what_cannot_be_mocked_tells_why(types: Any, error: type[Exception], words: str) -> None:
    description = InstanceDTO(name="x", spec=SpecDTO(name="pypz_not_here:X", types=types))
    with pytest.raises(error, match=words):
        Instance.create_from_dto(description, mock_nonexistent=True)
