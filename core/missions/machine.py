"""The state machines of missions, tasks, runs and approvals, as tables (domain.md §3).

A table maps ``(state, kind of event)`` to the next state; what it does not hold is forbidden at
the append. Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Mapping

from core.errors import Refused

Moves = Mapping[tuple[str, str], str]

NEW = "new"

MISSION_MOVES: Moves = {
    (NEW, "mission.drafted"): "draft",
    ("draft", "mission.drafted"): "draft",
    ("draft", "mission.submitted"): "pending_approval",
    ("draft", "mission.cancelled"): "cancelled",
    ("pending_approval", "mission.approved"): "approved",
    ("pending_approval", "mission.returned"): "draft",
    ("pending_approval", "mission.cancelled"): "cancelled",
    ("approved", "mission.started"): "running",
    ("approved", "mission.returned"): "draft",
    ("approved", "mission.cancelled"): "cancelled",
    ("running", "mission.paused"): "paused",
    ("running", "mission.done"): "done",
    ("running", "mission.failed"): "failed",
    ("running", "mission.cancelled"): "cancelled",
    ("paused", "mission.resumed"): "running",
    ("paused", "mission.cancelled"): "cancelled",
    ("failed", "mission.reopened"): "approved",
}

TASK_MOVES: Moves = {
    (NEW, "task.added"): "pending",
    ("pending", "task.started"): "running",
    ("pending", "task.cancelled"): "cancelled",
    ("running", "task.done"): "done",
    ("running", "task.held"): "held",
    ("running", "task.failed"): "failed",
    ("running", "task.cancelled"): "cancelled",
    ("held", "task.retried"): "pending",
    ("held", "task.failed"): "failed",
    ("held", "task.cancelled"): "cancelled",
    ("failed", "task.retried"): "pending",
}

RUN_MOVES: Moves = {
    ("assigned", "run.prepared"): "prepared",
    ("prepared", "run.coded"): "coded",
    ("coded", "run.committed"): "committed",
    ("committed", "run.tested"): "tested",
    ("tested", "run.evidenced"): "evidenced",
    ("evidenced", "run.reviewed"): "reviewed",
    ("evidenced", "run.merged"): "merged",
    ("reviewed", "run.merged"): "merged",
    # A coder that failed ends the run; the task is held or given another run.
    ("prepared", "run.failed"): "failed",
}

APPROVAL_MOVES: Moves = {
    (NEW, "approval.requested"): "pending",
    ("pending", "approved"): "approved",
    ("pending", "rejected"): "rejected",
    ("pending", "changes_requested"): "changes_requested",
    ("pending", "approval.expired"): "expired",
}

TERMINAL = frozenset({"done", "cancelled"})

# The conductor's transition table for a run: how far it is → the next step.
NEXT_RUN_STEP: Mapping[str, str] = {
    "assigned": "prepare",
    "prepared": "code",
    "coded": "commit",
    "committed": "test",
    "tested": "evidence",
    "evidenced": "merge",
    "reviewed": "merge",
}

MISSION_STEPS = ("package", "validate", "decide", "gate", "push", "pull_request")

STAGE_OF_STEP: Mapping[str, str] = {
    "prepare": "preparing",
    "code": "coding",
    "commit": "coding",
    "test": "testing",
    "evidence": "evidence",
    "review": "review",
    "merge": "review",
    "package": "validating",
    "validate": "validating",
    "decide": "validating",
    "gate": "gate",
    "push": "gate",
    "pull_request": "gate",
}


def move(moves: Moves, state: str, kind: str, *, what: str) -> str:
    """The state after ``kind``.

    Raises:
        Refused: ``ILLEGAL_MOVE`` when the table does not allow it.
    """
    try:
        return moves[state, kind]
    except KeyError:
        raise Refused(
            "ILLEGAL_MOVE",
            f"{what} is {state}; {kind} is not possible now.",
            data={"what": what, "state": state, "kind": kind},
        ) from None
