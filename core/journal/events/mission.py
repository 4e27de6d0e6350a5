"""Events of a ``mission:…`` stream about the mission and its tasks."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from core.journal.envelope import Event


class PlannedTask(BaseModel):
    """A task as the approved plan holds it; part of other events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    title: str
    role: str = "coder"
    depends_on: tuple[str, ...] = ()
    context_files: tuple[str, ...] = ()
    write_files: tuple[str, ...] = ()
    acceptance: tuple[str, ...] = ()
    expected_evidence: tuple[str, ...] = ()
    checkpoint: tuple[str, ...] = ()


class MissionDrafted(Event, kind="mission.drafted"):
    """Generate PRD made this mission, or a new version of its plan."""

    mission: str
    session: str
    repo: str
    title: str
    goal: str
    version: int
    digest: str
    tasks: tuple[PlannedTask, ...]
    rehearsal: str = ""


class MissionSubmitted(Event, kind="mission.submitted"):
    """The operator's approval of this version has been asked for."""

    version: int


class MissionReturned(Event, kind="mission.returned"):
    """Back to draft: changes were requested, an answer or the plan was edited."""

    reason: str


class MissionApproved(Event, kind="mission.approved"):
    """Exactly this version is pinned."""

    version: int
    digest: str
    criteria: tuple[dict[str, Any], ...]
    spec: str


class MissionStarted(Event, kind="mission.started"):
    """The mission begins from the committed tip of the base branch.

    ``settings`` is the repo's whole configuration at this moment: a mission never changes rules
    half-way. ``host_commands`` says that the repo's commands may run on the host.
    """

    base: str
    branch: str
    base_branch: str
    where: Literal["host", "docker"]
    host_commands: bool
    dirty: bool
    settings: dict[str, Any]


class MissionPaused(Event, kind="mission.paused"):
    """The process trees are frozen; no step begins."""


class MissionResumed(Event, kind="mission.resumed"):
    """The process trees go on."""


class MissionCancelled(Event, kind="mission.cancelled"):
    """Stopped by the operator; later results are ignored."""

    reason: str


class MissionFailed(Event, kind="mission.failed"):
    """A task failed for good."""

    reason: str


class MissionReopened(Event, kind="mission.reopened"):
    """A failed mission may be started again with the same plan."""


class MissionDone(Event, kind="mission.done"):
    """Delivered, or closed by the operator."""

    outcome: Literal["delivered", "closed"]


class TaskAdded(Event, kind="task.added"):
    """Rework after merging: a new task on the mission's tip."""

    planned: PlannedTask
    findings: tuple[str, ...]


class TaskStarted(Event, kind="task.started"):
    """A run was given to a worker."""

    task: str
    run: str
    attempt: int


class TaskHeld(Event, kind="task.held"):
    """The task waits for the recovery of a hold."""

    task: str
    hold: str


class TaskRetried(Event, kind="task.retried"):
    """The task goes back to the queue; ``findings`` are for the next attempt's prompt."""

    task: str
    findings: tuple[str, ...] = ()
    discard: bool = False


class TaskDone(Event, kind="task.done"):
    """The task's commit is on the mission branch."""

    task: str
    commit: str


class TaskFailed(Event, kind="task.failed"):
    """Given up by the operator, or lost three times by the infrastructure."""

    task: str
    reason: str


class TaskCancelled(Event, kind="task.cancelled"):
    """The mission was stopped before the task was done."""

    task: str
