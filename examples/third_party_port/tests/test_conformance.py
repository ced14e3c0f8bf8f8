"""The transport keeps what the kit asks of every transport, on a real Redis server."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

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
        host = PluginHost()
        if not any(report.name == "redis" and report.state == "loaded" for report in host.reports):
            host.register(plugin)
        return host

    @pytest.fixture
    def runner(self) -> Sequence[str]:
        """The same for members in processes of their own."""
        return [sys.executable, str(Path(__file__).with_name("support") / "run_member.py")]

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
