"""The session aggregate: one conversation, its clarifications, criteria and plan versions.

``check`` refuses at the append what domain.md §3 forbids; ``evolve`` never fails on a recorded
event. Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from core.errors import Refused
from core.journal.envelope import Envelope, Event
from core.journal.events import session, shared
from core.journal.events.session import Author, PlannerStep
from core.missions.machine import NEW, Moves, move
from core.missions.state import Hold
from core.planning.criteria import Criterion

SESSION_MOVES: Moves = {
    (NEW, "session.started"): "brainstorming",
    ("brainstorming", "session.clarifying"): "clarifying",
    ("brainstorming", "session.ready"): "ready",
    ("clarifying", "session.clarifying"): "clarifying",
    ("clarifying", "session.ready"): "ready",
    ("ready", "session.ready"): "ready",
    ("ready", "session.clarifying"): "clarifying",
    ("ready", "session.planned"): "planned",
    ("planned", "session.clarifying"): "clarifying",
    ("planned", "session.planned"): "planned",
    ("planned", "session.approved"): "approved",
    ("approved", "session.clarifying"): "clarifying",
    ("approved", "session.planned"): "planned",
    ("approved", "session.returned"): "planned",
    ("approved", "session.executing"): "executing",
    ("executing", "session.returned"): "approved",
    ("executing", "session.delivered"): "delivered",
    ("executing", "session.closed"): "closed",
}
_MOVING = frozenset(kind for _, kind in SESSION_MOVES)
_TALKING = frozenset({"brainstorming", "clarifying", "ready", "planned", "approved"})


@dataclass(frozen=True, slots=True)
class Question:
    """A clarification that was asked. ``asked`` holds text, choices and who asks."""

    id: str
    field: str
    required: bool
    asked: Mapping[str, Any]
    answer: str = ""
    choice: str | None = None
    skipped: bool = False

    @property
    def open(self) -> bool:
        """Neither answered nor skipped."""
        return not self.answer and not self.skipped


@dataclass(frozen=True, slots=True)
class Ask:
    """A turn that the planner has been given and has not answered yet."""

    call: str
    step: PlannerStep
    attempt: int
    problems: tuple[Mapping[str, str], ...] = ()
    refused: str = ""


@dataclass(frozen=True, slots=True)
class SessionState:
    """A session at one moment.

    Attributes:
        asks: open planner turns by call id.
        criteria_given: how many criterion ids were ever given, so that none returns.
        version: the newest plan version; 0 before the first.
        documents: name (prd, adr, roadmap) → blob digest, of the newest version.
    """

    id: str
    repo: str = ""
    title: str = ""
    first_title: str = ""
    description: str = ""
    rehearsal: str = ""
    state: str = NEW
    archived: bool = False
    messages: tuple[tuple[Author, str], ...] = ()
    criteria: tuple[Criterion, ...] = ()
    criteria_given: int = 0
    questions: Mapping[str, Question] = field(default_factory=dict)
    rounds: int = 0
    asks: Mapping[str, Ask] = field(default_factory=dict)
    calls: int = 0
    score: int | None = None
    reasons: tuple[str, ...] = ()
    spec: str = ""
    mission: str = ""
    version: int = 0
    plan: Mapping[str, Any] = field(default_factory=dict)
    plan_digest: str = ""
    documents: Mapping[str, str] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    started_at: datetime | None = None

    def answers(self) -> dict[str, str]:
        """Answer texts by the field that they clear (domain.md §4)."""
        return {q.field: q.answer for q in self.questions.values() if q.answer and q.field}

    def hold_of(self, subject: str = "") -> Hold | None:
        """The active hold of that subject."""
        return next((h for h in self.holds.values() if h.subject == subject), None)


class SessionAggregate:
    """Guards and folds a ``session:…`` stream."""

    def initial(self, stream: str) -> SessionState:
        """The state of an empty stream."""
        return SessionState(id=stream.partition(":")[2])

    def check(self, state: SessionState, event: Event) -> None:
        """Refuse what the tables forbid.

        Raises:
            Refused: ``ILLEGAL_MOVE`` or ``UNKNOWN_SUBJECT``.
        """
        if event.kind not in _KINDS:
            raise Refused("ILLEGAL_MOVE", f"{event.kind} is no event of a session.")
        if event.kind in _MOVING:
            move(SESSION_MOVES, state.state, event.kind, what="The session")
        elif state.state == NEW:
            raise Refused("UNKNOWN_SUBJECT", f"There is no session {state.id!r}.")
        elif event.kind in _CHECKS:
            _CHECKS[event.kind](state, event)

    def evolve(self, state: SessionState, envelope: Envelope) -> SessionState:
        """The state after one recorded event."""
        if envelope.kind in _MOVING:
            moved = SESSION_MOVES.get((state.state, envelope.kind), state.state)
            state = replace(state, state=moved)
        apply = _APPLY.get(envelope.kind)
        return state if apply is None else apply(state, envelope.event, envelope)


def _check_talking(state: SessionState, event: Event) -> None:
    if state.state not in _TALKING:
        raise Refused(
            "SESSION_NOT_OPEN",
            f"The session is {state.state}.",
            recovery="Start a new brainstorm.",
            data={"state": state.state},
        )


def _check_question(state: SessionState, event: Any) -> None:
    _check_talking(state, event)
    if event.question not in state.questions:
        raise Refused("UNKNOWN_SUBJECT", f"There is no question {event.question!r}.")


def _check_new_criterion(state: SessionState, event: session.CriterionAdded) -> None:
    _check_talking(state, event)
    number = event.criterion.removeprefix("C")
    if not (event.criterion.startswith("C") and number.isascii() and number.isdecimal()):
        raise Refused("ILLEGAL_MOVE", f"{event.criterion!r} is no id of a criterion.")


def _check_questions(state: SessionState, event: session.ClarificationAsked) -> None:
    _check_talking(state, event)
    if not all({"id", "field", "required"} <= question.keys() for question in event.questions):
        raise Refused("ILLEGAL_MOVE", "A question has an id, a field and whether it is required.")


def _check_criterion(state: SessionState, event: Any) -> None:
    _check_talking(state, event)
    if all(each.id != event.criterion for each in state.criteria):
        raise Refused("UNKNOWN_SUBJECT", f"There is no criterion {event.criterion!r}.")


def _check_ask(state: SessionState, event: session.PlannerAsked) -> None:
    _check_talking(state, event)
    if state.asks:
        raise Refused(
            "PLANNER_BUSY",
            "The planner is working on the turn before.",
            recovery="Wait for its answer, or stop it.",
        )


def _check_answered(state: SessionState, event: session.PlannerAnswered) -> None:
    if event.call not in state.asks:
        raise Refused("UNKNOWN_SUBJECT", f"The planner was not asked {event.call!r}.")


def _check_hold_end(state: SessionState, event: shared.HoldResolved) -> None:
    if event.hold not in state.holds:
        raise Refused("HOLD_NOT_ACTIVE", f"Hold {event.hold!r} is not active.")


_CHECKS: Mapping[str, Callable[[SessionState, Any], None]] = {
    "message.added": _check_talking,
    "criterion.added": _check_new_criterion,
    "criterion.confirmed": _check_criterion,
    "criterion.edited": _check_criterion,
    "criterion.removed": _check_criterion,
    "clarification.asked": _check_questions,
    "clarification.answered": _check_question,
    "clarification.skipped": _check_question,
    "planner.asked": _check_ask,
    "planner.answered": _check_answered,
    "hold.resolved": _check_hold_end,
}


def _started(state: SessionState, e: session.SessionStarted, envelope: Envelope) -> SessionState:
    return replace(
        state,
        started_at=envelope.at,
        repo=e.repo,
        title=e.title,
        first_title=e.title,
        description=e.description,
        rehearsal=e.rehearsal,
    )


def _renamed(state: SessionState, e: session.SessionRenamed, _: Envelope) -> SessionState:
    return replace(state, title=e.title)


def _message(state: SessionState, e: session.MessageAdded, _: Envelope) -> SessionState:
    return replace(state, messages=(*state.messages, (e.author, e.text)))


def _asked(state: SessionState, e: session.PlannerAsked, _: Envelope) -> SessionState:
    ask = Ask(e.call, e.step, e.attempt, e.problems, e.refused)
    return replace(state, asks={**state.asks, e.call: ask}, calls=state.calls + 1)


def _answered(state: SessionState, e: session.PlannerAnswered, _: Envelope) -> SessionState:
    return replace(state, asks={k: v for k, v in state.asks.items() if k != e.call})


def _criterion_added(
    state: SessionState, e: session.CriterionAdded, envelope: Envelope
) -> SessionState:
    new = Criterion(id=e.criterion, text=e.text, source=e.source)
    if e.source != "proposed":
        new = new.confirm(envelope.actor, envelope.at)
    kept = tuple(each for each in state.criteria if each.id != new.id)
    given = max(state.criteria_given, int(e.criterion[1:]))
    return replace(state, criteria=(*kept, new), criteria_given=given)


def _changed(
    state: SessionState, criterion: str, change: Callable[[Criterion], Criterion]
) -> SessionState:
    changed = tuple(change(c) if c.id == criterion else c for c in state.criteria)
    return replace(state, criteria=changed)


def _criterion_confirmed(
    state: SessionState, e: session.CriterionConfirmed, envelope: Envelope
) -> SessionState:
    return _changed(state, e.criterion, lambda c: c.confirm(envelope.actor, envelope.at))


def _criterion_edited(
    state: SessionState, e: session.CriterionEdited, envelope: Envelope
) -> SessionState:
    return _changed(
        state,
        e.criterion,
        lambda c: c.model_copy(update={"text": e.text}).confirm(envelope.actor, envelope.at),
    )


def _criterion_removed(
    state: SessionState, e: session.CriterionRemoved, _: Envelope
) -> SessionState:
    left = tuple(c for c in state.criteria if c.id != e.criterion)
    return replace(state, criteria=left)


def _questions(state: SessionState, e: session.ClarificationAsked, _: Envelope) -> SessionState:
    asked = {
        q["id"]: Question(q["id"], q["field"] or "", bool(q["required"]), q) for q in e.questions
    }
    return replace(state, questions={**state.questions, **asked}, rounds=e.round)


def _answer(state: SessionState, e: session.ClarificationAnswered, _: Envelope) -> SessionState:
    found = replace(state.questions[e.question], answer=e.text, choice=e.choice, skipped=False)
    return replace(state, questions={**state.questions, e.question: found})


def _skipped(state: SessionState, e: session.ClarificationSkipped, _: Envelope) -> SessionState:
    found = replace(state.questions[e.question], skipped=True)
    return replace(state, questions={**state.questions, e.question: found})


def _clarifying(state: SessionState, e: session.ClarityLost, _: Envelope) -> SessionState:
    return replace(state, score=e.score, reasons=e.reasons)


def _ready(state: SessionState, e: session.ClarityReached, _: Envelope) -> SessionState:
    return replace(state, score=e.score, reasons=(), spec=e.spec)


def _planned(state: SessionState, e: session.PlanDrafted, _: Envelope) -> SessionState:
    return replace(
        state,
        mission=e.mission,
        version=e.version,
        plan=e.plan,
        plan_digest=e.digest,
        documents=e.documents,
    )


def _archived(state: SessionState, e: session.SessionArchived, _: Envelope) -> SessionState:
    return replace(state, archived=e.archived)


def _hold_raised(state: SessionState, e: shared.HoldRaised, envelope: Envelope) -> SessionState:
    hold = Hold(e.hold, e.code, e.subject, envelope.at, e.facts, e.resumes_at)
    return replace(state, holds={**state.holds, e.hold: hold})


def _hold_resolved(state: SessionState, e: shared.HoldResolved, _: Envelope) -> SessionState:
    return replace(state, holds={k: v for k, v in state.holds.items() if k != e.hold})


_APPLY: Mapping[str, Callable[[SessionState, Any, Envelope], SessionState]] = {
    "session.started": _started,
    "session.renamed": _renamed,
    "message.added": _message,
    "planner.asked": _asked,
    "planner.answered": _answered,
    "criterion.added": _criterion_added,
    "criterion.confirmed": _criterion_confirmed,
    "criterion.edited": _criterion_edited,
    "criterion.removed": _criterion_removed,
    "clarification.asked": _questions,
    "clarification.answered": _answer,
    "clarification.skipped": _skipped,
    "session.clarifying": _clarifying,
    "session.ready": _ready,
    "session.planned": _planned,
    "session.archived": _archived,
    "hold.raised": _hold_raised,
    "hold.resolved": _hold_resolved,
}
_KINDS = _MOVING | frozenset(_APPLY) | {"usage.recorded"}
