"""The gate applied to a session: what it sees, and which events its answer makes.

The rules are in ``clarification.py``; this only gathers the facts and names the outcome.
"""

from collections.abc import Sequence
from pathlib import Path

from core.desk import Desk
from core.journal.envelope import Event
from core.journal.events.session import ClarificationAsked, ClarityLost, ClarityReached
from core.missions.workshop import RepoRef
from core.planning.artifacts import Clarified, clarified_spec
from core.planning.clarification import Assessment, GateInput, assess
from core.planning.questions import GATE_FIELDS
from core.planning.sessions import SessionState
from core.planning.wording import RepoSurface


async def assess_session(desk: Desk, state: SessionState) -> Assessment:
    """Score the session as it stands (domain.md §4)."""
    repo = desk.repo(state.repo)
    ref = RepoRef(repo.id, Path(repo.path), repo.base_branch)
    commit = await desk.ports.workshop.base(ref)
    paths = await desk.ports.workshop.paths(ref, commit)
    return assess(gate_input(state, RepoSurface.of(paths)), desk.policy.clarification)


def gate_input(state: SessionState, surface: RepoSurface) -> GateInput:
    """What the gate may look at: the first words, the criteria, the answers, later messages."""
    answers = {field: text for field, text in state.answers().items() if field in GATE_FIELDS}
    later = [text for author, text in state.messages[1:] if author == "operator"]
    return GateInput(
        title=state.first_title,
        description=state.description,
        criteria=state.criteria,
        answers=answers,
        repo=surface,
        later=later,
    )


def clarity_events(desk: Desk, state: SessionState, found: Assessment) -> list[Event]:
    """What the new assessment changes: questions, and clarity lost or reached."""
    if found.triggered:
        return _lost(state, found)
    spec = desk.blobs.put(spec_text(state, found).encode())
    if state.state in ("brainstorming", "clarifying") or (
        state.state == "ready" and spec != state.spec
    ):
        return [ClarityReached(score=found.score, spec=spec)]
    return []


def _lost(state: SessionState, found: Assessment) -> list[Event]:
    events: list[Event] = []
    new = [q for q in found.questions if _asks_anew(state, q.model_dump(mode="json"))]
    if new:
        questions = tuple(q.model_dump(mode="json") for q in new)
        events.append(ClarificationAsked(round=state.rounds + 1, questions=questions))
    reasons = tuple(reason.code for reason in found.reasons)
    changed = state.state != "clarifying" or state.score != found.score
    if changed:
        events.append(ClarityLost(score=found.score, reasons=reasons))
    return events


def _asks_anew(state: SessionState, question: dict[str, object]) -> bool:
    """A gate question is asked again when it is new, or when its choices have changed."""
    known = state.questions.get(str(question["id"]))
    return known is None or known.asked.get("choices") != question["choices"]


def spec_text(state: SessionState, found: Assessment) -> str:
    """``clarified-spec.md`` of the session as it stands."""
    answers = state.answers()
    target = [
        hit.text for signal in found.signals if signal.field == "target" for hit in signal.hits
    ]
    scope = [answers[field] for field in ("done-definition", "scope") if field in answers]
    return clarified_spec(
        state.title,
        state.criteria,
        target=dict.fromkeys([*target, *_given(answers, "target")]),
        scope=scope,
        answers=_answered(state),
    )


def _given(answers: dict[str, str], field: str) -> Sequence[str]:
    return [answers[field]] if field in answers else []


def _answered(state: SessionState) -> list[Clarified]:
    return [
        Clarified(str(question.asked["text"]["en"]), question.answer)
        for question in state.questions.values()
        if question.answer
    ]
