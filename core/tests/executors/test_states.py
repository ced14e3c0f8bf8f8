"""The tables of states, held against what users of earlier versions rely on."""

from __future__ import annotations

import pytest

from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.operator.states import (
    NEXT,
    TRANSITIONS,
    WORK,
    Signal,
    State,
    signal_after,
    signal_when_interrupted,
)

PROMISED = """
Entry: ServicesStart -> ServiceStart; Shutdown -> Killed
ServiceStart: ResourcesCreation -> ResourceCreation; ResourcesDeletion -> ResourceDeletion
ServiceStart: Error -> ServiceShutdown; Shutdown -> ServiceShutdown
ResourceCreation: OperationInit -> OperationInit; ServicesStop -> ServiceShutdown
ResourceCreation: Error -> ResourceDeletion; Shutdown -> ResourceDeletion
OperationInit: OperationStart -> OperationRunning; Error -> OperationShutdown; Shutdown -> OperationShutdown
OperationRunning: OperationStop -> OperationShutdown; Error -> OperationShutdown; Shutdown -> OperationShutdown
OperationShutdown: ResourcesDeletion -> ResourceDeletion; Error -> ResourceDeletion; ServicesStop -> ServiceShutdown
ResourceDeletion: ServicesStop -> ServiceShutdown; Error -> ServiceShutdown
ServiceShutdown: Kill -> Killed; Error -> Killed
"""


STANDARD = (
    "Entry ServiceStart ResourceCreation OperationInit OperationRunning OperationShutdown ResourceDeletion "
    "ServiceShutdown Killed"
)


def promised() -> set[tuple[str, str, str]]:
    rows = [line.split(": ", 1) for line in PROMISED.strip().splitlines()]
    return {(old, *step.split(" -> ")) for old, steps in rows for step in steps.split("; ")}  # type: ignore[misc]


def test_the_transitions_are_those_that_users_know() -> None:
    ours = {(o.name, s.name, n.name) for (o, s), n in TRANSITIONS.items()}
    assert ours == {(f"State{old}", f"Signal{signal}", f"State{new}") for old, signal, new in promised()}


@pytest.mark.parametrize(
    ("mode", "path"),
    [
        (
            ExecutionMode.Standard,
            STANDARD,
        ),
        (
            ExecutionMode.WithoutResourceDeletion,
            "Entry ServiceStart ResourceCreation OperationInit OperationRunning OperationShutdown ServiceShutdown Killed",
        ),
        (ExecutionMode.ResourceCreationOnly, "Entry ServiceStart ResourceCreation ServiceShutdown Killed"),
        (ExecutionMode.ResourceDeletionOnly, "Entry ServiceStart ResourceDeletion ServiceShutdown Killed"),
    ],
)
def test_each_mode_takes_its_path(mode: ExecutionMode, path: str) -> None:
    state, seen = State.StateEntry, ["Entry"]
    while state is not State.StateKilled:
        state = TRANSITIONS[state, signal_after(state, mode)]
        seen.append(state.name.removeprefix("State"))
    assert seen == path.split()


@pytest.mark.parametrize("mode", [mode for mode in ExecutionMode if mode is not ExecutionMode.Skip])
@pytest.mark.parametrize("at", [state for state in State if state is not State.StateKilled])
def test_an_interrupt_in_any_state_comes_to_the_end(at: State, mode: ExecutionMode) -> None:
    state, steps = TRANSITIONS[at, signal_when_interrupted(at, mode)], 0
    while state is not State.StateKilled:
        state = TRANSITIONS[state, signal_when_interrupted(state, mode)]
        steps += 1
        assert steps < len(State)


def test_an_interrupt_keeps_what_resource_creation_only_has_created() -> None:
    signal = signal_when_interrupted(State.StateResourceCreation, ExecutionMode.ResourceCreationOnly)
    assert TRANSITIONS[State.StateResourceCreation, signal] is State.StateServiceShutdown


def test_every_state_that_works_has_an_exit_code_of_its_own_and_a_way_on() -> None:
    codes = [work.exit_code for work in WORK.values()]
    assert len(set(codes)) == len(codes)
    assert {code.value for code in codes} == set(range(110, 117))
    assert set(NEXT) == set(State)


def test_the_exit_codes_are_those_that_users_know() -> None:
    assert {code.name: code.value for code in ExitCodes} == {
        "NoError": 0,
        "GeneralError": 1,
        "StateServiceStartError": 110,
        "StateServiceShutdownError": 111,
        "StateResourceCreationError": 112,
        "StateResourcesDeletionError": 113,
        "StateOperationInitError": 114,
        "StateOperationError": 115,
        "StateOperationShutdownError": 116,
        "Fenced": 117,
        "CommandCannotBeExecutedError": 126,
        "CommandNotFoundError": 127,
        "InvalidExitArgumentError": 128,
        "FatalError": 129,
        "SigTerm": 130,
    }


def test_names_are_shown_as_users_know_them() -> None:
    assert f"({State.StateEntry})--[{Signal.SignalServicesStart}]" == "(StateEntry)--[SignalServicesStart]"
