"""Executes one operator of a described pipeline: what a pod runs, and a process of its own.

``python -m pypz.runnables.operator CONFIG OPERATOR [MODE] [--index N] [--run ID]``
"""

from __future__ import annotations

import os
import signal

if __name__ == "__main__":
    # Nothing runs yet that could be drained, and process 1 of a pod ignores a SIGTERM that nobody handles.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: os._exit(130))

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.hooks.host import PluginHost
from pypz.core.specs._documents import DocumentError, parse
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode, ExitCodes
from pypz.executors.operator.executor import RUN_VARIABLE, OperatorExecutor, drain_seconds
from pypz.executors.operator.probes import ProbeServer
from pypz.executors.reports import first_line, say
from pypz.executors.starter import WANT_LOGS_VARIABLE, watch_starter
from pypz.executors.telling import LAST_NEWS_S, teller_for_starter

_EPILOG: Final = """\
exit codes:
  0           the operator has ended well
  1           the arguments or the configuration make no sense; the reason stands on stderr
  110 - 117   a state of the operator has failed (pypz.executors.commons.ExitCodes)
  129         the run could not be joined, or something failed outside of all states
  130         interrupted by SIGTERM or Ctrl-C, drained and committed; a second Ctrl-C ends at once

example:
  python -m pypz.runnables.operator pipeline.yaml reader --index 2    executes reader_1
"""


class _Parser(argparse.ArgumentParser):
    """Exits with 1 when it is used wrongly, as users of earlier versions know it."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(ExitCodes.GeneralError.value, f"ERROR: {message}; --help tells more\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Execute the operator that the arguments name.

    Args:
        arguments: Those of the command line when left out.

    Returns:
        The exit code for the process.
    """
    parser = _make_parser()
    given = parser.parse_args(arguments)
    try:
        mode = ExecutionMode(given.mode)
        if given.run:
            os.environ[RUN_VARIABLE] = given.run
        operator = find_operator(read_pipeline(given.config), given.operator, given.index)
        executor = OperatorExecutor(operator, want_logs=bool(os.environ.get(WANT_LOGS_VARIABLE)))
        probes = _probes_of(executor, operator, given.health_port)
        watch_starter(operator.get_full_name(), drain_seconds(operator))
    except PypzError as error:
        say(f"ERROR: {error}")
        return ExitCodes.GeneralError.value
    host, teller = PluginHost.default(), teller_for_starter()
    if teller is not None:
        host.register(teller, "news for the starter")
    try:
        return executor.execute(mode)
    finally:
        if teller is not None:
            host.flush(LAST_NEWS_S)
            host.unregister(teller)
            teller.close()
        if probes is not None:
            probes.close()


def _probes_of(executor: OperatorExecutor, operator: Any, port: int | None) -> ProbeServer | None:
    """Answer probes on this port, unless a plugin of the operator does."""
    plugins = Internals(operator.get_group_principal() or operator).nested_instances.values()
    if port is None or any(getattr(plugin, "answers_probes", False) for plugin in plugins):
        return None
    try:
        return ProbeServer(port, executor.health, "pypz-probes")
    except (OSError, OverflowError) as error:
        raise ConfigurationError(f"--health-port {port} cannot be opened ({error}); choose another one") from error


def read_pipeline(path: Path) -> Pipeline:
    """Rebuild a pipeline from its description; classes that are not installed here are stood in for.

    Args:
        path: A YAML or JSON file.

    Raises:
        ConfigurationError: The file cannot be read, or is no description of a pipeline.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read ({error}); expected the YAML of a pipeline") from error
    try:
        document = parse(text)
    except DocumentError as error:
        where = "" if error.line is None else f", line {error.line}, column {error.column}"
        what = "cannot be taken" if error.is_yaml else "is no YAML"
        raise ConfigurationError(f"{path}{where}: {what}: {error.problem}") from error
    if not isinstance(document, dict):
        raise ConfigurationError(
            f"{path}: holds a {type(document).__name__}, expected the YAML of a pipeline, such as `str(pipeline)` gives"
        )
    try:
        made = Pipeline.create_from_string(text, mock_nonexistent=True)
    except PypzError as error:
        raise ConfigurationError(f"{path}: describes no pipeline: {first_line(error)}") from error
    if not isinstance(made, Pipeline):
        raise ConfigurationError(f"{path}: describes a {type(made).__qualname__}, expected a pipeline")
    return made


def find_operator(pipeline: Pipeline, name: str, index: int) -> Any:
    """Give a member of an operator's group.

    Args:
        pipeline: Where to look.
        name: Simple or full name of the operator, or of one of its replicas.
        index: Group index: 0 is the operator itself, i its replica ``<name>_<i-1>``.

    Raises:
        ConfigurationError: There is no such operator, or no such index.
    """
    members = Internals(pipeline).nested_instances
    simple_name = name.removeprefix(f"{pipeline.get_full_name()}.")
    operator = members.get(simple_name)
    if operator is None:
        raise ConfigurationError(
            f"{pipeline.get_full_name()}: has no operator {name!r}, expected one of {', '.join(members) or '(none)'}"
        )
    if index == 0:
        return operator
    size = operator.get_group_size()
    if not operator.is_principal() or not 0 < index < size:
        rest = f"0 to {size - 1}" if operator.is_principal() else "0, because the name is that of a replica"
        raise ConfigurationError(f"{operator.get_full_name()}: has no index {index}, expected {rest}")
    return members[f"{simple_name}_{index - 1}"]


def _make_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m pypz.runnables.operator",
        description="Executes one operator of a pipeline in this process and exits with its exit code.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", metavar="CONFIG", type=Path, help="YAML or JSON description of the whole pipeline")
    parser.add_argument("operator", metavar="OPERATOR", help="simple name of the operator, or of one of its replicas")
    parser.add_argument(
        "mode",
        metavar="MODE",
        nargs="?",
        default=ExecutionMode.Standard.value,
        choices=[mode.value for mode in ExecutionMode],
        help=f"one of {', '.join(mode.value for mode in ExecutionMode)} (Standard)",
    )
    parser.add_argument(
        "--index", metavar="N", type=int, default=0, help="member of the group: 0 is OPERATOR, i is OPERATOR_<i-1> (0)"
    )
    parser.add_argument(
        "--run", metavar="ID", help=f"run to take part in ({RUN_VARIABLE}, else the open run, else a new one)"
    )
    parser.add_argument(
        "--health-port",
        metavar="PORT",
        type=int,
        help="answer GET /live, /ready and /check there, where no plugin of the operator does",
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
