"""`PipelineSnifferViewer`: shows live what the operators of a pipeline and their ports do, wherever they run.

On a terminal it is a screen; elsewhere (a pipe, a log), or with ``PYPZ_SNIFFER_PLAIN=1``, a line for each change.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from pypz.core.specs.pipeline import Pipeline
from pypz.sniffer.forms.plain import PlainViewer
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.model.plan import reachable_locations
from pypz.sniffer.programs import watching
from pypz.sniffer.sources.feed import Location

if TYPE_CHECKING:
    from pypz.core.specs.dtos import PipelineInstanceDTO
    from pypz.sniffer.sources.deployment import Deployment

PLAIN_VARIABLE: Final = "PYPZ_SNIFFER_PLAIN"
"""Set to anything but "" or 0: plain lines, also on a terminal; ``next``: a run that had ended before is left out."""


ESCAPE_DELAY_MS: Final = "25"
"""Milliseconds until Escape is known to be no part of another key (chosen: too short for two keys, as other programs have
it; Textual waits 100)."""


class PipelineSnifferViewer:
    """Watches the newest run of a pipeline, whether it is started before or after the viewer.

    While a screen is drawn, what other threads of this process print is not shown; log to a file, or let the pipeline run
    in a process of its own.

    Args:
        pipeline: What to watch, with the parameters it runs with (above all ``channelLocation``). It is only read.
        locations: Where its status streams are, where that is not what its ports say.
        deployment: Where it is deployed, if that is to be asked, too.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        locations: Sequence[Location] | None = None,
        deployment: Deployment | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._locations = locations
        self._deployment = deployment

    @staticmethod
    def create_from_string(source: str) -> PipelineSnifferViewer:
        """Make a viewer from a pipeline's YAML or JSON; classes that are not installed here are mocked."""
        return PipelineSnifferViewer(Pipeline.create_from_string(source, mock_nonexistent=True))

    @staticmethod
    def create_from_dto(dto: PipelineInstanceDTO) -> PipelineSnifferViewer:
        """Make a viewer from a pipeline's DTO; classes that are not installed here are mocked."""
        return PipelineSnifferViewer(Pipeline.create_from_dto(dto, mock_nonexistent=True))

    def mainloop(self) -> None:
        """Show the pipeline; returns when the user quits, without a screen also when the run has ended.

        Raises:
            ConfigurationError: The pipeline cannot be watched from here: no channel has a location, a scheme that nobody
                knows, ``memory:`` of another process.
        """
        try:
            with watching(self._pipeline, self._locations, self._deployment) as model:
                if has_screen():
                    self._show(model)
                else:
                    PlainViewer(model, write_line, waits_for_next=os.environ.get(PLAIN_VARIABLE) == "next").run()
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:  # whoever read our lines has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

    def _show(self, model: PipelineModel) -> None:
        os.environ.setdefault("ESCDELAY", ESCAPE_DELAY_MS)
        from pypz.sniffer.screen.app import SnifferApp  # Textual is only needed where there is a screen
        from pypz.sniffer.screen.guard import guarded_terminal

        locations = reachable_locations(self._pipeline) if self._locations is None else self._locations
        app: Any = SnifferApp(model, self._pipeline, locations, self._deployment)
        is_terminal = sys.__stderr__ is not None and sys.__stderr__.isatty()  # in a browser there is none
        with guarded_terminal() if is_terminal else contextlib.nullcontext():
            app.run()


def has_screen() -> bool:
    """Whether there is a terminal to draw on, and nobody asked for plain lines."""
    if "TEXTUAL_DRIVER" in os.environ:  # drawn by somebody else's means, in a browser for instance
        return True
    if os.environ.get(PLAIN_VARIABLE, "") not in ("", "0") or os.environ.get("TERM", "") == "dumb":
        return False
    streams = (sys.stdin, sys.stdout, sys.__stderr__)  # Textual draws on the last one
    return all(stream is not None and not stream.closed and stream.isatty() for stream in streams)


def write_line(line: str) -> None:
    """Write a line to stdout at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
