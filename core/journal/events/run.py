"""Events of a ``mission:…`` stream about steps: each is an intent first, and then its outcome."""

from datetime import datetime
from typing import Any

from core.journal.envelope import Event


class StepStarted(Event, kind="step.started"):
    """The conductor is about to act. ``subject`` is a run, a family, or empty for the mission."""

    step: str
    subject: str
    task: str = ""


class StepAbandoned(Event, kind="step.abandoned"):
    """The step did not end in its outcome; a hold, a retry or a stop says why."""

    step: str
    subject: str
    reason: str


class RunPrepared(Event, kind="run.prepared"):
    """The worktree stands at ``base`` and set-up has run."""

    run: str
    base: str
    worktree: str
    setup: tuple[dict[str, Any], ...] = ()


class RunStalled(Event, kind="run.stalled"):
    """Nothing was printed for so long; the run goes on."""

    run: str
    silent_seconds: float


class RunCoded(Event, kind="run.coded"):
    """The coder's process ended well."""

    run: str
    exit_code: int
    turns: int
    duration_ms: int


class RunFailed(Event, kind="run.failed"):
    """The coder's process ended otherwise; a hold or another run follows."""

    run: str
    end: str
    exit_code: int | None
    error: str
    resets_at: datetime | None = None


class RunCommitted(Event, kind="run.committed"):
    """The run's result is one commit; ``None`` when nothing was changed."""

    run: str
    commit: str | None
    findings: tuple[dict[str, Any], ...] = ()


class RunTested(Event, kind="run.tested"):
    """The repo's own commands were executed on the run's commit."""

    run: str
    commands: tuple[dict[str, Any], ...]


class RunEvidenced(Event, kind="run.evidenced"):
    """The run package stands. ``problems`` keep its commit off the mission branch."""

    run: str
    digest: str
    files: int
    added: int
    deleted: int
    problems: tuple[str, ...]


class RunReviewed(Event, kind="run.reviewed"):
    """The optional reviewer's answer."""

    run: str
    approved: bool
    findings: tuple[str, ...]


class RunMerged(Event, kind="run.merged"):
    """The run's commit joined the mission branch."""

    run: str
    commit: str
    tip: str


class ResultIgnored(Event, kind="result.ignored"):
    """An outcome came after the mission was stopped."""

    step: str
    subject: str
