"""How each recorded event changes a mission's state. Never fails, never refuses.

Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from core.journal.envelope import Envelope, Event
from core.journal.events import delivery, mission, run, shared
from core.missions.machine import MISSION_MOVES, RUN_MOVES, TASK_MOVES
from core.missions.state import Approval, Hold, MissionState, Run, Task

_K = TypeVar("_K")
_V = TypeVar("_V")


def _put(items: Mapping[_K, _V], key: _K, value: _V) -> dict[_K, _V]:
    return {**items, key: value}


def _without(items: Mapping[_K, _V], *keys: _K) -> dict[_K, _V]:
    return {k: v for k, v in items.items() if k not in keys}


def _drafted(state: MissionState, e: mission.MissionDrafted, envelope: Envelope) -> MissionState:
    return replace(
        state,
        drafted_at=state.drafted_at or envelope.at,
        state="draft",
        session=e.session,
        repo=e.repo,
        title=e.title,
        goal=e.goal,
        version=e.version,
        digest=e.digest,
        rehearsal=e.rehearsal,
        tasks={planned.task: Task(planned) for planned in e.tasks},
    )


def _approved(state: MissionState, e: mission.MissionApproved, _: Envelope) -> MissionState:
    return replace(
        state, state="approved", approved_version=e.version, criteria=e.criteria, spec=e.spec
    )


def _started(state: MissionState, e: mission.MissionStarted, _: Envelope) -> MissionState:
    return replace(
        state,
        state="running",
        base=e.base,
        base_branch=e.base_branch,
        branch=e.branch,
        where=e.where,
        host_commands=e.host_commands,
        settings=e.settings,
    )


def _moved(state: MissionState, e: Event, _: Envelope) -> MissionState:
    return replace(state, state=MISSION_MOVES.get((state.state, e.kind), state.state))


def _reopened(state: MissionState, _event: Event, _: Envelope) -> MissionState:
    tasks = {
        name: replace(task, state="pending", run="") if task.state == "failed" else task
        for name, task in state.tasks.items()
    }
    return replace(state, state="approved", tasks=tasks)


def _done(state: MissionState, e: mission.MissionDone, _: Envelope) -> MissionState:
    return replace(state, state="done", outcome=e.outcome)


def _task_added(state: MissionState, e: mission.TaskAdded, _: Envelope) -> MissionState:
    task = Task(e.planned, findings=e.findings, rework=True)
    return replace(
        state,
        tasks=_put(state.tasks, task.id, task),
        decision="",
        causes=(),
        lifted_by="",
        delivery_digest="",
        gate_code=None,
    )


def _task_started(state: MissionState, e: mission.TaskStarted, _: Envelope) -> MissionState:
    task = replace(state.tasks[e.task], state="running", run=e.run, attempts=e.attempt)
    return replace(
        state,
        tasks=_put(state.tasks, e.task, task),
        runs=_put(state.runs, e.run, Run(e.run, e.task, e.attempt)),
    )


def _task_retried(state: MissionState, e: mission.TaskRetried, _: Envelope) -> MissionState:
    task = replace(
        state.tasks[e.task], state="pending", run="", findings=e.findings, discard=e.discard
    )
    return replace(state, tasks=_put(state.tasks, e.task, task))


def _task_done(state: MissionState, e: mission.TaskDone, _: Envelope) -> MissionState:
    task = replace(state.tasks[e.task], state="done", commit=e.commit)
    return replace(state, tasks=_put(state.tasks, e.task, task))


def _task_moved(state: MissionState, e: Any, _: Envelope) -> MissionState:
    task = state.tasks[e.task]
    after = TASK_MOVES.get((task.state, e.kind), task.state)
    return replace(state, tasks=_put(state.tasks, e.task, replace(task, state=after)))


def _step_started(state: MissionState, e: run.StepStarted, _: Envelope) -> MissionState:
    return replace(state, open_steps=_put(state.open_steps, (e.step, e.subject), e.task))


def _step_abandoned(state: MissionState, e: run.StepAbandoned, _: Envelope) -> MissionState:
    return replace(state, open_steps=_without(state.open_steps, (e.step, e.subject)))


def _run_moved(step: str, *fields: str) -> "_Apply":
    """Applies an outcome of ``step``: closes the intent, moves the run, copies ``fields``."""

    def apply(state: MissionState, e: Any, _: Envelope) -> MissionState:
        found = state.runs[e.run]
        after = replace(
            found,
            progress=RUN_MOVES.get((found.progress, e.kind), found.progress),
            **{name: getattr(e, name) for name in fields},
        )
        return replace(
            state,
            runs=_put(state.runs, e.run, after),
            open_steps=_without(state.open_steps, (step, e.run)),
        )

    return apply


def _run_failed(state: MissionState, e: run.RunFailed, envelope: Envelope) -> MissionState:
    state = _run_moved("code", "end", "error", "resets_at")(state, e, envelope)
    task = state.tasks[state.runs[e.run].task]
    if e.end != "lost":
        return state
    return replace(state, tasks=_put(state.tasks, task.id, replace(task, lost=task.lost + 1)))


def _run_reviewed(state: MissionState, e: run.RunReviewed, envelope: Envelope) -> MissionState:
    state = _run_moved("review")(state, e, envelope)
    wanted = () if e.approved else e.findings
    after = replace(state.runs[e.run], rework=wanted)
    return replace(state, runs=_put(state.runs, e.run, after))


def _run_merged(state: MissionState, e: run.RunMerged, envelope: Envelope) -> MissionState:
    return replace(_run_moved("merge", "commit")(state, e, envelope), tip=e.tip)


def _hold_raised(state: MissionState, e: shared.HoldRaised, envelope: Envelope) -> MissionState:
    hold = Hold(e.hold, e.code, e.subject, envelope.at, e.facts, e.resumes_at)
    return replace(state, holds=_put(state.holds, e.hold, hold))


def _hold_resolved(state: MissionState, e: shared.HoldResolved, _: Envelope) -> MissionState:
    return replace(state, holds=_without(state.holds, e.hold))


def _approval_requested(
    state: MissionState, e: shared.ApprovalRequested, _: Envelope
) -> MissionState:
    approval = Approval(
        e.approval, e.approval_kind, e.subject, e.digest, e.version, "pending", e.reasons
    )
    return replace(state, approvals=_put(state.approvals, e.approval, approval))


def _approval_decided(state: MissionState, e: shared.ApprovalDecided, _: Envelope) -> MissionState:
    approval = replace(state.approvals[e.approval], state=e.answer, note=e.note)
    return replace(state, approvals=_put(state.approvals, e.approval, approval))


def _approval_expired(state: MissionState, e: shared.ApprovalExpired, _: Envelope) -> MissionState:
    approval = replace(state.approvals[e.approval], state="expired")
    return replace(state, approvals=_put(state.approvals, e.approval, approval))


def _packaged(state: MissionState, e: delivery.MissionPackaged, _: Envelope) -> MissionState:
    return replace(
        state,
        package=e,
        package_count=e.number,
        verdicts={},
        validation_skipped="",
        decision="",
        causes=(),
        lifted_by="",
        delivery_digest="",
        gate_code=None,
        open_steps=_without(state.open_steps, ("package", "")),
    )


def _verdict(state: MissionState, e: delivery.VerdictRecorded, _: Envelope) -> MissionState:
    return replace(
        state,
        verdicts=_put(state.verdicts, e.family, e),
        decision="",
        causes=(),
        lifted_by="",
        open_steps=_without(state.open_steps, ("validate", e.family)),
    )


def _validation_skipped(
    state: MissionState, e: delivery.ValidationSkipped, _: Envelope
) -> MissionState:
    return replace(state, validation_skipped=e.reason)


def _repeated(state: MissionState, _event: Event, _: Envelope) -> MissionState:
    return replace(state, verdicts={}, decision="", causes=(), lifted_by="", gate_code=None)


def _decided(state: MissionState, e: delivery.MissionDecided, _: Envelope) -> MissionState:
    return replace(
        state,
        decision=e.decision,
        causes=e.causes,
        lifted_by=e.lifted_by,
        open_steps=_without(state.open_steps, ("decide", "")),
    )


def _delivery_requested(
    state: MissionState, e: delivery.DeliveryRequested, _: Envelope
) -> MissionState:
    return replace(state, delivery_digest=e.digest, gate_code=None)


def _gate_checked(state: MissionState, e: delivery.GateChecked, _: Envelope) -> MissionState:
    return replace(
        state,
        gate_code=e.code,
        gate_checks=e.checks,
        delivery_digest=state.delivery_digest if e.open else "",
        open_steps=_without(state.open_steps, ("gate", "")),
    )


def _pushed(state: MissionState, e: delivery.BranchPushed, _: Envelope) -> MissionState:
    return replace(state, pushed=e.commit, open_steps=_without(state.open_steps, ("push", "")))


def _opened(state: MissionState, e: delivery.PullRequestOpened, _: Envelope) -> MissionState:
    return replace(
        state, pull_request=e, open_steps=_without(state.open_steps, ("pull_request", ""))
    )


_Apply = Callable[[MissionState, Any, Envelope], MissionState]
APPLY: Mapping[str, _Apply] = {
    "mission.drafted": _drafted,
    "mission.approved": _approved,
    "mission.started": _started,
    "mission.reopened": _reopened,
    "mission.done": _done,
    **dict.fromkeys(
        (
            "mission.submitted",
            "mission.returned",
            "mission.paused",
            "mission.resumed",
            "mission.cancelled",
            "mission.failed",
        ),
        _moved,
    ),
    "task.added": _task_added,
    "task.started": _task_started,
    "task.retried": _task_retried,
    "task.done": _task_done,
    **dict.fromkeys(("task.held", "task.failed", "task.cancelled"), _task_moved),
    "step.started": _step_started,
    "step.abandoned": _step_abandoned,
    "run.prepared": _run_moved("prepare", "base", "worktree", "setup"),
    "run.coded": _run_moved("code"),
    "run.failed": _run_failed,
    "run.committed": _run_moved("commit", "commit", "findings"),
    "run.tested": _run_moved("test", "commands"),
    "run.evidenced": _run_moved("evidence", "digest", "problems"),
    "run.reviewed": _run_reviewed,
    "run.merged": _run_merged,
    "hold.raised": _hold_raised,
    "hold.resolved": _hold_resolved,
    "approval.requested": _approval_requested,
    "approval.decided": _approval_decided,
    "approval.expired": _approval_expired,
    "mission.packaged": _packaged,
    "verdict.recorded": _verdict,
    "validation.skipped": _validation_skipped,
    "validation.repeated": _repeated,
    "mission.decided": _decided,
    "delivery.requested": _delivery_requested,
    "gate.checked": _gate_checked,
    "branch.pushed": _pushed,
    "pull_request.opened": _opened,
}
