"""The clarification gate: how ambiguous a request is, by fixed rules and without a model call.

Pure (domain.md §4): no I/O, no clock, no memory. Words, weights and questions come from policy.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from core.errors import Refused
from core.planning.checkpoints import CheckpointPolicy
from core.planning.criteria import Criterion, CriterionRule, counts, flaw_of, is_verifiable
from core.planning.questions import GATE_FIELDS, Choice, GateField, LocalText, Question, clears
from core.planning.wording import (
    RepoSurface,
    Span,
    SurfaceRule,
    WordList,
    code_spans,
    file_names,
    find_surfaces,
    find_words,
)

SignalId = Literal[
    "no_verifiable_criterion", "vague_wording", "no_target_surface", "unbounded_scope"
]
Place = Literal["title", "description", "later", "answer", "criterion"]

_SIGNALS: Mapping[GateField, SignalId] = {
    "acceptance-criteria": "no_verifiable_criterion",
    "done-definition": "vague_wording",
    "target": "no_target_surface",
    "scope": "unbounded_scope",
}


class Weights(BaseModel):
    """What each signal adds to the score."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    no_verifiable_criterion: Annotated[int, Field(ge=0, le=100)] = 60
    vague_wording: Annotated[int, Field(ge=0, le=100)] = 25
    no_target_surface: Annotated[int, Field(ge=0, le=100)] = 20
    unbounded_scope: Annotated[int, Field(ge=0, le=100)] = 25


class QuestionText(BaseModel):
    """The wording of one gate question."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    text: LocalText
    why: LocalText
    choices: Annotated[tuple[Choice, ...], Field(min_length=2, max_length=4)]

    @model_validator(mode="after")
    def _one_recommended(self) -> Self:
        if sum(each.recommended for each in self.choices) != 1:
            raise ValueError("exactly one choice is recommended")
        if len({each.id for each in self.choices}) != len(self.choices):
            raise ValueError("choice ids are unique")
        return self


class ClarificationPolicy(BaseModel):
    """The table ``[clarification]`` of the policy file."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    threshold: Annotated[int, Field(ge=1, le=100)] = 50
    question_limit: Annotated[int, Field(ge=1, le=4)] = 4
    weights: Weights = Weights()
    criterion: CriterionRule
    vague: WordList
    unbounded: WordList
    target: SurfaceRule
    questions: Mapping[GateField, QuestionText]
    checkpoints: CheckpointPolicy

    @model_validator(mode="after")
    def _checked(self) -> Self:
        if set(self.questions) != set(GATE_FIELDS):
            raise ValueError(f"questions has exactly the tables {', '.join(GATE_FIELDS)}")
        card = self.questions["acceptance-criteria"]
        if not all(each.needs_filling for each in card.choices):
            raise ValueError("every acceptance-criteria choice has a blank (___)")
        return self


@dataclass(frozen=True, slots=True)
class GateInput:
    """All that the gate may look at.

    Attributes:
        title: the mission's title.
        description: the operator's first description; nothing later is searched for wording.
        criteria: all criteria of the session, whatever their source.
        answers: what stands answered, by gate field, verbatim.
        repo: what exists in the repo.
        later: the operator's later messages; they can name a target and do nothing else.
    """

    title: str
    description: str = ""
    criteria: Sequence[Criterion] = ()
    answers: Mapping[GateField, str] = field(default_factory=dict)
    repo: RepoSurface = field(default_factory=RepoSurface.of)
    later: Sequence[str] = ()


class Hit(BaseModel):
    """Words that speak for or against a signal, and where they stand."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    place: Place
    index: int = 0
    start: int
    end: int
    text: str


class Signal(BaseModel):
    """One line of the clarity panel.

    ``hits`` are the words that set it off; for the target and the criterion, what cleared it.
    ``answered`` says that the operator's answer cleared it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    id: SignalId
    field: GateField
    weight: int
    present: bool
    answered: bool = False
    hits: tuple[Hit, ...] = ()


class Reason(BaseModel):
    """Why a signal counts: a code and facts; the surface makes the sentence."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    code: SignalId
    weight: int
    facts: dict[str, Any]


class Assessment(BaseModel):
    """The gate's answer: ``triggered`` from the threshold on, with the questions that clear it."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    score: int
    threshold: int
    triggered: bool
    signals: tuple[Signal, ...]
    reasons: tuple[Reason, ...]
    questions: tuple[Question, ...]


def assess(request: GateInput, policy: ClarificationPolicy) -> Assessment:
    """Score a request (domain.md §4). Total: every text gets an answer, none raises."""
    signals = tuple(_signal(each, request, policy) for each in GATE_FIELDS)
    score = min(100, sum(each.weight for each in signals if each.present))
    triggered = score >= policy.threshold
    present = [each for each in signals if each.present]
    asked = present[: policy.question_limit] if triggered else []
    return Assessment(
        score=score,
        threshold=policy.threshold,
        triggered=triggered,
        signals=signals,
        reasons=tuple(_reason(each, request, policy) for each in present),
        questions=tuple(_question(each, request, policy) for each in asked),
    )


def require_clear(assessment: Assessment, *, open_questions: Sequence[str] = ()) -> None:
    """Refuse to go on while the gate is triggered or a question is open (domain.md §3, §4).

    Raises:
        Refused: ``CLARIFY_GATE_BLOCKED`` with score, reasons and the ids of the open questions.
    """
    asked = [each.id for each in assessment.questions]
    ids = asked + [each for each in open_questions if each not in asked]
    if not assessment.triggered and not ids:
        return
    raise Refused(
        "CLARIFY_GATE_BLOCKED",
        f"The request is too ambiguous to plan: {assessment.score} of 100, "
        f"planning opens below {assessment.threshold}."
        if assessment.triggered
        else f"{len(ids)} questions are open.",
        recovery=f"Answer: {', '.join(ids)}.",
        data={
            "score": assessment.score,
            "threshold": assessment.threshold,
            "reasons": [each.model_dump() for each in assessment.reasons],
            "questions": ids,
        },
    )


def _signal(name: GateField, request: GateInput, policy: ClarificationPolicy) -> Signal:
    answer = request.answers.get(name)
    answered = answer is not None and clears(name, answer, policy.criterion)
    if name == "acceptance-criteria":
        hits = _criteria_hits(request, policy)
        present = not hits
    elif name == "target":
        hits = _target_hits(request, policy)
        present = not hits
    else:
        words = policy.vague if name == "done-definition" else policy.unbounded
        hits = _word_hits(request, words, policy)
        present = bool(hits)
    return Signal(
        id=_SIGNALS[name],
        field=name,
        weight=getattr(policy.weights, _SIGNALS[name]),
        present=present and not answered,
        answered=answered,
        hits=hits,
    )


def _criteria_hits(request: GateInput, policy: ClarificationPolicy) -> tuple[Hit, ...]:
    return tuple(
        Hit(place="criterion", index=place, start=0, end=len(each.text), text=each.text)
        for place, each in enumerate(request.criteria)
        if counts(each, policy.criterion)
    )


def _word_hits(request: GateInput, words: WordList, policy: ClarificationPolicy) -> tuple[Hit, ...]:
    hits: list[Hit] = []
    for place, text in _first_words(request):
        hidden = [span for span, _ in code_spans(text)]
        hidden += file_names(text, policy.target, request.repo)
        hits += _hits(place, text, find_words(text, words, hidden))
    return tuple(hits)


def _target_hits(request: GateInput, policy: ClarificationPolicy) -> tuple[Hit, ...]:
    hits: list[Hit] = []
    for place, text in _first_words(request):
        hits += _hits(place, text, find_surfaces(text, policy.target, request.repo))
    for index, text in enumerate(request.later):
        spans = find_surfaces(text, policy.target, request.repo)
        hits += _hits("later", text, spans, index=index)
    return tuple(hits)


def _first_words(request: GateInput) -> tuple[tuple[Place, str], tuple[Place, str]]:
    return ("title", request.title), ("description", request.description)


def _hits(place: Place, text: str, spans: Sequence[Span], *, index: int = 0) -> list[Hit]:
    return [
        Hit(place=place, index=index, start=start, end=end, text=text[start:end])
        for start, end in spans
    ]


def _reason(signal: Signal, request: GateInput, policy: ClarificationPolicy) -> Reason:
    facts: dict[str, Any] = {}
    if signal.id == "no_verifiable_criterion":
        facts["rejected"] = [
            {"id": each.id, "flaw": flaw_of(each.text, policy.criterion) or "unconfirmed"}
            for each in request.criteria
        ]
    elif signal.hits:
        facts["words"] = _distinct_words(signal)
    return Reason(code=signal.id, weight=signal.weight, facts=facts)


def _distinct_words(signal: Signal) -> list[str]:
    return list(dict.fromkeys(each.text.casefold() for each in signal.hits))


def _question(signal: Signal, request: GateInput, policy: ClarificationPolicy) -> Question:
    wording = policy.questions[signal.field]
    choices = wording.choices
    if signal.field == "acceptance-criteria":
        choices = _with_proposals(request.criteria, choices, policy.criterion)
    return Question(
        id=signal.field,
        field=signal.field,
        text=wording.text,
        why=wording.why,
        choices=choices,
        words=tuple(_distinct_words(signal)),
    )


def _with_proposals(
    criteria: Sequence[Criterion], templates: tuple[Choice, ...], rule: CriterionRule
) -> tuple[Choice, ...]:
    """The planner's verifiable proposals first; templates fill the card up to two choices."""
    offers = [
        Choice(
            id=f"proposal-{each.id}",
            title=LocalText(en=each.text, zh=each.text),
            criterion_id=each.id,
            recommended=False,
        )
        for each in criteria
        if not each.confirmed and is_verifiable(each.text, rule)
    ][:4]
    if not offers:
        return templates
    offers[0] = offers[0].model_copy(update={"recommended": True})
    rest = [each.model_copy(update={"recommended": False}) for each in templates]
    return tuple(offers + rest[: max(0, 2 - len(offers))])
