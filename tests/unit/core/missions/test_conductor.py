"""One mission from idea to gate over stand-ins, and what happens when something goes wrong."""

from pathlib import Path

import pytest

from tests.missions import Stage, add_repo, mission_until, start


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
