"""The deployer's interface, and what can be told from its answers alone."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from pypz.core.commons.errors import ConfigurationError
from pypz.deployers.base.plan import DeploymentPlan
from pypz.deployers.base.state import DeploymentState, MemberStatus
from pypz.executors.commons import ExecutionMode

if TYPE_CHECKING:
    from pypz.core.channels.runs.scaling import Scaled, ScalingPlan
    from pypz.core.specs.operator import Operator
    from pypz.core.specs.pipeline import Pipeline

ATTACH_INTERVAL_S: Final = 2.0
"""Seconds between two looks of `Deployer.attach`, for deployers that are not told of changes (contract of 0.10.2)."""

OnStateChange = Callable[["Operator", DeploymentState], None]


class Deployer(ABC):
    """Brings whole pipelines to a place where they run on their own, and looks after them there."""

    @property
    def place(self) -> str:
        """Where it deploys, in words that stand behind "in"; empty when it has but one place."""
        return ""

    @abstractmethod
    def deploy(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
        wait: bool = True,
    ) -> None:
        """Deploy every operator of the pipeline with its replicas.

        Args:
            pipeline: What to deploy.
            execution_mode: Mode that the operators are executed in.
            ignore_operators: Operators to be deployed in mode ``Skip``.
            wait: Return only when all of them exist.
        """

    @abstractmethod
    def destroy(self, pipeline_name: str, force: bool = False, wait: bool = True) -> None:
        """Remove a pipeline and all that its deployment made.

        Args:
            pipeline_name: Full name of the pipeline.
            force: Kill operators at once instead of letting them finish what they have begun.
            wait: Return only when nothing is left.
        """

    @abstractmethod
    def restart_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        """Start an operator anew, in the same run of its pipeline."""

    @abstractmethod
    def destroy_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        """Remove one operator of a pipeline."""

    def plan_scaling(self, operator_full_name: str, members: int) -> ScalingPlan:
        """Tell what `scale_operator` would change; nothing is changed.

        Raises:
            ConfigurationError: The operator cannot be scaled so, or this deployer scales nothing.
        """
        raise ConfigurationError(f"{type(self).__name__} cannot scale what it has deployed")

    def scale_operator(
        self, operator_full_name: str, members: int, on_plan: Callable[[ScalingPlan], None] = lambda plan: None
    ) -> Scaled:
        """Give an operator another number of members, in the same run; the others go on.

        Args:
            operator_full_name: Full name of the operator.
            members: From now on, the operator itself included: one more than ``replicationFactor``.
            on_plan: Called with what will change, before anything does.

        Raises:
            ConfigurationError: The operator cannot be scaled so, or this deployer scales nothing; nothing was changed.
        """
        raise ConfigurationError(f"{type(self).__name__} cannot scale what it has deployed")

    @abstractmethod
    def is_deployed(self, pipeline_name: str) -> bool:
        """Tell whether a pipeline of this name is deployed."""

    @abstractmethod
    def retrieve_pipeline_deployments(self) -> set[str]:
        """Tell the names of all deployed pipelines."""

    @abstractmethod
    def retrieve_deployed_pipeline(self, pipeline_name: str) -> Pipeline | None:
        """Rebuild a deployed pipeline; None when there is none of this name."""

    @abstractmethod
    def retrieve_operator_state(self, operator_full_name: str) -> DeploymentState:
        """Tell the state of one member: an operator, or one of its replicas."""

    @abstractmethod
    def retrieve_operator_logs(self, operator_full_name: str) -> str | None:
        """Give what one member has logged so far; None when there is nothing to read from."""

    def retrieve_pipeline_state(self, pipeline_name: str) -> dict[str, DeploymentState]:
        """Tell the state of every member by its full name; empty when the pipeline is not deployed."""
        return {name: self.retrieve_operator_state(name) for name in self._members_of(pipeline_name)}

    def retrieve_pipeline_status(self, pipeline_name: str) -> list[MemberStatus]:
        """Tell state, reason and whereabouts of every member; empty when the pipeline is not deployed."""
        return [MemberStatus(name, state) for name, state in self.retrieve_pipeline_state(pipeline_name).items()]

    def retrieve_description(self, pipeline_name: str) -> str | None:
        """Give a deployed pipeline's description as YAML, without need of its classes where the deployer can; None when
        there is none of this name.
        """
        pipeline = self.retrieve_deployed_pipeline(pipeline_name)
        return None if pipeline is None else str(pipeline)

    def retrieve_remains(self, pipeline_name: str) -> str:
        """Tell in a sentence what a pipeline that has failed leaves outside of the deployment, such as its channels, and what
        removes that; empty when nothing is known.
        """
        return ""

    def watch(self, pipeline_name: str, on_status: Callable[[MemberStatus], None], is_over: Callable[[], bool]) -> None:
        """Tell every member's status, then each change, until it is enough. Only looks: nothing is ended or changed.

        Args:
            pipeline_name: Full name of the pipeline; it may be deployed later, or be gone for a while.
            on_status: Called in this thread.
            is_over: Whether it is enough; asked at least once in two seconds.
        """
        told: dict[str, MemberStatus] = {}
        pause = threading.Event()
        while not is_over():
            found = {status.name: status for status in self.retrieve_pipeline_status(pipeline_name)}
            gone = {name: MemberStatus(name, DeploymentState.NotExisting) for name in told.keys() - found.keys()}
            for name, status in (found | gone).items():
                if told.get(name) != status:
                    told[name] = status
                    on_status(status)
            pause.wait(ATTACH_INTERVAL_S)

    def follow_operator_logs(self, operator_full_name: str, follow: bool = True, **options: Any) -> Iterator[str]:
        """Give the log of one member line by line; this default gives what there is so far.

        Args:
            operator_full_name: Full name of the operator or of one of its replicas.
            follow: Go on until the member ends.
            options: As the deployer documents them; this default knows none.
        """
        if options:
            raise ConfigurationError(f"{type(self).__name__} knows no log option {next(iter(options))!r}")
        yield from (self.retrieve_operator_logs(operator_full_name) or "").splitlines()

    def render(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
    ) -> str:
        """Give as text what `deploy` would make; secret values are left out.

        Raises:
            ConfigurationError: This deployer makes nothing that can be told as text.
        """
        raise ConfigurationError(f"{type(self).__name__} cannot render what it deploys")

    def plan(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
    ) -> DeploymentPlan:
        """Tell what deploying would change, against what is deployed under the pipeline's name; changes nothing.

        Raises:
            ConfigurationError: This deployer cannot tell beforehand.
        """
        raise ConfigurationError(f"{type(self).__name__} cannot plan what it deploys")

    def render_rights(self, account: str = "pypz-deployer") -> str:
        """Give as text what makes an account that may do what this deployer does, and no more.

        Args:
            account: Its name.

        Raises:
            ConfigurationError: Rights are nothing that this deployer knows of.
        """
        raise ConfigurationError(f"{type(self).__name__} knows of no rights to grant")

    def is_any_operator_in_state(self, pipeline_name: str, *state: DeploymentState) -> bool:
        """Tell whether some member is in one of these states."""
        return any(s in state for s in self.retrieve_pipeline_state(pipeline_name).values())

    def is_all_operator_in_state(self, pipeline_name: str, *state: DeploymentState) -> bool:
        """Tell whether every member is in one of these states."""
        return all(s in state for s in self.retrieve_pipeline_state(pipeline_name).values())

    def attach(self, pipeline_name: str, on_operator_state_change: OnStateChange | None = None) -> None:
        """Stay until no member is open or running any more.

        Args:
            pipeline_name: Full name of the pipeline.
            on_operator_state_change: Called with the operator and its new state on each change.
        """
        members = self._members_of(pipeline_name)
        seen: dict[str, DeploymentState] = {}
        pause = threading.Event()
        while True:
            states = {name: self.retrieve_operator_state(name) for name in members}
            for name, state in states.items():
                if on_operator_state_change is not None and seen.get(name) is not state:
                    on_operator_state_change(members[name], state)
            seen = states
            if not any(s in (DeploymentState.Open, DeploymentState.Running) for s in states.values()):
                return
            pause.wait(ATTACH_INTERVAL_S)

    def _members_of(self, pipeline_name: str) -> dict[str, Operator]:
        """Full name -> operator, replicas included; empty when the pipeline is not deployed."""
        from pypz.core.specs.instance import Internals

        pipeline = self.retrieve_deployed_pipeline(pipeline_name)
        members = {} if pipeline is None else Internals(pipeline).nested_instances
        return {operator.get_full_name(): operator for operator in members.values()}
