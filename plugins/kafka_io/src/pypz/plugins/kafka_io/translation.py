"""``channelConfig`` as pypz 0.10 took it: kafka-python's names and values, translated to librdkafka's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Final

from pypz.core.commons.errors import ConfigurationError, PypzWarning
from pypz.plugins.kafka_io.properties import COMMON, CONSUMER, PRODUCER, SECRET

KNOWN: Final = COMMON | PRODUCER | CONSUMER

RENAMED: Final = {
    "bootstrap_servers": "bootstrap.servers",
    "sasl_plain_username": "sasl.username",
    "sasl_plain_password": "sasl.password",
    "ssl_cafile": "ssl.ca.location",
    "ssl_certfile": "ssl.certificate.location",
    "ssl_keyfile": "ssl.key.location",
    "ssl_password": "ssl.key.password",
    "ssl_crlfile": "ssl.crl.location",
    "ssl_ciphers": "ssl.cipher.suites",
    "ssl_check_hostname": "ssl.endpoint.identification.algorithm",
    "sasl_kerberos_service_name": "sasl.kerberos.service.name",
    "api_version_auto_timeout_ms": "api.version.request.timeout.ms",
    "request_timeout_ms": "socket.timeout.ms",
    "max_request_size": "message.max.bytes",
    "buffer_memory": "queue.buffering.max.kbytes",
    "fetch_max_wait_ms": "fetch.wait.max.ms",
    "send_buffer_bytes": "socket.send.buffer.bytes",
    "receive_buffer_bytes": "socket.receive.buffer.bytes",
}
"""Names that are not just spelled with underscores."""

_SERIALIZERS: Final = "records are encoded by the port's schema; give the port a schema"
_OBJECT: Final = "an object cannot be passed on to librdkafka"
_TLS: Final = f"{_OBJECT}; use 'ssl.ca.location', 'ssl.certificate.location' and 'ssl.key.location'"
_METRICS: Final = "pypz tells its figures by hooks; leave it out"

WITHOUT_COUNTERPART: Final = {
    "key_serializer": _SERIALIZERS,
    "value_serializer": _SERIALIZERS,
    "key_deserializer": _SERIALIZERS,
    "value_deserializer": _SERIALIZERS,
    "max_poll_records": "use the input port's parameter 'maxRetrieveRecords'",
    "max_block_ms": "use the output port's parameter 'sendTimeoutMs'",
    "consumer_timeout_ms": "give retrieve() a timeout_s",
    "default_offset_commit_callback": "pypz commits; leave it out",
    "bootstrap_topics_filter": "leave it out",
    "api_version": "brokers are asked for their version; leave it out",
    "ssl_context": _TLS,
    "sasl_oauth_token_provider": f"{_OBJECT}; use 'sasl.oauthbearer.method' with 'oidc' and its settings",
    "sasl_kerberos_domain_name": "librdkafka takes the broker's host; leave it out",
    "socket_options": "use 'socket.keepalive.enable' and 'socket.nagle.disable'",
    "sock_chunk_bytes": "leave it out",
    "selector": "leave it out",
    "metric_reporters": _METRICS,
    "metrics_num_samples": _METRICS,
    "metrics_sample_window_ms": _METRICS,
    "exclude_internal_topics": "a port reads its own topic only; leave it out",
    "legacy_iterator": "leave it out",
    "logLevel": "set the parameter 'logLevel' of the operator's logger plugin",
    "metricsEnabled": _METRICS,
}
"""Names of kafka-python, and two of pypz 0.10 itself, that mean nothing to librdkafka, and what to do instead."""

MOST_SOCKET_TIMEOUT_MS: Final = 300_000
"""librdkafka's largest ``socket.timeout.ms``; kafka-python's consumer had 305,000."""


def _kibibytes(value: str) -> str:
    return str(max(1, int(value) // 1024))


def _socket_timeout(value: str) -> str:
    return str(min(int(value), MOST_SOCKET_TIMEOUT_MS))


def _identification(value: str) -> str:
    return {"true": "https", "false": "none"}[value.lower()]


_VALUES: Final[dict[str, Callable[[str], str]]] = {
    "buffer_memory": _kibibytes,
    "request_timeout_ms": _socket_timeout,
    "ssl_check_hostname": _identification,
}
"""How values change that have another unit or other words."""


def new_name(name: str) -> str | None:
    """Librdkafka's name for one of kafka-python's; None when it is none.

    >>> new_name("security_protocol"), new_name("ssl_cafile")
    ('security.protocol', 'ssl.ca.location')
    """
    if "_" not in name or name in KNOWN:
        return None
    found = RENAMED.get(name) or name.replace("_", ".")
    return found if found in KNOWN else None


def translate(options: Mapping[str, str]) -> dict[str, str]:
    """Give the options by librdkafka's names; says so of each that had another.

    Options that were None, kafka-python's word for its default, are left out.

    Raises:
        ConfigurationError: A name has no counterpart, both names of an option are given, or a value makes no sense.
    """
    found: dict[str, str] = {}
    for name, value in options.items():
        if name in WITHOUT_COUNTERPART:
            _refuse_without_counterpart(name, value)
            continue
        new = new_name(name)
        if new is None:
            found.setdefault(name, value)
            continue
        if new in options:
            raise ConfigurationError(
                f"channelConfig has both {name!r} (kafka-python's name) and {new!r}, which are one; leave {name!r} out"
            )
        if value == "None":
            continue
        found[new] = _converted(name, new, value)
    return found


def _refuse_without_counterpart(name: str, value: str) -> None:
    if value != "None":
        way_out = WITHOUT_COUNTERPART[name]
        raise ConfigurationError(
            f"channelConfig option {name!r}, which pypz 0.10 took, has no counterpart in librdkafka: {way_out}"
        )


def _converted(name: str, new: str, value: str) -> str:
    try:
        given = _VALUES[name](value) if name in _VALUES else value
    except (ValueError, KeyError) as error:
        expected = "true or false" if name == "ssl_check_hostname" else "a whole number"
        raise ConfigurationError(f"channelConfig option {name!r} is {value!r}, expected {expected}") from error
    changed = "" if given == value or new in SECRET else f", with the value {given!r}"
    warnings.warn(
        f"channelConfig option {name!r} is kafka-python's name; it is taken as librdkafka's {new!r}{changed}: write that",
        PypzWarning,
        stacklevel=2,
    )
    return given
