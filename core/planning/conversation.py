"""The planner's turns of a session: ask the CLI, read its structured output, re-score the gate.

What the planner says is hostile text until its model has validated it; its confidence is shown and
never trusted. A turn that an earlier process left open is asked again.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import orjson

from core.desk import Desk
from core.errors import CockpitError, Refused
from core.journal.envelope import Event
from core.journal.events.mission import MissionReturned
from core.journal.events.session import (
    ClarificationAsked,
    CriterionAdded,
    MessageAdded,
    PlannerAnswered,
    PlannerAsked,
)
from core.journal.events.shared import HoldRaised
from core.ledger.spending import require_call, usage_events
from core.missions.workshop import RepoRef
from core.planning.clarity import assess_session, clarity_events
from core.planning.criteria import add
from core.planning.drafting import draft
from core.planning.plan import (
    Converse,
    Plan,
    PlanInvalid,
    Problem,
    json_schema_for_converse,
    json_schema_for_plan,
    parse_converse,
    parse_plan,
)
from core.planning.planner import AgentResult, PlannerCall, resumes_at
from core.planning.prompts import (
    MAX_INSTRUCTIONS,
    PlannerBrief,
    planner_converse_prompt,
    planner_plan_prompt,
    planner_repair_prompt,
)
from core.planning.prompts import Turn as Message
from core.planning.sessions import Ask, SessionState
from core.repos.policy import require_host_allowed

ACTOR = "planner"
MAX_ATTEMPTS = 2
_HOLD_OF_END = {
    "auth_failed": "HOLD-PLANNER-AUTH",
    "cli_missing": "HOLD-NO-PLANNER-CLI",
    "rate_limited": "HOLD-RATE-LIMIT",
}


@dataclass(frozen=True, slots=True)
class Turn:
    """One open turn and what it works on."""

    session: SessionState
    ask: Ask
    repo: RepoRef
    commit: str
    checkout: Path


async def answer_open_turns(desk: Desk, session: str) -> None:
    """Perform the open planner turns of ``session`` until none is left."""
    while (state := desk.session(session)).asks:
        ask = next(iter(state.asks.values()))
        try:
            await _perform(desk, state, ask)
        except CockpitError as error:
            await _failed(desk, state, ask, error)


async def _failed(desk: Desk, state: SessionState, ask: Ask, error: CockpitError) -> None:
    code = error.code if error.code.startswith("HOLD-") else "HOLD-PLANNER-CLI"
    facts = {"error": error.sentence, "step": ask.step, **error.data}
    await desk.write(
        f"session:{state.id}",
        [
            PlannerAnswered(call=ask.call, step=ask.step, end="not_started", error=error.sentence),
            hold(desk, code, facts),
        ],
        actor="system",
    )


def hold(desk: Desk, code: str, facts: dict[str, Any], **more: Any) -> HoldRaised:
    """A hold of the whole session."""
    return HoldRaised(hold=desk.context.short_id("h"), code=code, facts=facts, **more)


async def _perform(desk: Desk, state: SessionState, ask: Ask) -> None:
    repo = desk.repo(state.repo)
    require_host_allowed(desk, repo, rehearsal=bool(state.rehearsal))
    await require_call(
        desk,
        repo=state.repo,
        mission=state.mission,
        role="planner",
        rehearsal=bool(state.rehearsal),
        call=ask.call,
    )
    ref = RepoRef(repo.id, Path(repo.path), repo.base_branch)
    commit = await desk.ports.workshop.base(ref)
    checkout = await desk.ports.workshop.checkout(ref, f"{state.id}-planner", commit, keep=False)
    turn = Turn(state, ask, ref, commit, checkout)
    call = await _call(desk, turn)
    result = await desk.ports.planner.ask(call, lambda _: None)
    await _record(desk, turn, result)


async def _call(desk: Desk, turn: Turn) -> PlannerCall:
    state, ask = turn.session, turn.ask
    schema = json_schema_for_converse() if ask.step == "converse" else json_schema_for_plan()
    settings = desk.settings.planner
    return PlannerCall(
        call_id=ask.call,
        checkout=turn.checkout,
        folder=desk.run_folder(ask.call),
        prompt=await _prompt(desk, turn),
        schema=schema,
        model=settings.model or desk.endpoints.model("claude"),
        timeout_seconds=settings.timeout_seconds,
        base_url=desk.endpoints.base_url("claude", state.rehearsal),
        rehearsal=bool(state.rehearsal),
    )


async def _prompt(desk: Desk, turn: Turn) -> str:
    state, ask = turn.session, turn.ask
    token = desk.context.token
    if ask.attempt > 1:
        return planner_repair_prompt(
            step=ask.step,
            cwd=str(turn.checkout),
            answer=desk.blobs.read(ask.refused).decode("utf-8", errors="replace"),
            problems=[Problem(**each) for each in ask.problems],
            token=token,
        )
    brief = PlannerBrief(
        cwd=str(turn.checkout),
        repo=state.repo,
        title=state.title,
        conversation=[Message(author, text) for author, text in state.messages],
        criteria=state.criteria,
        clarified_spec=desk.blobs.read(state.spec).decode() if state.spec else "",
        instructions=await _instructions(desk, turn),
    )
    write = planner_converse_prompt if ask.step == "converse" else planner_plan_prompt
    return write(brief, token=token)


async def _instructions(desk: Desk, turn: Turn) -> dict[str, str]:
    """The repo's words to agents, as quoted material and never as instructions (domain.md §5)."""
    found = {
        name: await desk.ports.workshop.read_text(turn.repo, turn.commit, name, MAX_INSTRUCTIONS)
        for name in ("AGENTS.md", "CLAUDE.md")
    }
    return {name: text for name, text in found.items() if text is not None}


async def _record(desk: Desk, turn: Turn, result: AgentResult) -> None:
    """Turn the result into events, in one append."""
    usage = usage_events(
        desk,
        result.usage,
        repo=turn.session.repo,
        session=turn.session.id,
        mission=turn.session.mission,
        run=turn.ask.call,
        role="planner",
        rehearsal=bool(turn.session.rehearsal),
    )
    state = desk.session(turn.session.id)
    if result.end != "finished":
        events = _ended_badly(desk, turn.ask, result)
        await desk.write(f"session:{state.id}", [*usage, *events], actor=ACTOR)
        return
    try:
        said = _parse(turn.ask, result)
    except PlanInvalid as invalid:
        events = _invalid(desk, turn.ask, invalid, result)
        await desk.write(f"session:{state.id}", [*usage, *events], actor=ACTOR)
        return
    if isinstance(said, Converse):
        await _conversed(desk, turn, said, result, usage)
    else:
        await _drafted(desk, turn, said, result, usage)


async def _drafted(
    desk: Desk, turn: Turn, plan: Plan, result: AgentResult, usage: Sequence[Event]
) -> None:
    try:
        await draft(desk, turn.session.id, turn.ask, plan, result=result, usage=usage)
    except Refused:  # the session has moved on; what the call has used is kept
        if usage:
            await desk.write(f"session:{turn.session.id}", usage, actor=ACTOR)
        raise


def _parse(ask: Ask, result: AgentResult) -> Converse | Plan:
    raw = result.structured if result.structured is not None else result.text
    return parse_converse(raw) if ask.step == "converse" else parse_plan(raw)


def _ended_badly(desk: Desk, ask: Ask, result: AgentResult) -> list[Event]:
    ended = PlannerAnswered(
        call=ask.call,
        step=ask.step,
        end=result.end,
        error=result.error,
        duration_ms=result.duration_ms,
    )
    if result.end == "stopped":
        return [ended]
    code = _HOLD_OF_END.get(result.end, "HOLD-PLANNER-CLI")
    facts = {"error": result.error, "end": result.end, "step": ask.step, "call": ask.call}
    more: dict[str, Any] = {}
    if code == "HOLD-RATE-LIMIT":
        more["resumes_at"] = resumes_at(result.resets_at, desk.context.now())
    return [ended, hold(desk, code, facts, **more)]


def _invalid(desk: Desk, ask: Ask, invalid: PlanInvalid, result: AgentResult) -> list[Event]:
    problems = tuple(asdict(problem) for problem in invalid.problems)
    ended = PlannerAnswered(
        call=ask.call,
        step=ask.step,
        end="invalid",
        error=invalid.sentence,
        duration_ms=result.duration_ms,
    )
    if ask.attempt < MAX_ATTEMPTS:
        again = PlannerAsked(
            call=desk.context.short_id("r"),
            step=ask.step,
            attempt=ask.attempt + 1,
            problems=problems,
            refused=desk.blobs.put(_said(result)),
        )
        return [ended, again]
    facts = {"error": invalid.sentence, "problems": list(problems)[:20], "step": ask.step}
    return [ended, hold(desk, "HOLD-PLANNER-STRUCTURE", facts)]


def _said(result: AgentResult) -> bytes:
    if result.structured is None:
        return result.text.encode("utf-8", errors="replace")
    return orjson.dumps(result.structured, default=str)


async def _conversed(
    desk: Desk, turn: Turn, said: Converse, result: AgentResult, usage: Sequence[Event]
) -> None:
    state = desk.session(turn.session.id)
    events: list[Event] = [
        *usage,
        PlannerAnswered(
            call=turn.ask.call,
            step="converse",
            end="finished",
            confidence=said.confidence,
            duration_ms=result.duration_ms,
        ),
        MessageAdded(message=desk.context.short_id("msg"), author="planner", text=said.message),
    ]
    criteria = state.criteria
    for text in said.proposed_criteria:
        grown = add(criteria, text, "proposed", after=state.criteria_given)
        events += [
            CriterionAdded(criterion=c.id, text=c.text, source="proposed")
            for c in grown
            if c not in criteria
        ]
        criteria = grown
    if said.questions:
        events.append(_own_questions(state, said))
    await desk.write(f"session:{state.id}", events, actor=ACTOR)
    await rescore(desk, state.id)


def _own_questions(state: SessionState, said: Converse) -> ClarificationAsked:
    questions = tuple(
        {
            "id": f"{q.id}-{state.rounds + 1}",
            "field": "",
            "required": False,
            "text": {"en": q.text, "zh": q.text},
            "why": {"en": q.why, "zh": q.why},
            "choices": [c.model_dump() for c in q.choices],
        }
        for q in said.questions
    )
    return ClarificationAsked(round=state.rounds + 1, questions=questions)


async def rescore(desk: Desk, session: str, *, actor: str = "system") -> None:
    """Let the gate look again and record what changed: lost or reached clarity, new questions.

    Raises:
        Refused: when the session is no longer open.
    """
    state = desk.session(session)
    if state.state in ("executing", "delivered", "closed"):
        raise Refused("SESSION_NOT_OPEN", f"The session is {state.state}.")
    assessment = await assess_session(desk, state)
    events = clarity_events(desk, state, assessment)
    if events:
        appends = {f"session:{session}": events, **_reopened(desk, state, events)}
        await desk.write_all(appends, actor=actor)


def _reopened(
    desk: Desk, state: SessionState, events: Sequence[Event]
) -> dict[str, Sequence[Event]]:
    """A plan whose session has lost its clarity is a draft again (domain.md §3)."""
    lost = any(event.kind == "session.clarifying" for event in events)
    if not (lost and state.mission):
        return {}
    mission = desk.mission(state.mission)
    if mission.state not in ("pending_approval", "approved"):
        return {}
    return {f"mission:{mission.id}": [MissionReturned(reason="clarity was lost")]}
