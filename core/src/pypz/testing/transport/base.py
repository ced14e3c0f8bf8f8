"""The fixtures of the transport kit: what a third party overrides, and what the tests take."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager

import pytest

from pypz.core.channels.spi import Capabilities, ChannelInfo, Transport
from pypz.core.hooks.host import PluginHost
from pypz.testing.promises import MARK, Promise
from pypz.testing.transport.bench import Bench, DrivenReader

ForgetRead = Callable[[ChannelInfo, int, str], None]
"""Makes the transport forget the blocks of (channel, partition) before a position, as its retention would."""


class TransportFixtures:
    """Fixtures of the kit. Give the fixture ``location``, in your class or in a conftest: the address of the transport under
    test as a user writes it into ``channelLocation``. Override here what else your transport needs; leave the tests alone.
    """

    @pytest.fixture
    def options(self) -> Mapping[str, str]:
        """Options of the transport, as ``channelConfig`` gives them."""
        return {}

    @pytest.fixture
    def tight_options(self) -> Mapping[str, str] | None:
        """Options with which a writer finds the transport full after some hundred KiB; None: that cannot be had."""
        return None

    @pytest.fixture
    def plugin_host(self) -> PluginHost:
        """Whose plugins make transports: those installed."""
        return PluginHost.default()

    @pytest.fixture
    def make_transport(self, plugin_host: PluginHost, location: str) -> Callable[[Mapping[str, str]], Transport]:
        """Makes a new transport at the location, with these options; the kit closes it."""
        return lambda options: plugin_host.make_transport(location, options)

    @pytest.fixture
    def runner(self) -> Sequence[str]:
        """Command line that executes one operator in a process of its own, where the transport goes across processes."""
        return [sys.executable, "-m", "pypz.runnables.operator"]

    @pytest.fixture
    def forget_read(self) -> ForgetRead | None:
        """Makes the log forget blocks as its retention would (promise 41); None: nothing is ever forgotten unread."""
        return None

    @pytest.fixture
    def outage(self) -> Callable[[], AbstractContextManager[None]] | None:
        """Makes writing impossible within a ``with`` block (broker gone, disk full) and possible again behind it
        (promise 46); None: that cannot be had.
        """
        return None

    @pytest.fixture
    def patience_s(self) -> float:
        """Seconds after which something that does not come counts as missing."""
        return 20.0

    @pytest.fixture
    def open_close_cycles(self) -> int:
        """How often promise 48 opens and closes."""
        return 1000

    # --- what the tests take ---

    @pytest.fixture
    def pipeline_name(self) -> str:
        """A pipeline's name of this test alone."""
        return f"kit_{uuid.uuid4().hex[:10]}"

    @pytest.fixture
    def bench(
        self,
        make_transport: Callable[[Mapping[str, str]], Transport],
        options: Mapping[str, str],
        pipeline_name: str,
        patience_s: float,
    ) -> Iterator[Bench]:
        """Transports, clients and channels under one name, closed and removed at the end."""
        made = Bench(lambda: make_transport(options), pipeline_name, patience_s)
        yield made
        made.close()

    @pytest.fixture
    def capabilities(
        self, make_transport: Callable[[Mapping[str, str]], Transport], options: Mapping[str, str]
    ) -> Capabilities:
        """What the transport declares."""
        made = make_transport(options)
        found = made.capabilities
        made.close()
        return found

    @pytest.fixture(autouse=True)
    def _skip_what_is_not_declared(self, request: pytest.FixtureRequest) -> None:
        found: Promise | None = getattr(request.function, MARK, None)
        if found is None or not found.needs:
            return
        declared: Capabilities = request.getfixturevalue("capabilities")
        missing = [name for name in found.needs if getattr(declared, name) in (False, "no")]
        if missing:
            pytest.skip(f"promise {found.number} needs the capability {', '.join(missing)}, which is not declared")


def needs_fixture(value: object, name: str, number: int) -> None:
    """Skip a promise that cannot be tested without a fixture of the third party."""
    if value is None:
        pytest.skip(f"promise {number} is tested where the fixture {name!r} is given")


def reader_and_note(reader: DrivenReader, partition: int = 0) -> tuple[str, str] | None:
    """Position and note that stand committed."""
    found = reader.committed(partition)
    return (found.position, found.note) if found else None
