"""A port's location and ``channelConfig``, checked, and what each kind of client is made with."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Final

from pypz.core.commons.errors import ConfigurationError
from pypz.plugins.kafka_io.properties import COMMON, CONSUMER, GOVERNED, PRODUCER, SECRET
from pypz.plugins.kafka_io.translation import KNOWN, translate

Values = dict[str, str | int | bool]

EVERY_CLIENT: Final[Values] = {
    "client.id": "pypz",
    "allow.auto.create.topics": False,
    "log.connection.close": False,
    "enable.metrics.push": False,  # one round trip less at each start
    "reconnect.backoff.ms": 10,  # librdkafka's 100 ms would be most of a small pipeline's start
    "reconnect.backoff.max.ms": 1000,
    "retry.backoff.ms": 10,
    "topic.metadata.refresh.fast.interval.ms": 10,
    "socket.timeout.ms": 10_000,  # a frozen broker is noticed after this
    "socket.keepalive.enable": True,
}
"""Ours where the user says nothing. Chosen for quick starts; measured in benchmarks/kafka_rate.py and the plugin's tests."""

ADMIN: Final[Values] = {"log.connection.close": True}
"""The first of a location to connect: its log lines tell of brokers that hang up."""

READER: Final[Values] = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "isolation.level": "read_committed",
    "session.timeout.ms": 10_000,  # no group is joined: only bounds a commit's wait for the coordinator
    "fetch.wait.max.ms": 500,  # two questions a second while idle; a seek, or one more partition, waits for the answer
    "fetch.queue.backoff.ms": 5,  # with 1000 a reader waits for its own queue
    "fetch.error.backoff.ms": 50,
    "fetch.message.max.bytes": 4 * 1024 * 1024,
    "fetch.max.bytes": 16 * 1024 * 1024,
    "queued.max.messages.kbytes": 16 * 1024,
}
WRITER: Final[Values] = {
    "acks": "all",
    "enable.idempotence": True,
    "message.timeout.ms": 0,  # an expired block would leave a gap before delivered ones
    "topic.metadata.propagation.max.ms": 10_000,  # the channel was seen to exist: one that is gone is told after this
    "linger.ms": 0,  # blocks have lingered already
    "batch.size": 1_000_000,
    "message.max.bytes": 1_000_000_000,  # the channel's own limit counts
    "queue.buffering.max.kbytes": 64 * 1024,
}


STATUS_WRITER: Final[Values] = {
    "message.timeout.ms": 30_000,  # a fact that is not written by then is told to whoever waits for it
    "queue.buffering.max.messages": 100_000,  # the user's bound is for blocks; these two are librdkafka's default and ours
    "queue.buffering.max.kbytes": 64 * 1024,
}
STATUS_READER: Final[Values] = {"enable.partition.eof": True}


class Config:
    """Checked settings of one transport."""

    def __init__(self, location: str, options: Mapping[str, str]) -> None:
        """Check location and options; opens nothing.

        Raises:
            ConfigurationError: Names what makes no sense, and what is accepted.
        """
        self.location = location
        self.servers = servers_of(location)
        self._options = translate({name: str(value) for name, value in options.items()})
        for name, value in self._options.items():
            _check_option(name, value)
        _check_token_source(self._options)
        secrets = {part for name, value in self._options.items() if name in SECRET for part in _parts(value)}
        self._secrets = sorted(secrets, key=len, reverse=True)

    def __repr__(self) -> str:
        shown = {name: "***" if name in SECRET else value for name, value in self._options.items()}
        return f"Config({self.location!r}, {shown!r})"

    def user(self) -> str:
        """Who the brokers take us for, in words."""
        name = self._options.get("sasl.username")
        return f"user {name!r}" if name else "this client"

    def masked(self, text: str) -> str:
        """The text without the values of secret options."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text

    def admin(self) -> Values:
        """What an AdminClient is made with."""
        return self._values(EVERY_CLIENT | ADMIN, frozenset())

    def writer(self, batch_bytes: int | None = None) -> Values:
        """What a Producer of blocks is made with; batches are no larger than ``batch_bytes``, the topic's limit."""
        values = self._values(EVERY_CLIENT | WRITER, PRODUCER)
        if batch_bytes is not None and int(values["batch.size"]) > batch_bytes:
            values["batch.size"] = batch_bytes
        return values

    def reader(self, group: str) -> Values:
        """What a Consumer is made with."""
        return self._values(EVERY_CLIENT | READER, CONSUMER) | {"group.id": group}

    def status_writer(self) -> Values:
        """What the Producer of a status stream is made with."""
        return self._values(EVERY_CLIENT | WRITER, PRODUCER) | STATUS_WRITER

    def status_reader(self, group: str) -> Values:
        """What the Consumer of a status stream is made with."""
        return self.reader(group) | STATUS_READER

    def _values(self, ours: Values, own: frozenset[str]) -> Values:
        given = {name: value for name, value in self._options.items() if name in COMMON or name in own}
        for alias, name in _ALIASES.items():
            if alias in given:
                ours = {key: value for key, value in ours.items() if key != name}
        return {**ours, **given, "bootstrap.servers": self.servers}


def _parts(secret: str) -> list[str]:
    """A secret, and what of it may stand in a text alone: the lines of a key in PEM, the pairs of a list of them."""
    if "-----BEGIN" in secret:
        return [secret, *(line for line in secret.splitlines() if line and not line.startswith("-----"))]
    return [part for part in (secret, *re.findall(r"\w+=\S+", secret)) if part]


_ALIASES: Final = {
    "queue.buffering.max.ms": "linger.ms",
    "max.partition.fetch.bytes": "fetch.message.max.bytes",
    "delivery.timeout.ms": "message.timeout.ms",
    "request.required.acks": "acks",
}
"""librdkafka's other names for what we set: the user's must not meet ours."""

_SERVER: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(:(?P<port>\d{1,5}))?\Z")


def servers_of(location: str) -> str:
    """Give librdkafka's ``bootstrap.servers`` of a ``kafka://`` location.

    >>> servers_of("kafka://a:9092,b")
    'a:9092,b:9092'
    """
    expected = "expected kafka://HOST[:PORT][,HOST[:PORT]...]"
    if "@" in location:
        raise ConfigurationError(
            f"a Kafka location takes no user and password, {expected}; give them in channelConfig as 'sasl.username' and "
            "'sasl.password', with 'sasl.mechanism' and 'security.protocol'"
        )
    servers = []
    for part in location.removeprefix("kafka://").rstrip("/").split(","):
        found = _SERVER.match(part.strip())
        port = found and int(found["port"] or 9092)
        if not found or not port or not 0 < port < 65536:
            raise ConfigurationError(f"channelLocation is {location!r}, {expected}; {part.strip()!r} is none")
        servers.append(f"{found[1]}:{port}")
    return ",".join(servers)


def _check_option(name: str, value: str) -> None:
    place = f"channelConfig option {name!r}"
    if name not in KNOWN:
        raise ConfigurationError(f"{place} is not known to librdkafka{_way_out(name)}")
    if name in GOVERNED:
        accepted, reason = GOVERNED[name]
        if value.lower() not in accepted:
            takes = f"only {' or '.join(map(repr, sorted(accepted)))} is accepted" if accepted else "leave it out"
            raise ConfigurationError(f"{place} is {value!r}, which pypz decides: {reason}; {takes}")


def _check_token_source(options: Mapping[str, str]) -> None:
    """Refuse a login by token without a source of tokens: librdkafka would wait for one for ever."""
    mechanism = options.get("sasl.mechanism", options.get("sasl.mechanisms", ""))
    is_by_endpoint = options.get("sasl.oauthbearer.method", "").lower() == "oidc"
    is_unsecured = options.get("enable.sasl.oauthbearer.unsecure.jwt", "").lower() == "true"
    if mechanism.upper() == "OAUTHBEARER" and not is_by_endpoint and not is_unsecured:
        raise ConfigurationError(
            f"channelConfig option 'sasl.mechanism' is {mechanism!r}, but nothing says where tokens come from; set "
            "'sasl.oauthbearer.method' to 'oidc', with 'sasl.oauthbearer.token.endpoint.url', "
            "'sasl.oauthbearer.client.id' and 'sasl.oauthbearer.client.secret'"
        )


def _way_out(name: str) -> str:
    close = difflib.get_close_matches(name.replace("_", "."), sorted(KNOWN), n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return "; see its list of configuration properties"
