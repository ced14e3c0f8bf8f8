"""Which commands there are: our own and those of installed distributions, named without importing any of them.

Others bring theirs by an entry point of group ``pypz.commands``: a `typer.Typer`, or a function that typer makes one of.
"""

from __future__ import annotations

import difflib
import importlib
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, cast

import typer
from importlib_metadata import PackageNotFoundError, distribution, entry_points
from typer.core import TyperCommand, TyperGroup

from pypz.cli.errors import fail, tell
from pypz.cli.usage import in_words

GROUP: Final = "pypz.commands"


@dataclass(frozen=True)
class Known:
    """A command that belongs to us."""

    help: str
    extra: str = ""
    """Extra of pypz that brings it; empty for the core's own."""
    target: str = ""
    """Where the core's own is."""


KNOWN: Final = {
    "demo": Known(
        "See a real pipeline run: no server, no set-up, half a minute at most.", target="pypz.cli.demo.command:demo"
    ),
    "new": Known("Make a small project to begin with.", target="pypz.cli.new.command:new"),
    "run": Known("Run a pipeline here: package.module:Class or a YAML file.", target="pypz.cli.run:run"),
    "plan": Known("Show what would run, and every error at once.", target="pypz.cli.plan:plan"),
    "params": Known("Show parameters, and where their values come from.", target="pypz.cli.parameters:params"),
    "graph": Known("Draw a pipeline: who sends to whom.", target="pypz.cli.graph:graph"),
    "peek": Known("Show the records in a channel, decoded.", target="pypz.cli.peek:peek"),
    "retire": Known("Say that a member will not come back, or remove what is left.", target="pypz.cli.retire:retire"),
    "plugins": Known("Show the installed plugins, and why one is not loaded.", target="pypz.cli.plugins:plugins"),
    "sniff": Known("Watch a running pipeline: states, records, rates, lag.", extra="sniffer"),
    "deploy": Known("Deploy a pipeline to Kubernetes.", target="pypz.cli.deployment.deploy:deploy"),
    "status": Known("Show what is deployed, and how it does.", target="pypz.cli.deployment.status:status"),
    "attach": Known("Stay with a deployed pipeline until it ends.", target="pypz.cli.deployment.attach:attach"),
    "logs": Known("Show the logs of a deployed pipeline.", target="pypz.cli.deployment.logs:logs"),
    "restart": Known("Start a deployed operator anew.", target="pypz.cli.deployment.change:restart"),
    "scale": Known("Give a deployed operator another number of members.", target="pypz.cli.deployment.scale:scale"),
    "destroy": Known("Remove a deployed pipeline.", target="pypz.cli.deployment.change:destroy"),
    "render": Known("Write what deploying would make, as YAML.", target="pypz.cli.deployment.deploy:render"),
}
"""In the order of the help."""


class LazyCommand(TyperCommand):
    """Stands in the help for a command; what it does is imported when it is called."""

    def __init__(self, name: str, text: str, load: Callable[[], Any]) -> None:
        super().__init__(name, help=text, short_help=text)
        self._load = load

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Make the context of the real command, which click then invokes."""
        command = as_command(self._load(), self.name or "")
        return command.make_context(info_name, args, parent=parent, **extra)


class Commands(TyperGroup):
    """The group of all commands."""

    def main(self, *args: Any, **extra: Any) -> Any:
        """Carry a command out; what is wrong with options is told in our words, the process ends with 2."""
        if not extra.pop("standalone_mode", True):
            return super().main(*args, **{**extra, "standalone_mode": False})
        given = extra.get("args", args[0] if args else None)
        try:
            code = super().main(*args, **{**extra, "standalone_mode": False})
        except typer.Abort:
            code = tell("aborted")
        except Exception as error:
            if not hasattr(error, "format_message"):  # no error of the library's
                raise
            code = tell(in_words(error, list(sys.argv[1:] if given is None else given)), code=2)
        sys.exit(code if isinstance(code, int) else 0)

    def list_commands(self, ctx: Any) -> list[str]:
        """Names for the help: those that can be called here."""
        installed = {entry.name for entry in entry_points(group=GROUP)}
        own = [name for name, known in KNOWN.items() if known.target or name in installed]
        return [*own, *sorted(installed - KNOWN.keys())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A stand-in for the command; for one of ours that is not installed it tells how it comes."""
        known = KNOWN.get(cmd_name)
        if known is not None and known.target:
            return LazyCommand(cmd_name, known.help, partial(_load, known.target))
        for entry in entry_points(group=GROUP):
            if entry.name == cmd_name:
                dist = entry.dist.name if entry.dist is not None else entry.module
                text = known.help if known else f"Brought by {dist}."
                return LazyCommand(cmd_name, text, partial(_load_entry, entry, dist))
        if known is not None:
            return LazyCommand(cmd_name, known.help, partial(_tell_how_to_get, cmd_name, known.extra))
        return None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Find the command; an unknown one is told with the nearest name."""
        name = args[0] if args else ""
        if name and not name.startswith("-") and not ctx.resilient_parsing and self.get_command(ctx, name) is None:
            names = self.list_commands(ctx)
            near = difflib.get_close_matches(name, names, 1)
            hint = f"meant {near[0]!r}?" if near else f"there are {', '.join(names)}"
            fail(f"no command {name!r}; {hint}", code=2)
        return super().resolve_command(ctx, args)


def as_command(loaded: Any, name: str) -> Any:
    """Make a command of what an entry point brought."""
    if isinstance(loaded, typer.Typer):
        return typer.main.get_command(loaded)
    if hasattr(loaded, "make_context"):
        return loaded
    app = typer.Typer(add_completion=False)
    app.command(name)(loaded)
    return typer.main.get_command(app)


def _load(target: str) -> Any:
    module, _, name = target.partition(":")
    return getattr(importlib.import_module(module), name)


def _load_entry(entry: Any, dist: str) -> Any:
    try:
        return entry.load()
    except Exception as error:  # noqa: BLE001 - told, and the process ends
        fail(f"command {entry.name!r} of {dist} cannot be loaded: {type(error).__name__}: {error}")


def _tell_how_to_get(name: str, extra: str) -> Any:
    try:
        found = distribution(f"pypz-{extra}")
    except PackageNotFoundError:
        fail(f'command {name!r} is not installed; pip install "pypz[{extra}]" brings it')
    fail(f"pypz-{extra} {cast(Any, found).version} is installed, but brings no command {name!r} yet")
