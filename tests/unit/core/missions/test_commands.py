"""Any sequence of commands leaves states that the tables know, and that a replay gives again."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cockpit.compose import Core
from core.errors import CockpitError
from core.missions.machine import MISSION_MOVES, TASK_MOVES
from core.planning.sessions import SESSION_MOVES
from core.tasks import running
from tests.missions import Stage, add_repo, plan, rows_of

COMMANDS = (
    "approve",
    "start",
    "pause",
    "resume",
    "rework",
    "validate",
    "deliver",
    "close",
    "retry",
    "stop",
    "hold",
    "generate",
    "edit",
    "settle",
)


async def command(core: Core, name: str, mission: str) -> None:
    state = core.desk.mission(mission)
    request: dict[str, Any] = {"mission": mission}
    if name == "hold":
        name, request = "hold.recover", {"hold": next(iter(state.holds), "h-none")}
    elif name == "generate":
        name, request = "session.generate", {"session": state.session}
    elif name == "edit":
        text = "Running `cat hello.txt` prints `hello` again"
        name = "criterion.edit"
        request = {"session": state.session, "criterion": "C1", "text": text}
    elif name == "settle":
        await core.conductor.settle(mission)
        return
    elif name == "rework":
        name, request = "mission.rework", {**request, "findings": ["More of it."]}
    else:
        name = f"mission.{name}"
    try:
        await core.desk.call(name, request)
    except CockpitError:
        return  # refused: what it left behind is what is looked at


async def play(names: list[str], folder: Path) -> None:
    async with Stage(folder).core() as core:
        await add_repo(core, folder)
        mission = await plan(core)
        for name in names:
            await command(core, name, mission)
        await core.conductor.close()
        await asyncio.gather(*running(), return_exceptions=True)
        core.desk.journal.rebuild()  # what a cancelled step had handed over is recorded first
        state = core.desk.mission(mission)
        assert state.state in set(MISSION_MOVES.values())
        assert {t.state for t in state.tasks.values()} <= set(TASK_MOVES.values())
        assert core.desk.session(state.session).state in set(SESSION_MOVES.values())
        head = core.desk.journal.head()
        for stream in (f"mission:{mission}", f"session:{state.session}"):
            assert core.desk.journal.state_at(stream, head) == core.desk.journal.state(stream)
        before = rows_of(core)
        core.desk.journal.rebuild()
        assert rows_of(core) == before
        assert core.desk.journal.verify().ok


@pytest.mark.slow
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from(COMMANDS), max_size=14))
def test_no_sequence_of_commands_leaves_the_tables(names: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(play(["approve", "start", *names], Path(folder)))
