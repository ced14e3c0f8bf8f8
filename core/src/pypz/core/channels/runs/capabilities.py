"""What a run needs of a transport: refused at start, by the capability's name, where it is not declared."""

from __future__ import annotations

from collections.abc import Sequence

from pypz.core.channels.headers import Note
from pypz.core.channels.roster import Writers
from pypz.core.channels.spi import Capabilities
from pypz.core.commons.errors import ConfigurationError
from pypz.core.commons.faults import refuse

LONGEST_NOTE = Note("r" * 12, "i" * 36, 1_000_000)
"""Of a run's id, an incarnation as long as a UUID, and the longest index in a block."""


def check_capabilities(place: str, capabilities: Capabilities, partitions: int, writers: Sequence[str]) -> None:
    """Refuse an input port whose transport cannot carry its channel.

    Args:
        place: Port and transport, in words that begin the error.
        capabilities: The transport's.
        partitions: Of the channel.
        writers: All that write to it.

    Raises:
        ConfigurationError: Names the capability that is lacking and what it is needed for.
    """
    if partitions > 1 and not capabilities.partitions:
        refuse(
            ConfigurationError(
                f"{place} lacks the capability 'partitions', and the channel should have {partitions}; leave 'partitions' and "
                "'replicationFactor' out, or use another transport"
            )
        )
    needed = len(
        Note(LONGEST_NOTE.run, LONGEST_NOTE.incarnation, LONGEST_NOTE.index, frozenset(writers)).encode(
            Writers(writers)
        )
    )
    if needed > capabilities.max_note:
        refuse(
            ConfigurationError(
                f"{place} stores {capabilities.max_note} bytes beside a position (capability 'max_note'), and the ends of "
                f"{len(writers)} writers need {needed}; use fewer replicas, or another transport"
            )
        )
