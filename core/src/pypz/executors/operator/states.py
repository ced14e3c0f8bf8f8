"""The life of an operator as tables: states, signals, which signal leads where, and what each state calls.

Names of states and signals are what users see in logs, ``(StateA)--[SignalX]-->(StateB)``, and in hooks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Final

from pypz.core.specs.operator import Operator
from pypz.core.specs.plugin import PortPlugin, ResourceHandlerPlugin, ServicePlugin
from pypz.executors.commons import ExecutionMode, ExitCodes


class State(Enum):
    """Where an execution stands."""

    StateEntry = auto()
    StateServiceStart = auto()
    StateResourceCreation = auto()
    StateOperationInit = auto()
    StateOperationRunning = auto()
    StateOperationShutdown = auto()
    StateResourceDeletion = auto()
    StateServiceShutdown = auto()
    StateKilled = auto()

    def __str__(self) -> str:
        return self.name


class Signal(Enum):
    """What leads from one state to the next."""

    SignalNoOp = auto()
    SignalServicesStart = auto()
    SignalResourcesCreation = auto()
    SignalResourcesDeletion = auto()
    SignalOperationInit = auto()
    SignalOperationStart = auto()
    SignalOperationStop = auto()
    SignalServicesStop = auto()
    SignalError = auto()
    """A method has raised."""
    SignalShutdown = auto()
    """The execution is being interrupted."""
    SignalKill = auto()
    SignalTerminate = auto()

    def __str__(self) -> str:
        return self.name


_S, _G = State, Signal

TRANSITIONS: Final[Mapping[tuple[State, Signal], State]] = {
    (_S.StateEntry, _G.SignalServicesStart): _S.StateServiceStart,
    (_S.StateEntry, _G.SignalShutdown): _S.StateKilled,
    (_S.StateServiceStart, _G.SignalResourcesCreation): _S.StateResourceCreation,
    (_S.StateServiceStart, _G.SignalResourcesDeletion): _S.StateResourceDeletion,
    (_S.StateServiceStart, _G.SignalError): _S.StateServiceShutdown,
    (_S.StateServiceStart, _G.SignalShutdown): _S.StateServiceShutdown,
    (_S.StateResourceCreation, _G.SignalOperationInit): _S.StateOperationInit,
    (_S.StateResourceCreation, _G.SignalServicesStop): _S.StateServiceShutdown,
    (_S.StateResourceCreation, _G.SignalError): _S.StateResourceDeletion,
    (_S.StateResourceCreation, _G.SignalShutdown): _S.StateResourceDeletion,
    (_S.StateOperationInit, _G.SignalOperationStart): _S.StateOperationRunning,
    (_S.StateOperationInit, _G.SignalError): _S.StateOperationShutdown,
    (_S.StateOperationInit, _G.SignalShutdown): _S.StateOperationShutdown,
    (_S.StateOperationRunning, _G.SignalOperationStop): _S.StateOperationShutdown,
    (_S.StateOperationRunning, _G.SignalError): _S.StateOperationShutdown,
    (_S.StateOperationRunning, _G.SignalShutdown): _S.StateOperationShutdown,
    (_S.StateOperationShutdown, _G.SignalResourcesDeletion): _S.StateResourceDeletion,
    (_S.StateOperationShutdown, _G.SignalServicesStop): _S.StateServiceShutdown,
    (_S.StateOperationShutdown, _G.SignalError): _S.StateResourceDeletion,
    (_S.StateResourceDeletion, _G.SignalServicesStop): _S.StateServiceShutdown,
    (_S.StateResourceDeletion, _G.SignalError): _S.StateServiceShutdown,
    (_S.StateServiceShutdown, _G.SignalKill): _S.StateKilled,
    (_S.StateServiceShutdown, _G.SignalError): _S.StateKilled,
}
"""(state, signal) -> next state. A signal that a state does not know leaves it where it is, with a warning."""

STAYING: Final = frozenset({_G.SignalNoOp, _G.SignalTerminate})
"""Signals that lead nowhere by intention."""

NEXT: Final[Mapping[State, Signal]] = {
    _S.StateEntry: _G.SignalServicesStart,
    _S.StateServiceStart: _G.SignalResourcesCreation,
    _S.StateResourceCreation: _G.SignalOperationInit,
    _S.StateOperationInit: _G.SignalOperationStart,
    _S.StateOperationRunning: _G.SignalOperationStop,
    _S.StateOperationShutdown: _G.SignalResourcesDeletion,
    _S.StateResourceDeletion: _G.SignalServicesStop,
    _S.StateServiceShutdown: _G.SignalKill,
    _S.StateKilled: _G.SignalTerminate,
}
"""Signal that a state gives when all its work is done, in mode Standard."""

NEXT_BY_MODE: Final[Mapping[tuple[State, ExecutionMode], Signal]] = {
    (_S.StateServiceStart, ExecutionMode.ResourceDeletionOnly): _G.SignalResourcesDeletion,
    (_S.StateResourceCreation, ExecutionMode.ResourceCreationOnly): _G.SignalServicesStop,
    (_S.StateOperationShutdown, ExecutionMode.WithoutResourceDeletion): _G.SignalServicesStop,
}
"""Where another mode differs from Standard."""


@dataclass(frozen=True)
class Work:
    """What a state does, whom it tells when that fails, and with which exit code."""

    calls: tuple[tuple[type[Any], str], ...]
    """(kind of instance, method) in order; all methods of one row are done before the next row begins."""
    told: tuple[type[Any], ...]
    """Whose `_on_error` is called."""
    exit_code: ExitCodes
    backwards: bool = False
    """On the way down: dependency levels in reverse order, and the first error stops nothing, it is raised at the end."""


WORK: Final[Mapping[State, Work]] = {
    _S.StateServiceStart: Work(
        calls=((ServicePlugin, "_on_service_start"),),
        told=(ServicePlugin,),
        exit_code=ExitCodes.StateServiceStartError,
    ),
    _S.StateResourceCreation: Work(
        calls=((ResourceHandlerPlugin, "_on_resource_creation"),),
        told=(ResourceHandlerPlugin,),
        exit_code=ExitCodes.StateResourceCreationError,
    ),
    _S.StateOperationInit: Work(
        calls=((PortPlugin, "_on_port_open"), (Operator, "_on_init")),
        told=(Operator, PortPlugin),
        exit_code=ExitCodes.StateOperationInitError,
    ),
    _S.StateOperationRunning: Work(
        calls=(),  # the loop of pypz.executors.operator.running
        told=(Operator, PortPlugin),
        exit_code=ExitCodes.StateOperationError,
    ),
    _S.StateOperationShutdown: Work(
        calls=((Operator, "_on_shutdown"), (PortPlugin, "_on_port_close")),
        told=(Operator, PortPlugin),
        exit_code=ExitCodes.StateOperationShutdownError,
        backwards=True,
    ),
    _S.StateResourceDeletion: Work(
        calls=((ResourceHandlerPlugin, "_on_resource_deletion"),),
        told=(ResourceHandlerPlugin,),
        exit_code=ExitCodes.StateResourcesDeletionError,
        backwards=True,
    ),
    _S.StateServiceShutdown: Work(
        calls=((ServicePlugin, "_on_service_shutdown"),),
        told=(ServicePlugin,),
        exit_code=ExitCodes.StateServiceShutdownError,
        backwards=True,
    ),
}
"""What happens in each state; StateEntry and StateKilled do nothing."""


def signal_after(state: State, mode: ExecutionMode) -> Signal:
    """Give the signal of a state whose work is done.

    >>> str(signal_after(State.StateResourceCreation, ExecutionMode.ResourceCreationOnly))
    'SignalServicesStop'
    """
    return NEXT_BY_MODE.get((state, mode), NEXT[state])


def signal_when_interrupted(state: State, mode: ExecutionMode) -> Signal:
    """Give the signal of a state during which the execution was interrupted.

    On the way down an interrupt changes nothing. What was created in ResourceCreationOnly stays.

    >>> str(signal_when_interrupted(State.StateOperationRunning, ExecutionMode.Standard))
    'SignalShutdown'
    """
    if state is State.StateResourceCreation and mode is ExecutionMode.ResourceCreationOnly:
        return Signal.SignalServicesStop
    return Signal.SignalShutdown if (state, Signal.SignalShutdown) in TRANSITIONS else signal_after(state, mode)
