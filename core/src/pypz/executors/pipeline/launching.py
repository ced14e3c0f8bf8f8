"""How the process of a member is started: the command that a pod runs, too, its environment, and what is refused."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, Final

from pypz.core.channels.port import channel_ports_of
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.secrets import secrets_of
from pypz.core.specs.instance import Internals
from pypz.core.specs.pipeline import Pipeline
from pypz.executors.commons import ExecutionMode
from pypz.executors.operator.executor import RUN_VARIABLE
from pypz.executors.starter import STARTER_VARIABLE, WANT_LOGS_VARIABLE
from pypz.executors.telling import NEWS_VARIABLE

RUNNER: Final = "pypz.runnables.operator"


class Launcher:
    """Starts processes of one run; `close` lets go of what tells them that their starter is there.

    Args:
        pipeline: Whose members are started.
        run_id: The run in which they take part.
        mode: Which part of their life.
        want_logs: Whether the plugins are asked for a logger for operators that carry none.
        has_streams: Whether status streams tell what members do.
    """

    def __init__(
        self, pipeline: Pipeline, run_id: str, mode: ExecutionMode, want_logs: bool, has_streams: bool
    ) -> None:
        self._mode = mode
        self._wanted_news = ":logs" if has_streams else ""
        self._all_secrets = secrets_of(pipeline)
        self._description = str(pipeline).encode()
        self._watched, self._held = os.pipe()
        self._environment = {
            "PYTHONUNBUFFERED": "1",  # a line is handed on when it is written, not when 8 KiB are full
            **os.environ,
            "PYTHONPATH": python_path(),
            RUN_VARIABLE: run_id,
            STARTER_VARIABLE: str(self._watched),
            WANT_LOGS_VARIABLE: "1" if want_logs else "",
        }

    def start(self, member: Any) -> tuple[subprocess.Popen[bytes], IO[bytes]]:
        """Start the process of an operator or replica, in a session of its own: signals of the terminal pass it by.

        Returns:
            The process, and the pipe by which it tells its news.

        Raises:
            OSError: The system has no room for it.
        """
        principal = member.get_group_principal() or member
        own = secrets_of(principal) if channel_ports_of(principal) else self._all_secrets
        reading, writing = os.pipe()
        try:
            with tempfile.TemporaryFile() as config:  # has no name: nothing of it is left however this process ends
                config.write(self._description)
                config.seek(0)
                process = subprocess.Popen(
                    [
                        *(sys.executable, "-m", RUNNER, f"/dev/fd/{config.fileno()}"),
                        *(principal.get_simple_name(), self._mode.value),
                        *("--index", str(member.get_group_index() or 0)),
                    ],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env={**self._environment, NEWS_VARIABLE: f"{writing}{self._wanted_news}", **own},
                    pass_fds=(self._watched, writing, config.fileno()),
                    start_new_session=True,
                )
        except BaseException:
            os.close(reading)
            raise
        finally:
            os.close(writing)
        return process, os.fdopen(reading, "rb")

    def close(self) -> None:
        """Processes that still run take this for the end of their starter."""
        os.close(self._watched)
        os.close(self._held)


def python_path() -> str:
    """Give where this process finds modules, for ``PYTHONPATH``; what every interpreter has by itself is left out."""
    own = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    zipped = f"python{sys.version_info.major}{sys.version_info.minor}.zip"
    found = dict.fromkeys(str(Path(entry).absolute()) for entry in sys.path)
    kept = [entry for entry in found if entry not in own and Path(entry).name not in (zipped, "lib-dynload")]
    return os.pathsep.join(kept)


def check_importable(pipeline: Pipeline) -> None:
    """Refuse classes that no other process can import.

    Raises:
        ConfigurationError: Names them, and the ways out.
    """
    found = {
        f"{instance.get_full_name()} ({name})": None
        for instance in _all_of(pipeline)
        if (name := Internals(instance).spec_name).startswith("__main__:") or "<locals>" in name
    }
    if found:
        raise ConfigurationError(
            f"{pipeline.get_full_name()}: classes of the started script, or defined within a function, cannot be imported "
            f"by the processes of the operators: {'; '.join(found)}. Move them into a module that the script imports, or "
            f"use isolation='thread'"
        )


def _all_of(instance: Any) -> Iterator[Any]:
    yield instance
    for nested in instance._pypz_own_nested():
        yield from _all_of(nested)
