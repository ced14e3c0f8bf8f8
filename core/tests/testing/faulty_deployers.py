"""For each promise of the deployer kit a deployer that breaks it: one that only pretends, but for one fault."""

from __future__ import annotations

from typing import Any

import pytest
from core.tests.testing.twins import PATIENCE_S, twin_classes

from pypz.core.commons.errors import PypzError
from pypz.core.specs.instance import Internals
from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentState
from pypz.executors.commons import ExecutionMode
from pypz.testing import DeployerConformance


class Two(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.reader = BlankOperator()
        self.writer = BlankOperator()


class Pretending(Deployer):
    """Breaks nothing: members run until they have been looked at once."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.states: dict[str, DeploymentState] = {}
        self.starts: dict[str, int] = {}

    def deploy(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
        wait: bool = True,
    ) -> None:
        if pipeline.get_full_name() in self.texts:
            raise PypzError("deployed already")
        self.texts[pipeline.get_full_name()] = str(pipeline)
        for member in Internals(pipeline).nested_instances.values():
            self.start(member.get_full_name())

    def start(self, member: str) -> None:
        self.states[member] = DeploymentState.Running
        self.starts[member] = self.starts.get(member, 0) + 1

    def destroy(self, pipeline_name: str, force: bool = False, wait: bool = True) -> None:
        self.texts.pop(pipeline_name, None)
        self.states = {name: state for name, state in self.states.items() if not name.startswith(f"{pipeline_name}.")}

    def restart_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        self.start(operator_full_name)

    def destroy_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        del self.states[operator_full_name]

    def is_deployed(self, pipeline_name: str) -> bool:
        return pipeline_name in self.texts

    def retrieve_pipeline_deployments(self) -> set[str]:
        return set(self.texts)

    def retrieve_deployed_pipeline(self, pipeline_name: str) -> Pipeline | None:
        text = self.texts.get(pipeline_name)
        return None if text is None else Pipeline.create_from_string(text)

    def retrieve_operator_state(self, operator_full_name: str) -> DeploymentState:
        found = self.states.get(operator_full_name, DeploymentState.NotExisting)
        if found is DeploymentState.Running:
            self.states[operator_full_name] = DeploymentState.Completed
        return found

    def retrieve_operator_logs(self, operator_full_name: str) -> str | None:
        return f"start {self.starts[operator_full_name]}" if operator_full_name in self.states else None


class RaisesForTheAbsent(Pretending):
    def retrieve_deployed_pipeline(self, pipeline_name: str) -> Pipeline | None:
        if pipeline_name not in self.texts:
            raise PypzError(f"no pipeline {pipeline_name}")
        return super().retrieve_deployed_pipeline(pipeline_name)


class ForgetsReplicas(Pretending):
    def retrieve_deployed_pipeline(self, pipeline_name: str) -> Pipeline | None:
        found: Any = super().retrieve_deployed_pipeline(pipeline_name)
        if found is not None:
            found.reader.set_parameter("replicationFactor", 0)
        return found  # type: ignore[no-any-return]


class DeploysOverIt(Pretending):
    def deploy(self, pipeline: Pipeline, *args: Any, **kwargs: Any) -> None:
        self.texts.pop(pipeline.get_full_name(), None)
        super().deploy(pipeline, *args, **kwargs)


class AttachesToTheFirst(Pretending):
    def attach(self, pipeline_name: str, on_operator_state_change: Any = None) -> None:
        return


class RemovesItsNeighboursToo(Pretending):
    def destroy_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        self.states.clear()


class DoesNotRestart(Pretending):
    def restart_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        return


class LeavesMembersBehind(Pretending):
    def destroy(self, pipeline_name: str, force: bool = False, wait: bool = True) -> None:
        self.texts.pop(pipeline_name, None)


FAULTY: dict[int, type[Pretending]] = {
    1: RaisesForTheAbsent,
    2: ForgetsReplicas,
    3: DeploysOverIt,
    4: AttachesToTheFirst,
    5: RemovesItsNeighboursToo,
    6: DoesNotRestart,
    7: LeavesMembersBehind,
}


def fixtures_of(fault: Any) -> dict[str, Any]:
    @pytest.fixture
    def deployer(self: Any) -> Deployer:
        return fault()  # type: ignore[no-any-return]

    @pytest.fixture
    def pipeline(self: Any) -> Pipeline:
        made = Two("two")
        made.reader.set_parameter("replicationFactor", 2)
        return made

    @pytest.fixture
    def patience_s(self: Any) -> float:
        return 10 * PATIENCE_S

    return {fixture.__name__: fixture for fixture in (deployer, pipeline, patience_s)}


globals().update(twin_classes(DeployerConformance, FAULTY, fixtures_of))
globals()["TestTwin00"] = type("TestTwin00", (DeployerConformance,), fixtures_of(Pretending))
