"""``pypz sniff``: watch a pipeline that runs here, in other processes or in a cluster."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer

from pypz.cli.completion import complete_parameter, complete_pipeline
from pypz.cli.deployment.place import Context, Kubeconfig, Namespace
from pypz.cli.errors import INTERRUPTED, told_plainly
from pypz.cli.given import SeveralFaultsError, set_given, unexpected
from pypz.cli.location import check_variables, location_options
from pypz.cli.screen import stderr
from pypz.cli.target import load_pipeline
from pypz.core.channels.runs.whole import status_name
from pypz.core.commons.errors import ConfigurationError
from pypz.core.specs.pipeline import Pipeline
from pypz.sniffer.forms.documents import line_of
from pypz.sniffer.forms.lines import LineWriter
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import reachable_locations, unset_places
from pypz.sniffer.programs import ONCE_S, snapshot, watching, write_pictures
from pypz.sniffer.sources.asking import NoAnswerError, shown
from pypz.sniffer.sources.deployment import Deployment
from pypz.sniffer.sources.feed import Location, check_reach
from pypz.sniffer.sources.logs import LEVELS, LogBook, LogFeed, LogFilter
from pypz.sniffer.sources.places import Whereabouts, location_of
from pypz.sniffer.viewer import PLAIN_VARIABLE, PipelineSnifferViewer, write_line
from pypz.sniffer.web import serve_screen
from pypz.sniffer.wording.reasons import Verdict, diagnose
from pypz.sniffer.wording.table import member_words, short_name

EXIT_CODES: Final = {
    Verdict.HEALTHY: 0,
    Verdict.FINISHED: 0,
    Verdict.FAILED: 1,
    Verdict.STUCK: 3,
    Verdict.UNSEEN: 4,
}


def sniff(
    target: Annotated[
        str | None,
        typer.Argument(
            envvar="PYPZ_PIPELINE",
            show_default=False,
            help="package.module:Class, a YAML file that describes the pipeline, only a location such as localhost:9092 or "
            "local:DIR, or with --from the name of a deployed pipeline; left out: `pipeline` of pypz.toml.",
            autocompletion=complete_pipeline,
        ),
    ] = None,
    deployed_to: Annotated[
        str | None, typer.Option("--from", metavar="KIND", help="Kind of place that it is deployed to: kubernetes.")
    ] = None,
    namespace: Namespace = None,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
    parameter: Annotated[
        list[str] | None,
        typer.Option(
            "--parameter",
            "-p",
            metavar="NAME=VALUE",
            help="Set a parameter, as where it runs; '>>name=value' for ports: '>>channelConfig={...}' is how a location alone "
            "is reached, too, secrets as ${env:NAME}.",
            autocompletion=complete_parameter,
        ),
    ] = None,
    name: Annotated[
        str | None, typer.Option(envvar="PYPZ_NAME", help="Name of the pipeline, as where it runs.")
    ] = None,
    plain: Annotated[bool, typer.Option("--plain", help="Lines instead of a screen, until the run ends.")] = False,
    wait_next: Annotated[
        bool, typer.Option("--next", help="With lines: leave out a run that has ended, wait for the next one.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="A JSON object for each change, until the run ends; with --once a single one."),
    ] = False,
    logs: Annotated[
        bool,
        typer.Option(
            "--logs", help="The log lines of its members instead, until the run ends; with --json as objects."
        ),
    ] = False,
    level: Annotated[
        str | None,
        typer.Option(metavar="LEVEL", help="With --logs: of this level and above: DEBUG, INFO, WARNING or ERROR."),
    ] = None,
    grep: Annotated[
        str | None,
        typer.Option("--grep", metavar="TEXT", help="With --logs: lines with this text, in any case, or member."),
    ] = None,
    once: Annotated[
        bool,
        typer.Option("--once", help="One look; exit code 0: healthy or finished, 1: failed, 3: stuck, 4: no run seen."),
    ] = False,
    seconds: Annotated[
        float | None,
        typer.Option(
            min=0.0,
            help="With --once: how long to look, at most; else 3, and up to 11 where records wait and none is taken.",
        ),
    ] = None,
    web: Annotated[
        bool, typer.Option("--web", help="The screen in a browser of this machine, at an address that holds a token.")
    ] = False,
    web_port: Annotated[
        int | None, typer.Option(help="With --web: port on 127.0.0.1; left out or 0: any that is free.")
    ] = None,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Show live what the operators of a pipeline and their ports do: state, records, rate and lag.

    The pipeline may be started before or after. It is only watched: q ends the view, the pipeline goes on. A location alone
    is enough: the pipeline that has run there, or the one of --name, is rebuilt from what it stored; of several, a terminal
    asks which one is meant. Of a deployed pipeline its place is asked, too, why a member does not run.
    """
    parameters = parameter or []
    with told_plainly(debug, as_json, on_one_line=True), _ended_by_interrupt():
        if deployed_to is None and (found := [o for o in (namespace, context, kubeconfig) if o is not None]):
            raise ConfigurationError(f"{found[0]!r} says where to look for what is deployed; add --from kubernetes")
        _check_forms(
            {"--web": web, "--once": once, "--logs": logs, "--json": as_json, "--plain": plain, "--next": wait_next}
        )
        _check_logs(logs, level, grep)
        if seconds is not None and not once:
            raise ConfigurationError("--seconds says how long one look may take; add --once")
        if web_port is not None and not web:
            raise ConfigurationError("--web-port says where --web listens; add --web")
        location = None if deployed_to or target is None else location_of(target)
        locations: list[Location] | None = None
        deployment: Deployment | None = None
        if deployed_to is not None:
            if target is None:
                raise ConfigurationError(f"--from {deployed_to}: name the deployed pipeline: --from {deployed_to} NAME")
            given = {"namespace": namespace, "context": context, "kubeconfig": kubeconfig}
            deployment = Deployment(deployed_to, target, {key: str(v) for key, v in given.items() if v is not None})
            pipeline = deployment.pipeline()
            if faults := set_given(pipeline, parameters):
                raise SeveralFaultsError(faults)
        elif location is not None:
            locations = [(location, location_options(parameters))]
            pipeline = _found_at(locations[0], name, once=once, seconds=seconds, as_json=as_json and not logs)
            if faults := set_given(pipeline, parameters):
                raise SeveralFaultsError(faults)
        else:
            check_variables(parameters)
            pipeline = _loaded(target, name, parameters)
            for warning in unexpected(pipeline, parameters):
                stderr().print(f"pypz: warning: {warning}")
        if web:
            if deployment is None:
                reached = reachable_locations(pipeline) if locations is None else locations
                unset = unset_places(pipeline) if locations is None else []
                check_reach(pipeline.get_full_name(), reached, can_run_here=False, unset=unset)
            serve_screen(
                pipeline.get_full_name(), _screen_arguments(target, pipeline, deployment, parameters), web_port or 0
            )
            return
        if logs:
            wanted = LogFilter((level or LEVELS[0]).upper(), grep or "")
            _write_logs(pipeline, locations, deployment, wanted, as_json=as_json)
            return
        if once:
            raise typer.Exit(_look(pipeline, locations, deployment, seconds, as_json))
        if as_json:
            with watching(pipeline, locations, deployment) as model:
                write_pictures(model, write_line)
            return
        if plain or wait_next:
            os.environ[PLAIN_VARIABLE] = "next" if wait_next else "1"
        PipelineSnifferViewer(pipeline, locations, deployment).mainloop()


def _loaded(target: str | None, name: str | None, parameters: Sequence[str]) -> Pipeline:
    """The pipeline that is named, by its code or its description."""
    if target is not None and ":" not in target and Path(target).is_dir():
        raise ConfigurationError(
            f"{target!r} is a folder: for channels in it write 'local:{target}', for a pipeline package.module:Class"
        )
    try:
        return load_pipeline(target, name, parameters, mock_nonexistent=True)
    except ConfigurationError as error:
        text, places = str(error), "a location such as localhost:9092, kafka://HOST:PORT or local:DIR"
        if text.startswith(f"{target!r} names no pipeline") and "; meant " not in text:
            more = f"{places}; or, with --from kubernetes, the name of a deployed one"
            raise ConfigurationError(f"{error}, or {more}") from error
        if text.startswith("there is no module ") and not all(map(str.isidentifier, re.split("[.:]", target or ""))):
            raise ConfigurationError(f"{target!r} names no pipeline, and is not {places}: {error}") from error
        raise


def _found_at(place: Location, name: str | None, *, once: bool, seconds: float | None, as_json: bool) -> Pipeline:
    """The pipeline that runs at a location: waits for the location, and for a run of one that is named."""

    def tell(text: str) -> None:
        if as_json:
            model = PipelineModel(name or "", [])
            model.set_notice(text, is_blind=True)
            write_line(line_of(model.frame()))
        else:
            stderr().print(f"pypz: {text}", highlight=False)

    def end(text: str) -> None:
        tell(text.removesuffix("; waits for one"))
        raise typer.Exit(EXIT_CODES[Verdict.UNSEEN])

    at_most_s = (ONCE_S if seconds is None else seconds) if once else None
    silent = (lambda text: None) if once else tell
    with Whereabouts(*place, silent, at_most_s) as there:
        try:
            return there.pipeline(name or _chosen(there, place[0]), end if once else None)
        except NoAnswerError as error:
            end(str(error))
            raise


def _chosen(there: Whereabouts, location: str) -> str | None:
    """Ask which one of several pipelines is meant, where somebody can answer; None: there is nothing to choose."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        return None
    names = there.names()
    if len(names) < 2:
        return None
    for number, found in enumerate(names, 1):
        stderr().print(f"{number:>3}  {found}", highlight=False)
    number = 0
    while not 1 <= number <= len(names):
        number = typer.prompt(f"{shown(location)}: which pipeline, 1 to {len(names)}", type=int, err=True)
    return str(names[number - 1])


def _screen_arguments(
    target: str | None, pipeline: Pipeline, deployment: Deployment | None, parameters: Sequence[str]
) -> list[str]:
    """Arguments with which another process shows the same on its screen."""
    settings = [argument for parameter in parameters for argument in ("-p", parameter)]
    command = ["sniff"] if target is None else ["sniff", target]
    if deployment is None:
        return [
            *command,
            "--name",
            status_name(pipeline) if location_of(target or "") else pipeline.get_full_name(),
            *settings,
        ]
    place = [argument for name, value in deployment.options.items() for argument in (f"--{name}", value)]
    return [*command, "--from", deployment.kind, *place, *settings]


def _look(
    pipeline: Pipeline,
    locations: Sequence[Location] | None,
    deployment: Deployment | None,
    seconds: float | None,
    as_json: bool,
) -> int:
    """Write one picture; gives the exit code."""
    with watching(pipeline, locations, deployment) as model:
        frame = snapshot(model, seconds)
    found = diagnose(frame)
    if as_json:
        write_line(line_of(frame))
    else:
        if frame.notice:
            stderr().print(f"pypz: warning: {frame.notice}")
        write_line(f"{frame.pipeline}: {found.verdict.value}: {found.why}")
        for member in frame.members:
            write_line(
                f"  {short_name(member.name, frame.pipeline)}: {member_words(member)}: {found.members[member.name]}"
            )
    return EXIT_CODES[found.verdict]


FORMS: Final = (
    ("--web", "--once"),
    ("--logs", "--web"),
    ("--web", "--json"),
    ("--web", "--plain"),
    ("--web", "--next"),
    ("--logs", "--once"),
    ("--once", "--plain"),
    ("--once", "--next"),
    ("--logs", "--plain"),
    ("--logs", "--next"),
    ("--json", "--plain"),
    ("--json", "--next"),
)
"""Forms that exclude each other."""


def _check_forms(given: Mapping[str, bool]) -> None:
    for one, other in FORMS:
        if given[one] and given[other]:
            raise ConfigurationError(f"{one} and {other} exclude each other; leave one out")


@contextlib.contextmanager
def _ended_by_interrupt() -> Iterator[None]:
    """Ctrl-C is how watching ends: nothing to tell."""
    try:
        yield
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None


def _check_logs(logs: bool, level: str | None, grep: str | None) -> None:
    if not logs and (level is not None or grep is not None):
        raise ConfigurationError("--level and --grep say which log lines; add --logs")
    if level is not None and level.upper() not in LEVELS:
        raise ConfigurationError(f"--level {level!r}: expected {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")


def _write_logs(
    pipeline: Pipeline,
    locations: Sequence[Location] | None,
    deployment: Deployment | None,
    wanted: LogFilter,
    *,
    as_json: bool,
) -> None:
    """Write log lines until the run has ended."""
    places = reachable_locations(pipeline) if locations is None else list(locations)
    book = LogBook(pipeline.get_full_name())
    feed = LogFeed(book, status_name(pipeline), places)
    with watching(pipeline, locations, deployment) as model:
        feed.start()
        try:
            LineWriter(model, book, wanted, write_line, as_json=as_json).run(
                lambda text: stderr().print(f"pypz: {text}", highlight=False) if text else None
            )
        finally:
            feed.close()
