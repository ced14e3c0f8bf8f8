"""TLS, SASL and rights, with a broker of our own: settings reach every client, and what is refused is told in words."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
from chaos_drills import Drill
from confluent_kafka.admin import AclOperation, ResourceType  # type: ignore[attr-defined]  # not marked as exported
from secured import COUNT, PASSWORD, TESTBED, TIMEOUT_S, Secured, line, pypz, wait_until

from pypz.core.channels.spi import Guarantee, Member
from pypz.core.commons.errors import TransportError, TransportTimeoutError
from pypz.executors.pipeline.executor import PipelineExecutor
from pypz.plugins.kafka_io.client import KafkaClient
from pypz.plugins.kafka_io.transport import KafkaTransport

WRONG = "not-alice-at-all"

pytestmark = [
    pytest.mark.broker,
    pytest.mark.skipif(not TESTBED, reason="needs PYPZ_TESTBED to start a broker with TLS and SASL"),
]


@pytest.mark.parametrize("listener", ["sasl", "sasl_tls", "tls"])
def test_a_pipeline_runs_to_its_end_and_its_password_stands_nowhere(
    secured: Secured, listener: str, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    pipeline = line(secured, f"alice_{listener}", listener, secured.settings(listener))
    assert set(PipelineExecutor(pipeline, want_logs=True).start().values()) == {0}
    assert pipeline.sink.got == COUNT
    stored = secured.bytes_of(f"alice_{listener}.facts")
    assert b"channelConfig" in stored
    assert PASSWORD.encode() not in stored
    written = capfd.readouterr()
    for text in (str(pipeline), repr(pipeline), written.out, written.err, caplog.text):
        assert PASSWORD not in text


def test_members_in_processes_the_sniffer_and_peek_get_the_settings_too_and_mallory_is_told_what_she_lacks(
    secured: Secured, tmp_path: Path
) -> None:
    (tmp_path / "mallory").mkdir()
    parameters = [("source", "count", 200), ("source", "gates", [100])]
    drill = Drill(tmp_path, secured.at("sasl_tls"), parameters, secured.settings("sasl_tls"), "alice_seen")
    try:
        sink, copier, source = drill.start_line()
        source.wait_for("sent", 100)
        copier.wait_for("copied", 100)
        code, seen = pypz(drill, "sniff", "--once")
        assert (code, "copier: running" in seen) == (0, True), seen
        code, records = pypz(drill, "peek", "sink.input_port")
        assert (code, '"value": 0' in records or '"value":0' in records) == (0, True), records

        settings = secured.settings("sasl_tls", "mallory")
        mallory = Drill(tmp_path / "mallory", secured.at("sasl_tls"), (), settings, drill.name)
        lacking = f"user 'mallory' lacks the right Describe on topic '{drill.name}.facts'"
        for arguments, expected in ((("sniff", "--once"), 4), (("peek", "sink.input_port"), 1)):
            code, told = pypz(mallory, *arguments)
            assert (code, lacking in " ".join(told.split())) == (expected, True), told

        source.let_go_on()
        assert [member.end() for member in (source, copier, sink)] == [0, 0, 0], sink.lines[-5:]
        assert sink.numbers("got") == list(range(200))
        for member in (source, copier, sink):
            assert PASSWORD not in "\n".join(member.lines)
        assert PASSWORD not in seen + records + drill.config.read_text()
    finally:
        drill.close()


@pytest.mark.parametrize("listener", ["sasl_tls", "tls"])
def test_a_secured_location_is_looked_at_by_itself_with_settings_from_the_command_line_or_a_file(
    secured: Secured, listener: str, tmp_path: Path
) -> None:
    name, location = f"alice_by_itself_{listener}", secured.at(listener)
    pipeline = line(secured, name, listener, secured.settings(listener))
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    settings = {**secured.settings(listener), **({"sasl.password": "${env:ALICE}"} if "sasl" in listener else {})}
    given = ["-p", f">>channelConfig={json.dumps(settings)}"]
    environment = {**os.environ, "COLUMNS": "400", "ALICE": PASSWORD}

    def looked(*arguments: str, **variables: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "pypz.cli.main", *arguments]
        done = subprocess.run(
            command, env=environment | variables, cwd=tmp_path, timeout=TIMEOUT_S, capture_output=True, text=True
        )
        told = " ".join((done.stdout + done.stderr).split())
        assert PASSWORD not in told
        assert WRONG not in told
        return done.returncode, told

    code, told = looked("sniff", location, "--name", name, "--once", *given)
    assert (code, "finished: all have ended well" in told, "sink: finished" in told) == (0, True, True), told
    (tmp_path / "pypz.toml").write_text(
        '[parameters.">>channelConfig"]\n'
        + "\n".join(f"{json.dumps(k)} = {json.dumps(v)}" for k, v in settings.items())
    )
    assert looked("sniff", location, "--name", name, "--once")[0] == 0
    (tmp_path / "pypz.toml").unlink()

    code, told = looked("sniff", location, "--name", name, "--once")
    words = f"{location}: no answer; last seen: ", "security.protocol"
    assert (code, [word in told for word in words]) == (4, [True, True]), told
    if "sasl" in listener:
        code, told = looked("sniff", location, "--name", name, *given, ALICE=WRONG)
        assert (code, "Authentication failed" in told) == (1, True), told
        del environment["ALICE"]
        code, told = looked("sniff", location, *given)
        assert (code, "environment variable ALICE is not set" in told) == (1, True), told


@pytest.mark.parametrize(
    "listener, kind, words",
    [
        ("sasl", "wrong password", "Authentication failed"),
        ("sasl_tls", "wrong password", "Authentication failed"),
        ("tls", "unknown authority", "certificate verify failed"),
    ],
)
def test_who_is_not_let_in_is_told_so_at_once(secured: Secured, listener: str, kind: str, words: str) -> None:
    settings = secured.settings(listener, password=WRONG)
    if kind == "unknown authority":
        del settings["ssl.ca.location"]
    with pytest.raises(TransportError) as caught:
        PipelineExecutor(line(secured, "alice_out", listener, settings)).start()
    text = str(caught.value)
    assert not isinstance(caught.value, TransportTimeoutError)
    for part in (
        secured.at(listener),
        words,
        "check security.protocol and the options sasl.* and ssl.* in channelConfig",
    ):
        assert part in text
    assert WRONG not in text


@pytest.mark.parametrize("listener", ["tls", "sasl"])
def test_a_plain_client_at_a_secured_listener_is_told_which_setting_to_check(
    secured: Secured, listener: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pypz.plugins.kafka_io.status.OPEN_S", 3.0)
    with pytest.raises(TransportTimeoutError) as caught:
        PipelineExecutor(line(secured, "alice_plain", listener, {})).start()
    text = str(caught.value)
    assert secured.at(listener) in text
    assert "it ends each connection at once, as where it expects another security.protocol" in text
    assert "check security.protocol" in text


def test_a_pipeline_outside_of_the_users_prefix_is_told_which_right_is_missing_on_what(secured: Secured) -> None:
    with pytest.raises(TransportError) as caught:
        PipelineExecutor(line(secured, "other", "sasl", secured.settings("sasl"))).start()
    assert "user 'alice' lacks the right Describe on topic 'other.facts'" in str(caught.value)


def test_rights_taken_away_during_a_run_fail_its_members_in_words_and_given_back_nothing_is_lost(
    secured: Secured, tmp_path: Path
) -> None:
    parameters = [("source", "count", 400), ("source", "gates", [200]), ("source", "keepsNotes", True)]
    drill = Drill(tmp_path, secured.at("sasl"), parameters, secured.settings("sasl"), "alice_rights")
    try:
        members = drill.start_line()
        members[2].wait_for("sent", 200)
        secured.take_rights()
        try:
            members[2].let_go_on()
            assert all(member.end() > 0 for member in members)
        finally:
            secured.give_rights()
        told = "\n".join(" ".join(member.lines) for member in members)
        assert "user 'alice' lacks the right" in told
        assert PASSWORD not in told
        again = drill.start_line()
        if 200 not in again[2].numbers("resumed"):
            again[2].wait_for("sent", 200)
        again[2].let_go_on()
        assert [member.end() for member in again] == [0, 0, 0], again[0].lines[-5:]
        got = members[0].numbers("got") + again[0].numbers("got")
        assert set(got) == set(range(400))
    finally:
        drill.close()


def test_the_rights_that_the_page_lists_for_members_are_enough_and_less_is_refused_in_words(
    secured: Secured,
) -> None:
    """With none of them mallory is refused, with these on ``mallory_few.`` alone her pipeline runs."""
    settings = secured.settings("sasl", "mallory")
    with pytest.raises(TransportError, match=r"lacks the right Describe on topic 'mallory_few\.facts'"):
        PipelineExecutor(line(secured, "mallory_few", "sasl", settings)).start()
    operation = AclOperation
    on_groups = {ResourceType.GROUP: [operation.READ, operation.DESCRIBE]}
    secured.grant("mallory", "mallory_few.", {ResourceType.TOPIC: [operation.DESCRIBE], **on_groups})
    with pytest.raises(TransportError, match=r"lacks the right Create on topic 'mallory_few\."):
        PipelineExecutor(line(secured, "mallory_few", "sasl", settings)).start()
    more = [operation.READ, operation.WRITE, operation.CREATE, operation.DELETE]
    more += [operation.ALTER, operation.DESCRIBE_CONFIGS]
    secured.grant("mallory", "mallory_few.", {ResourceType.TOPIC: more})
    pipeline = line(secured, "mallory_few", "sasl", settings)
    assert set(PipelineExecutor(pipeline).start().values()) == {0}
    assert pipeline.sink.got == COUNT


def test_a_password_changed_during_a_run_lets_nobody_back_in_until_it_is_changed_back_and_nothing_is_lost(
    secured: Secured, tmp_path: Path
) -> None:
    """It ends the broker and starts it again. Members wait or fail, and say why; who failed is started again."""
    parameters = [("source", "count", 400), ("source", "gates", [200]), ("source", "keepsNotes", True)]
    drill = Drill(tmp_path, secured.at("sasl"), parameters, secured.settings("sasl"), "alice_password")
    try:
        members = drill.start_line()
        members[2].wait_for("sent", 200)
        members[0].wait_for("got", 100)
        transport = KafkaTransport(secured.at("sasl"), secured.settings("sasl"))
        watching = transport.open_client(Member(drill.name, "watching", 0, "start"), 1, Guarantee.AT_LEAST_ONCE)
        assert isinstance(watching, KafkaClient)
        found = transport.describe_channel(f"{drill.name}.sink.input_port")
        assert found is not None
        watching.reader(found, f"{drill.name}.watching", [0]).seek(0, "first")
        assert watching.read(1, TIMEOUT_S)
        secured.set_password("alice", "another-one")
        try:
            secured.broker.kill()
            secured.broker.start_again()
            wait_until(lambda: "Authentication failed" in watching.last_cause())
            code, told = pypz(drill, "peek", "sink.input_port")
            assert (code, "Authentication failed" in told, PASSWORD in told) == (1, True, False), told
        finally:
            secured.set_password("alice", PASSWORD)
        members[2].let_go_on()
        ended = [member.end() for member in members]
        names = [name for name, code in zip(("sink", "copier", "source"), ended, strict=True) if code]
        again = [drill.start(name) for name in names]
        if "source" in names:
            again[-1].let_go_on()
        print()
        assert [member.end() for member in again] == [0] * len(again)
        got = [number for member in (*members, *again) for number in member.numbers("got")]
        assert set(got) == set(range(400))
        assert PASSWORD not in "\n".join("\n".join(member.lines) for member in (*members, *again))
        transport.close()
    finally:
        drill.close()
