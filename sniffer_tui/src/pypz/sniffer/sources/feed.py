"""Where the sniffer's news come from: hooks called in this process, and those relayed by processes elsewhere.

Nothing here touches the screen. What hinders the view becomes the model's notice; it is tried again, and the rest goes on.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from pypz.core.channels.spi import StatusStream, Transport
from pypz.core.commons.errors import ConfigurationError, PypzError
from pypz.core.hooks.host import PluginHost
from pypz.core.hooks.receiver import Receiver, RunInfo
from pypz.sniffer.model.pipeline import PipelineModel
from pypz.sniffer.sources.asking import PATIENCE_S, cause_of, shown
from pypz.sniffer.sources.deployment import Deployment
from pypz.sniffer.sources.observer import SnifferObserver

SILENT_S: Final = 2.0
"""Seconds without a sign of life of any member, after which the locations are asked whether they are there (chosen: with
`LOOK_INTERVAL_S` and `PATIENCE_S` a location that is away is told before a member would count as lost)."""

LOOK_INTERVAL_S: Final = 1.0
"""Seconds between two looks for silence (members beat once a second)."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 5.0
"""Seconds before a location that could not be opened is tried again: doubled up to this (chosen)."""

CLOSE_S: Final = 1.0
"""Seconds that closing may wait for the answer to a question already asked (chosen)."""

Location = tuple[str, dict[str, str]]
"""Address of a transport and the ports' ``channelConfig``."""

DEPLOYMENT: Final = "deployment"
CORRUPT: Final = "corrupt"
UNSET: Final = "unset"
"""Stand for the place that a pipeline is deployed to, for entries, and for ports that cannot be reached from here, among
what may give no news; no location is named so."""

NO_LOCATIONS: Final = DEPLOYMENT, CORRUPT, UNSET

MEMORY_SCHEME: Final = "memory:"


class Feed:
    """Feeds a model from here and from the status streams of a pipeline's locations.

    Args:
        model: What to feed.
        status_name: Name of the pipeline's status streams.
        locations: Where the streams are.
        host: Whose hooks are observed, and whose plugins make the transports; left out, the one of this process.
        deployment: Where it is deployed, and what is asked there, too; None when that is not known.
        unset: What is to be told of ports that refer to variables which are not set here.
    """

    def __init__(
        self,
        model: PipelineModel,
        status_name: str,
        locations: Sequence[Location],
        host: PluginHost | None = None,
        deployment: Deployment | None = None,
        unset: Sequence[str] = (),
    ) -> None:
        self._model = model
        self._status_name = status_name
        self._locations = list(locations)
        self._here = PluginHost.default() if host is None else host
        self._there = PluginHost(load=False)
        self._observer = SnifferObserver(model, is_here=True)
        self._deployment = deployment
        self._end_of_watch: Callable[[], None] = lambda: None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._telling = threading.Lock()
        self._troubles: dict[str, str] = {}
        self._transports: list[Transport] = []
        self._streams: list[StatusStream] = []
        self._waiting: list[tuple[str, Transport]] = []
        self._reached: list[tuple[str, Transport]] = []
        self._receiver: Receiver | None = None
        self._thread = threading.Thread(target=self._follow, name="pypz-sniffer-feed", daemon=True)
        self._set_trouble(UNSET, "; ".join(unset))

    def start(self) -> None:
        """Observe from now on; returns at once.

        Raises:
            ConfigurationError: A location is of nobody's scheme, or its options make no sense; of a deployed pipeline that
                is shown as a notice, since its place tells something, too.
        """
        for location, options in self._locations:
            try:
                transport = self._here.make_transport(location, options)
            except ConfigurationError as error:
                if self._deployment is None:
                    raise
                self._set_trouble(location, f"{shown(location)}: no news from there: {error}")
                continue
            self._transports.append(transport)
            self._reached.append((location, transport))
        self._waiting = list(self._reached)
        self._there.register(SnifferObserver(self._model, is_here=False), "sniffer")
        self._here.register(self._observer, f"sniffer-{id(self):x}")
        self._thread.start()
        if self._deployment is not None:
            self._end_of_watch = self._deployment.watch(self._there, lambda text: self._set_trouble(DEPLOYMENT, text))

    def close(self) -> None:
        """Observe no more; idempotent. Nobody waits long for a location that does not answer."""
        self._closing.set()
        self._end_of_watch()
        self._here.unregister(self._observer)
        if self._thread.is_alive():
            self._thread.join(CLOSE_S)
        with self._lock:
            self._close_receiver()
            is_asking = self._thread.is_alive()
            closing = [stream.close for stream in self._streams] + [one.close for one in self._transports]
            for close in () if is_asking else closing:
                with suppress(PypzError):
                    close()
        self._there.close()

    # --- the feed's thread ---

    def _follow(self) -> None:
        self._open_all()
        while not self._closing.wait(LOOK_INTERVAL_S):
            self._tell_of_corrupt_entries()
            is_troubled = any(place not in NO_LOCATIONS for place in self._troubles)
            if is_troubled or self._model.silent_s() > SILENT_S:
                for location, transport in self._reached:
                    self._probe(location, transport)
                self._closing.wait(FIRST_PAUSE_S if is_troubled else LONGEST_PAUSE_S)

    def _tell_of_corrupt_entries(self) -> None:
        corrupt = 0 if self._receiver is None else self._receiver.corrupt
        if corrupt:
            entries = "1 entry" if corrupt == 1 else f"{corrupt:,} entries"
            self._set_trouble(CORRUPT, f"{entries} of the status streams cannot be read, and are left out")

    def _open_all(self) -> None:
        """Open the streams, those that can be at once, the others as soon as they can."""
        pause_s = FIRST_PAUSE_S
        while self._waiting and not self._closing.is_set():
            opened = [one for one in self._waiting if self._open(*one)]
            self._waiting = [one for one in self._waiting if one not in opened]
            if opened:
                self._follow_all()
            if self._waiting:
                self._closing.wait(pause_s)
                pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)

    def _open(self, location: str, transport: Transport) -> bool:
        def open_stream() -> None:
            stream = transport.open_status(self._status_name, create=False)
            with self._lock:
                self._streams.append(stream)

        return self._ask(location, transport, open_stream)

    def _probe(self, location: str, transport: Transport) -> None:
        """Whether silence comes from the members or from the way to them: a transport that is away tells nothing."""
        self._ask(location, transport, lambda: transport.describe_channel(self._status_name))

    def _ask(self, location: str, transport: Transport, question: Callable[[], object]) -> bool:
        """Ask a location; show it when the answer takes long, or is an error. Gives whether it has answered."""
        has_answered = threading.Event()
        before = self._troubles.get(location, "")

        def tell_that_it_takes_long() -> None:
            while not has_answered.wait(PATIENCE_S):
                cause = cause_of(transport)
                if not before or (cause and cause not in before):
                    words = f" (last seen: {cause})" if cause else ""
                    self._set_trouble(location, f"{shown(location)}: no answer yet{words}")

        patience = threading.Thread(target=tell_that_it_takes_long, name="pypz-sniffer-patience", daemon=True)
        patience.start()
        trouble = ""
        try:
            question()
        except Exception as error:  # noqa: BLE001 - a viewer stays up, says what is wrong and tries again
            trouble = f"{shown(location)}: no news from there, trying again: {error}"
        has_answered.set()
        patience.join()
        self._set_trouble(location, trouble)
        return not trouble

    def _follow_all(self) -> None:
        with self._lock:
            self._close_receiver()
            if not self._closing.is_set():
                self._receiver = Receiver(
                    self._streams,
                    self._there,
                    on_new_run=self._take_run,
                    on_rescaled=lambda info: self._model.run_rescaled(info.run, info.groups, info.largest),
                    on_alive=self._model.member_alive,
                    on_trouble=lambda text: self._set_trouble("", text),
                    from_kept=True,
                )

    def _close_receiver(self) -> None:
        if self._receiver is not None:
            self._receiver.close(CLOSE_S)
            self._receiver = None

    # --- told by the receiver ---

    def _take_run(self, info: RunInfo) -> None:
        self._model.run_known(
            info.pipeline,
            info.run,
            info.groups,
            info.started_utc,
            largest=info.largest,
            was_open=info.was_open,
            had_ended=info.had_ended,
            dto=info.dto,
        )

    def _set_trouble(self, place: str, text: str) -> None:
        with self._telling:
            if text:
                self._troubles[place] = text
            else:
                self._troubles.pop(place, None)
            is_blind = any(place not in NO_LOCATIONS for place in self._troubles)
            self._model.set_notice("; ".join(self._troubles.values()), is_blind=is_blind)


def check_reach(pipeline: str, locations: Sequence[Location], *, can_run_here: bool, unset: Sequence[str] = ()) -> None:
    """Refuse to wait for what can never be seen.

    Args:
        pipeline: Name of the pipeline, for the message.
        locations: Where its channels are.
        can_run_here: Whether this very process may run the pipeline.
        unset: What is to be told of ports that refer to variables which are not set here.

    Raises:
        ConfigurationError: It cannot, and there is no location that several processes reach.
    """
    if can_run_here or any(not location.startswith(MEMORY_SCHEME) for location, _ in locations):
        return
    if unset:
        raise ConfigurationError(
            f"pipeline {pipeline!r}: nowhere to look for it: {'; '.join(unset)}, or give the value by "
            "-p '>>channelLocation=...' or -p '>>channelConfig={...}'"
        )
    way_out = (
        "start the executor in a thread of this process before the sniffer, or set >>channelLocation to one that "
        "several processes reach, such as kafka://localhost:9092, here (by -p '>>channelLocation=...' on a command line) and "
        "where the pipeline is executed"
    )
    if not locations:
        raise ConfigurationError(
            f"pipeline {pipeline!r}: none of its channel ports has a channelLocation, and this process does not execute "
            f"it, so there is nothing to see; {way_out}"
        )
    raise ConfigurationError(
        f"pipeline {pipeline!r}: {locations[0][0]} is memory: of this process only (memory: lives in one process), and "
        f"this process does not execute the pipeline, so there is nothing to see; {way_out}"
    )


def has_other_threads() -> bool:
    """Whether another thread of the user's is alive, which may execute a pipeline while this one shows it."""
    return any(
        thread is not threading.current_thread() and thread.is_alive() and not thread.name.startswith("pypz-")
        for thread in threading.enumerate()
    )
