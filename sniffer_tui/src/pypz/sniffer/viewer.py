"""`PipelineSnifferViewer`: shows live what the operators of a pipeline and their ports do, wherever they run.

On a terminal it is a screen; elsewhere (a pipe, a log), or with ``PYPZ_SNIFFER_PLAIN=1``, a line for each change.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

from pypz.core.channels.run import status_name
from pypz.core.specs.pipeline import Pipeline
from pypz.sniffer.feed import Feed, check_reach, has_other_threads
from pypz.sniffer.model import PipelineModel
from pypz.sniffer.plain import PlainViewer
from pypz.sniffer.plan import plan_of, reachable_locations

if TYPE_CHECKING:
    from pypz.core.specs.dtos import PipelineInstanceDTO

PLAIN_VARIABLE: Final = "PYPZ_SNIFFER_PLAIN"
"""Set to anything but "" or 0: plain lines, also on a terminal; ``next``: a run that had ended before is left out."""


class PipelineSnifferViewer:
    """Watches the newest run of a pipeline, whether it is started before or after the viewer.

    While a screen is drawn, what other threads of this process print is not shown; log to a file, or let the pipeline run
    in a process of its own.

    Args:
        pipeline: What to watch, with the parameters it runs with (above all ``channelLocation``). It is only read.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

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
        name, locations = status_name(self._pipeline), reachable_locations(self._pipeline)
        check_reach(name, locations, can_run_here=has_other_threads())
        model = PipelineModel(self._pipeline.get_full_name(), plan_of(self._pipeline))
        feed = Feed(model, name, locations)
        try:
            feed.start()
            if has_screen():
                self._show(model)
            else:
                PlainViewer(model, _write_line, waits_for_next=os.environ.get(PLAIN_VARIABLE) == "next").run()
        except KeyboardInterrupt:
            pass
        except BrokenPipeError:  # whoever read our lines has gone
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        finally:
            feed.close()

    def _show(self, model: PipelineModel) -> None:
        from pypz.sniffer.app import SnifferApp  # Textual is only needed where there is a screen

        app: Any = SnifferApp(model)
        app.run()


def has_screen() -> bool:
    """Whether there is a terminal to draw on, and nobody asked for plain lines."""
    if os.environ.get(PLAIN_VARIABLE, "") not in ("", "0") or os.environ.get("TERM", "") == "dumb":
        return False
    streams = (sys.stdin, sys.stdout, sys.__stderr__)  # Textual draws on the last one
    return all(stream is not None and not stream.closed and stream.isatty() for stream in streams)


def _write_line(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
