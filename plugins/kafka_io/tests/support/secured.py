"""A broker with TLS and SASL of all kinds for the tests of them, and what runs at it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from chaos_drills import Drill, OwnBroker
from chaos_line import ChaosLine
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # its own names are not marked as exported
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    NewTopic,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)
from issuing import Authority, TokenIssuer

TESTBED = os.environ.get("PYPZ_TESTBED", "")
COUNT = 60
"""Records of a short run."""
PASSWORD = "alice-secret"
TIMEOUT_S = 90
TYPES = ResourceType.TOPIC, ResourceType.GROUP
REAUTHENTICATE_MS = 2000
"""After this time a login by SCRAM over TLS is asked for again, on the connection that stands."""

_OAUTH = "org.apache.kafka.common.security.oauthbearer"


def _broker_settings(issuer: TokenIssuer) -> dict[str, str]:
    """What the bed does not set: logins by token, signed ones at ``sasl`` and unsigned ones at ``sasl_tls``; they are asked
    for again when they end. Who comes to ``tls`` must have a certificate."""
    login = f"{_OAUTH}.OAuthBearerLoginModule required;"
    signed, unsigned = "listener.name.sasl.oauthbearer", "listener.name.sasl_tls.oauthbearer"
    checks_nothing = f"{_OAUTH}.internals.unsecured.OAuthBearerUnsecuredValidatorCallbackHandler"
    return {
        "listener.name.tls.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512,PLAIN,OAUTHBEARER",
        "sasl.oauthbearer.jwks.endpoint.url": issuer.keys_url,
        "sasl.oauthbearer.expected.audience": issuer.audience,
        "sasl.oauthbearer.expected.issuer": issuer.url,
        f"{signed}.sasl.jaas.config": login,
        f"{signed}.sasl.server.callback.handler.class": f"{_OAUTH}.OAuthBearerValidatorCallbackHandler",
        f"{signed}.connections.max.reauth.ms": "3600000",
        f"{unsigned}.sasl.jaas.config": login,
        f"{unsigned}.sasl.server.callback.handler.class": checks_nothing,
        f"{unsigned}.connections.max.reauth.ms": "3600000",
        "listener.name.sasl_tls.scram-sha-512.connections.max.reauth.ms": str(REAUTHENTICATE_MS),
    }


class Secured:
    """A broker with listeners for all that there is, and what clients of it need."""

    def __init__(self, home: Path) -> None:
        self.issuer = TokenIssuer(home, {"alice": PASSWORD})
        options = [f"--set={name}={value}" for name, value in _broker_settings(self.issuer).items()]
        java = {"JAVA_TOOL_OPTIONS": f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self.issuer.keys_url}"}
        self.broker = OwnBroker(Path(TESTBED), home, "--tls", "--sasl", *options, environment=java)
        self.tls = home / "kafka/tls"
        self.authority = Authority(self.tls)
        servers = self.at("plain").removeprefix("kafka://")
        self.admin = AdminClient({"bootstrap.servers": servers, "log_level": 0})

    def at(self, listener: str) -> str:
        """Location of a listener: plain, tls, sasl or sasl_tls."""
        step = {"plain": 0, "tls": 100, "sasl": 200, "sasl_tls": 300}[listener]
        return f"kafka://127.0.0.1:{self.broker.port + step}"

    def close(self) -> None:
        """Stop broker and issuer."""
        self.broker.close()
        self.issuer.close()

    def settings(self, kind: str, user: str = "alice", password: str = "") -> dict[str, str]:
        """A ``channelConfig`` for a listener."""
        login = {
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password or f"{user}-secret",
        }
        authority = {"ssl.ca.location": str(self.tls / "ca.crt")}
        pair = {
            "ssl.certificate.location": str(self.tls / "client.crt"),
            "ssl.key.location": str(self.tls / "client.key"),
        }
        return {
            "plain": {},
            "tls": {"security.protocol": "SSL", **authority, **pair},
            "sasl": {"security.protocol": "SASL_PLAINTEXT", **login},
            "sasl_tls": {"security.protocol": "SASL_SSL", **authority, **login},
        }[kind]

    def bytes_of(self, topic: str) -> bytes:
        """All that stands in a topic of one partition."""
        servers = self.at("plain").removeprefix("kafka://")
        consumer = Consumer({"bootstrap.servers": servers, "group.id": "looks", "enable.auto.commit": False})
        try:
            behind = consumer.get_watermark_offsets(TopicPartition(topic, 0), 30)[1]
            consumer.assign([TopicPartition(topic, 0, 0)])
            found: list[bytes] = []
            while consumer.position([TopicPartition(topic, 0)])[0].offset < behind:
                for message in consumer.consume(1000, 1.0):
                    assert message.error() is None
                    found += [bytes(part) for part in (message.key(), message.value()) if isinstance(part, bytes)]
            return b"\n".join(found)
        finally:
            consumer.close()

    def take_rights(self) -> None:
        """Leave alice none."""
        wanted: Any = AclBindingFilter
        filters = [
            wanted(kind, None, ResourcePatternType.ANY, "User:alice", None, AclOperation.ANY, AclPermissionType.ANY)
            for kind in TYPES
        ]
        assert all(future.result(30) for future in self.admin.delete_acls(filters).values())

    def give_rights(self) -> None:
        """Let alice do everything with what begins with her name, as the bed does."""
        self.grant("alice", "alice", {kind: [AclOperation.ALL] for kind in TYPES})

    def grant(self, user: str, prefix: str, rights: dict[Any, list[Any]]) -> None:
        """Give a user rights on all topics or groups that begin with a prefix."""
        wanted: Any = AclBinding
        acls = [
            wanted(kind, prefix, ResourcePatternType.PREFIXED, f"User:{user}", "*", operation, AclPermissionType.ALLOW)
            for kind, operations in rights.items()
            for operation in operations
        ]
        for future in self.admin.create_acls(acls).values():
            future.result(30)
        if ResourceType.TOPIC in rights:
            self._wait_for_rights(user, f"{prefix}try", AclOperation.DESCRIBE in rights[ResourceType.TOPIC])

    def _wait_for_rights(self, user: str, topic: str, to_look: bool) -> None:
        """Return when the broker goes by what it has acknowledged: it has been seen to take a moment (Kafka 4)."""
        settings: dict[str, Any] = self.settings("sasl", user) | {
            "bootstrap.servers": self.at("sasl").removeprefix("kafka://")
        }
        client = AdminClient(settings)
        deadline = time.monotonic() + TIMEOUT_S
        while True:
            asked: Any = (
                client.describe_topics(TopicCollection([topic]))
                if to_look
                else client.create_topics([NewTopic(topic, 1)], validate_only=True)
            )
            error = asked[topic].exception(TIMEOUT_S)
            refused = KafkaError.TOPIC_AUTHORIZATION_FAILED
            if not isinstance(error, KafkaException) or error.args[0].code() != refused:
                return
            assert time.monotonic() < deadline, error

    def set_password(self, user: str, password: str) -> None:
        """Change a user's password; connections that stand go on."""
        mechanism = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
        change = UserScramCredentialUpsertion(user, mechanism, password.encode())
        for future in self.admin.alter_user_scram_credentials([change]).values():
            future.result(30)

    def delete_password(self, user: str) -> None:
        """Leave a user none: it is not known any more by SCRAM."""
        change = UserScramCredentialDeletion(user, ScramMechanism.SCRAM_SHA_512)
        for future in self.admin.alter_user_scram_credentials([change]).values():
            future.result(30)


def line(secured: Secured, name: str, listener: str, settings: dict[str, str]) -> ChaosLine:
    """Source, copier and sink for a short run in this process."""
    made = ChaosLine(name)
    made.set_parameter(">>channelLocation", secured.at(listener))
    made.set_parameter(">>channelConfig", settings)
    made.source.count, made.source.pause_ms = COUNT, 0
    return made


def pypz(drill: Drill, *arguments: str) -> tuple[int, str]:
    """Run a command on the line's description, in a process; give its code and all its output."""
    command = [sys.executable, "-m", "pypz.cli.main", arguments[0], str(drill.config), *arguments[1:]]
    environment = {**drill.environment(), "COLUMNS": "400"}
    done = subprocess.run(command, env=environment, timeout=TIMEOUT_S, check=False, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for a condition that nobody tells of, with a deadline."""
    pause = threading.Event()
    deadline = time.monotonic() + TIMEOUT_S
    while not is_so():
        assert time.monotonic() < deadline
        pause.wait(0.05)
