"""What a surface sees of a session."""

from typing import Any

from core.operations import View
from core.planning.clarification import Assessment
from core.planning.criteria import Criterion
from core.planning.sessions import SessionState


class QuestionView(View):
    """A clarification with its answer, if there is one."""

    id: str
    field: str
    required: bool
    asked: dict[str, Any]
    answer: str
    skipped: bool


class SessionView(View):
    """A session with everything that its screen shows."""

    id: str
    repo: str
    title: str
    state: str
    rehearsal: str
    mission: str
    version: int
    planner_busy: bool
    score: int | None
    reasons: tuple[str, ...]
    criteria: tuple[Criterion, ...]
    questions: tuple[QuestionView, ...]
    messages: tuple[tuple[str, str], ...]
    documents: dict[str, str]
    holds: tuple[dict[str, Any], ...]


class SessionRowView(View):
    """A row of the list."""

    id: str
    repo: str
    title: str
    state: str
    mission: str
    rehearsal: str
    changed_at: str


class SessionsView(View):
    """Sessions, last changed first."""

    sessions: tuple[SessionRowView, ...]


class ClarityView(View):
    """The gate's answer to a session."""

    session: str
    assessment: Assessment


class DocumentView(View):
    """A document as Markdown."""

    session: str
    document: str
    version: int
    text: str


def view_of(state: SessionState) -> SessionView:
    """What a surface sees of a session."""
    return SessionView(
        id=state.id,
        repo=state.repo,
        title=state.title,
        state=state.state,
        rehearsal=state.rehearsal,
        mission=state.mission,
        version=state.version,
        planner_busy=bool(state.asks),
        score=state.score,
        reasons=state.reasons,
        criteria=state.criteria,
        questions=tuple(
            QuestionView(
                id=q.id,
                field=q.field,
                required=q.required,
                asked=dict(q.asked),
                answer=q.answer,
                skipped=q.skipped,
            )
            for q in state.questions.values()
        ),
        messages=state.messages,
        documents=dict(state.documents),
        holds=tuple(
            {"id": h.id, "code": h.code, "since": h.since.isoformat(), "facts": dict(h.facts)}
            for h in state.holds.values()
        ),
    )
