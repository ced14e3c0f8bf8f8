"""The operator that receives."""

from collections import Counter
from typing import Any

from hello_world.greeting import GREETING
from pypz.abstracts.channel_ports import ChannelInputPort
from pypz.core.specs.operator import Operator
from pypz.plugins.loggers.default import DefaultLoggerPlugin


class Listener(Operator):
    """Counts greetings by language, until no more can come."""

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.greetings = ChannelInputPort(schema=GREETING)
        self.logger = DefaultLoggerPlugin()
        self.heard: Counter[str] = Counter()

    def _on_init(self) -> bool:
        return True

    def _on_running(self) -> bool | None:
        for greeting in self.greetings.retrieve():
            self.get_logger().debug(f"heard number {greeting['number']}: {greeting['text']}")
            self.heard[greeting["language"]] += 1
        return None  # call me again while a greeting may still come

    def _on_shutdown(self) -> bool:
        languages = ", ".join(f"{count} in {language}" for language, count in sorted(self.heard.items()))
        self.get_logger().info(f"heard {self.heard.total()} greetings: {languages or 'none'}")
        return True

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        pass

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass
