"""The two operators, connected."""

from typing import Any

from hello_world.greeter import Greeter
from hello_world.listener import Listener
from pypz.core.specs.pipeline import Pipeline


class HelloWorld(Pipeline):
    """``greeter --greetings--> listener``"""

    def __init__(self, name: str, *args: Any, **kwargs: Any) -> None:
        super().__init__(name, *args, **kwargs)
        self.greeter = Greeter()
        self.listener = Listener()
        self.listener.greetings.connect(self.greeter.greetings)
