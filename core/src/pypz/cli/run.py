"""``pypz run``: execute a pipeline here and show how it goes."""

from __future__ import annotations

import sys
import traceback
from dataclasses import dataclass, field
from typing import Annotated, Any, NoReturn

import typer

from pypz.cli.errors import told_plainly
from pypz.cli.given import unexpected
from pypz.cli.live import shown
from pypz.cli.options import Debug, Parameters, PipelineName, Strict, Target
from pypz.cli.screen import as_json_text, stderr
from pypz.cli.settings import read_settings
from pypz.cli.target import load_pipeline
from pypz.core.commons.errors import PipelineFailedError, PluginError
from pypz.core.hooks.host import PluginHost
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
        ExecutionMode,
        typer.Option(
            case_sensitive=False,
            metavar="MODE",
            help="Part of the life to carry out: standard, withoutResourceDeletion, resourceCreationOnly, "
            "resourceDeletionOnly, skip.",
        ),
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

    pypz run letters:Letters -p '>>channelLocation=localhost:9092'

    pypz run letters:Letters -p sink.replicationFactor=2 --isolation process

    Ctrl-C drains and commits, a second one ends at once. The exit code is that of the first operator that failed, or 130.
    With --json an object: pipeline, outcome (finished, failed, interrupted, refused), exit_codes by operator, error or null.
    """
    outcome = _Outcome()
    with told_plainly(debug, as_json and outcome.with_errors):
        settings = read_settings()
        host = PluginHost.default()
        if strict or settings.strict:
            _refuse_failed_plugins(host)
        pipeline = load_pipeline(target, name, parameter or [])
        outcome.pipeline = pipeline.get_full_name()
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
            outcome.exit_codes = error.exit_codes
            _end_failed(error, outcome if as_json else None, debug)
        if as_json:
            outcome.exit_codes = codes
            told = outcome.as_json("interrupted" if any(codes.values()) else "finished", None)
            sys.stdout.write(as_json_text(told))
        raise typer.Exit(next((code for code in codes.values() if code), 0))


def _end_failed(error: PipelineFailedError, outcome: _Outcome | None, debug: bool) -> NoReturn:
    """End with the code of the member that failed; why, it has said itself on stderr, in its ``ERROR:`` line."""
    if debug:
        traceback.print_exception(error)
    if outcome is not None:
        sys.stdout.write(as_json_text(outcome.with_errors([str(error)])))
    hint = "" if debug or error.__cause__ is None else "; --debug shows the traceback"
    stderr().print(f"pypz: has failed with exit code {error.exit_code}{hint}")
    raise typer.Exit(error.exit_code) from error


@dataclass
class _Outcome:
    """What became of it, for ``--json``."""

    pipeline: str | None = None
    """None when it could not be made."""
    exit_codes: dict[str, int] = field(default_factory=dict)
    """By operator; empty when nothing was started."""

    def as_json(self, outcome: str, error: str | None) -> dict[str, Any]:
        return {"pipeline": self.pipeline, "outcome": outcome, "exit_codes": self.exit_codes, "error": error}

    def with_errors(self, errors: list[str]) -> dict[str, Any]:
        return self.as_json("failed" if self.exit_codes else "refused", "\n".join(errors))


def _refuse_failed_plugins(host: PluginHost) -> None:
    failed = [f"{report.name} ({report.reason})" for report in host.reports if report.state == "failed"]
    if failed:
        raise PluginError(f"not loaded: {'; '.join(failed)}; leave --strict out to run without")
