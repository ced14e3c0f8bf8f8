"""Operators: the working parts of a pipeline."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, cast

from pypz.core.commons.clock import OperatorClock, clock_outside
from pypz.core.commons.errors import CheckpointError, ConfigurationError, InstanceError
from pypz.core.commons.loggers import ContextLogger, ContextLoggerInterface
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs import _creation, _describe
from pypz.core.specs._fan_out import FanOutLogger, Tap
from pypz.core.specs._interception import RegisteredInterface
from pypz.core.specs._replica import OperatorReplica
from pypz.core.specs.dtos import OperatorConnection, OperatorConnectionSource, OperatorInstanceDTO
from pypz.core.specs.instance import Instance, InstanceGroup
from pypz.core.specs.plugin import InputPortPlugin, LoggerPlugin, OutputPortPlugin, Plugin

if TYPE_CHECKING:
    from pypz.core.channels.members.checkpoints import Checkpoints
    from pypz.core.specs.dtos import InstanceDTO
    from pypz.core.specs.pipeline import Pipeline


class Operator(Instance[Plugin], InstanceGroup, RegisteredInterface, ABC):
    """Base of all operators: implement `_on_init`, `_on_running` and `_on_shutdown`.

    Parameters:
        operatorImageName: Image that the operator is deployed with.
        replicationFactor: Number of additional copies.
        deliveryGuarantee: ``at-least-once`` or ``at-most-once``.
        commitIntervalMs: Milliseconds between two commits of what was processed.
        drainTimeoutMs: Milliseconds that an interrupted operator has for its last commit.
        logStreamLevel: From which level on log lines go to observers and the pipeline's log stream: ``ERROR``, ``WARNING``,
            ``INFO``, ``DEBUG``, or ``OFF`` for none.
    """

    Replica = OperatorReplica
    Logger = FanOutLogger

    _pypz_dto_type = OperatorInstanceDTO
    _pypz_executor: Any = None
    """What executes this operator at present; None when nothing does."""
    _pypz_checkpoints: Checkpoints | None = None
    """Where `checkpoint` goes during an execution; None outside of one."""
    _pypz_clock: OperatorClock | None = None
    """What `get_clock` gives during an execution; None outside of one."""
    _pypz_own_logger: ContextLoggerInterface | None = None
    """Logger that the executor gives to an operator without logger plugin; None for silence."""
    _pypz_tap: Tap | None = None
    """What tells observers of log lines during an execution; None outside of one."""

    def _pypz_on_replication(self, value: int | None) -> None:
        if self._pypz_origin() is None:
            self._pypz_set_replicas(value or 0)

    _operator_image_name = OptionalParameter(
        str, alt_name="operatorImageName", description="Image that the operator is deployed with"
    )
    _replication_factor = OptionalParameter(
        int,
        alt_name="replicationFactor",
        description="Number of additional copies of the operator",
        on_update=_pypz_on_replication,
    )
    _delivery_guarantee = OptionalParameter(
        str,
        alt_name="deliveryGuarantee",
        description="at-least-once: a crash repeats; at-most-once: a crash loses what was handed out last",
    )
    _commit_interval_ms = OptionalParameter(
        int, alt_name="commitIntervalMs", description="Milliseconds between two commits of what was processed"
    )
    _drain_timeout_ms = OptionalParameter(
        int,
        alt_name="drainTimeoutMs",
        description="Milliseconds that an interrupted operator has to commit what it has processed",
    )
    _log_stream_level = OptionalParameter(
        str,
        alt_name="logStreamLevel",
        description="Log lines for viewers, from which level on: ERROR, WARNING, INFO, DEBUG, or OFF for none",
    )

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, Plugin, *args, **kwargs)
        vars(self)["_pypz_replicas"] = []
        self._operator_image_name = None
        self._replication_factor = 0
        self._delivery_guarantee = "at-least-once"
        self._commit_interval_ms = 100
        self._drain_timeout_ms = 10_000
        self._log_stream_level = "INFO"

    @abstractmethod
    def _on_init(self) -> bool:
        """Prepare; called once the ports are open. True when done, False to be called again."""

    @abstractmethod
    def _on_running(self) -> bool | None:
        """Work; called again and again. True ends, False goes on, None ends once no input port can retrieve any more."""

    @abstractmethod
    def _on_shutdown(self) -> bool:
        """Clean up; called before the ports are closed. True when done, False to be called again."""

    def checkpoint(self, value: bytes) -> None:
        """Store something of the operator's own with the unit of work that is going on, to be given back to a later start.

        It is committed together with the positions of what the iteration retrieves, after what it sends is safe: the way in
        which an operator without input resumes where it was killed. The last value of an iteration counts; that of an iteration
        that fails is forgotten. It outlives the run, as positions do, and belongs to this member, not to its replicas.

        With ``deliveryGuarantee`` ``at-most-once`` it is committed before this returns, and comes before what is sent.

        Args:
            value: At most 2,048 bytes; ``b""`` forgets what is stored.

        Raises:
            CheckpointError: It is too large or not bytes, or the operator is not being executed, or has no channel port that is
                open and could carry it; or, at most once, the iteration has sent something already.
        """
        self._pypz_checkpoints_now().checkpoint(value)

    def get_checkpoint(self) -> bytes | None:
        """Give what `checkpoint` stored last, from `_on_init` on: in an earlier start, until this one stores another.

        Returns:
            The value; None when nothing is stored.

        Raises:
            CheckpointError: The operator is not being executed.
        """
        return self._pypz_checkpoints_now().get_checkpoint()

    def _pypz_checkpoints_now(self) -> Checkpoints:
        if self._pypz_checkpoints is None:
            raise CheckpointError(
                f"{self.get_full_name()}: checkpoints exist while an executor executes the operator, from _on_init to "
                "_on_shutdown; use them there"
            )
        return self._pypz_checkpoints

    def get_clock(self) -> OperatorClock:
        """Give the time by which the operator is executed: code that reads the time and pauses by it can be tested.

        That is the process's own time, but in a test with `pypz.testing.FakeClock`.
        """
        return self._pypz_clock or clock_outside()

    def get_context(self) -> Pipeline:
        """Give the pipeline; None when there is none."""
        return cast("Pipeline", super().get_context())

    def get_logger(self) -> ContextLogger:
        """Give a logger that hands each event to all logger plugins."""
        return ContextLogger(self._pypz_logger(), self.get_full_name())

    def get_replication_factor(self) -> int:
        """Give the number of additional copies."""
        return cast("int", self.get_parameter("replicationFactor") or 0)

    def get_operator_image_name(self) -> str | None:
        """Give the image that the operator is deployed with."""
        return cast("str | None", self.get_parameter("operatorImageName"))

    # --- group --------------------------------------------------------------------------------------------------------

    def get_group_size(self) -> int:
        """Give the number of members: principal and replicas."""
        return len(self._pypz_principal()._pypz_replica_list()) + 1

    def get_group_index(self) -> int:
        """Give the own index in the group; 0 is the principal."""
        return int(self._pypz_framework_arguments.get("replication_group_index") or 0)

    def get_group_name(self) -> str | None:
        """Give the full name of the principal; None when not replicated."""
        principal = self._pypz_principal()
        return principal.get_full_name() if principal._pypz_replica_list() else None

    def get_group_principal(self) -> Instance[Any] | None:
        """Give the member of index 0."""
        return self._pypz_principal()

    def is_principal(self) -> bool:
        """Tell whether this is the member of index 0."""
        return self._pypz_origin() is None

    def get_replica(self, replica_id: int) -> OperatorReplica:
        """Give a replica; 0 is the first.

        Raises:
            InstanceError: There are not so many; an AttributeError.
        """
        replicas = self.get_replicas()
        if not 0 <= replica_id < len(replicas):
            raise InstanceError(f"{self.get_full_name()}: there is no replica {replica_id}, but {len(replicas)} in all")
        return replicas[replica_id]

    def get_replicas(self) -> tuple[OperatorReplica, ...]:
        """Give all replicas, in order."""
        return tuple(self._pypz_principal()._pypz_replica_list())

    # --- descriptions -------------------------------------------------------------------------------------------------

    def get_dto(self) -> OperatorInstanceDTO:
        """Describe the operator, its plugins and the connections of its input ports."""
        description = cast("OperatorInstanceDTO", super().get_dto())
        connections = [
            (port.get_simple_name(), other.get_context().get_simple_name(), other.get_simple_name())
            for port in self._pypz_own_nested()
            if isinstance(port, InputPortPlugin)
            for other in port.get_connected_ports()
        ]
        description.connections = [
            OperatorConnection(port, OperatorConnectionSource(operator, output))
            for port, operator, output in sorted(connections)
        ]
        return description

    def update(self, source: InstanceDTO | dict[str, Any] | str) -> None:
        """Set parameters, plugins and dependencies as a description says, then add its connections.

        Raises:
            InstanceError: Also for an unknown input port, source operator or output port; an AttributeError.
        """
        description = _creation.read(source, OperatorInstanceDTO)
        _describe.update(self, description)
        for connection in description.connections or ():
            self._pypz_add_connection(connection)

    @staticmethod
    def create_from_dto(instance_dto: Any, *args: Any, **kwargs: Any) -> Any:
        """Build an operator from its description."""
        return Instance.create_from_dto(instance_dto, *args, **kwargs)

    @staticmethod
    def create_from_string(source: str, *args: Any, **kwargs: Any) -> Any:
        """Build an operator from its description as YAML or JSON."""
        return Instance.create_from_string(source, *args, **kwargs)

    # --- for the framework ----------------------------------------------------------------------------------------------

    def _pypz_origin(self) -> Operator | None:
        """The operator this was made from as a replica; None for a principal."""
        return cast("Operator | None", self._pypz_framework_arguments.get("replication_origin"))

    def _pypz_principal(self) -> Operator:
        return self._pypz_origin() or self

    def _pypz_replica_list(self) -> list[OperatorReplica]:
        return cast("list[OperatorReplica]", vars(self)["_pypz_replicas"])

    def _pypz_secret_scope(self) -> str:
        return self._pypz_principal().get_full_name()

    def _pypz_logger(self) -> ContextLoggerInterface:
        plugins = [plugin for plugin in self._pypz_own_nested() if isinstance(plugin, LoggerPlugin)]
        own = [] if self._pypz_own_logger is None else [self._pypz_own_logger]
        return FanOutLogger(plugins or own, lambda: self._pypz_tap)

    def _pypz_set_replicas(self, count: int) -> None:
        if count < 0:
            raise ConfigurationError(f"{self.get_full_name()}: replicationFactor is {count}, expected 0 or more")
        replicas = self._pypz_replica_list()
        added = [OperatorReplica(self, index) for index in range(len(replicas), count)]
        removed = replicas[count:]
        pipeline = self._pypz_context
        if pipeline is not None:
            taken = [name for r in added if (name := r.get_simple_name()) in pipeline._pypz_nested]
            if taken:
                raise InstanceError(
                    f"{self.get_full_name()}: replicas need the names {', '.join(taken)}, which other operators of "
                    "the pipeline have; rename these"
                )
            for replica in removed:
                pipeline._pypz_nested.pop(replica.get_simple_name(), None)
                vars(pipeline).pop(replica.get_simple_name(), None)
            for replica in added:
                pipeline._pypz_register(replica)
                vars(pipeline)[replica.get_simple_name()] = replica
        replicas[:] = [*replicas[:count], *added]

    def _pypz_add_connection(self, connection: OperatorConnection) -> None:
        here, source, pipeline = self.get_full_name(), connection.source, self.get_context()
        port = self._pypz_nested.get(str(connection.inputPortName))
        if not isinstance(port, InputPortPlugin):
            raise InstanceError(f"{here}: a connection names '{connection.inputPortName}', which is no input port here")
        other = None if pipeline is None or source is None else pipeline._pypz_nested.get(str(source.instanceName))
        if source is None or other is None:
            raise InstanceError(
                f"{here}: the connection of '{connection.inputPortName}' names the operator "
                f"'{source.instanceName if source else None}', which is not in the pipeline"
            )
        output = other._pypz_nested.get(str(source.outputPortName))
        if not isinstance(output, OutputPortPlugin):
            raise InstanceError(
                f"{here}: the connection of '{connection.inputPortName}' names '{source.outputPortName}', "
                f"which is no output port of {other.get_full_name()}"
            )
        if output not in port.get_connected_ports():
            port.connect(output)
