"""One mission from idea to delivery, and what pausing, stopping and reworking it do."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest

from cockpit.compose import Core
from core.errors import Refused
from core.journal.envelope import Event
from core.journal.events import mission as mission_events
from core.journal.events import run as run_events
from core.journal.events import session as session_events
from core.journal.states import States
from core.missions.state import MissionState
from tests.missions import (
    Stage,
    add_repo,
    kinds_of,
    mission_until,
    report,
    rows_of,
    start,
    wait_for,
)

pytestmark = pytest.mark.slow


@pytest.mark.asyncio
async def test_a_mission_runs_from_idea_to_a_decision(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        state = await mission_until(core, mission, "mission.decided")
        assert (state.decision, state.causes) == ("AUTO_MERGE", ())
        assert state.tasks["T1"].state == "done"
        assert core.desk.journal.verify().ok


@pytest.mark.asyncio
async def test_every_past_state_is_what_was_shown_then(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        shown = await mission_until(core, mission, "mission.decided")
        head = core.desk.journal.head()
        assert core.desk.journal.state_at(f"mission:{mission}", head)[1] == shown
        before = rows_of(core)
        core.desk.journal.rebuild()
        assert rows_of(core) == before
        events = core.desk.journal.read(stream=f"mission:{mission}", limit=None)
        states = [core.desk.journal.state_at(f"mission:{mission}", e.seq)[1].state for e in events]
        assert list(dict.fromkeys(states)) == ["draft", "pending_approval", "approved", "running"]


@pytest.mark.asyncio
async def test_no_wake_up_is_lost_when_a_state_is_told_late(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An event is on disk a moment before its state is at hand; nobody may act on the old one."""
    publish = States.publish

    def late(self: States, *args: Any, **kwargs: Any) -> None:
        time.sleep(0.02)  # the writer's thread, where another thread would have been scheduled
        publish(self, *args, **kwargs)

    monkeypatch.setattr(States, "publish", late)
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await mission_until(core, mission, "mission.decided")


@pytest.mark.asyncio
async def test_pause_freezes_the_coder_and_resume_lets_it_go_on(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.coder.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await stage.coder.started.wait()
        run = core.desk.mission(mission).tasks["T1"].run
        await core.desk.call("mission.pause", {"mission": mission})
        await stage.coder.heard("pause", run)
        await core.desk.call("mission.resume", {"mission": mission})
        await stage.coder.heard("resume", run)
        stage.coder.wait.set()
        await mission_until(core, mission, "mission.decided")
        assert stage.world.counted("coder T1") == 1


@pytest.mark.asyncio
async def test_a_paused_mission_takes_a_result_and_begins_nothing(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.harness.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await stage.harness.started.wait()
        run = core.desk.mission(mission).tasks["T1"].run
        await core.desk.call("mission.pause", {"mission": mission})
        stage.harness.wait.set()
        state = await mission_until(core, mission, "run.tested")
        await core.conductor.settle(mission)
        assert (state.state, state.runs[run].progress) == ("paused", "tested")
        assert kinds_of(core, f"mission:{mission}")[-1] == "run.tested"
        await core.desk.call("mission.resume", {"mission": mission})
        await mission_until(core, mission, "mission.decided")


@pytest.mark.asyncio
async def test_stop_while_coding_ends_the_coder_and_keeps_its_usage(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.coder.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await stage.coder.started.wait()
        run = core.desk.mission(mission).tasks["T1"].run
        await core.desk.call("mission.stop", {"mission": mission})
        state = await mission_until(core, mission, "result.ignored")
        assert ("stop", run) in stage.coder.told
        await ended(core, state)
        rows = rows_of(core)["model_usage"]
        assert any(f"{run}:fake" in row for row in rows)


async def ended(core: Core, state: MissionState) -> None:
    assert state.state == "cancelled"
    assert {task.state for task in state.tasks.values()} == {"cancelled"}
    assert core.desk.session(state.session).state == "closed"
    assert not state.holds
    assert all(a.state != "pending" for a in state.approvals.values())
    for name in ("mission.start", "mission.resume", "mission.retry", "mission.close"):
        with pytest.raises(Refused):
            await core.desk.call(name, {"mission": state.id})


@pytest.mark.asyncio
async def test_stop_while_paused_ends_it(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.coder.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await stage.coder.started.wait()
        await core.desk.call("mission.pause", {"mission": mission})
        await core.desk.call("mission.stop", {"mission": mission})
        await ended(core, await mission_until(core, mission, "result.ignored"))


@pytest.mark.asyncio
async def test_stop_while_testing_ends_the_commands(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.harness.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await stage.harness.started.wait()
        await core.desk.call("mission.stop", {"mission": mission})
        await ended(core, await mission_until(core, mission, "result.ignored"))
        assert stage.harness.stopped.is_set()


@pytest.mark.asyncio
async def test_stop_while_preparing_runs_no_coder(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.harness.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path, **{"commands.setup": "true"})
        mission = await start(core)
        await stage.harness.started.wait()
        await core.desk.call("mission.stop", {"mission": mission})
        await ended(core, await mission_until(core, mission, "result.ignored"))
        assert stage.coder.calls == []


@pytest.mark.asyncio
async def test_stop_while_validating_ignores_the_verdicts_and_keeps_their_usage(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    gate = asyncio.Event()
    for judge in stage.judges.values():
        judge.wait = gate
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        for judge in stage.judges.values():
            await judge.started.wait()
        stop = asyncio.ensure_future(  # noqa: TID251 - it waits for the judges, which wait for us
            core.desk.call("mission.stop", {"mission": mission})
        )
        await mission_until(core, mission, state="cancelled")
        gate.set()
        await stop
        state = await mission_until(core, mission, "result.ignored", times=2)
        assert (state.state, state.verdicts) == ("cancelled", {})
        assert sum("validator" in row for row in rows_of(core)["model_usage"]) == 2


@pytest.mark.asyncio
async def test_rework_after_merging_is_a_new_task_twice_and_then_refused(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    stage.coder.files = {"{task}.txt": "hello\n"}
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await mission_until(core, mission, "mission.decided")
        for number in (1, 2):
            findings = [f"Finding {number}"]
            await core.desk.call("mission.rework", {"mission": mission, "findings": findings})
            state = await mission_until(core, mission, "mission.decided", times=number + 1)
            assert state.tasks[f"R{number}"].state == "done", report(core)
            assert f"Finding {number}" in stage.coder.calls[-1].prompt
            assert state.package_count == number + 1
            assert all(v.digest == state.package.digest for v in state.verdicts.values())  # type: ignore[union-attr]
        with pytest.raises(Refused) as refused:
            await core.desk.call("mission.rework", {"mission": mission, "findings": ["More"]})
        assert refused.value.code == "HOLD-REVIEW-LOOP"


@pytest.mark.asyncio
async def test_what_a_table_forbids_is_refused_by_the_journal_itself(tmp_path: Path) -> None:
    stage = Stage(tmp_path)
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        state = await mission_until(core, mission, "mission.decided")
        head = core.desk.journal.head()
        forbidden: list[tuple[str, Event]] = [
            (f"mission:{mission}", mission_events.MissionReopened()),
            (f"mission:{mission}", mission_events.TaskRetried(task="T1")),
            (f"mission:{mission}", mission_events.TaskDone(task="T9", commit="c")),
            (
                f"mission:{mission}",
                run_events.RunFailed(run="r-9", end="lost", exit_code=1, error=""),
            ),
            (f"mission:{mission}", run_events.StepStarted(step="dance", subject="", task="")),
            (f"mission:{mission}", session_events.SessionApproved(version=1)),
            ("mission:m-unknown", run_events.ResultIgnored(step="code", subject="r")),
            (f"session:{state.session}", session_events.SessionApproved(version=1)),
            (f"session:{state.session}", mission_events.MissionPaused()),
            ("session:s-unknown", session_events.SessionArchived()),
        ]
        for stream, event in forbidden:
            with pytest.raises(Refused):
                await core.desk.journal.write(stream, [event], actor="operator")
        assert core.desk.journal.head() == head


@pytest.mark.asyncio
async def test_a_failed_mission_whose_session_did_not_hear_is_told_after_a_restart(
    tmp_path: Path,
) -> None:
    stage = Stage(tmp_path)
    stage.coder.wait = asyncio.Event()
    async with stage.core() as core:
        await add_repo(core, tmp_path)
        mission = await start(core)
        await stage.coder.started.wait()
        await core.conductor.close()
        failed = mission_events.MissionFailed(reason="nobody was there to tell")
        await core.desk.write(f"mission:{mission}", [failed], actor="system")
    stage.coder.wait = None
    async with stage.core() as core:
        session = core.desk.mission(mission).session
        await wait_for(core, "session", lambda: core.desk.session(session).state == "approved")
