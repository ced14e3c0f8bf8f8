"""``pypz sniff``: watch a pipeline that runs here, in other processes or in a cluster."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.screen import stderr
from pypz.cli.target import load_pipeline, unexpected
from pypz.sniffer.viewer import PLAIN_VARIABLE, PipelineSnifferViewer


def sniff(
    target: Annotated[str, typer.Argument(help="package.module:Class, or a YAML file that describes the pipeline.")],
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Set a parameter, as where it runs; '>>name=value' for ports.",
        ),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the pipeline, as where it runs.")] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a screen, until the run ends.")] = False,
    wait_next: Annotated[
        bool, typer.Option("--next", help="With lines: leave out a run that has ended, wait for the next one.")
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Show live what the operators of a pipeline and their ports do: state, records, rate and lag.

    The pipeline may be started before or after. It is only watched: q ends the view, the pipeline goes on.
    """
    with told_plainly(debug):
        pipeline = load_pipeline(target, name, parameter or [], mock_nonexistent=True)
        for warning in unexpected(pipeline, parameter or []):
            stderr().print(f"pypz: warning: {warning}")
        if plain or wait_next:
            os.environ[PLAIN_VARIABLE] = "next" if wait_next else "1"
        PipelineSnifferViewer(pipeline).mainloop()
