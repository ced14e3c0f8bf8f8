"""The logger plugin that writes to stdout, coloured where that helps."""

from __future__ import annotations

from typing import Any, Final

from pypz.core.commons.loggers import DefaultContextLogger
from pypz.core.commons.parameters import OptionalParameter
from pypz.core.specs.plugin import LoggerPlugin

DEFAULT_LEVEL: Final = "INFO"


class DefaultLoggerPlugin(LoggerPlugin, DefaultContextLogger):
    """Writes ``LEVEL | time | name of the plugin | context | message`` to stdout.

    Parameters: ``logLevel`` (``INFO``; ERROR, WARNING, INFO or DEBUG).
    """

    _log_level = OptionalParameter(
        str,
        alt_name="logLevel",
        description="Lowest level that is written: ERROR, WARNING, INFO or DEBUG",
        on_update=lambda instance, value: instance.set_log_level(DEFAULT_LEVEL if value is None else value),
    )

    def __init__(self, name: str | None = None, *args: Any, **kwargs: Any) -> None:
        LoggerPlugin.__init__(self, name, *args, **kwargs)
        DefaultContextLogger.__init__(self, self.get_full_name())
        self._log_level = DEFAULT_LEVEL

    def _on_interrupt(self, system_signal: int | None = None) -> None:
        pass

    def _on_error(self, source: Any, exception: Exception) -> None:
        pass
