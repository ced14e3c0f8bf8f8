"""Objects of the cluster kept up to date: listed, then watched, listed again when the server has forgotten (410)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Final, NamedTuple, Self, TypeVar

from pypz.deployers.k8s.api import ApiError, ClusterApi, Listing, Manifest, WatchStream
from pypz.deployers.k8s.plan import DEPLOYMENT, JOB
from pypz.deployers.k8s.states import kept_of, with_kept, without_pods
from pypz.deployers.k8s.warnings import WARNINGS, Warnings
from pypz.utils.k8s.errors import DeploymentException

WATCH_TIMEOUT_S: Final = 20
"""Seconds of one watch request: a server that stands still is noticed after this and 10 s more; a line that was cut before that
(`api.KEEPALIVE`). A request for each kind in this time is less than a server notices. Chosen."""
GIVE_UP_AFTER_S: Final = 300.0
"""Seconds without any answer of the server after which a watcher fails. Chosen: a control plane's upgrade."""
SHORTEST_WATCH_S: Final = 0.2
"""Seconds from one watch request to the next, at least: a proxy may end each at once. Chosen."""
LONGEST_PAUSE_S: Final = 10.0
"""Seconds between two tries to reach a server that does not answer, at most."""
_FINAL_STATUS: Final = (400, 401, 403, 404, 405)

_Answer = TypeVar("_Answer")


class _Change(NamedTuple):
    kind: str
    how: str
    """``SYNC`` (all objects of the kind), ``ADDED``, ``MODIFIED`` or ``DELETED``."""
    objects: list[Manifest]


class Watcher:
    """Follows objects of several kinds by their labels; each kind in a thread of its own, applied by the caller's.

    Use as a context manager; `objects` holds what the last `wait` has seen.
    """

    def __init__(self, api: ClusterApi, selector: str, *kinds: str, say: Callable[[str], None]) -> None:
        """Prepare to watch.

        Args:
            api: Where to.
            selector: Labels of the objects.
            kinds: Their kinds; ``Event`` are all warnings in the namespace, none where they may not be read.
            say: Told when the server is out of reach, and when it is back.
        """
        self.objects: dict[str, dict[str, Manifest]] = {kind: {} for kind in kinds}
        self._api = api
        self._selector = selector
        self._say = say
        self._news: queue.SimpleQueue[_Change | DeploymentException] = queue.SimpleQueue()
        self._is_over = threading.Event()
        self._lock = threading.Lock()
        self._streams: dict[str, WatchStream] = {}
        self._kept: Manifest | None = None
        """What was being replaced when we last looked."""

    def __enter__(self) -> Self:
        """Start watching; returns when every kind is listed.

        Raises:
            DeploymentException: The server cannot be asked.
        """
        try:
            listings = {kind: self._list(kind) for kind in self.objects}
        except BaseException:
            self._is_over.set()
            raise
        for kind, listing in listings.items():
            if listing is None:
                continue
            self._apply(_Change(kind, "SYNC", listing.items))
            thread = threading.Thread(
                target=self._follow, args=(kind, listing.version), name=f"pypz-watch-{kind}", daemon=True
            )
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop watching; the threads end on their own."""
        self._is_over.set()
        with self._lock:
            for stream in self._streams.values():
                stream.end()

    def wait(self, deadline: float | None = None) -> bool:
        """Wait for one change and apply it to `objects`.

        Args:
            deadline: Monotonic time to give up at; None for never.

        Returns:
            False when the deadline has passed.

        Raises:
            DeploymentException: The server has been out of reach for too long, or refuses us.
        """
        try:
            self._take(self._news.get(timeout=None if deadline is None else max(deadline - time.monotonic(), 0)))
        except queue.Empty:
            return False
        return True

    @property
    def workloads(self) -> list[Manifest]:
        """All objects that make pods, of the kinds that are watched; where ConfigMaps are, also one that is being replaced."""
        found = [one for kind in (JOB, DEPLOYMENT) for one in self.objects.get(kind, {}).values()]
        owners = self.objects.get("ConfigMap", {}).values()
        kept = next(filter(None, map(kept_of, owners)), None)
        if kept is None and self._kept is not None and self._is_to_come(self._kept):
            return [*found, without_pods(self._kept)]
        self._kept = kept
        return with_kept(found, owners)

    def _is_to_come(self, kept: Manifest) -> bool:
        """Whether an object is there that we have not been told of yet, though we know already that its replacement is over:
        each kind has a stream of its own.
        """
        kind, name = kept["kind"], kept["metadata"]["name"]
        if name in self.objects.get(kind, {}):
            return False
        try:
            return any(one["metadata"]["name"] == name for one in self._api.list(kind, self._selector).items)
        except ApiError as error:
            if not error.is_passing:
                raise
            return True  # no answer: as before, until the watches go on

    @property
    def warnings(self) -> Warnings:
        """What the cluster warns of, where the kind ``Event`` is watched."""
        return Warnings(self.objects.get("Event", {}).values())

    def catch_up(self) -> None:
        """Apply the changes that are there already."""
        while not self._news.empty():
            self._take(self._news.get())

    def ask(self, question: Callable[[], _Answer]) -> _Answer:
        """Ask the server for something beside what is watched, for as long as the watches try to reach it.

        Args:
            question: Asks; is called again when no answer came or the server has trouble of its own.

        Raises:
            ApiError: It refuses, or has been out of reach for too long.
        """
        failing_since: float | None = None
        is_told = False
        pause_s = 0.25
        while True:
            try:
                return question()
            except ApiError as error:
                now = time.monotonic()
                if failing_since is None:
                    failing_since = now
                elif not is_told:
                    is_told = True
                    self._say(f"{error}; trying again for {GIVE_UP_AFTER_S:.0f} s")
                if not error.is_passing or now - failing_since > GIVE_UP_AFTER_S:
                    raise
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def wait_until(self, is_so: Callable[[], bool], deadline: float | None = None) -> bool:
        """Wait for changes until a condition on `objects` holds; False when the deadline has passed before."""
        while not is_so():
            if not self.wait(deadline):
                return is_so()
            self.catch_up()  # looking may take longer than the next change does
        return True

    def _list(self, kind: str) -> Listing | None:
        """List one kind; None where warnings may not be read: all else goes on without them."""
        try:
            return self._api.list(kind, *self._select(kind))
        except ApiError as error:
            if _is_done_without(kind, error):
                self._say(f"{error}; some reasons stay unknown")
                return None
            raise

    def _select(self, kind: str) -> tuple[str, str]:
        """Labels and fields."""
        return ("", WARNINGS) if kind == "Event" else (self._selector, "")

    def _take(self, news: _Change | DeploymentException) -> None:
        if isinstance(news, DeploymentException):
            raise news
        self._apply(news)

    def _apply(self, change: _Change) -> None:
        known = self.objects[change.kind]
        if change.how == "SYNC":
            known.clear()
        for found in change.objects:
            name = found["metadata"]["name"]
            if change.how == "DELETED":
                known.pop(name, None)
            else:
                known[name] = found

    def _follow(self, kind: str, version: str) -> None:
        """Watch one kind until it is over; in its own thread."""
        failing_since: float | None = None
        is_told = False
        pause_s = 0.25
        position: str | None = version
        while not self._is_over.is_set():
            try:
                if position is None:
                    listing = self._api.list(kind, *self._select(kind))
                    self._news.put(_Change(kind, "SYNC", listing.items))
                    position = listing.version
                began = time.monotonic()
                stream = self._api.watch(kind, *self._select(kind), version=position, timeout_s=WATCH_TIMEOUT_S)
                if is_told:
                    self._say(f"Kubernetes at {self._api.server} answers again")
                failing_since, is_told, pause_s = None, False, 0.25
                position = self._drain(kind, stream, position)
                self._is_over.wait(SHORTEST_WATCH_S - (time.monotonic() - began))
            except ApiError as error:
                if self._is_over.is_set():
                    return
                if error.status == 410:
                    position = None
                    self._is_over.wait(pause_s)  # a proxy may answer so each time
                    pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
                    continue
                if _is_done_without(kind, error):
                    self._say(f"{error}; some reasons stay unknown")
                    return
                now = time.monotonic()
                if failing_since is None:
                    failing_since = now
                elif not is_told:  # the second failure in a row; a watch that broke off once is nothing to tell
                    is_told = True
                    self._say(f"{error}; trying again for {GIVE_UP_AFTER_S:.0f} s")
                if error.status in _FINAL_STATUS or now - failing_since > GIVE_UP_AFTER_S:
                    self._news.put(error)
                    return
                self._is_over.wait(pause_s)
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _drain(self, kind: str, stream: WatchStream, position: str) -> str | None:
        """Pass on what one watch request tells; gives the version to go on from, None to list anew."""
        with self._lock:
            self._streams[kind] = stream
        try:
            if self._is_over.is_set():
                return position
            for how, found in stream:
                if how == "ERROR":
                    return None
                position = found["metadata"]["resourceVersion"]
                if how != "BOOKMARK":
                    self._news.put(_Change(kind, how, [found]))
            return position
        finally:
            with self._lock:
                self._streams.pop(kind, None)
            stream.close()


def _is_done_without(kind: str, error: ApiError) -> bool:
    """Whether all goes on though objects of a kind may not be read: warnings only tell reasons."""
    return kind == "Event" and error.status == 403
