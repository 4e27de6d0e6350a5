"""The optional reviewer: a second look at a run's evidence before its commit is merged (§11).

It approves, or asks for rework with findings; rework without findings is no answer.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.desk import Desk
from core.journal.envelope import Event
from core.journal.events.run import RunReviewed
from core.ledger.spending import require_call, usage_events
from core.missions.hold_events import hold_events
from core.missions.run_steps import brief_of, repo_of
from core.missions.state import MissionState, Run
from core.missions.steps import Step
from core.planning.planner import AgentResult, PlannerCall
from core.planning.prompts import reviewer_prompt

_HOLD_OF_END = {
    "auth_failed": "HOLD-PLANNER-AUTH",
    "cli_missing": "HOLD-NO-PLANNER-CLI",
    "rate_limited": "HOLD-RATE-LIMIT",
}


class Review(BaseModel):
    """The reviewer's structured answer."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    decision: Literal["approve", "rework"]
    summary: Annotated[str, Field(max_length=20_000)]
    findings: Annotated[
        tuple[Annotated[str, Field(min_length=3, max_length=4_000)], ...],
        Field(strict=False, max_length=50),
    ]


def schema() -> dict[str, Any]:
    """The JSON schema of a review."""
    return {
        "type": "object",
        "properties": {
            "decision": {"type": "string", "enum": ["approve", "rework"]},
            "summary": {"type": "string"},
            "findings": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["decision", "summary", "findings"],
        "additionalProperties": False,
    }


async def review(desk: Desk, state: MissionState, step: Step) -> Sequence[Event]:
    """Let the reviewer read the run package."""
    run = state.runs[step.subject]
    call_id = f"{run.id}:review"
    await require_call(
        desk,
        repo=state.repo,
        mission=state.id,
        role="reviewer",
        rehearsal=bool(state.rehearsal),
        call=call_id,
    )
    result = await desk.ports.planner.ask(await _call(desk, state, run), lambda _: None)
    usage = usage_events(
        desk,
        result.usage,
        repo=state.repo,
        mission=state.id,
        task=run.task,
        run=run.id,
        role="reviewer",
        rehearsal=bool(state.rehearsal),
    )
    return [*usage, *_outcome(desk, step, run, result)]


async def _call(desk: Desk, state: MissionState, run: Run) -> PlannerCall:
    assert run.commit is not None
    name = f"{state.id}-{run.task}-review"
    checkout = await desk.ports.workshop.checkout(
        repo_of(desk, state), name, run.commit, keep=False
    )
    evidence = desk.folders.evidence / run.id / "judge-input.json"
    text = await desk.aside(lambda: evidence.read_text(encoding="utf-8"))
    return PlannerCall(
        call_id=f"{run.id}-review",
        checkout=checkout,
        folder=desk.run_folder(f"{run.id}-review"),
        prompt=reviewer_prompt(
            cwd=str(checkout),
            task=brief_of(state.tasks[run.task]),
            attempt=run.attempt,
            evidence=text,
            token=desk.context.token,
        ),
        schema=schema(),
        model=desk.settings.reviewer.model or desk.endpoints.model("claude"),
        timeout_seconds=desk.settings.planner.timeout_seconds,
        base_url=desk.endpoints.base_url("claude", state.rehearsal),
        rehearsal=bool(state.rehearsal),
    )


def _outcome(desk: Desk, step: Step, run: Run, result: AgentResult) -> Sequence[Event]:
    if result.end != "finished":
        code = _HOLD_OF_END.get(result.end, "HOLD-PLANNER-CLI")
        more = {"resumes_at": result.resets_at} if code == "HOLD-RATE-LIMIT" else {}
        return _held(desk, step, code, result.error, **more)
    try:
        said = Review.model_validate(result.structured)
    except ValidationError as error:
        return _held(desk, step, "HOLD-PLANNER-STRUCTURE", f"{error.error_count()} problems")
    if said.decision == "rework" and not said.findings:
        return _held(desk, step, "HOLD-PLANNER-STRUCTURE", "rework without findings")
    approved = said.decision == "approve"
    return [RunReviewed(run=run.id, approved=approved, findings=said.findings)]


def _held(desk: Desk, step: Step, code: str, error: str, **more: Any) -> Sequence[Event]:
    """The whole mission waits, and the review is what goes on: the coder's work stands."""
    facts = {"error": error, "step": "review"}
    return hold_events(desk, replace(step, task=""), code, facts, **more)
