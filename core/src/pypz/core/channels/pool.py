"""One transport per location and options in a process, shared by all who ask, closed with the last of them."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pypz.core.channels.spi import Transport
from pypz.core.commons.errors import TransportError, TransportTimeoutError
from pypz.core.commons.secrets import conceal

if TYPE_CHECKING:
    from pypz.core.hooks.host import PluginHost

Address = tuple[str, tuple[tuple[str, str], ...]]
"""A location and its options, sorted: what makes two ports share a transport."""


def address_of(location: str, options: Mapping[str, str]) -> Address:
    """Give the key under which a transport is shared."""
    return location, tuple(sorted(options.items()))


def placed(location: str, error: BaseException) -> BaseException:
    """Give the error of a transport that could not be opened with its location before it."""
    shown = conceal({"channelLocation": location})["channelLocation"]
    if type(error) not in (TransportError, TransportTimeoutError) or shown in str(error):
        return error
    found = type(error)(f"{shown} (channelLocation): {error}")
    found.__cause__ = error
    return found


@dataclass
class _Shared:
    transport: Transport
    users: int = 0


_lock = threading.Lock()
_shared: dict[tuple[int, Address], _Shared] = {}


def acquire(host: PluginHost, address: Address) -> Transport:
    """Get the transport of ``address``, made by the first answering plugin of ``host``; give it back by `release`."""
    with _lock:
        found = _shared.get((id(host), address))
        if found is None:
            location, options = address
            found = _shared[id(host), address] = _Shared(host.make_transport(location, dict(options)))
        found.users += 1
        return found.transport


def release(host: PluginHost, address: Address) -> None:
    """Give a transport back; the last user's call closes it."""
    with _lock:
        found = _shared.get((id(host), address))
        if found is None:
            return
        found.users -= 1
        if found.users:
            return
        del _shared[id(host), address]
    found.transport.close()
