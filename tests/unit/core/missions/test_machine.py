"""The tables of the state machines against the rules, the printed page, and given/when/then."""

from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cockpit import compose
from core.errors import Refused
from core.journal.envelope import Envelope, Event
from core.journal.events import mission, run, session, shared
from core.missions.machine import (
    APPROVAL_MOVES,
    MISSION_MOVES,
    NEXT_RUN_STEP,
    RUN_MOVES,
    STAGE_OF_STEP,
    TASK_MOVES,
    TERMINAL,
    Moves,
    move,
)
from core.missions.missions import MissionAggregate
from core.missions.state import MissionState
from core.missions.states_page import TABLES, states_page
from core.planning.sessions import SESSION_MOVES, SessionAggregate, SessionState
from core.repos.registry import REPO_MOVES

DOCS = Path(compose.__file__).parent.parent / "docs" / "states.md"

# From → to, as the rules list them; a state may also stay what it is.
SESSION = {
    "new": {"brainstorming"},
    "brainstorming": {"clarifying", "ready"},
    "clarifying": {"ready"},
    "ready": {"planned", "clarifying"},
    "planned": {"approved", "clarifying"},
    "approved": {"executing", "clarifying", "planned"},
    "executing": {"delivered", "closed", "approved"},
}
MISSION = {
    "new": {"draft"},
    "draft": {"pending_approval", "cancelled"},
    "pending_approval": {"approved", "draft", "cancelled"},
    "approved": {"running", "draft", "cancelled"},
    "running": {"paused", "done", "failed", "cancelled"},
    "paused": {"running", "cancelled"},
    "failed": {"approved"},
}
TASK = {
    "new": {"pending"},
    "pending": {"running", "cancelled"},
    "running": {"done", "held", "failed", "cancelled"},
    "held": {"pending", "failed", "cancelled"},
    "failed": {"pending"},
}
APPROVAL = {
    "new": {"pending"},
    "pending": {"approved", "rejected", "changes_requested", "expired"},
}
RUN = {
    "assigned": {"prepared"},
    "prepared": {"coded", "failed"},
    "coded": {"committed"},
    "committed": {"tested"},
    "tested": {"evidenced"},
    "evidenced": {"reviewed", "merged"},
    "reviewed": {"merged"},
}
REPO = {"new": {"registered"}, "registered": {"removed"}, "removed": {"registered"}}
RULES = [
    (SESSION_MOVES, SESSION),
    (MISSION_MOVES, MISSION),
    (TASK_MOVES, TASK),
    (APPROVAL_MOVES, APPROVAL),
    (RUN_MOVES, RUN),
    (REPO_MOVES, REPO),
]


@pytest.mark.parametrize(("moves", "rules"), RULES)
def test_a_table_holds_every_move_of_the_rules_and_no_other(
    moves: Moves, rules: dict[str, set[str]]
) -> None:
    found: dict[str, set[str]] = {}
    for (state, _), after in moves.items():
        if after != state:
            found.setdefault(state, set()).add(after)
    assert found == rules


@pytest.mark.parametrize(("moves", "rules"), RULES)
def test_what_a_table_does_not_hold_is_refused(moves: Moves, rules: dict[str, set[str]]) -> None:
    states = {state for state, _ in moves} | set(moves.values())
    kinds = {kind for _, kind in moves}
    for state, kind in product(states, kinds):
        if (state, kind) in moves:
            assert move(moves, state, kind, what="It") == moves[state, kind]
            continue
        with pytest.raises(Refused) as refused:
            move(moves, state, kind, what="It")
        assert refused.value.code == "ILLEGAL_MOVE"
        assert refused.value.data["state"] == state


def test_terminal_states_are_left_by_nothing() -> None:
    for moves in (MISSION_MOVES, TASK_MOVES):
        assert not [state for state, _ in moves if state in TERMINAL]


def test_every_step_of_a_run_leads_on_and_has_a_stage() -> None:
    assert set(NEXT_RUN_STEP) == {state for state, _ in RUN_MOVES}
    assert set(NEXT_RUN_STEP.values()) <= set(STAGE_OF_STEP)


def test_every_table_is_printed() -> None:
    assert list(TABLES.values()) == [
        SESSION_MOVES,
        MISSION_MOVES,
        TASK_MOVES,
        RUN_MOVES,
        APPROVAL_MOVES,
        REPO_MOVES,
    ]


def test_the_page_of_the_states_is_current() -> None:
    assert DOCS.read_text(encoding="utf-8") == states_page(), "write states_page() to the docs"


# Playbooks: given these events, when this one is recorded, then that is the state or the refusal.


def fold(aggregate: Any, stream: str, events: list[Event]) -> Any:
    state = aggregate.initial(stream)
    for version, event in enumerate(events, start=1):
        aggregate.check(state, event)
        state = aggregate.evolve(state, envelope(event, version, stream))
    return state


def envelope(event: Event, version: int, stream: str) -> Envelope:
    return Envelope(
        seq=version,
        id=f"{version:026}",
        stream=stream,
        version=version,
        at=datetime(2030, 1, 1, tzinfo=UTC),
        actor="system",
        event=event,
        prev_hash="",
        hash="",
    )


def planned(name: str) -> mission.PlannedTask:
    return mission.PlannedTask(task=name, title=name)


DRAFTED = mission.MissionDrafted(
    mission="m-1",
    session="s-1",
    repo="fake",
    title="A greeting",
    goal="Add a greeting",
    version=1,
    digest="d1",
    tasks=(planned("T1"),),
)
SUBMITTED = mission.MissionSubmitted(version=1)
ASKED = shared.ApprovalRequested(
    approval="a-1", approval_kind="plan", subject="m-1", digest="d1", version=1
)
YES = shared.ApprovalDecided(approval="a-1", answer="approved", digest="d1")
APPROVED = mission.MissionApproved(version=1, digest="d1", criteria=(), spec="")
STARTED = mission.MissionStarted(
    base="b" * 40,
    branch="cockpit/x-m-1",
    base_branch="main",
    where="host",
    host_commands=True,
    dirty=False,
    settings={},
)
RUNNING: list[Event] = [DRAFTED, SUBMITTED, ASKED, YES, APPROVED, STARTED]
ASSIGNED: list[Event] = [*RUNNING, mission.TaskStarted(task="T1", run="r-1", attempt=1)]
CODE = run.StepStarted(step="code", subject="r-1", task="T1")
PREPARED = run.RunPrepared(run="r-1", base="b" * 40, worktree="w")
STOPPED: list[Event] = [
    *ASSIGNED,
    PREPARED,
    CODE,
    mission.MissionCancelled(reason="enough"),
    mission.TaskCancelled(task="T1"),
]
HOLD = shared.HoldRaised(hold="h-1", code="HOLD-BUDGET")
CODED = run.RunCoded(run="r-1", exit_code=0, turns=1, duration_ms=1)

REFUSED: list[tuple[list[Event], Event, str]] = [
    ([], SUBMITTED, "ILLEGAL_MOVE"),
    ([], HOLD, "UNKNOWN_SUBJECT"),
    ([], CODE, "UNKNOWN_SUBJECT"),
    ([DRAFTED], APPROVED, "ILLEGAL_MOVE"),
    ([DRAFTED, SUBMITTED], STARTED, "ILLEGAL_MOVE"),
    ([DRAFTED, SUBMITTED], YES, "UNKNOWN_SUBJECT"),
    ([DRAFTED, SUBMITTED, ASKED, YES], YES, "APPROVAL_DECIDED"),
    ([DRAFTED, SUBMITTED, ASKED], YES.model_copy(update={"digest": "d2"}), "APPROVAL_STALE"),
    ([DRAFTED, SUBMITTED, ASKED], ASKED, "ILLEGAL_MOVE"),
    (RUNNING, STARTED, "ILLEGAL_MOVE"),
    (RUNNING, CODED, "UNKNOWN_SUBJECT"),
    (RUNNING, run.StepStarted(step="dance", subject="", task=""), "UNKNOWN_SUBJECT"),
    (RUNNING, shared.HoldResolved(hold="h-1", action="retry"), "HOLD_NOT_ACTIVE"),
    (RUNNING, mission.TaskDone(task="T1", commit="c"), "ILLEGAL_MOVE"),
    (RUNNING, mission.TaskRetried(task="T1"), "ILLEGAL_MOVE"),
    (RUNNING, mission.TaskFailed(task="T9", reason="x"), "ILLEGAL_MOVE"),
    (ASSIGNED, CODED, "ILLEGAL_MOVE"),
    (ASSIGNED, mission.TaskStarted(task="T1", run="r-2", attempt=2), "ILLEGAL_MOVE"),
    ([*ASSIGNED, PREPARED, CODE], CODE, "ILLEGAL_MOVE"),
    ([*ASSIGNED, PREPARED, mission.MissionPaused()], CODE, "ILLEGAL_MOVE"),
    (STOPPED, CODED, "ILLEGAL_MOVE"),
    (STOPPED, HOLD, "ILLEGAL_MOVE"),
    (STOPPED, STARTED, "ILLEGAL_MOVE"),
    (STOPPED, mission.TaskRetried(task="T1"), "ILLEGAL_MOVE"),
    (RUNNING, session.SessionApproved(version=1), "ILLEGAL_MOVE"),
]


@pytest.mark.parametrize(("before", "event", "code"), REFUSED)
def test_a_mission_refuses(before: list[Event], event: Event, code: str) -> None:
    aggregate = MissionAggregate()
    state = fold(aggregate, "mission:m-1", before)
    with pytest.raises(Refused) as refused:
        aggregate.check(state, event)
    assert refused.value.code == code


REACHED: list[tuple[list[Event], str]] = [
    ([DRAFTED], "draft"),
    ([DRAFTED, DRAFTED.model_copy(update={"version": 2})], "draft"),
    ([DRAFTED, SUBMITTED], "pending_approval"),
    ([DRAFTED, SUBMITTED, mission.MissionReturned(reason="x")], "draft"),
    ([*RUNNING[:-1]], "approved"),
    ([*RUNNING[:-1], mission.MissionReturned(reason="edited")], "draft"),
    (RUNNING, "running"),
    ([*RUNNING, mission.MissionPaused()], "paused"),
    ([*RUNNING, mission.MissionPaused(), mission.MissionResumed()], "running"),
    ([*RUNNING, mission.MissionDone(outcome="closed")], "done"),
    ([*RUNNING, mission.MissionFailed(reason="x")], "failed"),
    ([*RUNNING, mission.MissionFailed(reason="x"), mission.MissionReopened()], "approved"),
    (STOPPED, "cancelled"),
    ([*STOPPED, run.ResultIgnored(step="code", subject="r-1")], "cancelled"),
    ([*RUNNING, HOLD], "running"),
]


@pytest.mark.parametrize(("events", "state"), REACHED)
def test_a_mission_gets_to(events: list[Event], state: str) -> None:
    reached: MissionState = fold(MissionAggregate(), "mission:m-1", events)
    assert reached.state == state


BEGUN = session.SessionStarted(session="s-1", repo="fake", title="A", description="A greeting")
READY = session.ClarityReached(score=0, spec="x")
LOST = session.ClarityLost(score=60, reasons=("no_verifiable_criterion",))
PLAN = session.PlanDrafted(
    mission="m-1", version=1, author="planner", plan={}, documents={}, digest="d"
)
PLANNED: list[Event] = [BEGUN, READY, PLAN]
EXECUTING: list[Event] = [
    *PLANNED,
    session.SessionApproved(version=1),
    session.SessionExecuting(mission="m-1"),
]
TURN = session.PlannerAsked(call="r-1", step="converse", attempt=1)


@pytest.mark.parametrize(
    ("before", "event", "code"),
    [
        ([], READY, "ILLEGAL_MOVE"),
        ([], TURN, "UNKNOWN_SUBJECT"),
        ([BEGUN], PLAN, "ILLEGAL_MOVE"),
        ([BEGUN, LOST], PLAN, "ILLEGAL_MOVE"),
        ([BEGUN, READY], session.SessionApproved(version=1), "ILLEGAL_MOVE"),
        ([BEGUN, TURN], TURN.model_copy(update={"call": "r-2"}), "PLANNER_BUSY"),
        (
            [BEGUN],
            session.PlannerAnswered(call="r-9", step="plan", end="finished"),
            "UNKNOWN_SUBJECT",
        ),
        ([BEGUN], session.CriterionConfirmed(criterion="C1"), "UNKNOWN_SUBJECT"),
        ([BEGUN], session.CriterionAdded(criterion="x", text="t", source="stated"), "ILLEGAL_MOVE"),
        ([BEGUN], session.ClarificationAsked(round=1, questions=({},)), "ILLEGAL_MOVE"),
        ([BEGUN], session.ClarificationSkipped(question="q"), "UNKNOWN_SUBJECT"),
        (EXECUTING, LOST, "ILLEGAL_MOVE"),
        (EXECUTING, TURN, "SESSION_NOT_OPEN"),
        (EXECUTING, PLAN, "ILLEGAL_MOVE"),
        ([*EXECUTING, session.SessionClosed(reason="x")], READY, "ILLEGAL_MOVE"),
        ([BEGUN], mission.MissionPaused(), "ILLEGAL_MOVE"),
    ],
)
def test_a_session_refuses(before: list[Event], event: Event, code: str) -> None:
    aggregate = SessionAggregate()
    state = fold(aggregate, "session:s-1", before)
    with pytest.raises(Refused) as refused:
        aggregate.check(state, event)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("events", "state"),
    [
        ([BEGUN], "brainstorming"),
        ([BEGUN, LOST], "clarifying"),
        ([BEGUN, LOST, READY], "ready"),
        ([BEGUN, READY, LOST], "clarifying"),
        (PLANNED, "planned"),
        ([*PLANNED, LOST], "clarifying"),
        ([*EXECUTING[:-1], LOST], "clarifying"),
        ([*EXECUTING[:-1], PLAN], "planned"),
        (EXECUTING, "executing"),
        ([*EXECUTING, session.SessionReturned(to="approved", reason="x")], "approved"),
        ([*EXECUTING, session.SessionDelivered(mission="m-1")], "delivered"),
        ([*EXECUTING, session.SessionClosed(reason="x")], "closed"),
    ],
)
def test_a_session_gets_to(events: list[Event], state: str) -> None:
    reached: SessionState = fold(SessionAggregate(), "session:s-1", events)
    assert reached.state == state


EVENTS = [*STOPPED, HOLD, CODED, mission.MissionPaused(), mission.MissionResumed()] + [
    event for before, event, _ in REFUSED for event in (*before, event)
]


@given(st.lists(st.sampled_from(EVENTS), max_size=40))
def test_no_order_of_events_leads_where_no_table_leads(events: list[Event]) -> None:
    aggregate = MissionAggregate()
    state = aggregate.initial("mission:m-1")
    for version, event in enumerate(events, start=1):
        before = state
        try:
            aggregate.check(state, event)
        except Refused:
            continue
        state = aggregate.evolve(state, envelope(event, version, "mission:m-1"))
        if event.kind.startswith("mission.") and (before.state, event.kind) in MISSION_MOVES:
            assert state.state == MISSION_MOVES[before.state, event.kind]
        else:
            assert state.state == before.state
        for name, task in state.tasks.items():
            was = before.tasks[name].state if name in before.tasks else "new"
            assert task.state in (was, *TASK.get(was, set())) or event.kind == "mission.drafted"
