"""Errors for people at a terminal: one clear line, the traceback only when asked for."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import typer

from pypz.core.commons.errors import MissingParametersError, PipelineFailedError, PypzError

INTERRUPTED: Final = 130
"""Exit code after Ctrl-C: 128 + SIGINT, as shells do, and ``ExitCodes.SigTerm``."""


def fail(text: str, code: int = 1) -> NoReturn:
    """Say what is wrong on stderr and end the command."""
    from rich.text import Text

    from pypz.cli.screen import stderr

    stderr().print(Text.assemble(("pypz: error: ", "bold red"), text))
    raise typer.Exit(code)


@contextlib.contextmanager
def told_plainly(debug: bool) -> Iterator[None]:
    """Turn every error of the block into one message and an exit code."""
    try:
        yield
    except KeyboardInterrupt:
        if debug:
            traceback.print_exc()
        fail("interrupted", INTERRUPTED)
    except (typer.Exit, typer.Abort):
        raise
    except BrokenPipeError:  # whoever read our lines, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(141) from None
    except Exception as error:  # noqa: BLE001 - each is told, and the process ends with its code
        if debug:
            traceback.print_exc()
        fail(in_words(error, debug), error.exit_code if isinstance(error, PipelineFailedError) else 1)


def in_words(error: BaseException, debug: bool = False) -> str:
    """The error's own text where it is one of ours; else also its type and place."""
    if isinstance(error, MissingParametersError):
        return f"{error}\nOn this command line: -p '>>NAME=VALUE' for all plugins, -p '>NAME=VALUE' for all operators"
    if isinstance(error, PypzError):
        return str(error)
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    hint = "" if debug else "; --debug shows the traceback"
    return f"{type(error).__name__}: {error}{where}{hint}"
