"""The sniffer's observer: takes the hook calls, near or relayed, and puts them into the model."""

from __future__ import annotations

from pypz.core.hooks.events import (
    ChannelStatus,
    DeployedRef,
    ErrorInfo,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.core.hooks.spec import hookimpl
from pypz.sniffer.model.pipeline import PipelineModel


class SnifferObserver:
    """Implements the observing hooks for one model.

    Args:
        model: Where the news go.
        is_here: Whether the hooks are called by the process that executes the members.
    """

    def __init__(self, model: PipelineModel, *, is_here: bool) -> None:
        self._model = model
        self._is_here = is_here

    @hookimpl
    def pypz_pipeline_started(self, pipeline: PipelineRef) -> None:
        """A run was started."""
        self._model.pipeline_started(pipeline)

    @hookimpl
    def pypz_pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        """A run has ended."""
        self._model.pipeline_finished(pipeline, outcome)

    @hookimpl
    def pypz_operator_state_changed(self, operator: OperatorRef, new: str, at_utc: float) -> None:
        """A member is in another state."""
        self._model.operator_state_changed(operator, new, at_utc, is_here=self._is_here)

    @hookimpl
    def pypz_operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo) -> None:
        """A member failed."""
        self._model.operator_failed(operator, during, error, is_here=self._is_here)

    @hookimpl
    def pypz_operator_finished(self, operator: OperatorRef, exit_code: int) -> None:
        """A member has ended."""
        self._model.operator_finished(operator, exit_code, is_here=self._is_here)

    @hookimpl
    def pypz_port_opened(self, port: PortRef) -> None:
        """A port is open."""
        self._model.port_opened(port, is_here=self._is_here)

    @hookimpl
    def pypz_port_closed(self, port: PortRef) -> None:
        """A port was closed."""
        self._model.port_closed(port, is_here=self._is_here)

    @hookimpl
    def pypz_channel_status(self, status: ChannelStatus) -> None:
        """Figures of a port."""
        self._model.channel_status(status, is_here=self._is_here)

    @hookimpl
    def pypz_process_status(self, status: ProcessStatus) -> None:
        """What a process uses."""
        self._model.process_status(status)

    @hookimpl
    def pypz_deployment_changed(self, member: DeployedRef, state: str, reason: str) -> None:
        """A deployed member is in another state."""
        self._model.deployment_changed(member, state, reason)
