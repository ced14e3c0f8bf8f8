"""The transport keeps what the kit asks of every transport, on a real Redis server."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager

import pytest
from own_redis import OwnServer
from pypz_redis import plugin

from pypz.core.channels.spi import ChannelInfo
from pypz.core.hooks.host import PluginHost
from pypz.testing import TransportConformance


class TestRedis(TransportConformance):
    @pytest.fixture
    def location(self, server: OwnServer) -> str:
        return server.location

    @pytest.fixture
    def plugin_host(self) -> PluginHost:
        """Whether this distribution is installed or not."""
        host = PluginHost(load=False)
        host.register(plugin)
        return host

    @pytest.fixture
    def tight_options(self) -> Mapping[str, str]:
        return {"max.bytes": "20000"}

    @pytest.fixture
    def forget_read(self, server: OwnServer) -> Callable[[ChannelInfo, int, str], None]:
        def trim(info: ChannelInfo, partition: int, position: str) -> None:
            with server.connect() as redis:
                key = f"pypz:blocks:{info.name}:{info.incarnation}:{partition}"
                assert redis.xtrim(key, minid=f"{int(position) + 1}-0", approximate=False)

        return trim

    @pytest.fixture
    def outage(self, server: OwnServer) -> Callable[[], AbstractContextManager[None]]:
        return server.outage
