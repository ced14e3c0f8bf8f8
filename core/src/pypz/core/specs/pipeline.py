"""Pipelines: operators that work together."""

from __future__ import annotations

from typing import Any, cast

from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.dtos import PipelineInstanceDTO
from pypz.core.specs.instance import Instance, RegisteredInterface
from pypz.core.specs.operator import Operator


class Pipeline(Instance[Operator], RegisteredInterface):
    """Base of all pipelines: assign operators to attributes in the constructor, and connect their ports.

    Parameters:
        channelNamespace: Prefix of everything the pipeline's channels are called, so that pipelines of the same name can
            share a broker.
    """

    _pypz_dto_type = PipelineInstanceDTO

    _channel_namespace = OptionalParameter(
        str, alt_name="channelNamespace", description="Prefix of the names of all channels of the pipeline"
    )

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, Operator, *args, **kwargs)
        self._channel_namespace = None

    def get_dto(self) -> PipelineInstanceDTO:
        """Describe the pipeline and its operators."""
        return cast("PipelineInstanceDTO", super().get_dto())

    @staticmethod
    def create_from_string(source: str, *args: Any, **kwargs: Any) -> Any:
        """Build a pipeline from its description as YAML or JSON."""
        return Instance.create_from_string(source, *args, **kwargs)

    @staticmethod
    def create_from_dto(instance_dto: Any, *args: Any, **kwargs: Any) -> Any:
        """Build a pipeline from its description."""
        return Instance.create_from_dto(instance_dto, *args, **kwargs)

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        """Do nothing."""

    def _on_error(self, source: Any, exception: Exception) -> None:
        """Do nothing."""
