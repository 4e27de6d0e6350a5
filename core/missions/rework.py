"""Rework: findings that send work back, before its commit is merged or after (domain.md §3)."""

from core.errors import Refused
from core.journal.envelope import Event
from core.journal.events.mission import PlannedTask, TaskAdded
from core.journal.events.shared import ApprovalExpired, HoldResolved
from core.missions.state import MissionState

MAX_REWORK = 2


def rework_events(
    state: MissionState, findings: tuple[str, ...], *, task: str, answered: str = ""
) -> list[Event]:
    """A new task ``R<n>`` on the mission's tip, for findings about merged work.

    Args:
        answered: a hold that the caller resolves itself.

    Raises:
        Refused: ``REWORK_NOT_POSSIBLE`` or ``HOLD-REVIEW-LOOP`` after two rework tasks.
    """
    if state.state != "running" or any(t.state != "done" for t in state.tasks.values()):
        raise Refused(
            "REWORK_NOT_POSSIBLE",
            "Rework of merged work begins when every task is done.",
            recovery="A held task is sent back with 'cockpit hold recover ID --action rework'.",
            data={"state": state.state},
        )
    done = sum(each.rework for each in state.tasks.values())
    if done >= MAX_REWORK:
        raise Refused(
            "HOLD-REVIEW-LOOP",
            f"There were {done} rework tasks; {MAX_REWORK} is the most.",
            recovery="Make the mission smaller, or take it over yourself.",
        )
    planned = PlannedTask(
        task=f"R{done + 1}",
        title=f"Rework of {task}" if task else "Rework",
        depends_on=(),
        write_files=state.tasks[task].planned.write_files if task in state.tasks else (),
        acceptance=findings,
    )
    stale: list[Event] = [
        ApprovalExpired(approval=a.id, reason="rework changes the evidence")
        for a in state.approvals.values()
        if a.kind == "evidence" and a.state == "pending"
    ]
    solved: list[Event] = [
        HoldResolved(hold=h.id, action="rework")
        for h in state.holds.values()
        if h.code == "HOLD-VALIDATOR-DISAGREE" and h.id != answered
    ]
    return [*stale, *solved, TaskAdded(planned=planned, findings=findings)]
