"""``pypz run``: execute a pipeline here and show how it goes."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.live import shown
from pypz.cli.options import Debug, Parameters, PipelineName, Strict, Target
from pypz.cli.screen import as_json_text, stderr
from pypz.cli.settings import read_settings
from pypz.cli.target import load_pipeline, unexpected
from pypz.core.commons.errors import PipelineFailedError, PluginError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.pipeline.executor import Isolation, OnFailure, PipelineExecutor


def run(
    target: Target = None,
    parameter: Parameters = None,
    name: PipelineName = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Delete what earlier runs left in the channels first.")
    ] = False,
    mode: Annotated[
        ExecutionMode, typer.Option(case_sensitive=False, help="Part of the life to carry out.")
    ] = ExecutionMode.Standard,
    isolation: Annotated[
        Isolation, typer.Option(case_sensitive=False, help="Run each operator in a thread, or in a process of its own.")
    ] = "thread",
    on_failure: Annotated[
        OnFailure, typer.Option(case_sensitive=False, help="What the others do when one has failed for good.")
    ] = "stop",
    max_restarts: Annotated[
        int, typer.Option(min=0, metavar="N", help="How often an operator that has failed is started again.")
    ] = 0,
    log: Annotated[
        bool | None,
        typer.Option(
            "--log/--no-log",
            envvar="PYPZ_LOG",
            show_default="log",
            help="Log lines also of operators without a logger.",
        ),
    ] = None,
    strict: Strict = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the outcome as JSON, without log lines, at the end.")
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a pipeline on this machine, replicas included, and show how it goes.

    pypz run letters:Letters -p '>>channelLocation=localhost:9092' -p '>replicationFactor=2'

    Ctrl-C drains and commits, a second one ends at once. The exit code is that of the first operator that failed, or 130.
    With --json an object: pipeline, outcome (finished, failed or interrupted), exit_codes by operator, error or null.
    """
    with told_plainly(debug):
        settings = read_settings()
        host = PluginHost.default()
        if strict or settings.strict:
            _refuse_failed_plugins(host)
        pipeline = load_pipeline(target, name, parameter or [])
        for warning in unexpected(pipeline, parameter or []):
            stderr().print(f"pypz: warning: {warning}")
        wants_logs = log if log is not None else settings.log and not as_json
        executor = PipelineExecutor(
            pipeline, isolation, on_failure, max_restarts, fresh=fresh, host=host, want_logs=wants_logs
        )
        try:
            with shown(host, pipeline):
                codes = executor.start(mode)
        except PipelineFailedError as error:
            if as_json:
                _tell(pipeline, "failed", error.exit_codes, str(error))
            raise
        if as_json:
            _tell(pipeline, "interrupted" if any(codes.values()) else "finished", codes, None)
        raise typer.Exit(next((code for code in codes.values() if code), 0))


def _tell(pipeline: Pipeline, outcome: str, codes: dict[str, int], error: str | None) -> None:
    told = {"pipeline": pipeline.get_full_name(), "outcome": outcome, "exit_codes": codes, "error": error}
    sys.stdout.write(as_json_text(told))


def _refuse_failed_plugins(host: PluginHost) -> None:
    failed = [f"{report.name} ({report.reason})" for report in host.reports if report.state == "failed"]
    if failed:
        raise PluginError(f"not loaded: {'; '.join(failed)}; leave --strict out to run without")
