"""Events of a ``mission:…`` stream about mission evidence, verdicts, the decision and the gate."""

from decimal import Decimal
from typing import Any, Literal

from pydantic import Field

from core.journal.envelope import Event


class MissionPackaged(Event, kind="mission.packaged"):
    """A mission package stands; everything after binds to its digest and its commit."""

    number: int
    digest: str
    head: str
    risk_score: int
    risk_level: Literal["low", "medium", "high"]
    factors: tuple[dict[str, Any], ...]
    facts: dict[str, Any]


class VerdictRecorded(Event, kind="verdict.recorded"):
    """One family's judgement of one digest."""

    digest: str
    family: str
    provider: str
    model: str
    verdict: Literal["pass", "fail", "inconclusive"]
    confidence: float
    summary: str
    criteria: tuple[dict[str, Any], ...]
    blocking_issues: tuple[str, ...]
    non_blocking_issues: tuple[str, ...]
    evidence_gaps: tuple[str, ...]
    cause: str
    tokens: int
    cost_usd: Decimal | None
    duration_ms: int


class ValidationSkipped(Event, kind="validation.skipped"):
    """Validators are not called for a package with a secret or a forbidden path (§11)."""

    digest: str
    reason: str


class ValidationRepeated(Event, kind="validation.repeated"):
    """The operator wants both families asked again about the same digest."""

    digest: str


class MissionDecided(Event, kind="mission.decided"):
    """The merge policy's answer for that digest, with every cause that applied in order."""

    digest: str
    decision: Literal["AUTO_MERGE", "WAITING", "BLOCKED"]
    causes: tuple[str, ...]
    lifted_by: str = ""


class DeliveryRequested(Event, kind="delivery.requested"):
    """The operator wants the draft pull request for exactly this digest."""

    digest: str


class GateChecked(Event, kind="gate.checked"):
    """The gate's ten answers; ``code`` is the first refusal, empty when it is open."""

    digest: str
    open: bool
    code: str
    checks: tuple[dict[str, Any], ...]
    facts: dict[str, Any] = Field(default_factory=dict)


class BranchPushed(Event, kind="branch.pushed"):
    """The remote's head equals the validated commit."""

    digest: str
    branch: str
    commit: str
    already_there: bool


class PullRequestOpened(Event, kind="pull_request.opened"):
    """The draft pull request, read again from the forge."""

    digest: str
    number: int
    url: str
    draft: bool
    already_there: bool
