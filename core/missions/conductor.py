"""The conductor: looks at each mission's state and does its next idempotent step through a port.

A step is recorded as an intent, acted, and recorded as an outcome. After a crash an intent without
an outcome is reconciled with the world before anything is repeated. It decides nothing: what comes
next is ``steps.next_steps``, what a step does is in the tables of ``*_steps.py``.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import takewhile
from typing import Any

import structlog
from sqlalchemy import select

from core.desk import Desk
from core.errors import CockpitError, Refused
from core.journal.envelope import Envelope, Event
from core.journal.events.run import ResultIgnored, StepAbandoned, StepStarted
from core.journal.events.session import SessionReturned
from core.journal.events.shared import HoldRaised
from core.journal.tables import MissionRow, SessionRow, table_of
from core.missions.hold_events import hold_events, once
from core.missions.machine import STAGE_OF_STEP
from core.missions.state import Hold, MissionState
from core.missions.steps import Step, next_steps
from core.planning.sessions import SessionState
from core.tasks import spawn

_log = structlog.get_logger(__name__)
ACTOR = "system"

Act = Callable[[Desk, MissionState, Step], Awaitable[Sequence[Event]]]
Point = Callable[[str, Step], None]


@dataclass(frozen=True, slots=True)
class Action:
    """What a step does.

    Attributes:
        act: does it and returns its outcome; must be repeatable after a crash.
        actor: who the outcome is recorded as.
        hold: the hold raised when it fails without a code of its own.
        recover: used instead of ``act`` when a crash left the intent open.
    """

    act: Act
    actor: str = ACTOR
    hold: str = "HOLD-EVIDENCE-INCOMPLETE"
    recover: Act | None = None


def no_point(name: str, step: Step) -> None:
    """Nothing happens between the parts of a step."""


@dataclass(slots=True)
class Conductor:
    """Drives every running mission and every open planner turn of one Desk.

    Attributes:
        actions: step name → what to do.
        converse: performs the open planner turns of a session.
        at_point: told when a step passes ``intent``, ``act``, ``outcome`` and ``end``; the tests
            that kill the process at every transition hang on it.
    """

    desk: Desk
    actions: Mapping[str, Action]
    converse: Callable[[Desk, str], Coroutine[Any, Any, None]]
    at_point: Point = no_point
    _working: dict[tuple[str, Step], asyncio.Task[None]] = field(default_factory=dict)
    _talking: dict[str, asyncio.Task[None]] = field(default_factory=dict)
    _timers: dict[str, asyncio.TimerHandle] = field(default_factory=dict)
    _frozen: set[str] = field(default_factory=set)
    _driven: set[str] = field(default_factory=set)
    _ours: set[tuple[str, str, str]] = field(default_factory=set)
    _wake: asyncio.Event = field(default_factory=asyncio.Event)
    _loop_task: asyncio.Task[None] | None = None
    _seen: int = 0
    _unsubscribe: Callable[[], None] | None = None

    async def start(self) -> None:
        """Take up what was under way, then follow the journal."""
        loop = asyncio.get_running_loop()
        self._seen = self.desk.journal.head()
        self._unsubscribe = self.desk.journal.subscribe(lambda _: self._news(loop))
        missions, sessions, ended = await asyncio.to_thread(self._active)
        for mission in missions:
            self._advance(mission)
        for session in sessions:
            self._talk(session)
        for mission in ended:
            spawn(self._ended(mission), name=f"end {mission}")
        self._loop_task = spawn(self._follow(), name="conductor")

    async def close(self) -> None:
        """Stop driving. Running process trees end with their guards; nothing is recorded."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        for timer in self._timers.values():
            timer.cancel()
        tasks = [*self._working.values(), *self._talking.values()]
        if self._loop_task is not None:
            tasks.append(self._loop_task)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _news(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(self._wake.set)

    async def settle(self, mission: str) -> None:
        """Wait until nothing of ``mission`` is being done by this process."""
        tasks = [task for (name, _), task in self._working.items() if name == mission]
        await asyncio.gather(*tasks, return_exceptions=True)

    async def rest(self) -> None:
        """Wait until nothing is being done: all work waits for somebody, is frozen or has ended."""
        while True:
            await self._catch_up()
            busy = [
                task
                for (mission, _), task in self._working.items()
                if self.desk.mission(mission).state != "paused"
            ]
            busy += self._talking.values()
            if not busy:
                return
            await asyncio.wait(busy)

    async def stop(self, mission: str) -> None:
        """End the process trees of a mission; the journal already says that it is cancelled."""
        state = self.desk.mission(mission)
        live = [step for (name, step) in self._working if name == mission]
        ends = [self.desk.ports.coder.stop(run) for run in state.runs]  # type: ignore[arg-type]
        ends += [self.desk.ports.harness.stop(step.subject or mission) for step in live]
        await asyncio.gather(*ends)
        await self.settle(mission)

    def _active(self) -> tuple[list[str], list[str], list[str]]:
        """Missions to drive, sessions to talk to, failed missions whose session has not heard."""
        missions, sessions = table_of(MissionRow), table_of(SessionRow)
        with self.desk.journal.query() as connection:
            running = connection.execute(
                select(missions.c.id).where(missions.c.state.in_(("running", "paused")))
            )
            talking = connection.execute(
                select(sessions.c.id).where(
                    sessions.c.state.in_(
                        ("brainstorming", "clarifying", "ready", "planned", "approved")
                    )
                )
            )
            failed = connection.execute(
                select(missions.c.id).where(
                    missions.c.state == "failed",
                    missions.c.session == sessions.c.id,
                    sessions.c.state == "executing",
                )
            )
            return (
                [row[0] for row in running],
                [row[0] for row in talking],
                [row[0] for row in failed],
            )

    async def _follow(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            await self._catch_up()

    async def _catch_up(self) -> None:
        while True:
            news = await asyncio.to_thread(self.desk.journal.read, after=self._seen, limit=500)
            told = list(takewhile(self._is_told, news))
            if not told:
                return
            self._seen = told[-1].seq
            for stream in dict.fromkeys(envelope.stream for envelope in told):
                kind, _, name = stream.partition(":")
                if kind == "mission":
                    self._advance(name)
                elif kind == "session":
                    self._talk(name)

    def _is_told(self, envelope: Envelope) -> bool:
        """Whether the state at hand holds this event: it is on disk a moment before it does.

        What is not told yet is read again at the wake-up that follows.
        """
        return self.desk.journal.state(envelope.stream)[0] >= envelope.version

    def _talk(self, session: str) -> None:
        state = self.desk.session(session)
        self._set_timers(session, state.holds.values())
        if state.asks and session not in self._talking:
            task = spawn(self.converse(self.desk, session), name=f"planner {session}")
            self._talking[session] = task
            task.add_done_callback(lambda _: self._talked(session))

    def _talked(self, session: str) -> None:
        self._talking.pop(session, None)
        if self._loop_task is not None and not self._loop_task.done():
            self._talk(session)

    def _advance(self, mission: str) -> None:
        state = self.desk.mission(mission)
        self._freeze(mission, state)
        self._set_timers(mission, state.holds.values())
        if state.state not in ("running", "paused"):
            if mission in self._driven:
                self._driven.discard(mission)
                spawn(self._ended(mission), name=f"end {mission}")
            return
        self._driven.add(mission)
        steps = next_steps(
            state,
            families=tuple(self.desk.ports.judges),
            reviewer=self.desk.settings.reviewer.enabled,
        )
        if state.state == "paused":
            steps = self._left_open(state)
        for step in steps:
            if (mission, step) not in self._working and self._has_room(step):
                task = spawn(self._perform(mission, step), name=f"{step.name} {mission}")
                self._working[mission, step] = task
                task.add_done_callback(partial(self._done, (mission, step)))

    async def _ended(self, mission: str) -> None:
        """Nothing of an ended mission runs on; a failed one gives its session back (§3)."""
        await self.stop(mission)
        state = self.desk.mission(mission)

        def follow(session: SessionState) -> list[Event]:
            failed = self.desk.mission(mission).state == "failed"
            if not (failed and session.state == "executing" and session.mission == mission):
                return []
            return [SessionReturned(to="approved", reason="the mission failed")]

        await self.desk.decide(f"session:{state.session}", follow, actor=ACTOR)

    def _left_open(self, state: MissionState) -> tuple[Step, ...]:
        """Steps of a paused mission that a crash left open and that can only be told lost."""
        return tuple(
            Step(name, subject, task)
            for (name, subject), task in state.open_steps.items()
            if self.actions[name].recover is not None
            and (state.id, name, subject) not in self._ours
        )

    def _done(self, key: tuple[str, Step], _task: object) -> None:
        self._working.pop(key, None)
        self._wake_for(key[0])

    def _wake_for(self, mission: str) -> None:
        if self._loop_task is not None and not self._loop_task.done():
            self._advance(mission)

    def _has_room(self, step: Step) -> bool:
        """A run keeps its place from ``assign`` until its task leaves ``running``."""
        if step.name != "assign":
            return True
        running = sum(
            task.state == "running"
            for mission in self._driven
            for task in self.desk.mission(mission).tasks.values()
        )
        starting = sum(step.name == "assign" for _, step in self._working)
        return running + starting < self.desk.settings.system.max_parallel_runs

    def _freeze(self, mission: str, state: MissionState) -> None:
        frozen = mission in self._frozen
        if state.state == "paused" and not frozen:
            self._frozen.add(mission)
            self._tell_coders(state, self.desk.ports.coder.pause, "pause")
        elif state.state != "paused" and frozen:
            self._frozen.discard(mission)
            self._tell_coders(state, self.desk.ports.coder.resume, "resume")

    def _tell_coders(
        self, state: MissionState, tell: Callable[[Any], Awaitable[None]], word: str
    ) -> None:
        for name, subject in state.open_steps:
            if name == "code":

                async def one(run: str = subject) -> None:
                    await tell(run)

                spawn(one(), name=f"{word} {subject}")

    def _set_timers(self, mission: str, holds: Iterable[Hold]) -> None:
        for hold in holds:
            if hold.resumes_at is None or hold.id in self._timers:
                continue
            wait = (hold.resumes_at - self.desk.context.now()).total_seconds()
            self._timers[hold.id] = asyncio.get_running_loop().call_later(
                max(0.0, wait), self._resume, mission, hold.id
            )

    def _resume(self, mission: str, hold: str) -> None:
        self._timers.pop(hold, None)
        request = {"hold": hold, "action": "resume"}
        spawn(self._try_resume(mission, request), name=f"resume {hold}")

    async def _try_resume(self, mission: str, request: dict[str, Any]) -> None:
        try:
            await self.desk.call("hold.recover", request, actor=ACTOR)
        except Refused as refusal:
            _log.info("hold_not_resumed", mission=mission, code=refusal.code)

    async def _perform(self, mission: str, step: Step) -> None:
        state = self.desk.mission(mission)
        action = self.actions[step.name]
        known = step.name in STAGE_OF_STEP
        interrupted = (step.name, step.subject) in state.open_steps
        if known and not interrupted:
            self.at_point("intent", step)
            if not await self._intend(mission, step):
                return
            state = self.desk.mission(mission)
        self._ours.add((mission, step.name, step.subject))
        try:
            await self._act(mission, state, step, _way(action, interrupted=interrupted))
        finally:
            self._ours.discard((mission, step.name, step.subject))

    async def _intend(self, mission: str, step: Step) -> bool:
        """Record the intent; False when the mission was stopped or paused in between."""
        intent = StepStarted(step=step.name, subject=step.subject, task=step.task)
        try:
            await self._record(mission, [intent], ACTOR)
        except Refused as refusal:
            if self.desk.mission(mission).state == "running":
                raise
            _log.info("step_not_begun", mission=mission, step=step.name, code=refusal.code)
            return False
        return True

    async def _act(self, mission: str, state: MissionState, step: Step, act: Act) -> None:
        action = self.actions[step.name]
        try:
            self.at_point("act", step)
            outcome = await act(self.desk, state, step)
        except CockpitError as error:
            outcome = self._held(step, error.code, {"error": error.sentence, **error.data}, action)
        except Exception as error:  # noqa: BLE001 - named place: a bug in one step must not end the day
            _log.error("step_failed", mission=mission, step=step.name, exc_info=error)
            outcome = self._held(
                step, action.hold, {"error": f"{type(error).__name__}: {error}"}, action
            )
        self.at_point("outcome", step)
        if outcome:
            await self._record_outcome(mission, step, outcome, action)
        self.at_point("end", step)

    def _held(
        self, step: Step, code: str, facts: dict[str, Any], action: Action
    ) -> Sequence[Event]:
        code = code if code.startswith("HOLD-") else action.hold
        return hold_events(self.desk, step, code, {**facts, "step": step.name})

    async def _record(self, mission: str, events: Sequence[Event], actor: str) -> None:
        await self.desk.write(f"mission:{mission}", events, actor=actor)

    async def _record_outcome(
        self, mission: str, step: Step, outcome: Sequence[Event], action: Action
    ) -> None:
        try:
            if any(isinstance(event, HoldRaised) for event in outcome):
                stream = f"mission:{mission}"
                await self.desk.decide(stream, partial(once, outcome), actor=action.actor)
            else:
                await self._record(mission, outcome, action.actor)
        except Refused as refusal:
            _log.info("late_result", mission=mission, step=step.name, code=refusal.code)
            kept = [event for event in outcome if event.kind == "usage.recorded"]
            late = ResultIgnored(step=step.name, subject=step.subject)
            rest = self._refused(self.desk.mission(mission), step, refusal, action)
            await self._record(mission, [*kept, late, *rest], action.actor)

    def _refused(
        self, state: MissionState, step: Step, refusal: Refused, action: Action
    ) -> Sequence[Event]:
        """A mission that goes on drops a stale result; any other refusal holds it."""
        if state.state not in ("running", "paused"):
            return []
        if refusal.code == "EVIDENCE_STALE":
            return [StepAbandoned(step=step.name, subject=step.subject, reason=refusal.code)]
        return self._held(replace(step, task=""), "", {"error": refusal.sentence}, action)


def _way(action: Action, *, interrupted: bool) -> Act:
    if interrupted and action.recover is not None:
        return action.recover
    return action.act
