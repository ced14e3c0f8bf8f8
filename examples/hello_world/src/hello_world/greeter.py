"""The operator that sends."""

import threading
from typing import Any

from hello_world.greeting import GREETING, TEXTS
from pypz.abstracts.channel_ports import ChannelOutputPort
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.operator import Operator
from pypz.plugins.loggers.default import DefaultLoggerPlugin


class Greeter(Operator):
    """Sends ``greetingCount`` greetings, one language after the other, with a pause between them."""

    count = OptionalParameter(int, alt_name="greetingCount", description="How many greetings are sent")
    pause_ms = OptionalParameter(int, alt_name="pauseMs", description="Milliseconds between two greetings")

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.greetings = ChannelOutputPort(schema=GREETING)
        self.logger = DefaultLoggerPlugin()
        self.count = 10
        self.pause_ms = 0
        self.sent = 0
        self.stopped = threading.Event()

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool:
        if self.sent == self.count:
            return True  # done
        language = list(TEXTS)[self.sent % len(TEXTS)]
        self.greetings.send([{"number": self.sent, "language": language, "text": TEXTS[language]}])
        self.sent += 1
        self.stopped.wait(self.pause_ms / 1000)
        return False  # call me again

    def _on_shutdown(self) -> bool:
        self.get_logger().info(f"sent {self.sent} greetings")
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        self.stopped.set()  # no pause holds up an interrupt

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass
