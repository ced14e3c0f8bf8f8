"""The screen in a browser: who is answered, what the page loads, what a window costs, how it ends."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import aiohttp
import pytest
from sniffer_tui.tests.project.sniffed_pipelines import TwoSteps
from typer.testing import CliRunner

from pypz.cli.main import app

PATIENCE_S = 30
PLACES = ("/", "/ws", "/static/js/textual.js", "/page/page.js", "/download/any")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    pipeline = TwoSteps("seen")
    pipeline.set_parameter(">>channelLocation", f"local:{tmp_path}/channels")
    (tmp_path / "seen.yaml").write_text(str(pipeline))
    command = [sys.executable, "-m", "pypz.cli.main", "sniff", "seen.yaml", "--web"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


@pytest.fixture
def address(server: subprocess.Popen[str]) -> str:
    """What the command prints: the address with the token."""
    assert server.stdout is not None
    return server.stdout.readline().strip()


@pytest.fixture
async def browser() -> AsyncIterator[aiohttp.ClientSession]:
    jar = aiohttp.CookieJar(unsafe=True)  # keeps cookies of an address that is a number
    async with aiohttp.ClientSession(cookie_jar=jar, timeout=aiohttp.ClientTimeout(PATIENCE_S)) as session:
        yield session


def base_of(address: str) -> str:
    return address.partition("/?")[0]


async def test_without_the_token_nothing_is_answered(address: str, browser: aiohttp.ClientSession) -> None:
    for token in ("", "?token=", "?token=wrong", "?token=%C3%BC"):
        for place in PLACES:
            async with browser.get(f"{base_of(address)}{place}{token}") as answer:
                assert (answer.status, answer.headers.get("Set-Cookie")) == (403, None), f"{place}{token}"
                assert "open the address" in await answer.text()


def test_requests_that_are_none_are_refused_without_a_word_on_stderr(
    server: subprocess.Popen[str], address: str
) -> None:
    base = base_of(address)
    host = base.removeprefix("http://")
    port = int(host.rpartition(":")[2])
    cookie = f"Cookie: pypz-sniffer-{port}=".encode() + b"\xff\xed\xa0\x80"
    for line, header, status in (
        (b"GET / HTTP/1.1", cookie, b"403"),
        (b"GET /?token=\xff HTTP/1.1", b"Accept: */*", b"400"),
        (b"GET / HTTP/1.1", b"Host: evil.example", b"400"),
    ):
        with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as connection:
            connection.sendall(b"\r\n".join([line, f"Host: {host}".encode(), header, b"", b""]))
            assert connection.recv(100).split()[1] == status, (line, header)
    server.send_signal(signal.SIGINT)
    _, stderr = server.communicate(timeout=PATIENCE_S)
    assert "Traceback" not in stderr
    assert "Error handling" not in stderr


async def test_other_names_and_other_pages_are_refused_though_they_have_the_token(
    address: str, browser: aiohttp.ClientSession
) -> None:
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        async with browser.get(address, headers=headers) as answer:
            assert answer.status == 403, headers
    async with browser.get(address):
        pass
    with pytest.raises(aiohttp.WSServerHandshakeError, match="403"):
        await browser.ws_connect(f"{base_of(address)}/ws", origin="http://evil.example")


async def test_the_page_loads_nothing_from_elsewhere_and_does_not_hold_the_token(
    address: str, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(address) as answer:
        page = await answer.text()
        assert answer.status == 200
        assert "token" not in str(answer.url)
    base = base_of(address)
    linked = re.findall(r'(?:src|href|url)="([^"]+)"', page)
    assert {link for link in linked if not link.startswith(("/", base, base.replace("http", "ws"), "data:"))} == set()
    assert re.findall(r"https?://[^\"' ]+", page.replace(base, "")) == []
    assert address.partition("token=")[2] not in page
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert re.findall(r"https?:", policy) == []
    for link in linked:
        if link.startswith((base, "/")) and "." in link:
            async with browser.get(link if link.startswith(base) else base + link) as part:
                assert part.status == 200, link


async def test_a_window_shows_the_screen_and_quits_by_its_key(address: str, browser: aiohttp.ClientSession) -> None:
    async with browser.get(address):
        pass
    async with browser.ws_connect(f"{base_of(address)}/ws?width=100&height=30", origin=base_of(address)) as window:
        shown = await read_until(window, b"waits for the run to start")
        assert b"seen" in shown
        await window.send_json(["stdin", "q"])
        async with asyncio.timeout(PATIENCE_S):
            while not window.closed:
                await window.receive()


async def test_ctrl_c_ends_the_page_with_all_its_windows(
    server: subprocess.Popen[str], address: str, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(address):
        pass
    async with browser.ws_connect(f"{base_of(address)}/ws", origin=base_of(address)) as window:
        await read_until(window, b"waits for the run to start")
        children = children_of(server.pid)
        assert len(children) == 1
        server.send_signal(signal.SIGINT)
        async with asyncio.timeout(PATIENCE_S):
            while not window.closed:
                await window.receive()
    assert await asyncio.to_thread(server.wait, PATIENCE_S) == 0
    assert [child for child in children if is_alive(child)] == []


async def test_no_window_outlives_a_killed_server(
    server: subprocess.Popen[str], address: str, browser: aiohttp.ClientSession
) -> None:
    async with browser.get(address):
        pass
    async with browser.ws_connect(f"{base_of(address)}/ws", origin=base_of(address)) as window:
        await read_until(window, b"waits for the run to start")
        (child,) = children_of(server.pid)
        server.kill()
        deadline = asyncio.get_running_loop().time() + PATIENCE_S
        while is_alive(child):
            assert asyncio.get_running_loop().time() < deadline, f"process {child} is still there"
            await asyncio.sleep(0.05)


async def test_a_ninth_window_is_refused(address: str, browser: aiohttp.ClientSession) -> None:
    async with browser.get(address):
        pass
    windows = [await browser.ws_connect(f"{base_of(address)}/ws", origin=base_of(address)) for _ in range(8)]
    with pytest.raises(aiohttp.WSServerHandshakeError, match="503"):
        await browser.ws_connect(f"{base_of(address)}/ws", origin=base_of(address))
    for window in windows:
        await window.close()


async def test_a_window_whose_process_cannot_begin_closes(
    address: str, browser: aiohttp.ClientSession, tmp_path: Path
) -> None:
    (tmp_path / "seen.yaml").unlink()
    async with browser.get(address):
        pass
    async with browser.ws_connect(f"{base_of(address)}/ws", origin=base_of(address)) as window:
        async with asyncio.timeout(PATIENCE_S):
            while not window.closed:
                await window.receive()


def test_what_cannot_be_seen_from_here_is_refused_before_a_page_is_served(tmp_path: Path) -> None:
    (tmp_path / "nowhere.yaml").write_text(str(TwoSteps("nowhere")))
    result = CliRunner().invoke(app, ["sniff", str(tmp_path / "nowhere.yaml"), "--web"])
    assert result.exit_code == 1
    assert "nothing to see" in " ".join(result.output.split())


def test_a_port_that_is_taken_is_told(server: subprocess.Popen[str], address: str, tmp_path: Path) -> None:
    port = base_of(address).rpartition(":")[2]
    result = CliRunner().invoke(app, ["sniff", str(tmp_path / "seen.yaml"), "--web", "--web-port", port])
    assert result.exit_code == 1
    assert f"--web-port is {port}" in result.output
    assert "0 for any that is free" in " ".join(result.output.split())


async def read_until(window: aiohttp.ClientWebSocketResponse, words: bytes) -> bytes:
    shown = b""
    async with asyncio.timeout(PATIENCE_S):
        while words not in shown:
            message = await window.receive()
            assert message.type is aiohttp.WSMsgType.BINARY, f"{message} after {shown!r}"
            shown += message.data
    return shown


def children_of(process: int) -> list[int]:
    return [int(number) for number in Path(f"/proc/{process}/task/{process}/children").read_text().split()]


def is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True
