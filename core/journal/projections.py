"""How each event changes the read tables, in the same transaction as its append (domain.md §2).

A projection is a function of the event and of the stream's state before and after it, so that a
rebuild ends with identical rows. It reads nothing and does no I/O of its own.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Executable, Table, bindparam, delete, update
from sqlalchemy.dialects.sqlite import insert

from core.journal import tables
from core.journal.envelope import Envelope
from core.journal.interfaces import Write
from core.missions.machine import STAGE_OF_STEP
from core.missions.state import MissionState
from core.planning.sessions import SessionState
from core.repos.registry import RepoState


def _upsert(table: Table) -> Executable:
    statement = insert(table)
    keys = [column.name for column in table.primary_key]
    changed = {c.name: statement.excluded[c.name] for c in table.columns if c.name not in keys}
    return statement.on_conflict_do_update(index_elements=keys, set_=changed)


_T = {row: tables.table_of(row) for row in tables.ROWS}
_PUT = {row: _upsert(table) for row, table in _T.items()}
_ADD = {row: insert(table) for row, table in _T.items()}
_stage, _hold, _approval = _T[tables.StageRow], _T[tables.HoldRow], _T[tables.ApprovalRow]
_DROP_CALL = delete(_T[tables.CallRow]).where(_T[tables.CallRow].c.id == bindparam("of_call"))
_END_STAGE = (
    update(_stage)
    .where(_stage.c.mission == bindparam("of_mission"))
    .where(_stage.c.run == bindparam("of_run"))
    .where(_stage.c.step == bindparam("of_step"))
    .where(_stage.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"), outcome=bindparam("how"))
)
_END_STAGES = (
    update(_stage)
    .where(_stage.c.mission == bindparam("of_mission"))
    .where(_stage.c.ended_at.is_(None))
    .values(ended_at=bindparam("at"), outcome=bindparam("how"))
)
_END_HOLD = (
    update(_hold)
    .where(_hold.c.id == bindparam("of_hold"))
    .values(resolved_at=bindparam("at"), action=bindparam("how"))
)
_END_APPROVAL = (
    update(_approval)
    .where(_approval.c.id == bindparam("of_approval"))
    .values(
        state=bindparam("how"),
        note=bindparam("why"),
        decided_at=bindparam("at"),
        decided_by=bindparam("who"),
    )
)
# The outcome that ends each step's stage.
_ENDS = {
    "run.prepared": "prepare",
    "run.coded": "code",
    "run.failed": "code",
    "run.committed": "commit",
    "run.tested": "test",
    "run.evidenced": "evidence",
    "run.reviewed": "review",
    "run.merged": "merge",
    "mission.packaged": "package",
    "verdict.recorded": "validate",
    "mission.decided": "decide",
    "gate.checked": "gate",
    "branch.pushed": "push",
    "pull_request.opened": "pull_request",
    "step.abandoned": "",
}


class ReadTables:
    """The projection of every stream onto the tables in ``tables.py``."""

    name = "read"
    version = 1
    tables: Sequence[Table] = tuple(_T.values())

    def writes(self, envelope: Envelope, before: Any, after: Any) -> Iterable[Write]:
        """The statements for one event, in order."""
        yield from _rows_of_stream(envelope, after)
        handler = _HANDLERS.get(envelope.kind)
        if handler is not None:
            yield from handler(envelope, before, after)
        if envelope.kind in _ENDS:
            yield _end_stage(envelope)


def _rows_of_stream(envelope: Envelope, after: Any) -> Iterator[Write]:
    if isinstance(after, MissionState):
        yield _PUT[tables.MissionRow], _mission_row(envelope, after)
        task = getattr(envelope.event, "task", "") or _task_of_run(envelope, after)
        if task and envelope.kind.startswith(("task.", "run.")):
            yield _PUT[tables.TaskRow], _task_row(after, task)
    elif isinstance(after, SessionState):
        yield _PUT[tables.SessionRow], _session_row(envelope, after)
    elif isinstance(after, RepoState):
        yield (
            _PUT[tables.RepoRow],
            {
                "id": after.id,
                "state": after.state,
                "path": after.path,
                "base_branch": after.base_branch,
                "added_at": envelope.at,
            },
        )


def _task_of_run(envelope: Envelope, state: MissionState) -> str:
    found = state.runs.get(getattr(envelope.event, "run", ""))
    return found.task if found else ""


def _mission_row(envelope: Envelope, state: MissionState) -> dict[str, Any]:
    return {
        "id": state.id,
        "session": state.session,
        "repo": state.repo,
        "title": state.title,
        "state": state.state,
        "phase": state.phase if state.state in ("running", "paused") else "",
        "rehearsal": state.rehearsal,
        "where": state.where,
        "version": state.version,
        "digest": state.package.digest if state.package else "",
        "decision": state.decision,
        "risk_score": state.package.risk_score if state.package else None,
        "gate_code": state.gate_code,
        "pull_request": state.pull_request.url if state.pull_request else "",
        "drafted_at": state.drafted_at or envelope.at,
        "changed_at": envelope.at,
    }


def _session_row(envelope: Envelope, state: SessionState) -> dict[str, Any]:
    return {
        "id": state.id,
        "repo": state.repo,
        "title": state.title,
        "state": state.state,
        "archived": state.archived,
        "rehearsal": state.rehearsal,
        "score": state.score,
        "mission": state.mission,
        "version": state.version,
        "started_at": state.started_at or envelope.at,
        "changed_at": envelope.at,
    }


def _task_row(state: MissionState, task_id: str) -> dict[str, Any]:
    task = state.tasks[task_id]
    return {
        "mission": state.id,
        "id": task.id,
        "title": task.planned.title,
        "state": task.state,
        "run": task.run,
        "attempts": task.attempts,
        "commit": task.commit,
    }


def _drafted(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    for task in after.tasks:
        yield _PUT[tables.TaskRow], _task_row(after, task)


def _task_added(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield _PUT[tables.TaskRow], _task_row(after, event.planned.task)


def _message(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield (
        _ADD[tables.MessageRow],
        {
            "seq": envelope.seq,
            "id": event.message,
            "session": after.id,
            "author": event.author,
            "text": event.text,
            "at": envelope.at,
        },
    )


def _stage_row(envelope: Envelope, mission: str, **facts: str) -> Write:
    row = {"task": "", "run": "", **facts}
    return _ADD[tables.StageRow], {
        "seq": envelope.seq,
        "mission": mission,
        "started_at": envelope.at,
        "ended_at": None,
        "outcome": "",
        **row,
    }


def _step_started(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield _stage_row(
        envelope,
        after.id,
        task=event.task,
        run=event.subject,
        step=event.step,
        stage=STAGE_OF_STEP[event.step],
    )
    if event.step in ("code", "review"):
        yield from _call(envelope, f"{event.subject}:{event.step}", after.id, after.session)


def _task_started(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield _stage_row(
        envelope, after.id, task=event.task, run=event.run, step="assign", stage="assigned"
    )


def _end_stage(envelope: Envelope) -> Write:
    event: Any = envelope.event
    step = _ENDS[envelope.kind] or event.step
    subject = getattr(event, "run", "") or getattr(event, "subject", "")
    if envelope.kind == "verdict.recorded":
        subject = event.family
    how = {"run.failed": "failed", "step.abandoned": "abandoned"}.get(envelope.kind, "done")
    return _END_STAGE, {
        "of_mission": envelope.stream.partition(":")[2],
        "of_run": subject,
        "of_step": step,
        "at": envelope.at,
        "how": how,
    }


def _prepare_began(envelope: Envelope, run: str) -> Write:
    return _END_STAGE, {
        "of_mission": envelope.stream.partition(":")[2],
        "of_run": run,
        "of_step": "assign",
        "at": envelope.at,
        "how": "done",
    }


def _step(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    if event.step == "prepare":
        yield _prepare_began(envelope, event.subject)
    yield from _step_started(envelope, before, after)


def _stopped(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    yield (
        _END_STAGES,
        {"of_mission": after.id, "at": envelope.at, "how": envelope.kind.partition(".")[2]},
    )


def _asked(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield from _call(envelope, event.call, after.mission, after.id)


def _call(envelope: Envelope, call: str, mission: str, session: str) -> Iterator[Write]:
    yield (
        _PUT[tables.CallRow],
        {"id": call, "mission": mission, "session": session, "at": envelope.at},
    )


def _abandoned(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    """A call that its budget kept from beginning does not count."""
    event: Any = envelope.event
    if event.reason == "HOLD-BUDGET":
        yield _DROP_CALL, {"of_call": f"{event.subject}:{event.step}"}


def _answered(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    if event.end == "not_started":
        yield _DROP_CALL, {"of_call": event.call}


def _hold_raised(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield (
        _ADD[tables.HoldRow],
        {
            "id": event.hold,
            "stream": envelope.stream,
            "code": event.code,
            "subject": event.subject,
            "facts": event.facts,
            "raised_at": envelope.at,
            "resumes_at": event.resumes_at,
            "resolved_at": None,
            "action": "",
        },
    )


def _hold_resolved(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield _END_HOLD, {"of_hold": event.hold, "at": envelope.at, "how": event.action}


def _approval_requested(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield (
        _ADD[tables.ApprovalRow],
        {
            "id": event.approval,
            "mission": after.id,
            "kind": event.approval_kind,
            "subject": event.subject,
            "digest": event.digest,
            "version": event.version,
            "state": "pending",
            "note": "",
            "requested_at": envelope.at,
            "decided_at": None,
            "decided_by": "",
        },
    )


def _approval_ended(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    expired = envelope.kind == "approval.expired"
    yield (
        _END_APPROVAL,
        {
            "of_approval": event.approval,
            "how": "expired" if expired else event.answer,
            "why": event.reason if expired else event.note,
            "at": envelope.at,
            "who": envelope.actor,
        },
    )


def _verdict(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    yield (
        _ADD[tables.VerdictRow],
        {
            "seq": envelope.seq,
            "mission": after.id,
            "digest": event.digest,
            "family": event.family,
            "model": event.model,
            "verdict": event.verdict,
            "confidence": event.confidence,
            "summary": event.summary,
            "cause": event.cause,
            "at": envelope.at,
        },
    )


def _usage(envelope: Envelope, before: Any, after: Any) -> Iterator[Write]:
    event: Any = envelope.event
    row = event.model_dump()
    row["id"] = row.pop("call_id")
    row["cost_usd"] = None if event.cost_usd is None else format(event.cost_usd, "f")
    yield _PUT[tables.UsageRow], {**row, "at": envelope.at}


_HANDLERS: dict[str, Callable[[Envelope, Any, Any], Iterator[Write]]] = {
    "mission.drafted": _drafted,
    "mission.done": _stopped,
    "mission.cancelled": _stopped,
    "mission.failed": _stopped,
    "task.added": _task_added,
    "task.started": _task_started,
    "step.started": _step,
    "message.added": _message,
    "step.abandoned": _abandoned,
    "planner.asked": _asked,
    "planner.answered": _answered,
    "hold.raised": _hold_raised,
    "hold.resolved": _hold_resolved,
    "approval.requested": _approval_requested,
    "approval.decided": _approval_ended,
    "approval.expired": _approval_ended,
    "verdict.recorded": _verdict,
    "usage.recorded": _usage,
}
