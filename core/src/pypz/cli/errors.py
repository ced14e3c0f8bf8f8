"""Errors for people at a terminal: one clear line, the traceback only when asked for."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NoReturn

import typer

from pypz.core.commons.errors import MissingParametersError, PipelineFailedError, PypzError

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells do, and ``ExitCodes.SigTerm``."""


def tell(*texts: str, code: int = 1) -> int:
    """Say on stderr what is wrong, a line or more for each text, and give the exit code."""
    from rich.text import Text

    from pypz.cli.screen import stderr

    for text in texts:
        stderr().print(Text.assemble(("pypz: error: ", "bold red"), text))
    return code


def fail(*texts: str, code: int = 1) -> NoReturn:
    """Say on stderr what is wrong, and end the command."""
    raise typer.Exit(tell(*texts, code=code))


def as_errors(errors: list[str]) -> dict[str, Any]:
    """What a command that gives JSON gives when it fails."""
    return {"errors": errors}


@contextlib.contextmanager
def told_plainly(
    debug: bool, as_json: Callable[[list[str]], dict[str, Any]] | bool = False, *, on_one_line: bool = False
) -> Iterator[None]:
    """Turn every error of the block into messages and an exit code.

    Args:
        debug: The traceback is shown, too.
        as_json: The errors are also written to stdout, as an object; true: `as_errors`, else what is given makes it.
        on_one_line: That object is one of many, each on a line.
    """
    from pypz.cli.screen import as_json_line, as_json_text

    def end(texts: list[str], code: int) -> NoReturn:
        if as_json:
            told = as_errors(texts) if as_json is True else as_json(texts)
            sys.stdout.write(as_json_line(told) if on_one_line else as_json_text(told))
            sys.stdout.flush()
        fail(*texts, code=code)

    try:
        yield
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        end(["interrupted"], INTERRUPTED)
    except (typer.Exit, typer.Abort):
        raise
    except BrokenPipeError:  # whoever read our lines, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    except Exception as error:  # noqa: BLE001 - each is told, and the process ends with its code
        if debug:
            traceback.print_exc()
        texts = getattr(error, "texts", None) or [in_words(error, debug)]
        end(texts, error.exit_code if isinstance(error, PipelineFailedError) else 1)


def in_words(error: BaseException, debug: bool = False) -> str:
    """The error's own text where it is one of ours; else also its type and place."""
    if isinstance(error, MissingParametersError):
        return (
            f"{error}\nOn this command line: -p '>>NAME=VALUE' for all plugins, -p '>NAME=VALUE' for all operators, "
            "-p OPERATOR.NAME=VALUE and -p OPERATOR.PORT.NAME=VALUE for one"
        )
    if isinstance(error, PypzError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    hint = "" if debug else "; --debug shows the traceback"
    return f"{type(error).__name__}: {error}{where}{hint}"
