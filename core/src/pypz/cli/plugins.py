"""``pypz plugins``: what is installed, and why something is not loaded."""

from __future__ import annotations

import dataclasses
import json
import sys
from typing import Annotated

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.screen import stdout
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.loader import DISABLED_VARIABLE, PluginReport, disabled_names


def plugins(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")] = False,
    strict: Annotated[bool, typer.Option("--strict", help="Exit code 1 when a plugin could not be loaded.")] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Show the installed plugins: where each comes from, what it brings, and why one is not loaded."""
    with told_plainly(debug):
        reports = PluginHost().reports
        if as_json:
            sys.stdout.write(json.dumps([dataclasses.asdict(report) for report in reports], indent=2) + "\n")
        else:
            _show(reports)
        if strict and any(report.state == "failed" for report in reports):
            raise typer.Exit(1)


def _show(reports: tuple[PluginReport, ...]) -> None:
    from rich import box
    from rich.table import Table

    styles = {"loaded": "", "disabled": "dim", "failed": "red"}
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("plugin", "state", "distribution", "hooks, or why not"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        hooks = ", ".join(hook.removeprefix("pypz_") for hook in report.hooks)
        what = "\n".join([report.reason or hooks, *report.notes])
        table.add_row(report.name, report.state, f"{report.dist} {report.version}", what, style=styles[report.state])
    console = stdout()
    console.print(table, soft_wrap=False)
    for name in sorted(disabled_names() - {report.name for report in reports}):
        console.print(f"{DISABLED_VARIABLE} names {name!r}, which is not installed")
