"""Kafka's errors as pypz's, with the last thing that a client has seen of its brokers."""

from __future__ import annotations

import logging
import os
import re
import time
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from pypz.core.commons.errors import (
    BlockTooLargeError,
    ChannelGoneError,
    ConfigurationError,
    TransportError,
    TransportTimeoutError,
)
from pypz.plugins.kafka_io.config import Config, Values
from pypz.plugins.kafka_io.properties import FILES

log: Final = logging.getLogger("pypz.plugins.kafka_io")
log.addHandler(logging.NullHandler())

FRESH_S: Final = 60.0
"""Seconds for which a broker's error is told as the cause of a later time-out (chosen)."""

REFUSED_S: Final = 10.0
"""Seconds for which a refused login stands (chosen): a client that is not let in tries again each second."""

GONE: Final = frozenset(
    {
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_TOPIC,
        KafkaError._UNKNOWN_PARTITION,
        getattr(KafkaError, "UNKNOWN_TOPIC_ID", 100),
        getattr(KafkaError, "INCONSISTENT_TOPIC_ID", 103),
    }
)
FORBIDDEN: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError._AUTHENTICATION,
    }
)
TIMED_OUT: Final = frozenset(
    {
        KafkaError._TIMED_OUT,
        KafkaError._TIMED_OUT_QUEUE,
        KafkaError._MSG_TIMED_OUT,
        KafkaError._TRANSPORT,
        KafkaError._ALL_BROKERS_DOWN,
        KafkaError._WAIT_COORD,
        KafkaError._RESOLVE,
        KafkaError.REQUEST_TIMED_OUT,
    }
)
TOO_LARGE: Final = frozenset({KafkaError.MSG_SIZE_TOO_LARGE, KafkaError.RECORD_LIST_TOO_LARGE})

AUTHENTICATION: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError.SASL_AUTHENTICATION_FAILED})
"""Of `FORBIDDEN`: who asks is not known, whatever it asks for."""

_REFUSED: Final = re.compile(
    r"Authentication failed|certificate verify failed|Unsupported SASL mechanism|Unrecognized sasl\.oauthbearer\.config|"
    r"alert (bad certificate|certificate (expired|required|revoked|unknown)|handshake failure|unknown ca|"
    r"unsupported certificate)|token: .*(access_denied|invalid_(client|grant|scope)|"
    r"unauthorized_client|unsupported_grant_type)"
)
"""What a broker, our end, or who gives out tokens says of a login that no later attempt makes better (librdkafka 2.16, Kafka 4)."""
_HUNG_UP: Final = re.compile(
    r"\]: (?P<server>\S+?)(/\w+)?: Disconnected: .*after \d{1,3}ms in state (UP|APIVERSION_QUERY|AUTH\w*|SSL_HANDSHAKE)"
)
"""A log line: told to no callback, but all there is to see of a client without TLS or SASL where they are expected."""
LOGIN_WAY_OUT: Final = "check security.protocol and the options sasl.* and ssl.* in channelConfig"
CERTIFICATE_WAYS_OUT: Final = {
    re.compile(
        "alert .*certificate"
    ): "; the broker wants a certificate that has not expired, of an authority that it trusts",
    re.compile("certificate verify failed"): "; or the broker's certificate has expired",
}
_SECURITY: Final = re.compile(r"SSL|SASL|OAUTHBEARER|security\.protocol|[Cc]ertificate|PLAINTEXT broker")
_PEM: Final = re.compile(r"\.pem failed|PEM format")
_CONNECT: Final = re.compile(r"(?P<server>\S+?)(/\w+)?: (?:Connect to \S+ failed: )?(?P<what>.*?)(?: \(after .*)?$")


class Sight:
    """What a client last saw of its brokers; given to it as callbacks, so that nothing is printed."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._last = ""
        self._at = float("-inf")
        self.refusal = ""
        """Why a broker lets this client in no more; empty again once it was told and asked anew."""
        self._refused_at = float("-inf")
        self._files: dict[str, tuple[str, object]] = {}

    def callbacks(self) -> Mapping[str, Any]:
        """What a client is made with besides its values."""
        return {"error_cb": self._on_error, "logger": _Lines(self._config, self)}

    def last_cause(self) -> str:
        """The last trouble, such as ``127.0.0.1:1: Connection refused``; empty when none was seen lately."""
        return self._last if time.monotonic() - self._at < FRESH_S else ""

    def _on_error(self, error: KafkaError) -> None:
        if error.code() == KafkaError._ALL_BROKERS_DOWN:  # says how many, not why
            self._at = time.monotonic()
            self._last = self._last or "no connection to any broker"
            return
        text = self._config.masked(error.str())
        found = _CONNECT.match(text)
        self._last = f"{found['server']}: {found['what']}" if found else text
        self._at = time.monotonic()
        if _REFUSED.search(text):
            self.refusal, self._refused_at = self._last, self._at

    def note_files(self, values: Values) -> None:
        """Remember the files that a client is made with: it reads them now, and never again."""
        self._files = {name: (str(path), _stamp(str(path))) for name, path in values.items() if name in FILES}

    def outdated(self) -> str:
        """Which file of a client that is let in no more has been replaced since it was made; empty when none has."""
        if time.monotonic() - self._refused_at > REFUSED_S:
            return ""
        changed = [name for name, (path, stamp) in self._files.items() if stamp != _stamp(path)]
        return (
            f"{self.refusal}; the file of {changed[0]!r} in channelConfig has been replaced since this member was started: "
            "it is taken once the member is started again"
            if changed
            else ""
        )

    def hung_up(self, server: str) -> None:
        """Note a broker that ends a connection before the first answer."""
        self._last = f"{server}: it ends each connection at once, as where it expects another security.protocol"
        self._at = time.monotonic()

    def way_out(self) -> str:
        """What a user can do about the last cause."""
        return self._login_way_out() or "check the address, and that the broker runs"

    def _login_way_out(self) -> str:
        cause = self.last_cause()
        if not _SECURITY.search(cause):
            return ""
        return LOGIN_WAY_OUT + "".join(more for found, more in CERTIFICATE_WAYS_OUT.items() if found.search(cause))

    def with_cause(self, text: str) -> str:
        """The text, and the last cause if there is one."""
        cause = self.last_cause()
        return f"{text}; last seen: {cause}" if cause and cause not in text else text

    def advice(self) -> str:
        """The last cause, with the way out where it is not that somebody is away."""
        return "; ".join(part for part in (self.last_cause(), self._login_way_out()) if part)

    def translate(self, error: Exception, doing: str, needs: str = "") -> Exception:
        """Give pypz's error for one of Kafka's; ``doing`` begins its text, ``needs`` is the right that it takes."""
        if not isinstance(error, KafkaException):
            return error
        inner = error.args[0]
        if not isinstance(inner, KafkaError):
            return TransportError(f"{doing}: {self._config.masked(str(inner))}")
        return self.translate_kafka(inner, doing, needs)

    def translate_kafka(self, error: KafkaError, doing: str, needs: str = "") -> Exception:
        """As `translate`, for a KafkaError that was not raised."""
        text = f"{doing}: {self._config.masked(error.str())}"
        code = error.code()
        if code in GONE:
            return ChannelGoneError(text)
        if code in TOO_LARGE:
            return BlockTooLargeError(text)
        if code in TIMED_OUT:
            return TransportTimeoutError(self.with_cause(text))
        if code in (KafkaError._INVALID_ARG, KafkaError._CONFLICT, KafkaError.INVALID_CONFIG):
            return ConfigurationError(text)
        if code in FORBIDDEN:
            who = self._config.user()
            text += "" if code in AUTHENTICATION else f"; {who} lacks the right {needs or 'to do so'}"
            return TransportError(text)
        return TransportError(self.with_cause(text))


class _Lines(logging.LoggerAdapter[logging.Logger]):
    """Takes librdkafka's log lines: they go to our logger at DEBUG, without secrets."""

    def __init__(self, config: Config, sight: Sight) -> None:
        super().__init__(log, {})
        self._config = config
        self._sight = sight

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        text = str(msg) % args if args else str(msg)
        found = _HUNG_UP.search(text)
        if found:
            self._sight.hung_up(found["server"])
        if log.isEnabledFor(logging.DEBUG):
            log.debug("%s", self._config.masked(text))


def make_client(kind: Any, values: Values, sight: Sight, **callbacks: Any) -> Any:
    """Make a client of confluent_kafka.

    Raises:
        ConfigurationError: A value makes no sense to librdkafka.
    """
    sight.note_files(values)
    try:
        return kind({**values, **sight.callbacks(), **callbacks})
    except (KafkaException, TypeError, ValueError) as error:
        raise _refused(sight, values, error) from None  # the original may show a secret


def _refused(sight: Sight, values: Values, error: Exception) -> Exception:
    if isinstance(error, KafkaException):
        inner = error.args[0]
        text = inner.str() if isinstance(inner, KafkaError) else str(inner)
    else:
        text = str(error)
    way_out = "".join(_unreadable(name, str(value)) for name, value in values.items() if name in FILES)
    if not way_out and _PEM.search(text):
        way_out = "; a text in PEM begins with -----BEGIN, and its line breaks count"
    config = sight._config
    return ConfigurationError(f"{config.location}: channelConfig: {config.masked(text)}{way_out}")


def _unreadable(name: str, path: str) -> str:
    """What is wrong with a file that an option names; empty when it can be read. librdkafka's text does not name it."""
    try:
        if not os.path.isdir(path) and path != "probe":
            open(path, "rb").close()
        return ""
    except OSError as error:
        return f"; {name!r} is {path!r}: {error.strerror}"


def _stamp(path: str) -> object:
    """What changes when a file is written or replaced; None when it cannot be looked at."""
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
