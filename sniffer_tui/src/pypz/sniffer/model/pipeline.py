"""The sniffer's picture of one pipeline, fed by observing hooks only: a method for each, in any thread and order.

It knows no screen and no transport. Figures are absolute counts of one start of a member, so the same news twice
changes nothing, and a member that was restarted stands there once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Final

from pypz.core.hooks.events import (
    ChannelStatus,
    DeployedRef,
    ErrorInfo,
    OperatorRef,
    PipelineRef,
    PortRef,
    ProcessStatus,
)
from pypz.executors.pipeline.restarts import LONGEST_PAUSE_S
from pypz.sniffer.model.frames import (
    DeployedView,
    Frame,
    LagView,
    MemberDetails,
    MemberView,
    Mood,
    PlannedOperator,
    PortView,
    StartView,
)
from pypz.sniffer.model.safe import safe_operator, safe_port, safe_status
from pypz.sniffer.model.telling import PORT_ORDER, STATE_ORDER, Figures, Member, Port, Process, Run, Start, further
from pypz.sniffer.model.texts import lines, name_of, sentence

LOST_AFTER_S: Final = 4.5
"""Without a sign of life for that long a member counts as lost, so that one that was killed is within 5 s of its end
(issue; a picture takes 0.2 s): members beat once a second at least."""

OLD_AFTER_S: Final = 1.65
"""Without a sign of life for that long nobody vouches for a member's figures any more: a lag of 0 must not stand there
while records have waited for 2 s (issue), a picture takes 0.2 s, and a beat may be under way for 0.1 s."""

RESTARTED_WITHIN_S: Final = LONGEST_PAUSE_S + 5
"""A member that has failed, and is not started again within that long, is taken to have failed for good, where nobody says
so: executors pause that long at most, and a process takes a moment to begin (chosen)."""

RUNS_KEPT: Final = 8
"""Runs remembered, so that late news of an old run are known as such (chosen)."""

NAMESPACE_MARK: Final = ".."
"""Ends the ``channelNamespace`` prefix of a name; no instance name yields it."""


def plain_name(name: str) -> str:
    """Give a name without the ``channelNamespace`` prefix.

    >>> plain_name("team-a..pipeline.reader"), plain_name("pipeline.reader")
    ('pipeline.reader', 'pipeline.reader')
    """
    return name.rpartition(NAMESPACE_MARK)[2]


class PipelineModel:
    """What is known of the newest run of one pipeline.

    Args:
        pipeline: Full name of the pipeline; news of others are left out.
        planned: Members as modelled, so that they stand there before they start. Members that the plan does not know
            (replicas of a pipeline deployed with more of them) are added as the run tells of them.
        clock: Seconds, growing; nothing but times to read depends on the clocks of the members.
        wall_clock: Seconds since 1970, for times to read.
    """

    def __init__(
        self,
        pipeline: str,
        planned: Iterable[PlannedOperator] = (),
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.pipeline = pipeline
        self._planned = {operator.name: operator for operator in planned}
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.RLock()
        self._runs: dict[str, Run] = {}
        self._opened: list[str] = []
        self._guessed: list[str] = []
        self._deployed: dict[str, DeployedView] = {}
        self._notice = ""
        self._is_blind = False
        self._version = 0

    # --- told by the observers ---

    def pipeline_started(self, pipeline: PipelineRef) -> None:
        """A run was opened: the newest one, unless it is already known."""
        run = name_of(pipeline.run)
        with self._lock:
            if plain_name(pipeline.name) == self.pipeline and run not in self._opened:
                self._opened.append(run)
                self._run(run)
                self._version += 1

    def pipeline_finished(self, pipeline: PipelineRef, outcome: str) -> None:
        """A run has ended; the first outcome that was told stands."""
        with self._lock:
            if plain_name(pipeline.name) == self.pipeline:
                self._note_fact_of(name_of(pipeline.run))
                run = self._run(name_of(pipeline.run))
                if not run.outcome:
                    run.outcome, run.ended_at = outcome, self._clock()
                    self._version += 1

    def operator_state_changed(
        self, operator: OperatorRef, new: str, at_utc: float = 0.0, *, is_here: bool = False
    ) -> None:
        """A member is in another state, since a moment of its own clock."""
        self._told(operator, lambda start: start.enter(name_of(new), at_utc), is_here=is_here)

    def operator_failed(self, operator: OperatorRef, during: str, error: ErrorInfo, *, is_here: bool = False) -> None:
        """A member failed; its own words are made safe to be shown."""
        safe = ErrorInfo(sentence(error.type), sentence(error.message), lines(error.traceback))
        self._told(operator, lambda start: start.take_error(name_of(during), safe), is_here=is_here)

    def operator_finished(self, operator: OperatorRef, exit_code: int, *, is_here: bool = False) -> None:
        """A member has ended."""
        self._told(operator, lambda start: start.take_exit(exit_code), is_here=is_here)

    def port_opened(self, port: PortRef, *, is_here: bool = False) -> None:
        """A port is open."""
        port = safe_port(port)
        self._told(port.operator, lambda start: start.port(port).take(port, "open"), is_here=is_here)

    def port_closed(self, port: PortRef, *, is_here: bool = False) -> None:
        """A port was closed."""
        port = safe_port(port)
        self._told(port.operator, lambda start: start.port(port).take(port, "closed"), is_here=is_here)

    def channel_status(self, status: ChannelStatus, *, is_here: bool = False) -> None:
        """Figures of a port on a channel; they alone make neither a run nor a start the newest."""
        status = safe_status(status)

        def take(start: Start) -> None:
            channels = start.port(status.port).channels
            channels.setdefault(status.channel, Figures()).take(status, self._clock())

        self._told(status.port.operator, take, is_here=is_here, is_fact=False)

    def deployment_changed(self, member: DeployedRef, state: str, reason: str) -> None:
        """A deployed member is in another state, as its place says."""
        view = DeployedView(
            name_of(state), sentence(reason), name_of(member.place), name_of(member.host), member.restarts
        )
        name = name_of(member.name)
        with self._lock:
            if plain_name(member.pipeline) == self.pipeline and self._deployed.get(name) != view:
                self._deployed[name] = view
                self._version += 1

    def process_status(self, status: ProcessStatus) -> None:
        """What a process uses; of a run that is not known yet nothing is kept."""
        with self._lock:
            run = self._runs.get(name_of(status.run))
            if run is not None and plain_name(status.pipeline) == self.pipeline:
                known = run.processes.setdefault((name_of(status.host), status.process), Process(status))
                known.take(
                    status, self._clock()
                )  # no new version: it changes all the time, and is drawn with the seconds

    # --- told by the feed ---

    def run_known(
        self,
        pipeline: str,
        run_id: str,
        groups: Mapping[str, int],
        started_utc: float,
        *,
        largest: Mapping[str, int] | None = None,
        was_open: bool = True,
        had_ended: bool = False,
        dto: str = "",
    ) -> None:
        """A run's opening entry was read: the sizes of its groups, by name of the principal, and when it began."""
        run_id = name_of(run_id)
        with self._lock:
            self.pipeline_started(PipelineRef(pipeline, run_id))
            if run_id in self._opened[:-1]:  # the one that was opened after it was taken back
                self._opened.remove(run_id)
                self._opened.append(run_id)
                self._run(run_id)
            run = self._runs.get(run_id)
            if run is not None:
                run.take_sizes(_plain(groups), _plain(largest or {}))
                run.started_utc = started_utc
                run.was_open = was_open
                run.had_ended = had_ended
                run.dto = dto
                self._version += 1

    def run_rescaled(self, run_id: str, groups: Mapping[str, int], largest: Mapping[str, int]) -> None:
        """A later generation of the roster was read: the sizes of groups now, and the largest that they have had."""
        run_id = name_of(run_id)
        with self._lock:
            if run_id in self._runs:
                self._runs[run_id].take_sizes(_plain(groups), _plain(largest))
                self._version += 1

    def member_alive(self, name: str, start: str, moment: float) -> None:
        """A member elsewhere gave a sign of life at this moment of the clock."""
        name, start = plain_name(name_of(name)), name_of(start)
        with self._lock:
            for known in self._starts():
                if known.ref.start == start and plain_name(known.ref.name) == name:
                    known.heard_at = max(known.heard_at, moment)

    def set_notice(self, notice: str, *, is_blind: bool) -> None:
        """Tell what hinders the view, empty when nothing does; while it ``is_blind``, silence means nothing."""
        notice = sentence(notice)
        with self._lock:
            if self._is_blind and not is_blind:
                now = self._clock()
                for start in self._starts():
                    start.heard_at = now
            if (notice, is_blind) != (self._notice, self._is_blind):
                self._notice, self._is_blind = notice, is_blind
                self._version += 1

    def silent_s(self) -> float:
        """Seconds since any member elsewhere gave a sign of life, of those that have not ended; 0 when there is none."""
        with self._lock:
            run = self._shown()
            members = [] if run is None or run.outcome else list(run.members.values())
            starts = [start for start in (member.current for member in members) if start is not None]
            heard = [start.heard_at for start in starts if not start.has_ended and not start.is_here]
            return self._clock() - max(heard) if heard else 0.0

    @property
    def version(self) -> int:
        """Grows with everything told; equal versions differ at most in what time alone changes."""
        return self._version

    @property
    def has_run(self) -> bool:
        """Whether a run was seen."""
        with self._lock:
            return self._shown() is not None

    # --- what is shown ---

    def frame(self) -> Frame:
        """Give the picture of this moment."""
        with self._lock:
            now = self._clock()
            run = self._shown()
            if run is None:
                views = self._member_views(None, now)
                mood = Mood.WAITING if all(view.deployed is None for view in views) else _mood_of_members(views)
                return Frame(self.pipeline, mood=mood, members=views, notice=self._notice)
            members = self._member_views(run, now)
            mood = _mood_of_run(run, members)
            end = None if mood not in ENDED else run.last_heard_at if run.ended_at is None else run.ended_at
            had_ended = end is not None and run.was_long_over(end)
            return Frame(
                pipeline=self.pipeline,
                run=run.id,
                mood=mood,
                had_ended=had_ended,
                may_go_on=end is not None and not run.outcome and self._may_go_on(mood, members, now - end),
                elapsed_s=run.length_s if had_ended else run.elapsed_s(now if end is None else end),
                members=members,
                notice=self._notice,
            )

    def _may_go_on(self, mood: Mood, members: Iterable[MemberView], ended_s: float) -> bool:
        places = {None if member.deployed is None else member.deployed.state for member in members}
        return mood is not Mood.FINISHED and not places <= _MOOD_OF_END.keys() and ended_s < RESTARTED_WITHIN_S

    def details(self, name: str) -> MemberDetails:
        """Give what is told of one member, by its full name, while a user looks at it."""
        with self._lock:
            run = self._shown()
            told = {} if run is None else {plain_name(one): member for one, member in run.members.items()}
            member = told.get(name)
            if run is None or member is None or (start := member.current) is None:
                return MemberDetails(dto="" if run is None else run.dto)
            now = self._clock()
            process = run.processes.get((start.ref.host, start.ref.process))
            return MemberDetails(
                starts=tuple(_start_view(one) for one in member.starts.values() if one.entered or one is start),
                traceback="" if start.error is None else start.error.traceback,
                load=None if process is None or start.has_ended else process.load,
                loads=() if process is None else tuple(process.history.rates(now)),
                memory_bytes=None if process is None or start.has_ended else process.latest.memory_bytes,
                threads=0 if process is None else process.latest.threads,
                rates={
                    (port, plain_name(channel)): tuple(figures.history.rates(now))
                    for port, its in start.ports.items()
                    for channel, figures in its.channels.items()
                },
                dto=run.dto,
            )

    def _member_views(self, run: Run | None, now: float) -> tuple[MemberView, ...]:
        told = {} if run is None else {plain_name(name): member for name, member in run.members.items()}
        told = {
            name: member for name, member in told.items() if run is None or not self._is_gone(run, name, member, now)
        }
        groups = {} if run is None else run.groups
        # who is not in the roster takes no part in this run: it was renamed, or removed, since the plan was made
        planned = {p.name: p for p in self._planned.values() if not groups or p.index < groups.get(p.group, 0)}
        for name, index in (*_names_of(groups), *((name, member.index) for name, member in told.items())):
            if name not in planned:
                planned[name] = self._unplanned(name, index)
        places = {group: place for place, group in enumerate(dict.fromkeys(p.group for p in planned.values()))}
        ordered = sorted(planned.values(), key=lambda p: (p.level, places[p.group], p.index, p.name))
        return tuple(self._member_view(p, told.get(p.name), now) for p in ordered)

    def _is_gone(self, run: Run, name: str, member: Member, now: float) -> bool:
        """Whether a member was told off when its group shrank; as long as it gives signs of life it is shown."""
        group = _group_of(name, member.index)
        if not run.groups.get(group, 1) <= member.index < run.largest.get(group, 0):
            return False
        start = member.current
        return start is None or start.has_ended or (not start.is_here and now - start.heard_at > LOST_AFTER_S)

    def _unplanned(self, name: str, index: int) -> PlannedOperator:
        group = _group_of(name, index)
        like = self._planned.get(group)
        if like is not None:
            return PlannedOperator(name, group, index, like.level, like.ports)
        return PlannedOperator(name, group, index, 1 + max((p.level for p in self._planned.values()), default=-1))

    def _member_view(self, planned: PlannedOperator, member: Member | None, now: float) -> MemberView:
        start = None if member is None else member.current
        deployed = self._deployed.get(planned.name)
        if member is None or start is None:
            ports = tuple(PortView(planned.name, p.name, p.direction, peers=p.peers) for p in planned.ports)
            mood = Mood.WAITING if deployed is None else _MOOD_OF_DEPLOYMENT.get(deployed.state, Mood.WAITING)
            place = (planned.name, planned.group, planned.index, planned.level)
            return MemberView(*place, mood=mood, ports=ports, deployed=deployed)
        silent_s = 0.0 if start.is_here else now - start.heard_at
        mood = self._mood_of(start, silent_s, deployed)
        return MemberView(
            name=planned.name,
            group=planned.group,
            index=planned.index,
            level=planned.level,
            mood=mood,
            state=start.state,
            exit_code=start.exit_code,
            error="" if start.error is None else f"{start.error.type}: {start.error.message}",
            during=start.during,
            host=start.ref.host,
            process=start.ref.process,
            start=start.ref.start,
            restarts=max(0, len(member.sure) - 1),
            silent_s=silent_s,
            ports=tuple(_port_views(planned, _with_figures(member, start), now, mood is Mood.LOST)),
            since_utc=start.entered.get(start.state, 0.0),
            deployed=deployed,
        )

    def _mood_of(self, start: Start, silent_s: float, deployed: DeployedView | None) -> Mood:
        mood = _mood_of_start(start, silent_s > LOST_AFTER_S and not self._is_blind)
        if deployed is not None and (mood is Mood.LOST or self._is_blind) and not start.has_ended:
            return _MOOD_OF_END.get(deployed.state, mood)
        return mood

    # --- which run, which start ---

    def _told(
        self, operator: OperatorRef, take: Callable[[Start], None], *, is_here: bool = False, is_fact: bool = True
    ) -> None:
        operator = safe_operator(operator)
        with self._lock:
            if plain_name(operator.pipeline) != self.pipeline or not plain_name(operator.name):
                return
            if is_fact:
                self._note_fact_of(operator.run)
            start = self._run(operator.run).start(operator, is_fact)
            start.is_here = start.is_here or is_here
            start.heard_at = self._clock()
            take(start)
            self._version += 1

    def _note_fact_of(self, run: str) -> None:
        """A member tells of a run before its opening was seen: believed only while none was."""
        if not self._opened and run not in self._guessed:
            self._guessed.append(run)

    def _run(self, run_id: str) -> Run:
        if run_id not in self._runs:
            self._version += 1
            self._runs[run_id] = Run(run_id, self._clock(), self._wall_clock())
            old = [key for key in self._runs if key not in (self._shown_id(), run_id)]
            for key in old[: max(0, len(self._runs) - RUNS_KEPT)]:
                del self._runs[key]
        return self._runs[run_id]

    def _shown_id(self) -> str:
        return next(reversed(self._opened or self._guessed), "")

    def _shown(self) -> Run | None:
        return self._runs.get(self._shown_id())

    def _starts(self) -> Iterable[Start]:
        members = (member for run in self._runs.values() for member in run.members.values())
        return (start for member in members for start in member.starts.values())


def _start_view(start: Start) -> StartView:
    return StartView(start.ref.start, start.ref.host, start.ref.process, tuple(start.time_line), start.exit_code)


def _with_figures(member: Member, start: Start) -> Start:
    """Give a start with figures: one that finds its work done only deletes, and those of the start that did it stand."""
    if start.ports or further(STATE_ORDER, start.state, "StateOperationShutdown") == "StateOperationShutdown":
        return start
    for one in reversed(member.starts.values()):
        if any(figures.latest for port in one.ports.values() for figures in port.channels.values()):
            return replace(start, ports=one.ports)
    return start


def _plain(sizes: Mapping[str, int]) -> dict[str, int]:
    return {plain_name(name_of(name)): size for name, size in sizes.items() if plain_name(name)}


def _group_of(name: str, index: int) -> str:
    return name.removesuffix(f"_{index - 1}") if index else name


def _names_of(groups: Mapping[str, int]) -> Iterable[tuple[str, int]]:
    """Name and index of each member of these groups."""
    return (
        (f"{group}_{index - 1}" if index else group, index) for group, size in groups.items() for index in range(size)
    )


def _mood_of_start(start: Start, is_silent: bool) -> Mood:
    if start.has_ended:
        return _MOOD_OF_EXIT.get(start.exit_code or 0, Mood.FAILED)
    if is_silent:
        return Mood.LOST
    if start.error is not None:
        return Mood.FAILED
    return _MOOD_OF_STATE.get(start.state, Mood.STARTING)


ENDED: Final = frozenset({Mood.FINISHED, Mood.FAILED, Mood.INTERRUPTED})
"""Nothing more is to be expected."""

_MOOD_OF_EXIT: Final = {0: Mood.FINISHED, 130: Mood.INTERRUPTED}

_MOOD_OF_STATE: Final = {
    "StateOperationRunning": Mood.RUNNING,
    "StateOperationShutdown": Mood.STOPPING,
    "StateResourceDeletion": Mood.STOPPING,
    "StateServiceShutdown": Mood.STOPPING,
    "StateKilled": Mood.STOPPING,
}

_MOOD_OF_END: Final = {"Completed": Mood.FINISHED, "Failed": Mood.FAILED}

_MOOD_OF_DEPLOYMENT: Final = {"Running": Mood.RUNNING, "Unhealthy": Mood.STARTING, **_MOOD_OF_END}
"""Of members of which nothing is known but what their place tells."""

_MOOD_OF_OUTCOME: Final = {"finished": Mood.FINISHED, "failed": Mood.FAILED, "interrupted": Mood.INTERRUPTED}


def _mood_of_run(run: Run, members: Iterable[MemberView]) -> Mood:
    if run.outcome:
        return _MOOD_OF_OUTCOME.get(run.outcome, Mood.FINISHED)
    return _mood_of_members(members)


def _mood_of_members(members: Iterable[MemberView]) -> Mood:
    told = {member.mood for member in members}
    if told and told <= ENDED:  # nobody says that it is over where Jobs of a cluster fail; all members do
        return next(mood for mood in (Mood.FAILED, Mood.INTERRUPTED, Mood.FINISHED) if mood in told)
    moods = told - {Mood.WAITING}
    if Mood.LOST in moods and moods <= {Mood.LOST, Mood.FINISHED, Mood.FAILED, Mood.INTERRUPTED}:
        return Mood.LOST
    if Mood.RUNNING in moods or not moods:
        return Mood.RUNNING if moods else Mood.STARTING
    return Mood.STARTING if Mood.STARTING in moods else Mood.STOPPING


LAST_STATES: Final = ("ended", "closed", "failed")
"""States of a port with which its figures are the last ones."""


def _port_views(planned: PlannedOperator, start: Start, now: float, is_lost: bool) -> Iterable[PortView]:
    """A view for each port and channel: planned ports first, in their order."""
    known = {port.name: port for port in planned.ports}
    for name in dict.fromkeys((*known, *start.ports)):
        port = start.ports.get(name)
        plan = known.get(name)
        peers = () if plan is None else plan.peers
        if port is None:
            if plan is not None:
                yield PortView(planned.name, name, plan.direction, peers=peers)
            continue
        for channel in sorted(port.channels) or [""]:
            yield _port_view(planned.name, name, port, channel, peers, now, start, is_lost)


def _lag_of(told: ChannelStatus, is_old: bool) -> LagView:
    """Lag that is old is at best a lower bound, and 0 no news at all."""
    if told.lag_records is None and told.lag_entries is None:
        return LagView()
    if is_old:
        return LagView(told.lag_records or None, None, True)
    return LagView(told.lag_records, told.lag_entries, is_in_blocks=told.records > told.blocks)


def _is_old(start: Start, port_state: str, now: float) -> bool:
    if start.has_ended:
        return bool(start.exit_code)
    if port_state == "closed":
        return False
    return not start.is_here and now - start.heard_at > OLD_AFTER_S


def _port_view(
    member: str, name: str, port: Port, channel: str, peers: tuple[str, ...], now: float, start: Start, is_lost: bool
) -> PortView:
    figures = port.channels.get(channel, Figures())
    told = figures.latest
    state = further(PORT_ORDER, port.state, figures.state)
    is_old = _is_old(start, state, now)
    is_cut_off = bool(start.exit_code) if start.has_ended else is_lost
    if len(port.channels) > 1:
        peers = tuple(peer for peer in peers if plain_name(channel).endswith(f".{peer}")) or peers
    return PortView(
        member=member,
        name=name,
        direction=port.direction,
        channel=plain_name(channel),
        peers=peers,
        state=state,
        records=figures.records,
        is_at_least=told is not None and is_cut_off and told.state not in LAST_STATES,
        told_utc=0.0 if told is None else told.at_utc,
        blocks=0 if told is None else told.blocks,
        size_bytes=0 if told is None else told.size_bytes,
        rate=None if state in ("closed", "failed") else figures.rate(now),
        held_s=figures.held_s(now),
        pace_s=figures.pace_s,
        in_hand=None if told is None else told.in_hand,
        lag=LagView() if told is None else _lag_of(told, is_old),
        waits_for="" if told is None or start.has_ended else told.waits_for,
        age_s=0.0 if told is None or start.is_here else max(0.0, now - max(figures.told_at, start.heard_at)),
        partitions=() if told is None else told.partitions,
        positions=() if told is None else told.positions,
    )
