"""``pypz``: the command line. Commands are imported when they are called, so that help comes fast."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pypz.cli.commands import Commands
from pypz.version import PROJECT_VERSION

app = typer.Typer(
    cls=Commands,
    name="pypz",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        sys.stdout.write(f"pypz {PROJECT_VERSION}\n")
        raise typer.Exit


@app.callback(invoke_without_command=True)
def pypz(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Model data pipelines in Python, run them here or on Kubernetes, and watch them."""
    if ctx.invoked_subcommand is None:
        sys.stdout.write(ctx.get_help() + "\n")


def main() -> None:
    """Entry point of the script ``pypz``."""
    app(prog_name="pypz")


if __name__ == "__main__":
    main()
