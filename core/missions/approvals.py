"""Approvals: requests for the operator's yes or no, bound to a digest and answered once (§3)."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field
from sqlalchemy import select

from core.desk import OPERATOR, Desk
from core.errors import Invalid, NotFound, Refused
from core.journal.envelope import Event
from core.journal.events.mission import MissionApproved, MissionFailed, MissionReturned
from core.journal.events.session import SessionApproved
from core.journal.events.shared import ApprovalDecided
from core.journal.tables import ApprovalRow, table_of
from core.missions.rework import rework_events
from core.missions.state import Approval, MissionState
from core.operations import Params, View, operation
from core.planning.criteria import require_confirmed
from core.planning.operations import require_clear_session

_MIN_NOTE = 3


class ListApprovals(Params):
    """Which approvals."""

    decided: Annotated[bool, Field(description="Decided ones too")] = False


class ApprovalParams(Params):
    """One approval."""

    approval: Annotated[str, Field(description="Approval id, such as a-4T9K2QX0ZB")]


class DecideApproval(Params):
    """The one answer."""

    approval: Annotated[str, Field(description="Approval id")]
    answer: Annotated[
        Literal["approved", "rejected", "changes_requested"],
        Field(description="approved, rejected or changes_requested"),
    ]
    note: Annotated[str, Field(max_length=10_000, description="Why; needed unless approved")] = ""
    digest: Annotated[str, Field(description="The digest you looked at; checked if given")] = ""


class ApproveMission(Params):
    """Approve the plan of a mission."""

    mission: Annotated[str, Field(description="Mission id")]
    version: Annotated[int, Field(ge=0, description="The version you read; 0: the newest")] = 0


class ApprovalView(View):
    """A request and its answer."""

    id: str
    mission: str
    kind: str
    subject: str
    digest: str
    version: int
    state: str
    note: str
    requested_at: str
    decided_at: str | None
    decided_by: str


class ApprovalsView(View):
    """Approvals, oldest open one first."""

    approvals: tuple[ApprovalView, ...]


def _view(row: Mapping[Any, Any]) -> ApprovalView:
    return ApprovalView(
        **{
            name: row[name]
            for name in (
                "id",
                "mission",
                "kind",
                "subject",
                "digest",
                "version",
                "state",
                "note",
                "decided_by",
            )
        },
        requested_at=row["requested_at"].isoformat(),
        decided_at=row["decided_at"].isoformat() if row["decided_at"] else None,
    )


@operation("approval.list", "read")
async def list_approvals(desk: Desk, params: ListApprovals) -> ApprovalsView:
    """What waits for your yes or no."""
    table = table_of(ApprovalRow)
    query = select(table).order_by(table.c.requested_at).limit(500)
    if not params.decided:
        query = query.where(table.c.state == "pending")
    with desk.journal.query() as connection:
        rows = connection.execute(query).mappings().all()
    return ApprovalsView(approvals=tuple(_view(dict(row)) for row in rows))


@operation("approval.show", "read")
async def show_approval(desk: Desk, params: ApprovalParams) -> ApprovalView:
    """One approval."""
    return _find(desk, params.approval)


def _find(desk: Desk, approval: str) -> ApprovalView:
    table = table_of(ApprovalRow)
    with desk.journal.query() as connection:
        row = connection.execute(select(table).where(table.c.id == approval)).mappings().first()
    if row is None:
        raise NotFound("approval", approval)
    return _view(dict(row))


@operation("approval.decide", "approve")
async def decide_approval(desk: Desk, params: DecideApproval) -> ApprovalView:
    """Answer an approval; it is answered once, and bound to its digest."""
    found = _find(desk, params.approval)
    if params.answer != "approved" and len(params.note.strip()) < _MIN_NOTE:
        raise Invalid("note", "Say why.", recovery="Give a note of 3 characters or more.")
    if params.digest and params.digest != found.digest:
        raise Refused(
            "APPROVAL_STALE",
            "You looked at another digest than this approval asks about.",
            recovery="Look at the current evidence, then decide.",
            data={"asked": found.digest, "given": params.digest},
        )
    state = desk.mission(found.mission)
    appends = await _consequences(desk, state, state.approvals[found.id], params)
    await desk.write_all(appends, actor=OPERATOR)
    return _find(desk, found.id)


async def _consequences(
    desk: Desk, state: MissionState, approval: Approval, params: DecideApproval
) -> dict[str, list[Event]]:
    decided = ApprovalDecided(
        approval=approval.id, answer=params.answer, digest=approval.digest, note=params.note
    )
    events: list[Event] = [decided]
    appends: dict[str, list[Event]] = {f"mission:{state.id}": events}
    if approval.state != "pending":
        return appends  # refused at the append: an approval is answered once
    if approval.kind == "plan" and params.answer == "approved":
        events.append(await _approve(desk, state))
        appends[f"session:{state.session}"] = [SessionApproved(version=state.version)]
    elif approval.kind == "plan":
        events.append(MissionReturned(reason=params.note))
    elif approval.kind == "checkpoint" and params.answer != "approved":
        events.append(MissionFailed(reason=f"checkpoint of {approval.subject}: {params.note}"))
    elif approval.kind == "evidence" and params.answer == "changes_requested":
        events += rework_events(state, (params.note,), task="")
    return appends


async def _approve(desk: Desk, state: MissionState) -> MissionApproved:
    """Pin the version; refused while the gate triggers or a proposed criterion is left."""
    session = desk.session(state.session)
    await require_clear_session(desk, session)
    require_confirmed(session.criteria)
    return MissionApproved(
        version=state.version,
        digest=state.digest,
        criteria=tuple(c.model_dump(mode="json") for c in session.criteria),
        spec=session.spec,
    )


@operation("mission.approve", "approve")
async def approve_mission(desk: Desk, params: ApproveMission) -> ApprovalView:
    """Approve exactly the plan version that you read."""
    state = desk.mission(params.mission)
    if params.version not in (0, state.version):
        raise Refused(
            "VERSION_STALE",
            f"Version {params.version} is not current; {state.version} is.",
            recovery="Read the current version, then approve it.",
            data={"current": state.version},
        )
    pending = state.approval_for("plan", state.id)
    if pending is None or state.state != "pending_approval":
        raise Refused(
            "APPROVAL_NOT_REQUESTED",
            f"No approval was requested; the mission is {state.state}.",
            recovery="Generate a plan first.",
            data={"state": state.state},
        )
    return await decide_approval(
        desk, DecideApproval(approval=pending.id, answer="approved", digest=pending.digest)
    )
