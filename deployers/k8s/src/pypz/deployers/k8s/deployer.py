"""`KubernetesDeployer`: pipelines on a Kubernetes cluster, an Indexed Job for each operator."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from pypz.core.hooks.events import DeployedRef
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.operator import Operator
from pypz.core.specs.pipeline import Pipeline
from pypz.deployers.base import Deployer, DeploymentPlan, DeploymentState, MemberStatus
from pypz.deployers.k8s.api import ClusterApi
from pypz.deployers.k8s.connection import load_configuration
from pypz.deployers.k8s.deployments import Deployments
from pypz.deployers.k8s.hiding import plain_secrets
from pypz.deployers.k8s.planning import members_of, plan_of
from pypz.deployers.k8s.rendering import rendered, rendered_rights
from pypz.deployers.k8s.rights import ACCOUNT
from pypz.deployers.k8s.starting import check_start, narrow_locations, privileged
from pypz.executors.commons import ExecutionMode
from pypz.utils.k8s.errors import DeployedClassNotFoundError, DeploymentException, DeploymentTypeError
from pypz.utils.k8s.names import MAX_LABEL, OBJECT_NAME

if TYPE_CHECKING:
    from kubernetes.client import Configuration

    from pypz.core.channels.runs.scaling import Scaled, ScalingPlan

_LOG_OPTIONS: Final = {
    "container": "container",
    "follow": "follow",
    "limit_bytes": "limitBytes",
    "previous": "previous",
    "since_seconds": "sinceSeconds",
    "tail_lines": "tailLines",
    "timestamps": "timestamps",
}


MAX_LAST_APPLIED_BYTES: Final = 240_000
"""Bytes of a description from which on `kubectl apply` may fail without ``--server-side``: all annotations of an object
together are 262,144 at most (Kubernetes)."""


class KubernetesDeployer(Deployer):
    """Deploys pipelines to one namespace of a Kubernetes cluster.

    A pipeline becomes a small ConfigMap ``pypz-<pipeline>`` that owns all else: its description, a Secret with its
    secret values where it has any, and an Indexed Job for each operator with its replicas.

    The cluster is looked for at the first call that needs it, and only that call imports the Kubernetes client.
    """

    def __init__(
        self,
        namespace: str = "default",
        configuration: Configuration | None = None,
        config_file: Any = None,
        verify_ssl: bool = True,
        mock_nonexistent_at_retrieval: bool = False,
        *,
        context: str | None = None,
    ) -> None:
        """Prepare a deployer; nothing is asked of the cluster yet.

        Args:
            namespace: Namespace of all objects; it must exist.
            configuration: Configuration of the official client; goes before all below.
            config_file: Path of a kubeconfig, or its content as a dictionary. When neither is given: ``KUBECONFIG``,
                ``~/.kube/config``, or the service account of the pod that this process runs in.
            verify_ssl: Whether the server must prove who it is; its certificate authority stands in the kubeconfig.
            mock_nonexistent_at_retrieval: Whether `retrieve_deployed_pipeline` stands in for classes that cannot be
                imported here.
            context: Context of the kubeconfig; None for its current one.

        Raises:
            DeploymentException: No namespace can have this name.
        """
        if not isinstance(namespace, str) or len(namespace) > MAX_LABEL or not OBJECT_NAME.fullmatch(namespace):
            raise DeploymentException(
                f"namespace {namespace!r}: expected lower case letters, digits and '-', {MAX_LABEL} at most, such as 'default'"
            )
        self._namespace = namespace
        self._context = context
        self._configuration = configuration
        self._config_file = config_file
        self._verify_ssl = verify_ssl
        self._mock_nonexistent = mock_nonexistent_at_retrieval
        self._connected: Deployments | None = None

    @property
    def place(self) -> str:
        """Its namespace, in words."""
        return f"namespace {self._namespace!r}"

    def __repr__(self) -> str:
        return f"{type(self).__name__}(namespace={self._namespace!r})"

    def deploy(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
        wait: bool = True,
    ) -> None:
        """Deploy every operator of the pipeline with its replicas, as a new run; all or nothing.

        Args:
            pipeline: What to deploy; each operator names its image in ``operatorImageName``.
            execution_mode: Mode that the operators are executed in.
            ignore_operators: Operators to be deployed in mode ``Skip``.
            wait: Return only when all pods exist (which is before they run).

        Raises:
            DeploymentConflictException: A pipeline of this name is deployed already.
            DeploymentException: An operator has no image, the cluster cannot be reached or refuses something; what was
                made is removed again.
            MissingParametersError: Required parameters have no value.
            ConfigurationError: A value makes no sense, or a location reaches no other pod.
        """
        plan = plan_of(pipeline, execution_mode, ignore_operators or ())
        check_start(pipeline, PluginHost.default())
        for warning in (*plain_secrets(plan), *privileged(plan)):
            _say(f"warning: {warning}")
        self._deployments().create(plan, wait)

    def attach(
        self, pipeline_name: str, on_operator_state_change: Callable[[Operator, DeploymentState], None] | None = None
    ) -> None:
        """Stay until every member has ended; returns also when the pipeline has failed.

        When an operator has failed for good the reason goes to stderr and the other operators are ended: they commit,
        their channels stay. Where the callback has restarted the operator (`restart_operator`) the pipeline goes on.
        Ctrl-C leaves the pipeline running.

        Args:
            pipeline_name: Full name of the pipeline.
            on_operator_state_change: Called with the operator and its new state on each change. Operators whose class
                cannot be imported here are stood in for.

        Raises:
            DeploymentNotFoundException: The pipeline is not deployed.
            DeploymentException: The cluster was out of reach for too long.
        """
        host, place = PluginHost.default(), f"kubernetes, namespace {self._namespace}"

        def tell_observers(status: MemberStatus) -> None:
            ref = DeployedRef(pipeline_name, status.name, place, status.host, status.restarts)
            host.deployment_changed(ref, status.state.name, status.reason)

        deployments = self._deployments()
        if on_operator_state_change is None:
            deployments.attach(pipeline_name, None, tell_observers)
            return
        tell = on_operator_state_change
        operators: dict[str, Operator] = {}

        def tell_user(name: str, state: DeploymentState) -> None:
            if name not in operators:  # the first of all, or one that scaling has added
                config = deployments.config(pipeline_name)
                found = None if config is None else Pipeline.create_from_string(config, mock_nonexistent=True)
                operators.update({} if found is None else {o.get_full_name(): o for o in members_of(found)})
            if name in operators:
                tell(operators[name], state)

        deployments.attach(pipeline_name, tell_user, tell_observers)

    def destroy(self, pipeline_name: str, force: bool = False, wait: bool = True) -> None:
        """Remove a pipeline and all that its deployment made; where it has not ended well its channels stay, and are told.

        Args:
            pipeline_name: Full name of the pipeline.
            force: Kill pods at once; else operators finish what they have begun and commit.
            wait: Return only when nothing is left.

        Raises:
            DeploymentNotFoundException: The pipeline is not deployed.
            DeploymentException: Something did not go in time.
        """
        self._deployments().destroy(pipeline_name, force, wait)

    def restart_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        """Start an operator with all its replicas anew, in the same run; members that have ended stay ended.

        Args:
            operator_full_name: Full name of the operator, or of one of its replicas.
            force: Kill its pods at once.
            wait: Return only when its new pods exist.

        Raises:
            DeploymentNotFoundException: The operator is not deployed.
            DeploymentConflictException: It is being scaled, or that broke off: `scale_operator` goes on with it.
        """
        self._deployments().restart_operator(operator_full_name, force, wait)

    def destroy_operator(self, operator_full_name: str, force: bool = False, wait: bool = True) -> None:
        """Remove an operator with all its replicas; the others go on.

        Raises:
            DeploymentNotFoundException: The operator is not deployed.
        """
        self._deployments().destroy_operator(operator_full_name, force, wait)

    def plan_scaling(self, operator_full_name: str, members: int) -> ScalingPlan:
        """Tell what `scale_operator` would change; nothing is changed.

        Raises:
            DeploymentNotFoundException: The operator is not deployed.
            ConfigurationError: It cannot be scaled so; says why, and what can be done.
        """
        return self._deployments().rescaling(operator_full_name, members).plan()

    def scale_operator(
        self, operator_full_name: str, members: int, on_plan: Callable[[ScalingPlan], None] = lambda plan: None
    ) -> Scaled:
        """Give an operator another number of members, in the same run; the other operators go on.

        Its members commit and stop, their partitions are handed over, then as many as asked for start. The locations of
        its channels must be reachable from here.

        Args:
            operator_full_name: Full name of the operator.
            members: From now on, the operator itself included: one more than ``replicationFactor``.
            on_plan: Called with what will change, before anything does.

        Raises:
            DeploymentNotFoundException: The operator is not deployed.
            ConfigurationError: It cannot be scaled so, or a location cannot be reached; nothing was changed.
            DeploymentException: A member did not stop in time; all go on as they were.
        """
        return self._deployments().rescaling(operator_full_name, members).carry_out(on_plan)

    def is_deployed(self, pipeline_name: str) -> bool:
        """Tell whether a pipeline of this name is deployed and not being removed."""
        return self._deployments().is_deployed(pipeline_name)

    def retrieve_pipeline_deployments(self) -> set[str]:
        """Tell the full names of all pipelines deployed in the namespace."""
        return self._deployments().names()

    def retrieve_deployed_pipeline(self, pipeline_name: str) -> Pipeline | None:
        """Rebuild a deployed pipeline with its replicas; its secrets stay references such as ``$(env:PYPZ_SECRET_...)``.

        Returns:
            None when no pipeline of this name is deployed.

        Raises:
            DeploymentException: A class cannot be imported here, and ``mock_nonexistent_at_retrieval`` is not set; a
                ModuleNotFoundError, too.
        """
        config = self._deployments().config(pipeline_name)
        if config is None:
            return None
        try:
            pipeline: Pipeline = Pipeline.create_from_string(config, mock_nonexistent=self._mock_nonexistent)
        except (ImportError, AttributeError) as error:
            raise DeployedClassNotFoundError(
                f"{pipeline_name} is deployed, but cannot be rebuilt here: {error}; "
                "KubernetesDeployer(mock_nonexistent_at_retrieval=True) allows them"
            ) from error
        return pipeline

    def retrieve_operator_state(self, operator_full_name: str) -> DeploymentState:
        """Tell the state of one member: an operator, or one of its replicas."""
        states = self._deployments().states(operator_full_name.partition(".")[0])
        return states.get(operator_full_name, DeploymentState.NotExisting)

    def retrieve_pipeline_state(self, pipeline_name: str) -> dict[str, DeploymentState]:
        """Tell the state of every member by its full name; empty when the pipeline is not deployed."""
        return self._deployments().states(pipeline_name)

    def retrieve_pipeline_status(self, pipeline_name: str) -> list[MemberStatus]:
        """Tell state, reason and whereabouts of every member; empty when the pipeline is not deployed."""
        return self._deployments().statuses(pipeline_name)

    def retrieve_description(self, pipeline_name: str) -> str | None:
        """Give a deployed pipeline's description as YAML; its classes need not be installed here."""
        return self._deployments().config(pipeline_name)

    def retrieve_remains(self, pipeline_name: str) -> str:
        """Tell in a sentence which channels a pipeline that has failed leaves, and what removes them; empty when none."""
        return self._deployments().remains(pipeline_name)

    def watch(self, pipeline_name: str, on_status: Callable[[MemberStatus], None], is_over: Callable[[], bool]) -> None:
        """Tell every member's status, then each change as the cluster tells it, until it is enough. Only looks.

        Raises:
            DeploymentException: The cluster was out of reach for too long, or refuses us.
        """
        self._deployments().watch(pipeline_name, on_status, is_over)

    def retrieve_operator_logs(self, operator_full_name: str, **kwargs: Any) -> str | None:
        """Give what one member has logged so far; a replica has its own name, such as ``pipeline.reader_0``.

        Args:
            operator_full_name: Full name of the operator or of one of its replicas.
            kwargs: ``container``, ``follow``, ``limit_bytes``, ``previous``, ``since_seconds``, ``tail_lines`` or
                ``timestamps``, as in the Kubernetes API.

        Returns:
            None when the member has no pod, or with ``previous`` was not started before.

        Raises:
            DeploymentNotFoundException: There is no such member.
        """
        return self._deployments().logs(operator_full_name, _as_query(kwargs))

    def follow_operator_logs(self, operator_full_name: str, follow: bool = True, **options: Any) -> Iterator[str]:
        """Give the log of one member line by line as it comes, until its pod ends.

        Args:
            operator_full_name: Full name of the operator or of one of its replicas.
            follow: Go on until its pod ends; else give what there is so far.
            options: As of `retrieve_operator_logs`.
        """
        yield from self._deployments().follow_logs(operator_full_name, _as_query({"follow": follow, **options}))

    def render(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
    ) -> str:
        """Give the YAML of all objects that `deploy` would make, always in the same order and with the same names.

        Instead of secret values it has the Secrets' names in a comment: make them by means of your own. The run's id is
        made of the pipeline's description, so that the same pipeline gives the same text.
        """
        plan = plan_of(pipeline, execution_mode, ignore_operators or ())
        if len(plan.config.encode()) > MAX_LAST_APPLIED_BYTES:
            _say(
                f"warning: the description of {plan.name} is too large for the annotation in which `kubectl apply` keeps "
                "what it applied last; `kubectl apply --server-side` needs none"
            )
        return rendered(plan, self._namespace)

    def plan(
        self,
        pipeline: Pipeline,
        execution_mode: ExecutionMode = ExecutionMode.Standard,
        ignore_operators: list[Operator] | None = None,
    ) -> DeploymentPlan:
        """Tell what deploying would change: asks the cluster by a dry run, so that all that it would refuse is told, too.

        Raises:
            DeploymentException: An operator has no image, or the cluster cannot be asked.
        """
        found = self._deployments().compare(plan_of(pipeline, execution_mode, ignore_operators or ()))
        found.errors += narrow_locations(pipeline, PluginHost.default())
        return found

    def render_rights(self, account: str = ACCOUNT) -> str:
        """Give the YAML of a ServiceAccount, with its Role, that may do in the namespace what this deployer does, and no more.

        Args:
            account: Its name.
        """
        return rendered_rights(account, self._namespace)

    def _deployments(self) -> Deployments:
        if self._connected is None:
            configuration = load_configuration(self._configuration, self._config_file, self._verify_ssl, self._context)
            self._connected = Deployments(ClusterApi(configuration, self._namespace), _say)
        return self._connected


def _as_query(options: Mapping[str, Any]) -> dict[str, str]:
    unknown = sorted(options.keys() - _LOG_OPTIONS.keys())
    if unknown:
        raise DeploymentTypeError(f"unknown log option {unknown[0]!r}; accepted: {', '.join(_LOG_OPTIONS)}")
    given = {_LOG_OPTIONS[name]: value for name, value in options.items() if value is not None}
    return {name: str(value).lower() if isinstance(value, bool) else str(value) for name, value in given.items()}


def _say(text: str) -> None:
    print(f"pypz: {text}", file=sys.stderr, flush=True)
