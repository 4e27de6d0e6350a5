"""Generate PRD: from a valid plan to documents, a mission and the request for approval."""

from collections.abc import Sequence
from pathlib import Path

import orjson

from core.desk import Desk
from core.journal.envelope import Event
from core.journal.events.mission import (
    MissionDrafted,
    MissionReturned,
    MissionSubmitted,
    PlannedTask,
)
from core.journal.events.session import (
    CriterionAdded,
    CriterionRemoved,
    PlanDrafted,
    PlannerAnswered,
)
from core.journal.events.shared import ApprovalExpired, ApprovalRequested
from core.missions.state import MissionState
from core.missions.workshop import RepoRef
from core.planning.artifacts import ArtifactHeader, documents
from core.planning.checkpoints import checkpoint_reasons
from core.planning.criteria import Criterion, merge
from core.planning.plan_shapes import Plan
from core.planning.planner import AgentResult
from core.planning.sessions import Ask, SessionState

ACTOR = "planner"
ALIVE = ("draft", "pending_approval", "approved")


async def draft(
    desk: Desk, session: str, ask: Ask, plan: Plan, *, result: AgentResult, usage: Sequence[Event]
) -> None:
    """Record a new plan version: on the session and on its mission, in one append."""
    state = desk.session(session)
    ended = PlannerAnswered(
        call=ask.call, step="plan", end="finished", duration_ms=result.duration_ms
    )
    criteria = merge(state.criteria, plan.prd.acceptance_criteria, after=state.criteria_given)
    mission = _mission_for(desk, state)
    planned = await _planned(desk, state, plan, criteria, mission=mission.id)
    await desk.write_all(
        {
            f"session:{session}": [*usage, ended, *_criteria_events(state, criteria), planned],
            f"mission:{mission.id}": _mission_events(desk, state, mission, plan, planned),
        },
        actor=ACTOR,
    )


def _mission_for(desk: Desk, state: SessionState) -> MissionState:
    """The session's living mission, or a new one when there is none."""
    if state.mission:
        known = desk.mission(state.mission)
        if known.state in ALIVE:
            return known
    return MissionState(id=desk.context.short_id("m"))


def _criteria_events(state: SessionState, merged: Sequence[Criterion]) -> list[Event]:
    kept = {c.id for c in merged}
    known = {c.id for c in state.criteria}
    gone: list[Event] = [
        CriterionRemoved(criterion=c.id) for c in state.criteria if c.id not in kept
    ]
    new: list[Event] = [
        CriterionAdded(criterion=c.id, text=c.text, source=c.source)
        for c in merged
        if c.id not in known
    ]
    return gone + new


async def _planned(
    desk: Desk, state: SessionState, plan: Plan, criteria: Sequence[Criterion], *, mission: str
) -> PlanDrafted:
    repo = desk.repo(state.repo)
    base = await desk.ports.workshop.base(RepoRef(repo.id, Path(repo.path), repo.base_branch))
    header = ArtifactHeader(
        title=state.title,
        repo=repo.id,
        base=f"{repo.base_branch} @ {base[:7]}",
        version=state.version + 1,
        author="planner",
        at=desk.context.now(),
        answers=len(state.answers()),
    )
    reasons = {
        task.id: checkpoint_reasons(task, desk.policy.clarification.checkpoints)
        for task in plan.tasks
    }
    texts = documents(plan, criteria, header, reasons=reasons)
    raw = plan.model_dump(mode="json")
    return PlanDrafted(
        mission=mission,
        version=header.version,
        author="planner",
        plan=raw,
        documents={name: desk.blobs.put(text.encode()) for name, text in texts.items()},
        digest=desk.blobs.put(orjson.dumps(raw, option=orjson.OPT_SORT_KEYS)),
    )


def _mission_events(
    desk: Desk, state: SessionState, mission: MissionState, plan: Plan, planned: PlanDrafted
) -> list[Event]:
    events: list[Event] = [*_reopening(mission)]
    events.append(
        MissionDrafted(
            mission=mission.id,
            session=state.id,
            repo=state.repo,
            title=state.title,
            goal=state.description or state.title,
            version=planned.version,
            digest=planned.digest,
            tasks=tuple(_task(desk, plan)),
            rehearsal=state.rehearsal,
        )
    )
    events.append(MissionSubmitted(version=planned.version))
    events.append(
        ApprovalRequested(
            approval=desk.context.short_id("a"),
            approval_kind="plan",
            subject=mission.id,
            digest=planned.digest,
            version=planned.version,
        )
    )
    return events


def _reopening(mission: MissionState) -> list[Event]:
    events: list[Event] = [
        ApprovalExpired(approval=a.id, reason="a newer plan version")
        for a in mission.approvals.values()
        if a.kind == "plan" and a.state == "pending"
    ]
    if mission.state in ("pending_approval", "approved"):
        events.append(MissionReturned(reason="a newer plan version"))
    return events


def _task(desk: Desk, plan: Plan) -> list[PlannedTask]:
    return [
        PlannedTask(
            task=task.id,
            title=task.title,
            role=task.role,
            depends_on=task.depends_on,
            context_files=task.context_files,
            write_files=task.write_files,
            acceptance=task.acceptance,
            expected_evidence=task.expected_evidence,
            checkpoint=checkpoint_reasons(task, desk.policy.clarification.checkpoints),
        )
        for task in plan.tasks
    ]
