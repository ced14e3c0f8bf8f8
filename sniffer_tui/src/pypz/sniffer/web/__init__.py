"""The sniffer's screen in a browser of this machine: ``pypz sniff ... --web``."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence

from pypz.cli.screen import stderr
from pypz.core.commons.errors import ConfigurationError


def serve_screen(pipeline: str, arguments: Sequence[str], port: int) -> None:
    """Show a pipeline to browsers of this machine until SIGINT or SIGTERM.

    Args:
        pipeline: Its name, for the title.
        arguments: Those of ``pypz`` with which a process shows it on its screen.
        port: Port on 127.0.0.1; 0 takes one that is free.

    Raises:
        ConfigurationError: textual-serve is not installed, or the port cannot be had.
    """
    try:
        from pypz.sniffer.web.server import SnifferServer
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"--web needs {error.name}, which is not installed: pip install 'pypz-sniffer[web]'"
        ) from error
    command = [sys.executable, "-m", "pypz.cli.main", *arguments]
    server = SnifferServer(command, f"pypz sniffer: {pipeline}", port)

    def tell() -> None:
        sys.stdout.write(f"{server.address}\n")
        sys.stdout.flush()
        stderr().print("pypz: whoever has this address sees the pipeline; Ctrl-C ends the page, the pipeline goes on")

    asyncio.run(server.run(tell))
