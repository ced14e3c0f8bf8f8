"""Serves the sniffer's screen on loopback: each browser window that knows the token gets a sniffer process of its own.

textual-serve carries the terminal between browser and process. What it does not do is done here: it listens on 127.0.0.1
alone, answers nothing but the token's holder, on the page as on the websocket, and its page loads nothing from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import shlex
import signal
import socket
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from aiohttp import web
from textual_serve.app_service import AppService
from textual_serve.server import Server, to_int

from pypz.core.commons.errors import ConfigurationError

HOST: Final = "127.0.0.1"

PAGE: Final = Path(__file__).parent / "page"

WINDOWS_AT_MOST: Final = 8
"""Windows that may be open at once, each a process of its own (chosen)."""

DRIVER: Final = "pypz.sniffer.web.driver:WindowDriver"

HEARTBEAT_S: Final = 15.0
"""Seconds after which a window that has gone without a word is noticed (chosen)."""

CLOSE_S: Final = 2.0
"""Seconds that windows have to close at the end (chosen)."""

POLICY: Final = (
    "default-src 'none'; script-src 'self' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data:; connect-src 'self' {websocket}; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"
)
"""What a browser may load for the page: nothing from elsewhere. textual.js makes functions of texts, and styles of its own."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class SnifferServer(Server):
    """One command, shown to whoever has the token.

    Args:
        command: Program and arguments of a process that shows the sniffer's screen.
        title: Title of the page.
        port: Port on 127.0.0.1; 0 takes one that is free.

    Raises:
        ConfigurationError: The port cannot be had.
    """

    def __init__(self, command: Sequence[str], title: str, port: int = 0) -> None:
        self._socket = _listening(port)
        port = self._socket.getsockname()[1]
        super().__init__(f"exec {shlex.join(command)}", host=HOST, port=port, title=title, templates_path=PAGE)
        self._token = secrets.token_urlsafe(24)
        self._cookie = f"pypz-sniffer-{port}"
        self._open_windows = 0
        self.public_url = f"http://{HOST}:{port}"
        """Where the server is, without the token."""

    @property
    def address(self) -> str:
        """What to open in a browser; whoever has it sees the screen."""
        return f"{self.public_url}/?token={self._token}"

    def close(self) -> None:
        """Listen no more; idempotent."""
        self._socket.close()

    async def run(self, on_ready: Callable[[], None] = lambda: None) -> None:
        """Serve until SIGINT or SIGTERM, or until this is cancelled.

        Args:
            on_ready: Called when browsers are answered.
        """
        logging.getLogger("textual-serve").setLevel(logging.ERROR)
        logging.getLogger("aiohttp.server").setLevel(logging.CRITICAL)  # tracebacks of requests that are none
        runner = web.AppRunner(await self._make_app(), access_log=None, shutdown_timeout=CLOSE_S)
        await runner.setup()
        asked_to_end = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, asked_to_end.set)
        try:
            await web.SockSite(runner, self._socket).start()
            on_ready()
            await asked_to_end.wait()
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
            await runner.cleanup()
            self.close()

    async def on_startup(self, app: web.Application) -> None:
        """Say nothing: who serves says where."""

    async def handle_websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Open a window: start its process, and end it with the window."""
        if self._open_windows >= WINDOWS_AT_MOST:
            raise web.HTTPServiceUnavailable(text=f"{WINDOWS_AT_MOST} windows are open already; close one\n")
        self._open_windows += 1
        try:
            window = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
            await window.prepare(request)

            async def close() -> None:
                await window.close()

            process = _ScreenProcess(
                self.command,
                write_bytes=window.send_bytes,
                write_str=window.send_str,
                close=close,
                download_manager=self.download_manager,
            )
            await process.start(to_int(request.query.get("width", ""), 80), to_int(request.query.get("height", ""), 24))
            try:
                await self._process_messages(window, process)
            finally:
                await process.stop()
            return window
        finally:
            self._open_windows -= 1

    async def _make_app(self) -> web.Application:
        app = await super()._make_app()
        app.router.add_static("/page", PAGE)
        app.middlewares.append(self._answer)
        return app

    @web.middleware
    async def _answer(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer the token's holder on this machine, and nobody else."""
        if request.host != f"{HOST}:{self.port}" or request.headers.get("Origin", self.public_url) != self.public_url:
            raise web.HTTPForbidden(text=f"this page answers at {self.public_url} alone, and to itself\n")
        given = request.query.get("token")
        if not self._is_token(given if given is not None else request.cookies.get(self._cookie)):
            raise web.HTTPForbidden(text="no or a wrong token: open the address that `pypz sniff --web` has printed\n")
        if given is not None:  # so that the address bar, history and what the page loads do not hold it
            found = web.HTTPFound("/")
            found.set_cookie(self._cookie, self._token, httponly=True, samesite="Strict")
            raise found
        response = await handler(request)
        if not response.prepared:
            websocket = self.public_url.replace("http:", "ws:")
            response.headers["Content-Security-Policy"] = POLICY.format(websocket=websocket)
            response.headers["Cache-Control"] = "no-store"
            response.headers["X-Content-Type-Options"] = "nosniff"
        return response

    def _is_token(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(errors="replace"), self._token.encode())


class _ScreenProcess(AppService):
    """A process that shows the screen; its window closes when it ends, also where it could not begin."""

    def _build_environment(self, width: int = 80, height: int = 24) -> dict[str, str]:
        return {**super()._build_environment(width, height), "TEXTUAL_DRIVER": DRIVER}

    async def run(self) -> None:
        await super().run()
        if self._process is not None:
            await self._process.wait()
        await self.remote_close()


def _listening(port: int) -> socket.socket:
    try:
        return socket.create_server((HOST, port))
    except (OSError, OverflowError) as error:
        raise ConfigurationError(
            f"--web-port is {port}: {error}; name another one, or 0 for any that is free"
        ) from error
