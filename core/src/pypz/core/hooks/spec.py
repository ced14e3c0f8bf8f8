"""What pypz asks of its plugins: contract 1, entry point group ``pypz.v1``.

Building hooks describe and build; they do no I/O. Observing hooks are told what happened, by one dispatcher thread a
process, never from the hot path of a record; a pipeline never waits for an observer.
Adding an argument keeps the contract; anything else opens ``pypz.v2``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport
    from pypz.core.codecs.spi import Codec
    from pypz.core.commons.loggers import ContextLoggerInterface
    from pypz.core.hooks.events import (
        ChannelStatus,
        DeployedRef,
        ErrorInfo,
        LogRecord,
        OperatorRef,
        PipelineRef,
        PortRef,
        ProcessStatus,
    )
    from pypz.core.specs.operator import Operator
    from pypz.deployers.base import Deployer

CONTRACT: Final = 1
"""Number of this contract. A plugin module may state it as ``PYPZ_CONTRACT = 1``; another number is refused."""

ENTRY_POINT_GROUP: Final = "pypz.v1"

hookspec = pluggy.HookspecMarker("pypz")
hookimpl = pluggy.HookimplMarker("pypz")


# --- building ---------------------------------------------------------------------------------------------------------


@hookspec(firstresult=True)
def pypz_make_transport(location: str, options: Mapping[str, str]) -> Transport | None:
    """Build the transport that carries channels at ``location``; the first answer that is not None wins.

    Asked once per location and options in a process, before its first channel is opened. Does no I/O.

    Args:
        location: Address of the transport, such as ``kafka://broker:9092``; its scheme says whose it is.
        options: The port's ``channelConfig``, values as text.

    Returns:
        A transport not yet connected, or None when the scheme of ``location`` is not yours.

    Raises:
        ConfigurationError: The scheme is yours, but an option makes no sense.
    """


@hookspec(firstresult=True)
def pypz_make_codec(schema: Any, content_type: str) -> Codec | None:
    """Build the codec for ``schema``; the first answer that is not None wins.

    Asked once per port, when it is opened. Does no I/O.

    Args:
        schema: What the user gave the port; None when nothing was given.
        content_type: What the port asks for, such as ``avro``; empty when it takes any that fits the schema.

    Returns:
        A codec with the schema parsed, or None when this schema or content type is not yours.

    Raises:
        SchemaError: The schema is yours, but cannot be parsed.
    """


@hookspec(firstresult=True)
def pypz_make_logger(operator: Operator) -> ContextLoggerInterface | None:
    """Build a logger for an operator that carries no logger plugin; the first answer that is not None wins.

    Asked when an operator's executor is built, only where the starter wants log lines (``pypz run`` does), never for an
    operator with a logger plugin of its own. Without an answer such an operator stays silent.

    Args:
        operator: The operator; only its names may be read.

    Returns:
        A logger, or None.
    """


@hookspec(firstresult=True)
def pypz_make_deployer(target: str, options: Mapping[str, str]) -> Deployer | None:
    """Build what brings pipelines to ``target``; the first answer that is not None wins.

    Asked by commands such as ``pypz deploy`` and ``pypz status``. Does no I/O: the place is looked for when it is needed.

    Args:
        target: Kind of place, such as ``kubernetes``.
        options: Which one, by names that the deployer documents, such as ``namespace``.

    Returns:
        A deployer, or None when ``target`` is not yours.

    Raises:
        ConfigurationError: The target is yours, but an option makes no sense.
    """


# --- observing --------------------------------------------------------------------------------------------------------


@hookspec
def pypz_pipeline_started(pipeline: PipelineRef) -> None:
    """A run was started; told once in the process that started it, and by receivers."""


@hookspec
def pypz_pipeline_finished(pipeline: PipelineRef, outcome: str) -> None:
    """A run has ended for good.

    Args:
        pipeline: Which run.
        outcome: ``finished``, ``failed`` or ``interrupted``.
    """


@hookspec
def pypz_operator_state_changed(operator: OperatorRef, old: str, new: str, at_utc: float) -> None:
    """A member went from one state of the executor to another; never dropped.

    Args:
        operator: Which start of which member.
        old: Name of the state it left, such as ``StateOperationInit``; empty when not known.
        new: Name of the state it is in.
        at_utc: When, in seconds since 1970 by the member's own clock; for display only, 0 where it is not known.
    """


@hookspec
def pypz_operator_failed(operator: OperatorRef, during: str, error: ErrorInfo) -> None:
    """A member failed.

    Args:
        operator: Which start of which member.
        during: Name of the state it happened in.
        error: What happened; secrets masked.
    """


@hookspec
def pypz_operator_finished(operator: OperatorRef, exit_code: int) -> None:
    """A member ended; 0 is success, else one of ``ExitCodes``."""


@hookspec
def pypz_port_opened(port: PortRef) -> None:
    """A channel port is open: its channels exist and its client is connected."""


@hookspec
def pypz_port_closed(port: PortRef) -> None:
    """A channel port was closed."""


@hookspec
def pypz_channel_status(status: ChannelStatus) -> None:
    """Figures of a port on a channel; at most twice a second each, the latest kept when there are more."""


@hookspec
def pypz_process_status(status: ProcessStatus) -> None:
    """What a process that executes members uses; at most once a second, the latest kept when there are more.

    Told of processes that are connected to a location; what a member without channels uses is not told.
    """


@hookspec
def pypz_log(record: LogRecord) -> None:
    """A member logged a line: by the logger of its operator or one of its plugins, or its executor did.

    Whether or not the operator carries a logger plugin; INFO and above, unless its ``logStreamLevel`` says otherwise. At most
    100 a second of each member, 20 of them for warnings and errors only; how many were left out is told by a line of its own.

    Args:
        record: The line, and whose it is.
    """


@hookspec
def pypz_deployment_changed(member: DeployedRef, state: str, reason: str) -> None:
    """A deployed member is in another state, as the place that it was deployed to says.

    Told where somebody stays with the deployment (`Deployer.attach`), or watches it (`Deployer.watch`).

    Args:
        member: Which member, and where.
        state: Name of its ``DeploymentState``, such as ``Running``.
        reason: Why, in words; empty when there is nothing to say.
    """
