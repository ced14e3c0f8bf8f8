"""Tells observers what happened, on one thread of its own; whoever has news only puts it into a queue.

Statuses are coalesced (the latest of a key is kept), log lines are refused while too many wait, everything else is told in
order and never dropped. An observer
that raises, or is busy for too long, is named on stderr and told nothing more; the others go on.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final

from pypz.core.hooks.loader import say

BUSY_LIMIT_S: Final = 5.0
"""Seconds that an observer may take for one event before it is cut off (design)."""

MAX_STATUSES: Final = 10_000
"""Statuses waiting at once, each of another port and channel; beyond, the oldest is dropped (chosen: some 10 MB)."""

MAX_OFFERED: Final = 2_000
"""Log lines waiting at once; more are refused, and whoever offers them counts them (chosen: some MB)."""

LOOKS: Final = 5
"""Times that the watchdog must find an observer busy before it is cut off; one look after a freeze is no proof."""


@dataclass(frozen=True, eq=False)
class Observer:
    """A plugin with observing hooks."""

    name: str
    methods: Mapping[str, Callable[[Mapping[str, Any]], object]]
    """By hook: takes the hook's arguments by name."""


@dataclass(frozen=True)
class _News:
    number: int
    hook: str
    arguments: Mapping[str, Any]
    was_offered: bool = False


@dataclass(frozen=True, eq=False)
class _Call:
    observer: Observer
    news: _News


class Dispatcher:
    """Queue, thread and watchdog; both threads start with the first news that an observer wants."""

    def __init__(self, busy_limit_s: float = BUSY_LIMIT_S, max_statuses: int = MAX_STATUSES) -> None:
        self._busy_limit_s = busy_limit_s
        self._max_statuses = max_statuses
        lock = threading.Lock()
        self._news_came = threading.Condition(lock)
        self._call_began = threading.Condition(lock)
        self._news_told = threading.Condition(lock)
        self._observers: tuple[Observer, ...] = ()
        self._wanted: frozenset[str] = frozenset()
        self._queue: OrderedDict[Hashable, _News] = OrderedDict()
        self._statuses = 0
        self._offered: Counter[str] = Counter()
        self._number = 0
        self._news: _News | None = None
        self._to_tell: deque[Observer] = deque()
        self._call: _Call | None = None
        self._turn = 0
        self._threads: dict[str, threading.Thread] = {}
        self._watchdog_sleeps = False
        self._closed = False
        self._cut_off: dict[str, str] = {}

    @property
    def cut_off(self) -> Mapping[str, str]:
        """Observers that are told nothing more, with the reason."""
        return dict(self._cut_off)

    def add(self, observer: Observer) -> None:
        """Tell this observer all that comes from now on."""
        with self._news_came:
            self._cut_off.pop(observer.name, None)
            self._set_observers((*self._observers, observer))

    def remove(self, name: str) -> None:
        """Tell this observer nothing more; a call that is under way goes on."""
        with self._news_came:
            self._set_observers(tuple(o for o in self._observers if o.name != name))

    def wants(self, hook: str) -> bool:
        """Whether anybody observes this hook."""
        return hook in self._wanted

    def tell(self, hook: str, arguments: Mapping[str, Any], key: Hashable | None = None) -> None:
        """Queue news; never waits.

        Args:
            hook: Name of the hook.
            arguments: Its arguments by name.
            key: Of a status: it takes the place of one of the same key that still waits. None: never dropped.
        """
        if hook not in self._wanted:
            return
        with self._news_came:
            if self._closed:
                return
            self._number += 1
            waiting = self._queue.get(key) if key is not None else None
            if waiting is not None:
                self._queue[key] = _News(waiting.number, hook, arguments)
                return
            if key is not None:
                self._statuses += 1
                if self._statuses > self._max_statuses:
                    self._drop_a_status()
            self._enqueue(self._number if key is None else key, _News(self._number, hook, arguments))

    def offer(self, hook: str, arguments: Mapping[str, Any]) -> bool:
        """Queue news that may be left out; never waits.

        Returns:
            Whether they will be told; False when `MAX_OFFERED` of the hook wait. True also when nobody wants them.
        """
        if hook not in self._wanted:
            return True
        with self._news_came:
            if self._closed or self._offered[hook] >= MAX_OFFERED:
                return False
            self._offered[hook] += 1
            self._number += 1
            self._enqueue(self._number, _News(self._number, hook, arguments, was_offered=True))
            return True

    def flush(self, timeout_s: float) -> bool:
        """Wait until everything queued before this call was told.

        Returns:
            Whether it was; False at the time-out, and when an observer calls this itself.
        """
        if threading.current_thread() in self._threads.values():
            return False
        deadline = monotonic() + timeout_s
        with self._news_told:
            last = self._number
            while self._waits_up_to(last):
                left = deadline - monotonic()
                if left <= 0 or self._closed:
                    return False
                self._news_told.wait(left)
        return True

    def close(self) -> None:
        """Tell nothing more and end the threads; does not wait for an observer. Idempotent."""
        with self._news_came:
            self._closed = True
            self._queue.clear()
            self._turn += 1
            self._wake_all()

    # --- under the lock -----------------------------------------------------------------------------------------------

    def _set_observers(self, observers: tuple[Observer, ...]) -> None:
        self._observers = observers
        self._wanted = frozenset(hook for observer in observers for hook in observer.methods)

    def _enqueue(self, key: Hashable, news: _News) -> None:
        self._queue[key] = news
        self._run_thread(f"pypz-observers-{self._turn}", self._tell_all, self._turn)
        self._run_thread("pypz-observers-watchdog", self._watch)
        self._news_came.notify()

    def _drop_a_status(self) -> None:
        oldest = next((key for key in self._queue if not isinstance(key, int)), None)
        if oldest is not None:
            del self._queue[oldest]
            self._statuses -= 1

    def _waits_up_to(self, number: int) -> bool:
        if self._news is not None and self._news.number <= number:
            return True
        first = next(iter(self._queue.values()), None)
        return first is not None and first.number <= number

    def _wake_all(self) -> None:
        self._news_came.notify_all()
        self._call_began.notify_all()
        self._news_told.notify_all()

    def _run_thread(self, name: str, target: Callable[..., None], *arguments: Any) -> None:
        thread = self._threads.get(name)
        if thread is None or not thread.is_alive():
            thread = threading.Thread(target=target, args=arguments, name=name, daemon=True)
            self._threads[name] = thread
            try:
                thread.start()
            except RuntimeError:  # the interpreter is shutting down: nobody is left to be told
                self._threads.pop(name, None)

    def _cut(self, observer: Observer, reason: str) -> None:
        self._cut_off[observer.name] = reason
        self._set_observers(tuple(o for o in self._observers if o is not observer))

    # --- threads ------------------------------------------------------------------------------------------------------

    def _tell_all(self, turn: int) -> None:
        while (call := self._next_call(turn)) is not None:
            observer, news = call.observer, call.news
            try:
                observer.methods[news.hook](news.arguments)
            except BaseException as error:  # noqa: BLE001 - no observer may end the thread that tells the others
                reason = f"{news.hook} raised {type(error).__name__}: {error}"
                with self._news_came:
                    known = turn != self._turn or observer.name in self._cut_off
                    if not known:
                        self._cut(observer, reason)
                if not known:
                    say(f"observer {observer.name!r} is told nothing more: {reason}")

    def _next_call(self, turn: int) -> _Call | None:
        """Take the next call of the thread whose turn it is; None: the thread is to end."""
        with self._news_came:
            if turn == self._turn:
                self._call = None
            while turn == self._turn:
                while self._to_tell:
                    observer = self._to_tell.popleft()
                    if observer in self._observers and self._news is not None:
                        self._call = _Call(observer, self._news)
                        if self._watchdog_sleeps:
                            self._call_began.notify()
                        return self._call
                if self._news is not None:
                    self._news = None
                    self._news_told.notify_all()
                if self._queue:
                    key, self._news = self._queue.popitem(last=False)
                    self._statuses -= not isinstance(key, int)
                    hook = self._news.hook
                    self._offered[hook] -= self._news.was_offered
                    self._to_tell = deque(o for o in self._observers if hook in o.methods)
                else:
                    self._news_came.wait()
            return None

    def _watch(self) -> None:
        """Cut off whoever is found busy with the same event at `LOOKS` looks in a row, and let another thread go on."""
        seen: _Call | None = None
        looks = 0
        while True:
            with self._call_began:
                if self._closed:
                    return
                if self._call is None:
                    seen, looks = None, 0
                    self._watchdog_sleeps = True
                    self._call_began.wait()
                    self._watchdog_sleeps = False
                    continue
                if self._call is not seen:
                    seen, looks = self._call, 0
                self._call_began.wait(self._busy_limit_s / LOOKS)
                if self._closed or self._call is not seen:
                    continue
                looks += 1
                if looks < LOOKS:
                    continue
                observer, hook = seen.observer, seen.news.hook
                reason = f"{hook} was busy for {self._busy_limit_s:g} s"
                self._threads.pop(f"pypz-observers-{self._turn}", None)
                self._turn += 1
                self._call = None
                self._cut(observer, reason)
                self._run_thread(f"pypz-observers-{self._turn}", self._tell_all, self._turn)
                self._news_told.notify_all()
            say(f"observer {observer.name!r} is told nothing more: {reason}")
