"""The sniffer for programs: pictures of a pipeline as plain values, without any screen."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from pypz.core.channels.runs.whole import status_name
from pypz.sniffer.forms.documents import document_of, line_of
from pypz.sniffer.forms.plain import LOOK_INTERVAL_S
from pypz.sniffer.model.frames import Frame, Mood
from pypz.sniffer.model.pipeline import ENDED, PipelineModel
from pypz.sniffer.model.plan import plan_of, reachable_locations, unset_places
from pypz.sniffer.sources.feed import Feed, Location, check_reach, has_other_threads
from pypz.sniffer.wording.reasons import STALLED_AFTER_S, is_in_doubt

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pypz.core.specs.pipeline import Pipeline
    from pypz.sniffer.sources.deployment import Deployment


ONCE_S: Final = 3.0
"""Seconds of one look: enough for a rate and for a sign of life of every member (they beat once a second)."""


@contextmanager
def watching(
    pipeline: Pipeline, locations: Sequence[Location] | None = None, deployment: Deployment | None = None
) -> Iterator[PipelineModel]:
    """Feed a model of the pipeline as long as the block runs.

    Args:
        pipeline: What to watch; it is only read.
        locations: Where its status streams are; None for where its ports say.
        deployment: Where it is deployed; None when that is not known.

    Raises:
        ConfigurationError: The pipeline cannot be watched from here.
    """
    name = status_name(pipeline)
    places = reachable_locations(pipeline) if locations is None else list(locations)
    unset = unset_places(pipeline) if locations is None else []
    if deployment is None:
        check_reach(name, places, can_run_here=has_other_threads(), unset=unset)
    model = PipelineModel(pipeline.get_full_name(), plan_of(pipeline))
    feed = Feed(model, name, places, deployment=deployment, unset=unset)
    try:
        feed.start()
        yield model
    finally:
        feed.close()


class PipelineSniffer:
    """Watches the newest run of a pipeline from `start` to `stop`, whether it is started before or after.

    Args:
        pipeline: What to watch, with the parameters it runs with (above all ``channelLocation``). It is only read.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._watching: Any = None
        self._model: PipelineModel | None = None

    def start(self) -> bool:
        """Watch from now on; does nothing when it does already.

        Raises:
            ConfigurationError: The pipeline cannot be watched from here.
        """
        if self._model is None:
            self._watching = watching(self._pipeline)
            self._model = self._watching.__enter__()
        return True

    def stop(self) -> bool:
        """Watch no more; idempotent."""
        if self._model is not None:
            self._model = None
            self._watching.__exit__(None, None, None)
        return True

    def sniff(self) -> dict[str, Any]:
        """Give the picture of this moment, as `pypz.sniffer.forms.documents.document_of` describes it; {} while stopped."""
        return {} if self._model is None else document_of(self._model.frame())


def snapshot(model: PipelineModel, seconds: float | None = None) -> Frame:
    """Look for some seconds, so that rates are known; shorter when the run is seen to have ended.

    Args:
        model: What to look at.
        seconds: For how long, at most; None: for `ONCE_S`, and on where only time tells a slow reader
            from a stuck one, or a silent member from a lost one.
    """
    now = time.monotonic()
    enough, at_most = (now + ONCE_S, now + STALLED_AFTER_S + 1) if seconds is None else (now + seconds, now + seconds)
    pause = threading.Event()
    frame = model.frame()
    while frame.mood not in ENDED and time.monotonic() < (at_most if is_in_doubt(frame) else enough):
        pause.wait(LOOK_INTERVAL_S)
        frame = model.frame()
    if frame.mood in ENDED:  # exits and last figures follow the end of the run at once
        pause.wait(LOOK_INTERVAL_S)
    return model.frame()


def write_pictures(model: PipelineModel, write: Callable[[str], None]) -> None:
    """Write a line of JSON for each change, until the run has ended."""
    pause = threading.Event()
    told: tuple[int, Mood] | None = None
    while True:
        version, frame = model.version, model.frame()
        is_over = frame.mood in ENDED and not frame.may_go_on
        if (version, frame.mood) != told:
            told = version, frame.mood
            write(line_of(frame))
        if is_over and not pause.wait(LOOK_INTERVAL_S) and model.version == version:
            return
        pause.wait(LOOK_INTERVAL_S)
