"""``pypz attach``: stay with a deployed pipeline until it has ended, and show how it goes."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

import typer

from pypz.cli.deployment.place import KUBERNETES, Context, Debug, Kubeconfig, Name, Namespace, To, deployer_at
from pypz.cli.deployment.table import table_of
from pypz.cli.errors import told_plainly
from pypz.cli.screen import stderr
from pypz.core.hooks.events import DeployedRef
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl
from pypz.deployers.base import Deployer, DeploymentState, MemberStatus

if TYPE_CHECKING:
    from rich.table import Table

LAST_NEWS_S: Final = 2.0
"""Seconds that the last news may take to be shown (chosen)."""


def attach(
    name: Name,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    debug: Debug = False,
) -> None:
    """Stay with a deployed pipeline until every member has ended, and show how it goes.

    When an operator has failed for good its reason is told, and the others drain, commit and end. Ctrl-C leaves the pipeline
    running. Exit code: 0 when all have completed, 1 when something has failed, 130 after Ctrl-C.
    """
    with told_plainly(debug):
        raise typer.Exit(stay(deployer_at(to, namespace, context, kubeconfig), name))


def stay(deployer: Deployer, pipeline: str) -> int:
    """Stay with a pipeline and show its states; gives the exit code."""
    with _shown(pipeline) as observer:
        deployer.attach(pipeline)
    # One that is not deployed any more was removed meanwhile: what was seen last counts.
    states = deployer.retrieve_pipeline_state(pipeline)
    if states:  # some clusters remove what has completed
        gone = [name for name, state in states.items() if state is DeploymentState.NotExisting]
        states |= dict.fromkeys(observer.completed().intersection(gone), DeploymentState.Completed)
    bad = [name for name, state in (states or observer.states()).items() if state is not DeploymentState.Completed]
    if bad:
        stderr().print(f"pypz: not completed: {', '.join(bad)}")
    return 1 if bad else 0


class _Observer:
    """Keeps what is told of one pipeline's members."""

    def __init__(self, pipeline: str, *, writes: bool) -> None:
        self._pipeline = pipeline
        self._writes = writes
        self._lock = threading.Lock()
        self._members: dict[str, MemberStatus] = {}
        self._completed: set[str] = set()

    @hookimpl
    def pypz_deployment_changed(self, member: DeployedRef, state: str, reason: str) -> None:
        """Keep, and write where there is no table."""
        if member.pipeline != self._pipeline:
            return
        with self._lock:
            self._members[member.name] = MemberStatus(member.name, DeploymentState[state], reason)
            if state == DeploymentState.Completed.name:
                self._completed.add(member.name)
            elif state != DeploymentState.NotExisting.name:  # it was started anew
                self._completed.discard(member.name)
        if self._writes:
            sys.stdout.write(f"{member.name}: {state}{f': {reason}' if reason else ''}\n")
            sys.stdout.flush()

    def states(self) -> dict[str, DeploymentState]:
        """The members as they were told of last."""
        with self._lock:
            return {name: status.state for name, status in self._members.items()}

    def completed(self) -> set[str]:
        """The members that had completed when they were told of last, or before they went."""
        with self._lock:
            return set(self._completed)

    def table(self) -> Table:
        """The members as they are now."""
        with self._lock:
            return table_of(list(self._members.values()), self._pipeline)


@contextlib.contextmanager
def _shown(pipeline: str) -> Iterator[_Observer]:
    """Show what observers are told of the pipeline, as long as the block runs: a table on a terminal, lines elsewhere."""
    from rich.live import Live

    host = PluginHost.default()
    observer = _Observer(pipeline, writes=not stderr().is_terminal)
    live = Live(console=stderr(), get_renderable=observer.table, refresh_per_second=4)
    host.register(observer, f"attach-{id(observer):x}")
    try:
        with live if stderr().is_terminal else contextlib.nullcontext():
            yield observer
            host.flush(LAST_NEWS_S)
    finally:
        host.unregister(observer)
