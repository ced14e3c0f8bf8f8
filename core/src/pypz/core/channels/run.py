"""Runs: one start of a whole pipeline, its roster, and the members that join it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from pypz.core.channels.session import MemberSession
    from pypz.core.hooks.host import PluginHost
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline


class PipelineRun:
    """INTERFACE DRAFT (bodies follow). One run as seen by this process; shared by the members that run in it."""

    id: str

    @classmethod
    def start(cls, pipeline: Pipeline, host: PluginHost, *, fresh: bool = False) -> PipelineRun:
        """Begin a new run of the whole pipeline (PipelineExecutor). Refuses (RunConflictError) while another one is alive."""
        raise NotImplementedError

    @classmethod
    def join(cls, operator: Operator, host: PluginHost, *, run_id: str | None = None, new: bool = False) -> PipelineRun:
        """Take part in a run as one member (OperatorExecutor alone, runnables): ``run_id`` (PYPZ_RUN), else the open one, else a new one."""
        raise NotImplementedError

    def enter(self, operator: Operator, mode: object) -> MemberSession:
        """Make the session of one member; binds its channel ports. ``mode`` is the ExecutionMode."""
        raise NotImplementedError

    def interrupt(self) -> None:
        """End all waits of `start`/`enter` and of all sessions."""

    def finish(self, outcome: Literal["finished", "failed", "interrupted"]) -> None:
        """The whole has ended (PipelineExecutor): fact `finished`, hook `pypz_pipeline_finished`."""

    def close(self) -> None:
        """Let go of all transports; idempotent."""
