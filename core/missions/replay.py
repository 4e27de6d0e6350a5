"""Looking back: any past state of a mission from the journal alone, its log, diff and evidence."""

from typing import Annotated, Any

import orjson
from pydantic import Field
from sqlalchemy import select

from core.desk import Desk
from core.errors import Invalid, NotFound, Refused
from core.journal.tables import StageRow, table_of
from core.judgement.package import check_package
from core.missions.machine import NEW
from core.missions.operations import MissionParams, MissionRef
from core.missions.run_steps import repo_of
from core.missions.state import MissionState
from core.missions.views import MissionView, view_of
from core.operations import Params, View, operation

_MOST_TEXT = 2_000_000


class ReplayMission(Params):
    """A moment of a mission."""

    mission: MissionRef
    at: Annotated[int, Field(ge=0, description="Sequence number; 0: now")] = 0


class LogMission(Params):
    """A part of a mission's history."""

    mission: MissionRef
    after: Annotated[int, Field(ge=0, description="Only events after this sequence number")] = 0
    limit: Annotated[int, Field(ge=1, le=5000)] = 1000


class ShowEvidence(Params):
    """A package of a mission, or one file of it."""

    mission: MissionRef
    package: Annotated[str, Field(description="A run id or a number; default: the newest")] = ""
    file: Annotated[str, Field(description="Show this file of it")] = ""


class EventView(View):
    """One recorded fact."""

    seq: int
    at: str
    kind: str
    actor: str
    payload: dict[str, Any]


class LogView(View):
    """Events of a mission, oldest first."""

    mission: str
    events: tuple[EventView, ...]


class StageView(View):
    """A stage of the timeline."""

    task: str
    run: str
    step: str
    stage: str
    started_at: str
    ended_at: str | None
    elapsed_ms: int | None
    outcome: str


class TimelineView(View):
    """The stages of a mission in the order in which they began."""

    mission: str
    stages: tuple[StageView, ...]


class ReplayView(View):
    """A mission as it was when ``at`` was the newest event."""

    at: int
    mission: MissionView


class TextView(View):
    """A text of a mission."""

    mission: str
    name: str
    text: str
    cut: bool


class EvidenceView(View):
    """An evidence package: its files, and whether they are what was digested."""

    mission: str
    package: str
    digest: str
    intact: bool
    damage: tuple[str, ...]
    files: tuple[dict[str, Any], ...]
    text: str


@operation("mission.replay", "read")
async def replay_mission(desk: Desk, params: ReplayMission) -> ReplayView:
    """A past state of a mission, from the journal alone."""
    desk.mission(params.mission)
    at = params.at or desk.journal.head()
    state = await desk.aside(lambda: desk.journal.state_at(f"mission:{params.mission}", at)[1])
    if state.state == NEW:
        raise Refused(
            "MISSION_NOT_YET",
            f"The mission did not exist at {at}.",
            recovery=f"See 'cockpit mission log {params.mission}' for its events.",
        )
    return ReplayView(at=at, mission=view_of(state))


@operation("mission.log", "read")
async def log_mission(desk: Desk, params: LogMission) -> LogView:
    """What happened in a mission, event by event."""
    desk.mission(params.mission)
    events = await desk.aside(
        lambda: desk.journal.read(
            after=params.after, stream=f"mission:{params.mission}", limit=params.limit
        )
    )
    return LogView(
        mission=params.mission,
        events=tuple(
            EventView(
                seq=e.seq,
                at=e.at.isoformat(),
                kind=e.kind,
                actor=e.actor,
                payload=e.event.model_dump(mode="json"),
            )
            for e in events
        ),
    )


@operation("mission.timeline", "read")
async def show_timeline(desk: Desk, params: MissionParams) -> TimelineView:
    """The stages of a mission with start, end and elapsed time."""
    desk.mission(params.mission)
    table = table_of(StageRow)
    query = select(table).where(table.c.mission == params.mission).order_by(table.c.seq)
    with desk.journal.query() as connection:
        rows = connection.execute(query).mappings().all()
    return TimelineView(mission=params.mission, stages=tuple(_stage(dict(r)) for r in rows))


def _stage(row: dict[str, Any]) -> StageView:
    began, ended = row["started_at"], row["ended_at"]
    elapsed = int((ended - began).total_seconds() * 1000) if ended else None
    return StageView(
        task=row["task"],
        run=row["run"],
        step=row["step"],
        stage=row["stage"],
        started_at=began.isoformat(),
        ended_at=ended.isoformat() if ended else None,
        elapsed_ms=elapsed,
        outcome=row["outcome"],
    )


@operation("mission.diff", "read")
async def show_diff(desk: Desk, params: MissionParams) -> TextView:
    """The mission's whole diff, from its base to its tip."""
    state = desk.mission(params.mission)
    if not state.base or state.head == state.base:
        raise Refused("NO_DIFF", "Nothing has been merged into the mission yet.")
    folder = desk.folders.runs / f"{state.id}-diff"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = folder / "diff.patch"
    await desk.ports.workshop.write_patch(repo_of(desk, state), state.base, state.head, file)
    raw = await desk.aside(file.read_bytes)
    text = raw[:_MOST_TEXT].decode("utf-8", errors="replace")
    return TextView(mission=state.id, name="diff.patch", text=text, cut=len(raw) > _MOST_TEXT)


@operation("mission.evidence", "read")
async def show_evidence(desk: Desk, params: ShowEvidence) -> EvidenceView:
    """An evidence package, checked against its digest."""
    state = desk.mission(params.mission)
    name, digest = _package(state, params.package)
    folder = desk.folders.evidence / name
    damage = await desk.aside(lambda: check_package(folder, digest))
    text = ""
    if params.file:
        path = folder / params.file
        if not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise Invalid("file", f"The package has no file {params.file!r}.")
        text = path.read_bytes()[:_MOST_TEXT].decode("utf-8", errors="replace")
    manifest = folder / "manifest.json"
    files = orjson.loads(manifest.read_bytes())["files"] if manifest.is_file() else []
    return EvidenceView(
        mission=state.id,
        package=name,
        digest=digest,
        intact=not damage,
        damage=tuple(f"{d.path}: {d.what}" for d in damage),
        files=tuple(files),
        text=text,
    )


def _package(state: MissionState, wanted: str) -> tuple[str, str]:
    if wanted in state.runs:
        digest = state.runs[wanted].digest
        if digest:
            return wanted, digest
    elif state.package is not None and wanted in ("", str(state.package.number)):
        return f"{state.id}-{state.package.number}", state.package.digest
    raise NotFound("evidence", wanted or state.id)


@operation("mission.bring", "write")
async def bring_branch(desk: Desk, params: MissionParams) -> MissionView:
    """Bring the mission's branch into your repository, as a new ref that is not checked out."""
    state = desk.mission(params.mission)
    if not state.tip:
        raise Refused("NO_DIFF", "Nothing has been merged into the mission yet.")
    await desk.ports.workshop.bring(repo_of(desk, state), state.branch, state.tip)
    return view_of(state)
