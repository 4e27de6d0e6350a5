"""The mission aggregate: which event may follow, and what it makes of the state.

``check`` refuses at the append (domain.md §2, §3); ``evolve`` never fails on a recorded event.
Pure: no asyncio, SQL or I/O.
"""

from collections.abc import Callable, Mapping
from typing import Any

from core.errors import Refused
from core.journal.envelope import Envelope, Event
from core.journal.events import run, shared
from core.missions.evolution import APPLY
from core.missions.machine import (
    APPROVAL_MOVES,
    MISSION_MOVES,
    NEW,
    RUN_MOVES,
    STAGE_OF_STEP,
    TASK_MOVES,
    move,
)
from core.missions.state import MissionState

_MISSION_KINDS = frozenset(kind for _, kind in MISSION_MOVES)
_TASK_KINDS = frozenset(kind for _, kind in TASK_MOVES)
_RUN_KINDS = frozenset(kind for _, kind in RUN_MOVES)
_ACTIVE = frozenset({"running", "paused"})
_ENDED = frozenset({"done", "cancelled", "failed"})
_KINDS = frozenset(APPLY) | {"run.stalled", "result.ignored", "usage.recorded"}


class MissionAggregate:
    """Guards and folds a ``mission:…`` stream."""

    def initial(self, stream: str) -> MissionState:
        """The state of an empty stream."""
        return MissionState(id=stream.partition(":")[2])

    def check(self, state: MissionState, event: Event) -> None:
        """Refuse what the tables forbid.

        Raises:
            Refused: ``ILLEGAL_MOVE``, ``APPROVAL_DECIDED`` or ``UNKNOWN_SUBJECT``.
        """
        if event.kind not in _KINDS:
            raise Refused("ILLEGAL_MOVE", f"{event.kind} is no event of a mission.")
        if event.kind in _MISSION_KINDS:
            move(MISSION_MOVES, state.state, event.kind, what="The mission")
        elif state.state == NEW:
            raise Refused("UNKNOWN_SUBJECT", f"There is no mission {state.id!r}.")
        elif event.kind in _TASK_KINDS:
            _check_task(state, event)
        elif event.kind in _RUN_KINDS:
            _check_run(state, event)
        elif event.kind in _CHECKS:
            _CHECKS[event.kind](state, event)
        _check_time(state, event)

    def evolve(self, state: MissionState, envelope: Envelope) -> MissionState:
        """The state after one recorded event."""
        apply = APPLY.get(envelope.kind)
        return state if apply is None else apply(state, envelope.event, envelope)


def _check_time(state: MissionState, event: Event) -> None:
    """Work is recorded while the mission is active, and nothing waits once it has ended."""
    late = state.state not in _ACTIVE and event.kind in _NEEDS_ACTIVE
    over = state.state in _ENDED and event.kind in ("hold.raised", "approval.requested")
    frozen = state.state == "paused" and event.kind == "step.started"
    if late or over or frozen:
        raise Refused(
            "ILLEGAL_MOVE",
            f"The mission is {state.state}; {event.kind} is not possible now.",
            data={"state": state.state, "kind": event.kind},
        )


def _check_task(state: MissionState, event: Any) -> None:
    task_id = event.planned.task if event.kind == "task.added" else event.task
    task = state.tasks.get(task_id)
    now = NEW if task is None else task.state
    move(TASK_MOVES, now, event.kind, what=f"Task {task_id}")
    if event.kind == "task.started" and event.run in state.runs:
        raise Refused("ILLEGAL_MOVE", f"Run {event.run} was given out before.")


def _check_run(state: MissionState, event: Any) -> None:
    found = state.runs.get(event.run)
    if found is None:
        raise Refused("UNKNOWN_SUBJECT", f"There is no run {event.run!r}.")
    move(RUN_MOVES, found.progress, event.kind, what=f"Run {event.run}")
    if state.tasks[found.task].run != event.run:
        raise Refused("ILLEGAL_MOVE", f"Run {event.run} is no longer the run of its task.")


def _check_step(state: MissionState, event: run.StepStarted) -> None:
    if event.step not in STAGE_OF_STEP:
        raise Refused("UNKNOWN_SUBJECT", f"There is no step {event.step!r}.")
    if (event.step, event.subject) in state.open_steps:
        raise Refused("ILLEGAL_MOVE", f"Step {event.step} of {event.subject!r} is under way.")


def _check_approval_request(state: MissionState, event: shared.ApprovalRequested) -> None:
    now = state.approvals[event.approval].state if event.approval in state.approvals else NEW
    move(APPROVAL_MOVES, now, event.kind, what=f"Approval {event.approval}")


def _check_approval_end(state: MissionState, event: Any) -> None:
    found = state.approvals.get(event.approval)
    if found is None:
        raise Refused("UNKNOWN_SUBJECT", f"There is no approval {event.approval!r}.")
    if found.state != "pending":
        raise Refused(
            "APPROVAL_DECIDED",
            f"Approval {event.approval} is already {found.state}.",
            recovery="An approval is answered once; look at what was decided.",
            data={"approval": event.approval, "state": found.state},
        )
    if event.kind == "approval.decided" and event.digest != found.digest:
        raise Refused("APPROVAL_STALE", "The answer names another digest than the question.")


def _check_hold_end(state: MissionState, event: shared.HoldResolved) -> None:
    if event.hold not in state.holds:
        raise Refused("HOLD_NOT_ACTIVE", f"Hold {event.hold!r} is not active.")


def _check_digest(state: MissionState, event: Any) -> None:
    if state.package is None or event.digest != state.package.digest:
        raise Refused("EVIDENCE_STALE", "That digest is not the mission's current evidence.")


_CHECKS: Mapping[str, Callable[[MissionState, Any], None]] = {
    "step.started": _check_step,
    "approval.requested": _check_approval_request,
    "approval.decided": _check_approval_end,
    "approval.expired": _check_approval_end,
    "hold.resolved": _check_hold_end,
    "verdict.recorded": _check_digest,
    "validation.repeated": _check_digest,
    "mission.decided": _check_digest,
    "gate.checked": _check_digest,
    "delivery.requested": _check_digest,
    "branch.pushed": _check_digest,
    "pull_request.opened": _check_digest,
}
_NEEDS_ACTIVE = (
    _RUN_KINDS
    | (_TASK_KINDS - {"task.cancelled"})
    | {"step.started", "mission.packaged", "verdict.recorded", "mission.decided"}
    | {"gate.checked", "delivery.requested", "branch.pushed", "pull_request.opened"}
)
