"""Events that more than one kind of stream carries: holds, approvals and usage."""

from datetime import datetime
from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from core.journal.envelope import Event

ApprovalKind = Literal["plan", "checkpoint", "evidence", "budget"]
ApprovalAnswer = Literal["approved", "rejected", "changes_requested"]
AuthMode = Literal["subscription", "api", "rehearsal"]
Role = Literal["planner", "coder", "reviewer", "validator"]


class HoldRaised(Event, kind="hold.raised"):
    """Something can't go on. ``subject`` is a task, a run, a call, or empty for the stream."""

    hold: str
    code: str
    subject: str = ""
    facts: dict[str, Any] = Field(default_factory=dict)
    resumes_at: datetime | None = None


class HoldResolved(Event, kind="hold.resolved"):
    """The reason is gone. ``action`` is the recovery that was chosen."""

    hold: str
    action: str
    facts: dict[str, Any] = Field(default_factory=dict)


class ApprovalRequested(Event, kind="approval.requested"):
    """The operator is asked for a yes or no about exactly ``digest`` (or a plan ``version``)."""

    approval: str
    approval_kind: ApprovalKind
    subject: str
    digest: str
    version: int = 0
    reasons: tuple[str, ...] = ()


class ApprovalDecided(Event, kind="approval.decided"):
    """The one answer to an approval."""

    approval: str
    answer: ApprovalAnswer
    digest: str
    note: str = ""


class ApprovalExpired(Event, kind="approval.expired"):
    """The digest that was asked about went stale before an answer."""

    approval: str
    reason: str


class UsageRecorded(Event, kind="usage.recorded"):
    """Tokens and cost of one call (domain.md §14)."""

    call_id: str
    session: str = ""
    mission: str = ""
    task: str = ""
    run: str = ""
    repo: str
    role: Role
    auth_mode: AuthMode
    provider: str
    model: str
    input_tokens: int
    output_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    cost_usd: Decimal | None
    duration_ms: int
