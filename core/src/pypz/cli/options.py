"""Arguments and options that several commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from pypz.cli.completion import complete_parameter, complete_pipeline

Target = Annotated[
    str | None,
    typer.Argument(
        metavar="PIPELINE",
        envvar="PYPZ_PIPELINE",
        show_default=False,
        help="package.module:Class, or a YAML or JSON file; left out: `pipeline` of pypz.toml.",
        autocompletion=complete_pipeline,
    ),
]
Parameters = Annotated[
    list[str] | None,
    typer.Option(
        "--parameter",
        "-p",
        metavar="NAME=VALUE",
        help="Set a parameter, as often as wanted; '>>name=value' for all ports, op.name=value for one operator.",
        autocompletion=complete_parameter,
    ),
]
PipelineName = Annotated[str | None, typer.Option("--name", envvar="PYPZ_NAME", help="Name of the pipeline.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON for scripts.")]
Strict = Annotated[
    bool, typer.Option("--strict", envvar="PYPZ_STRICT", help="Refuse to go on when a plugin could not be loaded.")
]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
