"""``pypz logs``: what the members of a deployed pipeline have logged, of one or of all together."""

from __future__ import annotations

import queue
import re
import threading
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from pypz.cli.deployment.place import (
    KUBERNETES,
    Context,
    Debug,
    Kubeconfig,
    Namespace,
    To,
    check_deployed,
    deployer_at,
)
from pypz.cli.errors import told_plainly
from pypz.cli.screen import stderr, stdout
from pypz.core.commons.errors import ConfigurationError
from pypz.deployers.base import Deployer

COLOURS: Final = ("cyan", "magenta", "green", "yellow", "blue", "bright_cyan", "bright_magenta", "bright_green")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}


def logs(
    name: Annotated[
        str,
        typer.Argument(help="A pipeline, one of its operators with all its replicas, or one replica, by full name."),
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until they end.")] = False,
    previous: Annotated[bool, typer.Option("--previous", help="Of the start before the present one.")] = False,
    since: Annotated[
        str | None, typer.Option(metavar="TIME", help="Only what is younger, as in 30s, 10m, 2h or 1d.")
    ] = None,
    tail: Annotated[int | None, typer.Option(min=0, help="Only the last lines of each member.")] = None,
    to: To = KUBERNETES,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    debug: Debug = False,
) -> None:
    """Show what members have logged; of several, each line begins with its member's name.

    Of those that have not started yet is said why; with --follow their lines come when they have.

    pypz logs weather --follow

    pypz logs weather.reader_0 --previous --tail 50
    """
    with told_plainly(debug):
        options: dict[str, Any] = {"follow": follow}
        if previous:
            options["previous"] = True
        if since is not None:
            options["since_seconds"] = seconds_of(since)
        if tail is not None:
            options["tail_lines"] = tail
        deployer = deployer_at(to, namespace, context, kubeconfig)
        silent = show(deployer, _members(deployer, name), options)
        if previous and silent:
            stderr().print(f"pypz: no earlier start has left a log: {', '.join(silent)}", soft_wrap=True)
        elif silent:
            _tell_silent(deployer, name.partition(".")[0], silent)


def _tell_silent(deployer: Deployer, pipeline: str, members: Sequence[str]) -> None:
    """Say how those are of which there is nothing to show: one that has not started has no log."""
    for status in deployer.retrieve_pipeline_status(pipeline):
        if status.name in members:
            reason = f": {status.reason}" if status.reason else ""
            stderr().print(f"pypz: no lines of {status.name} ({status.state.name}{reason})", soft_wrap=True)


def seconds_of(text: str) -> int:
    """A time in words as seconds.

    >>> seconds_of("90"), seconds_of("10m")
    (90, 600)
    """
    found = re.fullmatch(r"(\d+)([smhd]?)", text.strip())
    if found is None or not int(found[1]):
        raise ConfigurationError(f"--since {text!r}: expected a time such as 30s, 10m, 2h or 1d")
    return int(found[1]) * _SECONDS[found[2] or "s"]


def _members(deployer: Deployer, name: str) -> list[str]:
    """The members that a name means: all of a pipeline, a whole group, or one."""
    pipeline = name.partition(".")[0]
    check_deployed(deployer, pipeline)
    known = list(deployer.retrieve_pipeline_state(pipeline))
    group = re.compile(rf"{re.escape(name)}(_\d+)?")
    found = known if name == pipeline else [member for member in known if group.fullmatch(member)]
    if not found:
        raise ConfigurationError(f"{pipeline} has no operator {name!r}; it has: {', '.join(known)}")
    return found


def show(deployer: Deployer, members: Sequence[str], options: dict[str, Any]) -> list[str]:
    """Write the lines of all members as they come; one after another where they are not followed. Gives those without any."""
    from rich.text import Text

    width, silent = max(len(member) for member in members), set(range(len(members)))
    lines: queue.SimpleQueue[tuple[int, str | Exception | None]] = queue.SimpleQueue()

    def read(place: int) -> None:
        try:
            for line in deployer.follow_operator_logs(members[place], **options):
                lines.put((place, line))
            lines.put((place, None))
        except Exception as error:  # noqa: BLE001 - raised again in the thread of the command
            lines.put((place, error))

    def start(places: Sequence[int]) -> None:
        for place in places:
            threading.Thread(target=read, args=(place,), name=f"pypz-log {members[place]}", daemon=True).start()
        open_members = set(places)
        while open_members:
            place, line = lines.get()
            if isinstance(line, Exception):
                raise line
            if line is None:
                open_members.discard(place)
                continue
            silent.discard(place)
            if len(members) == 1:
                stdout().out(line, highlight=False)
            else:
                style = COLOURS[place % len(COLOURS)]
                stdout().print(Text(f"{members[place]:<{width}} ", style=style).append(Text(line, style="default")))

    if options.get("follow"):
        start(range(len(members)))
    else:
        for place in range(len(members)):
            start([place])
    return [members[place] for place in sorted(silent)]
