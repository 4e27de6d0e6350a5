"""What a mission is at one moment, folded from its stream. Values only; nothing here decides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from core.journal.events.delivery import MissionPackaged, PullRequestOpened, VerdictRecorded
from core.journal.events.mission import PlannedTask
from core.missions.machine import NEW


@dataclass(frozen=True, slots=True)
class Hold:
    """An active hold. ``subject`` is a task or empty for the whole stream."""

    id: str
    code: str
    subject: str
    since: datetime
    facts: Mapping[str, Any] = field(default_factory=dict)
    resumes_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Approval:
    """A request for the operator's yes or no, and its answer once there is one."""

    id: str
    kind: str
    subject: str
    digest: str
    version: int
    state: str
    reasons: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Run:
    """One attempt at a task and how far it is."""

    id: str
    task: str
    attempt: int
    progress: str = "assigned"
    base: str = ""
    worktree: str = ""
    commit: str | None = None
    commands: tuple[Mapping[str, Any], ...] = ()
    setup: tuple[Mapping[str, Any], ...] = ()
    digest: str = ""
    problems: tuple[str, ...] = ()
    end: str = ""
    error: str = ""
    resets_at: datetime | None = None
    findings: tuple[Mapping[str, Any], ...] = ()
    rework: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Task:
    """A node of the task graph."""

    planned: PlannedTask
    state: str = "pending"
    run: str = ""
    attempts: int = 0
    lost: int = 0
    commit: str = ""
    findings: tuple[str, ...] = ()
    discard: bool = False
    rework: bool = False

    @property
    def id(self) -> str:
        """``T1``, or ``R1`` for rework after merging."""
        return self.planned.task


@dataclass(frozen=True, slots=True)
class MissionState:
    """A mission at one moment.

    Attributes:
        tip: the head of the mission branch; empty before the first commit joined it.
        open_steps: (step, subject) → task, of intents without an outcome.
        verdicts: family → the newest verdict for the current package's digest.
        delivery_digest: the digest whose draft pull request the operator asked for.
    """

    id: str
    session: str = ""
    repo: str = ""
    title: str = ""
    goal: str = ""
    state: str = NEW
    version: int = 0
    digest: str = ""
    rehearsal: str = ""
    approved_version: int = 0
    criteria: tuple[Mapping[str, Any], ...] = ()
    spec: str = ""
    base: str = ""
    base_branch: str = ""
    branch: str = ""
    tip: str = ""
    where: str = "host"
    host_commands: bool = False
    settings: Mapping[str, Any] = field(default_factory=dict)
    tasks: Mapping[str, Task] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)
    open_steps: Mapping[tuple[str, str], str] = field(default_factory=dict)
    holds: Mapping[str, Hold] = field(default_factory=dict)
    approvals: Mapping[str, Approval] = field(default_factory=dict)
    package: MissionPackaged | None = None
    package_count: int = 0
    verdicts: Mapping[str, VerdictRecorded] = field(default_factory=dict)
    validation_skipped: str = ""
    decision: str = ""
    causes: tuple[str, ...] = ()
    lifted_by: str = ""
    delivery_digest: str = ""
    gate_code: str | None = None
    gate_checks: tuple[Mapping[str, Any], ...] = ()
    pushed: str = ""
    pull_request: PullRequestOpened | None = None
    outcome: str = ""
    drafted_at: datetime | None = None

    @property
    def head(self) -> str:
        """The commit that holds all merged work: the tip, or the base before any."""
        return self.tip or self.base

    @property
    def phase(self) -> str:
        """What a running mission is about (domain.md §3): tasks, validating, waiting, …."""
        if any(task.state != "done" for task in self.tasks.values()):
            return "tasks"
        if not self.decision:
            return "validating"
        if self.decision == "BLOCKED":
            return "blocked"
        if self.decision == "WAITING" and not self.lifted_by:
            return "waiting"
        return "gate"

    def hold_of(self, subject: str) -> Hold | None:
        """The active hold of a task (or of the whole mission for an empty subject)."""
        return next((h for h in self.holds.values() if h.subject == subject), None)

    def approval_for(self, kind: str, subject: str, digest: str = "") -> Approval | None:
        """The newest approval of that kind and subject (and digest, where one is given)."""
        found = [
            a
            for a in self.approvals.values()
            if a.kind == kind and a.subject == subject and digest in ("", a.digest)
        ]
        return found[-1] if found else None
