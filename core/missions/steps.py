"""What should happen next in a mission: the conductor's transition table as a pure function.

A step is idempotent: it is an intent in the journal, an act through a port, and an outcome.
Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from core.judgement.merge_policy import LIFTABLE
from core.missions.machine import NEXT_RUN_STEP
from core.missions.state import MissionState, Run, Task


@dataclass(frozen=True, slots=True, order=True)
class Step:
    """One thing to do. ``subject`` is a run id, a validator family, a task id, or empty."""

    name: str
    subject: str = ""
    task: str = ""


def next_steps(
    state: MissionState, *, families: tuple[str, ...], reviewer: bool = False
) -> tuple[Step, ...]:
    """Every step that may begin now, in a fixed order; a held or paused mission has none.

    Args:
        families: the validator families that have to judge.
        reviewer: whether a reviewer reads each run package before its commit is merged.
    """
    if state.state != "running" or state.hold_of("") is not None:
        return ()
    open_tasks = [task for task in state.tasks.values() if task.state != "done"]
    if open_tasks:
        return tuple(
            step for task in open_tasks for step in _task_steps(state, task, reviewer=reviewer)
        )
    return tuple(_mission_steps(state, families))


def _task_steps(state: MissionState, task: Task, *, reviewer: bool) -> Iterator[Step]:
    if task.state == "pending" and _is_ready(state, task):
        if task.planned.checkpoint and task.attempts == 0:
            approval = state.approval_for("checkpoint", task.id)
            if approval is None or approval.state not in ("pending", "approved"):
                # A refusal ended the mission; reopened, it asks again.
                yield Step("checkpoint", task.id, task.id)
            if approval is None or approval.state != "approved":
                return
        yield Step("assign", task.id, task.id)
    elif task.state == "running" and task.run:
        yield _run_step(state.runs[task.run], reviewer=reviewer)


def _is_ready(state: MissionState, task: Task) -> bool:
    return all(state.tasks[name].state == "done" for name in task.planned.depends_on)


def _run_step(run: Run, *, reviewer: bool) -> Step:
    if run.progress == "failed":
        return Step("hold", run.id, run.task)
    if run.progress == "committed" and run.commit is None:
        return Step("hold", run.id, run.task)
    if run.progress == "evidenced" and run.problems:
        return Step("hold", run.id, run.task)
    if run.progress == "reviewed" and run.rework:
        return Step("hold", run.id, run.task)
    if run.progress == "evidenced" and reviewer:
        return Step("review", run.id, run.task)
    if run.progress == "merged":
        return Step("finish", run.id, run.task)
    return Step(NEXT_RUN_STEP[run.progress], run.id, run.task)


def _mission_steps(state: MissionState, families: tuple[str, ...]) -> Iterator[Step]:
    package = state.package
    if package is None or package.head != state.head:
        yield Step("package")
        return
    waiting = [f for f in families if f not in state.verdicts]
    if waiting and not state.validation_skipped:
        yield from (Step("validate", family) for family in waiting)
    elif not state.decision or _approval_came(state):
        yield Step("decide")
    elif state.delivery_digest == package.digest:
        yield _delivery_step(state, package.head)


def _approval_came(state: MissionState) -> bool:
    """An evidence approval that can lift the decision was given after it was made."""
    if state.decision != "WAITING" or state.lifted_by or state.package is None:
        return False
    if not LIFTABLE.issuperset(state.causes):
        return False
    approval = state.approval_for("evidence", "", state.package.digest)
    return approval is not None and approval.state == "approved"


def _delivery_step(state: MissionState, head: str) -> Step:
    if state.gate_code is None:
        return Step("gate")
    if state.pushed != head:
        return Step("push")
    if state.pull_request is None:
        return Step("pull_request")
    return Step("deliver")
