"""Log lines of a pipeline: the topic ``<pipeline>.logs``, made by the first line, kept for an hour and 64 MiB at most."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from confluent_kafka import KafkaError, KafkaException, Message

from pypz.core.commons.errors import PypzError
from pypz.plugins.kafka_io.config import Config
from pypz.plugins.kafka_io.faults import FORBIDDEN, GONE, Sight, log
from pypz.plugins.kafka_io.pulling import Puller
from pypz.plugins.kafka_io.topics import Topics

LOGS: Final = ".logs"

LOGS_SETTINGS: Final = {
    "cleanup.policy": "delete",
    "retention.ms": "3600000",
    "segment.ms": "600000",
    "retention.bytes": str(64 * 1024 * 1024),
    "segment.bytes": str(8 * 1024 * 1024),
}
"""Bounded by age and size (design 3; how much of both is chosen)."""

MAKE_S: Final = 30.0
"""Seconds for making the topic, and before that is tried again (chosen)."""
LAST_S: Final = 1.0
"""Seconds that closing waits for a topic being made while lines wait for it (chosen)."""
LOGS_AHEAD: Final = 1000
"""Lines that wait for the topic; of more the oldest are dropped (chosen)."""
LOOK_S: Final = 1.0
"""Seconds between two looks of a viewer whether the topic exists (semantics: found within 2 s)."""
READ_AHEAD: Final = 5000
"""Lines taken in before somebody reads them (chosen)."""


class LogTopic:
    """Hands lines on once the topic exists; a thread of its own makes it, and ends then."""

    def __init__(self, topics: Topics, name: str, send: Callable[[bytes], None]) -> None:
        """Keep in mind what is needed.

        Args:
            topics: The cluster's administration.
            name: Of the topic.
            send: Writes a line; neither waits nor raises.
        """
        self._topics = topics
        self._name = name
        self._send = send
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque(maxlen=LOGS_AHEAD)
        self._thread: threading.Thread | None = None
        self._make_at = float("-inf")
        self._is_ready = False

    def write(self, value: bytes) -> None:
        """Take a line."""
        with self._lock:
            if self._is_ready:
                self._send(value)
                return
            self._waiting.append(value)
            if self._thread is None and time.monotonic() >= self._make_at:
                self._thread = threading.Thread(target=self._make, name="pypz-kafka-logs", daemon=True)
                self._thread.start()

    def _make(self) -> None:
        try:
            self._topics.create(self._name, 1, LOGS_SETTINGS, MAKE_S)
        except PypzError as error:
            log.warning("log lines are lost, their topic cannot be made: %s", error)
            with self._lock:
                self._make_at = time.monotonic() + MAKE_S
                self._thread = None
            return
        with self._lock:
            for value in self._waiting:
                self._send(value)
            self._waiting.clear()
            self._is_ready = True

    def settle(self) -> None:
        """Wait a moment for lines that wait for the topic."""
        with self._lock:
            thread = self._thread if self._waiting else None
        if thread is not None:
            thread.join(LAST_S)


class KafkaLogReader:
    """Follows the lines of one pipeline, with a consumer of its own that joins no group."""

    def __init__(self, config: Config, topics: Topics, pipeline: str, kept: int) -> None:
        self._config = config
        self._topics = topics
        self._name = pipeline + LOGS
        self._group = f"{pipeline}.logs.viewer"  # a name is asked for; no group of it ever exists
        self._kept: int | None = kept
        self._state = threading.Condition()
        self._pending: deque[bytes] = deque()
        self._behind = 0
        self._failure: Exception | None = None
        self._is_lost = False
        self._woken = False
        self._incarnation: str | None = None
        self._puller: Puller | None = None
        self._looked_at = float("-inf")
        self.is_closed = False
        self._look_safely()

    # --- attaching ---

    def _look_safely(self) -> None:
        try:
            self._look()
        except PypzError as error:  # viewers wait for a broker that is away
            log.debug("log lines %r: %s", self._name, error)

    def _look(self) -> None:
        """Attach to the topic once it is there, also when it was made anew."""
        self._looked_at = time.monotonic()
        found = self._topics.describe([self._name])[self._name]
        incarnation = found.incarnation if found is not None and found.is_ready else None
        is_same = incarnation == self._incarnation
        if is_same and not self._is_lost:
            return
        puller, self._puller = self._puller, None
        if puller is not None:
            puller.close()
        if incarnation is not None:
            begin = self._begin(is_same=is_same)
            self._puller = Puller(
                self._config,
                self._config.status_reader(self._group),
                self._name,
                self._arrived,
                self._fail,
                may_pull=lambda: len(self._pending) < READ_AHEAD,
            )
            self._puller.assign({(self._name, 0): begin})
        self._incarnation, self._is_lost, self._kept = incarnation, False, None

    def _begin(self, *, is_same: bool) -> int:
        """Offset to read from: behind what was read, else at the newest lines, or all when the topic was made later."""
        place = (self._name, 0)
        first = self._topics.offsets([place], "earliest")[place]
        if is_same:
            return max(first, self._behind)
        if self._kept is None:
            return first
        return max(first, self._topics.offsets([place], "latest")[place] - self._kept)

    # --- the puller's thread ---

    def _arrived(self, messages: Sequence[Message]) -> bool:
        with self._state:
            before = len(self._pending)
            for message in messages:
                error = message.error()
                if error is None:
                    value = message.value()
                    self._pending.append(value.encode() if isinstance(value, str) else value or b"")
                    self._behind = (message.offset() or 0) + 1
                elif error.code() in GONE or error.code() == KafkaError._AUTO_OFFSET_RESET:
                    self._is_lost = True
                elif error.code() in FORBIDDEN or error.fatal():
                    self._failure = Sight(self._config).translate(
                        KafkaException(error), f"the log lines {self._name!r} cannot be read"
                    )
            self._state.notify_all()
            return len(self._pending) > before

    def _fail(self, error: Exception) -> None:
        with self._state:
            self._failure = self._failure or error
            self._state.notify_all()

    # --- reading ---

    def read(self, timeout_s: float) -> list[bytes]:
        """Lines since the last call; waits for the first.

        Raises:
            TransportError: They cannot be read, such as for want of rights.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            if time.monotonic() - self._looked_at >= LOOK_S:
                self._look_safely()
            with self._state:
                if self._pending:
                    found = list(self._pending)
                    self._pending.clear()
                    break
                if self._woken or self.is_closed:
                    self._woken = False
                    return []
                if self._failure is not None:
                    raise self._failure
                left = deadline - time.monotonic()
                if left <= 0:
                    return []
                self._state.wait(min(left, LOOK_S))
        if self._puller is not None:
            self._puller.poke()
        return found

    def wake(self) -> None:
        """End a waiting `read`, or the next one; from any thread."""
        with self._state:
            self._woken = True
            self._state.notify_all()

    def stop(self) -> None:
        """Begin to close."""
        self.is_closed = True
        self.wake()
        if self._puller is not None:
            self._puller.stop()

    def close(self, timeout_s: float = 5.0) -> None:
        """Let go of the consumer; idempotent."""
        self.stop()
        if self._puller is not None:
            self._puller.close(timeout_s)
