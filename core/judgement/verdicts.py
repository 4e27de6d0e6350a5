"""What a validator's reply means (domain.md §11): a verdict, or inconclusive with a cause.

Pure and total: whatever a model sends becomes a judgement, and nothing malformed becomes a pass.
"""

import json
from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictFloat,
    StrictInt,
    StrictStr,
    ValidationError,
)

from core.judgement.judge import JudgeFailure

VerdictKind = Literal["pass", "fail", "inconclusive"]
CriterionStatus = Literal["pass", "fail", "unknown"]
Cause = (
    Literal[
        "",
        "empty",
        "too_large",
        "too_deep",
        "prose",
        "duplicate_key",
        "bad_number",
        "not_an_object",
        "refusal",
        "missing_field",
        "unknown_field",
        "unknown_verdict",
        "bad_confidence",
        "bad_criterion",
        "bad_field",
        "criteria_missing",
        "criteria_duplicate",
        "criteria_unknown",
        "criterion_not_pass",
        "blocking_issue",
    ]
    | JudgeFailure
)

MAX_REPLY_CHARS = 1_000_000


def _storable(text: str) -> str:
    """Without NUL and halves of characters, which no store and no wire takes."""
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode("utf-8")


Text = Annotated[StrictStr, AfterValidator(_storable)]


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class CriterionResult(_Strict):
    """What the validator says about one acceptance criterion, and where it saw that."""

    id: Text
    status: CriterionStatus
    where: Text


class Reply(_Strict):
    """A validator's reply as it must be."""

    verdict: VerdictKind
    confidence: Annotated[StrictFloat | StrictInt, Field(ge=0, le=1, allow_inf_nan=False)]
    summary: Text
    criteria: tuple[CriterionResult, ...]
    blocking_issues: tuple[Text, ...]
    non_blocking_issues: tuple[Text, ...]
    evidence_gaps: tuple[Text, ...]


class Judgement(_Strict):
    """What a reply means. ``cause`` says why it is inconclusive, empty where the model said so.

    ``said`` is the verdict that the model gave before its reply was found wanting.
    """

    verdict: VerdictKind
    cause: Cause = ""
    said: VerdictKind | None = None
    field: str = ""
    confidence: float = 0.0
    summary: str = ""
    criteria: tuple[CriterionResult, ...] = ()
    blocking_issues: tuple[str, ...] = ()
    non_blocking_issues: tuple[str, ...] = ()
    evidence_gaps: tuple[str, ...] = ()


class Verdict(Judgement):
    """A judgement bound to the digest and the model that gave it (domain.md §11).

    Attributes:
        cost_usd: None when unknown.
    """

    family: str
    provider: str
    model: str
    digest: str
    tokens: Annotated[int, Field(ge=0)]
    cost_usd: Decimal | None
    duration_ms: Annotated[int, Field(ge=0)]
    request_id: str | None = None


def parse_reply(raw: str | bytes | None, criteria_ids: Sequence[str]) -> Judgement:
    """The meaning of a reply.

    Args:
        raw: what the provider returned as the model's structured output.
        criteria_ids: the mission's criteria; each must be answered exactly once.
    """
    value = _decoded(raw)
    if isinstance(value, Judgement):
        return value
    try:
        reply = Reply.model_validate(value)
    except ValidationError as error:
        return _misfit(value, error)
    return _judged(reply, criteria_ids)


def failed_call(failure: JudgeFailure) -> Judgement:
    """The judgement of a call that brought no reply."""
    return Judgement(verdict="inconclusive", cause=failure)


def is_stale(verdict: Verdict, digest: str) -> bool:
    """Whether ``verdict`` was given for other evidence than ``digest``."""
    return not digest or verdict.digest != digest


def disagree(verdicts: Iterable[Verdict], digest: str) -> bool:
    """Whether, for this digest, one family passes and another fails (HOLD-VALIDATOR-DISAGREE)."""
    said = {each.verdict for each in verdicts if not is_stale(each, digest)}
    return {"pass", "fail"} <= said


def reply_schema() -> dict[str, Any]:
    """The JSON schema of a reply, in the subset that all providers' structured output takes."""
    texts = {"type": "array", "items": {"type": "string"}}
    criterion = _object(
        id={"type": "string"},
        status={"type": "string", "enum": ["pass", "fail", "unknown"]},
        where={"type": "string"},
    )
    return _object(
        verdict={"type": "string", "enum": ["pass", "fail", "inconclusive"]},
        confidence={"type": "number"},
        summary={"type": "string"},
        criteria={"type": "array", "items": criterion},
        blocking_issues=dict(texts),
        non_blocking_issues=dict(texts),
        evidence_gaps=dict(texts),
    )


def _object(**properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


def _decoded(raw: str | bytes | None) -> Any:
    if raw is not None and len(raw) > MAX_REPLY_CHARS:
        return _unusable("too_large")
    if raw is None or not raw.strip():
        return _unusable("empty")
    try:
        value = json.loads(raw, object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except (RecursionError, ValueError) as error:
        return _unusable(_decoding_cause(error))
    if not isinstance(value, dict):
        return _unusable("not_an_object")
    if "refusal" in value and "verdict" not in value:
        return _unusable("refusal")
    return value


def _decoding_cause(error: Exception) -> Cause:
    if isinstance(error, RecursionError):
        return "too_deep"
    if isinstance(error, _DuplicateKeyError):
        return "duplicate_key"
    return "bad_number" if isinstance(error, _ConstantError) else "prose"


class _DuplicateKeyError(ValueError):
    pass


class _ConstantError(ValueError):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise _DuplicateKeyError
    return found


def _refuse_constant(_: str) -> Any:
    raise _ConstantError


def _unusable(cause: Cause, *, field: str = "", said: VerdictKind | None = None) -> Judgement:
    return Judgement(verdict="inconclusive", cause=cause, field=field, said=said)


_FIELD_CAUSES: dict[str, Cause] = {
    "verdict": "unknown_verdict",
    "confidence": "bad_confidence",
    "criteria": "bad_criterion",
}


def _misfit(value: dict[str, Any], error: ValidationError) -> Judgement:
    first = error.errors(include_url=False, include_context=False, include_input=False)[0]
    top = str(first["loc"][0])
    cause: Cause = _FIELD_CAUSES.get(top, "bad_field")
    if first["type"] == "missing" and len(first["loc"]) == 1:
        cause = "missing_field"
    elif first["type"] == "extra_forbidden" and len(first["loc"]) == 1:
        cause = "unknown_field"
    said = value.get("verdict")
    known = said if said in ("pass", "fail", "inconclusive") else None
    return _unusable(cause, field=_storable(top)[:100], said=known)


def _judged(reply: Reply, criteria_ids: Sequence[str]) -> Judgement:
    cause = _flaw(reply, criteria_ids)
    return Judgement(
        verdict="inconclusive" if cause else reply.verdict,
        cause=cause,
        said=reply.verdict,
        confidence=float(reply.confidence),
        summary=reply.summary,
        criteria=reply.criteria,
        blocking_issues=reply.blocking_issues,
        non_blocking_issues=reply.non_blocking_issues,
        evidence_gaps=reply.evidence_gaps,
    )


def _flaw(reply: Reply, criteria_ids: Sequence[str]) -> Cause:
    answered = [each.id for each in reply.criteria]
    if len(set(answered)) != len(answered):
        return "criteria_duplicate"
    if set(answered) - set(criteria_ids):
        return "criteria_unknown"
    if set(criteria_ids) - set(answered):
        return "criteria_missing"
    if reply.verdict != "pass":
        return ""
    if any(each.status != "pass" for each in reply.criteria):
        return "criterion_not_pass"
    return "blocking_issue" if reply.blocking_issues else ""
