"""A transport whose flush fails until it is let go: memory with a gate, for promises over two transports."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Self

from pypz.core.channels.memory.transport import MemoryTransport
from pypz.core.channels.spi import Guarantee, Member
from pypz.core.commons.errors import TransportTimeoutError
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.spec import hookimpl

if TYPE_CHECKING:
    from pypz.core.channels.spi import Transport

GATED_SCHEME: Final = "kitgate"


class GatedPlugin:
    """Answers for ``kitgate:NAME`` while its ``with`` block lasts."""

    def __init__(self, host: PluginHost) -> None:
        self._host = host
        self._changed = threading.Condition()
        self._refusals = 0
        self._is_open = False

    def __enter__(self) -> Self:
        self._host.register(self, f"{GATED_SCHEME} {id(self):x}")
        return self

    def __exit__(self, *unused: object) -> None:
        self.let_go()
        self._host.unregister(self)

    def let_go(self) -> None:
        """From now on every flush succeeds."""
        with self._changed:
            self._is_open = True

    def until_refused(self, times: int, patience_s: float) -> None:
        """Wait until so many flushes have failed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self._refusals >= times, patience_s), "nobody has tried to flush"

    def check(self) -> None:
        """A flush: fails while the gate is closed."""
        with self._changed:
            if not self._is_open:
                self._refusals += 1
                self._changed.notify_all()
                raise TransportTimeoutError("the gate of this transport is closed")

    @hookimpl
    def pypz_make_transport(self, location: str, options: Mapping[str, str]) -> Transport | None:
        """Answer for ``kitgate:NAME``."""
        scheme, _, name = location.partition(":")
        return _GatedTransport(f"gated {name}", self) if scheme == GATED_SCHEME else None


class _GatedTransport(MemoryTransport):
    def __init__(self, name: str, gate: GatedPlugin) -> None:
        super().__init__(name)
        self._gate = gate

    def open_client(self, member: Member, epoch: int, guarantee: Guarantee) -> Any:
        client: Any = super().open_client(member, epoch, guarantee)
        flush = client.flush

        def gated(timeout_s: float) -> None:
            self._gate.check()
            flush(timeout_s)

        client.flush = gated
        return client
