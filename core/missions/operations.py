"""Operations on missions: start, pause, stop, rework, close, and looking at them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field
from sqlalchemy import select

from core.desk import OPERATOR, Desk
from core.errors import CockpitError, Invalid, Refused
from core.journal.envelope import Event
from core.journal.events.delivery import DeliveryRequested, ValidationRepeated
from core.journal.events.mission import (
    MissionCancelled,
    MissionDone,
    MissionPaused,
    MissionReopened,
    MissionResumed,
    MissionStarted,
    TaskCancelled,
)
from core.journal.events.session import SessionClosed, SessionExecuting, SessionReturned
from core.journal.events.shared import ApprovalExpired, HoldRaised, HoldResolved
from core.journal.tables import MissionRow, table_of
from core.missions.rework import rework_events
from core.missions.state import MissionState
from core.missions.views import MissionView, view_of
from core.missions.workshop import RepoRef
from core.operations import Params, View, operation
from core.planning.operations import require_clear_session
from core.planning.sessions import SessionState
from core.repos.policy import require_host_allowed, settings_of

MissionRef = Annotated[str, Field(description="Mission id, such as m-4T9K2QX0ZB")]


class MissionParams(Params):
    """One mission."""

    mission: MissionRef


class StartMission(Params):
    """Start an approved mission."""

    mission: MissionRef
    run_commands_on_host: Annotated[
        bool, Field(description="The repo's own commands may run on this machine")
    ] = False


class StopMission(Params):
    """Stop a mission for good."""

    mission: MissionRef
    reason: Annotated[str, Field(max_length=2_000)] = "stopped by the operator"


class ReworkMission(Params):
    """Send merged work back with findings."""

    mission: MissionRef
    findings: Annotated[
        tuple[str, ...], Field(min_length=1, max_length=50, description="What is to be changed")
    ]
    task: Annotated[str, Field(description="The task that the findings are about")] = ""


class ListMissions(Params):
    """Which missions."""

    repo: Annotated[str, Field(description="Only of this repository")] = ""
    state: Annotated[str, Field(description="Only in this state")] = ""
    limit: Annotated[int, Field(ge=1, le=1000)] = 100


class MissionRowView(View):
    """A mission in lists."""

    id: str
    repo: str
    title: str
    state: str
    phase: str
    rehearsal: str
    decision: str
    risk_score: int | None
    gate_code: str | None
    pull_request: str
    changed_at: str


class MissionsView(View):
    """Missions, last changed first."""

    missions: tuple[MissionRowView, ...]


@operation("mission.start", "write")
async def start_mission(desk: Desk, params: StartMission) -> MissionView:
    """Start an approved mission: from here on real work happens."""
    state = desk.mission(params.mission)
    if state.state != "approved":
        raise Refused(
            "MISSION_NOT_APPROVED",
            f"The mission is {state.state}; only an approved one can start.",
            recovery="Approve the plan first." if state.state == "pending_approval" else "",
            data={"state": state.state},
        )
    await require_clear_session(desk, desk.session(state.session))
    try:
        started = await _started(desk, state, params)
    except CockpitError as error:
        await _hold_start(desk, state, params, error)
        raise
    solved: list[Event] = [
        HoldResolved(hold=h.id, action="retry") for h in state.holds.values() if not h.subject
    ]
    session = desk.session(state.session)
    appends: dict[str, Sequence[Event]] = {f"mission:{state.id}": [*solved, started]}
    if session.state == "approved":
        appends[f"session:{state.session}"] = [SessionExecuting(mission=state.id)]
    await desk.write_all(appends, actor=OPERATOR)
    return view_of(desk.mission(state.id))


async def _started(desk: Desk, state: MissionState, params: StartMission) -> MissionStarted:
    repo = desk.repo(state.repo)
    settings = settings_of(desk, repo)
    if not settings.enabled:
        raise Refused(
            "HOLD-TARGET-REPO-UNAVAILABLE",
            f"Repository {repo.id} is disabled.",
            recovery=f"cockpit repo set {repo.id} enabled true",
            data={"reason": "disabled"},
        )
    require_host_allowed(desk, repo, rehearsal=bool(state.rehearsal))
    facts = await desk.ports.workshop.inspect(Path(repo.path), repo.base_branch)
    base = await desk.ports.workshop.base(RepoRef(repo.id, Path(repo.path), repo.base_branch))
    return MissionStarted(
        base=state.base or base,
        branch=f"cockpit/{_slug(state.title)}-{state.id}",
        base_branch=repo.base_branch,
        where=desk.ports.coder.where,
        host_commands=params.run_commands_on_host or settings.runner.host,
        dirty=bool(facts.get("dirty")),
        settings=settings.model_dump(mode="json"),
    )


async def _hold_start(
    desk: Desk, state: MissionState, params: StartMission, error: CockpitError
) -> None:
    """The mission stays approved and no run exists (domain.md §6)."""
    if not error.code.startswith("HOLD-") or state.hold_of("") is not None:
        return
    again = {"name": "mission.start", "params": params.model_dump(mode="json")}
    hold = HoldRaised(
        hold=desk.context.short_id("h"),
        code=error.code,
        facts={"error": error.sentence, **error.data, "operation": again},
    )
    await desk.write(f"mission:{state.id}", [hold], actor="system")


def _slug(title: str) -> str:
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in title.lower()).split()
    return "-".join(words)[:40].strip("-") or "mission"


@operation("mission.pause", "write")
async def pause_mission(desk: Desk, params: MissionParams) -> MissionView:
    """Freeze a running mission where it is."""
    state = desk.mission(params.mission)
    await desk.write(f"mission:{state.id}", [MissionPaused()], actor=OPERATOR)
    return view_of(desk.mission(state.id))


@operation("mission.resume", "write")
async def resume_mission(desk: Desk, params: MissionParams) -> MissionView:
    """Let a paused mission go on."""
    state = desk.mission(params.mission)
    await desk.write(f"mission:{state.id}", [MissionResumed()], actor=OPERATOR)
    return view_of(desk.mission(state.id))


@operation("mission.stop", "write")
async def stop_mission(desk: Desk, params: StopMission) -> MissionView:
    """Stop a mission: every process ends within 2 s; finished tasks are kept."""

    def stop(state: MissionState) -> list[Event]:
        events: list[Event] = [MissionCancelled(reason=params.reason)]
        events += [
            TaskCancelled(task=t.id)
            for t in state.tasks.values()
            if t.state in ("pending", "running", "held")
        ]
        events += _loose_ends(state, "the mission was stopped")
        return events

    state = desk.mission(params.mission)
    await _decide_with_session(desk, state, stop, params.reason)
    await _end_processes(desk, desk.mission(state.id))
    return view_of(desk.mission(state.id))


async def _decide_with_session(
    desk: Desk,
    state: MissionState,
    decider: Callable[[MissionState], list[Event]],
    reason: str,
) -> None:
    """End a mission and let its session follow, in one append."""
    ours, talk = f"mission:{state.id}", f"session:{state.session}"

    def decide(mission: MissionState, session: SessionState) -> dict[str, list[Event]]:
        follows: list[Event] = []
        if session.mission == mission.id and session.state == "executing":
            follows = [SessionClosed(reason=reason)]
        elif session.mission == mission.id and session.state == "approved":
            follows = [SessionReturned(to="planned", reason=reason)]
        return {ours: decider(mission), talk: follows}

    await desk.decide_all([ours, talk], decide)


async def _end_processes(desk: Desk, state: MissionState) -> None:
    for task in state.tasks.values():
        if task.run:
            await desk.ports.coder.stop(task.run)  # type: ignore[arg-type]
            await desk.ports.harness.stop(task.run)
    await desk.ports.harness.stop(state.id)


def _loose_ends(state: MissionState, reason: str) -> list[Event]:
    """Nothing waits for an answer once a mission has ended."""
    expired: list[Event] = [
        ApprovalExpired(approval=a.id, reason=reason)
        for a in state.approvals.values()
        if a.state == "pending"
    ]
    solved: list[Event] = [HoldResolved(hold=h, action="stopped") for h in state.holds]
    return expired + solved


@operation("mission.retry", "write")
async def retry_mission(desk: Desk, params: MissionParams) -> MissionView:
    """Reopen a failed mission: its plan is approved still, and it can be started again."""
    state = desk.mission(params.mission)
    ours, talk = f"mission:{state.id}", f"session:{state.session}"

    def reopen(_: MissionState, session: SessionState) -> dict[str, list[Event]]:
        executing = session.state == "executing"
        back: list[Event] = [SessionReturned(to="approved", reason="retried")]
        return {ours: [MissionReopened()], talk: back if executing else []}

    await desk.decide_all([ours, talk], reopen)
    return view_of(desk.mission(state.id))


@operation("mission.rework", "write")
async def rework_mission(desk: Desk, params: ReworkMission) -> MissionView:
    """Send merged work back with findings, as a new task on the mission's tip."""
    state = desk.mission(params.mission)
    findings = tuple(text.strip() for text in params.findings if text.strip())
    if not findings:
        raise Invalid("findings", "Rework needs findings.", recovery="Say what is to be changed.")
    if params.task and params.task not in state.tasks:
        raise Invalid("task", f"There is no task {params.task!r}.")
    await desk.decide(f"mission:{state.id}", lambda s: rework_events(s, findings, task=params.task))
    return view_of(desk.mission(state.id))


@operation("mission.validate", "write")
async def validate_again(desk: Desk, params: MissionParams) -> MissionView:
    """Ask both validator families again about the same evidence."""

    def again(state: MissionState) -> list[Event]:
        if state.package is None or state.decision != "WAITING":
            raise Refused(
                "VALIDATION_NOT_POSSIBLE",
                "Validators are asked again only while a decision waits.",
                data={"decision": state.decision},
            )
        return [ValidationRepeated(digest=state.package.digest)]

    state = desk.mission(params.mission)
    await desk.decide(f"mission:{state.id}", again)
    return view_of(desk.mission(state.id))


@operation("mission.deliver", "approve")
async def deliver_mission(desk: Desk, params: MissionParams) -> MissionView:
    """Ask the gate for the draft pull request; a second call is harmless."""

    def request(state: MissionState) -> list[Event]:
        if state.pull_request is not None:
            return []
        if state.package is None or not state.decision:
            raise Refused(
                "NOTHING_TO_DELIVER",
                "There is no decided evidence yet.",
                recovery="Wait until the validators have answered.",
                data={"phase": state.phase},
            )
        if state.delivery_digest == state.package.digest:
            return []
        return [DeliveryRequested(digest=state.package.digest)]

    state = desk.mission(params.mission)
    await desk.decide(f"mission:{state.id}", request)
    return view_of(desk.mission(state.id))


@operation("mission.close", "write")
async def close_mission(desk: Desk, params: MissionParams) -> MissionView:
    """End a mission without a pull request; its branch and evidence are kept."""

    def close(state: MissionState) -> list[Event]:
        if any(t.state == "running" for t in state.tasks.values()):
            raise Refused(
                "MISSION_BUSY",
                "A task is running.",
                recovery="Wait, or stop the mission.",
            )
        return [*_loose_ends(state, "the mission was closed"), MissionDone(outcome="closed")]

    state = desk.mission(params.mission)
    await _decide_with_session(desk, state, close, "closed by the operator")
    return view_of(desk.mission(state.id))


@operation("mission.show", "read")
async def show_mission(desk: Desk, params: MissionParams) -> MissionView:
    """One mission: tasks, runs, evidence, verdicts, decision, gate."""
    return view_of(desk.mission(params.mission))


@operation("mission.list", "read")
async def list_missions(desk: Desk, params: ListMissions) -> MissionsView:
    """Missions, last changed first."""
    table = table_of(MissionRow)
    query = select(table).order_by(table.c.changed_at.desc()).limit(params.limit)
    if params.repo:
        query = query.where(table.c.repo == params.repo)
    if params.state:
        query = query.where(table.c.state == params.state)
    with desk.journal.query() as connection:
        rows = connection.execute(query).mappings().all()
    return MissionsView(missions=tuple(_row(dict(row)) for row in rows))


def _row(row: dict[str, Any]) -> MissionRowView:
    names = MissionRowView.model_fields.keys() - {"changed_at"}
    return MissionRowView(
        **{name: row[name] for name in names}, changed_at=row["changed_at"].isoformat()
    )
