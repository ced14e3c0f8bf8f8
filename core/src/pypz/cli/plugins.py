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
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit code 1 when something is wrong with a plugin.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Show the installed plugins: where each comes from, what it brings, why one is not loaded, and what is odd."""
    with told_plainly(debug, as_json):
        reports = _tried_out(PluginHost())
        if as_json:
            sys.stdout.write(json.dumps([dataclasses.asdict(report) for report in reports], indent=2) + "\n")
        else:
            _show(reports)
        if strict and any(report.state == "failed" or report.notes for report in reports):
            raise typer.Exit(1)


def _tried_out(host: PluginHost) -> tuple[PluginReport, ...]:
    found = host.try_out()
    return tuple(
        dataclasses.replace(report, notes=(*report.notes, *found[report.name]))
        if report.state == "loaded" and report.name in found
        else report
        for report in host.reports
    )


def _show(reports: tuple[PluginReport, ...]) -> None:
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    styles = {"loaded": "", "disabled": "dim", "failed": "red"}
    table = Table(box=box.SIMPLE, pad_edge=False)
    for heading in ("plugin", "state", "distribution", "hooks"):
        table.add_column(heading, overflow="fold")
    for report in reports:
        hooks = ", ".join(hook.removeprefix("pypz_") for hook in report.hooks)
        state = f"{report.state} !" if report.notes else report.state
        table.add_row(report.name, state, f"{report.dist} {report.version}", hooks, style=styles[report.state])
    console = stdout()
    console.print(table, soft_wrap=False)
    for report in reports:
        for text in filter(None, (report.reason, *report.notes)):
            console.print(
                Padding(Text(f"{report.name}: {text}", style=styles[report.state], overflow="fold"), (0, 0, 0, 2)),
                soft_wrap=False,
            )
    for name in sorted(disabled_names() - {report.name for report in reports}):
        console.print(f"{DISABLED_VARIABLE} names {name!r}, which is not installed")
