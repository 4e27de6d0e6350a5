"""The read tables that surfaces query. Each can be dropped and rebuilt from the journal."""

from datetime import datetime

from sqlalchemy import JSON, Column, Table
from sqlmodel import Field, SQLModel


class RepoRow(SQLModel, table=True):
    """A registered repository."""

    __tablename__ = "repo"
    id: str = Field(primary_key=True)
    state: str
    path: str
    base_branch: str
    added_at: datetime


class SessionRow(SQLModel, table=True):
    """A row of the sidebar."""

    __tablename__ = "session"
    id: str = Field(primary_key=True)
    repo: str = Field(index=True)
    title: str
    state: str
    archived: bool
    rehearsal: str
    score: int | None
    mission: str
    version: int
    started_at: datetime
    changed_at: datetime = Field(index=True)


class MessageRow(SQLModel, table=True):
    """One turn of a conversation."""

    __tablename__ = "message"
    seq: int = Field(primary_key=True)
    id: str
    session: str = Field(index=True)
    author: str
    text: str
    at: datetime


class MissionRow(SQLModel, table=True):
    """A mission in lists."""

    __tablename__ = "mission"
    id: str = Field(primary_key=True)
    session: str = Field(index=True)
    repo: str = Field(index=True)
    title: str
    state: str
    phase: str
    rehearsal: str
    where: str
    version: int
    digest: str
    decision: str
    risk_score: int | None
    gate_code: str | None
    pull_request: str
    drafted_at: datetime
    changed_at: datetime = Field(index=True)


class TaskRow(SQLModel, table=True):
    """A task of a mission."""

    __tablename__ = "task"
    mission: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    title: str
    state: str
    run: str
    attempts: int
    commit: str


class StageRow(SQLModel, table=True):
    """A stage of the timeline: of a run, or (with an empty run) of the mission."""

    __tablename__ = "stage"
    seq: int = Field(primary_key=True)
    mission: str = Field(index=True)
    task: str
    run: str
    step: str
    stage: str
    started_at: datetime
    ended_at: datetime | None
    outcome: str


class HoldRow(SQLModel, table=True):
    """A hold, active while ``resolved_at`` is empty."""

    __tablename__ = "hold"
    id: str = Field(primary_key=True)
    stream: str = Field(index=True)
    code: str = Field(index=True)
    subject: str
    facts: dict[str, object] = Field(sa_column=Column(JSON, nullable=False))
    raised_at: datetime
    resumes_at: datetime | None
    resolved_at: datetime | None
    action: str


class ApprovalRow(SQLModel, table=True):
    """A request for a yes or no, and its answer."""

    __tablename__ = "approval"
    id: str = Field(primary_key=True)
    mission: str = Field(index=True)
    kind: str
    subject: str
    digest: str
    version: int
    state: str = Field(index=True)
    note: str
    requested_at: datetime
    decided_at: datetime | None
    decided_by: str


class VerdictRow(SQLModel, table=True):
    """A validator family's judgement of one digest."""

    __tablename__ = "verdict"
    seq: int = Field(primary_key=True)
    mission: str = Field(index=True)
    digest: str
    family: str
    model: str
    verdict: str
    confidence: float
    summary: str
    cause: str
    at: datetime


class UsageRow(SQLModel, table=True):
    """Tokens and cost of one call (domain.md §14). Money is text: exact decimals."""

    __tablename__ = "model_usage"
    id: str = Field(primary_key=True)
    session: str
    mission: str = Field(index=True)
    task: str
    run: str
    repo: str = Field(index=True)
    role: str
    auth_mode: str
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: str | None
    duration_ms: int
    at: datetime = Field(index=True)


class CallRow(SQLModel, table=True):
    """A headless call that was begun: what the budgets count (domain.md §14)."""

    __tablename__ = "headless_call"
    id: str = Field(primary_key=True)
    mission: str = Field(index=True)
    session: str
    at: datetime = Field(index=True)


def table_of(row: type[SQLModel]) -> Table:
    """The SQLAlchemy table behind a row model."""
    return SQLModel.metadata.tables[str(row.__tablename__)]


ROWS: tuple[type[SQLModel], ...] = (
    RepoRow,
    SessionRow,
    MessageRow,
    MissionRow,
    TaskRow,
    StageRow,
    HoldRow,
    ApprovalRow,
    VerdictRow,
    UsageRow,
    CallRow,
)
