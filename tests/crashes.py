"""Kills a core at a chosen point of a mission, in a process of its own, and drives it to its end.

The mission has two independent tasks and one that needs both; a checkpoint, a run that fails
first, a reviewer, and a remote that may be written.
"""

import asyncio
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cockpit.compose import Core
from core.missions.steps import Step
from core.planning.planner import AgentResult
from core.settings import Settings
from core.settings.model import ReviewerSettings
from tests.fakes import plan_of
from tests.missions import CRITERION, GOAL, Stage, add_repo, rows_of, wait_for

Kill = tuple[str, str]  # a point, and the step at which it is passed first


def stage_at(folder: Path, at_ask: Callable[[str, str], None] | None = None) -> Stage:
    """The same stand-ins each time, over the world in ``folder``."""
    stage = Stage(folder, Settings(reviewer=ReviewerSettings(enabled=True)))
    stage.allow_remote()
    first, second = ({"id": i, "title": f"Write {i}", "write_files": [f"{i}.txt"]} for i in "AB")
    tasks = (
        {**first, "id": "T1"},
        {**second, "id": "T2"},
        {
            "id": "T3",
            "title": "Move the database schema",
            "depends_on": ["T1", "T2"],
            "write_files": ["migrations/0001_init.sql"],
        },
    )
    stage.planner.plans = [plan_of(*tasks)]
    stage.coder.files = {"{task}.txt": "hello from {task}\n", "test_{task}.py": "# {task}\n"}
    stage.coder.ends = {"T2": [AgentResult(end="failed", exit_code=1, error="It broke.")]}
    if at_ask is not None:
        stage.planner.at_ask = at_ask
    return stage


def killer(kill: Kill) -> Callable[[str, str], None]:
    """Ends this process, without a last word, where ``kill`` says."""

    def pass_point(point: str, step: str) -> None:
        if (point, step) == kill:
            os.kill(os.getpid(), signal.SIGKILL)

    return pass_point


def run(folder: str, kill: Kill) -> None:
    """What the child process does: the whole mission, or as far as it gets."""
    stop = killer(kill)

    def at_point(point: str, step: Step) -> None:
        stop(point, step.name)

    async def whole() -> None:
        stage = stage_at(Path(folder), stop)
        async with stage.core(at_point=at_point) as core:
            await to_the_end(core, Path(folder))
            await core.conductor.settle(_named(core, "mission")[0])

    asyncio.run(whole())


async def to_the_end(core: Core, folder: Path) -> None:
    """Do what an operator does, from wherever the journal stands, until the mission is done."""
    if not core.desk.journal.read(stream="repo:fake", limit=1):
        remote = str(folder / "remote.git")
        await add_repo(core, folder, **{"remote.url": remote})
    while True:
        act = await wait_for(core, "something to do", lambda: next_act(core))
        if act[0] == "end":
            return
        await core.desk.call(act[0], act[1])


def next_act(core: Core) -> tuple[str, dict[str, Any]] | None:
    """The operator's next click, read from the states alone; None while others work."""
    sessions = _named(core, "session")
    if not sessions:
        return "session.start", {"repo": "fake", "text": GOAL, "criteria": [CRITERION]}
    session = core.desk.session(sessions[0])
    for hold in session.holds.values():
        return "hold.recover", {"hold": hold.id}
    if session.asks or session.state == "brainstorming":
        return None
    if not session.mission:
        return "session.generate", {"session": session.id}
    return _on_mission(core, session.mission)


def _on_mission(core: Core, mission: str) -> tuple[str, dict[str, Any]] | None:
    state = core.desk.mission(mission)
    if state.state == "pending_approval":
        return "mission.approve", {"mission": mission}
    if state.state == "approved":
        return "mission.start", {"mission": mission, "run_commands_on_host": True}
    if state.state in ("done", "failed"):
        return "end", {}
    for hold in state.holds.values():
        return "hold.recover", {"hold": hold.id}
    for approval in state.approvals.values():
        if approval.state == "pending":
            return "approval.decide", {"approval": approval.id, "answer": "approved"}
    if state.phase == "gate" and not state.delivery_digest:
        return "mission.deliver", {"mission": mission}
    return None


def _named(core: Core, kind: str) -> list[str]:
    streams = dict.fromkeys(e.stream for e in core.desk.journal.read(limit=None))
    return [s.partition(":")[2] for s in streams if s.startswith(f"{kind}:")]


def result(core: Core, stage: Stage) -> dict[str, Any]:
    """What must be the same however often the core died on the way."""
    (name,) = _named(core, "mission")
    (session,) = _named(core, "session")
    state, world = core.desk.mission(name), stage.world
    pulls, commits = world.read("pulls"), world.read("commits")
    merged = [c for c in _history(commits, state.head) if len(commits[c]["parents"]) == 1]
    return {
        "state": (state.state, state.outcome, core.desk.session(session).state),
        "tasks": {t.id: (t.state, stage.workshop.tree(t.commit)) for t in state.tasks.values()},
        "tree": stage.workshop.tree(state.head),
        "task_commits": len(merged),
        "decision": (state.decision, bool(state.lifted_by), sorted(state.verdicts)),
        "gate": (state.gate_code, [(c["id"], c["status"]) for c in state.gate_checks]),
        "remote": world.read("remote") == {state.branch: state.head},
        "pulls": [(p["draft"], p["head_sha"] == state.head) for p in pulls.values()],
        "pushes": world.counted("push"),
        "opened": world.counted("pull_request"),
    }


def _history(commits: dict[str, Any], head: str) -> set[str]:
    found, todo = set[str](), [head]
    while todo:
        commit = todo.pop()
        if commit not in found:
            found.add(commit)
            todo += commits[commit]["parents"]
    return found


def usage_twice(core: Core) -> list[Any]:
    """Runs, families or planner calls that were paid for more than once."""
    seen: list[tuple[Any, ...]] = [
        (e.event.role, e.event.run, e.event.provider, e.event.call_id)  # type: ignore[attr-defined]
        for e in core.desk.journal.read(limit=None)
        if e.kind == "usage.recorded"
    ]
    rows = rows_of(core)["model_usage"]
    return [each for each in set(seen) if seen.count(each) > 1] + (
        [] if len(rows) == len(set(seen)) else [f"{len(rows)} rows for {len(set(seen))} calls"]
    )


def is_intact(core: Core) -> bool:
    """The chain holds, and the read tables are what the journal makes of them."""
    before = rows_of(core)
    core.desk.journal.rebuild()
    return core.desk.journal.verify().ok and rows_of(core) == before
