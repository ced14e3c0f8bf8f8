"""What to tell a user for whom no plugin answered: what is installed, what failed to load, which command helps."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pypz.core.commons.errors import ConfigurationError, NotBuiltYetError
from pypz.core.commons.secrets import conceal
from pypz.core.hooks.loader import PluginReport

_SCHEME_EXTRAS: Final = {"kafka": "kafka", "local": "local"}
"""Scheme of a location -> extra of pypz that brings it."""

_CODEC_EXTRAS: Final = {"avro": "avro"}
"""Content type -> extra of pypz that brings it."""

_TARGET_EXTRAS: Final = {"kubernetes": "kubernetes"}
"""Kind of place to deploy to -> extra of pypz that brings it."""

_NOT_BUILT: Final = ("amqp", "amqps")
"""Schemes that are documented and come with a later version."""

_SCHEME: Final = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*):(?!\d+(?:[,/]|$))")
"""A scheme, but not the host of ``host:9092``."""


def pip_command(extra: str) -> str:
    """The command that installs an extra of pypz."""
    return f'pip install "pypz[{extra}]"'


@dataclass(frozen=True)
class Unanswered:
    """Makes the errors."""

    schemes: Sequence[str]
    """Schemes of the plugins that are loaded."""
    targets: Sequence[str]
    """Kinds of places that the loaded plugins deploy to."""
    absent: Sequence[PluginReport]
    """Plugins that are installed but not loaded."""

    def location(self, location: str) -> ConfigurationError:
        """No plugin answered for this channel location."""
        shown = str(conceal({"channelLocation": str(location)})["channelLocation"])
        installed = f"installed here: {', '.join(f'{scheme}:' for scheme in self.schemes) or 'none'}"
        if not str(location).strip():
            text = "is empty text, expected such as 'memory:demo' or 'kafka://HOST:9092'"
            hint = "a variable in ${env:NAME} that is not set gives empty text, too"
            return ConfigurationError(f"channel location {shown!r}: {text}; {hint}; {installed}")
        found = _SCHEME.match(str(location))
        if found is None:
            example = f"; for Kafka write 'kafka://{shown}'" if re.search(r":\d+", shown) else ""
            text = f"names no transport, as 'memory:demo' would{example}; {installed}{self._absent()}"
            return ConfigurationError(f"channel location {shown!r} {text}")
        scheme = found[1].lower()
        if scheme in self.schemes:
            behind = shown[found.end() :]
            hint = "" if behind.startswith("/") else f"; meant '{scheme}://{behind}'?"
            return ConfigurationError(f"channel location {shown!r}: {scheme}: is installed, but refuses it{hint}")
        if scheme in _NOT_BUILT:
            return NotBuiltYetError(f"channel location {shown!r}: {scheme}: comes with a later version; {installed}")
        help_text = self._help(_SCHEME_EXTRAS.get(scheme, ""), scheme + ":")
        return ConfigurationError(f"channel location {shown!r}: no transport for {scheme}:{help_text}; {installed}")

    def schema(self, schema: Any, content_type: str) -> ConfigurationError:
        """No plugin answered for this schema."""
        wanted = f"content type {content_type!r}" if content_type else f"a schema of type {type(schema).__name__}"
        looks_like_avro = not content_type and isinstance(schema, str | dict | list)
        extra = "avro" if looks_like_avro else _CODEC_EXTRAS.get(content_type, "")
        return ConfigurationError(f"no codec for {wanted}{self._help(extra, 'Avro')}")

    def target(self, target: str) -> ConfigurationError:
        """No plugin answered for this kind of place."""
        installed = f"installed here: {', '.join(self.targets) or 'none'}"
        help_text = self._help(_TARGET_EXTRAS.get(target, ""), target)
        return ConfigurationError(f"nothing deploys to {target!r}{help_text}; {installed}")

    def _help(self, extra: str, what: str) -> str:
        """The way out: why the plugin that brings it is not there, or the command that installs it."""
        for report in self.absent:
            if extra and report.dist == f"pypz-{extra}":
                return f"; {report.dist} is installed but not loaded: {report.reason}"
        return (f"; {pip_command(extra)} brings {what}" if extra else "") + self._absent()

    def _absent(self) -> str:
        names = ", ".join(report.name for report in self.absent)
        return f"; not loaded: {names} (`pypz plugins` tells why)" if names else ""
