"""The kit for deployers: what every deployer promises, one test each."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pypz.core.commons.errors import PypzError
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentState
from pypz.testing.promises import Worker, promise, result_of

ENDED = (DeploymentState.Completed, DeploymentState.Failed)


class DeployerConformance:
    """What every deployer promises. Give the fixtures; leave the tests alone.

    - ``deployer``: the deployer under test;
    - ``pipeline``: one of two operators or more, one with replicas and one without; all end well by themselves, and each of their
      starts logs something of its own, such as the time.
    """

    @pytest.fixture
    def patience_s(self) -> float:
        """Seconds after which a call that has not returned has failed."""
        return 180.0

    @pytest.fixture
    def name(self, pipeline: Pipeline) -> str:
        """The pipeline's name."""
        return str(pipeline.get_full_name())

    @pytest.fixture
    def members(self, pipeline: Pipeline) -> set[str]:
        """Full names of all operators and replicas."""
        return {member.get_full_name() for member in Internals(pipeline).nested_instances.values()}

    @pytest.fixture
    def call(self, patience_s: float) -> Iterator[Callable[..., Any]]:
        """Calls a method; one that does not return in time fails the test."""
        worker = Worker("deploys")
        yield lambda method, *args, **kwargs: result_of(
            worker.submit(lambda: method(*args, **kwargs)), f"Deployer.{method.__name__}", patience_s
        )
        worker.close()

    @pytest.fixture
    def deployed(self, deployer: Deployer, pipeline: Pipeline, name: str, call: Callable[..., Any]) -> Iterator[None]:
        """The pipeline is deployed, and destroyed in the end."""
        call(deployer.deploy, pipeline)
        yield
        with contextlib.suppress(PypzError):
            call(deployer.destroy, name, force=True)

    @promise(1)
    def test_01_what_is_not_deployed_is_told_as_absent_not_as_an_error(
        self, deployer: Deployer, name: str, members: set[str], call: Callable[..., Any]
    ) -> None:
        """Also before anything was ever deployed."""
        assert call(deployer.is_deployed, name) is False
        assert name not in call(deployer.retrieve_pipeline_deployments)
        assert call(deployer.retrieve_deployed_pipeline, name) is None
        assert call(deployer.retrieve_pipeline_state, name) == {}
        for member in members:
            assert call(deployer.retrieve_operator_state, member) is DeploymentState.NotExisting
            with contextlib.suppress(PypzError):  # where it tells names that are wrong
                assert call(deployer.retrieve_operator_logs, member) is None

    @promise(2)
    @pytest.mark.usefixtures("deployed")
    def test_02_a_deployed_pipeline_is_listed_rebuilt_and_has_a_state_for_each_member(
        self, deployer: Deployer, pipeline: Pipeline, name: str, members: set[str], call: Callable[..., Any]
    ) -> None:
        """Replicas included; from the return of `deploy` on."""
        states = call(deployer.retrieve_pipeline_state, name)
        assert set(states) == members
        assert DeploymentState.NotExisting not in states.values()
        assert call(deployer.is_deployed, name) is True
        assert name in call(deployer.retrieve_pipeline_deployments)
        assert call(deployer.retrieve_deployed_pipeline, name).get_dto() == pipeline.get_dto()

    @promise(3)
    @pytest.mark.usefixtures("deployed")
    def test_03_a_second_deployment_of_a_name_is_refused_and_leaves_the_first(
        self, deployer: Deployer, pipeline: Pipeline, name: str, members: set[str], call: Callable[..., Any]
    ) -> None:
        """With an error of pypz."""
        with pytest.raises(PypzError):
            call(deployer.deploy, pipeline)
        assert set(call(deployer.retrieve_pipeline_state, name)) == members
        assert DeploymentState.NotExisting not in call(deployer.retrieve_pipeline_state, name).values()

    @promise(4)
    @pytest.mark.usefixtures("deployed")
    def test_04_attach_tells_each_members_end_and_returns(
        self, deployer: Deployer, name: str, members: set[str], call: Callable[..., Any]
    ) -> None:
        """Then all are completed, and their logs can be read."""
        told: dict[str, list[DeploymentState]] = {}
        call(deployer.attach, name, lambda operator, state: told.setdefault(operator.get_full_name(), []).append(state))
        assert {member: states[-1] for member, states in told.items()} == dict.fromkeys(
            members, DeploymentState.Completed
        )
        assert all(one is not other for states in told.values() for one, other in itertools.pairwise(states))
        assert call(deployer.is_all_operator_in_state, name, DeploymentState.Completed)
        assert not call(deployer.is_any_operator_in_state, name, DeploymentState.Failed)
        assert all(isinstance(call(deployer.retrieve_operator_logs, member), str) for member in members)

    @promise(5)
    @pytest.mark.usefixtures("deployed")
    def test_05_an_operator_is_removed_alone(
        self, deployer: Deployer, pipeline: Pipeline, name: str, members: set[str], call: Callable[..., Any]
    ) -> None:
        """The others stay as they are."""
        victim = next(m for m in Internals(pipeline).nested_instances.values() if m.get_group_size() == 1)
        call(deployer.destroy_operator, victim.get_full_name())
        assert call(deployer.retrieve_operator_state, victim.get_full_name()) is DeploymentState.NotExisting
        others = members - {victim.get_full_name()}
        assert DeploymentState.NotExisting not in {call(deployer.retrieve_operator_state, other) for other in others}
        assert call(deployer.is_deployed, name) is True

    @promise(6)
    @pytest.mark.usefixtures("deployed")
    def test_06_an_operator_that_has_ended_is_started_again(
        self, deployer: Deployer, pipeline: Pipeline, name: str, call: Callable[..., Any]
    ) -> None:
        """It was there at the return of `restart_operator`, and ends again."""
        call(deployer.attach, name)
        again = next(m for m in Internals(pipeline).nested_instances.values() if m.get_group_size() == 1)
        before = call(deployer.retrieve_operator_logs, again.get_full_name())
        call(deployer.restart_operator, again.get_full_name())
        told: list[DeploymentState] = []

        def keep(operator: Any, state: DeploymentState) -> None:
            if operator.get_full_name() == again.get_full_name():
                told.append(state)

        call(deployer.attach, name, keep)
        assert told[-1] is DeploymentState.Completed
        assert call(deployer.retrieve_operator_logs, again.get_full_name()) != before

    @promise(7)
    @pytest.mark.usefixtures("deployed")
    def test_07_after_destroy_nothing_is_left_and_the_name_may_be_deployed_again(
        self, deployer: Deployer, pipeline: Pipeline, name: str, members: set[str], call: Callable[..., Any]
    ) -> None:
        """At once: `destroy` returns when all is gone."""
        call(deployer.destroy, name)
        assert call(deployer.is_deployed, name) is False
        assert name not in call(deployer.retrieve_pipeline_deployments)
        assert {call(deployer.retrieve_operator_state, member) for member in members} == {DeploymentState.NotExisting}
        call(deployer.deploy, pipeline)
        assert call(deployer.is_deployed, name) is True
