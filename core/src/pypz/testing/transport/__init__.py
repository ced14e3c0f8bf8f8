"""The kit for transports: what every transport promises, one test each."""

from __future__ import annotations

from pypz.testing.transport.channels import ChannelPromises
from pypz.testing.transport.reading import ReadingPromises
from pypz.testing.transport.resources import ResourcePromises
from pypz.testing.transport.runs import RunPromises
from pypz.testing.transport.status import StatusPromises
from pypz.testing.transport.writing import WritingPromises


class TransportConformance(
    WritingPromises, ReadingPromises, RunPromises, StatusPromises, ChannelPromises, ResourcePromises
):
    """What every transport promises, one test each, numbered as in the documentation.

    Override fixtures only::

        class TestMyTransport(TransportConformance):
            @pytest.fixture
            def location(self) -> str:
                return "mine://localhost"

    Promises of capabilities that the transport does not declare are skipped by the capability's name.
    """
