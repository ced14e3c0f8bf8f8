"""Section 14: what every deployer can do by its abstract methods alone."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from pypz.core.specs.misc import BlankOperator
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentState, deployer
from pypz.executors.commons import ExecutionMode


class Two(Pipeline):
    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.reader = BlankOperator()
        self.writer = BlankOperator()


class RecordedDeployer(Deployer):
    """Knows one pipeline, whose members go through recorded states, one for each look."""

    def __init__(self, **states: list[DeploymentState]) -> None:
        self._pipeline = Two("pipe")
        self._pipeline.reader.set_parameter("replicationFactor", 1)
        self._states: dict[str, Iterator[DeploymentState]] = {f"pipe.{name}": iter(s) for name, s in states.items()}

    def deploy(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
        wait: bool = True,
    ) -> None: ...

    def destroy(self, pipeline_name: str, force: bool = False, wait: bool = True) -> None: ...

    def restart_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None: ...

    def destroy_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None: ...

    def is_deployed(self, pipeline_name: str) -> bool:
        return pipeline_name == "pipe"

    def retrieve_pipeline_deployments(self) -> set[str]:
        return {"pipe"}

    def retrieve_deployed_pipeline(self, pipeline_name: str) -> Pipeline | None:
        return self._pipeline if self.is_deployed(pipeline_name) else None

    def retrieve_operator_state(self, operator_full_name: str) -> DeploymentState:
        return next(self._states[operator_full_name])

    def retrieve_operator_logs(self, operator_full_name: str) -> str | None:
        return None


OPEN, RUNNING, COMPLETED, FAILED = (
    DeploymentState.Open,
    DeploymentState.Running,
    DeploymentState.Completed,
    DeploymentState.Failed,
)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deployer, "ATTACH_INTERVAL_S", 0.0)


def test_states_are_told_for_every_member_by_its_full_name() -> None:
    found = RecordedDeployer(reader=[OPEN], reader_0=[RUNNING], writer=[COMPLETED]).retrieve_pipeline_state("pipe")
    assert found == {"pipe.reader": OPEN, "pipe.reader_0": RUNNING, "pipe.writer": COMPLETED}


def test_a_pipeline_that_is_not_deployed_has_no_states() -> None:
    assert RecordedDeployer().retrieve_pipeline_state("other") == {}


def test_states_are_asked_of_any_and_of_all_members() -> None:
    deployed = RecordedDeployer(reader=[OPEN] * 4, reader_0=[OPEN] * 4, writer=[COMPLETED] * 4)
    assert deployed.is_any_operator_in_state("pipe", COMPLETED, FAILED)
    assert not deployed.is_any_operator_in_state("pipe", FAILED)
    assert deployed.is_all_operator_in_state("pipe", COMPLETED, OPEN)
    assert not deployed.is_all_operator_in_state("pipe", OPEN)


def test_attach_tells_each_change_and_ends_when_nothing_is_open_or_running() -> None:
    deployed = RecordedDeployer(
        reader=[OPEN, RUNNING, COMPLETED, COMPLETED],
        reader_0=[OPEN, OPEN, RUNNING, COMPLETED],
        writer=[RUNNING, RUNNING, FAILED, FAILED],
    )
    told: list[tuple[str, DeploymentState]] = []
    deployed.attach("pipe", lambda operator, state: told.append((operator.get_simple_name(), state)))
    assert [state for name, state in told if name == "reader"] == [OPEN, RUNNING, COMPLETED]
    assert [state for name, state in told if name == "reader_0"] == [OPEN, RUNNING, COMPLETED]
    assert [state for name, state in told if name == "writer"] == [RUNNING, FAILED]


def test_attach_to_nothing_returns() -> None:
    RecordedDeployer().attach("other")


def test_the_values_of_states_are_those_that_users_know() -> None:
    assert OPEN.value == ("Open",)
    assert DeploymentState.NotExisting.value == "NotExisting"
    assert len(DeploymentState) == 7
