"""What a script answers to a call, before any wire format: pure, the same for each provider."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from core.errors import Invalid
from runner.rehearsal.calls import (
    Call,
    CoderCall,
    Message,
    PlannerCall,
    ReviewerCall,
    ValidatorCall,
    identify,
)
from runner.rehearsal.scripts import (
    CoderPart,
    Family,
    Fault,
    PlannerPart,
    ReviewerPart,
    Script,
    ToolUse,
    Turn,
    Usage,
    ValidatorPart,
)

STRUCTURED_TOOL = "StructuredOutput"
SIDE_ANSWER = "Rehearsal"
CRITERIA = "{criteria}"
NO_CRITERIA = "Nothing is stated; the rehearsal leaves this criterion unknown"
_CHARS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Asked:
    """A request, whatever its wire format."""

    model: str
    stream: bool
    messages: tuple[Message, ...]
    tools: frozenset[str]
    family: Family
    size: int
    mark: str
    """Hex digits out of the request's digest: ids are made of it, so the same asks the same."""
    with_usage: bool = True


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back: texts, then tool uses, or a fault in place of both (or in their middle)."""

    role: str
    usage: Usage
    texts: tuple[str, ...] = ()
    tools: tuple[ToolUse, ...] = ()
    refusal: str | None = None
    fault: Fault | None = None
    chunk_delay_ms: int = 0


def answer(script: Script, asked: Asked) -> Reply:
    """The reply of ``script``; a request that names no caller gets a harmless text.

    Raises:
        Invalid: the caller's line does not fit, or the script has no part for this call.
    """
    found = identify(asked.messages)
    if found is None or _is_side_request(found[0], asked):
        return Reply(role="", usage=_estimate(asked, SIDE_ANSWER), texts=(SIDE_ANSWER,))
    call, number = found
    turn = _turn_of(script, call, number, asked.family)
    return _reply(call, turn, asked)


def _is_side_request(call: Call, asked: Asked) -> bool:
    """The CLI asks for a title with the prompt's text but without any tool."""
    return isinstance(call, CoderCall | PlannerCall) and not asked.tools


def _turn_of(script: Script, call: Call, number: int, family: Family) -> Turn:
    if isinstance(call, ValidatorCall):
        return _judged(_validator_part(script, call, family), call)
    part = _part(script, call)
    return part.turns[min(number, len(part.turns) - 1)]


def _part(
    script: Script, call: CoderCall | PlannerCall | ReviewerCall
) -> CoderPart | PlannerPart | ReviewerPart:
    candidates: Iterable[CoderPart | PlannerPart | ReviewerPart]
    if isinstance(call, PlannerCall):
        candidates = [part for part in script.planner if part.step == call.step]
    else:
        parts = script.coder if isinstance(call, CoderCall) else script.reviewer
        candidates = [part for part in parts if part.task in (None, call.task)]
    for part in candidates:
        if part.attempt in (None, call.attempt):
            return part
    raise _unscripted(script, call)


def _validator_part(script: Script, call: ValidatorCall, family: Family) -> ValidatorPart:
    for part in script.validator:
        if part.family in (None, family) and part.package in (None, call.package):
            return part
    raise _unscripted(script, call)


def _unscripted(script: Script, call: Call) -> Invalid:
    asked = call.model_dump_json(exclude={"cwd"})
    return Invalid(
        "script",
        f"The rehearsal script {script.title!r} has no part for {asked}.",
        recovery="Choose another script, or add the part to this one.",
    )


def _judged(part: ValidatorPart, call: ValidatorCall) -> Turn:
    shared = {"usage": part.usage, "chunk_delay_ms": part.chunk_delay_ms}
    if part.fault is not None and part.fault.cut_after_events is None:
        return Turn(fault=part.fault, usage=part.usage)
    if part.raw is not None or part.refusal is not None:
        spoken = {"raw": part.raw, "refusal": part.refusal}
        return Turn.model_validate({**spoken, "fault": part.fault, **shared})
    verdict = {
        "verdict": part.verdict,
        "confidence": part.confidence,
        "summary": part.summary,
        "criteria": [
            {"id": name, "status": _outcome(part, name), "where": part.where}
            for name in call.criteria
        ],
        "blocking_issues": part.blocking_issues,
        "non_blocking_issues": part.non_blocking_issues,
        "evidence_gaps": part.evidence_gaps,
    }
    return Turn.model_validate({"structured": verdict, "fault": part.fault, **shared})


def _outcome(part: ValidatorPart, criterion: str) -> str:
    if isinstance(part.criteria, str):
        return part.criteria
    return part.criteria.get(criterion, "unknown")


def _reply(call: Call, turn: Turn, asked: Asked) -> Reply:
    texts = [turn.text] if turn.text else []
    tools = [_placed(tool, getattr(call, "cwd", "")) for tool in turn.tools]
    if turn.raw is not None:
        texts.append(turn.raw)
    elif turn.structured is not None:
        structured = _with_criteria(turn.structured, getattr(call, "criteria", ()))
        if STRUCTURED_TOOL in asked.tools:
            tools.append(ToolUse(name=STRUCTURED_TOOL, input=structured))
        else:
            texts = [json.dumps(structured, ensure_ascii=False)]
    said = "".join(texts) + "".join(json.dumps(tool.input) for tool in tools)
    return Reply(
        role=call.role,
        usage=turn.usage or _estimate(asked, said),
        texts=tuple(texts),
        tools=tuple(tools),
        refusal=turn.refusal,
        fault=turn.fault,
        chunk_delay_ms=turn.chunk_delay_ms,
    )


def _placed(tool: ToolUse, cwd: str) -> ToolUse:
    return ToolUse(name=tool.name, input=_substituted(tool.input, cwd))


def _with_criteria(value: Any, criteria: Sequence[str]) -> Any:
    """A list that holds nothing but ``{criteria}`` becomes the criteria that the caller named."""
    if value == [CRITERIA]:
        return list(criteria) or [NO_CRITERIA]
    if isinstance(value, Mapping):
        return {key: _with_criteria(inner, criteria) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_with_criteria(inner, criteria) for inner in value]
    return value


def _substituted(value: Any, cwd: str) -> Any:
    if isinstance(value, str):
        return value.replace("{cwd}", cwd)
    if isinstance(value, Mapping):
        return {key: _substituted(inner, cwd) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_substituted(inner, cwd) for inner in value]
    return value


def estimate_tokens(chars: int) -> int:
    """Tokens of a text of so many characters, as good as a rehearsal needs it."""
    return max(1, chars // _CHARS_PER_TOKEN)


def _estimate(asked: Asked, said: str) -> Usage:
    return Usage(input=estimate_tokens(asked.size), output=estimate_tokens(len(said)))
