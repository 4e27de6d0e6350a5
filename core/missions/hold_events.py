"""The events by which a step ends in a hold instead of its outcome, and each hold only once."""

from collections.abc import Mapping, Sequence
from typing import Any

from core.desk import Desk
from core.journal.envelope import Event
from core.journal.events.mission import TaskHeld
from core.journal.events.run import StepAbandoned
from core.journal.events.shared import HoldRaised
from core.missions.machine import STAGE_OF_STEP
from core.missions.state import MissionState
from core.missions.steps import Step


def once(outcome: Sequence[Event], state: MissionState) -> Sequence[Event]:
    """Without a hold that is active already: two steps may find the same cause (domain.md §14)."""
    known = {(hold.code, hold.subject) for hold in state.holds.values()}
    return [
        event
        for event in outcome
        if not (isinstance(event, HoldRaised) and (event.code, event.subject) in known)
    ]


def hold_events(
    desk: Desk, step: Step, code: str, facts: Mapping[str, Any], **more: Any
) -> Sequence[Event]:
    """The events by which a step ends in a hold instead of its outcome."""
    hold = desk.context.short_id("h")
    events: list[Event] = []
    if step.name in STAGE_OF_STEP and not more.pop("ended", False):
        events.append(StepAbandoned(step=step.name, subject=step.subject, reason=code))
    events.append(HoldRaised(hold=hold, code=code, subject=step.task, facts=dict(facts), **more))
    if step.task and step.name not in ("assign", "checkpoint"):
        events.append(TaskHeld(task=step.task, hold=hold))
    return events
