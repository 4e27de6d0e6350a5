"""What a surface sees of a mission, made from its state alone, so that a replay shows the same."""

from typing import Any

from core.missions.state import MissionState
from core.operations import View


class TaskView(View):
    """A task with its runs."""

    id: str
    title: str
    state: str
    depends_on: tuple[str, ...]
    attempts: int
    run: str
    commit: str
    checkpoint: tuple[str, ...]


class RunView(View):
    """One attempt at a task."""

    id: str
    task: str
    attempt: int
    progress: str
    base: str
    commit: str | None
    digest: str
    problems: tuple[str, ...]
    commands: tuple[dict[str, Any], ...]
    end: str
    error: str


class VerdictView(View):
    """One family's judgement."""

    family: str
    model: str
    verdict: str
    confidence: float
    summary: str
    criteria: tuple[dict[str, Any], ...]
    blocking_issues: tuple[str, ...]
    cause: str
    digest: str
    stale: bool
    rehearsal: bool


class GateView(View):
    """The gate's answer; ``code`` is the first refusal, empty when it is open, None before."""

    code: str | None
    checks: tuple[dict[str, Any], ...]


class MissionView(View):
    """A mission with everything that its screens show."""

    id: str
    session: str
    repo: str
    title: str
    goal: str
    state: str
    phase: str
    held: bool
    rehearsal: str
    where: str
    version: int
    approved_version: int
    base: str
    branch: str
    head: str
    criteria: tuple[dict[str, Any], ...]
    tasks: tuple[TaskView, ...]
    runs: tuple[RunView, ...]
    holds: tuple[dict[str, Any], ...]
    approvals: tuple[dict[str, Any], ...]
    package: int
    digest: str
    risk: dict[str, Any] | None
    verdicts: tuple[VerdictView, ...]
    validation_skipped: str
    decision: str
    causes: tuple[str, ...]
    lifted_by: str
    gate: GateView
    pushed: str
    pull_request: dict[str, Any] | None
    outcome: str


def view_of(state: MissionState) -> MissionView:
    """The view of a mission at the moment of ``state``."""
    package = state.package
    active = state.state in ("running", "paused")
    return MissionView(
        id=state.id,
        session=state.session,
        repo=state.repo,
        title=state.title,
        goal=state.goal,
        state=state.state,
        phase=state.phase if active else "",
        held=bool(state.holds),
        rehearsal=state.rehearsal,
        where=state.where,
        version=state.version,
        approved_version=state.approved_version,
        base=state.base,
        branch=state.branch,
        head=state.head,
        criteria=tuple(dict(c) for c in state.criteria),
        tasks=tuple(_tasks(state)),
        runs=tuple(_runs(state)),
        holds=tuple(_holds(state)),
        approvals=tuple(_approvals(state)),
        package=state.package_count,
        digest=package.digest if package else "",
        risk=_risk(state),
        verdicts=tuple(_verdicts(state)),
        validation_skipped=state.validation_skipped,
        decision=state.decision,
        causes=state.causes,
        lifted_by=state.lifted_by,
        gate=GateView(code=state.gate_code, checks=tuple(dict(c) for c in state.gate_checks)),
        pushed=state.pushed,
        pull_request=state.pull_request.model_dump(mode="json") if state.pull_request else None,
        outcome=state.outcome,
    )


def _tasks(state: MissionState) -> list[TaskView]:
    return [
        TaskView(
            id=task.id,
            title=task.planned.title,
            state=task.state,
            depends_on=task.planned.depends_on,
            attempts=task.attempts,
            run=task.run,
            commit=task.commit,
            checkpoint=task.planned.checkpoint,
        )
        for task in state.tasks.values()
    ]


def _runs(state: MissionState) -> list[RunView]:
    return [
        RunView(
            id=run.id,
            task=run.task,
            attempt=run.attempt,
            progress=run.progress,
            base=run.base,
            commit=run.commit,
            digest=run.digest,
            problems=run.problems,
            commands=tuple(dict(command) for command in run.commands),
            end=run.end,
            error=run.error,
        )
        for run in state.runs.values()
    ]


def _holds(state: MissionState) -> list[dict[str, Any]]:
    return [
        {
            "id": hold.id,
            "code": hold.code,
            "subject": hold.subject,
            "since": hold.since.isoformat(),
            "resumes_at": hold.resumes_at.isoformat() if hold.resumes_at else None,
            "facts": dict(hold.facts),
        }
        for hold in state.holds.values()
    ]


def _approvals(state: MissionState) -> list[dict[str, Any]]:
    return [
        {
            "id": a.id,
            "kind": a.kind,
            "subject": a.subject,
            "digest": a.digest,
            "version": a.version,
            "state": a.state,
            "reasons": list(a.reasons),
            "note": a.note,
        }
        for a in state.approvals.values()
    ]


def _risk(state: MissionState) -> dict[str, Any] | None:
    if state.package is None:
        return None
    return {
        "score": state.package.risk_score,
        "level": state.package.risk_level,
        "factors": [dict(factor) for factor in state.package.factors],
    }


def _verdicts(state: MissionState) -> list[VerdictView]:
    return [
        VerdictView(
            family=v.family,
            model=v.model,
            verdict=v.verdict,
            confidence=v.confidence,
            summary=v.summary,
            criteria=tuple(dict(c) for c in v.criteria),
            blocking_issues=v.blocking_issues,
            cause=v.cause,
            digest=v.digest,
            stale=state.package is None or v.digest != state.package.digest,
            rehearsal=bool(state.rehearsal),
        )
        for v in state.verdicts.values()
    ]
