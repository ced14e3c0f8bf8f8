"""Keys, passwords and tokens of all kinds at a broker of our own: what they open, what is said when they do not, and what
becomes of a run whose credentials expire or are revoked under it."""

from __future__ import annotations

import logging
import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_server
from threading import Thread

import pytest
from chaos_drills import Drill, Process
from secured import COUNT, PASSWORD, REAUTHENTICATE_MS, TESTBED, Secured, line, pypz, wait_until

from pypz.core.commons.errors import ConfigurationError, TransportError, TransportTimeoutError
from pypz.executors.pipeline.executor import PipelineExecutor

WRONG = "not-alice-at-all"
EXPIRES_S = 40.0
"""Seconds that the certificate lasts which expires under a run: those who come by it must have started before."""
TOKENS_S = 4
"""Seconds that a token lasts which is renewed under a run; Kafka refuses who asks again within a second."""
PACE_MS = 100

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not TESTBED, reason="needs PYPZ_TESTBED to start a broker with TLS and SASL"),
]

Settings = tuple[str, dict[str, str]]
"""A listener's name, and a ``channelConfig`` for it."""


@pytest.fixture
def kinds(secured: Secured) -> dict[str, Settings]:
    """Ways to say who one is, by name."""
    tls = secured.tls
    authority = {"ssl.ca.location": str(tls / "ca.crt")}
    texts = {
        "ssl.ca.pem": (tls / "ca.crt").read_text(),
        "ssl.certificate.pem": (tls / "client.crt").read_text(),
        "ssl.key.pem": (tls / "client.key").read_text(),
    }
    endpoint = {
        "sasl.oauthbearer.method": "oidc",
        "sasl.oauthbearer.client.id": "alice",
        "sasl.oauthbearer.client.secret": PASSWORD,
        "sasl.oauthbearer.token.endpoint.url": secured.issuer.token_url,
    }
    unsigned = {
        "enable.sasl.oauthbearer.unsecure.jwt": "true",
        "sasl.oauthbearer.config": f"principal=alice lifeSeconds={TOKENS_S}",
    }
    login = {"sasl.username": "alice", "sasl.password": PASSWORD}
    plain, encrypted = {"security.protocol": "SASL_PLAINTEXT"}, {"security.protocol": "SASL_SSL", **authority}
    return {
        "PEM files": ("tls", secured.settings("tls")),
        "PEM texts": ("tls", {"security.protocol": "SSL", **texts}),
        "PLAIN": ("sasl_tls", {**encrypted, "sasl.mechanism": "PLAIN", **login}),
        "OIDC": ("sasl", {**plain, "sasl.mechanism": "OAUTHBEARER", **endpoint}),
        "unsigned tokens": ("sasl_tls", {**encrypted, "sasl.mechanism": "OAUTHBEARER", **unsigned}),
    }


@dataclass
class Expiring:
    """A line whose members have come by a certificate that lasts `EXPIRES_S`."""

    drill: Drill
    members: tuple[Process, Process, Process]
    until_s: float
    certificate: Path


@pytest.fixture(scope="module")
def expiring(secured: Secured, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Expiring]:
    """Made with the first test that asks for it, so that others pass the time."""
    folder = tmp_path_factory.mktemp("expiring")
    until_s, certificate = time.time() + EXPIRES_S, folder / "client.crt"
    secured.authority.sign("client", until_s, certificate)
    settings = secured.settings("tls") | {"ssl.certificate.location": str(certificate)}
    parameters = [("source", "count", 400), ("source", "gates", [200]), ("source", "keepsNotes", True)]
    drill = Drill(folder, secured.at("tls"), parameters, settings)
    try:
        yield Expiring(drill, drill.start_line(), until_s, certificate)
    finally:
        drill.close()


def lines_of(secret: str) -> list[str]:
    """A secret; of a key in PEM every line."""
    return [part for part in secret.splitlines() if not part.startswith("-----")]


@pytest.mark.usefixtures("expiring")
@pytest.mark.parametrize("kind", ["PEM files", "PEM texts", "PLAIN", "OIDC"])
def test_who_shows_good_credentials_is_let_in_and_they_stand_nowhere(
    secured: Secured,
    kinds: dict[str, Settings],
    kind: str,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Neither in what the client library says when it is asked to say all."""
    caplog.set_level(logging.DEBUG)
    listener, settings = kinds[kind]
    secured.issuer.tokens.clear()
    pipeline = line(secured, f"alice_{re.sub('[^a-z]', '', kind.lower())}", listener, {**settings, "debug": "all"})
    assert set(PipelineExecutor(pipeline, want_logs=True).start().values()) == {0}
    assert pipeline.sink.got == COUNT
    stored = secured.bytes_of(f"{pipeline.get_full_name()}.facts").decode("utf-8", "replace")
    assert "channelConfig" in stored
    said = capfd.readouterr()
    assert "SASL" in caplog.text or "SSL" in caplog.text
    secrets = [PASSWORD, *secured.issuer.tokens, *lines_of((secured.tls / "client.key").read_text())]
    assert bool(secured.issuer.tokens) == (kind == "OIDC")
    for text in (str(pipeline), repr(pipeline), said.out, said.err, caplog.text, stored):
        assert [secret for secret in secrets if secret in text] == []


@pytest.mark.usefixtures("expiring")
def test_a_key_given_as_a_text_reaches_members_in_processes_and_no_command_shows_it(
    secured: Secured, kinds: dict[str, Settings], tmp_path: Path
) -> None:
    drill = Drill(tmp_path, secured.at("tls"), [("source", "count", 100)], kinds["PEM texts"][1])
    try:
        sink, copier, source = drill.start_line()
        assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], sink.lines[-5:]
        assert sink.numbers("got") == list(range(100))
        shown = [drill.config.read_text(), *("\n".join(member.lines) for member in (sink, copier, source))]
        for arguments in (("plan",), ("params",)):
            code, told = pypz(drill, *arguments)
            assert code == 0, told
            shown.append(told)
        for part in lines_of((secured.tls / "client.key").read_text()):
            assert part not in "\n".join(shown)
    finally:
        drill.close()


def test_a_token_that_ends_under_a_run_is_renewed(secured: Secured, kinds: dict[str, Settings]) -> None:
    """The broker ends a connection whose token has ended; two runs, each longer than two tokens."""
    secured.issuer.lifetime_s = TOKENS_S
    secured.issuer.tokens.clear()
    pipelines = []
    for kind in ("OIDC", "unsigned tokens"):
        listener, settings = kinds[kind]
        made = line(secured, f"alice_tokens_{listener}", listener, settings)
        made.source.pause_ms, made.source.batch = PACE_MS, 1
        made.source.count = 2 * TOKENS_S * 1000 // PACE_MS
        pipelines.append(made)
    ended: list[set[int]] = []
    threads = [
        Thread(target=lambda made=made: ended.append(set(PipelineExecutor(made).start().values())))
        for made in pipelines
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    secured.issuer.lifetime_s = 3600
    assert ended == [{0}, {0}]
    assert [made.sink.got for made in pipelines] == [made.source.count for made in pipelines]
    clients = 12  # and more: a producer and a consumer or two a member, status and administration beside
    assert len(secured.issuer.tokens) > 2 * clients


def refusals(secured: Secured, kinds: dict[str, Settings], folder: Path) -> dict[str, tuple[Settings, str]]:
    """Credentials that open nothing, and what is said of them."""

    def changed(kind: str, **values: str) -> Settings:
        listener, settings = kinds[kind]
        named = {name.replace("_", "."): value for name, value in values.items()}
        return listener, {name: value for name, value in {**settings, **named}.items() if value}

    secured.authority.sign("client", time.time() - 60, folder / "expired.crt")
    (folder / "text").write_text("nothing of the kind")
    key, other = ((secured.tls / f"{name}.key").read_text() for name in ("client", "server"))
    return {
        "PLAIN": (changed("PLAIN", sasl_password=WRONG), "Authentication failed: Invalid username or password"),
        "OIDC": (changed("OIDC", sasl_oauthbearer_client_secret=WRONG), "token: .*invalid_client"),
        "tokens": (changed("unsigned tokens", sasl_oauthbearer_config=f"who={WRONG}"), "Unrecognized sasl.oauthbearer"),
        "no certificate": (changed("PEM files", ssl_certificate_location="", ssl_key_location=""), "alert bad certif"),
        "expired": (
            changed("PEM files", ssl_certificate_location=str(folder / "expired.crt")),
            "alert certif.*wants a certificate that has not",
        ),
        "no file": (
            changed("PEM files", ssl_key_location="/no/such.key"),
            "'ssl.key.location' is '/no/such.key': No such file or directory",
        ),
        "no PEM": (changed("PEM files", ssl_key_location=str(folder / "text")), "ssl.key.location failed"),
        "no breaks": (
            changed("PEM texts", ssl_key_pem=key.replace("\n", " ")),
            "ssl.key.pem failed.*line breaks count",
        ),
        "other key": (changed("PEM texts", ssl_key_pem=other), "ssl.key.pem failed.*key values mismatch"),
        "no tokens": (changed("OIDC", sasl_oauthbearer_method=""), "nothing says where tokens come from.*'oidc'"),
    }


NOT_LET_IN = ["PLAIN", "OIDC", "tokens", "no certificate", "expired"]
MAKES_NO_SENSE = ["no file", "no PEM", "no breaks", "other key", "no tokens"]


@pytest.mark.parametrize("kind", [*NOT_LET_IN, *MAKES_NO_SENSE])
def test_credentials_that_open_nothing_end_the_start_at_once_with_place_and_way_out(
    secured: Secured, kinds: dict[str, Settings], kind: str, tmp_path: Path
) -> None:
    """None of these waits until the time for an answer is over."""
    (listener, settings), words = refusals(secured, kinds, tmp_path)[kind]
    with pytest.raises(ConfigurationError if kind in MAKES_NO_SENSE else TransportError, match=words) as caught:
        PipelineExecutor(line(secured, "alice_refused", listener, settings)).start()
    assert not isinstance(caught.value, TransportTimeoutError)
    told = str(caught.value)
    assert "channelConfig" in told
    if kind in NOT_LET_IN:
        assert secured.at(listener) in told
        assert "check security.protocol and the options sasl.* and ssl.* in channelConfig" in told
    for secret in (WRONG, PASSWORD, *lines_of(settings.get("ssl.key.pem", ""))):
        assert secret not in told


@contextmanager
def server_with(certificate: Path, key: Path) -> Iterator[int]:
    """Somebody on loopback who shows a certificate; gives the port."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with create_server(("127.0.0.1", 0)) as listening:

        def greet() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return  # closed
                with connection:
                    try:
                        context.wrap_socket(connection, server_side=True).close()
                    except OSError:
                        continue  # the other end has refused

        greeting = Thread(target=greet)
        greeting.start()
        try:
            yield listening.getsockname()[1]
        finally:
            listening.shutdown(2)
            greeting.join()


def test_a_broker_whose_certificate_has_expired_is_refused_at_once(secured: Secured, tmp_path: Path) -> None:
    secured.authority.sign("server", time.time() - 60, tmp_path / "expired.crt")
    with server_with(tmp_path / "expired.crt", secured.tls / "server.key") as port:
        pipeline = line(secured, "alice_late", "tls", secured.settings("tls"))
        pipeline.set_parameter(">>channelLocation", f"kafka://127.0.0.1:{port}")
        with pytest.raises(TransportError, match="certificate verify failed.*has expired") as caught:
            PipelineExecutor(pipeline).start()
    assert not isinstance(caught.value, TransportTimeoutError)
    assert f"kafka://127.0.0.1:{port}" in str(caught.value)


def test_a_user_deleted_while_records_flow_has_them_wait_and_restored_nothing_is_lost(
    secured: Secured, tmp_path: Path
) -> None:
    """The broker asks again who a connection is, and ends it; nobody has to be started again."""
    parameters = [("source", "count", 2400), ("source", "gates", [600, 1600]), ("source", "keepsNotes", True)]
    drill = Drill(tmp_path, secured.at("sasl_tls"), parameters, secured.settings("sasl_tls"), "alice_revoked")
    try:
        sink, copier, source = drill.start_line()
        source.wait_for("sent", 600)
        sink.wait_for("got", 599)
        secured.delete_password("alice")
        asked_again_s = time.monotonic() + REAUTHENTICATE_MS / 1000
        try:
            code, told = pypz(drill, "sniff", "--once")
            words = " ".join(told.split())
            assert (code, "Authentication failed" in words) == (4, True), told
            assert "check security.protocol and the options sasl.* and ssl.* in channelConfig" in words
            wait_until(lambda: time.monotonic() > asked_again_s)  # by now no connection of alice stands
            source.let_go_on()
            source.wait_for("sent", 1600)
            assert sink.highest("got") == 599
        finally:
            secured.set_password("alice", PASSWORD)
        source.let_go_on()
        assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], source.lines[-5:]
        assert sink.numbers("got") == list(range(2400))
        assert PASSWORD not in told + "\n".join(line for member in drill.members for line in member.lines)
    finally:
        drill.close()


def test_a_certificate_that_expires_under_a_run_fails_it_once_it_is_renewed_and_nothing_is_lost(
    secured: Secured, expiring: Expiring
) -> None:
    """Connections that stand go on; no other is let in. The renewed one is read by a new start alone."""
    drill, (sink, _, source) = expiring.drill, expiring.members
    source.wait_for("sent", 200)
    wait_until(lambda: time.time() > expiring.until_s)
    secured.broker.kill()
    secured.broker.start_again()
    code, told = pypz(drill, "peek", "sink.input_port")
    assert (code, "a certificate that has not expired" in " ".join(told.split())) == (1, True), told
    assert [member.process.poll() for member in expiring.members] == [None] * 3
    secured.authority.sign("client", time.time() + 86_400, expiring.certificate)
    source.let_go_on()
    assert all(member.end() > 0 for member in expiring.members)
    for member in expiring.members:
        words = " ".join(member.lines)
        assert "alert certificate unknown" in words
        assert "'ssl.certificate.location' in channelConfig has been replaced since this member was started" in words
    again = drill.start_line()
    if 200 not in again[2].numbers("resumed"):
        again[2].wait_for("sent", 200)
    again[2].let_go_on()
    assert [member.end() for member in again] == [0, 0, 0], again[0].lines[-5:]
    assert set(sink.numbers("got") + again[0].numbers("got")) == set(range(400))
