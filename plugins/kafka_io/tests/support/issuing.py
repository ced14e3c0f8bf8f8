"""Who says who somebody is: an authority that signs certificates for as long as wanted, and one that gives out tokens."""

from __future__ import annotations

import base64
import json
import subprocess
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

_CONFIGURATION = """
[ca]
default_ca = own
[own]
database = index
new_certs_dir = .
serial = next
default_md = sha256
policy = any
unique_subject = no
copy_extensions = copy
[any]
commonName = supplied
"""


def _openssl(folder: Path, *arguments: str, given: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *arguments], cwd=folder, input=given, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


class Authority:
    """The bed's authority; it has signed requests for ``server`` and ``client`` already, for ten years."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        (folder / "authority.cnf").write_text(_CONFIGURATION)
        (folder / "index").touch()
        (folder / "next").write_text("1000\n")

    def sign(self, name: str, until_s: float, into: Path) -> None:
        """Write a certificate of a name that is good until then, in seconds of the epoch."""
        dates = [datetime.fromtimestamp(at, UTC).strftime("%Y%m%d%H%M%SZ") for at in (until_s - 86_400, until_s)]
        arguments = ["-batch", "-notext", "-config", "authority.cnf", "-cert", "ca.crt", "-keyfile", "ca.key"]
        period = ["-startdate", dates[0], "-enddate", dates[1]]
        _openssl(self._folder, "ca", *arguments, *period, "-in", f"{name}.csr", "-out", str(into))


class TokenIssuer:
    """An OpenID provider as small as it can be, on loopback: tokens for client credentials, and the key that they are signed by."""

    audience = "kafka"

    def __init__(self, folder: Path, secrets: Mapping[str, str]) -> None:
        self._folder = folder
        self._secrets = secrets
        self.lifetime_s = 3600
        """Of the tokens that are given out from now on."""
        self.tokens: list[str] = []
        """All that were given out."""
        _openssl(folder, "genrsa", "-out", "issuer.key", "2048")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self.token_url = f"{self.url}/token"
        self.keys_url = f"{self.url}/keys"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _keys(self) -> dict[str, object]:
        told = _openssl(self._folder, "rsa", "-in", "issuer.key", "-noout", "-modulus").decode().strip()
        modulus = bytes.fromhex(told.partition("=")[2])
        return {"keys": [{"kty": "RSA", "kid": "1", "use": "sig", "alg": "RS256", "n": _base64(modulus), "e": "AQAB"}]}

    def _token(self, user: str) -> str:
        now = int(time.time())
        claims = {"sub": user, "iss": self.url, "aud": self.audience, "iat": now, "exp": now + self.lifetime_s}
        parts = [_base64(json.dumps(part).encode()) for part in ({"alg": "RS256", "kid": "1", "typ": "JWT"}, claims)]
        signature = _openssl(self._folder, "dgst", "-sha256", "-sign", "issuer.key", given=".".join(parts).encode())
        self.tokens.append(".".join([*parts, _base64(signature)]))
        return self.tokens[-1]

    def _answer(self, login: str) -> tuple[int, dict[str, object]]:
        user, _, secret = base64.b64decode(login.partition(" ")[2]).decode().partition(":")
        if unquote(secret) != self._secrets.get(unquote(user)):
            return 401, {"error": "invalid_client", "error_description": "who are you?"}
        return 200, {"access_token": self._token(unquote(user)), "token_type": "bearer", "expires_in": self.lifetime_s}

    def _handler(issuer) -> type[BaseHTTPRequestHandler]:  # ``self`` is the handler's below
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._send(200, issuer._keys())

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self._send(*issuer._answer(self.headers["Authorization"]))

            def _send(self, status: int, what: dict[str, object]) -> None:
                body = json.dumps(what).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        return Handler


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
