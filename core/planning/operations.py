"""Operations on sessions: talk, clarify, confirm criteria, generate a plan."""

from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select

from core.desk import Desk
from core.errors import Invalid, NotFound, Refused
from core.journal.envelope import Event
from core.journal.events.mission import MissionReturned
from core.journal.events.session import (
    ClarificationAnswered,
    ClarificationSkipped,
    CriterionAdded,
    CriterionConfirmed,
    CriterionEdited,
    CriterionRemoved,
    MessageAdded,
    PlannerAsked,
    SessionArchived,
    SessionRenamed,
    SessionReturned,
    SessionStarted,
)
from core.journal.tables import SessionRow, table_of
from core.operations import Params, operation
from core.planning.clarification import require_clear
from core.planning.clarity import assess_session
from core.planning.conversation import rescore
from core.planning.criteria import Criterion, add, extract_criteria, next_id
from core.planning.questions import Question as Card
from core.planning.questions import validate_answer
from core.planning.session_views import (
    ClarityView,
    DocumentView,
    SessionRowView,
    SessionsView,
    SessionView,
    view_of,
)
from core.planning.sessions import SessionState

_TITLE_CHARS = 120
SessionRef = Annotated[str, Field(description="Session id, such as s-4T9K2QX0ZB")]
Words = Annotated[str, Field(min_length=1, max_length=100_000)]


class StartSession(Params):
    """Begin a brainstorm."""

    repo: Annotated[str, Field(description="Name of a registered repository")]
    text: Annotated[str, Field(min_length=8, max_length=100_000, description="What you want")]
    title: Annotated[str, Field(max_length=_TITLE_CHARS, description="Default: the first line")] = (
        ""
    )
    criteria: Annotated[
        tuple[str, ...], Field(max_length=50, description="An acceptance criterion, repeatable")
    ] = ()
    rehearsal: Annotated[str, Field(description="Name of a rehearsal script; empty for real")] = ""
    converse: Annotated[bool, Field(description="Let the planner answer at once")] = True


class SessionParams(Params):
    """One session."""

    session: SessionRef


class Say(Params):
    """One more message."""

    session: SessionRef
    text: Words


class AnswerQuestion(Params):
    """One answer: a choice by id or number, or free text, or both (a filled template)."""

    session: SessionRef
    question: Annotated[str, Field(description="Question id, such as target")]
    choice: Annotated[str | None, Field(description="Id or number of a choice")] = None
    text: Annotated[str | None, Field(max_length=4_000, description="Your own words")] = None


class SkipQuestion(Params):
    """Pass over a question of the planner's own."""

    session: SessionRef
    question: str


class CriterionParams(Params):
    """One criterion of a session."""

    session: SessionRef
    criterion: Annotated[str, Field(description="Criterion id, such as C1")]


class AddCriterion(Params):
    """A new criterion in the operator's words."""

    session: SessionRef
    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class EditCriterion(Params):
    """A criterion, rewritten."""

    session: SessionRef
    criterion: str
    text: Annotated[str, Field(min_length=1, max_length=2_000)]


class RenameSession(Params):
    """Another title; the gate goes on reading the first one."""

    session: SessionRef
    title: Annotated[str, Field(min_length=1, max_length=_TITLE_CHARS)]


class ArchiveSession(Params):
    """Put a session away, or take it out again."""

    session: SessionRef
    archived: bool = True


class ListSessions(Params):
    """Which sessions."""

    repo: Annotated[str, Field(description="Only of this repository")] = ""
    archived: Annotated[bool, Field(description="Archived ones too")] = False
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class ShowDocument(Params):
    """One document of the newest plan version."""

    session: SessionRef
    document: Annotated[str, Field(description="prd.md, adr.md, roadmap.md or clarified-spec.md")]


@operation("session.start", "write")
async def start_session(desk: Desk, params: StartSession) -> SessionView:
    """Start a brainstorm in a repository."""
    repo = desk.repo(params.repo)
    session = desk.context.short_id("s")
    first_line = params.text.strip().partition("\n")[0].strip()
    stated: tuple[Criterion, ...] = ()
    rule = desk.policy.clarification.criterion
    for text in (*params.criteria, *extract_criteria(params.text, rule)):
        stated = add(stated, text, "stated")
    events: list[Event] = [
        SessionStarted(
            session=session,
            repo=repo.id,
            title=(params.title or first_line)[:_TITLE_CHARS],
            description=params.text,
            rehearsal=params.rehearsal,
        ),
        MessageAdded(message=desk.context.short_id("msg"), author="operator", text=params.text),
        *(CriterionAdded(criterion=c.id, text=c.text, source="stated") for c in stated),
    ]
    if params.converse:
        events.append(_ask(desk, "converse"))
    await desk.write(f"session:{session}", events, actor="operator", expected=0)
    if not params.converse:
        await rescore(desk, session)
    return view_of(desk.session(session))


def _ask(desk: Desk, step: Any) -> PlannerAsked:
    return PlannerAsked(call=desk.context.short_id("r"), step=step, attempt=1)


@operation("session.say", "write")
async def say(desk: Desk, params: Say) -> SessionView:
    """Send the planner one more message."""
    state = desk.session(params.session)
    rule = desk.policy.clarification.criterion
    criteria = state.criteria
    for text in extract_criteria(params.text, rule):
        criteria = add(criteria, text, "stated", after=state.criteria_given)
    events: list[Event] = [
        MessageAdded(message=desk.context.short_id("msg"), author="operator", text=params.text),
        *(
            CriterionAdded(criterion=c.id, text=c.text, source="stated")
            for c in criteria
            if c not in state.criteria
        ),
        _ask(desk, "converse"),
    ]
    await desk.write(f"session:{state.id}", events, actor="operator")
    return view_of(desk.session(state.id))


@operation("clarification.answer", "write")
async def answer_question(desk: Desk, params: AnswerQuestion) -> SessionView:
    """Answer a clarification; an answer can be edited until approval."""
    state = desk.session(params.session)
    if params.question not in state.questions:
        await rescore(desk, state.id)  # the gate may be about to ask it
        state = desk.session(params.session)
    card = _card(state, params.question)
    answer = validate_answer(
        card,
        params.choice,
        params.text,
        rule=desk.policy.clarification.criterion,
        language=desk.settings.system.language,
    )
    events: list[Event] = [
        ClarificationAnswered(
            question=params.question,
            field=answer.field or "",
            text=answer.text,
            choice=answer.choice,
        )
    ]
    if answer.field == "acceptance-criteria":
        events += _answered_criterion(state, card, answer.choice, answer.text)
    await _write_and_reopen(desk, state, events)
    return view_of(desk.session(state.id))


def _card(state: SessionState, question: str) -> Card:
    found = state.questions.get(question)
    if found is None:
        raise NotFound("question", question)
    asked = dict(found.asked)
    if not found.field:
        asked["choices"] = [
            {"id": str(place), **_local(choice)}
            for place, choice in enumerate(asked["choices"], start=1)
        ]
        asked["field"] = None
    return Card.model_validate(asked)


def _local(choice: dict[str, Any]) -> dict[str, Any]:
    """A planner's choice in the form of the gate's own."""
    title, more = str(choice["title"]), str(choice.get("consequence", ""))
    return {
        "title": {"en": title, "zh": title},
        "consequence": {"en": more, "zh": more} if more else None,
        "recommended": bool(choice.get("recommended", False)),
    }


def _answered_criterion(
    state: SessionState, card: Card, choice: str | None, text: str
) -> list[Event]:
    offered = next((c for c in card.choices if c.id == choice and c.criterion_id), None)
    if offered and offered.criterion_id and offered.title.en == text:
        return [CriterionConfirmed(criterion=offered.criterion_id)]
    grown = add(state.criteria, text, "answered", after=state.criteria_given)
    return [
        CriterionAdded(criterion=c.id, text=c.text, source="answered")
        for c in grown
        if c not in state.criteria
    ]


async def _write_and_reopen(desk: Desk, state: SessionState, events: list[Event]) -> None:
    """Record an edit; after a plan exists it reopens what was approved (domain.md §3, §5)."""
    appends: dict[str, list[Event]] = {f"session:{state.id}": events}
    if state.mission and state.state in ("planned", "approved"):
        mission = desk.mission(state.mission)
        if mission.state in ("pending_approval", "approved"):
            returned = MissionReturned(reason="an answer or a criterion was edited")
            appends[f"mission:{mission.id}"] = [returned]
        if state.state == "approved":
            events.append(SessionReturned(to="planned", reason="an answer was edited"))
    await desk.write_all(appends, actor="operator")
    await rescore(desk, state.id)


@operation("clarification.skip", "write")
async def skip_question(desk: Desk, params: SkipQuestion) -> SessionView:
    """Skip a question of the planner's own; the gate's questions can't be skipped."""
    state = desk.session(params.session)
    found = state.questions.get(params.question)
    if found is None:
        raise NotFound("question", params.question)
    if found.required:
        raise Refused(
            "QUESTION_REQUIRED",
            "The gate asks this question; it can't be skipped.",
            recovery="Answer it by a choice or in your own words.",
            data={"question": found.id},
        )
    await desk.write(
        f"session:{state.id}", [ClarificationSkipped(question=found.id)], actor="operator"
    )
    return view_of(desk.session(state.id))


@operation("criterion.add", "write")
async def add_criterion(desk: Desk, params: AddCriterion) -> SessionView:
    """State one more acceptance criterion."""
    state = desk.session(params.session)
    name = next_id(state.criteria, after=state.criteria_given)
    event = CriterionAdded(criterion=name, text=params.text, source="stated")
    await _write_and_reopen(desk, state, [event])
    return view_of(desk.session(state.id))


@operation("criterion.confirm", "approve")
async def confirm_criterion(desk: Desk, params: CriterionParams) -> SessionView:
    """Make a proposed criterion the mission's own."""
    state = desk.session(params.session)
    event = CriterionConfirmed(criterion=params.criterion)
    await desk.write(f"session:{state.id}", [event], actor="operator")
    await rescore(desk, state.id)
    return view_of(desk.session(state.id))


@operation("criterion.edit", "write")
async def edit_criterion(desk: Desk, params: EditCriterion) -> SessionView:
    """Rewrite a criterion; it counts as confirmed from now on."""
    state = desk.session(params.session)
    event = CriterionEdited(criterion=params.criterion, text=params.text)
    await _write_and_reopen(desk, state, [event])
    return view_of(desk.session(state.id))


@operation("criterion.remove", "write")
async def remove_criterion(desk: Desk, params: CriterionParams) -> SessionView:
    """Drop a criterion."""
    state = desk.session(params.session)
    found = next((c for c in state.criteria if c.id == params.criterion), None)
    event = CriterionRemoved(criterion=params.criterion)
    if found is not None and not found.confirmed:
        await desk.write(f"session:{state.id}", [event], actor="operator")
        await rescore(desk, state.id)
    else:
        await _write_and_reopen(desk, state, [event])
    return view_of(desk.session(state.id))


@operation("session.generate", "write")
async def generate(desk: Desk, params: SessionParams) -> SessionView:
    """Generate PRD, ADR, Roadmap and the task graph; refused while the gate triggers."""
    state = desk.session(params.session)
    await require_clear_session(desk, state)
    await desk.write(f"session:{state.id}", [_ask(desk, "plan")], actor="operator")
    return view_of(desk.session(state.id))


async def require_clear_session(desk: Desk, state: SessionState) -> None:
    """Refuse while the gate triggers (domain.md §4).

    Raises:
        Refused: ``CLARIFY_GATE_BLOCKED`` with score, reasons and the open questions.
    """
    assessment = await assess_session(desk, state)
    if assessment.triggered or state.state in ("brainstorming", "clarifying"):
        await rescore(desk, state.id)
    require_clear(assessment)


@operation("session.clarity", "read")
async def show_clarity(desk: Desk, params: SessionParams) -> ClarityView:
    """How ambiguous the request is, signal by signal."""
    state = desk.session(params.session)
    return ClarityView(session=state.id, assessment=await assess_session(desk, state))


@operation("session.stop", "write")
async def stop_planner(desk: Desk, params: SessionParams) -> SessionView:
    """Stop the planner's turn."""
    state = desk.session(params.session)
    for call in state.asks:
        await desk.ports.planner.stop(call)
    return view_of(state)


@operation("session.rename", "write")
async def rename_session(desk: Desk, params: RenameSession) -> SessionView:
    """Give a session another title."""
    state = desk.session(params.session)
    await desk.write(f"session:{state.id}", [SessionRenamed(title=params.title)], actor="operator")
    return view_of(desk.session(state.id))


@operation("session.archive", "write")
async def archive_session(desk: Desk, params: ArchiveSession) -> SessionView:
    """Put a session away, or take it out again."""
    state = desk.session(params.session)
    await desk.write(
        f"session:{state.id}", [SessionArchived(archived=params.archived)], actor="operator"
    )
    return view_of(desk.session(state.id))


@operation("session.show", "read")
async def show_session(desk: Desk, params: SessionParams) -> SessionView:
    """One session: conversation, questions, criteria, clarity."""
    return view_of(desk.session(params.session))


@operation("session.list", "read")
async def list_sessions(desk: Desk, params: ListSessions) -> SessionsView:
    """Sessions, last changed first."""
    table = table_of(SessionRow)
    query = select(table).order_by(table.c.changed_at.desc()).limit(params.limit)
    if params.repo:
        query = query.where(table.c.repo == params.repo)
    if not params.archived:
        query = query.where(table.c.archived.is_(False))
    with desk.journal.query() as connection:
        rows = connection.execute(query).mappings().all()
    return SessionsView(
        sessions=tuple(
            SessionRowView(
                **{k: row[k] for k in ("id", "repo", "title", "state", "mission", "rehearsal")},
                changed_at=row["changed_at"].isoformat(),
            )
            for row in rows
        )
    )


@operation("artifact.show", "read")
async def show_document(desk: Desk, params: ShowDocument) -> DocumentView:
    """A document of the newest plan version, as Markdown."""
    state = desk.session(params.session)
    known = {**state.documents, **({"clarified-spec.md": state.spec} if state.spec else {})}
    if params.document not in known:
        raise Invalid(
            "document",
            f"There is no document {params.document!r} yet.",
            recovery=f"There are: {', '.join(known) or 'none; generate a plan first'}.",
        )
    text = desk.blobs.read(known[params.document]).decode()
    return DocumentView(
        session=state.id, document=params.document, version=state.version, text=text
    )
